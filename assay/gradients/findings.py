"""x"""
from __future__ import annotations
def further(check, order, modes):
    return []
