"""The state of a model that its traced call does not depend on, such as moving averages, and the units along it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from weirdonetworks.measure.unit_tracing.axes import Axis, Product, Units, concatenation, product, resolved
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
) -> list[Along]:
    """Finds the variables that a model uses only if it is called in training, or only if it is not.

    Args:
      model: The model.
      inputs: The arguments of its traced call.
      options: The keyword arguments.
      known: The variables of that call, with their axes.
      trace: Traces a call; returns it with the axes of its tensors.

    Returns:
      The variables that are not known, with their axes in terms of those that are.

    Raises:
      ValueError: If the model cannot be called in the other mode.
    """
    flag = next((each for each in FLAGS if each in options), None)
    found = {id(variable) for variable, _ in known}
    if flag is None or _held(model) <= found:
        return []

    def without_running(*given: Any, **others: Any) -> Any:
        # A call in training would change the state; the variables exist already.
        if tf.executing_eagerly():
            return None
        # Not the outputs, which a trace refuses if they depend on what the call has changed, as in spectral norm.
        read = known[0][0].read_value()
        model(*given, **others)
        return read

    other = not options[flag]
    try:
        call, tensor_axes = trace(without_running, *inputs, **{**options, flag: other})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"model must be called with {flag}={other} too, which shows the state that such calls alone use; give the "
            f"trace all arguments for it. {str(error).partition(chr(10))[0]}"
        ) from error
    axes = _by_handle(call, tensor_axes)
    meaning: dict[Units, Axis] = {}
    for variable, own in known:
        for there, here in zip(axes.get(id(variable.handle), []), own, strict=False):
            _pair(there, here, meaning)
    return [
        (variable, [_translated(axis, meaning) for axis in axes[id(variable.handle)]])
        for variable in (*call.variables, *call.others)
        if id(variable) not in found
    ]


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
