"""Trains an autoencoder, and draws its reconstructions and a map of its codes (t-SNE, which needs scikit-learn).

usage: python -m weirdonetworks.experiments.autoencoder [--flag=value ...]

    python -m weirdonetworks.experiments.autoencoder --num_trials=3
"""

import dataclasses

from weirdonetworks.lab import StudyConfig, setting


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig(StudyConfig):
    """Settings of the experiment."""

    examples: int | None = setting(
        None, "Use only the first images of train and of test, this many of each.", minimum=100
    )
    epochs: int = setting(10, "Passes over the training data.", minimum=1)
    weight_decay: float | None = setting(0.0, "Weight decay.", minimum=0.0, short="wd")
    code_size: int = setting(32, "Dimension of a code.", minimum=1)
