"""Permutation and matrix groups: elements, orbits and samples from generators; permutations as int arrays."""
