"""Benchmarks of the gradient checker: speed and resolution beside gradcheck, and the honesty of the error bars."""
