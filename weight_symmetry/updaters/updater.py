"""The form of all updaters, and the one that draws its masks once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.masks import Mask, Masks, connections_added, create
from weight_symmetry.masks.model_masks import checked_masks
from weirdonetworks.algebra.arrays import at_least, brief

# Computes the gradient of the loss for each masked weight, at cut connections too.
Gradients: TypeAlias = Callable[[], Sequence[npt.ArrayLike]]


def count_of(name: str, value: Any) -> int:
    """Returns a number of finished epochs or steps, as an integer; also of a variable that counts them.

    >>> count_of("step", tf.Variable(3))
    3
    """
    return at_least(name, value.numpy() if hasattr(value, "numpy") else value, 0)


def checked_indices(name: str, indices: Any, count: int) -> list[int]:
    """Returns the indices of some of `count` masked weights; raises a TypeError or ValueError if they are none."""
    if not isinstance(indices, Collection) or isinstance(indices, str):
        raise TypeError(f"{name} (={brief(indices)}) must be a collection of integers.")
    for index in indices:
        if index not in range(count):
            raise ValueError(f"{name}: {index!r} must be in [0, {count}), the masked weights.")
    return list(indices)


class Updater:
    """A rule by which masks change during training; this one leaves them as they are.

    An updater scores the weights, masks by the scores, and sets the weights, at a schedule. In one's own training loop
    it is called before each epoch, or before each step if it has an interval:

        for epoch in range(epochs):
            updater.update(epoch)
            train_one_epoch()  # With an optimizer wrapped by the masks.

    >>> masks = Masks.create([tf.Variable(tf.ones([8, 8]))], "random", 0.75)
    >>> Updater(masks).update(0), int(masks.arrays[0].sum())
    (False, 16)

    Attributes:
      masks: The masks that it changes.
      interval: The number of steps between changes; None if it counts epochs.
      end: The number of steps from which on it changes nothing; None if there is none.
    """

    interval: int | None = None
    end: int | None = None

    def __init__(self, masks: Masks):
        """Takes the masks.

        Raises:
          TypeError: If they are no `Masks`.
        """
        self.masks = checked_masks(masks)
        self._initial = masks.arrays

    def is_due(self, step: int) -> bool:
        """Tells whether an updater with an interval changes the masks once `step` steps are finished."""
        step = count_of("step", step)
        if self.interval is None or step <= 0 or step % self.interval:
            return False
        return self.end is None or step < self.end

    def proposed(self, epoch: int, gradients: Gradients | None = None) -> list[Mask] | None:
        """Returns the masks due once `epoch` epochs are finished; None to leave them as they are.

        Args:
          epoch: The number of finished epochs, or steps if the updater has an interval.
          gradients: Computes the gradient of each masked weight; an updater that needs it calls it when it is due.
        """
        return None

    def update(self, epoch: int, gradients: Gradients | None = None) -> bool:
        """Sets the masks due once `epoch` epochs are finished; returns whether there were any.

        Args: as for `proposed`; the number may be that of a variable.

        Raises:
          TypeError: If the number is no integer.
          ValueError: If it is negative.
        """
        epoch = count_of("epoch", epoch)
        # An updater of epochs need not take gradients.
        masks = self.proposed(epoch) if gradients is None else self.proposed(epoch, gradients)
        if masks is None:
            return False
        self.masks.set(masks)
        return True

    def start_overlap(self) -> float:
        """Returns the share of the kept connections that were kept when the updater was made, too."""
        now = self.masks.arrays
        both = sum(int((one & other).sum()) for one, other in zip(now, self._initial, strict=True))
        return both / max(sum(int(mask.sum()) for mask in now), 1)

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """What it needs to be saved in checkpoints, by name."""
        return {}

    @property
    def record(self) -> Mapping[str, Any]:
        """Entries on the last update for the record of a training."""
        return {}

    @property
    def statistics(self) -> Mapping[str, Any]:
        """Statistics of its masks that cannot be computed from them alone."""
        return {}


class FixedMask(Updater):
    """An updater that draws masks when it is made, and leaves them.

    >>> import sonnet as snt
    >>> model = snt.nets.MLP([8, 4])
    >>> _ = model(tf.ones([1, 16]))
    >>> fixed = FixedMask(Masks(model), "per-neuron", 0.75, seed=1, indices=[0])
    >>> fixed.update(0), [mask.sum(axis=0).tolist() for mask in fixed.masks.arrays]
    (False, [[4, 4, 4, 4, 4, 4, 4, 4], [8, 8, 8, 8]])
    """

    def __init__(
        self,
        masks: Masks,
        mask_type: str,
        sparsity: float | Sequence[float],
        *,
        seed: int = 0,
        distribution: str = "uniform",
        group_size: int = 0,
        indices: Collection[int] | None = None,
    ):
        """Draws masks, and sets the weights that they cut to zero.

        Args:
          masks: The masks.
          mask_type: One of `masks.MASK_TYPES`.
          sparsity: The fraction of connections to cut, in [0, 1], or that of each weight.
          seed: The base seed.
          distribution: How the sparsity is distributed over the weights, one of `masks.DISTRIBUTIONS`.
          group_size: The greatest number of neurons in a group, for `grouped`; 0 for as many as reach all inputs.
          indices: The indices of the weights to draw masks of, all by default; those of others become ones.

        Raises:
          TypeError: If `masks` is no `Masks`, `indices` no collection, or the seed no integer.
          ValueError: If an argument is out of its range.
        """
        super().__init__(masks)
        arrays = [np.ones(weight.shape, bool) for weight in masks.weights]
        everything = range(len(arrays))
        chosen = checked_indices("indices", everything if indices is None else indices, len(arrays))
        shapes = [arrays[index].shape for index in chosen]
        drawn = create(mask_type, shapes, sparsity, seed, distribution=distribution, group_size=group_size)
        for index, mask in zip(chosen, drawn, strict=True):
            arrays[index] = mask
        masks.set(arrays)
        self._added = sum(connections_added(mask_type, shapes, sparsity, distribution=distribution))

    @property
    def statistics(self) -> Mapping[str, Any]:
        """The number of connections added so that every input keeps one."""
        return {"connections_added": self._added}
