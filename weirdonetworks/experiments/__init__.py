"""Experiments, one a file: `python -m weirdonetworks.experiments.NAME`."""
