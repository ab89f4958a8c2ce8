"""Trains self-attention over the single pixels of images, and draws what pixels look at.

usage: python -m weirdonetworks.experiments.self_attention [--flag=value ...]

    python -m weirdonetworks.experiments.self_attention --num_trials=3
    python -m weirdonetworks.experiments.self_attention --window=3
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, StudyConfig, setting
from weirdonetworks.lab.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from weirdonetworks.lab.data.datasets import Dataset
    from weirdonetworks.lab.training.study import Trained

DRAWN = 8  # Classes of which a test image is drawn.


@dataclasses.dataclass(frozen=True)
class SelfAttentionConfig(StudyConfig):
    """What the experiment is told."""

    examples: int | None = setting(10_000, "Take only the first so many images of train and of test.", minimum=1)
    epochs: int = setting(5, "Passes over the training data.", minimum=1)
    batch_size: int = setting(32, "Images a training step.", minimum=1)
    batch_size_test: int = setting(100, "Images an evaluation step.", minimum=1)
    learning_rate: float = setting(0.01, "The learning rate at the start.", minimum=0.0, short="lr")
    # A graph runs the chunks of attention one after the other; XLA is slower here and holds more.
    execution: str = setting("graph", "How an epoch is compiled.", choices=("auto", "xla", "graph"))
    size: int = setting(16, "The channels of a pixel inside the network, a multiple of --num_heads.", minimum=1)
    num_blocks: int = setting(1, "The blocks of attention and perceptron.", minimum=1)
    num_heads: int = setting(2, "The attention heads of a block.", minimum=1)
    window: int | None = setting(
        None, "Let a pixel look only so many rows and columns away; at all pixels if not given.", minimum=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % self.num_heads:
            raise UsageError(f"size (={self.size}) must be divisible by num_heads (={self.num_heads}).")


def main(config: SelfAttentionConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab import machine
    from weirdonetworks.lab.data import datasets
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import loop, objectives, study
    from weirdonetworks.nets.small.pixel_attention import PixelTransformer

    with study.opened("self_attention", config, options) as opened:
        if not opened.is_finished:
            data = datasets.configured(config, options.data_dir)
            splits = loop.residents(data)
            trained = [
                opened.train(
                    "self_attention",
                    lambda: PixelTransformer(
                        len(data.classes), config.size, config.num_blocks, config.num_heads, config.window
                    ),
                    lambda made: objectives.classification(made, data.standardisation),
                    splits,
                    trial,
                    measure=lambda: {"peak_memory_gib": machine.peak_memory()},
                )
                for trial in config.trials()
            ]
            results = {
                "parameters": trained[0].parameters,
                "training_images": len(data.train),
                "test_accuracy": study.spread([each.final["test_accuracy"] for each in trained]),
                "seconds": study.spread([each.seconds for each in trained]),
                "peak_memory_gib": max(record["peak_memory_gib"] for each in trained for record in each.records),
                "epochs": trained[0].curves,
            }
            opened.finish(results, functools.partial(draw, looked_at(trained[0], data)))
        found = opened.results
        header = ["network", "parameters", "training images", "test accuracy", "seconds", "peak memory"]
        row = [
            "self_attention",
            f"{found['parameters']:,}",
            f"{found['training_images']:,}",
            study.percent(found["test_accuracy"]),
            f"{found['seconds']['mean']:.0f}",
            f"{found['peak_memory_gib']:.1f} GiB",
        ]
        print()
        print(tables.table(header, [row]))


@dataclasses.dataclass(frozen=True)
class Looked:
    """What a pixel of an image looked at: the image, its row and column, and a map for each block and head."""

    image: npt.NDArray[np.uint8]
    pixel: tuple[int, int]
    maps: npt.NDArray[np.floating]


def looked_at(trained: "Trained", data: "Dataset") -> list[Looked]:
    """Finds what the inked pixel nearest to the centre looks at, in the first test image of each of some classes."""
    _, firsts = np.unique(data.test.labels, return_index=True)
    found = []
    for image in data.test.images[firsts[:DRAWN]]:
        pixel = central_pixel(image.max(axis=-1))
        maps = trained.network.attention_maps(data.standardisation(image[np.newaxis]), pixel)
        found.append(Looked(image, pixel, maps[0].numpy()))
    return found


def central_pixel(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Finds the row and column, nearest to the centre, of a pixel at least half as bright as the brightest.

    >>> central_pixel(np.array([[9, 0, 0], [0, 0, 8], [0, 0, 0]], np.uint8))
    (1, 2)
    """
    rows, columns = np.nonzero(image >= image.max() / 2)
    nearest = np.argmin(np.hypot(rows - (image.shape[0] - 1) / 2, columns - (image.shape[1] - 1) / 2))
    return int(rows[nearest]), int(columns[nearest])


def draw(looked: Sequence[Looked], found: Mapping[str, Any]) -> "Figure":
    """Draws images, and below each where its marked pixel looks, block by block and head by head."""
    from weirdonetworks.lab import plots

    del found
    blocks, heads = looked[0].maps.shape[:2]
    figure, axes = plots.tiles(1 + blocks * heads, len(looked))
    for column, each in zip(axes.T, looked, strict=True):
        column[0].imshow(each.image, cmap="gray_r")
        column[0].plot(*each.pixel[::-1], marker="o", markersize=6, fillstyle="none", color=plots.COLOURS[1])
        for tile, weights in zip(column[1:], each.maps.reshape(blocks * heads, *each.image.shape[:2]), strict=True):
            tile.imshow(weights, cmap="viridis", vmin=0)
    axes[0, 0].set_ylabel("image")
    for index, tile in enumerate(axes[1:, 0]):
        tile.set_ylabel(f"block {index // heads + 1}, head {index % heads + 1}")
    return figure


if __name__ == "__main__":
    flags.run(main, SelfAttentionConfig, RunOptions)
