"""Finds the symmetries of the graph of pixels: of the grid exactly, and approximately from shuffled images.

usage: python -m weirdonetworks.experiments.discover_symmetries [--flag=value ...]

    python -m weirdonetworks.experiments.discover_symmetries

The pixels of all images are shuffled in one way. The linear map that best restores such images from themselves with
noise is solved for, not trained, and its partial correlations above a threshold are a graph (see `measure.topology`).
Each symmetry of the square, shuffled likewise, is measured by the share of this graph's edges that it preserves; shifts
and random permutations are the controls. Each trial shuffles, and draws permutations, by a seed of its own.
"""

from weirdonetworks.lab.config import DataConfig, TrialSettings, setting


class DiscoverSymmetriesConfig(DataConfig, TrialSettings):
    """Settings of the experiment."""

    strength: float = setting(0.03, "Variance of the noise, where pixels have variance 1.", minimum=1e-6)
    threshold: float = setting(0.13, "Least partial correlation of two pixels joined by an edge.", minimum=0.0)
    random_seed: int = setting(42, "The seed of the shuffle, and of the permutations drawn at random.")
