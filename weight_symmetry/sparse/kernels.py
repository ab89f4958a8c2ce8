"""Compiled kernels of networks whose connections are listed: nothing is computed for weights that are cut.

A network is one list of connections between units: inputs first, a unit's sources before it, outputs last. Activations
of a tile of examples are `[unit, example]`, so that a connection is the multiplication of a row by a number; a row is a
fixed number of vector registers, in which the sum of a unit stays until it is complete. Each tile passes through the
whole network before the next, while its activations are in the cache.

Loops over connections are written in LLVM's vector types, which LLVM fits to the processor at hand. All is in one file:
Numba's cache on disk notices changes of the file of the function that is called, and of no other.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.binding
import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8  # Numbers in a vector.
REGISTERS = 8  # Vectors of a row at most.
CACHE = 2**20  # Bytes of the activations of a tile, which are to stay in the second-level cache.

_WORD, _INDEX, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_FLOATS = ir.VectorType(_FLOAT, LANES)


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
    beta1: np.float32
    beta2: np.float32
    epsilon: np.float32
    momentum: np.float32
    weight_decay: np.float32


_intrinsic: Any = intrinsic  # To type checkers it would have the arguments of the function that describes it.


def tiling(batch: int, units: int) -> tuple[int, int]:
    """Chooses the number of vectors of a row, and of tiles of a batch, so that the activations of a tile are cached.

    >>> registers, tiles = tiling(batch=100, units=1000)
    >>> 100 <= registers * tiles * LANES < 100 + LANES
    True
    """
    most = min(REGISTERS, max(1, CACHE // (4 * units * LANES)))
    needed = -(-batch // LANES)
    tiles = -(-needed // most)
    return -(-needed // tiles), tiles


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function when it is called first; to disk, if a folder can be written."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, **options)(function)

    return decorate


class _Code:
    """The body of a function in LLVM's language, of arguments by name.

    The first, `registers`, is a tuple whose length is the number of vectors of a row; so each number is compiled anew.
    """

    def __init__(self, names: Sequence[str], context: Any, builder: Any, signature: Any, values: Sequence[Any]):
        self.builder = builder
        self.given = dict(zip(names, values, strict=True))
        self.kinds = dict(zip(names, signature.args, strict=True))
        self.registers = len(self.kinds["registers"])
        self.width = self.word(self.registers * LANES)
        self._context = context

    @staticmethod
    def word(number: int) -> Any:
        return ir.Constant(_WORD, number)

    def pointer(self, array: str, place: Any, kind: Any = None) -> Any:
        data = self._context.make_array(self.kinds[array])(self._context, self.builder, self.given[array]).data
        found = self.builder.gep(data, [place])
        return found if kind is None else self.builder.bitcast(found, kind.as_pointer())

    def number(self, array: str, place: Any) -> Any:
        return self.builder.load(self.pointer(array, place))

    def vector(self, array: str, place: Any, kind: Any = _FLOATS) -> Any:
        loaded = self.builder.load(self.pointer(array, place, kind))
        loaded.align = 1
        return loaded

    def store(self, vector: Any, array: str, place: Any) -> None:
        self.builder.store(vector, self.pointer(array, place, vector.type)).align = 1

    def splat(self, number: Any) -> Any:
        single = self.builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), number, ir.Constant(_INDEX, 0))
        return self.shuffled(single, single, [0] * LANES)

    def shuffled(self, one: Any, other: Any, order: Sequence[int]) -> Any:
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INDEX, LANES), list(order)))

    def multiply_add(self, one: Any, other: Any, term: Any) -> Any:
        # Fused where the processor can; `llvm.fma` calls a function where it cannot.
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        return self.builder.call(self.function("fmuladd", kind), [one, other, term])

    def function(self, name: str, kind: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}f32")

    def row(self, unit: Any) -> list[Any]:
        """Returns the places of the vectors of a unit's row."""
        begin = self.builder.add(self.given["base"], self.builder.mul(unit, self.width))
        return [self.builder.add(begin, self.word(each * LANES)) for each in range(self.registers)]

    def source(self, k: Any) -> Any:
        return self.builder.sext(self.number("index", k), _WORD)

    def sums(self, start: Any) -> list[Any]:
        """Adds up `value[k] * rows[index[k]]` over the connections k from `begin` to `end`.

        Several sums run side by side where a row is short, since each addition waits for the one before it.
        """
        builder, chains = self.builder, max(1, REGISTERS // 2 // self.registers)
        totals = [[cgutils.alloca_once(builder, _FLOATS) for _ in range(self.registers)] for _ in range(chains)]
        for chain in totals:
            for total in chain:
                builder.store(start if chain is totals[0] else ir.Constant(_FLOATS, None), total)

        def add(k: Any, chain: Sequence[Any]) -> None:
            factor = self.splat(self.number("value", k))
            for total, place in zip(chain, self.row(self.source(k)), strict=True):
                builder.store(self.multiply_add(factor, self.vector("rows", place), builder.load(total)), total)

        begin, end = self.given["begin"], self.given["end"]
        rounds = builder.udiv(builder.sub(end, begin), self.word(chains))
        with cgutils.for_range(builder, rounds) as loop:
            first = builder.add(begin, builder.mul(loop.index, self.word(chains)))
            for number, chain in enumerate(totals):
                add(builder.add(first, self.word(number)), chain)
        done = builder.add(begin, builder.mul(rounds, self.word(chains)))
        with cgutils.for_range(builder, builder.sub(end, done)) as loop:
            add(builder.add(done, loop.index), totals[0])
        found = [builder.load(total) for total in totals[0]]
        for chain in totals[1:]:
            found = [builder.fadd(one, builder.load(other)) for one, other in zip(found, chain, strict=True)]
        return found

    def turned(self, rows: Sequence[Any]) -> list[Any]:
        """Transposes `LANES` vectors by interleaving the first half of them with the second, again and again."""
        half = LANES // 2
        low = [place // 2 + LANES * (place % 2) for place in range(LANES)]
        high = [place + half for place in low]
        for _ in range(LANES.bit_length() - 1):
            pairs = list(zip(rows[:half], rows[half:], strict=True))
            rows = [self.shuffled(*pair, order) for pair in pairs for order in (low, high)]
        return list(rows)


def _described(write: Callable[[_Code], None], **kinds: Any) -> tuple[Any, Any]:
    """Returns what Numba asks of an intrinsic: the types of its arguments, and what writes its body."""
    scalars = {types.Float: types.float32, types.Integer: types.int64}
    arguments = [next((to for kind, to in scalars.items() if isinstance(each, kind)), each) for each in kinds.values()]

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        write(_Code([*kinds], context, builder, signature, values))
        return context.get_dummy_value()

    return types.void(*arguments), generate


@_intrinsic
def _activate(
    typing: Any,
    registers: Any,
    rows: Any,
    base: Any,
    unit: Any,
    index: Any,
    value: Any,
    begin: Any,
    end: Any,
    bias: Any,
    floor: Any,
) -> Any:
    """rows[unit] <- max(floor, bias + sum_k value[k] rows[index[k]]), NaN kept."""

    def write(code: _Code) -> None:
        low = code.splat(code.given["floor"])
        for total, place in zip(code.sums(code.splat(code.given["bias"])), code.row(code.given["unit"]), strict=True):
            below = code.builder.fcmp_ordered("<", total, low)
            code.store(code.builder.select(below, low, total), "rows", place)

    return _described(
        write,
        registers=registers,
        rows=rows,
        base=base,
        unit=unit,
        index=index,
        value=value,
        begin=begin,
        end=end,
        bias=bias,
        floor=floor,
    )


@_intrinsic
def _propagate(
    typing: Any,
    registers: Any,
    rows: Any,
    gate: Any,
    base: Any,
    unit: Any,
    index: Any,
    value: Any,
    begin: Any,
    end: Any,
) -> Any:
    """rows[unit] <- sum_k value[k] rows[index[k]] where gate[unit] > 0, and 0 elsewhere."""

    def write(code: _Code) -> None:
        zero = ir.Constant(_FLOATS, None)
        for total, place in zip(code.sums(zero), code.row(code.given["unit"]), strict=True):
            passes = code.builder.fcmp_ordered(">", code.vector("gate", place), zero)
            code.store(code.builder.select(passes, total, zero), "rows", place)

    return _described(
        write,
        registers=registers,
        rows=rows,
        gate=gate,
        base=base,
        unit=unit,
        index=index,
        value=value,
        begin=begin,
        end=end,
    )


@_intrinsic
def _correlate(
    typing: Any,
    registers: Any,
    rows: Any,
    errors: Any,
    base: Any,
    unit: Any,
    index: Any,
    value: Any,
    total: Any,
    begin: Any,
    end: Any,
) -> Any:
    """value[k] += the inner product of errors[unit] and rows[index[k]], and total[unit] += the sum of errors[unit]."""

    def write(code: _Code) -> None:
        builder = code.builder
        own = [code.vector("errors", place) for place in code.row(code.given["unit"])]
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _FLOATS])
        add = code.function("vector.reduce.fadd", kind)

        def store(vector: Any, array: str, place: Any) -> None:
            pointer = code.pointer(array, place)
            builder.store(builder.call(add, [builder.load(pointer), vector], fastmath=["reassoc"]), pointer)

        store(functools.reduce(builder.fadd, own), "total", code.given["unit"])
        with cgutils.for_range(builder, builder.sub(code.given["end"], code.given["begin"])) as loop:
            k = builder.add(code.given["begin"], loop.index)
            # Two sums, since each addition waits for the one before it.
            totals = [ir.Constant(_FLOATS, None)] * 2
            for number, (error, place) in enumerate(zip(own, code.row(code.source(k)), strict=True)):
                totals[number % 2] = code.multiply_add(error, code.vector("rows", place), totals[number % 2])
            store(builder.fadd(*totals), "value", k)

    return _described(
        write,
        registers=registers,
        rows=rows,
        errors=errors,
        base=base,
        unit=unit,
        index=index,
        value=value,
        total=total,
        begin=begin,
        end=end,
    )


@_intrinsic
def _turn_in(
    typing: Any, registers: Any, rows: Any, base: Any, images: Any, example: Any, scale: Any, offset: Any, first: Any
) -> Any:
    """rows[i] <- images[example, i] * scale[i] - offset[i], for the `LANES` inputs i from `first` on.

    `images` is flat, and `example` holds the place of each example's first input.
    """

    def write(code: _Code) -> None:
        builder, first = code.builder, code.given["first"]
        read = ir.VectorType(ir.IntType(8), LANES)
        rows = [code.row(builder.add(first, code.word(each))) for each in range(LANES)]
        for register in range(code.registers):
            examples = [code.number("example", code.word(register * LANES + each)) for each in range(LANES)]
            found = [code.vector("images", builder.add(each, first), read) for each in examples]
            for each, numbers in enumerate(code.turned(found)):
                place = builder.add(first, code.word(each))
                scale, offset = (code.splat(code.number(name, place)) for name in ("scale", "offset"))
                number = builder.uitofp(builder.zext(numbers, ir.VectorType(_INDEX, LANES)), _FLOATS)
                code.store(builder.fsub(builder.fmul(number, scale), offset), "rows", rows[each][register])

    return _described(
        write,
        registers=registers,
        rows=rows,
        base=base,
        images=images,
        example=example,
        scale=scale,
        offset=offset,
        first=first,
    )


@_compiled()
def _read(registers: Any, rows: Any, base: Any, examples: Examples, chosen: Any) -> None:
    """Reads the inputs of the chosen examples, as many as a row holds."""
    place = chosen.astype(np.int64) * examples.images.shape[1]
    images = examples.images.reshape(-1)
    for first in examples.blocks:
        _turn_in(registers, rows, base, images, place, examples.scale, examples.offset, first)


@_compiled()
def _forward(registers: Any, rows: Any, base: Any, net: Connections, numbers: Numbers) -> None:
    """Computes the activations of a tile from those of the inputs."""
    units = len(net.begin) - 1
    for unit in range(net.inputs, units):
        floor = np.float32(0.0 if unit < units - net.outputs else -np.inf)
        span = net.begin[unit], net.begin[unit + 1]
        _activate(
            registers, rows, base, unit, net.source, numbers.weights, span[0], span[1], numbers.biases[unit], floor
        )


@_compiled()
def _losses(rows: Any, base: Any, width: Any, net: Connections, labels: Any, errors: Any, share: Any) -> Any:
    """Sums the cross-entropy and the right answers of a tile's first examples, those with labels.

    The gradient of the loss by the outputs, times `share`, is written to `errors`, zeros for further examples.
    """
    loss, right = 0.0, 0.0
    output = base + (len(net.begin) - 1 - net.outputs) * width
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


@_compiled()
def _backward(
    registers: Any, rows: Any, errors: Any, base: Any, net: Connections, turned: Any, gradient: Numbers
) -> None:
    """Computes the errors of a tile's hidden units from those of the outputs, and adds to the gradient.

    `turned` holds the weights by the unit that each starts from.
    """
    units = len(net.begin) - 1
    for unit in range(units - net.outputs - 1, net.inputs - 1, -1):
        _propagate(registers, errors, rows, base, unit, net.target, turned, net.after[unit], net.after[unit + 1])
    for unit in range(net.inputs, units):
        begin, end = net.begin[unit], net.begin[unit + 1]
        _correlate(registers, rows, errors, base, unit, net.source, gradient.weights, gradient.biases, begin, end)


@_compiled()
def turn(net: Connections, numbers: Numbers, turned: Any) -> None:
    """Lists the weights by the unit that each starts from."""
    for k in range(len(turned)):
        turned[k] = numbers.weights[net.place[k]]


@_compiled(fastmath={"contract", "reassoc"})
def _squared(numbers: Any) -> Any:
    total = np.float32(0.0)
    for k in range(len(numbers)):
        total += numbers[k] * numbers[k]
    return total


@_compiled()
def _adam(numbers: Any, gradient: Any, mean: Any, square: Any, rule: Rule, rate: Any, step: Any, decay: Any) -> None:
    one = np.float32(1.0)
    corrected = rate * np.sqrt(one - rule.beta2 ** np.float32(step)) / (one - rule.beta1 ** np.float32(step))
    kept = one - rate * decay
    for k in range(len(numbers)):
        mean[k] += (gradient[k] - mean[k]) * (one - rule.beta1)
        square[k] += (gradient[k] * gradient[k] - square[k]) * (one - rule.beta2)
        numbers[k] = numbers[k] * kept - corrected * mean[k] / (np.sqrt(square[k]) + rule.epsilon)


@_compiled()
def _momentum(numbers: Any, gradient: Any, moving: Any, rule: Rule, rate: Any, decay: Any) -> None:
    for k in range(len(numbers)):
        moving[k] = rule.momentum * moving[k] + (gradient[k] + decay * numbers[k])
        numbers[k] -= rate * moving[k]


@_compiled()
def differentiate(
    registers: Any,
    examples: Examples,
    chosen: Any,
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
      chosen: Which of them, int32.
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
    width = len(registers) * LANES
    filled = np.empty(width, np.int32)
    labels = np.empty(len(chosen), np.int32)
    for place in range(width):
        filled[place] = chosen[min(place, len(chosen) - 1)]
    for place in range(len(chosen)):
        labels[place] = examples.labels[chosen[place]]
    _read(registers, rows, 0, examples, filled)
    _forward(registers, rows, 0, net, numbers)
    found = _losses(rows, 0, width, net, labels, errors, share)
    _backward(registers, rows, errors, 0, net, turned, gradient)
    return found


@_compiled()
def train(
    registers: Any,
    batch: int,
    examples: Examples,
    order: Any,
    net: Connections,
    numbers: Numbers,
    slots: Any,
    biased: Any,
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


@_compiled()
def evaluate(registers: Any, examples: Examples, net: Connections, numbers: Numbers) -> Any:
    """Returns the sums of loss and right answers over all examples."""
    width = len(registers) * LANES
    rows = np.zeros((len(net.begin) - 1) * width, np.float32)
    errors = np.zeros_like(rows)
    loss, right = 0.0, 0.0
    for first in range(0, len(examples.labels), width):
        labels = examples.labels[first : first + width]
        chosen = np.minimum(np.arange(first, first + width), len(examples.labels) - 1)
        _read(registers, rows, 0, examples, chosen)
        _forward(registers, rows, 0, net, numbers)
        found = _losses(rows, 0, width, net, labels, errors, np.float32(1.0))
        loss += found[0]
        right += found[1]
    return loss, right
