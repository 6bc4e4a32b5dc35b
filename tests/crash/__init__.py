"""The process dies at every single point of the chain."""
