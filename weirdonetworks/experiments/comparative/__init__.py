"""Learns whether two images show the same digit, and classifies by comparing with a few stored examples.

usage: python -m weirdonetworks.experiments.comparative [--flag=value ...]

    python -m weirdonetworks.experiments.comparative --num_trials=3
"""

from weirdonetworks.lab import StudyConfig, setting


class ComparativeConfig(StudyConfig, epochs=10):
    """Settings of the experiment."""

    code_sizes: tuple[int, ...] = setting(
        (300, 100), "The widths of the layers that encode an image.", minimum=1, may_be_empty=False
    )
    head_sizes: tuple[int, ...] = setting((64,), "The widths of the hidden layers that compare two codes.", minimum=1)
    stored: tuple[int, ...] = setting(
        (1, 5, 25), "Numbers of stored examples per class.", minimum=1, may_be_empty=False, affects="measuring"
    )
    draws: int = setting(5, "Draws of the stored examples to average over.", minimum=1, affects="measuring")
