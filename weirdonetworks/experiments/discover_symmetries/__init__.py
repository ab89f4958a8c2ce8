"""Finds the symmetries of the graph of pixels: of the grid exactly, and approximately from shuffled images.

usage: python -m weirdonetworks.experiments.discover_symmetries [--flag=value ...]

    python -m weirdonetworks.experiments.discover_symmetries

The pixels of all images are shuffled in one way. The linear map that best restores such images from themselves with
noise is solved for, not trained, and its partial correlations above a threshold are a graph (see `measure.topology`).
Each symmetry of the square, shuffled likewise, is measured by the share of this graph's edges that it preserves; shifts
and random permutations are the controls. Each trial shuffles, and draws permutations, by a seed of its own.
"""

import dataclasses
from typing import Self

from weirdonetworks.lab.config import OWN_DATA, TrialSettings, setting


class DiscoverSymmetriesConfig(TrialSettings):
    """Settings of the experiment."""

    dataset: str = setting(
        "MNIST", f"Grey square images: MNIST, the name of a TensorFlow Datasets data set, or {OWN_DATA}."
    )
    examples: int | None = setting(None, "Use only this many training images, the first.", minimum=1)
    strength: float = setting(0.03, "Variance of the noise, where pixels have variance 1.", minimum=1e-6)
    threshold: float = setting(0.13, "Least partial correlation of two pixels joined by an edge.", minimum=0.0)
    random_seed: int = setting(42, "The seed of the shuffle, and of the permutations drawn at random.")

    def resolved(self) -> Self:
        """Returns the configuration with the user's own data named by their content too."""
        from weirdonetworks.lab.data import user_data

        return dataclasses.replace(self, dataset=user_data.identified(self.dataset))
