"""Assay puts what people say about deep learning to the test."""
