"""Measures of trained networks: invariance, Jacobians, conserved quantities, weight symmetry; results as arrays."""
