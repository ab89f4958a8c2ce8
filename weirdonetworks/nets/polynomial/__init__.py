"""Polynomial layers, with free, shared, linearly constrained or invariant monomials of the inputs."""
