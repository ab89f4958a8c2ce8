"""The edges between sets of units: weights that multiply the values of some units and sum them into others."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from weirdonetworks.measure.unit_tracing import rearranging, rules
from weirdonetworks.measure.unit_tracing.axes import Axis, Edge, Places, mark

TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")  # As of a transposed convolution.
MATRIX_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
CONTRACTIONS = (*MATRIX_PRODUCTS, "Einsum", "Conv2D", "Conv3D", "DepthwiseConv2dNative", *TRANSPOSED)
Number = TypeVar("Number")
GATHERS = ("ResourceGather", "GatherV2")
_ELLIPSIS = "αβγδεζηθ"  # Stand for the axes of an ellipsis, counted from the last.


@dataclasses.dataclass(frozen=True)
class _Origin:
    """A tensor with entries of a variable, all or a part: for each of its axes, the variable's axes that it runs along.

    An edge of a part, as of some gates of a recurrent cell, is that of the whole variable.
    """

    variable: int
    axes: tuple[Places, ...]


class Edges:
    """Finds the edges of a trace, operation by operation.

    Attributes:
      found: The edges, one for each variable and each way in which it connects units.
    """

    def __init__(self, variables: Sequence[tf.Variable], captured: Mapping[int, Any], parameters: Iterable[int]):
        """Starts at the inputs and at the handles of the variables among the captured tensors."""
        self.found: list[Edge] = []
        self._of_inputs = set(parameters)
        self._origins: dict[int, _Origin] = {}
        numbers = {id(outside): number for number, outside in captured.items()}
        for index, variable in enumerate(variables):
            axes = tuple((axis,) for axis in range(variable.shape.rank))
            self._origins[numbers[id(variable.handle)]] = _Origin(index, axes)

    def follow(
        self,
        operation: tf.Operation,
        inputs: Sequence[int],
        outputs: Sequence[int],
        axes: Mapping[int, Sequence[Axis]],
    ) -> None:
        """Follows the variables through an operation, and adds the edges that it makes.

        Args:
          operation: The operation.
          inputs: The numbers of its input tensors.
          outputs: The numbers of its output tensors.
          axes: The axes of all tensors so far, by number.
        """
        known = [self._origins.get(number) for number in inputs]
        if operation.type in CONTRACTIONS:
            of_operands = [self._origins.get(number) for number in operands(operation, inputs)]
            self._contract(operation, of_operands, [axes[number] for number in operands(operation, inputs)])
        elif operation.type in GATHERS and known[0] is not None:
            self._add(known[0], (0,), range(1, len(known[0].axes)))
        if not self._of_inputs.isdisjoint(inputs):
            self._of_inputs.update(outputs)
        elif operation.type == "IdentityN":
            self._origins.update(
                {b: self._origins[a] for a, b in zip(inputs, outputs, strict=True) if a in self._origins}
            )
        elif operation.type in ("Split", "SplitV") and any(known):
            (whole,) = (each for each in known if each is not None)
            self._origins.update(dict.fromkeys(outputs, whole))
        elif any(known) and len(outputs) == 1:
            try:
                moved = _moved(operation, known, len(axes[outputs[0]]))
            except ValueError:  # A computed argument, such as the number of a slice: which entries it has is not known.
                moved = None
            if moved is not None:
                self._origins[outputs[0]] = moved

    def _contract(self, operation: tf.Operation, known: list[_Origin | None], axes: list[Sequence[Axis]]) -> None:
        terms, result = equation(operation, [len(each) for each in axes])
        weights = [index for index, origin in enumerate(known) if origin is not None]
        if len(weights) == 1 and len(terms) == 2:
            (index,) = weights
            origin, own, other = known[index], terms[index], terms[1 - index]
            assert origin is not None
            self._add(
                origin, *([place for place, letter in enumerate(own) if letter in term] for term in (other, result))
            )
        else:  # A product of two activations, or of two weights.
            for each, term in zip(axes, terms, strict=True):
                summed = (axis for axis, letter in zip(each, term, strict=True) if letter not in result)
                mark(operation.type, *summed, mixes=True)

    def _add(self, origin: _Origin, read: Sequence[int], written: Sequence[int]) -> None:
        inputs, outputs = (
            tuple(sorted({axis for place in places for axis in origin.axes[place]})) for places in (read, written)
        )
        edge = Edge(origin.variable, inputs, outputs)
        if edge not in self.found:
            self.found.append(edge)


def operands(operation: tf.Operation, inputs: Sequence[Number]) -> list[Number]:
    """Picks from the inputs of a contraction what it multiplies: of a transposed convolution images, then filters."""
    return list(inputs[:0:-1] if operation.type in TRANSPOSED else inputs)


def equation(operation: tf.Operation, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Writes a contraction as an Einstein sum: letters for the axes of each operand, and for those of the result."""
    if operation.type == "Einsum":
        terms, result = operation.get_attr("equation").decode().replace(" ", "").split("->")
        written = [_spelled(term, rank) for term, rank in zip(terms.split(","), ranks, strict=True)]
        return written, _spelled(result, len(result) - 3 + len(_ELLIPSIS))
    if "Conv" in operation.type:
        first = operation.get_attr("data_format").startswith(b"NC")
        before, places, after = (letters[: ranks[0] - 2] for letters in ("hwd", "xyz", "pqr"))
        filters, channels = "co", "o"
        if operation.type in TRANSPOSED:
            filters = "oc"
        elif operation.type == "DepthwiseConv2dNative":
            filters, channels = "cm", "cm"
        images, result = ("nc" + before, f"n{channels}{after}") if first else (f"n{before}c", f"n{after}{channels}")
        return [images, places + filters], result
    plain = operation.type == "MatMul"
    turned = [operation.get_attr(name) for name in (("transpose_a", "transpose_b") if plain else ("adj_x", "adj_y"))]
    ends = ["ji" if turned[0] else "ij", "kj" if turned[1] else "jk"]
    batch = [_ELLIPSIS[len(_ELLIPSIS) - rank + 2 :] for rank in ranks]
    return [more + end for more, end in zip(batch, ends, strict=True)], max(batch, key=len) + "ik"


def _spelled(term: str, rank: int) -> str:
    before, dots, after = term.partition("...")
    missing = rank - len(before) - len(after) if dots else 0
    return before + _ELLIPSIS[len(_ELLIPSIS) - missing :] + after


def _moved(operation: tf.Operation, known: list[_Origin | None], rank: int) -> _Origin | None:
    """Returns the origin of an operation's output; None if that does not have the entries of one variable.

    Raises:
      ValueError: If the operation is given a computed argument.
    """
    first = known[0]
    if operation.type in rules.SAME.split():
        return first
    if operation.type in ("Slice", "StridedSlice") and first is not None:
        same = operation.type == "Slice" or all(isinstance(each, slice) for each in rearranging.indices(operation))
        return first if same else None
    if operation.type == "Transpose" and first is not None:
        return _Origin(first.variable, tuple(first.axes[int(each)] for each in rules.constant(operation, 1)))
    if operation.type in ("Reshape", "Squeeze", "ExpandDims") and first is not None:
        return _reshaped(first, operation.inputs[0].shape, operation.outputs[0].shape)
    if operation.type in (rules.FUNCTIONS + " " + rules.BINARY).split():
        # As of a weight that is divided by a norm, or multiplied by a mask: the one of the output's rank.
        whole = [each for each in known if each is not None and len(each.axes) == rank and rank >= 2]
        return whole[0] if whole else None
    return None


def _reshaped(origin: _Origin, before: Sequence[int], after: Sequence[int]) -> _Origin:
    """Follows axes through a reshape: those of a group of axes of equal size are all along the same."""
    axes: list[Places] = []
    old, new = 0, 0
    while new < len(after):
        start, first = old, new
        sizes = [1, 1]
        while new < len(after) and (new == first or sizes[0] != sizes[1] or after[new] == 1):
            sizes[1] *= after[new]
            new += 1
            while sizes[0] < sizes[1] and old < len(before):
                sizes[0] *= before[old]
                old += 1
        along = tuple(axis for place in range(start, old) for axis in origin.axes[place] if before[place] != 1)
        axes += [along if after[place] != 1 else () for place in range(first, new)]
    assert math.prod(before) == math.prod(after)
    return _Origin(origin.variable, tuple(axes))
