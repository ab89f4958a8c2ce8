"""Models of the user's own, named `package.module:function` in a driver's flag `--model`."""

import hashlib
import importlib
import inspect
import pathlib
import sys
import weakref
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.lab.errors import UsageError
from weirdonetworks.nets.base_module import BaseModule


class _UserModel(BaseModule):
    """A model of the user's own, called as the drivers call theirs: `model(images, is_training, seed)`.

    The arguments `is_training` or `training`, and `seed`, are handed on if the model takes them.

    >>> import sonnet as snt
    >>> model = _UserModel(snt.Sequential([snt.Flatten(), snt.Linear(10)]), name="model")
    >>> model(tf.ones([2, 28, 28, 1]), is_training=False).shape.as_list(), len(model.trainable_variables)
    ([2, 10], 2)

    Attributes:
      model: The model.
    """

    def __init__(self, model: Any, name: str | None = None):
        """Takes a Sonnet module, a Keras model or any other callable of a batch of images that gives logits."""
        super().__init__(name=name)
        self.model = model
        taken = _parameters(model)
        self._flag = next((flag for flag in ("is_training", "training") if flag in taken), None)
        self._takes_seed = "seed" in taken

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps images `[batch, height, width, channels]` to logits `[batch, classes]`."""
        options = {self._flag: is_training} if self._flag else {}
        return self.model(images, **options, **({"seed": seed} if self._takes_seed else {}))


def load(spec: str, options: Mapping[str, Any]) -> _UserModel:
    """Calls the function that makes a model.

    Args:
      spec: `package.module:function`, found as Python's `import` finds it, in the working directory too.
      options: Keyword arguments of the function.

    Raises:
      UsageError: If the module cannot be imported, has no such function, or the call fails.
    """
    function = getattr(_module(spec), spec.partition(":")[2], None)
    if not callable(function):
        raise UsageError(f"model (={spec}) must name a function in its module; there is none of that name.")
    try:
        model = function(**options)
    except Exception as error:
        raise UsageError(
            f"model (={spec}) could not be made with model_options (={dict(options)}): {_line(error)}"
        ) from error
    if not callable(model):
        raise UsageError(f"model (={spec}) must return a model that can be called, and returns {type(model).__name__}.")
    return _UserModel(model, name="user_model")  # TensorFlow refuses names that begin with an underscore.


def source_hash(spec: str) -> str:
    """Hashes the source of the module that `spec` names, so that a changed model is another run."""
    module = _module(spec)
    return hashlib.sha256(pathlib.Path(str(inspect.getsourcefile(module))).read_bytes()).hexdigest()[:10]


def check(spec: str, model: _UserModel, images: tf.Tensor, classes: int) -> None:
    """Calls a model on images, which creates its variables, and checks that it gives logits.

    Args:
      spec: Its name in errors.
      model: The model.
      images: Some images as in training, `[batch, height, width, channels]`.
      classes: The number of classes.

    Raises:
      UsageError: If it cannot be called on them, or does not give `[batch, classes]` logits.
    """
    size = "x".join(map(str, images.shape[1:]))
    try:
        outputs = model(images, is_training=False, seed=tf.zeros([2], tf.int32))
    except Exception as error:
        raise UsageError(f"model (={spec}) cannot be called on images {size}, channels last: {_line(error)}") from error
    wanted = (len(images), classes)
    if not tf.is_tensor(outputs) or tuple(outputs.shape) != wanted:
        given = f"shape {tuple(outputs.shape)}" if tf.is_tensor(outputs) else f"a {type(outputs).__name__}"
        raise UsageError(f"model (={spec}) must give logits of shape {wanted} for as many images, and gives {given}.")
    if not tf.Module.trainable_variables.fget(model):
        raise UsageError(
            f"model (={spec}) must hold the variables that it trains, as a Sonnet or Keras model does, or a tf.Module "
            f"with attributes; the {type(model.model).__name__} that it returns holds none."
        )
    values = outputs.numpy().astype(np.float64)
    if classes > 1 and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        raise UsageError(f"model (={spec}) must give logits, and gives probabilities: leave out its softmax.")


def claim(spec: str, model: _UserModel, owner: Hashable) -> None:
    """Records whom the variables of a model are for, so that no two trials train the same ones.

    Args:
      spec: Its name in errors.
      model: The model.
      owner: What stands for the trial and the seed of its values.

    Raises:
      UsageError: If another owner was given some of its trainable variables.
    """
    for number in [number for number, (variable, _) in _OWNED.items() if variable() is None]:
        del _OWNED[number]
    for variable in tf.Module.trainable_variables.fget(model):
        _, known = _OWNED.setdefault(id(variable), (weakref.ref(variable), owner))
        if known != owner:
            raise UsageError(
                f"model (={spec}) must return a new model at each call, and returns one with {variable.name}, which an "
                "earlier trial or seed was given: make the model within the function, and keep none."
            )


_OWNED: dict[int, tuple[weakref.ref[tf.Variable], Hashable]] = {}


def _parameters(model: Any) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of a model's call."""
    if hasattr(model, "call"):  # Keras.
        return inspect.signature(model.call).parameters
    if not isinstance(model, tf.Module):
        return inspect.signature(model).parameters
    call = type(model).__call__
    # Sonnet's decorator keeps the method, but not its signature.
    return inspect.signature(inspect.getclosurevars(call).nonlocals.get("f", call)).parameters


def _module(spec: str) -> Any:
    name = spec.partition(":")[0]
    if "" not in sys.path and str(pathlib.Path.cwd()) not in sys.path:
        sys.path.insert(
            0, str(pathlib.Path.cwd())
        )  # As `python -m` has it, but not the command of an installed script.
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UsageError(f"model (={spec}): {name} could not be imported: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
