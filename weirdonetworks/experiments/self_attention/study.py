"""Steps of the experiment `self_attention`: train, measure, draw, table."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks import PixelTransformer, lab
from weirdonetworks.experiments.self_attention import SelfAttentionConfig
from weirdonetworks.experiments.shared import classifiers

DRAWN = 8  # Classes in the plot, a test image of each.


def run(study: lab.Study[SelfAttentionConfig]) -> None:
    """Trains the networks and measures them."""
    config, data = study.config, study.load()
    trained = study.repeat(
        "self_attention",
        lambda: PixelTransformer(len(data.classes), config.size, config.num_blocks, config.num_heads, config.window),
        data,
        hooks=lambda _: [lab.Following(lambda: {"peak_memory_gib": lab.machine.peak_memory()}, at_end=True)],
    )
    results = classifiers.results(trained) | {
        "training_images": len(data.train),
        "peak_memory_gib": max(record["peak_memory_gib"] for each in trained for record in each.records),
    }
    study.finish(results, functools.partial(draw, measure(trained[0], data)))


@dataclasses.dataclass(frozen=True)
class Attention:
    """The attention of one pixel: the image, the pixel's row and column, and a map for each block and head."""

    image: npt.NDArray[np.uint8]
    pixel: tuple[int, int]
    maps: npt.NDArray[np.floating]


def measure(trained: lab.Trained, data: lab.Dataset) -> list[Attention]:
    """Computes the attention of the inked pixel nearest to the centre, in the first test image of some classes."""
    _, firsts = np.unique(data.test.labels, return_index=True)
    found = []
    for image in data.test.images[firsts[:DRAWN]]:
        pixel = central_pixel(image.max(axis=-1))
        maps = trained.network.attention_maps(data.standardisation(image[np.newaxis]), pixel)
        found.append(Attention(image, pixel, maps[0].numpy()))
    return found


def central_pixel(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Finds the row and column, nearest to the centre, of a pixel at least half as bright as the brightest.

    >>> central_pixel(np.array([[9, 0, 0], [0, 0, 8], [0, 0, 0]], np.uint8))
    (1, 2)
    """
    rows, columns = np.nonzero(image >= image.max() / 2)
    nearest = np.argmin(np.hypot(rows - (image.shape[0] - 1) / 2, columns - (image.shape[1] - 1) / 2))
    return int(rows[nearest]), int(columns[nearest])


def draw(attention: Sequence[Attention], found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws images, and below each the attention maps of its marked pixel, block by block and head by head."""
    del found
    blocks, heads = attention[0].maps.shape[:2]
    figure, axes = lab.plots.tiles(1 + blocks * heads, len(attention))
    for column, each in zip(axes.T, attention, strict=True):
        column[0].imshow(each.image, cmap="gray_r")
        column[0].plot(*each.pixel[::-1], marker="o", markersize=6, fillstyle="none", color=lab.plots.COLOURS[1])
        for tile, weights in zip(column[1:], each.maps.reshape(blocks * heads, *each.image.shape[:2]), strict=True):
            tile.imshow(weights, cmap="viridis", vmin=0)
    axes[0, 0].set_ylabel("image")
    for index, tile in enumerate(axes[1:, 0]):
        block, head = divmod(index, heads)
        tile.set_ylabel(f"head {head + 1}" if blocks == 1 else f"block {block + 1},\nhead {head + 1}")
    figure.suptitle("where each head of attention looks (bright) from the pixel in the circle", fontsize="medium")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    header = ["network", "parameters", "training images", "test accuracy", "seconds", "peak memory"]
    row = [
        "self_attention",
        f"{found['parameters']:,}",
        f"{found['training_images']:,}",
        lab.percent(found["test_accuracy"]),
        f"{found['seconds']['mean']:.0f}",
        f"{found['peak_memory_gib']:.1f} GiB",
    ]
    yield lab.table(header, [row])
