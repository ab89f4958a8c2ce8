"""Sonnet modules as Keras layers: any network of this project in a Keras model, trained by `fit`."""

import inspect
from collections.abc import Collection
from typing import Any, Self

import keras
import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.base_module import weights_read_as
from weirdonetworks.nets.inputs import ARGUMENTS, checked_takes


class Layer(keras.layers.Layer):
    """A Sonnet module as a Keras layer that shares the module's variables.

        layer(x) = module(x)

    The variables appear when the layer is built: those that are trainable in the module are `trainable_weights`, the
    others, such as moving averages, `non_trainable_weights`. The module's own attributes stay as they are, so that a
    network trained by `fit` can be measured afterwards by its module.

    A module that takes `is_training` is given Keras's training flag, and one that takes `seed` two new integers in each
    training step. Under a policy of mixed precision the module computes in half precision with float32 weights.

    `save_weights`, `load_weights`, `save` and `export` of the model work. Loading a whole model from its configuration
    does not, since a Sonnet module has none: construct the model again and call `load_weights`, which reads `.keras`
    files too.

    >>> import keras, weirdonetworks
    >>> model = keras.Sequential([keras.Input([5, 2]), Layer(weirdonetworks.DeepSets([8], [1]))])
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones([4, 5, 2]), np.zeros([4, 1]), verbose=0)
    >>> [tuple(weight.shape) for weight in model.trainable_weights]
    [(1,), (8, 1), (8,), (2, 8)]

    Attributes:
      module: The module.
    """

    def __init__(
        self, module: snt.Module, takes: Collection[str] | None = None, seed: int | None = None, **options: Any
    ):
        """Wraps a module.

        Args:
          module: The module, of one input (a tensor, or a structure of tensors), called before or not.
          takes: The keyword arguments of the module, out of `is_training` and `seed`, that are passed on to it; if
            None, those that its call has, provided that `is_training` is mandatory there.
          seed: The base of the seeds that a module with random steps is given; None for a random one.
          **options: Those of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

        Raises:
          TypeError: If it is no Sonnet module that can be called, or `takes` no list.
          ValueError: If `takes` names something else.
        """
        super().__init__(**options)
        if not isinstance(module, snt.Module) or not callable(module):
            raise TypeError(f"module (={module!r}) must be a Sonnet module; a Keras layer needs no wrapping.")
        self.module = module
        self._takes = _arguments_of(module) if takes is None else checked_takes(takes)
        self._seeds = keras.random.SeedGenerator(seed) if "seed" in self._takes else None
        self._example_types: Any = None

    def __call__(self, inputs: Any, *args: Any, **options: Any) -> Any:
        """Maps the input as the module does; the arguments are those of `keras.layers.Layer`."""
        # `build` is told the shapes alone.
        self._example_types = keras.tree.map_structure(self._type_of_weights_for, inputs)
        return super().__call__(inputs, *args, **options)

    def _type_of_weights_for(self, values: Any) -> str:
        dtype = keras.backend.standardize_dtype(getattr(values, "dtype", self.variable_dtype))
        return str(self.variable_dtype) if "float" in dtype else dtype

    def build(self, input_shape: Any) -> None:
        """Creates the module's variables by a call on zeros; those that it had keep their values."""
        types = self._example_types or keras.tree.map_shape_structure(lambda shape: self.variable_dtype, input_shape)
        shapes = keras.tree.flatten(keras.tree.map_shape_structure(tf.TensorShape, input_shape))
        zeros = [
            tf.zeros([size or 1 for size in shape], dtype)
            for shape, dtype in zip(shapes, keras.tree.flatten(types), strict=True)
        ]
        with tf.init_scope():
            before = [(variable, variable.read_value()) for variable in tf.Module.variables.fget(self.module)]
            self._module_outputs(keras.tree.pack_sequence_as(types, zeros), training=False)
            for variable, value in before:
                variable.assign(value)
        for variable in tf.Module.variables.fget(self.module):
            # Given a variable, Keras shares it.
            name = variable.name.partition(":")[0].replace("/", "_")
            options = {"shape": variable.shape, "dtype": variable.dtype.name, "trainable": variable.trainable}
            self._track_variable(keras.Variable(variable, name=name, **options))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Calls the module."""
        if self.compute_dtype == self.variable_dtype:
            return self._module_outputs(inputs, training)
        with weights_read_as(tf.as_dtype(self.compute_dtype), self.module):
            return self._module_outputs(inputs, training)

    def _module_outputs(self, inputs: Any, training: bool) -> Any:
        given: dict[str, Any] = {}
        if "is_training" in self._takes:
            given["is_training"] = training
        if self._seeds is not None and (training or not given):
            given["seed"] = tf.cast(self._seeds.next(), tf.int32)
        return self.module(inputs, **given)

    def get_config(self) -> dict[str, Any]:
        """Returns the layer's configuration, which does not hold the module."""
        return super().get_config() | {"module": type(self.module).__name__}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Raises a `ValueError`: a Sonnet module cannot be made from a configuration."""
        raise ValueError(
            f"{config.get('name')} holds the Sonnet module {config.get('module')}, which cannot be made from a "
            "configuration: construct the model as before, and call its load_weights, which reads .keras files too."
        )


def _arguments_of(module: snt.Module) -> tuple[str, ...]:
    """Returns which of `is_training` and `seed` a module's call has; none where `is_training` is optional."""
    call = type(module).__call__
    # Sonnet's decorator keeps the method, but not its signature.
    parameters = inspect.signature(inspect.getclosurevars(call).nonlocals.get("f", call)).parameters
    flag = parameters.get("is_training")
    mandatory = flag is not None and flag.default is flag.empty
    return tuple(each for each in ARGUMENTS if mandatory and each in parameters)
