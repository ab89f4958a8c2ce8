"""Sets of varying size: conversion between ragged batches and padded ones with a mask, and counts of items."""

from typing import Any

import tensorflow as tf

from weirdonetworks.nets.pooling import accumulator


def as_dense(inputs: tf.Tensor | tf.RaggedTensor, mask: Any = None) -> tuple[tf.Tensor, Any, tf.Tensor | None]:
    """Pads a ragged batch of sets to a dense one with a mask; returns a dense batch unchanged.

    >>> dense, mask, lengths = as_dense(tf.ragged.constant([[[1.0], [2.0]], [[3.0]]], ragged_rank=1))
    >>> mask.numpy().tolist(), lengths.numpy().tolist()
    ([[True, True], [True, False]], [2, 1])

    Args:
      inputs: Sets, `[batch, items, features]`, perhaps ragged in the items.
      mask: Which items are present, `[batch, items]`; None for all, and with ragged inputs.

    Returns:
      The dense sets; the mask; and the number of items of each ragged set, `[batch]`, or None for dense inputs.

    Raises:
      ValueError: If ragged inputs come with a mask, or are ragged in another axis.
    """
    if not isinstance(inputs, tf.RaggedTensor):
        return inputs, mask, None
    if mask is not None:
        raise ValueError("mask must be None with ragged inputs, whose rows hold the items that are present.")
    if inputs.ragged_rank != 1:
        raise ValueError(f"inputs of shape {inputs.shape} must be ragged in the items alone.")
    dense, lengths = inputs.to_tensor(), inputs.row_lengths()
    return dense, tf.sequence_mask(lengths, tf.shape(dense)[1]), lengths


def restored(outputs: tf.Tensor, mask: tf.Tensor | None, lengths: tf.Tensor | None) -> tf.Tensor | tf.RaggedTensor:
    """Converts outputs `[batch, items, features]` back to ragged if the inputs were, else masks absent items by 0."""
    if lengths is not None:
        return tf.RaggedTensor.from_tensor(outputs, lengths)
    return outputs if mask is None else tf.where(mask[:, :, None], outputs, tf.zeros([], outputs.dtype))


def count_items(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Counts the items present in each set, `[batch]`, or `[1]` without a mask; an empty set counts as 1.

    The counts have the type in which values are summed (see `pooling.accumulator`).
    """
    dtype = accumulator(values.dtype)
    if mask is None:
        return tf.cast(tf.shape(values)[1:2], dtype)
    return tf.maximum(tf.reduce_sum(tf.cast(mask, dtype), axis=1), tf.ones([], dtype))
