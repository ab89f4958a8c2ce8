"""Sonnet modules with symmetries: polynomial, orbit-averaged, equivariant, set and group-convolutional networks."""

from weirdonetworks import extras

extras.check_docstrings()
