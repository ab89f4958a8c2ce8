"""The polynomials of its parameters on which the outputs of a network depend, found by computing with symbols.

Every number of a call is a sum `sum_k c_k phi_k(w)` of polynomials phi_k of the parameters w, whose coefficients c_k
are products of symbols that stand for what the data decide: the inputs, the factor of a ReLU, 1 where it is active and
0 elsewhere, a value of tanh or of a softmax. So outputs depend on w through the phi_k alone, and on each of them where
these can be anything. Which factors of ReLUs do occur together, `activation_patterns` says.

Masks of attention are followed that the data do not decide: constants, or inputs that are no floating-point numbers.
Scores that -inf or a number of at most -10,000 replaces, or is added to, have no share in a softmax that has others.
"""

import bisect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra import modular
from weirdonetworks.measure.unit_tracing import evaluation
from weirdonetworks.measure.unit_tracing.traced_call import ASSIGNMENTS, Step, Trace

LOW = -1e4  # A softmax leaves out scores that are so low.
PRIME = modular.prime_below(modular.LARGEST)
Product: TypeAlias = tuple[int, ...]  # Of parameters or of symbols, by number, rising; () is 1.
Polynomial: TypeAlias = frozenset[tuple[Product, int]]  # Products of parameters and their coefficients.
Symbols: TypeAlias = npt.NDArray[Any]  # Of `Sum`.
Active: TypeAlias = Callable[[Mapping[int, tf.Tensor]], tf.Tensor]  # Of the values of a call's tensors, by number.

# f(z) = z, where z > 0, else c z.
GATES: dict[str, Callable[[tf.Operation], float]] = {
    "Abs": lambda _: -1.0,
    "LeakyRelu": lambda operation: float(operation.get_attr("alpha")),
    "Relu": lambda _: 0.0,
}
BENT = {"Elu": 1.0, "Selu": 1.0507009873554805}  # f(z) = c z, where z > 0, else no polynomial.
SMOOTH = ("Erf", "Erfc", "Sigmoid", "Softplus", "Softsign", "Tanh")
MOVES = (  # Each entry of a result is an entry of an input, or 0.
    *("BroadcastTo", "ConcatV2", "ExpandDims", "GatherV2", "Identity", "Pack", "Pad", "PadV2", "ReadVariableOp"),
    *("Reshape", "ResourceGather", "Reverse", "ReverseV2", "Select", "SelectV2", "Slice", "Split", "SplitV"),
    *("Squeeze", "StridedSlice", "Tile", "Transpose", "Unpack"),
)


class Sum:
    """A polynomial of parameters with symbols as coefficients, modulo a prime.

    Attributes:
      masked: Whether it has a summand so far below zero that a softmax leaves it out.
    """

    __slots__ = ("_terms", "masked")

    def __init__(self, terms: dict[tuple[Product, Product], int] | None, masked: bool = False):
        """Takes the terms; None for -inf."""
        self._terms = terms
        self.masked = masked

    @classmethod
    def constant(cls, value: float) -> Self:
        """Makes a number, which as a float is a fraction, or -inf."""
        if value == -math.inf:
            return cls(None, masked=True)
        if not math.isfinite(value):
            raise _not_followed(f"the number {value}")
        fraction = Fraction(float(value))
        residue = fraction.numerator * pow(fraction.denominator, -1, PRIME) % PRIME
        return cls({((), ()): residue} if residue else {}, masked=value <= LOW)

    @property
    def is_finite(self) -> bool:
        """Whether it is not -inf, nor a sum with it."""
        return self._terms is not None

    @property
    def terms(self) -> dict[tuple[Product, Product], int]:
        """The coefficient, in [1, PRIME), of each product of symbols and of parameters."""
        if self._terms is None:
            raise _not_followed("what is computed with -inf")
        return self._terms

    def __add__(self, other: "Sum") -> "Sum":
        masked = self.masked or other.masked
        if not (self.is_finite and other.is_finite):
            return Sum(None, masked)
        found = dict(self.terms)
        for key, coefficient in other.terms.items():
            found[key] = (found.get(key, 0) + coefficient) % PRIME
        return Sum({key: coefficient for key, coefficient in found.items() if coefficient}, masked)

    def __radd__(self, other: int) -> "Sum":
        """Adds to the 0 with which NumPy begins a sum."""
        return self

    def __neg__(self) -> "Sum":
        return Sum({key: PRIME - coefficient for key, coefficient in self.terms.items()})

    def __sub__(self, other: "Sum") -> "Sum":
        return self + -other

    def __mul__(self, other: "Sum") -> "Sum":
        found: dict[tuple[Product, Product], int] = {}
        theirs = other.terms.items()
        for (symbols, product), coefficient in self.terms.items():
            for (others, factors), also in theirs:
                key = tuple(sorted(symbols + others)), tuple(sorted(product + factors))
                found[key] = (found.get(key, 0) + coefficient * also) % PRIME
        return Sum({key: coefficient for key, coefficient in found.items() if coefficient})

    def polynomials(self) -> Iterator[dict[Product, Polynomial]]:
        """Yields for each product of the symbols that are no factors the polynomial of each product of factors."""
        found: dict[Product, dict[Product, list[tuple[Product, int]]]] = {}
        for (symbols, product), coefficient in self.terms.items():
            if product:  # Constants have no gradient.
                start = bisect.bisect_left(symbols, 0)
                own = found.setdefault(symbols[start:], {})
                own.setdefault(symbols[:start], []).append((product, coefficient))
        for own in found.values():
            yield {factors: frozenset(polynomial) for factors, polynomial in own.items()}


def _not_followed(what: str) -> ValueError:
    return ValueError(
        f"model: {what} cannot be followed. Only -inf can, as a mask: added to scores, or in their place, before a "
        "softmax over these and others."
    )


class Calculation:
    """A calculation with symbols.

    Symbols have numbers from 0 up, but the factors of ReLUs and the like: -1, -2, ... in the order of their making.

    Attributes:
      noted: Polynomials that are noted so far, `sum_i f_i phi_i` with products f_i of factors: all lists of the phi_i,
        by the list of the f_i.
      inactive: The value, modulo the prime, of each factor where it is not 1.
      bent: The numbers, from 0, of factors that stand for what is linear where they are 1.
    """

    def __init__(self, always: Collection[int] = ()):
        """Takes the numbers, from 0, of the factors that are always 1, if they stand for what is linear there."""
        self._always = always
        self.bent: set[int] = set()
        self.noted: dict[tuple[Product, ...], set[tuple[Polynomial, ...]]] = {}
        self.inactive: list[int] = []
        self._symbols = 0

    @property
    def found(self) -> set[Polynomial]:
        """The polynomials that are noted so far, each by itself, as if the factors could be anything."""
        return {each for lists in self.noted.values() for own in lists for each in own}

    def new(self, shape: Iterable[int]) -> Symbols:
        """Makes an array of new symbols."""
        array = np.empty(tuple(shape), object)
        for place in np.ndindex(array.shape):
            array[place] = Sum({((self._symbols,), ()): 1})
            self._symbols += 1
        return array

    def gated(self, values: Symbols, inactive: float = 0.0) -> Symbols:
        """Multiplies each value by a new factor that is 1 or, where it is inactive, another number."""
        factors = np.empty(values.shape, object)
        residue = Sum.constant(inactive).terms.get(((), ()), 0)
        for place in np.ndindex(factors.shape):
            self.inactive.append(residue)
            factors[place] = Sum({((-len(self.inactive),), ()): 1})
        return np.asarray(values * factors)

    def above(self, values: Symbols, slope: float) -> Symbols:
        """Maps each value by a function that is linear where its factor is 1, and else no polynomial."""
        found = self.new(values.shape)
        for place in np.ndindex(values.shape):
            self.bent.add(len(self.inactive))
            if len(self.inactive) in self._always:
                found[place] = values[place] * Sum.constant(slope)
            else:
                self.note(np.asarray(values[place], object))
            self.inactive.append(0)
        return found

    def larger(self, one: Symbols, other: Symbols) -> Symbols:
        """Chooses one of two values in each place, as a maximum does, or a minimum."""
        return np.asarray(other + self.gated(one - other))

    def shares(self, scores: Symbols) -> Symbols:
        """Maps scores by a softmax over the last axis, in which masked ones have no share, and one alone has all."""
        found = self.new(scores.shape)
        for row in np.ndindex(scores.shape[:-1]):
            finite = [place for place, score in enumerate(scores[row]) if score.is_finite]
            seen = [place for place in finite if not scores[row][place].masked] or finite
            if not seen:
                raise _not_followed("a softmax over -inf alone")
            self.note(of_differences(scores[row][seen]))
            for place in range(scores.shape[-1]):
                if place not in seen:
                    found[row][place] = Sum({})
                elif len(seen) == 1:
                    found[row][place] = Sum.constant(1)
        return found

    def unknown(self, values: Symbols) -> Symbols:
        """Maps each value by a function that is no polynomial."""
        self.note(values)
        return self.new(values.shape)

    def note(self, values: Symbols) -> None:
        """Adds the polynomials that values depend on."""
        for each in values.flat:
            for own in each.polynomials():
                factors = tuple(sorted(own))
                self.noted.setdefault(factors, set()).add(tuple(own[key] for key in factors))


def of_differences(values: Symbols) -> Symbols:
    """Returns what remains of values along the last axis where a common summand has no effect, as in a softmax."""
    return np.asarray(values[..., 1:] - values[..., :1])


def parameters(shapes: Sequence[Sequence[int]]) -> list[Symbols]:
    """Makes arrays of parameters, numbered in order."""
    found, count = [], 0
    for shape in shapes:
        array = np.empty(tuple(shape), object)
        for place in np.ndindex(array.shape):
            array[place] = Sum({((), (count,)): 1})
            count += 1
        found.append(array)
    return found


def of_model(call: Trace, calculation: Calculation) -> tuple[list[Symbols], list[Active]]:
    """Calculates a traced call with symbols as its inputs and its trainable variables as parameters.

    Returns:
      The outputs; and functions of the values of the call's tensors that tell which factors are active, all in order.

    Raises:
      ValueError: If an operation cannot be followed, as the norms'.
    """
    trained = [each for each in call.variables if each.trainable]
    own = dict(zip((id(each.handle) for each in trained), parameters([each.shape for each in trained]), strict=True))
    frozen = {id(each.handle): each for each in (*call.variables, *call.others) if not each.trainable}
    known: dict[int, Any] = {
        number: own[id(outside)] if id(outside) in own else np.asarray(frozen.get(id(outside), outside))
        for number, outside in call.captured.items()
    }
    for number, given in zip(call.parameters, call.inputs, strict=True):
        known[number] = calculation.new(given.shape) if given.dtype.is_floating else np.asarray(given)
    active: list[Active] = []
    for step in call.steps:
        if not call.needed.isdisjoint(step.outputs) and step.operation.type not in ASSIGNMENTS:
            results = _computed(step, [known[number] for number in step.inputs], calculation, active)
            known.update(zip(step.outputs, results, strict=True))
    return [_symbolic(known[number]) for number in call.results], active


def _computed(step: Step, inputs: list[Any], calculation: Calculation, active: list[Active]) -> list[Any]:
    operation = step.operation
    kind = operation.type
    if not any(each.dtype == object for each in inputs):
        results = evaluation.compute(operation, list(map(tf.constant, inputs)), tf.float64)
        return list(map(np.asarray, results))
    if kind == "IdentityN":
        return inputs
    if kind in MOVES:
        return _moved(operation, inputs)
    if kind in GATES:
        active.append(lambda tensors: tensors[step.inputs[0]] > 0)
        return [calculation.gated(inputs[0], GATES[kind](operation))]
    if kind in BENT:
        active.append(lambda tensors: tensors[step.inputs[0]] > 0)
        return [calculation.above(inputs[0], BENT[kind])]
    if kind in SMOOTH:
        return [calculation.unknown(inputs[0])]
    if kind in ("Maximum", "Minimum"):
        pairs = sorted(zip(inputs, step.inputs, strict=True), key=lambda pair: pair[0].dtype == object)
        (constant, own), (other, its) = pairs  # max(z, 0) is then a product alone.
        chosen = tf.greater if kind == "Maximum" else tf.less
        active.append(lambda tensors: chosen(tensors[its], tensors[own]))
        return [calculation.larger(other, _symbolic(constant))]
    if kind == "Relu6":
        active += [lambda tensors: tensors[step.inputs[0]] > 0, lambda tensors: tensors[step.inputs[0]] < 6]
        return [calculation.larger(calculation.gated(inputs[0]), _symbolic(np.asarray(6.0)))]
    if kind == "Softmax":
        return [calculation.shares(inputs[0])]
    if kind == "RealDiv" and inputs[1].dtype != object:
        return [inputs[0] * _symbolic(1 / inputs[1])]
    if kind in ("Sum", "Mean"):
        return [_reduced(operation, *inputs)]
    if kind in RULES:
        return [np.asarray(RULES[kind](operation, *map(_symbolic, inputs)))]
    raise ValueError(
        f"model: {evaluation.named(operation)} cannot be followed. Conservation laws are counted of dense layers, "
        "convolutions, attention and residual sums, with activations that are applied to each unit by itself."
    )


def _symbolic(values: Any) -> Symbols:
    if values.dtype == object:
        return np.asarray(values)
    found = np.empty(values.shape, object)
    for place in np.ndindex(values.shape):
        found[place] = Sum.constant(values[place])
    return found


def _moved(operation: tf.Operation, inputs: list[Any]) -> list[Symbols]:
    """Finds where the entries of results come from by moving their numbers."""
    floating = [each.dtype.is_floating or each.dtype == tf.resource for each in operation.inputs]
    entries, given = [Sum({})], []
    for each, holds_values in zip(inputs, floating, strict=True):
        if holds_values:
            given.append(tf.constant(np.arange(each.size).reshape(each.shape) + float(len(entries)), tf.float64))
            entries += _symbolic(each).ravel().tolist()
        else:
            given.append(tf.constant(each))
    results = evaluation.compute(operation, given, tf.float64)
    return [_taken(entries, np.asarray(each)) for each in results]


def _taken(entries: Sequence[Sum], places: npt.NDArray[Any]) -> Symbols:
    found = np.empty(places.shape, object)
    found.ravel()[:] = [entries[int(place)] for place in places.ravel()]
    return found


def _reduced(operation: tf.Operation, values: Symbols, axes: npt.NDArray[Any]) -> Symbols:
    chosen = tuple(np.ravel(axes).tolist())
    total = np.asarray(np.sum(values, axis=chosen, keepdims=bool(operation.get_attr("keep_dims"))), object)
    if operation.type == "Mean":
        total = total * _symbolic(np.asarray(total.size / values.size))
    return np.asarray(total)


def _matmul(operation: tf.Operation, one: Symbols, other: Symbols) -> Symbols:
    names = ("transpose_a", "transpose_b") if operation.type == "MatMul" else ("adj_x", "adj_y")
    one, other = (
        each.swapaxes(-1, -2) if operation.get_attr(name) else each
        for each, name in zip((one, other), names, strict=True)
    )
    return np.asarray(np.matmul(one, other))


def _einsum(operation: tf.Operation, *inputs: Symbols) -> Symbols:
    return np.asarray(np.einsum(operation.get_attr("equation").decode(), *inputs))


def _convolved(operation: tf.Operation, images: Symbols, filters: Symbols) -> Symbols:
    get = operation.get_attr
    if get("data_format") != b"NHWC" or get("padding") == b"EXPLICIT" or images.shape[-1] != filters.shape[2]:
        raise ValueError(f"model: {evaluation.named(operation)} must be ungrouped, channels last, to be followed.")
    numbers = tf.constant(1.0 + np.arange(images.size).reshape(images.shape), tf.float64)
    patches = tf.image.extract_patches(
        numbers, [1, *filters.shape[:2], 1], get("strides"), get("dilations"), get("padding").decode()
    )
    taken = _taken([Sum({}), *images.ravel().tolist()], patches.numpy())
    return np.asarray(np.matmul(taken, filters.reshape(-1, filters.shape[-1])))


RULES: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "AddV2": lambda _, a, b: a + b,
    "AddN": lambda _, *each: np.sum(each, axis=0),
    "BatchMatMulV2": _matmul,
    "BiasAdd": lambda _, a, b: a + b,
    "Conv2D": _convolved,
    "Einsum": _einsum,
    "MatMul": _matmul,
    "Mul": lambda _, a, b: a * b,
    "Neg": lambda _, a: -a,
    "Square": lambda _, a: a * a,
    "Sub": lambda _, a, b: a - b,
}
