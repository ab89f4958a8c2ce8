"""Monomials and polynomials of a group's coordinates: invariants, their generators, and how many there are."""
