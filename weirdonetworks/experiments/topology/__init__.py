"""Recovers the pixel grid of images with shuffled pixels from the weights of one linear layer.

usage: python -m weirdonetworks.experiments.topology [--flag=value ...]

    python -m weirdonetworks.experiments.topology --num_trials=3
    python -m weirdonetworks.experiments.topology --regulariser=early_stopping --epochs=2
"""

from weirdonetworks.lab import StudyConfig, setting


class TopologyConfig(StudyConfig, epochs=8, learning_rate=0.004, weight_decay=0.0):
    """Settings of the experiment."""

    regulariser: str = setting(
        "noise", "Regulariser that keeps the layer from the identity.", choices=("noise", "ridge", "early_stopping")
    )
    strength: float = setting(
        0.03, "The variance of the noise or the ridge, where pixels have variance 1.", minimum=1e-6
    )
    threshold: float = setting(
        0.13, "Least partial correlation of two pixels joined by an edge.", minimum=0.0, affects="measuring"
    )
