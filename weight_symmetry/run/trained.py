"""Networks trained from several seeds, by trials as those of the drivers, whose values are at hand afterwards."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from weight_symmetry.masks import Mask, Masks
from weight_symmetry.run.config import ModelConfig, ModelStudyConfig
from weight_symmetry.run.model_trials import MaskedModel, ModelTrial
from weight_symmetry.updaters import Updater, magnitude_masks
from weight_symmetry.updaters.rewinding import Snapshot
from weight_symmetry.updaters.updater import Gradients
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.state import assign
from weirdonetworks.lab.training.trainer import Trainer
from weirdonetworks.lab.training.trials import Trials

Values = list[Any]


@dataclasses.dataclass(frozen=True)
class Start:
    """What a training starts from, if not from new weights.

    Attributes:
      name: The name that the run's id begins with.
      entry: What else determines it, for the run's id.
      values: The values of all variables.
      masks: The masks.
    """

    name: str
    entry: Mapping[str, Any]
    values: Values
    masks: Sequence[Mask]


class NetworkTrial(ModelTrial):
    """A trial that keeps the values of its network: the final ones, and those after some epochs.

    Attributes:
      values: The final values of all variables.
      early: Those after each of the epochs asked for.
      records: The records of its epochs.
    """

    def __init__(
        self,
        config: ModelConfig,
        options: RunOptions,
        data: Dataset,
        early: Sequence[int] = (),
        start: Start | None = None,
    ):
        """Takes the settings, the numbers of epochs to keep values after, and what to start from."""
        super().__init__(start.name if start else "train", config, self._updater, options, data)
        self.values: Values = []
        self.early: dict[int, Values] = {}
        self.records: Sequence[Mapping[str, Any]] = ()
        self._early = early
        self._from = start
        self._snapshots: dict[int, Snapshot] = {}

    def settings(self, executed: str) -> dict[str, Any]:
        """Returns the settings that determine the run's id, with what it keeps and starts from."""
        kept = {"early": list(self._early)} if self._early else {}
        return super().settings(executed) | kept | dict(self._from.entry if self._from else {})

    def end(self, trainer: Trainer, run: Run) -> None:
        """Copies the values, and writes the final records unless they are there."""
        self.values = _values(trainer.network.variables)
        self.early = {epoch: _values(snapshot.kept) for epoch, snapshot in self._snapshots.items()}
        self.records = run.records
        if not run.found_finished:
            super().end(trainer, run)

    def _updater(self, config: ModelConfig, model: MaskedModel) -> Updater:
        del config
        self._snapshots = {epoch: Snapshot(model.network.variables) for epoch in self._early}
        return _Starting(model, self._from, self._snapshots)


class _Starting(Updater):
    """An updater that begins with given values and masks, and takes snapshots after some epochs."""

    def __init__(self, model: MaskedModel, start: Start | None, snapshots: Mapping[int, Snapshot]):
        super().__init__(model.masks)
        self._model = model
        self._start = start
        self._snapshots = snapshots

    def update(self, epoch: int, gradients: Gradients | None = None) -> bool:
        """Sets the values and masks before the first epoch; takes the snapshot that is due."""
        begins = epoch == 0 and self._start is not None
        if begins and self._start is not None:
            assign(self._model.network.variables, self._start.values)
            self.masks.set(self._start.masks)
        for due, snapshot in self._snapshots.items():
            if epoch in (0, due):  # Until then checkpoints hold the initial values, whatever was trained before.
                snapshot.take()
        return begins

    @property
    def saved(self) -> Mapping[str, tf.Module]:
        """The snapshots."""
        return {f"early_{epoch}": snapshot for epoch, snapshot in self._snapshots.items()}


class TrainedNetworks:
    """Networks of one architecture, each trained in a run of its own, which is found again if it is finished.

    Attributes:
      trainers: Trainers of as many networks as are looked at together.
    """

    def __init__(
        self, config: ModelStudyConfig, options: RunOptions, folder: pathlib.Path, data: Dataset, together: int = 2
    ):
        """Takes the settings, the data, and the folder of the runs."""
        self._config = config
        self._options = dataclasses.replace(
            options, experiment_dir=str(folder), resume=True, overwrite=False, start_missing=True
        )
        self._data = data
        first = NetworkTrial(config, self._options, data)
        self.trainers = [first.trainer(config.execution, None) for _ in range(together)]

    def train(
        self, numbers: Sequence[int], early: Sequence[int] = (), starts: Sequence[Start] = ()
    ) -> list[NetworkTrial]:
        """Trains networks that are not trained yet, and restores the others.

        Args:
          numbers: The number of each trial, by which its seeds are raised.
          early: Numbers of epochs after which values are kept.
          starts: What each starts from; none for new weights.
        """
        begun: Sequence[Start | None] = starts or [None] * len(numbers)
        ordered = self._config.ordered(self._config)
        trials = [
            NetworkTrial(ordered.trial(number), self._options, self._data, early, start)
            for number, start in zip(numbers, begun, strict=True)
        ]
        asked = self._config.trials_backend
        Trials(trials, restores=True).run("sequential" if asked == "auto" else asked)
        return trials

    def holding(self, *values: Values) -> list[Any]:
        """Returns the networks of the first trainers, with these values."""
        networks = [trainer.network for trainer in self.trainers[: len(values)]]
        for network, own in zip(networks, values, strict=True):
            assign(network.variables, own)
        return networks


def pruned(network: Any, config: ModelConfig, sparsity: float) -> Sequence[Mask]:
    """Masks the weights of least magnitude of each masked layer of a network."""
    weights = [weight.numpy() for weight in Masks(network).weights]
    indices = range(len(weights)) if config.masked_layers is None else config.masked_layers
    ones = [np.ones(weight.shape, bool) for weight in weights]
    return magnitude_masks(weights, ones, dict.fromkeys(indices, sparsity))


def _values(variables: Sequence[Any]) -> Values:
    return [variable.numpy() for variable in variables]
