"""Symmetry of the weights: what is left of the neuron permutations when a network is pruned.

`python -m weight_symmetry` lists the drivers.
"""
