"""Compiled kernels of networks whose connections are listed: nothing is computed for weights that are cut.

A network is one list of connections between units: inputs first, a unit's sources before it, outputs last. Activations
of a tile of examples are `[unit, example]`, so that a connection is the multiplication of a row by a number, and the
sum of a unit stays in vector registers until it is complete. Each tile passes through the whole network before the
next, while its activations are in the cache.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from weight_symmetry.sparse.vectors import LANES, REGISTERS, activate, compiled, correlate, propagate, read_bytes

CACHE = 2**20  # Bytes of the activations of a tile, which are to stay in the second-level cache.


class Connections(NamedTuple):
    """The connections of a network, listed by the unit that they end in, and again by the one that they start from.

    Attributes:
      begin: Unit -> place of its first incoming connection, int64 `[units + 1]`.
      source: The unit that each starts from, int32.
      after: Unit -> place of its first outgoing connection in the second list, int64 `[units + 1]`.
      target: The unit that each ends in, int32, second list.
      place: The place of each in the first list, int64, second list.
      inputs: The number of inputs, the first units.
      outputs: The number of outputs, the last units, which have no activation function.
    """

    begin: npt.NDArray[np.int64]
    source: npt.NDArray[np.int32]
    after: npt.NDArray[np.int64]
    target: npt.NDArray[np.int32]
    place: npt.NDArray[np.int64]
    inputs: int
    outputs: int


class Examples(NamedTuple):
    """Examples, whose bytes become inputs by `byte * scale - offset`.

    Attributes:
      images: uint8 `[examples, inputs]`, at least `LANES` inputs.
      labels: int32 `[examples]`.
      scale: float32 `[inputs]`.
      offset: float32 `[inputs]`.
      blocks: The first of each `LANES` neighbouring inputs of which some is read, int64.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    blocks: npt.NDArray[np.int64]


class Numbers(NamedTuple):
    """A float32 number for each connection and each unit: weights and biases, gradients, or a slot of an optimizer."""

    weights: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]


class Rule(NamedTuple):
    """The constants of `weirdonetworks.lab.training.optimizers.Adam` or `Momentum`, zero where it has none."""

    is_adam: bool
    nesterov: bool
    beta1: np.float32
    beta2: np.float32
    epsilon: np.float32
    momentum: np.float32
    weight_decay: np.float32


def tiling(batch: int, units: int) -> tuple[int, int]:
    """Chooses the number of vectors of a row, and of tiles of a batch, so that the activations of a tile are cached.

    >>> registers, tiles = tiling(batch=100, units=1000)
    >>> 100 <= registers * tiles * LANES < 100 + LANES
    True
    """
    most = min(REGISTERS, max(1, CACHE // (4 * units * LANES)))
    needed = max(1, -(-batch // LANES))
    tiles = -(-needed // most)
    return -(-needed // tiles), tiles


@compiled
def _read(registers: Any, rows: Any, examples: Examples, chosen: Any) -> None:
    """Reads the inputs of the chosen examples, as many as a row holds."""
    place = chosen.astype(np.int64) * examples.images.shape[1]
    images = examples.images.reshape(-1)
    for first in examples.blocks:
        read_bytes((registers, rows, images, place, examples.scale, examples.offset, first))


@compiled
def _forward(registers: Any, rows: Any, net: Connections, numbers: Numbers) -> None:
    """Computes the activations of a tile from those of the inputs."""
    units = len(net.begin) - 1
    for unit in range(net.inputs, units):
        floor = np.float32(0.0 if unit < units - net.outputs else -np.inf)
        begin, end, bias = net.begin[unit], net.begin[unit + 1], numbers.biases[unit]
        activate((registers, rows, unit, net.source, numbers.weights, begin, end, bias, floor))


@compiled
def _losses(rows: Any, width: Any, net: Connections, labels: Any, errors: Any, share: Any) -> Any:
    """Sums the cross-entropy and the right answers of a tile's first examples, those with labels.

    The gradient of the loss by the outputs, times `share`, is written to `errors`, zeros for further examples.
    """
    loss, right = 0.0, 0.0
    output = (len(net.begin) - 1 - net.outputs) * width
    for example in range(width):
        if example >= len(labels):
            for k in range(net.outputs):
                errors[output + k * width + example] = 0.0
            continue
        best, largest = 0, rows[output + example]
        for k in range(1, net.outputs):
            if rows[output + k * width + example] > largest:
                best, largest = k, rows[output + k * width + example]
        total = np.float32(0.0)
        for k in range(net.outputs):
            power = np.exp(rows[output + k * width + example] - largest)
            errors[output + k * width + example] = power
            total += power
        own = output + labels[example] * width + example
        loss += np.log(total) + largest - rows[own]
        right += best == labels[example]
        for k in range(net.outputs):
            errors[output + k * width + example] *= share / total
        errors[own] -= share
    return loss, right


@compiled
def _backward(registers: Any, rows: Any, errors: Any, net: Connections, turned: Any, gradient: Numbers) -> None:
    """Computes the errors of a tile's hidden units from those of the outputs, and adds to the gradient.

    `turned` holds the weights by the unit that each starts from.
    """
    units = len(net.begin) - 1
    for unit in range(units - net.outputs - 1, net.inputs - 1, -1):
        propagate((registers, errors, rows, unit, net.target, turned, net.after[unit], net.after[unit + 1]))
    for unit in range(net.inputs, units):
        begin, end = net.begin[unit], net.begin[unit + 1]
        correlate((registers, rows, errors, unit, net.source, gradient.weights, gradient.biases, begin, end))


@compiled
def turn(net: Connections, numbers: Numbers, turned: Any) -> None:
    """Lists the weights by the unit that each starts from."""
    for k in range(len(turned)):
        turned[k] = numbers.weights[net.place[k]]


@compiled
def _squared(numbers: Any) -> Any:
    total = np.float32(0.0)
    for k in range(len(numbers)):
        total += numbers[k] * numbers[k]
    return total


@compiled
def _adam(numbers: Any, gradient: Any, mean: Any, square: Any, rule: Rule, rate: Any, step: Any, decay: Any) -> None:
    one = np.float32(1.0)
    corrected = rate * np.sqrt(one - rule.beta2 ** np.float32(step)) / (one - rule.beta1 ** np.float32(step))
    kept = one - rate * decay
    for k in range(len(numbers)):
        mean[k] += (gradient[k] - mean[k]) * (one - rule.beta1)
        square[k] += (gradient[k] * gradient[k] - square[k]) * (one - rule.beta2)
        numbers[k] = numbers[k] * kept - corrected * mean[k] / (np.sqrt(square[k]) + rule.epsilon)


@compiled
def _momentum(numbers: Any, gradient: Any, moving: Any, rule: Rule, rate: Any, decay: Any) -> None:
    for k in range(len(numbers)):
        change = gradient[k] + decay * numbers[k]
        moving[k] = rule.momentum * moving[k] + change
        numbers[k] -= rate * (rule.momentum * moving[k] + change if rule.nesterov else moving[k])


@compiled
def _run(
    registers: Any,
    examples: Examples,
    tile: Any,
    share: Any,
    net: Connections,
    numbers: Numbers,
    rows: Any,
    errors: Any,
) -> Any:
    """Computes the activations of a tile, and what `_losses` does."""
    filled = np.empty(len(registers) * LANES, np.int32)
    for place in range(len(filled)):
        filled[place] = tile[min(place, len(tile) - 1)]
    _read(registers, rows, examples, filled)
    _forward(registers, rows, net, numbers)
    return _losses(rows, len(filled), net, examples.labels[tile], errors, share)


@compiled
def differentiate(
    registers: Any,
    examples: Examples,
    tile: Any,
    share: Any,
    net: Connections,
    numbers: Numbers,
    turned: Any,
    rows: Any,
    errors: Any,
    gradient: Numbers,
) -> Any:
    """Adds the gradient of `share` times the summed loss of some examples, at most as many as a row holds.

    Args:
      registers: A tuple as long as a row has vectors.
      examples: The examples.
      tile: Which of them, int32.
      share: The factor, float32.
      net: The connections.
      numbers: Weights and biases.
      turned: The weights, as `turn` lists them.
      rows: Receives the activations, float32, flat `[units, width]`.
      errors: Receives the gradient by what each unit sums up, likewise.
      gradient: Is added to.

    Returns:
      The sums of loss and right answers.
    """
    found = _run(registers, examples, tile, share, net, numbers, rows, errors)
    _backward(registers, rows, errors, net, turned, gradient)
    return found


@compiled
def train(
    registers: Any,
    batch: int,
    examples: Examples,
    order: Any,
    net: Connections,
    numbers: Numbers,
    slots: Any,
    biased: Any,
    scales: Any,
    rule: Rule,
    rates: Any,
    done: int,
) -> Any:
    """Trains over the examples in the given order.

    Args:
      registers: A tuple as long as a row has vectors.
      batch: The number of examples of a batch; the last may have fewer.
      examples: The examples.
      order: Which of them, in which order, int32.
      net: The connections.
      numbers: Weights and biases; they are changed.
      slots: The optimizer's slots, two `Numbers`, of which Momentum uses the first; they are changed.
      biased: 1 for each unit that has a bias and 0 for others, float32.
      scales: What the gradients of the weights of each unit are multiplied by, float32; empty for ones.
      rule: The optimizer.
      rates: The learning rate of each step, float32.
      done: The number of steps that the optimizer took before.

    Returns:
      Loss, accuracy and gradient norm of each step, float32 `[steps, 3]`.
    """
    width = len(registers) * LANES
    rows = np.zeros((len(net.begin) - 1) * width, np.float32)
    errors = np.zeros_like(rows)
    turned = np.zeros(len(net.place), np.float32)
    gradient = Numbers(np.zeros_like(numbers.weights), np.zeros_like(numbers.biases))
    records = np.zeros((len(rates), 3), np.float32)
    nothing = np.float32(0.0)
    for step in range(len(rates)):
        rate, number = rates[step], done + step + 1
        chosen = order[step * batch : (step + 1) * batch]
        share = np.float32(1.0) / np.float32(len(chosen))
        turn(net, numbers, turned)
        gradient.weights[:] = nothing
        gradient.biases[:] = nothing
        loss, right = 0.0, 0.0
        for first in range(0, len(chosen), width):
            tile = chosen[first : first + width]
            found = differentiate(registers, examples, tile, share, net, numbers, turned, rows, errors, gradient)
            loss += found[0]
            right += found[1]
        for unit in range(len(biased)):
            gradient.biases[unit] *= biased[unit]
        for unit in range(len(scales)):
            gradient.weights[net.begin[unit] : net.begin[unit + 1]] *= scales[unit]
        records[step, 0] = loss / len(chosen)
        records[step, 1] = right / len(chosen)
        records[step, 2] = np.sqrt(_squared(gradient.weights) + _squared(gradient.biases))
        one, other, decay = slots[0], slots[1], rule.weight_decay
        if rule.is_adam:
            _adam(numbers.weights, gradient.weights, one.weights, other.weights, rule, rate, number, decay)
            _adam(numbers.biases, gradient.biases, one.biases, other.biases, rule, rate, number, nothing)
        else:
            _momentum(numbers.weights, gradient.weights, one.weights, rule, rate, decay)
            _momentum(numbers.biases, gradient.biases, one.biases, rule, rate, nothing)
    return records


@compiled
def evaluate(registers: Any, examples: Examples, net: Connections, numbers: Numbers) -> Any:
    """Returns the sums of loss and right answers over all examples."""
    width = len(registers) * LANES
    rows = np.zeros((len(net.begin) - 1) * width, np.float32)
    errors = np.zeros_like(rows)
    loss, right = 0.0, 0.0
    for first in range(0, len(examples.labels), width):
        tile = np.arange(first, min(first + width, len(examples.labels)))
        found = _run(registers, examples, tile, np.float32(1.0), net, numbers, rows, errors)
        loss += found[0]
        right += found[1]
    return loss, right
