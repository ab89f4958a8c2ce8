"""Updaters of networks that are sparse from the start: connections are dropped, and as many grown elsewhere."""

import abc
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.masks import Mask, Masks
from weight_symmetry.masks.distributions import checked_fraction
from weight_symmetry.masks.generators import as_mask
from weight_symmetry.updaters.updater import Gradients, Updater, checked_indices
from weirdonetworks.algebra.arrays import at_least, brief, integer
from weirdonetworks.lab import seeds

Array = npt.NDArray[np.floating]


class DropAndGrow(Updater, abc.ABC):
    """Drops the weights of least magnitude, and grows as many connections, at an interval of steps.

    After `t = interval, 2 interval, ...` steps, while `t < end`, each weight with n kept connections drops

        round(n drop_fraction / 2 (1 + cos(pi t / end)))

    of them and grows as many of those then cut, so that its sparsity stays. A grown connection starts at zero, with
    the moments of wrapped optimizers at zero; one that is dropped and grown at once stays as it is. Dense weights, with
    a mask of ones, stay dense.

    Source: Evci et al., Rigging the Lottery: Making All Tickets Winners (2020), section 3.
    """

    interval: int
    end: int

    def __init__(self, masks: Masks, *, interval: int = 100, end: int, drop_fraction: float = 0.3):
        """Makes the updater.

        Args:
          masks: The masks, drawn sparse: `Masks.create(model, "random", 0.9)`.
          interval: The number of steps between changes, at least 1.
          end: The number of steps after which the masks stay, such as three quarters of the training.
          drop_fraction: The fraction of connections that is exchanged at first, in [0, 1].

        Raises:
          TypeError: If `masks` is no `Masks`.
          ValueError: If an argument is out of its range, or the masks cut nothing.
        """
        super().__init__(masks)
        self.interval = at_least("interval", interval, 1)
        self.end = at_least("end", end, 1)
        self._drop_fraction = checked_fraction("drop_fraction", drop_fraction)
        if all(mask.all() for mask in self._initial):
            raise ValueError("masks must cut some connections, which may grow: Masks.create(model, 'random', 0.9).")

    def fraction(self, step: int) -> float:
        """Returns the fraction of connections that is dropped after a number of steps."""
        return self._drop_fraction / 2 * (1 + math.cos(math.pi * step / self.end)) if step < self.end else 0.0

    def proposed(self, epoch: int, gradients: Gradients | None = None) -> list[Mask] | None:
        """Returns the masks due after `epoch` steps; None if none are.

        Args:
          epoch: The number of finished steps.
          gradients: Computes the gradient of each masked weight, at cut connections too.
        """
        if not self.is_due(epoch):
            return None
        before, fraction = self.masks.arrays, self.fraction(epoch)
        scores = self.growth_scores(epoch, gradients)
        return [
            mask if mask.all() else self._changed(index, weight.numpy(), mask, score, round(fraction * int(mask.sum())))
            for index, (weight, mask, score) in enumerate(zip(self.masks.weights, before, scores, strict=True))
        ]

    @abc.abstractmethod
    def growth_scores(self, step: int, gradients: Gradients | None) -> Sequence[Array]:
        """Scores the connections of each masked weight; of those that are cut, the highest grow."""

    def _changed(self, index: int, weight: Array, mask: Mask, scores: Array, count: int) -> Mask:
        return drop_and_grow(weight, mask, scores, count)

    @property
    def statistics(self) -> Mapping[str, Any]:
        """The share of the kept connections that were kept at the start, too."""
        return {"start_overlap": self.start_overlap()}


class SET(DropAndGrow):
    """Sparse evolutionary training: grows connections at random (Mocanu et al. 2018).

    The paper exchanges a constant fraction after each epoch; here the fraction falls, as for the others.

    >>> import tensorflow as tf
    >>> masks = Masks.create([tf.Variable(tf.ones([8, 8]))], "random", 0.75)
    >>> evolving = SET(masks, interval=10, end=100, drop_fraction=0.5)
    >>> evolving.update(10), int(masks.arrays[0].sum()), evolving.statistics["start_overlap"] < 1
    (True, 16, True)
    """

    def __init__(self, masks: Masks, *, interval: int = 100, end: int, drop_fraction: float = 0.3, seed: int = 0):
        """Makes the updater.

        Args:
          masks: The masks, drawn sparse: `Masks.create(model, "random", 0.9)`.
          interval: The number of steps between changes, at least 1.
          end: The number of steps after which the masks stay, such as three quarters of the training.
          drop_fraction: The fraction of connections that is exchanged at first, in [0, 1].
          seed: The base seed; each weight draws at each change from a seed of its own.

        Raises:
          TypeError: As for all, or if the seed is not an integer.
        """
        super().__init__(masks, interval=interval, end=end, drop_fraction=drop_fraction)
        self._seed = integer("seed", seed)

    def growth_scores(self, step: int, gradients: Gradients | None) -> Sequence[Array]:
        """Draws the scores."""
        return [
            seeds.generator(self._seed, "grow", index, step).random(weight.shape)
            for index, weight in enumerate(self.masks.weights)
        ]


class RigL(DropAndGrow):
    """Grows the connections whose gradients are largest (Evci et al. 2020).

    In one's own loop, `gradients` is a function, since they are computed at a change alone:

    >>> import sonnet as snt, tensorflow as tf
    >>> model, images, labels = snt.nets.MLP([8, 4]), tf.random.normal([32, 6]), tf.range(32) % 4
    >>> def gradients(variables):
    ...     with tf.GradientTape() as tape:
    ...         loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images)))
    ...     return tape.gradient(loss, variables)
    >>> _ = model(images)
    >>> masks = Masks.create(model, "random", 0.5)
    >>> optimizer = masks.wrap(snt.optimizers.Adam(0.01))
    >>> rigl = RigL(masks, interval=2, end=6)
    >>> for step in range(8):
    ...     if rigl.update(step, lambda: gradients(masks.weights)):
    ...         print(step, [int(mask.sum()) for mask in masks.arrays])
    ...     _ = optimizer.apply(gradients(model.trainable_variables), model.trainable_variables)
    2 [24, 16]
    4 [24, 16]
    """

    def growth_scores(self, step: int, gradients: Gradients | None) -> Sequence[Array]:
        """Returns the magnitudes of the gradients."""
        if not callable(gradients):
            raise TypeError(
                f"gradients (={brief(gradients)}) must be a function that computes them: update(step, gradients)."
            )
        computed = gradients()
        if isinstance(computed, str) or not np.iterable(computed):
            raise TypeError(f"gradients() (={brief(computed)}) must be a list: tape.gradient(loss, masks.weights).")
        found = [_magnitudes(each) for each in computed]
        given, shapes = [each.shape for each in found], [tuple(weight.shape) for weight in self.masks.weights]
        if given != shapes:
            raise ValueError(
                f"gradients() (of shapes {given}) must be those of the masked weights, {shapes}: "
                "tape.gradient(loss, masks.weights)."
            )
        return found


class SRigL(RigL):
    """RigL with a constant fan-in, and neurons without salient weights ablated (Lasby et al. 2024).

    A weight is salient if it is kept, or among the connections that RigL would grow. Of a layer whose living neurons
    have k connections each,

    1. a neuron with fewer than `min_salient k` salient weights is ablated, though never the last one; another one lives
       again as soon as it has enough, and there are at most as many as the layer has connections;
    2. the others share the layer's connections: each has as many, at most by rounding fewer than at the start;
    3. they keep what RigL keeps, and are filled up in the order of the gradients.

    Of the weights in `never_ablated` all neurons stay, as those of the outputs must.

    >>> import tensorflow as tf
    >>> weight = tf.Variable([[1.0, 2.0, 0.1], [3.0, 4.0, 0.2], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    >>> masks = Masks([weight])
    >>> masks.set([[[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]])
    >>> SRigL(masks, interval=1, end=1000, drop_fraction=0.34).update(1, lambda: [tf.zeros([4, 3])])
    True
    >>> masks.arrays[0].sum(axis=0).tolist()  # The third neuron had the two least weights.
    [3, 3, 0]
    """

    def __init__(
        self,
        masks: Masks,
        *,
        interval: int = 100,
        end: int,
        drop_fraction: float = 0.3,
        min_salient: float = 0.3,
        never_ablated: Collection[int] = (),
    ):
        """Makes the updater.

        Args:
          masks: The masks, drawn with a constant fan-in: `Masks.create(model, "per-neuron", 0.9)`.
          interval: The number of steps between changes, at least 1.
          end: The number of steps after which the masks stay, such as three quarters of the training.
          drop_fraction: The fraction of connections that is exchanged at first, in [0, 1].
          min_salient: The least number of salient weights of a neuron, as a fraction of its connections, in [0, 1].
          never_ablated: The indices of the masked weights whose neurons all stay, such as the model's outputs.

        Raises:
          ValueError: If the living neurons of a weight differ in their number of connections, or an index is of none.
        """
        super().__init__(masks, interval=interval, end=end, drop_fraction=drop_fraction)
        self._min_salient = checked_fraction("min_salient", min_salient)
        self._never_ablated = frozenset(checked_indices("never_ablated", never_ablated, len(masks.weights)))
        for index, mask in enumerate(self._initial):
            self._check_fan_in(index, mask)

    def _check_fan_in(self, index: int, mask: Mask) -> None:
        """Raises a ValueError unless the living neurons of a mask have equally many connections."""
        fans = np.unique(mask.reshape(-1, mask.shape[-1]).sum(axis=0))
        if len(fans[fans > 0]) > 1:
            raise ValueError(
                f"mask of {self.masks.names[index]} (fan-ins {fans.min()} to {fans.max()}) must have one fan-in for "
                "all neurons: Masks.create(model, 'per-neuron', sparsity)."
            )

    def _changed(self, index: int, weight: Array, mask: Mask, scores: Array, count: int) -> Mask:
        self._check_fan_in(index, mask)  # It may have been set since.
        neurons = mask.shape[-1]
        kept = mask.reshape(-1, neurons)
        magnitude, score = (each.reshape(-1, neurons) for each in (np.abs(weight), scores))
        size, total = int(kept.sum()) - count, int(self._initial[index].sum())
        salient = (_highest(magnitude, kept, size) | _highest(score, ~kept, count)).sum(axis=0)
        least = 0 if index in self._never_ablated else self._min_salient * kept.sum(axis=0).max()
        alive = salient >= least
        alive[np.argmax(salient)] = True
        alive = _highest(salient, alive, max(total, 1))  # So that each has a connection.
        survivors = _highest(magnitude, kept & alive, size)
        fan_in = min(total // int(alive.sum()), len(kept))
        # Survivors by magnitude, then the others by gradient.
        order = np.lexsort((np.where(survivors, -magnitude, -score), ~survivors), axis=0)
        changed = np.zeros_like(kept)
        np.put_along_axis(changed, order[:fan_in], True, axis=0)
        changed &= alive
        return changed.reshape(mask.shape)


def drop_and_grow(weight: Array, mask: Mask, scores: Array, count: int) -> Mask:
    """Drops the kept weights of least magnitude, and grows as many connections of highest score; ties by position.

    NaN is below all magnitudes and scores.

    >>> drop_and_grow(np.array([[1.0, -3.0, 0.0, 0.0]]), np.array([[True, True, False, False]]), np.eye(1, 4, 3), 1)
    array([[False,  True, False,  True]])

    Args:
      weight: The weight.
      mask: Its mask, zeros and ones.
      scores: The score of each of its connections.
      count: The number of connections to exchange, at most those kept.

    Returns:
      A new mask, which keeps as many connections.
    """
    mask = as_mask(mask, "mask")
    survivors = _highest(np.abs(weight), mask, int(mask.sum()) - at_least("count", count, 0, int(mask.sum())))
    return survivors | _highest(scores, ~survivors, count)


def _magnitudes(gradient: Any) -> Array:
    """Returns the magnitudes of a gradient, none of one that is None."""
    # Those of an embedding are IndexedSlices.
    dense = tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
    array = np.zeros(0) if dense is None else np.asarray(dense)
    if array.dtype.kind in "SUO":
        raise TypeError(f"gradients() must hold arrays of numbers, and holds {brief(gradient)}.")
    magnitudes: Array = np.abs(array)
    return magnitudes


def _highest(scores: npt.NDArray[Any], eligible: Mask, count: int) -> Mask:
    """Marks the eligible entries of highest score, at most `count`; the first among equals, NaN last."""
    marked, places = np.zeros(scores.size, bool), np.flatnonzero(eligible)
    marked[places[np.argsort(-scores[eligible], kind="stable")[:count]]] = True
    return marked.reshape(scores.shape)
