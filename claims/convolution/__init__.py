"""Claims about convolution and pooling: the operation, sizes, padding, stride, and what networks do with it."""
