"""Alignment of trained networks: the permutations of hidden units that make one fit another."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.alignment.activations import correlations
from weight_symmetry.alignment.learning import Midpoint, batches, sinkhorn, straight_through
from weight_symmetry.alignment.mask_group import MaskGroup
from weight_symmetry.alignment.permutations import Permutations
from weight_symmetry.alignment.similarity import Orders, Similarity, assignment
from weight_symmetry.symmetry.masked_units import Masks
from weirdonetworks.algebra.arrays import at_least, listed
from weirdonetworks.measure.models import check_finite
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing import evaluation
from weirdonetworks.measure.unit_tracing.axes import Units
from weirdonetworks.nets.inputs import checked_choice, checked_floats, checked_function, checked_tensor

METHODS = ("weights", "activations", "straight_through", "sinkhorn")


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes the cross-entropy of each example, of integer labels and logits.

    >>> [round(float(each), 3) for each in cross_entropy(tf.constant([0, 1]), tf.constant([[0.0, 0.0], [-9.0, 9.0]]))]
    [0.693, 0.0]
    """
    labels, logits = checked_tensor(labels, "labels"), checked_floats(checked_tensor(logits, "logits"), "logits")
    if not labels.dtype.is_integer:
        raise TypeError(f"labels (of type {labels.dtype.name}) must be integers.")
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def match(
    model_a: Any,
    model_b: Any,
    *example_inputs: Any,
    method: str = "weights",
    data: Sequence[npt.ArrayLike] | None = None,
    masks: Masks | None = None,
    seed: int = 0,
    loss: Callable[[tf.Tensor, Any], tf.Tensor] = cross_entropy,
    steps: int = 200,
    **options: Any,
) -> Permutations:
    """Finds the permutations of hidden units of a model that make it fit another model of its architecture.

    - `weights` maximises the inner product of the two models' trainable weights, `sum_v <a_v, P b_v>`, one set of units
      at a time by linear assignment, to a fixed point (Ainsworth, Hayase & Srinivasa 2023).
    - `activations` maximises in each set the sum of the correlations of paired units on data (Li et al. 2016; Jordan,
      Sedghi, Saukh, Entezari & Neyshabur 2023).
    - `straight_through` lowers the loss half way between the models: weights that begin as A's are trained by the
      gradient there, and P is what `weights` finds between them and B (Ainsworth et al. 2023).
    - `sinkhorn` lowers the loss at random points between A and B permuted by doubly stochastic matrices, which are
      rounded to permutations at the end (Peña, Medeiros, Dubail, Aminbeidokhti, Granger & Pedersoli 2023).

    The last two begin with the result of `weights`, and return the best permutations that they met, by the loss half
    way on the data, so they are never worse there.

    >>> import sonnet as snt
    >>> model, inputs = snt.nets.MLP([5, 4, 2]), tf.ones([1, 3])
    >>> _ = model(inputs)
    >>> from weight_symmetry import symmetry
    >>> permuted = symmetry.apply({0: [1, 2, 3, 4, 0], 1: [3, 2, 1, 0]}, model, inputs)
    >>> found = match(model, permuted, inputs)
    >>> [order.tolist() for order in found.by_space.values()]
    [[4, 0, 1, 2, 3], [3, 2, 1, 0]]

    Args:
      model_a: A Sonnet or Keras model, or any that `UnitGraph` traces.
      model_b: The model to permute, of the same architecture.
      *example_inputs: Arguments of a call; the data come in batches of their size.
      method: One of the four.
      data: Arrays of examples: the inputs, and for the methods that lower a loss, the labels last. `activations` takes
        the example inputs if there are none; of data, as many whole batches as there are, without the rest. None for
        `weights`.
      masks: Masks of both models, as `symmetry.automorphisms` takes them with the graph of `model_a`: only permutations
        that leave them as they are come into question. For `weights` alone. The similarity is at least that without
        masks if the order found then leaves them as they are.
      seed: Seed of the order in which sets are matched, and of batches.
      loss: Of labels and outputs, the loss of each example.
      steps: The number of gradient steps of the last two methods.
      **options: Keyword arguments of the call, such as `is_training=False`.

    Returns:
      The permutations of `model_b`; `apply` makes the permuted copy.

    Raises:
      TypeError: If a model or the loss cannot be called, or an argument is of another type.
      ValueError: If the models differ in more than values, or have weights that are not finite, the method is none of
        the four, or the data do not fit it.
      ImportError: If masks are given and igraph is not installed.
    """
    checked_choice("method", method, METHODS)
    rng = np.random.default_rng(at_least("seed", seed, 0))
    at_least("steps", steps, 0)
    checked_function("loss", loss, takes=2)
    if method in METHODS[2:] and data is None:
        raise ValueError(f"data must be given for method (={method!r}): the inputs and the labels, as arrays.")
    if method == "weights" and data is not None:
        raise ValueError(
            f"data must be left out for method (={method!r}), which reads none: drop it, or choose another method."
        )
    if masks is not None and method != "weights":
        raise ValueError(f"masks must be left out for method (={method!r}); 'weights' keeps to their group.")
    one, other = _traced({"model_a": model_a, "model_b": model_b}, example_inputs, options)
    a, b = (list(map(_numpy, graph.variables)) for graph in (one, other))
    similarity = Similarity(one, _weights(one, a, "model_a"), _weights(one, b, "model_b"))
    if masks is not None:
        orders = MaskGroup(one, masks).best(similarity, rng)
    elif method == "activations":
        given, name = (one.call.inputs, "example_inputs") if data is None else (data, "data")
        orders = _by_correlation(similarity, correlations(one, a, b, batches(given, one.call.inputs, name), name))
    else:
        orders = similarity.ascend(similarity.optimistic_start({}), {}, rng)
    if method in METHODS[2:]:
        assert data is not None
        learn = straight_through if method == "straight_through" else sinkhorn
        orders = learn(Midpoint(one, other, data, loss, rng), orders, steps, rng)
    return _permutations(other, one, orders, similarity, example_inputs, options)


def match_values(
    graph: UnitGraph, a: Sequence[Any], b: Sequence[Any], data: Sequence[npt.ArrayLike]
) -> dict[str, npt.NDArray[np.intp]]:
    """Finds permutations by activations, as `match` does, for two lists of values of one model's variables.

    Args:
      graph: The units of the model.
      a: The values of its variables that are to be fitted.
      b: Those whose units are permuted.
      data: The inputs, at least as many as the graph's example inputs, and at least two.

    Returns:
      For each free space by name `s`, with `s[i]` the place of unit i of b in the order that fits a.
    """
    similarity = Similarity(graph, _weights(graph, a, "a"), _weights(graph, b, "b"))
    orders = _by_correlation(similarity, correlations(graph, a, b, batches(data, graph.call.inputs)))
    return {space.name: np.argsort(orders[space.units]) for space in graph.free}


def match_many(
    models: Sequence[Any], *example_inputs: Any, seed: int = 0, most: int = 100, **options: Any
) -> list[Permutations]:
    """Finds permutations of several models that make them fit each other, by their weights.

    Each model in turn is matched to the mean of the others as permuted so far, which increases the sum of the inner
    products of all pairs, until none moves (Ainsworth, Hayase & Srinivasa 2023, algorithm 3). The first model stays.

    >>> import sonnet as snt
    >>> from weight_symmetry import symmetry
    >>> model, inputs = snt.nets.MLP([3, 2]), tf.ones([1, 4])
    >>> _ = model(inputs)
    >>> models = [model, *(symmetry.apply({0: order}, model, inputs) for order in ([1, 2, 0], [0, 2, 1]))]
    >>> [[order.tolist() for order in found.by_space.values()] for found in match_many(models, inputs)]
    [[[0, 1, 2]], [[2, 0, 1]], [[0, 2, 1]]]

    Args:
      models: Two or more models of one architecture.
      *example_inputs: Arguments of a call.
      seed: Seed of the order in which models and sets are matched.
      most: The greatest number of rounds.
      **options: Keyword arguments of the call.

    Returns:
      The permutations of each model, the similarity of each that to the mean of the others.

    Raises:
      TypeError, ValueError: As `match`, or if there are fewer than two models.
    """
    models = listed("models", models, "models")
    if len(models) < 2:
        raise ValueError(f"models (of length {len(models)}) must hold at least two.")
    traced = _traced({f"models[{i}]": each for i, each in enumerate(models)}, example_inputs, options)
    rng, most = np.random.default_rng(at_least("seed", seed, 0)), at_least("most", most, 0)
    first = traced[0]
    values = [_weights(first, [*map(_numpy, graph.variables)], f"models[{i}]") for i, graph in enumerate(traced)]
    orders: list[Orders] = []
    for own in values:
        similarity = Similarity(first, _mean(first, values, orders) if orders else own, own)
        orders.append(similarity.optimistic_start({}) if orders else similarity.start())
    for _ in range(most):
        moved = False
        for index in 1 + rng.permutation(len(values) - 1):
            similarity = _to_others(first, values, orders, index)
            better = similarity.ascend(orders[index], {}, rng)
            if similarity.total(better) > similarity.total(orders[index]):
                orders[index], moved = better, True
        if not moved:
            break
    found = []
    for index, graph in enumerate(traced):
        similarity = _to_others(first, values, orders, index)
        found.append(_permutations(graph, first, orders[index], similarity, example_inputs, options))
    return found


def _traced(models: Mapping[str, Any], inputs: Sequence[Any], options: Mapping[str, Any]) -> list[UnitGraph]:
    """Traces models, given by the names of their arguments, and checks that they are of one architecture."""
    found = {name: UnitGraph.of_call(model, inputs, options, name) for name, model in models.items()}
    first, of_first = next(iter(found.items()))
    for name, graph in found.items():
        rule = f"{name} must be of the architecture of {first}"
        if graph.shapes != of_first.shapes:
            raise ValueError(
                f"{rule}: the variables have the shapes {graph.shapes}, and those of {first} {of_first.shapes}."
            )
        for step, of_it in itertools.zip_longest(graph.call.steps, of_first.call.steps):
            computed = [each and each.operation.type for each in (step, of_it)]
            if computed[0] != computed[1]:
                own, other = (evaluation.named(each.operation) if each else "nothing more" for each in (step, of_it))
                raise ValueError(f"{rule}: its call computes {own} where that of {first} computes {other}.")
    return list(found.values())


def _weights(graph: UnitGraph, values: Sequence[Any], model: str) -> list[Any]:
    """Returns the values that are matched, None for the other variables.

    Raises:
      ValueError: If one is not finite; the message names the model.
    """
    chosen = graph.weights
    check_finite(((graph.names[index], values[index]) for index in chosen), model)
    # Half precision has no matrix products in NumPy.
    return [
        np.asarray(value, np.result_type(np.float32, value.dtype)) if index in chosen else None
        for index, value in enumerate(values)
    ]


def _numpy(variable: Any) -> npt.NDArray[Any]:
    return np.asarray(variable.numpy())


def _by_correlation(similarity: Similarity, correlated: Mapping[Units, npt.NDArray[np.float64]]) -> Orders:
    """Orders each set by correlations; one whose values no weight reads, by the weights."""
    orders = similarity.start()
    for units, each in correlated.items():
        orders[units] = assignment(each, orders[units])
    for units in similarity.sets:
        if units not in correlated:
            orders[units] = assignment(similarity.gains(units, orders), orders[units])
    return orders


def _mean(graph: UnitGraph, values: Sequence[Sequence[Any]], orders: Sequence[Orders]) -> list[Any]:
    """Averages the values of the first models, each with its units ordered."""
    moved = [_ordered(graph, own, order) for own, order in zip(values, orders, strict=False)]
    return [None if each[0] is None else np.mean(each, axis=0) for each in zip(*moved, strict=True)]


def _to_others(graph: UnitGraph, values: Sequence[Any], orders: Sequence[Orders], index: int) -> Similarity:
    """The similarity of a model to the mean of the others."""
    others = [each for each in range(len(values)) if each != index]
    mean = _mean(graph, [values[each] for each in others], [orders[each] for each in others])
    return Similarity(graph, mean, values[index])


def _ordered(graph: UnitGraph, values: Sequence[Any], orders: Orders) -> list[Any]:
    return graph.permuted({space.name: np.argsort(orders[space.units]) for space in graph.free}, values)


def _permutations(
    graph: UnitGraph,
    first: UnitGraph,
    orders: Orders,
    similarity: Similarity,
    inputs: tuple[Any, ...],
    options: Mapping[str, Any],
) -> Permutations:
    """Makes the result for a model, whose spaces correspond to those of the first model in order."""
    by_space = {own.name: np.argsort(orders[space.units]) for own, space in zip(graph.free, first.free, strict=True)}
    return Permutations(by_space, similarity.cosine(orders), inputs, options)
