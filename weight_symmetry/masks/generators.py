"""Generators of masks for sparse networks.

A mask has the shape of the weight it masks, `[..., in, out]`: `[in, out]` of a dense layer, `[height, width, in, out]`
of a convolution; True is a connection that is kept. A neuron, or filter, is the last axis; its fan-in is the others.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks.distributions import Shape, choice, fan_in_of, kept_of, layer_sparsities
from weirdonetworks.algebra.arrays import array, at_least, brief, integer
from weirdonetworks.lab import seeds

Mask = npt.NDArray[np.bool_]


def create(
    mask_type: str,
    shapes: Sequence[Shape],
    sparsity: float | Sequence[float],
    seed: int,
    *,
    trial: int = 0,
    distribution: str = "uniform",
    group_size: int = 0,
) -> list[Mask]:
    """Draws the masks of a model, each layer from a seed of its own.

    In `grouped` masks a layer whose inputs are the neurons of the layer before takes whole groups of them, as far as
    the numbers allow, so that the neurons of a group stay interchangeable. In `asymmetric` masks a layer of sparsity 0
    among layers that are cut stays whole, as the outputs often do under a distribution.

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
      group_size: The greatest number of neurons in a group, for `grouped` alone; 0 for as many as reach all inputs.

    Returns:
      A boolean mask for each shape.

    Raises:
      TypeError: If the seed is not an integer.
      ValueError: If an argument is out of its range.
    """
    seed, trial = integer("seed", seed), integer("trial", trial)
    chosen = choice("mask_type", mask_type, MASK_TYPES)
    if at_least("group_size", group_size, 0) and chosen != "grouped":
        raise ValueError(f"group_size (={group_size}) is for mask_type grouped, and not for {chosen}: leave it out.")
    found: list[Mask] = []
    sparsities = layer_sparsities(shapes, sparsity, distribution)
    for layer, (shape, layer_sparsity) in enumerate(zip(shapes, sparsities, strict=True)):
        rng = seeds.generator(seed, "mask", layer, trial)
        if chosen == "grouped":
            follows = bool(found) and found[-1].shape[-1:] == tuple(shape[-2:-1])
            groups = _alike(found[-1]) if follows else None
            found.append(grouped(shape, layer_sparsity, rng, group_size=group_size, input_groups=groups))
        elif chosen == "asymmetric" and not layer_sparsity and any(sparsities):
            found.append(np.ones(shape, bool))
        else:
            found.append(MASK_TYPES[chosen](shape, layer_sparsity, rng))
    return found


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
    fan_in, rng = fan_in_of(shape), checked_generator(rng)
    kept = np.arange(fan_in) < kept_of(fan_in, sparsity)
    rng.shuffle(kept)
    return np.repeat(kept, shape[-1]).reshape(shape)


def random(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps exactly round((1 - sparsity) x size) connections, anywhere in the layer.

    >>> int(random((4, 3), 0.5, np.random.default_rng(0)).sum())
    6

    Args: as for `symmetric`.
    """
    size = fan_in_of(shape) * shape[-1]
    mask = np.arange(size) < kept_of(size, sparsity)
    checked_generator(rng).shuffle(mask)
    return mask.reshape(shape)


def per_neuron(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps exactly round((1 - sparsity) x fan-in) connections of every neuron, drawn for each by itself.

    >>> per_neuron((4, 3), 0.5, np.random.default_rng(0)).sum(axis=0).tolist()
    [2, 2, 2]

    Args: as for `symmetric`.
    """
    fan_in, rng = fan_in_of(shape), checked_generator(rng)
    kept = np.arange(fan_in) < kept_of(fan_in, sparsity)
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
    fan_in, inputs, neurons = fan_in_of(shape), shape[-2], shape[-1]
    kept, rng = kept_of(fan_in, sparsity), checked_generator(rng)
    readers = rng.permutation(neurons)[np.arange(inputs) % neurons]
    dealt = np.zeros((neurons, fan_in), bool)
    dealt[readers, rng.integers(fan_in // inputs, size=inputs) * inputs + rng.permutation(inputs)] = True
    if kept * neurons > inputs:
        keys = rng.random((neurons, fan_in))  # Doubles: no ties, which each machine would break its own way.
        keys[dealt] = -1.0  # Below all others, so that these stay.
        filled = np.argpartition(keys, kept - 1, axis=1)[:, :kept]
        np.put_along_axis(dealt, filled, True, axis=1)
    return np.ascontiguousarray(dealt.T).reshape(shape)


def asymmetric(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps as many connections as `per_neuron`, and of no two neurons the same ones.

    So each neuron can be told from all others by the inputs that it reads: with masks of this type in all hidden
    layers, no permutation of hidden neurons but the identity leaves the masks as they are.

    >>> mask = asymmetric((4, 6), 0.5, np.random.default_rng(0))
    >>> mask.sum(axis=0).tolist(), len(np.unique(mask, axis=1).T)
    ([2, 2, 2, 2, 2, 2], 6)

    Source: Lim, Putterman, Walters, Maron & Jegelka, The empirical impact of neural parameter symmetries, or lack
    thereof, 2024; the fixed weights are 0 here, and any constants in `models.AsymmetricLinear`.

    Args: as for `symmetric`.

    Raises:
      ValueError: If there are fewer choices of inputs than neurons, or as `symmetric`.
    """
    fan_in, neurons, rng = fan_in_of(shape), shape[-1], checked_generator(rng)
    kept = kept_of(fan_in, sparsity)
    if math.comb(fan_in, kept) < neurons:
        raise ValueError(
            f"sparsity (={sparsity}) must leave each of {neurons} neurons other inputs for an asymmetric mask, and "
            f"there are {math.comb(fan_in, kept)} ways to keep {kept} of {fan_in} in a layer of "
            f"{'x'.join(map(str, shape))}: choose another sparsity."
        )
    chosen: set[bytes] = set()
    columns = np.zeros((neurons, fan_in), bool)
    for column in columns:
        while True:
            column[:] = rng.permutation(np.arange(fan_in) < kept)
            if column.tobytes() not in chosen:
                break
        chosen.add(column.tobytes())
    return np.ascontiguousarray(columns.T).reshape(shape)


def grouped(
    shape: Shape,
    sparsity: float,
    rng: np.random.Generator,
    *,
    group_size: int = 0,
    input_groups: npt.NDArray[np.intp] | None = None,
) -> Mask:
    """Keeps as many connections as `per_neuron`, the same ones for all neurons of a group, which stay interchangeable.

    The groups are drawn, of sizes that differ by at most one. Inputs are dealt to them like cards: none is dealt
    again before all are dealt. So every input is read where the groups are enough, which they are without `group_size`
    unless the neurons themselves are too few. Groups of one neuron tie nothing; a group of all neurons makes the mask
    `symmetric`, which cuts inputs.

    >>> grouped((4, 6), 0.5, np.random.default_rng(0)).astype(int)
    array([[0, 1, 0, 0, 1, 1],
           [1, 0, 1, 1, 0, 0],
           [0, 1, 0, 0, 1, 1],
           [1, 0, 1, 1, 0, 0]])

    Args:
      shape: The shape of the weight.
      sparsity: The fraction of connections to remove, in [0, 1].
      rng: The random generator.
      group_size: The greatest number of neurons in a group; 0 for as many as reach all inputs.
      input_groups: A number for each input unit: those of equal number are dealt one after another, as the neurons of
        a group in the layer before. None for inputs that are dealt one by one.

    Returns:
      A boolean mask of that shape.

    Raises:
      TypeError: If the group size is not an integer.
      ValueError: If the sparsity, the shape or the group size is out of range, or `input_groups` does not hold a
        number for each input unit.
    """
    fan_in, inputs, neurons = fan_in_of(shape), shape[-2], shape[-1]
    kept, rng = kept_of(fan_in, sparsity), checked_generator(rng)
    at_least("group_size", group_size, 0)
    if input_groups is not None and array("input_groups", input_groups).shape != (inputs,):
        raise ValueError(
            f"input_groups (shape {np.shape(input_groups)}) must hold a number for each of {inputs} inputs."
        )
    count = -(-neurons // group_size) if group_size else min(-(-fan_in // max(kept, 1)), neurons)
    groups = rng.permutation(np.arange(neurons) * count // neurons)
    own = np.arange(inputs) if input_groups is None else np.unique(input_groups, return_inverse=True)[1]
    # The same input at another position of a filter is dealt apart.
    tied = (np.arange(fan_in // inputs)[:, np.newaxis] * inputs + own).ravel()
    hands = np.zeros((count, fan_in), bool)
    left = np.zeros(0, np.intp)
    for hand in hands:
        taken, left = left[:kept], left[kept:]
        if len(taken) < kept:
            dealt = np.argsort(rng.permutation(fan_in)[tied], kind="stable")
            again = np.isin(dealt, taken)
            dealt = np.concatenate([dealt[~again], dealt[again]])
            missing = kept - len(taken)
            taken, left = np.concatenate([taken, dealt[:missing]]), dealt[missing:]
        hand[taken] = True
    return np.ascontiguousarray(hands[groups].T).reshape(shape)


def whole_neurons(shape: Shape, sparsity: float, rng: np.random.Generator) -> Mask:
    """Keeps all connections of round((1 - sparsity) x neurons) neurons: a narrower dense layer.

    The neurons that are left are interchangeable and read all inputs.

    >>> whole_neurons((2, 6), 0.5, np.random.default_rng(0)).astype(int).tolist()
    [[0, 1, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1]]

    Args: as for `symmetric`.
    """
    fan_in, rng = fan_in_of(shape), checked_generator(rng)
    kept = rng.permutation(np.arange(shape[-1]) < kept_of(shape[-1], sparsity))
    return np.broadcast_to(kept, (fan_in, shape[-1])).reshape(shape).copy()


def _alike(mask: Mask) -> npt.NDArray[np.intp]:
    """Numbers the neurons of a mask by what they are connected to: equal numbers for equal connections."""
    columns = mask.reshape(-1, mask.shape[-1])
    return np.unique(columns, axis=1, return_inverse=True)[1].ravel()


MASK_TYPES: dict[str, Callable[[Shape, float, np.random.Generator], Mask]] = {
    "symmetric": symmetric,
    "random": random,
    "per-neuron": per_neuron,
    "per-neuron-no-input-ablation": per_neuron_no_input_ablation,
    "asymmetric": asymmetric,
    "grouped": grouped,
    "whole-neurons": whole_neurons,
}


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
    chosen = choice("mask_type", mask_type, MASK_TYPES)
    sparsities = layer_sparsities(shapes, sparsity, distribution)
    if chosen != "per-neuron-no-input-ablation":
        return [0] * len(shapes)
    return [
        max(shape[-2] - kept_of(fan_in_of(shape), layer_sparsity) * shape[-1], 0)
        for shape, layer_sparsity in zip(shapes, sparsities, strict=True)
    ]


def as_mask(values: npt.ArrayLike, name: str = "values") -> Mask:
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
      TypeError: If it is no array of numbers, such as text or lists of unequal lengths.
      ValueError: If the array holds anything else, has fewer than two axes, or no entries.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.array(None)
    if not array.ndim and array.dtype.kind not in "biuf":
        raise TypeError(f"{name} (={brief(values)}) must be an array of zeros and ones, of one shape.")
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


def checked_generator(rng: np.random.Generator) -> np.random.Generator:
    """Returns a random generator of NumPy, or raises a TypeError."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng (={rng!r:.50}) must be a generator of NumPy, such as np.random.default_rng(0).")
    return rng
