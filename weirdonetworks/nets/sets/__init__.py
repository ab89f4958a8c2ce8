"""Layers and networks on sets of vectors, `[batch, items, features]`."""
