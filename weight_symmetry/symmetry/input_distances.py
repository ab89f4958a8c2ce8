"""What exchanging two units would cut of their inputs, estimated without a forward pass for each pair."""

from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.symmetry.masked_units import MaskedUnits
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.axes import resolved

Floats = npt.NDArray[np.float64]
SHARE = 0.99  # Of the inputs' second moment, which the principal subspace holds.


def input_distances(graph: UnitGraph, masked: MaskedUnits, values: list[Any]) -> dict[str, Floats]:
    """Measures how far apart the units of dense layers are by what their exchange would cut of their inputs.

    A unit j with the weights w_j loses those that the mask m_i of the place of unit i cuts. Its pre-activation changes
    by `(w_j (1 - m_i)) x`, for inputs x, whose mean square over the data is

        |w_j (1 - m_i)|^2 = (w_j (1 - m_i))^T M (w_j (1 - m_i)),    M = E[x x^T],

    a Mahalanobis distance. Of M the principal components are taken that hold 99% of its trace. The distance of i and
    j is the root of the sum of `|w_j (1 - m_i)|^2` and `|w_i (1 - m_j)|^2`, over the layers that write the units, in
    proportion to the root of the mean square of all pre-activations of the layers.

    Args:
      graph: The traced model; its example inputs are the data.
      masked: The masks.
      values: The values of the variables, masked.

    Returns:
      For each free space that dense layers alone write, by name, `[units, units]`: 0 for units whose masks keep the
      same inputs.

    Raises:
      ValueError: If an input of such a layer is not finite.
    """
    numbers = {number: index for index, variable in enumerate(graph.variables) for number in _reads(graph, variable)}
    known = graph.call.evaluate(values)
    squares: dict[str, tuple[Floats, float]] = {}
    for space in graph.free:
        written = {
            edge.variable for edge in graph.edges for axis in edge.outputs if _holds(graph, edge.variable, axis, space)
        }
        found, size, products = np.zeros((space.size, space.size)), 0.0, set()
        for step in graph.call.steps:
            weights = [numbers[number] for number in step.inputs if number in numbers]
            if step.operation.type != "MatMul" or not written.intersection(weights) or len(weights) > 1:
                continue
            (variable,) = weights
            turned = step.operation.get_attr("transpose_b")
            if step.inputs[1] not in numbers or step.operation.get_attr("transpose_a"):
                continue
            if _holds(graph, variable, 0 if turned else 1, space):
                inputs = np.asarray(known[step.inputs[0]], np.float64)
                if not np.isfinite(inputs).all():
                    raise ValueError(
                        f"example_inputs must give {graph.names[variable]} finite inputs, and give it NaN or infinity."
                    )
                weight, mask = (
                    np.asarray(each, np.float64) for each in (values[variable], _mask(masked, variable, values))
                )
                change, total = _cut(inputs, *((weight.T, mask.T) if turned else (weight, mask)))
                found, size = found + change, size + total
                products.add(variable)
        if written and products == written and size:
            squares[space.name] = found, size
    return {name: np.sqrt(found / size) for name, (found, size) in squares.items()}


def _cut(inputs: Floats, weight: Floats, mask: Floats) -> tuple[Floats, float]:
    """Computes the mean squares of what each exchange cuts, `[units, units]`, and that of a unit's pre-activation."""
    flat = inputs.reshape(-1, inputs.shape[-1])
    spectrum, axes = np.linalg.eigh(flat.T @ flat / len(flat))
    kept = np.cumsum(spectrum[::-1]) - spectrum[::-1] < SHARE * spectrum.sum()
    root = (np.sqrt(np.maximum(spectrum, 0)) * axes).T[::-1][kept]
    lost = np.array([np.square(root @ (weight * (1 - place[:, np.newaxis]))).sum(axis=0) for place in mask.T])
    return lost + lost.T, float(np.square(root @ weight).sum(axis=0).mean())


def _reads(graph: UnitGraph, variable: Any) -> set[int]:
    """Finds the tensors that hold a variable as it is."""
    held = {number for number, outside in graph.call.captured.items() if outside is variable.handle}
    for step in graph.call.steps:
        if step.operation.type in ("ReadVariableOp", "Identity") and held.intersection(step.inputs):
            held.update(step.outputs)
    return held


def _holds(graph: UnitGraph, variable: int, axis: int, space: Any) -> bool:
    return resolved(graph.axes[variable][axis]) is space.units


def _mask(masked: MaskedUnits, variable: int, values: list[Any]) -> Any:
    mask = masked.masks[variable]
    return np.ones(np.shape(values[variable])) if mask is None else mask
