"""Hooks: callbacks before, within and after each epoch of a training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks.measure.conserved import Conserved, drift

# Computes the gradients of the masked weights for the next batch, as `Trainer.gradients`.
Gradients: TypeAlias = Callable[[], list[npt.NDArray[np.floating]]]


class Hook:
    """A callback before, within and after each epoch of one network's training; this one does nothing.

    A hook may change the network before or within an epoch, measure it, set the learning rates, and have
    variables of its own saved in the checkpoints. It is made once the network has its initial weights, before any
    checkpoint is restored.

    >>> class Counting(Hook):
    ...     def before_epoch(self, epoch):
    ...         return {"epochs_before": epoch}
    >>> Counting().before_epoch(3), dict(Counting().after_epoch({"epoch": 4}))
    ({'epochs_before': 3}, {})
    """

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Called before the epoch that follows `epoch` finished ones; returns entries for its record."""
        return {}

    def within_epoch(self, epoch: int, steps: int) -> Mapping[int, Callable[[Gradients], None]]:
        """Returns functions to call within that epoch, by the number of its steps before, in [0, steps).

        The epoch is trained in parts, between which they are called, after `before_epoch`.
        """
        return {}

    def after_epoch(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Called after an epoch, with its record; returns entries to add to it."""
        return {}

    def learning_rates(self, epoch: int) -> npt.NDArray[np.floating] | None:
        """Returns the learning rate of each step of that epoch; None for the configured schedule."""
        return None

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """Modules of the hook to save in checkpoints, by name."""
        return {}


class Following(Hook):
    """A hook that records measurements at the start or at the end of each epoch.

    >>> Following(lambda: {"width": 3.0}).before_epoch(0)
    {'width': 3.0}
    """

    def __init__(self, measure: Callable[[], Mapping[str, Any]], at_end: bool = False):
        """Takes the measurement.

        Args:
          measure: Returns entries of the epoch's record; those that depend on the machine must be in `loop.BY_MACHINE`.
          at_end: Whether to measure at the end of each epoch.
        """
        self._measure = measure
        self._at_end = at_end

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Measures at the start of the epoch."""
        return {} if self._at_end else self._measure()

    def after_epoch(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measures at the end of the epoch."""
        return self._measure() if self._at_end else {}


class DriftMonitor(Hook):
    """A hook that records the drift of quantities since it was made, with the network at its initial weights.

    >>> from weirdonetworks.measure.conserved import conserved_quantities
    >>> network, loss = snt.nets.MLP([3, 2]), tf.nn.sparse_softmax_cross_entropy_with_logits
    >>> monitor = DriftMonitor(conserved_quantities(network, loss, tf.zeros([1, 4])))
    >>> monitor.after_epoch({})
    {'drift/layer_0/balance': 0.0, 'drift/layer_0/equal_units': 0.0, 'drift/layer_1/class_sums': 0.0}
    """

    def __init__(self, quantities: Sequence[Conserved]):
        """Measures the initial values of the quantities."""
        self.quantities = tuple(quantities)
        self._before = [each.value() for each in self.quantities]

    def after_epoch(self, record: Mapping[str, Any]) -> dict[str, float]:
        """Measures the drift of the quantities.

        Returns:
          The drift of each quantity, as `measure.conserved.drift`, under `drift/` and its name.
        """
        pairs = zip(self.quantities, self._before, strict=True)
        return {f"drift/{each.name}": drift(before, each.value()) for each, before in pairs}


class Progress(Hook):
    """A hook that advances a progress bar over epochs, which trainings may share."""

    def __init__(self, bar: Any):
        """Takes the bar, as `progress` makes it."""
        self._bar = bar
        self._finished = 0

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Counts the epochs finished before the training was resumed."""
        self.move(epoch)
        return {}

    def after_epoch(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Counts the epoch, and displays its test accuracy."""
        if "test_accuracy" in record:
            self._bar.set_postfix(test_accuracy=f"{record['test_accuracy']:.4f}", refresh=False)
        self.move(record["epoch"])
        return {}

    def move(self, epoch: int) -> None:
        """Advances the bar to `epoch` finished epochs of the training."""
        self._bar.update(epoch - self._finished)
        self._finished = epoch


def progress(epochs: int, description: str = "training") -> Any:
    """Displays a progress bar over epochs, if stderr is a terminal, until its context ends; `Progress` advances it."""
    return tqdm(total=epochs, desc=description, unit="epoch", disable=None)
