"""A dense layer that stores and computes the weights that a mask keeps, and no others."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weight_symmetry.masks.generators import Mask, as_mask
from weirdonetworks import extras
from weirdonetworks.algebra.arrays import brief
from weirdonetworks.lab import machine
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import checked_bias, checked_floats, checked_initializer

with extras.needed("sparse", "CondensedLinear needs it", "numba"):
    from weight_symmetry.sparse.product import SparseProduct


class CondensedLinear(BaseModule):
    """A dense layer that holds the weights which a mask keeps, with the places where they belong.

        y[b, j] = bias[j] + sum over the inputs i of unit j, those with mask[i, j], of w[i, j] x[b, i]

    Where every unit has equally many inputs, the weights are `[units, fan_in]`, the condensed form of constant fan-in;
    of any other mask they are a list by unit, the compressed sparse rows of the transposed weight.

    On a processor float32 is computed by compiled kernels, outside TensorFlow's graph, and its derivatives of any order
    are, too, but for those of a forward accumulator inside a `tf.function`. There, on accelerators, under XLA, in other
    types, and with `kernels=False`, the inputs of the units are gathered by TensorFlow. A SavedModel holds both forms:
    the process that saved it computes by kernels, also when the layer is gone, and another one gathers; with
    `kernels=False` it holds the gathers alone, as XLA needs that compiles it there.

    >>> weight, mask = np.arange(6.0).reshape(3, 2), np.array([[1, 0], [0, 1], [1, 1]])
    >>> layer = CondensedLinear.from_masked(weight, mask)
    >>> layer.w.numpy().tolist(), layer.dense().tolist()
    ([[0.0, 4.0], [3.0, 5.0]], [[0.0, 0.0], [0.0, 3.0], [4.0, 5.0]])
    >>> layer([[1.0, 1.0, 1.0]]).numpy().tolist()
    [[4.0, 8.0]]

    Lasby et al., "Dynamic Sparse Training with Structured Sparsity" (ICLR 2024), section 3.2, for constant fan-in.

    Attributes:
      mask: The mask, `[inputs, units]`.
      w: The weights.
      b: The bias, `[units]`; None without.
    """

    def __init__(
        self,
        mask: npt.ArrayLike,
        with_bias: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        kernels: bool | None = None,
        name: str | None = None,
    ):
        """Makes the layer.

        Args:
          mask: Zeros and ones, `[inputs, units]`.
          with_bias: Whether there is a bias.
          w_init: Initialises the weights; by default normal numbers, none beyond two deviations, over the square root
            of the unit's number of inputs.
          b_init: Initialises the bias; by default zeros.
          kernels: Whether to compute by kernels; by default on processors. XLA always gathers.
          name: The module's name.

        Raises:
          TypeError: If the mask is no array, `kernels` no truth value, or an initializer not callable.
          ValueError: If the mask has not two axes, has none of a size, or holds other numbers, or there is an
            initializer of a bias without `with_bias`.
        """
        super().__init__(name=name)
        self.mask: Mask = as_mask(mask, "mask")
        if self.mask.ndim != 2:
            raise ValueError(f"mask (of shape {self.mask.shape}) must be [inputs, units].")
        if not (kernels is None or (isinstance(kernels, bool | int | np.bool_) and kernels in (True, False))):
            raise TypeError(f"kernels (={kernels!r}) must be True, False, or None for what the machine has.")
        self._kernels = not machine.has_accelerator() if kernels is None else kernels
        fans = self.mask.sum(axis=0)
        self._is_constant = bool((fans == fans[0]).all() and fans[0])
        self._product = SparseProduct(self.mask)
        self._with_bias = with_bias
        self._w_init = None if w_init is None else checked_initializer("w_init", w_init)
        self._b_init = checked_bias(b_init, with_bias)

    @snt.once
    def _initialize(self, dtype: tf.DType) -> None:
        fans = self.mask.sum(axis=0)
        shape = [len(fans), int(fans[0])] if self._is_constant else [int(fans.sum())]
        if self._w_init is None:
            drawn = snt.initializers.TruncatedNormal()(shape, dtype)
            values = drawn / tf.reshape(tf.constant(np.sqrt(np.repeat(fans, fans)), dtype), shape)
        else:
            values = self._w_init(shape, dtype)
        self.w = tf.Variable(values, name="w")
        self.b = tf.Variable(self._b_init([len(fans)], dtype), name="b") if self._with_bias else None

    @classmethod
    def from_masked(
        cls,
        weight: Any,
        mask: npt.ArrayLike,
        bias: Any = None,
        kernels: bool | None = None,
        name: str | None = None,
    ) -> Self:
        """Makes the layer of the weight and bias of a dense one, and a mask.

        The layer has the weight's type; float32 of arrays, and of integers.

        Args:
          weight: The weight, `[inputs, units]`; what the mask cuts is ignored.
          mask: Zeros and ones of that shape.
          bias: The bias, `[units]`; None for none.
          kernels: As in the constructor.
          name: The module's name.

        Raises:
          TypeError: If the mask is no array, or weight or bias hold no real numbers.
          ValueError: If shapes do not match, or the mask holds other numbers.
        """
        array = _real("weight", weight)
        layer = cls(mask, with_bias=bias is not None, w_init=snt.initializers.Zeros(), kernels=kernels, name=name)
        if array.shape != layer.mask.shape:
            raise ValueError(f"weight (of shape {array.shape}) must have the shape of mask, {layer.mask.shape}.")
        is_typed = isinstance(weight, tf.Variable | tf.Tensor) and weight.dtype.is_floating
        layer._initialize(weight.dtype if is_typed else tf.float32)
        layer.w.assign(array.T[layer.mask.T].reshape(layer.w.shape))
        if layer.b is not None:
            if _real("bias", bias).shape != tuple(layer.b.shape):
                raise ValueError(
                    f"bias (of shape {np.shape(bias)}) must have a number for each of {array.shape[1]} units."
                )
            layer.b.assign(np.asarray(bias))
        return layer

    def dense(self) -> npt.NDArray[np.floating]:
        """Returns the weight of the dense layer, `[inputs, units]`, zeros where the mask cuts.

        Raises:
          ValueError: If it has no weights yet.
        """
        if not hasattr(self, "w"):
            raise ValueError("layer has no weights yet: call it once on inputs, which creates them.")
        weight = np.zeros(self.mask.shape[::-1], self.w.dtype.as_numpy_dtype)
        weight[self.mask.T] = self.w.numpy().ravel()
        return weight.T

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[..., inputs]` to outputs `[..., units]`.

        Raises:
          ValueError: If the last axis of the inputs is not that of the mask, or they are not floating point.
        """
        inputs = checked_floats(inputs)
        size, units = self.mask.shape
        if not inputs.shape.rank or inputs.shape[-1] != size:
            raise ValueError(f"inputs (of shape {inputs.shape}) must be [..., {size}], as the mask has inputs.")
        self._initialize(inputs.dtype)
        rows, weights = tf.reshape(inputs, [-1, size]), tf.reshape(self.w, [-1])
        if self._kernels and inputs.dtype == tf.float32:
            bias = tf.zeros([units]) if self.b is None else tf.convert_to_tensor(self.b)
            outputs = self._product.multiply(rows, weights, bias)
        else:
            outputs = self._product.gathered(rows, weights)
            outputs = outputs if self.b is None else outputs + tf.cast(self.b, outputs.dtype)
        return tf.reshape(tf.cast(outputs, inputs.dtype), [*_shape(inputs)[:-1], units])


def _real(name: str, values: Any) -> npt.NDArray[Any]:
    """Returns weights as an array; raises a TypeError if they are complex, text, or no array."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind in "cOSU":
        raise TypeError(f"{name} (={brief(values)}) must be an array of real numbers.")
    return array


def _shape(tensor: tf.Tensor) -> list[Any]:
    """Lists the sizes of a tensor, as numbers where they are known."""
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape)]
