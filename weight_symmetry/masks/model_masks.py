"""Masks of a model's weights, outside the model, that hold in any training loop."""

import fnmatch
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.masks import generators
from weight_symmetry.masks.fan_in import fan_in_scale
from weight_symmetry.masks.generators import Mask
from weight_symmetry.masks.masked_optimizers import masked_optimizer, reset_moments
from weirdonetworks.algebra.arrays import accepts
from weirdonetworks.lab.records.tables import counted, table
from weirdonetworks.measure.unit_tracing.naming import name_of, resource

Optimizer = TypeVar("Optimizer")
Only = str | Callable[[Any], bool] | None


class Masks(tf.Module):
    """One boolean mask for each weight of a model, in variables outside the model; True is a connection that is kept.

    A step of a wrapped optimizer changes weights w with gradients g and masks m by

        w <- m * step(w, m * g),

    so cut weights are exactly zero after every step, whatever momentum, weight decay or averaging do, and the model
    computes with its masks in any training loop. In one's own, masks take two lines:

    >>> import sonnet as snt
    >>> model = snt.nets.MLP([8, 4])
    >>> _ = model(tf.ones([1, 16]))
    >>> masks = Masks.create(model, "random", sparsity=0.75, seed=1)
    >>> optimizer = masks.wrap(snt.optimizers.Adam(1e-3))
    >>> print(masks)
                    shape  kept   of  sparsity
    mlp/linear_0/w   16x8    32  128     75.0%
    mlp/linear_1/w    8x4     8   32     75.0%

    The masks are variables: changing them traces nothing again, and `tf.train.Checkpoint(masks=masks)` saves them. They
    refer to the weights and do not own them.
    """

    def __init__(self, model: Any, only: Only = None, name: str | None = None):
        """Makes masks of ones.

        Args:
          model: A Sonnet, Keras or TensorFlow module whose weights exist, or a list of variables. One that occurs
            several times, as tied weights may, is masked once.
          only: The weights to mask: a pattern of their names, such as `"*/linear_*/w"`, as `fnmatch` reads it, or a
            function that tells of a variable whether to mask it. By default all `[..., in, out]`, of two axes
            or more; not biases, as those of attention heads, whose name ends in `bias`.
          name: The module's name.

        Raises:
          TypeError: If the model is neither a module nor a list of variables.
          ValueError: If it has no weights yet, or none that `only` asks for.
        """
        super().__init__(name=name)
        trainable = _trainable_variables(model)
        chosen = _choose(trainable, only)
        self._held = _Held([resource(each) for each in trainable], [resource(each) for each in chosen])
        self.names = [name_of(each) for each in chosen]
        self._masks = [
            tf.Variable(tf.ones(weight.shape, tf.bool), trainable=False, name="mask") for weight in self.weights
        ]

    @classmethod
    def create(
        cls,
        model: Any,
        mask_type: str,
        sparsity: float | Sequence[float],
        *,
        seed: int = 0,
        trial: int = 0,
        distribution: str = "uniform",
        group_size: int = 0,
        only: Only = None,
    ) -> Self:
        """Draws masks, and sets the weights that they cut to zero.

        Args:
          model: As in the constructor.
          mask_type: One of `MASK_TYPES`: `symmetric`, `random`, `per-neuron`, `per-neuron-no-input-ablation`,
            `asymmetric`, `grouped`, `whole-neurons`. Neurons are taken to lie along the last axis of a weight, where
            transposed convolutions have their inputs.
          sparsity: The fraction of connections to cut, in [0, 1], or that of each weight.
          seed: The base seed; each weight draws from a seed of its own.
          trial: The number of the trial; each has its own masks.
          distribution: How the sparsity is distributed over the weights, one of `DISTRIBUTIONS`.
          group_size: The greatest number of neurons in a group, for `grouped`; 0 for as many as reach all inputs.
          only: As in the constructor.

        Raises:
          TypeError: As the constructor does, or if the seed is not an integer.
          ValueError: As the constructor does, or if an argument is out of its range.
        """
        masks = cls(model, only)
        shapes = [tuple(weight.shape) for weight in masks.weights]
        masks.set(
            generators.create(
                mask_type, shapes, sparsity, seed, trial=trial, distribution=distribution, group_size=group_size
            )
        )
        return masks

    @property
    def weights(self) -> list[tf.Variable]:
        """The masked weights, in the order of the model's trainable variables: in Sonnet, of its attributes' names."""
        return self._held.weights

    @property
    def arrays(self) -> list[Mask]:
        """The values of the masks, in the order of `weights`."""
        return [mask.numpy() for mask in self._masks]

    @property
    def sparsity(self) -> float:
        """The fraction of the connections of `weights` that is cut."""
        return 1 - sum(int(mask.sum()) for mask in self.arrays) / sum(mask.size for mask in self.arrays)

    def set(self, masks: Sequence[npt.ArrayLike]) -> None:
        """Sets all masks, and the weights that they cut to zero.

        A connection that is cut or grown starts anew: its weight is zero, and so are its moments in wrapped optimizers.

        Args:
          masks: Zeros and ones for each of `weights`, of its shape.

        Raises:
          TypeError: If the masks are not a sequence.
          ValueError: If their number or a shape is not that of the weights, or a value is neither 0 nor 1.
        """
        if isinstance(masks, str | Mapping) or not (hasattr(masks, "__len__") and hasattr(masks, "__getitem__")):
            raise TypeError(
                f"masks (a {type(masks).__name__}) must be a list with a mask for each of {', '.join(self.names)}."
            )
        if len(masks) != len(self._masks):
            raise ValueError(f"masks (of length {len(masks)}) must hold one mask for each of {', '.join(self.names)}.")
        checked = []
        for name, mask, values in zip(self.names, self._masks, masks, strict=True):
            checked.append(generators.as_mask(values, f"mask of {name}"))
            if checked[-1].shape != tuple(mask.shape):
                raise ValueError(
                    f"mask of {name} (shape {checked[-1].shape}) must have the weight's shape {tuple(mask.shape)}."
                )
        changed: dict[int, Mask] = {}
        for weight, mask, array in zip(self.weights, self._masks, checked, strict=True):
            if (different := mask.numpy() != array).any():
                changed[id(weight)] = different
                mask.assign(array)
        self.apply()
        if changed:
            for optimizer in self._held.optimizers:
                reset_moments(optimizer, self._held.trainable, changed)

    def apply(self) -> None:
        """Sets the cut weights to zero; also within a `tf.function`."""
        for weight, mask in zip(self.weights, self._masks, strict=True):
            weight.assign(_where(mask, tf.convert_to_tensor(weight)))

    def cut_moments(self, optimizer: Any, parameters: Sequence[Any]) -> None:
        """Sets the moments of the cut weights to zero; also within a `tf.function`.

        Args:
          optimizer: The optimizer that has the moments.
          parameters: The variables that it trains, in its order.
        """
        cut = {id(weight): tf.logical_not(mask) for weight, mask in zip(self.weights, self._masks, strict=True)}
        reset_moments(optimizer, [resource(each) for each in parameters], cut)

    def masked(
        self, gradients: Sequence[Any], variables: Sequence[Any] | None = None, corrects_fan_in: bool = False
    ) -> list[Any]:
        """Returns gradients with zeros for the cut weights; those of unmasked variables, and None, as they are.

        Args:
          gradients: A tensor, `tf.IndexedSlices` or None for each variable.
          variables: The variables; by default the model's trainable ones, in its order.
          corrects_fan_in: Whether to scale the gradients of each neuron, as `wrap` says.

        Raises:
          ValueError: If there are not as many gradients as variables.
        """
        known = self._held.trainable if variables is None else [resource(each) for each in variables]
        if len(gradients) != len(known):
            raise ValueError(f"gradients (of length {len(gradients)}) must be those of {len(known)} variables.")
        masks = {id(weight): mask for weight, mask in zip(self.weights, self._masks, strict=True)}
        result = []
        for gradient, variable in zip(gradients, known, strict=True):
            if gradient is not None and id(variable) in masks:
                mask = masks[id(variable)]
                gradient = _cut(gradient, mask)
                if corrects_fan_in:
                    gradient = _scaled(gradient, fan_in_scale(mask, gradient.dtype))
            result.append(gradient)
        return result

    def wrap(self, optimizer: Optimizer, corrects_fan_in: bool = False) -> Optimizer:
        """Makes an optimizer keep the cut weights at zero; returns it.

        Its `apply` masks the gradients, does what it did, and masks the weights. Nothing else of it changes: it is
        still a Keras optimizer for `model.fit`, and is saved in the model as the optimizer that it was.

        Args:
          optimizer: A Sonnet or Keras optimizer, also a `keras.optimizers.LossScaleOptimizer` or one within it; in
            general an object with `apply(gradients, variables)`.
          corrects_fan_in: Whether the gradients of the n_i connections that a neuron keeps are scaled by
            `sqrt(n_i / mean of n over the layer)`. Under batch norm those of a neuron with few connections are larger
            (see `gradient_ratios`); of neurons with a constant fan-in nothing is changed. An optimizer that divides by
            the gradients' own size, as Adam, takes most of it back.

        Raises:
          TypeError: If it has no such method.
          ValueError: If it is wrapped already.
        """
        wrapped: Optimizer = masked_optimizer(optimizer, self, corrects_fan_in)
        self._held.optimizers.add(wrapped)
        return wrapped

    def __repr__(self) -> str:
        return f"<Masks of {counted(len(self.names), 'weight')}, {self.sparsity:.1%} cut: {', '.join(self.names)}>"

    def __str__(self) -> str:
        rows = [
            [name, "x".join(map(str, mask.shape)), f"{mask.sum():,}", f"{mask.size:,}", f"{1 - mask.mean():.1%}"]
            for name, mask in zip(self.names, self.arrays, strict=True)
        ]
        return table(["", "shape", "kept", "of", "sparsity"], rows)


def checked_masks(masks: Masks) -> Masks:
    """Returns masks of a model; raises a `TypeError` if they are no `Masks`."""
    if not isinstance(masks, Masks):
        raise TypeError(f"masks (a {type(masks).__name__}) must be weight_symmetry.masks.Masks: Masks(model).")
    return masks


class _Held:
    """What masks refer to, hidden from TensorFlow, which would take its variables for those of the masks."""

    def __init__(self, trainable: list[tf.Variable], weights: list[tf.Variable]):
        self.trainable = trainable
        self.weights = weights
        self.optimizers: weakref.WeakSet[Any] = weakref.WeakSet()


def _trainable_variables(model: Any) -> list[Any]:
    """Lists the trainable variables of a model, or of a list of variables."""
    if isinstance(model, Sequence):
        variables = list(model)
    elif hasattr(type(model), "trainable_variables"):
        try:
            variables = list(model.trainable_variables)
        except ValueError:  # Sonnet's complaint that there are none.
            variables = []
    else:
        variables = [None]
    if any(not hasattr(each, "trainable") or not hasattr(each, "assign") for each in variables):
        given = f"a list with {next(each for each in variables if not hasattr(each, 'assign'))!r:.40}"
        raise TypeError(
            f"model ({given if isinstance(model, Sequence) else type(model).__name__}) must be a Sonnet, Keras or "
            "TensorFlow module, or a list of variables."
        )
    if not variables:
        raise ValueError(
            f"model ({getattr(model, 'name', 'an empty list')}) has no trainable variables yet: call it once on "
            "inputs, which creates them. Of a tf.Module that holds Keras layers pass the list of its variables."
        )
    return [each for each in variables if each.trainable]


def _choose(trainable: Sequence[Any], only: Only) -> list[Any]:
    """Selects the weights to mask."""
    distinct = {id(resource(each)): each for each in trainable}
    candidates = [each for each in distinct.values() if len(each.shape) >= 2 and tf.as_dtype(each.dtype).is_floating]
    if only is None:
        chosen = [each for each in candidates if not name_of(each).endswith("bias")]
    elif isinstance(only, str):
        chosen = [each for each in candidates if fnmatch.fnmatchcase(name_of(each), only)]
    elif accepts(only, 1):
        chosen = [each for each in candidates if only(each)]
    else:
        raise TypeError(f"only (={only!r}) must be a pattern of names, or a function of a variable.")
    if not chosen:
        names = ", ".join(map(name_of, candidates)) or "none"
        raise ValueError(f"only (={only!r}) must leave a weight to mask; those of two or more axes are: {names}.")
    return chosen


def _cut(gradient: Any, mask: tf.Variable) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        rows = tf.gather(mask, gradient.indices)
        return tf.IndexedSlices(_where(rows, gradient.values), gradient.indices, gradient.dense_shape)
    return _where(mask, gradient)


def _scaled(gradient: Any, scale: tf.Tensor) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(scale * gradient.values, gradient.indices, gradient.dense_shape)
    return scale * gradient


def _where(mask: Any, values: tf.Tensor) -> tf.Tensor:
    # A product would make NaN of infinities; `tf.where` broadcasts, and takes half as long again.
    return tf.raw_ops.Select(condition=tf.convert_to_tensor(mask), x=values, y=tf.zeros_like(values))
