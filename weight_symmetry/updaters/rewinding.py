"""Lottery tickets: pruned masks with the weights of an early epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from weight_symmetry.masks import Mask
from weight_symmetry.updaters.tickets import Ticket
from weight_symmetry.updaters.updater import Gradients, Updater, count_of
from weirdonetworks.algebra.arrays import brief, instance, listed


class Snapshot(tf.Module):
    """A copy of variables, saved in checkpoints.

    >>> weight = tf.Variable([1.0, 2.0])
    >>> snapshot = Snapshot([weight])
    >>> _ = weight.assign([0.0, 0.0])
    >>> snapshot.restore()
    >>> weight.numpy().tolist()
    [1.0, 2.0]
    """

    def __init__(self, variables: Sequence[Any]):
        super().__init__(name="snapshot")
        given = listed("variables", variables, "variables")
        if any(not hasattr(each, "assign") for each in given):
            raise TypeError(f"variables (={brief(given)}) must be a list of variables.")
        self._held = _Held(given)
        self.kept = [tf.Variable(variable, trainable=False) for variable in given]

    def take(self) -> None:
        """Copies the variables into the snapshot."""
        for kept, variable in zip(self.kept, self._held.variables, strict=True):
            kept.assign(variable)

    def restore(self) -> None:
        """Sets the variables to their copies."""
        for kept, variable in zip(self.kept, self._held.variables, strict=True):
            variable.assign(kept)


class _Held:
    """Variables that a snapshot refers to, hidden from TensorFlow, which would take them for its own."""

    def __init__(self, variables: list[Any]):
        self.variables = variables


class Rewind(Updater):
    """Another updater's masks on the weights of an early epoch (Frankle & Carbin 2019; Frankle et al. 2020).

    Where the other proposes masks, all variables of the model return to their values after `epoch` epochs, and a
    control of `updaters.tickets` sets the masks; by default to the proposed ones.

    >>> import sonnet as snt
    >>> from weight_symmetry import masks, updaters
    >>> model = snt.Linear(2)
    >>> _ = model(tf.ones([1, 3]))
    >>> pruning = updaters.MagnitudePruning(masks.Masks(model), updaters.SteppedSparsity((1,), (0.5,)))
    >>> ticket, early = Rewind(pruning, model.variables), model.w.numpy()
    >>> ticket.update(0), model.w.assign(tf.ones([3, 2]) * early)[0, 0].shape.rank, ticket.update(1)
    (False, 0, True)
    >>> bool((model.w.numpy() == early * pruning.masks.arrays[0]).all())
    True

    Attributes:
      snapshot: The early values.
      weights_changed: The number of kept weights that the control changed at the last rewinding.
    """

    def __init__(
        self,
        updater: Updater,
        variables: Sequence[Any],
        epoch: int = 0,
        control: Callable[..., None] | None = None,
        reset: Callable[[], None] | None = None,
    ):
        """Makes the updater; the variables are copied at once, before the first epoch, and after `epoch` epochs.

        Args:
          updater: Proposes masks.
          variables: The model's variables, all of which are rewound.
          epoch: The number of finished epochs to rewind to.
          control: Sets the masks of the rewound model, and changes its weights, given `(masks, proposed, epoch)`;
            None for the ticket itself.
          reset: Called after each rewinding, for instance to reset an optimizer.
        """
        super().__init__(instance("updater", updater, Updater).masks)
        self.interval, self.end = updater.interval, updater.end
        self.snapshot = Snapshot(variables)
        self.weights_changed = 0
        self._updater = updater
        self._epoch = epoch
        self._control = control
        self._reset = reset

    def proposed(self, epoch: int, gradients: Gradients | None = None) -> list[Mask] | None:
        """Returns the masks that the other updater proposes."""
        return self._updater.proposed(epoch) if gradients is None else self._updater.proposed(epoch, gradients)

    def update(self, epoch: int, gradients: Gradients | None = None) -> bool:
        """Rewinds and sets masks, where the other updater proposes some; returns whether it did."""
        epoch = count_of("epoch", epoch)
        if epoch in (0, self._epoch):  # Until then checkpoints hold the initial values, whatever was trained before.
            self.snapshot.take()
        proposed = self.proposed(epoch, gradients)
        if proposed is None:
            return False
        if isinstance(self._control, Ticket):
            self._control.before_rewinding()
        self.snapshot.restore()
        ticket = [weight.numpy() for weight in self.masks.weights]
        (self._control or Ticket())(self.masks, proposed, epoch)
        self.weights_changed = sum(
            int(np.count_nonzero((weight.numpy() != early) & mask))
            for weight, early, mask in zip(self.masks.weights, ticket, self.masks.arrays, strict=True)
        )
        if self._reset is not None:
            self._reset()
        return True

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """The early values."""
        return {"snapshot": self.snapshot}

    @property
    def record(self) -> Mapping[str, Any]:
        """The number of kept weights that the control changed, if there is one."""
        return {} if self._control is None else {"ablation/weights_changed": self.weights_changed}
