"""Steps of the experiment `self_attention`: train, measure, draw, table."""

import functools
from collections.abc import Iterator, Mapping
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
    study.finish(results, functools.partial(draw, trained[0].network, data))


def central_pixel(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Finds the row and column, nearest to the centre, of a pixel at least half as bright as the brightest.

    >>> central_pixel(np.array([[9, 0, 0], [0, 0, 8], [0, 0, 0]], np.uint8))
    (1, 2)
    """
    rows, columns = np.nonzero(image >= image.max() / 2)
    nearest = np.argmin(np.hypot(rows - (image.shape[0] - 1) / 2, columns - (image.shape[1] - 1) / 2))
    return int(rows[nearest]), int(columns[nearest])


def draw(network: PixelTransformer, data: lab.Dataset, found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the first test image of some classes; below each, where its inked pixel nearest to the centre attends."""
    del found
    _, firsts = np.unique(data.test.labels, return_index=True)
    images = data.test.images[firsts[:DRAWN]]
    pixels = [central_pixel(image.max(axis=-1)) for image in images]
    inputs = [data.standardisation(image[np.newaxis]) for image in images]
    maps = np.concatenate([network.attention_maps(*each) for each in zip(inputs, pixels, strict=True)])
    blocks, heads, *shape = maps.shape[1:]
    figure, axes = lab.plots.tiles(1 + blocks * heads, len(images))
    for column, image, pixel, weights in zip(axes.T, images, pixels, maps, strict=True):
        column[0].imshow(image, cmap="gray_r")
        column[0].plot(*pixel[::-1], marker="o", markersize=6, fillstyle="none", color=lab.plots.COLOURS[1])
        for tile, each in zip(column[1:], weights.reshape(-1, *shape), strict=True):
            tile.imshow(each, cmap="viridis", vmin=0)
    axes[0, 0].set_ylabel("image")
    for index, tile in enumerate(axes[1:, 0]):
        block, head = divmod(index, heads)
        tile.set_ylabel(f"head {head + 1}" if blocks == 1 else f"block {block + 1},\nhead {head + 1}")
    figure.suptitle("where each head of attention looks (bright) from the pixel in the circle", fontsize="medium")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    header = ["network", "parameters", "training images", "test accuracy", "seconds", "peak memory"]
    sizes = [f"{found[key]:,}" for key in ("parameters", "training_images")]
    costs = [f"{found['seconds']['mean']:.0f}", f"{found['peak_memory_gib']:.1f} GiB"]
    yield lab.table(header, [["self_attention", *sizes, lab.percent(found["test_accuracy"]), *costs]])
