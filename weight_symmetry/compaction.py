"""Compaction: removal of dead units from a masked model, with its function unchanged in evaluation."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry import models, structure
from weight_symmetry.chain import Masks, chain
from weight_symmetry.masks import Mask

Floats = npt.NDArray[np.floating]
Number = TypeVar("Number", int, float)

# The sizes of the images that the models are named after.
IMAGE_SIZES = {models.MNIST_CNN: (28, 28), models.CIFAR10_CNN: (32, 32)}


class Change(NamedTuple, Generic[Number]):
    """A quantity before and after compaction."""

    before: Number
    after: Number


class Stayed(NamedTuple):
    """A hidden unit that compaction must keep although its output is unread or the same for all images.

    Attributes:
      layer: The index of its layer.
      unit: Its number in the given model.
      reason: Why it cannot be removed.
    """

    layer: int
    unit: int
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Compacted:
    """A compacted model beside the original, with the parameters and operations that it saves.

    Attributes:
      original: The model that was given.
      model: The compacted model, of the same class.
      kept: For each layer, the units of the original that remain, in order; all of the last.
      stayed: Those of them whose output is unread or the same for all images, but that cannot be removed.
      parameters: The number of weights, masked or not, of biases, and of batch norm's scales and offsets.
      flops: Multiply-accumulate operations per image, masked weights counted like others, kernels at every position.
    """

    original: models.MaskedModel
    model: models.MaskedModel
    kept: tuple[npt.NDArray[np.intp], ...]
    stayed: tuple[Stayed, ...]
    parameters: Change[int]
    flops: Change[int]

    def measure_speed(self, images: npt.ArrayLike, calls: int = 30, jit_compile: bool = False) -> Change[float]:
        """Measures the median time per batch of compiled calls of the two models, called alternately.

        Args:
          images: A batch `[batch, height, width, channels]`.
          calls: The number of timed calls of each model, after one that traces it.
          jit_compile: Whether to compile with XLA.

        Returns:
          Milliseconds per batch.

        Raises:
          ValueError: If `calls` is less than 1.
        """
        if calls < 1:
            raise ValueError(f"calls (={calls}) must be at least 1.")
        batch = tf.convert_to_tensor(images, self.model.layers[0].w.dtype)
        compiled = [_compile(model, jit_compile) for model in (self.original, self.model)]
        times: list[list[float]] = [[], []]
        for call in range(calls + 1):
            for function, own in zip(compiled, times, strict=True):
                start = time.perf_counter()
                function(batch).numpy()
                if call:
                    own.append(1e3 * (time.perf_counter() - start))
        return Change(statistics.median(times[0]), statistics.median(times[1]))


def compact(
    model: models.MaskedModel, masks: Masks | None = None, *, image_size: tuple[int, int] | None = None
) -> Compacted:
    """Removes dead units and channels, giving a smaller model with equal outputs in evaluation.

    A hidden unit whose outgoing weights are all masked is removed. One whose incoming weights are all masked emits a
    constant, the activation of its bias, or of its batch norm at zero. The constant is folded into the biases of the
    next layer, or, where batch norm follows that, into its moving mean, and the unit is removed. Removals can make
    further units dead, so both steps reach the fixed point. An unmasked weight is a connection, whatever its value.

    Zero padding limits this. A constant passes unchanged through dense layers, pooling (also the global one, so
    from the last convolution to the dense layer) and the middle of a kernel; but at the border of the image the rest of
    a kernel reads the padding instead. So a channel that emits a constant other than zero, into a kernel with more than
    its middle left, stays, as do the filters that it alone feeds, and is reported in `stayed`. A layer left without
    units keeps its first, connected to nothing, since the models have no layers without units.

    Supported are `MNIST_FC`, `MNIST_CNN` and `CIFAR10_CNN` as this package builds them: ReLU after every hidden layer,
    convolutions of stride 1 with zero padding, and global average pooling before the dense layers. A dense layer that
    reads a flattened convolution, which they do not have, is not. The inputs stay: a pixel without connections is still
    a pixel. In training the functions differ where batch norm sees a unit without inputs, or with dropout.

    >>> model = models.MNIST_FC(features=(4, 3))
    >>> outputs = model(tf.ones([1, 28, 28, 1]), is_training=False)
    >>> model.layers[1].set_mask([[1, 0, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1]])
    >>> compacted = compact(model)
    >>> [units.tolist() for units in compacted.kept[:-1]], compacted.parameters
    ([[0, 1, 3], [0, 2]], Change(before=3195, after=2393))

    Args:
      model: The model, with its variables; it is left unchanged.
      masks: The masks in layer order, multiplied with the model's own; by default the model's own alone.
      image_size: The height and width of the images whose `flops` to count; by default 28 x 28 for `MNIST_CNN` and
        32 x 32 for `CIFAR10_CNN`. Nothing else depends on it, and for `MNIST_FC` nothing at all.

    Returns:
      The compacted model, with the units kept and the operations saved.

    Raises:
      TypeError: If the model is none of the three.
      ValueError: If the model was never called, the masks do not fit it, or the images are too small for it.
    """
    structure.check_called(model)
    own = _own_masks(model, masks)
    before = _flops(model, image_size)
    taps, shifts = _fold(model, own)
    live = [after.any(axis=(0, 2)) for after in taps[1:]]
    # A layer needs a unit: of none, the first stays, connected to nothing.
    kept = [np.flatnonzero(units) if units.any() else np.zeros(1, np.intp) for units in live]
    kept.append(np.arange(model.layers[-1].output_size))
    new = structure.rebuild(model, [len(units) for units in kept[:-1]])
    _fill(new, model, taps, shifts, kept)
    return Compacted(
        original=model,
        model=new,
        kept=tuple(kept),
        stayed=_stayed(own, taps, kept),
        parameters=Change(_parameters(model), _parameters(new)),
        flops=Change(before, _flops(new, image_size)),
    )


def _own_masks(model: models.MaskedModel, masks: Masks | None) -> list[Mask]:
    """Returns the masks as `[taps, inputs, outputs]`: the product of the model's and the given ones."""
    own = model.masks
    if masks is not None:
        given = [layer.mask for layer in chain(masks)]
        shapes, needed = [mask.shape for mask in given], [mask.shape for mask in own]
        if shapes != needed:
            raise ValueError(f"masks (of shapes {shapes}) must have the shapes of the model's weights, {needed}.")
        own = [mask & other for mask, other in zip(own, given, strict=True)]
    return [mask.reshape(-1, *mask.shape[-2:]) for mask in own]


def _fold(model: models.MaskedModel, masks: Sequence[Mask]) -> tuple[list[Mask], list[Floats]]:
    """Folds constants into the next layer, then removes the connections into units that nothing reads.

    One sweep forward and one back reach the fixed point: forward, a layer's constants are known once those before it
    are folded; and back, to drop a unit that nothing reads takes no input from any other.

    Args:
      model: The model.
      masks: Its masks, `[taps, inputs, outputs]`.

    Returns:
      The connections left, and for each layer what the constants folded into it add before its bias or batch norm.
    """
    taps = [mask.copy() for mask in masks]
    shifts: list[Floats] = [np.zeros(layer.output_size) for layer in model.layers]
    for index, after in enumerate(taps[1:]):
        silent = np.flatnonzero(~taps[index].any(axis=(0, 1)))
        constants = _emitted(model, index, shifts[index])[silent]
        middle = _middle(model.layers[index + 1])
        connections = after[:, silent]
        varies = np.delete(connections, middle, axis=0).any(axis=0) & (constants != 0)[:, np.newaxis]
        weight = model.layers[index + 1].w.numpy().reshape(after.shape)[middle, silent]
        shifts[index + 1] += constants @ np.where(connections[middle] & ~varies, weight, 0)
        after[:, silent] &= varies
    for before, after in zip(taps[-2::-1], taps[:0:-1], strict=True):
        before &= after.any(axis=(0, 2))
    return taps, shifts


def _emitted(model: models.MaskedModel, index: int, shift: Floats) -> Floats:
    """Returns the outputs of a hidden layer whose only inputs are the constants folded into it, `[units]`."""
    if model.norms:
        norm = model.norms[index]
        inputs = tf.constant(shift.reshape(norm.shape), norm.scale.dtype)
        outputs: Floats = norm(inputs, is_training=False).numpy().ravel()
    else:
        outputs = model.layers[index].b.numpy() + shift
    return np.maximum(outputs, 0).astype(np.float64)


def _middle(layer: models.MaskedLayer) -> int:
    """Returns the tap of a zero-padded kernel at offset zero; the one tap of a dense layer."""
    if isinstance(layer, models.MaskedLinear):
        return 0
    before = (layer.kernel_size - 1) // 2
    return before * layer.kernel_size + before


def _fill(
    new: models.MaskedModel,
    model: models.MaskedModel,
    taps: Sequence[Mask],
    shifts: Sequence[Floats],
    kept: Sequence[npt.NDArray[np.intp]],
) -> None:
    """Sets the variables of the compacted model."""
    inputs = np.arange(taps[0].shape[1])
    for layer, old, mask, shift, units in zip(new.layers, model.layers, taps, shifts, kept, strict=True):
        layer.set_mask(mask[:, inputs][..., units].reshape(layer.w.shape))
        layer.set_weight(old.w.numpy()[..., inputs, :][..., units])
        if layer.with_bias:
            layer.b.assign((old.b.numpy() + shift)[units])
        inputs = units
    for norm, old_norm, shift, units in zip(new.norms, model.norms, shifts, kept, strict=False):
        structure.copy_norm(old_norm, norm, units)
        moving: Any = norm.moving_mean
        less = tf.constant(shift[units].reshape(norm.shape), norm.scale.dtype)
        moving.average.assign_sub(less)
        # The sum behind the average, still to be divided by this, follows, so that later updates go on from there.
        updates = tf.cast(moving._counter, less.dtype)
        moving._hidden.assign_sub(less * (1 - tf.pow(tf.cast(moving._decay, less.dtype), updates)))


def _stayed(masks: Sequence[Mask], taps: Sequence[Mask], kept: Sequence[npt.NDArray[np.intp]]) -> tuple[Stayed, ...]:
    """Finds the hidden units that are kept though no path of connections leads through them from the images."""
    found = []
    reached = np.arange(masks[0].shape[1])
    for layer, units in enumerate(kept[:-1]):
        reached = np.flatnonzero(masks[layer][:, reached].any(axis=(0, 1)))
        read = np.flatnonzero(taps[layer + 1].any(axis=(0, 2)))
        for unit in units[~(np.isin(units, reached) & np.isin(units, read))].tolist():
            if unit not in read:
                reason = "its layer has no other unit left, and needs one"
            elif taps[layer][..., unit].any():
                reason = "it reads only units that stayed, and its output varies near the border of the image"
            else:
                reason = "it emits a constant, and the next convolution reads zero padding at the border instead"
            found.append(Stayed(layer, unit, reason))
    return tuple(found)


def _parameters(model: models.MaskedModel) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def _flops(model: models.MaskedModel, image_size: tuple[int, int] | None) -> int:
    poolings = structure.poolings(model)
    size = image_size or IMAGE_SIZES.get(type(model), (1, 1))
    if min(size) < 2 ** poolings[-1]:
        raise ValueError(
            f"image_size (={size}) must be at least {2 ** poolings[-1]} in height and width: the model "
            f"has {poolings[-1]} poolings by 2."
        )
    total = 0
    for layer, pooled in zip(model.layers, poolings, strict=True):
        positions = 1 if isinstance(layer, models.MaskedLinear) else (size[0] >> pooled) * (size[1] >> pooled)
        total += positions * int(np.prod(layer.w.shape))
    return total


def _compile(model: models.MaskedModel, jit_compile: bool) -> Any:
    return tf.function(lambda images: model(images, is_training=False), jit_compile=jit_compile)
