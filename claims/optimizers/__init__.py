"""Topic `optimizers`: learning rates, descent and where it ends, momentum."""
