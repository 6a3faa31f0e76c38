"""The laboratory: small tasks and batched training, shared by claims of every topic. It holds no claim."""
