"""Trains networks stage by stage, each stage on the frozen ones before it, and the same networks at once.

usage: python -m weirdonetworks.experiments.staged [--flag=value ...]

    python -m weirdonetworks.experiments.staged --num_trials=3
"""

from weirdonetworks.lab import StudyConfig, setting

NETWORKS = ("ExpansionSerial", "ExpansionParallel", "RandomSample", "Residual")


class StagedConfig(StudyConfig):
    """Settings of the experiment."""

    network: str = setting("all", "Networks to train.", choices=("all", *NETWORKS), affects="measuring")
    stages: int = setting(4, "The stages of each network.", minimum=1, affects="measuring")
    epochs: int = setting(5, "Passes over the training data for each stage.", minimum=1)
