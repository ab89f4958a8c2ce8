"""The state of a model that its traced call does not depend on, such as moving averages, and the units along it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from weirdonetworks.measure.models import cause_of
from weirdonetworks.measure.unit_tracing import evaluation
from weirdonetworks.measure.unit_tracing.axes import Axis, Product, Units, concatenation, product, resolved, units_of
from weirdonetworks.measure.unit_tracing.traced_call import Trace, variables_of

FLAGS = ("is_training", "training")

Along = tuple[tf.Variable, list[Axis]]


def unread(call: Trace, tensor_axes: Mapping[int, Sequence[Axis]]) -> list[Along]:
    """Lists the variables that a call updates, or reads without its outputs depending on them, with their axes."""
    axes = _by_handle(call, tensor_axes)
    return [(each, axes[id(each.handle)]) for each in call.others]


def of_other_mode(
    model: Callable[..., Any],
    inputs: Sequence[Any],
    options: Mapping[str, Any],
    known: Sequence[Along],
    trace: Callable[..., tuple[Trace, Mapping[int, Sequence[Axis]]]],
) -> tuple[list[Along], dict[Units, str]]:
    """Finds the variables that a model uses only if it is called in training, or only if it is not.

    A Keras model takes `training`, whether its traced call was given it or not.

    Args:
      model: The model.
      inputs: The arguments of its traced call.
      options: The keyword arguments.
      known: The variables of that call, with their axes.
      trace: Traces a call; returns it with the axes of its tensors.

    Returns:
      The variables that are not known, with their axes in terms of those that are; and the units, in these terms, that
      an operation that cannot be followed connects with such a variable, with the reason why they cannot be permuted.

    Raises:
      ValueError: If the model cannot be called in the other mode.
    """
    mode = _mode(model, options)
    found = {id(variable) for variable, _ in known}
    if mode is None or _held(model) <= found:
        return [], {}
    flag, other = mode[0], not mode[1]

    def without_running(*given: Any, **others: Any) -> Any:
        # A call in training would change the state; the variables exist already.
        if tf.executing_eagerly():
            return None
        # Not the outputs, which a trace refuses if they depend on what the call has changed, as in spectral norm.
        read = known[0][0].read_value()
        model(*given, **others)
        return read

    try:
        call, tensor_axes = trace(without_running, *inputs, **{**options, flag: other})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"model must be called with {flag}={other} too, which shows the state that such calls alone use; give the "
            f"trace all arguments for it. {cause_of(error)}"
        ) from error
    axes = _by_handle(call, tensor_axes)
    meaning: dict[Units, Axis] = {}
    for variable, own in known:
        for there, here in zip(axes.get(id(variable.handle), []), own, strict=False):
            _pair(there, here, meaning)
    new = [variable for variable in (*call.variables, *call.others) if id(variable) not in found]
    connected = {
        units: f"{variable.name}, used with {flag}={other}: {lost.fixed}"
        for variable in new
        for lost in units_of(*axes[id(variable.handle)])
        if lost not in meaning and "is not followed" in lost.fixed
        for units in _connected(call, tensor_axes, lost.fixed, meaning)
    }
    return [
        (variable, [_translated(axis, meaning) for axis in axes[id(variable.handle)]]) for variable in new
    ], connected


def _mode(model: Any, options: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Returns the option by which a model is called in training or not, and its value; None if none is known."""
    flag = next((each for each in FLAGS if each in options), None)
    if flag is not None:
        return flag, bool(options[flag])
    import keras

    if not isinstance(model, keras.Layer):
        return None
    parameter = inspect.signature(model.call).parameters.get("training")
    return "training", parameter is not None and parameter.default is True


def _connected(
    call: Trace, tensor_axes: Mapping[int, Sequence[Axis]], reason: str, meaning: Mapping[Units, Axis]
) -> set[Units]:
    """Returns the known units that enter an operation that is not followed for a reason."""
    inputs = {
        number for step in call.steps if reason.startswith(evaluation.named(step.operation)) for number in step.inputs
    }
    entering = units_of(*(axis for number in inputs for axis in tensor_axes[number]))
    return {known for units in entering if units in meaning for known in units_of(meaning[units])}


def _by_handle(call: Trace, tensor_axes: Mapping[int, Sequence[Axis]]) -> dict[int, list[Axis]]:
    return {id(outside): [*map(resolved, tensor_axes[number])] for number, outside in call.captured.items()}


def _held(model: Any) -> set[int]:
    """Returns the identities of the variables that a model tells of; that of none for one that tells of none."""
    variables = variables_of(model)
    return {id(each if isinstance(each, tf.Variable) else each.value) for each in variables} or {id(None)}


def _pair(there: Axis, here: Axis, meaning: dict[Units, Axis]) -> None:
    """Notes what the units along an axis of one trace are in another."""
    there, here = resolved(there), resolved(here)
    if isinstance(there, Units):
        meaning.setdefault(there, here)
    elif type(there) is type(here) and [part.size for part in there.parts] == [part.size for part in here.parts]:
        for one, other in zip(there.parts, here.parts, strict=True):
            _pair(one, other, meaning)


def _translated(axis: Axis, meaning: dict[Units, Axis]) -> Axis:
    axis = resolved(axis)
    if isinstance(axis, Units):
        return meaning.setdefault(axis, Units(axis.size, "state"))
    parts = [_translated(part, meaning) for part in axis.parts]
    return product(parts) if isinstance(axis, Product) else concatenation(parts)
