"""Dense networks trained from several seeds, by the trials of the driver `train`."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from weight_symmetry import train
from weight_symmetry.run.config import ModelConfig
from weight_symmetry.run.model_trials import ModelTrial
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training.trainer import Trainer
from weirdonetworks.lab.training.trials import Trials


class TrainedNetworks:
    """Networks of one architecture, trained from consecutive seeds, in runs of their own.

    Attributes:
      trainers: Trainers of as many networks as are looked at together, whose networks hold the values of those chosen.
    """

    def __init__(self, config: ModelConfig, options: RunOptions, folder: pathlib.Path, data: Dataset):
        """Takes the settings, the data, and the folder of the runs, in which finished ones are found again."""
        self._config = config
        self._options = dataclasses.replace(options, experiment_dir=str(folder), resume=True, start_missing=True)
        self._data = data
        self._trials: list[_Kept] = []
        self.trainers: list[Trainer] = []

    def train(self, count: int, together: int) -> None:
        """Trains networks that are not trained yet, and restores the others.

        Args:
          count: The number of networks.
          together: The number of them that are looked at together.
        """
        self._trials = [
            _Kept("train", self._config.trial(number), train.updater, self._options, self._data, self._data.residents)
            for number in range(count)
        ]
        asked = getattr(self._config, "trials_backend", "auto")
        Trials(self._trials, restores=True).run("sequential" if asked == "auto" else asked)
        first = self._trials[0]
        self.trainers = [first.trainer(self._config.execution, None) for _ in range(together)]

    def networks(self, *numbers: int) -> list[Any]:
        """Returns the networks of the trainers with the values of some of the trained ones."""
        found = []
        for trainer, number in zip(self.trainers, numbers, strict=True):
            for variable, value in zip(trainer.network.variables, self._trials[number].values, strict=True):
                variable.assign(value)
            found.append(trainer.network)
        return found


class _Kept(ModelTrial):
    """A trial that keeps the values of the trained network."""

    values: Sequence[Any] = ()

    def end(self, trainer: Trainer, run: Run) -> None:
        """Copies the values, and writes the final records unless they are there."""
        self.values = [variable.numpy() for variable in trainer.network.variables]
        if not run.found_finished:
            super().end(trainer, run)
