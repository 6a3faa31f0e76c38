"""Claims about regularisation: dropout, penalties on the weights, max-norm, and what else is said to keep a net from
overfitting.
"""
