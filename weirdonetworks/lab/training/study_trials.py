"""Trainings of a study, each with a run in the study's folder, and their trained networks."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab import seeds
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.programs import fingerprint
from weirdonetworks.lab.training.state import count_parameters
from weirdonetworks.lab.training.trainer import Direction, Resident, Trainer, of_loss
from weirdonetworks.lab.training.trials import Trial
from weirdonetworks.measure.precision import variables_of


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
      network: The network, with its final weights.
      trainer: Its trainer, e.g. to evaluate it on other data.
      records: The record of each epoch.
      directory: Its run's directory.
    """

    network: Any
    trainer: Trainer
    records: Sequence[Mapping[str, Any]]
    directory: pathlib.Path

    @property
    def final(self) -> Mapping[str, Any]:
        """The last epoch's record."""
        return self.records[-1]

    @property
    def curves(self) -> list[dict[str, Any]]:
        """The records without entries that depend on the machine."""
        return list(map(loop.reproducible, self.records))

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return count_parameters(self.network)

    @property
    def seconds(self) -> float:
        """The wall time of its epochs."""
        return sum(record["wallclock_time"] for record in self.records)


@dataclasses.dataclass(eq=False)
class Training(Trial):
    """A training of a study, in a run directory of its own.

    Attributes:
      name: Its name, unique within the study and seed.
      make: Makes the network. It is called, and initial weights are drawn, under a seed of `config.random_seed`.
      objective: Makes the network's objective.
      data: The splits, as `loop.residents` makes them.
      config: The settings.
      hooks: Makes the hooks, given the network at its initial weights.
      direction: The update direction, as for `Trainer`.
      trained: The result, once a study has trained it.
    """

    name: str
    make: Callable[[], snt.Module]
    objective: Callable[[Any], Objective]
    data: Mapping[str, Resident]
    config: TrainingConfig
    hooks: Callable[[Any], Sequence[Hook]] = lambda network: ()
    direction: Direction = of_loss
    shared = False

    def __post_init__(self) -> None:
        self._network: Any = None

    def within(self, folder: pathlib.Path, in_summary: bool) -> Self:
        """Sets the study's folder, and whether its `summary.json` has an entry of the run; returns itself."""
        self._folder, self._in_summary = folder, in_summary
        return self

    def trainer(self, execution: str, count: int | None) -> Trainer:
        """Makes the network and its trainer."""
        network = self._made()
        if count is None:
            self._network = network
        return self._trainer(network, execution, count)

    def open(self, executed: str) -> contextlib.AbstractContextManager[runs.Run]:
        """Opens the run in the study's folder."""
        measuring = self.config.affecting("measuring", "nothing")
        settings = self._settings(executed)
        return runs.open_run(self._folder, self.name, settings, unhashed=measuring, resume=True, must_exist=False)

    def is_finished(self, executed: str) -> bool:
        """Returns whether there is a finished run in the study's folder."""
        return runs.is_finished(self._folder, self.name, self._settings(executed))

    def start(self, trainer: Trainer, run: runs.Run) -> Sequence[Hook]:
        """Sets a trainer's network to the initial weights, unless it was made for this training."""
        if trainer.network is not self._network:
            self._network = self._made()
            if self._network is trainer.network:
                raise ValueError(f"make of {self.name} must make a new network at each call.")
            # Weights are drawn at the first call, as in a trainer of its own.
            objective = self.objective(self._network)
            trainer.build(objective)
            if self._graph(objective) != self._graph(self.objective(trainer.network)):
                raise UsageError(
                    f"trials_backend (=batched) must have networks that differ in weights alone, and "
                    f"those of {self.name} differ in more: use threads."
                )
            _copy(self._network, trainer.network)
            trainer.state.restart()
        return self.hooks(trainer.network)

    def end(self, trainer: Trainer, run: runs.Run) -> None:
        """Stores the trained network, and finishes the run."""
        if trainer.network is not self._network:
            _copy(trainer.network, self._network)
            trainer = self._trainer(self._network, trainer.execution, None)
        self.trained = Trained(self._network, trainer, run.records, run.directory)
        if not run.found_finished:
            best = loop.best_records(run.records)
            final = loop.reproducible(run.records[-1])
            record = {"training": self.name, "parameters": self.trained.parameters, "final": final, **best}
            settings = dataclasses.asdict(self.config) | {"execution": trainer.execution}
            run.finish(loop.flatten(settings | record) if self._in_summary else None)

    def announce(self, trainer: Trainer, run: runs.Run, manner: str) -> None:
        """Prints nothing, since there is a progress bar."""

    def _graph(self, objective: Objective) -> tuple[str, str]:
        """Fingerprints the computation of an objective, without the values of variables."""

        def metrics(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
            return list(objective(images, labels, is_training=True, seed=seed).values())

        train = self.data["train"]
        traced = tf.function(metrics, autograph=False).get_concrete_function(
            train.images[:2], train.labels[:2], tf.zeros([2], tf.int32)
        )
        constants = [tensor.numpy() for tensor in traced.captured_inputs if tensor.dtype != tf.resource]
        return fingerprint(traced), files.digest(constants)

    def _made(self) -> Any:
        tf.random.set_seed(seeds.derive(self.config.random_seed, "weights")[0])
        return self.make()

    def _trainer(self, network: Any, execution: str, count: int | None) -> Trainer:
        return Trainer(
            network,
            loop.optimizer(self.config),
            self.objective,
            self.data["train"],
            count=count,
            batch_size=self.config.batch_size,
            batch_size_test=self.config.batch_size_test,
            execution=execution,
            direction=self.direction,
        )

    def _settings(self, executed: str) -> dict[str, Any]:
        return self.config.affecting("training") | {"execution": executed}


def _copy(source: Any, target: Any) -> None:
    for one, other in zip(variables_of(source), variables_of(target), strict=True):
        other.assign(one)
