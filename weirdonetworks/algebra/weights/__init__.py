"""Weights of polynomial layers that must be equal for equivariance: by orbits, as equations, and symbolically."""
