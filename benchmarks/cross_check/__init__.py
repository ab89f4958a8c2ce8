"""Counts of weights of layers with shared weights, beside those of EMLP and escnn for the same representations.

Two steps, since those libraries want other versions of packages than TensorFlow does:

    python -m benchmarks.cross_check.ours ours.json              # where weirdonetworks is installed
    python benchmarks/cross_check/compare.py ours.json           # where emlp and escnn are

The second prints the table of docs/results/cross-check.md, and exits with 1 if a count differs that must not.
"""
