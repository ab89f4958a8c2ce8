"""Generators of masks for sparse networks, and distributions of the sparsity over layers.

A mask has the shape of the weight it masks, `[..., in, out]`: `[in, out]` of a dense layer, `[height, width, in, out]`
of a convolution; True is a connection that is kept. A neuron, or filter, is the last axis; its fan-in is the others.
"""

import math
import operator
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.lab import seeds

Mask = npt.NDArray[np.bool_]
Shape = Sequence[int]


def create(
    mask_type: str,
    shapes: Sequence[Shape],
    sparsity: float | Sequence[float],
    seed: int,
    *,
    trial: int = 0,
    distribution: str = "uniform",
) -> list[Mask]:
    """Draws the masks of a model, each layer from a seed of its own.

    >>> masks = create("per-neuron", [(784, 300), (300, 10)], sparsity=0.9, seed=1)
    >>> sorted(set(masks[1].sum(axis=0).tolist()))
    [30]

    Args:
      mask_type: One of `MASK_TYPES`, with hyphens or underscores.
      shapes: The shapes of the weights in layer order.
      sparsity: The fraction of connections to remove, in [0, 1], or that of each layer.
      seed: The base seed of the experiment.
      trial: The number of the trial; each has its own masks.
      distribution: How the sparsity is distributed over layers, one of `DISTRIBUTIONS`.

    Returns:
      A boolean mask for each shape.

    Raises:
      TypeError: If the seed is not an integer.
      ValueError: If an argument is out of its range.
    """
    try:
        operator.index(seed)
    except TypeError:
        raise TypeError(f"seed (={seed!r}) must be an integer.") from None
    make = MASK_TYPES[_choice("mask_type", mask_type, MASK_TYPES)]
    sparsities = layer_sparsities(shapes, sparsity, distribution)
    return [
        make(shape, layer_sparsity, seeds.generator(seed, "mask", layer, trial))
        for layer, (shape, layer_sparsity) in enumerate(zip(shapes, sparsities, strict=True))
    ]


def symmetric(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps the same round((1 - sparsity) x fan-in) inputs for every neuron, so that they stay interchangeable.

    >>> symmetric((4, 3), 0.5, np.random.default_rng(0)).astype(int).tolist()
    [[0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]]

    Args:
      shape: The shape of the weight.
      sparsity: The fraction of connections to remove, in [0, 1].
      rng: The random generator.

    Returns:
      A boolean mask of that shape.

    Raises:
      ValueError: If the sparsity or the shape is out of range.
    """
    fan_in, rng = _fan_in(shape), checked_generator(rng)
    kept = np.arange(fan_in) < _kept(fan_in, sparsity)
    rng.shuffle(kept)
    return np.repeat(kept, shape[-1]).reshape(shape)


def random(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps exactly round((1 - sparsity) x size) connections, anywhere in the layer.

    >>> int(random((4, 3), 0.5, np.random.default_rng(0)).sum())
    6

    Args: as for `symmetric`.
    """
    size = _fan_in(shape) * shape[-1]
    mask = np.arange(size) < _kept(size, sparsity)
    checked_generator(rng).shuffle(mask)
    return mask.reshape(shape)


def per_neuron(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps exactly round((1 - sparsity) x fan-in) connections of every neuron, drawn for each by itself.

    >>> per_neuron((4, 3), 0.5, np.random.default_rng(0)).sum(axis=0).tolist()
    [2, 2, 2]

    Args: as for `symmetric`.
    """
    fan_in, rng = _fan_in(shape), checked_generator(rng)
    kept = np.arange(fan_in) < _kept(fan_in, sparsity)
    neurons = rng.permuted(np.broadcast_to(kept, (shape[-1], fan_in)), axis=1)
    return np.ascontiguousarray(neurons.T).reshape(shape)


def per_neuron_no_input_ablation(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps as many connections as `per_neuron`, and at least one of every input unit.

    An input unit of a dense layer is one input, of a convolution one channel, at whatever kernel position. First
    each input is assigned to one neuron, evenly; then every neuron is filled up at random. Where there are fewer
    connections than inputs, only the first step is taken: one connection for every input, neurons differing by at most
    one. `connections_added` counts those beyond the sparsity.

    >>> mask = per_neuron_no_input_ablation((6, 3), 0.5, np.random.default_rng(0))
    >>> mask.sum(axis=0).tolist(), bool(mask.any(axis=1).all())
    ([3, 3, 3], True)

    Args: as for `symmetric`.
    """
    fan_in, inputs, neurons = _fan_in(shape), shape[-2], shape[-1]
    kept, rng = _kept(fan_in, sparsity), checked_generator(rng)
    readers = rng.permutation(neurons)[np.arange(inputs) % neurons]
    dealt = np.zeros((neurons, fan_in), bool)
    dealt[readers, rng.integers(fan_in // inputs, size=inputs) * inputs + rng.permutation(inputs)] = True
    if kept * neurons > inputs:
        keys = rng.random((neurons, fan_in))  # Doubles: no ties, which each machine would break its own way.
        keys[dealt] = -1.0  # Below all others, so that these stay.
        filled = np.argpartition(keys, kept - 1, axis=1)[:, :kept]
        np.put_along_axis(dealt, filled, True, axis=1)
    return np.ascontiguousarray(dealt.T).reshape(shape)


MASK_TYPES: dict[str, Callable[[Shape, float, np.random.Generator], Mask]] = {
    "symmetric": symmetric,
    "random": random,
    "per-neuron": per_neuron,
    "per-neuron-no-input-ablation": per_neuron_no_input_ablation,
}
DISTRIBUTIONS = ("uniform", "erdos-renyi", "erdos-renyi-kernel")


def layer_sparsities(
    shapes: Sequence[Shape], sparsity: float | Sequence[float], distribution: str = "uniform"
) -> list[float]:
    """Distributes a model's sparsity over its layers.

    `uniform` gives every layer the same. `erdos-renyi` makes a layer's density proportional to (in + out) / (in x out),
    and `erdos-renyi-kernel` to (height + width + in + out) / (height x width x in x out), the same for dense layers:
    the sum of all axes over their product.
    Densities above 1 are clipped to 1 and the excess is spread over the other layers, so that the connections
    kept add up to (1 - sparsity) x size. (A mask then rounds to whole connections layer by layer.)

    >>> [round(layer, 3) for layer in layer_sparsities([(784, 300), (300, 100), (100, 10)], 0.9, "erdos-renyi")]
    [0.92, 0.77, 0.0]

    Source: Evci et al., Rigging the Lottery: Making All Tickets Winners (2020), section 3.

    Args:
      shapes: The shapes of the weights in layer order.
      sparsity: The sparsity of the whole model, in [0, 1]; or that of each layer, which is returned.
      distribution: One of `DISTRIBUTIONS`, with hyphens or underscores.

    Returns:
      The sparsity of each layer, in [0, 1].

    Raises:
      ValueError: If an argument is out of its range.
    """
    distribution = _choice("distribution", distribution, DISTRIBUTIONS)
    if isinstance(sparsity, Sequence) and not isinstance(sparsity, str):
        if len(sparsity) != len(shapes) or distribution != "uniform":
            raise ValueError(
                f"sparsity (={[*sparsity]}) must be one number, or {len(shapes)}, those of the layers, with a uniform "
                "distribution."
            )
        for each in sparsity:
            _check_sparsity(each)
        return [float(each) for each in sparsity]
    _check_sparsity(sparsity)
    sizes = np.array([_fan_in(shape) * shape[-1] for shape in shapes], float)
    if distribution == "uniform" or not len(shapes):
        return [float(sparsity)] * len(shapes)
    joined = [sum(shape if distribution == "erdos-renyi-kernel" else shape[-2:]) for shape in shapes]
    area = sizes if distribution == "erdos-renyi-kernel" else [shape[-2] * shape[-1] for shape in shapes]
    shares = np.array(joined) / area
    density = np.ones(len(shapes))
    open_layers = np.ones(len(shapes), bool)
    while open_layers.any():
        budget = (1 - sparsity) * sizes.sum() - sizes[~open_layers].sum()
        density[open_layers] = shares[open_layers] * (budget / (shares * sizes)[open_layers].sum())
        full = open_layers & (density > 1)
        if not full.any():
            break
        density[full] = 1.0
        open_layers &= ~full
    return [float(layer) for layer in np.clip(1 - density, 0, 1)]


def connections_added(
    mask_type: str, shapes: Sequence[Shape], sparsity: float | Sequence[float], *, distribution: str = "uniform"
) -> list[int]:
    """Counts the connections that a mask keeps beyond its sparsity, so that every input unit keeps one.

    >>> connections_added("per-neuron-no-input-ablation", [(784, 300), (300, 10)], 0.98)
    [0, 240]

    Args: as for `create`.

    Returns:
      A count for each layer: 0 for every type but `per-neuron-no-input-ablation`, and there too where the density is
      enough to reach all inputs.
    """
    chosen = _choice("mask_type", mask_type, MASK_TYPES)
    sparsities = layer_sparsities(shapes, sparsity, distribution)
    if chosen != "per-neuron-no-input-ablation":
        return [0] * len(shapes)
    return [
        max(shape[-2] - _kept(_fan_in(shape), layer_sparsity) * shape[-1], 0)
        for shape, layer_sparsity in zip(shapes, sparsities, strict=True)
    ]


def as_mask(values: npt.ArrayLike, name: str = "mask") -> Mask:
    """Checks that an array is a mask, and returns it as booleans.

    >>> as_mask([[0.0, 1.0]])
    array([[False,  True]])

    Args:
      values: Zeros and ones (removed and kept) of any boolean, integer or float type, shaped like a weight
        `[..., in, out]`.
      name: The array's name in error messages.

    Returns:
      A boolean array of the same shape; the given array itself where that is boolean already.

    Raises:
      ValueError: If the array holds anything else, has fewer than two axes, or no entries.
    """
    array = np.asarray(values)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} (shape {array.shape}) must be shaped [..., in, out], with no size zero.")
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} (dtype {array.dtype}) must hold booleans, integers or floats.")
    mask = array != 0
    odd = mask & (array != 1)
    if odd.any():
        raise ValueError(f"{name} must hold only 0 and 1, and holds {array[odd][0]!s}.")
    return np.ascontiguousarray(mask)


def _kept(size: int, sparsity: float) -> int:
    _check_sparsity(sparsity)
    return round((1 - sparsity) * size)


def checked_generator(rng: np.random.Generator) -> np.random.Generator:
    """Returns a random generator of NumPy, or raises a TypeError."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng (={rng!r:.50}) must be a generator of NumPy, such as np.random.default_rng(0).")
    return rng


def _check_sparsity(sparsity: object) -> None:
    if not isinstance(sparsity, int | float | np.number) or not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity (={sparsity!r}) must be in [0, 1].")


def _fan_in(shape: Shape) -> int:
    sizes = [at_least("shape", size, 0) for size in shape] if np.iterable(shape) else []
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"shape (={shape!r}) must be [..., in, out], all 1 or more.")
    return math.prod(sizes[:-1])


def _choice(name: str, value: str, choices: Collection[str]) -> str:
    chosen = value.replace("_", "-") if isinstance(value, str) else value
    if chosen not in choices:
        raise ValueError(f"{name} (={value!r}) must be one of {', '.join(choices)}.")
    return chosen
