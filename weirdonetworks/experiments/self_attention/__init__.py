"""Trains self-attention over single pixels of images, and draws attention maps.

usage: python -m weirdonetworks.experiments.self_attention [--flag=value ...]

    python -m weirdonetworks.experiments.self_attention --num_trials=3
    python -m weirdonetworks.experiments.self_attention --window=3
"""

import dataclasses

from weirdonetworks.lab import StudyConfig, UsageError, setting


@dataclasses.dataclass(frozen=True)
class SelfAttentionConfig(StudyConfig):
    """Settings of the experiment."""

    examples: int | None = setting(
        10_000, "Use only the first images of train and of test, this many of each.", minimum=1
    )
    epochs: int = setting(5, "Passes over the training data.", minimum=1)
    batch_size: int = setting(32, "Batch size in training.", minimum=1)
    batch_size_test: int = setting(100, "Batch size in evaluation.", minimum=1)
    learning_rate: float = setting(0.01, "The learning rate at the start.", minimum=0.0, short="lr")
    # A graph runs the chunks of attention one after the other; XLA is slower here and holds more.
    execution: str = setting("graph", "How an epoch is compiled.", choices=("auto", "xla", "graph"))
    size: int = setting(16, "The channels of a pixel inside the network, a multiple of --num_heads.", minimum=1)
    num_blocks: int = setting(1, "The blocks of attention and perceptron.", minimum=1)
    num_heads: int = setting(2, "The attention heads of a block.", minimum=1)
    window: int | None = setting(
        None, "Attend only to pixels at most this many rows and columns away; all pixels if not given.", minimum=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % self.num_heads:
            raise UsageError(f"size (={self.size}) must be divisible by num_heads (={self.num_heads}).")
