"""Symmetry of the weights: what is left of the neuron permutations when a network is pruned."""
