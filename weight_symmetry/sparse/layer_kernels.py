"""Compiled kernels of one layer whose connections are listed, by the unit that they end in."""

import functools
from typing import Any

import numpy as np

from weight_symmetry.sparse.vectors import LANES, activate, blocks, compiled, correlate, read_floats, write_floats


@compiled
def _places(count: int, first: int, width: int, size: int) -> Any:
    """Returns where the examples of a tile begin, in arrays of that size each; the last one again beyond the end."""
    places = np.empty(width, np.int64)
    for example in range(width):
        places[example] = min(first + example, count - 1) * size
    return places


@compiled
def _read(registers: Any, rows: Any, array: Any, first: int) -> None:
    """Reads the examples from `first` on into the rows of units; zeros beyond the last example."""
    count, size = array.shape
    width = len(registers) * LANES
    flat, places = array.reshape(-1), _places(count, first, width, size)
    if size >= LANES:
        for begin in blocks(size):
            read_floats((registers, rows, flat, places, begin))
    else:
        for unit in range(size):
            for example in range(width):
                rows[unit * width + example] = flat[places[example] + unit]
    for unit in range(size):
        for example in range(count - first, width):
            rows[unit * width + example] = 0.0


@compiled
def _write(registers: Any, rows: Any, start: int, array: Any, first: int) -> None:
    """Writes rows, from the unit `start` on, to the examples from `first` on."""
    count, size = array.shape
    width = len(registers) * LANES
    flat, places = array.reshape(-1), _places(count, first, width, size)
    if size >= LANES and first + width <= count:
        for begin in blocks(size):
            write_floats((registers, rows, flat, places, start, begin))
        return
    for example in range(min(width, count - first)):
        for unit in range(size):
            flat[places[example] + unit] = rows[(start + unit) * width + example]


@functools.partial(compiled, reorders=False)  # Or else LLVM gathers into vectors, which takes twice as long.
def multiply_few(inputs: Any, begin: Any, source: Any, values: Any, bias: Any, outputs: Any) -> None:
    """Computes a layer example by example, which is faster for few."""
    for example in range(len(inputs)):
        row = inputs[example]
        for unit in range(len(bias)):
            first, last = begin[unit], begin[unit + 1]
            # Two sums, since each addition waits for the one before it.
            total, other = bias[unit], np.float32(0.0)
            for k in range(first, last - 1, 2):
                total += values[k] * row[np.uint64(source[k])]  # Of signed indices the sign would be asked for.
                other += values[k + 1] * row[np.uint64(source[k + 1])]
            if (last - first) % 2:
                total += values[last - 1] * row[np.uint64(source[last - 1])]
            outputs[example, unit] = total + other


@compiled
def multiply(
    registers: Any, rows: Any, inputs: Any, begin: Any, source: Any, values: Any, bias: Any, outputs: Any
) -> None:
    """Computes a layer: `outputs[b, j] = bias[j] + sum_k values[k] inputs[b, source[k]]` over its connections k.

    Args:
      registers: A tuple as long as a row has vectors.
      rows: Space for a row of each input and each unit, float32.
      inputs: float32 `[batch, inputs]`.
      begin: Unit -> place of its first connection, `[units + 1]`.
      source: The input that each connection reads, int32.
      values: The weight of each, float32.
      bias: float32 `[units]`.
      outputs: Receives the outputs, float32 `[batch, units]`.
    """
    width, size, units = len(registers) * LANES, inputs.shape[1], len(bias)
    none = np.float32(-np.inf)
    for tile in range(0, len(inputs), width):
        _read(registers, rows, inputs, tile)
        for unit in range(units):
            activate((registers, rows, size + unit, source, values, begin[unit], begin[unit + 1], bias[unit], none))
        _write(registers, rows, size, outputs, tile)


@compiled
def differentiate(
    registers: Any,
    rows: Any,
    own: Any,
    inputs: Any,
    errors: Any,
    begin: Any,
    source: Any,
    after: Any,
    target: Any,
    turned: Any,
    by_inputs: Any,
    by_values: Any,
    by_bias: Any,
) -> None:
    """Computes the gradients of a layer, given those by its outputs.

    Args:
      registers: A tuple as long as a row has vectors.
      rows: Space for a row of each input, float32.
      own: Space for a row of each unit and each input, float32.
      inputs: float32 `[batch, inputs]`.
      errors: The gradient by the outputs, float32 `[batch, units]`.
      begin: Unit -> place of its first connection, `[units + 1]`.
      source: The input that each connection reads, int32.
      after: Input -> place of its first connection in the order by input, `[inputs + 1]`.
      target: The unit that each connection ends in, int32, by input.
      turned: The weight of each connection, by input.
      by_inputs: Receives the gradient by the inputs, `[batch, inputs]`.
      by_values: The gradient by the weights is added to it.
      by_bias: The gradient by the biases is added to it.
    """
    width, size, units = len(registers) * LANES, inputs.shape[1], len(by_bias)
    zero, none = np.float32(0.0), np.float32(-np.inf)
    for tile in range(0, len(inputs), width):
        _read(registers, rows, inputs, tile)
        _read(registers, own, errors, tile)
        for unit in range(units):
            correlate((registers, rows, own, unit, source, by_values, by_bias, begin[unit], begin[unit + 1]))
        for unit in range(size):
            activate((registers, own, units + unit, target, turned, after[unit], after[unit + 1], zero, none))
        _write(registers, own, units, by_inputs, tile)
