"""Trains an autoencoder, and draws its reconstructions and a map of its codes (t-SNE, which needs scikit-learn).

usage: python -m weirdonetworks.experiments.autoencoder [--flag=value ...]

    python -m weirdonetworks.experiments.autoencoder --num_trials=3
"""

from weirdonetworks.lab import StudyConfig, setting


class AutoencoderConfig(StudyConfig, epochs=10, weight_decay=0.0):
    """Settings of the experiment."""

    examples: int | None = setting(
        None, "Use only the first images of train and of test, this many of each.", minimum=100
    )
    code_size: int = setting(32, "Dimension of a code.", minimum=1)
