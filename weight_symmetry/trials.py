"""Trials: what is to be trained, of one architecture, on the same data, with seeds and masks of each one's own."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

from weight_symmetry.bench import AfterEpoch, Bench
from weight_symmetry.config import ModelConfig, TrialOptions
from weight_symmetry.plans import Plan
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.training.trainer import Resident


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials that a driver was asked for, by number.

    Attributes:
      driver: The name that a run's id begins with.
      configs: What determines the result of each.
      plans: When the masks of each change.
      options: Where the runs go, and how they share the machine.
      data: The data.
      splits: The same, on the device.
    """

    driver: str
    configs: Sequence[ModelConfig]
    plans: Sequence[Plan]
    options: TrialOptions
    data: datasets.Dataset
    splits: Mapping[str, Resident]

    def __len__(self) -> int:
        return len(self.configs)

    def bench(self) -> Bench:
        """Makes a bench on which each of them can run."""
        return Bench(self.configs[0], self.data, self.splits)

    def open(self, bench: Bench, number: int, must_exist: bool = False) -> contextlib.AbstractContextManager[runs.Run]:
        """Opens the run of one; see `runs.open_run`."""
        return bench.open(self.driver, self.configs[number], self.options, must_exist)

    def train(self, bench: Bench, run: runs.Run, number: int, after_epoch: AfterEpoch) -> None:
        """Trains one to its end, and records it in its open run."""
        bench.train(run, self.configs[number], self.plans[number], self.options, after_epoch)
