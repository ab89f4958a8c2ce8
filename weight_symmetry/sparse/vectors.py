"""Operations on rows of numbers in vector registers, written in LLVM's language, which LLVM fits to the processor.

The first argument of each, `registers`, is a tuple with an element for each vector of a row, so that each length of row
is compiled on its own, with all loops over a row unrolled. Rows are flat arrays `[unit, example]` of such lengths.
"""

import contextlib
import functools
import pathlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import caching, cgutils, types
from numba.extending import intrinsic

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8  # Numbers in a vector.
REGISTERS = 8  # Vectors of a row at most.

_WORD, _INDEX, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_FLOATS = ir.VectorType(_FLOAT, LANES)
_SCALARS = {types.Float: types.float32, types.Integer: types.int64}

_SOURCES = zlib.crc32(b"".join(path.read_bytes() for path in sorted(pathlib.Path(__file__).parent.glob("*.py"))))


class _Cache(caching.FunctionCache):
    """Compiled functions on disk, which are compiled anew if any file of this folder has changed.

    Numba's own notices changes of the file of a function, and not of those that it calls.
    """

    def _index_key(self, *arguments: Any) -> Any:
        return (*super()._index_key(*arguments), _SOURCES)


def compiled(function: Callable[..., Any], reorders: bool = True) -> Any:
    """Compiles a function, which runs without Python's lock, at its first call; to disk if a folder can be written.

    Sums may be reordered, as in TensorFlow, if `reorders`; NaN and infinities survive.
    """
    found: Any = numba.njit(nogil=True, fastmath={"contract", *(["reassoc"] if reorders else [])})(function)
    with contextlib.suppress(RuntimeError):  # If neither the folder of this package nor that of the user can be.
        found._cache = _Cache(function)
    return found


@compiled
def blocks(size: int) -> Any:
    """Returns the first of each `LANES` neighbouring units out of `size`, at least as many; the last two overlap."""
    return np.append(np.arange(0, size - LANES, LANES), size - LANES)


class Code:
    """The body of a function in LLVM's language, whose arguments have names.

    The first, `registers`, is a tuple whose length is the number of vectors of a row; so each number is compiled anew.
    """

    def __init__(self, names: Sequence[str], context: Any, builder: Any, kinds: Any, given: Any):
        self.builder = builder
        self.given: dict[str, Any] = {}
        self.kinds = dict(zip(names, kinds, strict=True))
        for place, (name, kind) in enumerate(self.kinds.items()):
            value = builder.extract_value(given, place)
            scalar = next((to for each, to in _SCALARS.items() if isinstance(kind, each)), None)
            self.given[name] = value if scalar is None else context.cast(builder, value, kind, scalar)
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
        begin = self.builder.mul(unit, self.width)
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


def _operation(names: str) -> Callable[[Callable[[Code], None]], Any]:
    """Makes an operation, to be called in compiled functions with a tuple of arguments, of what writes its body."""

    def decorate(write: Callable[[Code], None]) -> Any:
        def described(typing: Any, given: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                write(Code(names.split(), context, builder, given, values[0]))
                return context.get_dummy_value()

            return types.void(given), generate

        described.__name__, described.__doc__ = write.__name__, write.__doc__
        return intrinsic(described)

    return decorate


@_operation("registers rows unit index value begin end bias floor")
def activate(code: Code) -> None:
    """rows[unit] <- max(floor, bias + sum_k value[k] rows[index[k]]) over k from begin to end, NaN kept."""
    low = code.splat(code.given["floor"])
    for total, place in zip(code.sums(code.splat(code.given["bias"])), code.row(code.given["unit"]), strict=True):
        below = code.builder.fcmp_ordered("<", total, low)
        code.store(code.builder.select(below, low, total), "rows", place)


@_operation("registers rows gate unit index value begin end")
def propagate(code: Code) -> None:
    """rows[unit] <- sum_k value[k] rows[index[k]] where gate[unit] > 0, and 0 elsewhere."""
    zero = ir.Constant(_FLOATS, None)
    for total, place in zip(code.sums(zero), code.row(code.given["unit"]), strict=True):
        passes = code.builder.fcmp_ordered(">", code.vector("gate", place), zero)
        code.store(code.builder.select(passes, total, zero), "rows", place)


@_operation("registers rows errors unit index value total begin end")
def correlate(code: Code) -> None:
    """value[k] += the inner product of errors[unit] and rows[index[k]], and total[unit] += the sum of errors[unit]."""
    builder = code.builder
    own = [code.vector("errors", place) for place in code.row(code.given["unit"])]
    add = code.function("vector.reduce.fadd", ir.FunctionType(_FLOAT, [_FLOAT, _FLOATS]))

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


@_operation("registers rows images example scale offset first")
def read_bytes(code: Code) -> None:
    """rows[i] <- images[example + i] * scale[i] - offset[i] for the `LANES` units i from `first` on.

    `example` holds the place of each example in `images`, which is flat.
    """
    builder = code.builder

    def convert(numbers: Any, place: Any) -> Any:
        scale, offset = (code.splat(code.number(name, place)) for name in ("scale", "offset"))
        number = builder.uitofp(builder.zext(numbers, ir.VectorType(_INDEX, LANES)), _FLOATS)
        return builder.fsub(builder.fmul(number, scale), offset)

    _read(code, "images", ir.VectorType(ir.IntType(8), LANES), convert)


@_operation("registers rows images example first")
def read_floats(code: Code) -> None:
    """rows[i] <- images[example + i] for the `LANES` units i from `first` on, as `read_bytes`."""
    _read(code, "images", _FLOATS, lambda numbers, place: numbers)


def _read(code: Code, array: str, kind: Any, convert: Callable[[Any, Any], Any]) -> None:
    builder, first = code.builder, code.given["first"]
    for register in range(code.registers):
        examples = [code.number("example", code.word(register * LANES + each)) for each in range(LANES)]
        found = [code.vector(array, builder.add(each, first), kind) for each in examples]
        for each, numbers in enumerate(code.turned(found)):
            place = builder.add(first, code.word(each))
            code.store(convert(numbers, place), "rows", code.row(place)[register])


@_operation("registers rows images example start first")
def write_floats(code: Code) -> None:
    """images[example + i] <- rows[start + i] for the `LANES` units i from `first` on, as `read_bytes`."""
    builder, first = code.builder, code.given["first"]
    places = [builder.add(builder.add(code.given["start"], first), code.word(each)) for each in range(LANES)]
    for register in range(code.registers):
        found = code.turned([code.vector("rows", code.row(place)[register]) for place in places])
        for each, numbers in enumerate(found):
            example = code.number("example", code.word(register * LANES + each))
            code.store(numbers, "images", builder.add(example, first))
