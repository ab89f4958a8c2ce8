"""Polynomial layers: monomials of the inputs, free, tied, constrained or invariant."""
