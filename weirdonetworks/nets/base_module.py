"""The base class of modules with weights: floating-point types and mixed precision."""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.inputs import check_type

HALVES = (tf.float16, tf.bfloat16)
BATCHES = {"images", "inputs", "maps", "pairs"}  # Names of the first argument of methods that compute.
_PATCHING = threading.RLock()  # Sonnet's custom getters patch a class for all threads, and must nest.


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

    Constructors take, beside what they state:

        w_init    draws the weights of each layer; None for W ~ N(0, 1 / fan_in), truncated at two deviations, fan_in
                  the inputs of an output, as in `snt.Linear` and `snt.Conv2D`;
        b_init    draws the biases; None for 0;
        name      the module's name.

    An argument of another type than stated, such as a size that is not an integer, raises a TypeError, and one out of
    the range stated a ValueError; so do inputs of another shape than stated, of a size after the batch that is not
    known, or of another width than at the first call. `Raises` names other causes.

    The rule on types applies to every public method whose first argument is named in `BATCHES`. A module without
    weights of its own that wraps a user's network does not need this base: the type is the network's concern.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, method in list(vars(cls).items()):
            if name == "_initialize":
                # Sonnet unwraps `snt.once` when it adds the name scope.
                within = getattr(method, "__snt_once_wrapped__", None)
                setattr(cls, name, _unconverted(method) if within is None else snt.once(_unconverted(within)))
            elif inspect.isfunction(method) and _takes_inputs(name, method):
                setattr(cls, name, _in_the_type_of_inputs(method))

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
        inputs = args[0] if args else keywords.get(name)
        dtype = tf.as_dtype(getattr(inputs, "dtype", tf.float32))
        types = self._weight_types()
        if not dtype.is_floating or types in ((), (dtype,)):
            return method(self, *args, **keywords)
        if dtype not in HALVES or types != (tf.float32,):
            check_type(tf.convert_to_tensor(inputs), *types)
            return method(self, *args, **keywords)
        with _weights_read_as(dtype, self):
            return method(self, *args, **keywords)

    return run


@contextlib.contextmanager
def _weights_read_as(dtype: tf.DType, module: snt.Module) -> Iterator[None]:
    def read(variable: tf.Variable) -> tf.Tensor | tf.Variable:
        return tf.cast(variable, dtype) if variable.dtype.is_floating else variable

    modules = {module, *module.submodules}
    with _PATCHING, snt.custom_variable_getter(read, classes=[snt.Module], instances=modules):
        yield
