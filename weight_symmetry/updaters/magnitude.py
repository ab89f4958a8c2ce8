"""Magnitude pruning: keeps the weights of largest magnitude."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks import Mask, Masks
from weight_symmetry.masks.distributions import checked_fraction
from weight_symmetry.updaters.schedules import SCOPES, Sparsity
from weight_symmetry.updaters.updater import Gradients, Updater, checked_indices
from weirdonetworks.algebra.arrays import array, brief, listed

Array = npt.NDArray[np.floating]


class MagnitudePruning(Updater):
    """Cuts the weights of least magnitude, to a sparsity that rises over the epochs.

    Called with the number of finished steps in place of epochs, it prunes by a schedule of steps. It need not be called
    at each of them: `if step % 100 == 0: pruning.update(step)` prunes every hundred steps.

    >>> import sonnet as snt, tensorflow as tf
    >>> from weight_symmetry.updaters import CubicSparsity
    >>> model = snt.nets.MLP([8, 4])
    >>> _ = model(tf.ones([1, 16]))
    >>> pruning = MagnitudePruning(Masks(model), CubicSparsity(final=0.9, begin=1, end=3), scope="global")
    >>> for epoch in range(4):
    ...     changed = pruning.update(epoch)  # Then train one epoch with an optimizer wrapped by the masks.
    ...     print(changed, f"{pruning.masks.sparsity:.3f}")
    False 0.000
    False 0.000
    True 0.787
    True 0.900
    """

    def __init__(self, masks: Masks, schedule: Sparsity | Mapping[int, Sparsity], scope: str = "layer"):
        """Makes the updater.

        Args:
          masks: The masks.
          schedule: The total sparsity after a number of epochs or steps, of all masked weights, or of each by its
            index; the weights without a schedule are not pruned.
          scope: `layer` if each weight is to reach the sparsity, `global` if all of them together.

        Raises:
          TypeError: If `masks` is no `Masks`, or a schedule cannot be called.
          ValueError: If an index or the scope is unknown, or the schedules differ when the scope is global.
        """
        super().__init__(masks)
        indices = range(len(masks.weights))
        self._schedules = dict(schedule) if isinstance(schedule, Mapping) else dict.fromkeys(indices, schedule)
        self._scope = scope
        if unknown := [index for index in self._schedules if index not in indices]:
            raise ValueError(f"schedule: index {unknown[0]} must be in [0, {len(indices)}), the masked weights.")
        if wrong := [each for each in self._schedules.values() if not callable(each)]:
            raise TypeError(f"schedule (={wrong[0]!r}) must be one of sparsities, such as CubicSparsity(0.9, 2, 8).")
        _check(scope, set(self._schedules.values()), "schedules")
        self._epoch: int | None = None  # Of the last call.
        self._before: int | None = None  # Of the one before it.

    def proposed(self, epoch: int, gradients: Gradients | None = None) -> list[Mask] | None:
        """Returns masks of the schedule's sparsity if it has risen since the last call at an earlier epoch.

        At the first call the sparsity is compared with that of one epoch before, and with that of the masks, which may
        be those of a training that is resumed.
        """
        if epoch != self._epoch:
            self._before, self._epoch = self._epoch, epoch
        first = self._before is None or self._before > epoch
        before = epoch - 1 if first else self._before
        levels = self._levels(epoch)
        earlier = dict.fromkeys(levels, 0.0) if before is None or before < 0 else self._levels(before)
        rises = {index: level for index, level in levels.items() if level > earlier[index]}
        if first:
            rises |= self._lacking(epoch)
        if not rises:
            return None
        weights = [weight.numpy() for weight in self.masks.weights]
        return magnitude_masks(weights, self.masks.arrays, rises, self._scope)

    def _levels(self, epoch: int) -> dict[int, float]:
        """Returns the sparsities of the schedules."""
        schedules = self._schedules.items()
        return {index: checked_fraction(f"schedule({epoch})", schedule(epoch)) for index, schedule in schedules}

    def _lacking(self, epoch: int) -> dict[int, float]:
        """Returns the sparsities of the schedule that the masks do not have."""
        levels = self._levels(epoch)
        masks = self.masks.arrays
        lacking = {}
        for group in [list(levels)] if self._scope == "global" else [[index] for index in levels]:
            kept, size = (sum(int(count(masks[index])) for index in group) for count in (np.count_nonzero, np.size))
            if group and size - kept < round(levels[group[0]] * size):
                lacking.update({index: levels[index] for index in group})
        return lacking


def magnitude_masks(
    weights: Sequence[Array], masks: Sequence[npt.NDArray[Any]], sparsities: Mapping[int, float], scope: str = "layer"
) -> list[npt.NDArray[np.bool_]]:
    """Masks the weights of least magnitude.

    Exactly `round(sparsity * size)` weights are masked in total: those already masked first, then by magnitude, ties
    broken by position. A masked weight stays masked, also where that exceeds the sparsity.

    >>> masks = magnitude_masks([np.array([[3.0, -1.0, 2.0, -4.0]])], [np.ones((1, 4))], {0: 0.5})
    >>> masks[0].astype(int).tolist()
    [[1, 0, 0, 1]]

    Args:
      weights: The layers' weights.
      masks: Their present masks, of the same shapes.
      sparsities: Layer index -> the total fraction of its weights to mask, in [0, 1]. Other layers keep their masks.
      scope: `layer`: each layer reaches its own sparsity. `global`: the layers are ranked together, and reach the
        sparsity, which must be one for all, over all of them.

    Returns:
      The new masks, in layer order.

    Raises:
      TypeError: If the sparsities are no mapping.
      ValueError: If an index or the scope is unknown, a sparsity not in [0, 1], or the scope global and they differ.
    """
    if not isinstance(sparsities, Mapping):
        raise TypeError(f"sparsities (={sparsities!r:.50}) must map the indices of layers to sparsities.")
    weights, masks = listed("weights", weights, "arrays"), listed("masks", masks, "arrays")
    result = [_numbers("masks", mask) > 0 for mask in masks]
    if [_numbers("weights", weight).shape for weight in weights] != [mask.shape for mask in result]:
        raise ValueError("weights and masks must be as many, of the same shapes.")
    checked_indices("sparsities", sparsities, len(masks))
    sparsities = {index: checked_fraction(f"sparsities[{index}]", each) for index, each in sparsities.items()}
    _check(scope, set(sparsities.values()), "sparsities")
    if scope == "layer" or not sparsities:
        for index, sparsity in sparsities.items():
            result[index] = _keep_largest(weights[index], result[index], sparsity)
        return result
    indices = sorted(sparsities)
    kept = _keep_largest(
        np.concatenate([np.ravel(weights[index]) for index in indices]),
        np.concatenate([result[index].ravel() for index in indices]),
        sparsities[indices[0]],
    )
    ends = np.cumsum([result[index].size for index in indices])
    for index, part in zip(indices, np.split(kept, ends[:-1]), strict=True):
        result[index] = part.reshape(result[index].shape)
    return result


def _numbers(name: str, values: Array) -> Array:
    numbers = array(name, values)
    if numbers.dtype.kind not in "biufV":  # V: bfloat16.
        raise TypeError(f"{name} (={brief(values)}) must hold arrays of numbers.")
    return numbers


def _check(scope: str, levels: Collection[object], name: str) -> None:
    if not isinstance(scope, str) or scope not in SCOPES:
        raise ValueError(f"scope (={scope}) must be one of {', '.join(SCOPES)}.")
    if scope == "global" and len(levels) > 1:
        raise ValueError(f"{name} (={[*levels]}) must be equal when the scope is global.")


def _keep_largest(weight: Array, mask: npt.NDArray[np.bool_], sparsity: float) -> npt.NDArray[np.bool_]:
    # -1 is below every magnitude: masked weights come first.
    saliency = np.where(mask, np.abs(weight), -1.0).ravel()
    count = max(round(sparsity * mask.size), int(mask.size - mask.sum()))
    kept = np.ones(mask.size, bool)
    kept[np.argsort(saliency, kind="stable")[:count]] = False
    return kept.reshape(mask.shape)
