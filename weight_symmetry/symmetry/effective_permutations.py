"""Symmetry in effect: what it would cost on data to exchange two units whose connections differ."""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.cluster.hierarchy
import scipy.spatial.distance
import tensorflow as tf
from tqdm import tqdm

from weight_symmetry.symmetry.group import automorphisms
from weight_symmetry.symmetry.input_distances import input_distances
from weight_symmetry.symmetry.masked_units import MaskedUnits, Masks, Numbers, read, twins
from weirdonetworks.algebra.arrays import brief
from weirdonetworks.measure.models import check_finite, checked_loss
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import Space, UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Units

Floats = npt.NDArray[np.float64]
LEAST = np.finfo(np.float64).tiny


@dataclasses.dataclass(frozen=True, eq=False)
class EffectiveSymmetry:
    """The costs of exchanging two units under a mask, and the permutations made of exchanges that cost little.

    >>> import sonnet as snt
    >>> model, images = snt.nets.MLP([3, 2]), tf.ones([4, 2])
    >>> _ = model(images)
    >>> found = effective(model, [[[1, 1, 0], [0, 0, 1]], np.ones((3, 2))], images)
    >>> found.clusters(0.0), found.permutations(0.0)  # Hidden units 0 and 1 are connected alike.
    ({'mlp/linear_0/w': [[0, 1], [2]]}, 2)

    Attributes:
      costs: For each free space by name the cost of exchanging each pair of units, `[units, units]`: 0 on the diagonal
        and for units that the masks connect alike, which are all that cost 0.
      change_of_loss: For each space the mean loss after the exchange less that before; empty without labels.
      distances: For each space that dense layers write, what exchanging each pair of units would cut of their inputs,
        by the inputs' principal components: an estimate of the costs without a call for each pair; see
        `input_distances`.
      exact_order: The order of the group of permutations that leave the masks as they are.
      masked: The masks.
    """

    costs: Mapping[str, Floats]
    change_of_loss: Mapping[str, Floats]
    distances: Mapping[str, Floats]
    exact_order: int
    masked: MaskedUnits = dataclasses.field(repr=False)

    def clusters(self, tolerance: float) -> dict[str, list[list[int]]]:
        """Groups the units of each space so that exchanging any two of a group costs at most the tolerance.

        Groups are merged by complete linkage, the two with the least greatest cost first.

        Raises:
          TypeError: If the tolerance is no number.
          ValueError: If it is negative or NaN.
        """
        if not isinstance(tolerance, numbers.Real):
            raise TypeError(f"tolerance (={brief(tolerance)}) must be a number.")
        if not tolerance >= 0:
            raise ValueError(f"tolerance (={tolerance}) must be at least 0.")
        found = {}
        for name, costs in self.costs.items():
            tree = scipy.cluster.hierarchy.complete(scipy.spatial.distance.squareform(costs, checks=False))
            labels = scipy.cluster.hierarchy.fcluster(tree, tolerance, criterion="distance")
            found[name] = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
        return found

    def permutations(self, tolerance: float) -> int:
        """Counts the permutations that are made of exchanges which cost little.

        The tolerance holds for each exchange: a permutation of many units may change the outputs by more.

        Let G be the group that leaves the masks as they are, and C that of the permutations within the clusters. The
        number of products of an element of G and one of C is `|G| |C| / |G and C|`. At tolerance 0 it is the order of
        G, which holds C then; at infinity, the number of all permutations of hidden units.

        Raises:
          TypeError, ValueError: As `clusters`.
        """
        clusters = self.clusters(tolerance)
        within = math.prod(math.factorial(len(group)) for groups in clusters.values() for group in groups)
        names, axes, masks = list(self.masked.layout.names), list(self.masked.layout.axes), list(self.masked.masks)
        for space in self.masked.layout.free:  # A further weight tells the clusters of each space apart.
            groups = clusters[space.name]
            names.append(f"clusters of {space.name}")
            axes.append([Units(len(groups), "clusters"), space.units])
            masks.append(np.array([np.isin(np.arange(space.size), group) for group in groups]))
        layout = UnitLayout(names, axes, self.masked.layout.edges)
        return self.exact_order * within // automorphisms(masks, layout).order


def effective(
    model: Any,
    masks: Masks,
    *example_inputs: Any,
    labels: npt.ArrayLike | None = None,
    loss: Callable[[Any, Any], Any] = tf.nn.sparse_softmax_cross_entropy_with_logits,
    **options: Any,
) -> EffectiveSymmetry:
    """Measures what exchanging two units of a masked model would cost on data.

    The weights of the two units change places, along all axes that hold them, and are masked again. Where the masks
    connect the two alike, the function stays; otherwise weights are cut, and outputs f become f'. The cost is

        sqrt(mean |f' - f|^2 / mean |f|^2).

    >>> import sonnet as snt
    >>> model, images = snt.nets.MLP([3, 2]), tf.ones([4, 2])
    >>> _ = model(images)
    >>> found = effective(model, [[[1, 1, 0], [0, 0, 1]], np.ones((3, 2))], images)
    >>> (costs,) = found.costs.values()
    >>> (costs == 0).astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [0, 0, 1]])
    >>> found.exact_order, found.permutations(0.0), found.permutations(np.inf)
    (2, 2, 6)

    Args:
      model: A Sonnet or Keras model, or any that `UnitGraph` traces; what the masks cut counts as zero.
      masks: Its masks, as `automorphisms` takes them with a graph.
      *example_inputs: Arguments of a call: the data on which outputs are compared.
      labels: The labels, for the change of the loss; None for the costs alone.
      loss: Of labels and outputs, the loss of each example.
      **options: Keyword arguments of the call, such as `is_training=False`.

    Returns:
      The costs, of n (n - 1) / 2 calls for a space of n units.

    Raises:
      TypeError: As `UnitGraph.trace`, `automorphisms`, or if the loss cannot be called.
      ValueError: As these, or if weights are not finite, inputs are NaN, outputs, also after an exchange, are no finite
        floating-point numbers, or the loss does not take the labels.
      ImportError: If igraph is not installed.
    """
    graph = UnitGraph.trace(model, *example_inputs, **options)
    masked = read(masks, graph)
    values = [
        variable.numpy() if mask is None else np.where(mask, variable.numpy(), 0)
        for variable, mask in zip(graph.variables, masked.masks, strict=True)
    ]

    @tf.function(autograph=False)
    def outputs(given: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        known = graph.call.evaluate(given, dtype=tf.float32)
        return [known[number] for number in graph.call.results]

    def mean_loss(found: Sequence[tf.Tensor]) -> float:
        assert labels is not None
        return checked_loss(loss, labels, tf.nest.pack_sequence_as(graph.call.structure, found))

    # What a ReLU makes of NaN may be 0.
    check_finite((graph.names[index], values[index]) for index in graph.weights)
    before = outputs(list(map(tf.constant, values)))
    _check(graph.call.inputs, before)
    distances = input_distances(graph, masked, values)
    loss_before = 0.0 if labels is None else mean_loss(before)
    original = _compared(before)
    size = float(np.square(original).sum()) or 1.0
    costs, changes = {}, {}
    pairs = sum(space.size * (space.size - 1) // 2 for space in graph.free)
    with tqdm(total=pairs, desc="exchanges", unit="pair", disable=None) as bar:
        for space in graph.free:
            cost, change = np.zeros((2, space.size, space.size))
            alike = np.empty(space.size, int)
            for number, units in enumerate(twins(masked, space.units)):
                alike[units] = number
            for i, j in itertools.combinations(range(space.size), 2):
                bar.update()
                if alike[i] == alike[j]:
                    continue
                after = outputs(list(map(tf.constant, _exchanged(graph, space, values, masked.masks, i, j))))
                squares = float(np.square(_compared(after) - original).sum())
                if not math.isfinite(squares):
                    raise ValueError(
                        f"model must give finite outputs after an exchange, too, and gives NaN or infinity where units "
                        f"{i} and {j} of {space.name} change places: let it return what comes before, say, a logarithm."
                    )
                # Units that no data tell apart are not the same by structure: dead ones, for instance.
                cost[i, j] = cost[j, i] = max(math.sqrt(squares / size), LEAST)
                if labels is not None:
                    change[i, j] = change[j, i] = mean_loss(after) - loss_before
            costs[space.name] = cost
            if labels is not None:
                changes[space.name] = change
    return EffectiveSymmetry(costs, changes, distances, automorphisms(masks, graph).order, masked)


def _check(inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor]) -> None:
    """Raises a `ValueError` if outputs cannot be compared, or inputs are NaN, which a ReLU hides."""
    if any(bool(tf.reduce_any(tf.math.is_nan(each))) for each in inputs if each.dtype.is_floating):
        raise ValueError("example_inputs must hold numbers, and NaN is among them.")
    compared = [each for each in outputs if each.dtype.is_floating]
    if not compared:
        types = ", ".join(each.dtype.name for each in outputs)
        raise ValueError(f"model must give floating-point outputs, whose change is the cost, and gives {types}.")
    if not all(map(tf.size, compared)):
        raise ValueError("example_inputs must hold at least one example.")
    if not all(bool(tf.reduce_all(tf.math.is_finite(each))) for each in compared):
        raise ValueError("example_inputs must give finite outputs, and give NaN or infinity at the model's weights.")


def _compared(outputs: Sequence[tf.Tensor]) -> Floats:
    """Joins the floating-point outputs, in float64: the squares of large ones are beyond float32."""
    return np.concatenate([np.ravel(each).astype(np.float64) for each in outputs if each.dtype.is_floating])


def _exchanged(
    graph: UnitGraph, space: Space, values: Sequence[Any], masks: Sequence[Any], i: int, j: int
) -> list[Any]:
    """Exchanges two units of a space in arrays, and masks them again."""
    order: Numbers = np.arange(space.size)
    order[[i, j]] = j, i
    moved = graph.permuted({space.name: order}, values)
    return [value if mask is None else np.where(mask, value, 0) for value, mask in zip(moved, masks, strict=True)]
