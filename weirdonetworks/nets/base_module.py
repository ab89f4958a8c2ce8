"""The base class of modules: floating-point types and mixed precision, arrays, and Keras layers inside."""

import contextlib
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import truth
from weirdonetworks.nets.inputs import check_type, checked_function, checked_initializer, checked_takes, checked_tensor

Activation: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Initializer: TypeAlias = snt.initializers.Initializer | None  # None for the default of the module.

HALVES = (tf.float16, tf.bfloat16)
BATCHES = {"images", "inputs", "maps", "pairs"}  # Names of the first argument of methods that compute.
_PATCHING = threading.RLock()  # A class is patched for all threads, and patches must nest.


class _KerasWeights(Sequence[tf.Variable]):
    """The weights that some Keras layers have by now, as a sequence that TensorFlow looks for variables in."""

    def __init__(self, layers: Sequence[Any]):
        self._layers = layers

    def __getitem__(self, index: Any) -> Any:
        return [*self][index]

    def __len__(self) -> int:
        return len([*self])

    def __iter__(self) -> Iterator[tf.Variable]:
        for layer in self._layers:
            trained = {id(weight) for weight in layer.trainable_weights}
            for weight in layer.weights:
                # Keras freezes a weight without telling the variable in it.
                weight.value._trainable = id(weight) in trained
                yield weight.value


def keras_layers(value: Any) -> Iterator[Any]:
    """Lists the Keras layers that an attribute holds: itself, in lists and mappings, and in attributes of modules."""
    if "keras" not in sys.modules:  # Then there are none.
        return
    if _is_keras_layer(value):
        yield value
    elif isinstance(value, tf.Module):
        yield from value._flatten(predicate=_is_keras_layer)
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from keras_layers(each)


def _is_keras_layer(value: Any) -> bool:
    return isinstance(value, tf.keras.layers.Layer)


def names_of_arguments(network: Any, takes: Iterable[str]) -> dict[str, str]:
    """Returns the keyword arguments to pass on to a network, by their names here: in Keras `is_training` is `training`.

    Raises:
      TypeError, ValueError: As `inputs.checked_takes`.
    """
    names = {name: name for name in checked_takes(takes)}
    is_keras = "keras" in sys.modules and _is_keras_layer(network)
    if "is_training" in names and is_keras and "is_training" not in inspect.signature(network.call).parameters:
        names["is_training"] = "training"
    return names


class BaseModule(snt.Module):
    """A module that computes in the type of its inputs: float16, bfloat16, float32 or float64.

    The first call creates the weights in the type of its inputs, as Sonnet's layers do. Later inputs must have that
    type, or float16 or bfloat16 with float32 weights, which is mixed precision:

        f(x) = f_w(x) with w cast to the type of x,    outputs of that type, gradients of the float32 weights.

    Any other type raises a ValueError. Classes converted by `snt.mixed_precision.modes` work too.

    >>> import weirdonetworks
    >>> layer = weirdonetworks.PolynomialLinear(2, degree=2)
    >>> _ = layer(tf.ones([1, 3]))
    >>> layer(tf.ones([1, 3], tf.bfloat16)).dtype.name, layer.weights[0].dtype.name
    ('bfloat16', 'float32')
    >>> layer(tf.ones([1, 3], tf.float64))
    Traceback (most recent call last):
    ValueError: inputs of type float64 must be float32, as the weights are.

    NumPy arrays and lists are converted to tensors. An array keeps its type, which is float64 unless NumPy is told
    otherwise; numbers in a list become float32.

    Attributes may hold Keras layers: their weights, those of frozen layers not trainable, are among the variables.
    Sonnet alone does not see them: the weights of Keras 3 are no `tf.Variable`, but each holds one.

    >>> network = weirdonetworks.OrbitAverage(tf.keras.layers.Dense(2), weirdonetworks.algebra.symmetric_group(3))
    >>> _ = network(tf.ones([1, 3]))
    >>> [variable.shape.as_list() for variable in network.trainable_variables]
    [[3, 2], [2]]

    Constructors take, beside what they state:

        w_init    draws the weights of each layer; None for W ~ N(0, 1 / fan_in), truncated at two deviations, fan_in
                  the inputs of an output, as in `snt.Linear` and `snt.Conv2D`;
        b_init    draws the biases; None for 0;
        name      the module's name.

    An argument of another type than stated, such as a size that is not an integer, raises a TypeError, and one out of
    the range stated a ValueError; so do inputs of another shape than stated, of a size after the batch that is not
    known, or of another width than at the first call. `Raises` names other causes.

    The rules on types and arrays apply to every public method whose first argument is named in `BATCHES`, and to the
    weights of a Sonnet network inside the module. Keras layers cast their inputs themselves.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, method in list(vars(cls).items()):
            if name == "_initialize":
                # Sonnet unwraps `snt.once` when it adds the name scope.
                within = getattr(method, "__snt_once_wrapped__", None)
                setattr(cls, name, _unconverted(method) if within is None else snt.once(_unconverted(within)))
            elif name == "__init__" and inspect.isfunction(method):
                cls.__init__ = _checking(method)  # type: ignore[method-assign]
            elif inspect.isfunction(method) and _takes_inputs(name, method):
                setattr(cls, name, _in_the_type_of_inputs(method))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        layers = list(keras_layers(value))
        if layers:
            super().__setattr__(f"_weights_in_{name}", _KerasWeights(layers))

    def __getstate__(self) -> dict[str, Any]:
        # A copy may be given weights of another type, as `measure.precision.in_dtype` does.
        return {name: value for name, value in vars(self).items() if name != "_types_found"}

    def _weight_types(self) -> tuple[tf.DType, ...]:
        """The floating-point types of all variables; empty before the first call."""
        if not getattr(self, "_types_found", ()):
            # Sonnet's own property raises an error where there is no variable yet.
            variables = tf.Module.variables.fget(self)
            self._types_found = tuple({each.dtype for each in variables if each.dtype.is_floating})
        return self._types_found


def linear_layers(
    sizes: Iterable[int], with_bias: bool, w_init: Initializer, b_init: Initializer, first: int = 0
) -> list[snt.Linear]:
    """Makes dense layers of given widths, with consecutive numbers in their names."""
    return [snt.Linear(size, with_bias, w_init, b_init, f"linear_{i}") for i, size in enumerate(sizes, first)]


def perceptron(layers: Iterable[Activation], activation: Activation, inputs: tf.Tensor) -> tf.Tensor:
    """Applies layers one after another, with an activation between them."""
    for index, layer in enumerate(layers):
        inputs = layer(activation(inputs) if index else inputs)
    return inputs


def drawn_weights(w_init: Initializer, shape: Sequence[int], deviations: Any, dtype: tf.DType) -> tf.Tensor:
    """Draws weights by an initializer; given None, normal ones of standard deviations that broadcast with the shape."""
    if w_init is not None:
        return w_init(shape, dtype)
    return tf.random.normal(shape, dtype=dtype) * tf.constant(deviations, dtype)


def _checking(initialise: Callable[..., None]) -> Callable[..., None]:
    """Adds checks of the arguments that are annotated `Initializer`, `Activation` or `bool`."""
    signature = inspect.signature(initialise)
    checks = {name: check for name, each in signature.parameters.items() if (check := _check_of(each))}
    if not checks:
        return initialise

    @functools.wraps(initialise)
    def run(self: BaseModule, *args: Any, **keywords: Any) -> None:
        try:
            bound = signature.bind(self, *args, **keywords)
        except TypeError:
            return initialise(self, *args, **keywords)  # Python's own error says what is missing or unknown.
        for name, value in bound.arguments.items():
            if name in checks and value is not signature.parameters[name].default:
                checks[name](name, value)
        return initialise(self, *args, **keywords)

    run.__signature__ = signature  # type: ignore[attr-defined]  # Sonnet's `__repr__` reads it.
    return run


def _check_of(parameter: inspect.Parameter) -> Callable[[str, Any], Any] | None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return None
    if parameter.annotation == Initializer:
        return lambda name, value: None if value is None else checked_initializer(name, value)
    if parameter.annotation == Activation:
        return lambda name, value: checked_function(name, value, takes=1)
    return truth if parameter.annotation is bool else None


def _unconverted(method: Callable[..., Any]) -> Callable[..., Any]:
    """Excludes the creation of weights from AutoGraph: it depends on shapes and types only."""
    original = tf.autograph.experimental.do_not_convert(method)

    @functools.wraps(method)
    def run(self: BaseModule, *args: Any) -> Any:
        return original(self, *args)

    return run


def _takes_inputs(name: str, method: Callable[..., Any]) -> bool:
    is_public = name == "__call__" or not name.startswith("_")
    return is_public and bool(BATCHES.intersection([*inspect.signature(method).parameters][1:2]))


def _in_the_type_of_inputs(method: Callable[..., Any]) -> Callable[..., Any]:
    name = [*inspect.signature(method).parameters][1]

    @functools.wraps(method)
    def run(self: BaseModule, *args: Any, **keywords: Any) -> Any:
        if not args and name not in keywords:
            return method(self, **keywords)  # Python's own error says what is missing.
        inputs = args[0] if args else keywords.pop(name)
        if not isinstance(inputs, tf.RaggedTensor):  # Which some methods take.
            inputs = checked_tensor(inputs, name)
        types = self._weight_types()
        is_mixed = inputs.dtype in HALVES and types == (tf.float32,)
        if inputs.dtype.is_floating and not is_mixed:
            check_type(inputs, *types)
        with weights_read_as(inputs.dtype, self) if is_mixed else contextlib.nullcontext():
            return method(self, inputs, *args[1:], **keywords)

    return run


@contextlib.contextmanager
def weights_read_as(dtype: tf.DType, module: snt.Module) -> Iterator[None]:
    """Lets a module, and those inside it, read its floating-point weights cast to a type."""

    def read(value: Any) -> Any:
        is_weight = isinstance(value, tf.Variable) and value.dtype.is_floating
        return tf.cast(value, dtype) if is_weight else value

    modules = {module, *module.submodules}
    with _PATCHING:
        plain = snt.Module.__getattribute__

        def get(instance: snt.Module, name: str) -> Any:
            value = plain(instance, name)
            # `snt.custom_variable_getter` looks into sets too, of which it warns on standard error; `snt.once` has one.
            if instance not in modules or isinstance(value, set):
                return value
            within = tf.nest.flatten(value)
            if not any(isinstance(each, tf.Variable) for each in within):
                return value
            return tf.nest.pack_sequence_as(value, [read(each) for each in within])

        snt.Module.__getattribute__ = get
        try:
            yield
        finally:
            snt.Module.__getattribute__ = plain
