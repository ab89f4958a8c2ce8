"""The kernels against networks in float64, over shapes, densities and sizes of batch."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from weight_symmetry.sparse import kernels
from weight_symmetry.sparse.vectors import blocks
from weight_symmetry.sparse.wiring import Wiring

pytestmark = pytest.mark.slow  # The first call of a kernel compiles it.

INPUTS = 20


def float64_loss(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    weights: Sequence[npt.NDArray[np.floating]],
    biases: Sequence[npt.NDArray[np.floating]],
) -> float:
    """The summed cross-entropy of a network of dense layers, of images scaled as `examples` scales them."""
    hidden = images.astype(np.float64) * np.float32(0.01) - np.float32(0.5)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        hidden = np.maximum(hidden, 0) if layer else hidden
        hidden = hidden @ weight.astype(np.float64) + bias.astype(np.float64)
    return float((np.log(np.exp(hidden).sum(axis=1)) - hidden[np.arange(len(labels)), labels]).sum())


def draw_masks(widths: Sequence[int], kind: str, rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
    masks = [rng.random(shape) < 0.3 for shape in itertools.pairwise(widths)]
    if kind == "full":
        return [np.ones_like(mask) for mask in masks]
    if kind == "empty units":  # One that reads nothing, and one that nothing reads, in each layer; all of the last.
        for mask in masks[:-1]:
            mask[:, 0] = False
            mask[1] = False
        masks[-1][:] = False
    return masks


@pytest.mark.parametrize(
    ("widths", "kind", "registers", "batch"),
    [
        ((INPUTS, 7, 5), "random", 1, 11),
        ((INPUTS, 9, 6, 4), "empty units", 1, 16),
        ((INPUTS, 1, 3), "full", 1, 1),
        ((INPUTS, 4), "random", 1, 5),
        ((INPUTS, 12, 8, 3), "full", 3, 40),
        ((INPUTS, 30, 10, 2), "random", 3, 24),
    ],
)
def test_loss_and_gradient_are_those_in_float64(widths: tuple[int, ...], kind: str, registers: int, batch: int) -> None:
    """The gradient by central differences of the loss in float64, which knows nothing of back-propagation."""
    batch = min(batch, registers * kernels.LANES)
    rng = np.random.default_rng(sum(widths) + batch)
    masks = draw_masks(widths, kind, rng)
    weights = [(rng.normal(size=mask.shape) * mask).astype(np.float32) for mask in masks]
    biases = [rng.normal(size=mask.shape[1]).astype(np.float32) for mask in masks]
    images = rng.integers(0, 256, (30, INPUTS)).astype(np.uint8)
    labels = rng.integers(0, widths[-1], 30).astype(np.int32)
    chosen = rng.choice(30, batch).astype(np.int32)
    scale, offset = np.full(INPUTS, 0.01, np.float32), np.full(INPUTS, 0.5, np.float32)
    wiring = Wiring(masks)
    numbers = wiring.gather(weights, biases)
    gradient = numbers._make(np.zeros_like(each) for each in numbers)
    rows, errors = (np.full(wiring.units * registers * kernels.LANES, np.nan, np.float32) for _ in range(2))
    turned = np.zeros_like(numbers.weights)
    kernels.turn(wiring.connections, numbers, turned)
    loss, _ = kernels.differentiate(
        (0,) * registers,
        kernels.Examples(images, labels, scale, offset, blocks(INPUTS)),
        chosen,
        np.float32(1),
        wiring.connections,
        numbers,
        turned,
        rows,
        errors,
        gradient,
    )
    asked = images[chosen], labels[chosen]
    expected = float64_loss(*asked, weights, biases)
    assert loss == pytest.approx(expected, rel=1e-6)
    found = [np.zeros_like(weight) for weight in weights]
    wiring.scatter(gradient, found)
    step = 1e-6
    largest = max(float(np.abs(each).max(initial=0)) for each in gradient)
    for layer, array in itertools.product(range(len(masks)), (weights, biases)):
        of = found[layer] if array is weights else gradient.biases[wiring.spans[layer]]
        for place in zip(*np.nonzero(masks[layer] if array is weights else np.ones_like(biases[layer])), strict=True):
            moved = [[each.astype(np.float64) for each in array] for _ in range(2)]
            moved[0][layer][place] += step
            moved[1][layer][place] -= step
            losses = [
                float64_loss(*asked, each, biases) if array is weights else float64_loss(*asked, weights, each)
                for each in moved
            ]
            slope = (losses[0] - losses[1]) / (2 * step)
            assert abs(of[place] - slope) < 2e-5 * largest, (layer, place)
    # A loss with another sign of one bias is told apart.
    biases[-1][0] *= -1
    assert loss != pytest.approx(float64_loss(*asked, weights, biases), rel=1e-6)


def test_a_tile_of_activations_stays_in_the_cache() -> None:
    for batch, units in itertools.product((1, 16, 100, 128, 1000), (10, 784, 4096, 10**6)):
        registers, tiles = kernels.tiling(batch, units)
        width = registers * kernels.LANES
        assert registers * (tiles - 1) * kernels.LANES < batch <= width * tiles
        assert registers == 1 or (registers <= kernels.REGISTERS and 4 * units * width <= kernels.CACHE)


def test_nan_survives() -> None:
    """A training that diverged must be seen to have."""
    wiring = Wiring([np.ones((INPUTS, 2)), np.ones((2, 2))])
    numbers = wiring.gather([np.full((INPUTS, 2), np.nan), np.ones((2, 2))], [None, None])
    ones = np.ones(INPUTS, np.float32)
    examples = kernels.Examples(np.ones((3, INPUTS), np.uint8), np.zeros(3, np.int32), ones, ones, blocks(INPUTS))
    loss, _ = kernels.evaluate((0,), examples, wiring.connections, kernels.Numbers(*map(np.float32, numbers)))
    assert np.isnan(loss)
