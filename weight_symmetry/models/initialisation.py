"""Sparse initialisation: weights whose scale counts only the connections that a neuron still has."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from weight_symmetry import masks as generators
from weight_symmetry.masks.generators import checked_generator
from weirdonetworks.algebra.arrays import integer
from weirdonetworks.lab import seeds

if TYPE_CHECKING:
    from weight_symmetry.masks import Masks

SCHEMES = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform")


def initialise(masks: "Masks", seed: int, trial: int = 0, scheme: str = "he_normal") -> None:
    """Draws new values of a model's weights under its masks; assigns values, so nothing is traced again.

    Each weight draws from a seed of its own, scaled by the connections that its present mask leaves (see `draw`), so
    set the masks first. Other variables, such as biases and batch norms, keep their values.

    >>> import tensorflow as tf
    >>> from weight_symmetry import masks, models
    >>> model = models.MNIST_FC(features=(32, 16))
    >>> _ = model(tf.ones([1, 28, 28, 1]), is_training=False)
    >>> initialise(masks.Masks.create(model, "random", 0.9), seed=42, trial=1, scheme="glorot_uniform")

    Args:
      masks: The masks of the weights to draw.
      seed: The base seed of the experiment.
      trial: The number of the trial; each has its own weights.
      scheme: One of `SCHEMES`; or `own`, which draws nothing, and sets the cut weights to zero.

    Raises:
      TypeError: If the masks are no `Masks`.
      ValueError: If the scheme is unknown.
    """
    from weight_symmetry.masks.model_masks import checked_masks

    masks, seed, trial = checked_masks(masks), integer("seed", seed), integer("trial", trial)
    if isinstance(scheme, str) and scheme == "own":
        masks.apply()
        return
    for index, (weight, mask) in enumerate(zip(masks.weights, masks.arrays, strict=True)):
        weight.assign(draw(mask, seeds.generator(seed, "init", index, trial), scheme))


def draw(mask: npt.ArrayLike, rng: np.random.Generator, scheme: str = "he_normal") -> npt.NDArray[np.float64]:
    """Draws a layer's weights, with each neuron's variance set by its live connections.

    A neuron's weights have variance `2 / fan_in` (He) or `2 / (fan_in + fan_out)` (Glorot). Its fan-in counts its live
    connections alone, at every kernel position. The fan-out, the same for the whole layer, is the number of live
    neurons (those with any connection left), times the kernel positions, so that a mask of ones gives the usual
    Glorot. The uniform schemes reach out to `sqrt(3)` deviations on either side.

    The generator draws one number for each entry of the mask, 0 or 1: a mask changes only the scale of the connections
    that it keeps. With a mask of ones, `he_normal` gives `rng.normal(0, sqrt(2 / fan_in), shape)` exactly.

    >>> weight = draw([[1, 0, 0], [1, 1, 0]], np.random.default_rng(0), "he_uniform")
    >>> np.abs(weight) <= np.sqrt([3, 6, 0])  # Neurons with two, one and no inputs.
    array([[ True,  True,  True],
           [ True,  True,  True]])
    >>> (weight != 0).tolist()
    [[True, False, False], [True, True, False]]

    Sources: He et al., Delving Deep into Rectifiers (2015), equation (10); Glorot & Bengio, Understanding the
    difficulty of training deep feedforward neural networks (2010), equation (12); with a fan-in for each neuron, Evci
    et al., Gradient Flow in Sparse Neural Networks and How Lottery Tickets Win (2022).

    Args:
      mask: Zeros and ones, `[..., in, out]`; a neuron, or filter, is the last axis.
      rng: The random generator.
      scheme: One of `SCHEMES`.

    Returns:
      The weight, shaped like the mask; exactly zero where that is, so a neuron without inputs is zero throughout.

    Raises:
      ValueError: If the array is not a mask, or the scheme is unknown.
    """
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise ValueError(f"scheme (={scheme!r}) must be one of {', '.join(SCHEMES)}.")
    kept, rng = generators.as_mask(mask, "mask"), checked_generator(rng)
    connections = kept.reshape(-1, kept.shape[-1]).sum(axis=0)
    fans = connections
    if scheme.startswith("glorot"):
        positions = kept[..., 0, 0].size
        fans = connections + positions * np.count_nonzero(connections)
    # A dead neuron's weights are all masked: 1 only avoids a division by zero.
    deviation = np.sqrt(2.0 / np.maximum(fans, 1))
    if scheme.endswith("normal"):
        weight = rng.standard_normal(kept.shape)
    else:
        weight = rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), kept.shape)
    weight *= deviation
    weight[~kept] = 0.0
    return weight
