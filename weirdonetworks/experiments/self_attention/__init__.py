"""Trains self-attention over single pixels of images, and draws attention maps.

usage: python -m weirdonetworks.experiments.self_attention [--flag=value ...]

    python -m weirdonetworks.experiments.self_attention --num_trials=3
    python -m weirdonetworks.experiments.self_attention --window=3
"""

from weirdonetworks.lab import StudyConfig, UsageError, setting


# A graph runs the chunks of attention one after the other; XLA is slower here and holds more.
class SelfAttentionConfig(StudyConfig, examples=10_000, epochs=5, batch_size=32, learning_rate=0.01, execution="graph"):
    """Settings of the experiment."""

    batch_size_test: int = setting(100, "Batch size in evaluation.", minimum=1)
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
