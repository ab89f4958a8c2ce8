"""Permutation of the units of masks and of models, which leaves a model's function unchanged."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks import Mask
from weight_symmetry.symmetry.masked_units import MaskedUnits, Masks, read
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Units

Model = TypeVar("Model", bound=Callable[..., Any])

REMEDY = "UnitGraph.trace(model, *example_inputs).permute(permutation) permutes the model itself."


def permute(masks: Masks, permutation: Mapping[Any, npt.ArrayLike], layout: UnitLayout | None = None) -> list[Any]:
    """Permutes units, together with all their connections: `permuted[s_before(i), s(j)] == mask[i, j]`.

    >>> permute([[[1, 0, 0]], [[1], [0], [1]]], {0: [1, 2, 0]})[0].astype(int)
    array([[0, 1, 0]])

    Args:
      masks: The masks, as `propagate` takes them.
      permutation: For each layer index, `s` with `s[i]` the image of output unit `i`; others stay in place. With a
        layout, for each space by name, or by the index of the weight that has its units as outputs.
      layout: The layout of a model that is no chain of layers: `UnitGraph.trace(model, *example_inputs)`.

    Returns:
      New boolean masks in the order of the layers, or of the layout's variables, with None for those without a mask.

    Raises:
      TypeError: If `layout` is none.
      ValueError: If the masks do not fit, or an entry is not a permutation of units that may move.
    """
    return permuted(read(masks, layout, permute_outputs=layout is None), permutation)


def permuted(masked: MaskedUnits, permutation: Mapping[Any, npt.ArrayLike]) -> list[Mask | None]:
    """Permutes units of masks, as `permute` does."""
    masks = [None if mask is None else mask.copy() for mask in masked.masks]
    moved: list[Any] = masked.layout.permuted(_chosen(masked, permutation), masks)
    return moved


def apply(permutation: Mapping[Any, npt.ArrayLike], model: Model, *example_inputs: Any, **options: Any) -> Model:
    """Permutes hidden units of a copy of a model, with all that belongs to them: `new_w[s_before(i), s(j)] == w[i, j]`.

    Weights, biases, and batch norm's scale, offset and moving statistics move with their unit, so outputs and
    gradients are the same up to the order of summation (but for dropout, whose units are drawn by position).
    What training alone uses, such as sums for moving averages, moves too.
    `UnitGraph.trace(model, *example_inputs).permute(permutation)` permutes the model itself.

    >>> import sonnet as snt
    >>> images = tf.ones([2, 7])
    >>> model = snt.nets.MLP([3, 2])
    >>> outputs = model(images)
    >>> permuted = apply({0: [1, 2, 0]}, model, images)
    >>> bool((permuted.variables[1].numpy()[:, [1, 2, 0]] == model.variables[1].numpy()).all())
    True
    >>> np.allclose(permuted(images), outputs, atol=1e-5)
    True

    Args:
      permutation: For each set of units, `s` with `s[i]` the image of unit (neuron, filter, head) `i`; the others stay
        in place. A set is named by its space in the unit graph, or by the index of the weight, in the order in which
        weights are used, that has its units as outputs.
      model: A Sonnet or Keras model.
      *example_inputs: Arguments of a call.
      **options: Keyword arguments of the call, such as `is_training=False`.

    Returns:
      A new model; the given one is unchanged, and the two share no variable.

    Raises:
      TypeError: If the model cannot be called or copied.
      ValueError: If it cannot be traced, or an entry is not a permutation of units that may move.
    """
    from weirdonetworks.measure.unit_graph import UnitGraph

    UnitGraph.trace(model, *example_inputs, **options)  # Creates the variables, or says why it cannot be traced.
    copied, pairs = _copied(model)
    graph = UnitGraph.trace(copied, *example_inputs, **options)
    held = {id(new) for _, new in pairs}
    used = [*graph.variables, *(variable for variable, _ in graph.state)]
    unknown = [variable.name for variable in used if id(variable) not in held]
    if unknown:
        raise TypeError(
            f"model (a {type(model).__name__}) must hold its variables as attributes, to be copied, and does not hold "
            f"{', '.join(unknown)}. {REMEDY}"
        )
    for old, new in pairs:
        new.assign(old)
    graph.permute(_chosen(read({}, graph), permutation))
    return copied


def _chosen(masked: MaskedUnits, permutation: Mapping[Any, npt.ArrayLike]) -> dict[str, npt.ArrayLike]:
    """Returns the permutations by the names of spaces."""
    if not isinstance(permutation, Mapping):
        raise TypeError(
            f"permutation (=a {type(permutation).__name__}) must map layers, or names of spaces, to permutations."
        )
    names = {space.units: space.name for space in masked.layout.spaces}
    weights = sorted({edge.variable for edge in masked.layout.edges})
    chosen: dict[str, npt.ArrayLike] = {}
    for key, images in permutation.items():
        units = masked.sets.get(key)
        if not masked.chained and isinstance(key, int) and 0 <= key < len(weights):
            units = _written(masked, weights[key])
        if units is None or units.fixed:
            kind = "layer" if masked.chained or isinstance(key, int) else "space"
            why = f"; they are fixed: {units.fixed}" if units is not None else ""
            known = ", ".join(map(str, masked.movable)) or "none"
            raise ValueError(
                f"permutation (of {kind} {key}) must be of units that may move{why}. Those that may: {known}."
            )
        if not np.array_equal(np.sort(np.asarray(images)), np.arange(units.size)):
            raise ValueError(f"permutation[{key!r}] must hold each of the {units.size} units once.")
        if units in names:  # A single unit has no space.
            chosen[names[units]] = images
    return chosen


def _written(masked: MaskedUnits, weight: int) -> Units | None:
    """Returns the units that a weight writes, the last of them if there are several, as heads and what is in them."""
    edge = next(edge for edge in masked.layout.edges if edge.variable == weight)
    known = set(masked.sets.values())
    written = (masked.layout.axes[weight][place] for place in sorted(edge.outputs, reverse=True))
    return next((axis for axis in written if isinstance(axis, Units) and axis in known), None)


def _copied(model: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """Copies a model; returns the copy, and each variable with its copy."""
    import keras
    import tensorflow as tf

    from weirdonetworks.measure.precision import with_variables

    if isinstance(model, keras.Model):
        try:
            copied = keras.models.clone_model(model)
        # Keras raises the last for a model of a class of its own that does not say how it was made.
        except (TypeError, ValueError, NotImplementedError) as error:
            raise TypeError(f"model ({model.name}) must be one that Keras can clone ({error}). {REMEDY}") from error
        return copied, [(old.value, new.value) for old, new in zip(model.variables, copied.variables, strict=True)]
    old = list(getattr(model, "variables", ()))
    new = [tf.Variable(each, trainable=each.trainable, name=each.name.partition(":")[0]) for each in old]
    return with_variables(model, old, new), list(zip(old, new, strict=True))
