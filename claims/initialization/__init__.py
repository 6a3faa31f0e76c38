"""Claims about the weights a net starts from."""
