"""What is done around the epochs of a training, beside training."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm


class Hook:
    """Something that happens before and after each epoch of one network's training; here nothing.

    A hook may change the network before an epoch, measure it before or after, set the learning rates, and have
    variables of its own saved in the checkpoints. It is made once the network has its initial weights, before any
    checkpoint is restored.

    >>> class Counting(Hook):
    ...     def before_epoch(self, epoch):
    ...         return {"epochs_before": epoch}
    >>> Counting().before_epoch(3), dict(Counting().after_epoch({"epoch": 4}))
    ({'epochs_before': 3}, {})
    """

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Acts once `epoch` epochs are finished and another begins; returns what is added to the latter's record."""
        return {}

    def after_epoch(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Acts at the end of the epoch of a record; returns what is added to it."""
        return {}

    def learning_rates(self, epoch: int) -> npt.NDArray[np.floating] | None:
        """Returns the rate of each step of the epoch after `epoch` finished ones; None for the configured schedule."""
        return None

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """What a checkpoint holds of the hook, by name."""
        return {}


class Following(Hook):
    """Measures at the start of each epoch, or at its end.

    >>> Following(lambda: {"width": 3.0}).before_epoch(0)
    {'width': 3.0}
    """

    def __init__(self, measure: Callable[[], Mapping[str, Any]], at_end: bool = False):
        """Takes what measures.

        Args:
          measure: Returns what is added to the epoch's record; what depends on the machine, of `loop.BY_MACHINE`.
          at_end: Whether to measure at the end of each epoch.
        """
        self._measure = measure
        self._at_end = at_end

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Measures at the start of the epoch."""
        return {} if self._at_end else self._measure()

    def after_epoch(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measures at its end."""
        return self._measure() if self._at_end else {}


class Progress(Hook):
    """Moves a bar over epochs, which several trainings may share."""

    def __init__(self, bar: Any):
        """Takes the bar, as `progress` makes it."""
        self._bar = bar
        self._finished = 0

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Counts the epochs that were finished before the training was taken up."""
        self.move(epoch)
        return {}

    def after_epoch(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Counts the epoch, and shows its test accuracy."""
        if "test_accuracy" in record:
            self._bar.set_postfix(test_accuracy=f"{record['test_accuracy']:.4f}", refresh=False)
        self.move(record["epoch"])
        return {}

    def move(self, epoch: int) -> None:
        """Shows that `epoch` epochs of the training are finished."""
        self._bar.update(epoch - self._finished)
        self._finished = epoch


@contextlib.contextmanager
def progress(epochs: int, description: str = "training") -> Iterator[Any]:
    """Shows a bar over epochs, silent when stderr is no terminal; `Progress` moves it."""
    with tqdm(total=epochs, desc=description, unit="epoch", disable=None) as bar:
        yield bar
