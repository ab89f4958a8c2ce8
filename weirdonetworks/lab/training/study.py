"""Studies: experiments of several trainings, with one directory, one file of results and one plot.

<experiment_dir>/<study>-<hash>/config.json       every flag, package versions
<experiment_dir>/<study>-<hash>/results.json      its results, written when it finishes
<experiment_dir>/<study>-<hash>/<study>.png       their plot
<experiment_dir>/<study>-<hash>/<training>-<hash>/  a run directory for each training (see `runs`)
<experiment_dir>/<study>-<hash>/summary.json      training's id -> one flat record
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, cast

import numpy as np
import sonnet as snt
import tensorflow as tf
from matplotlib.figure import Figure

from weirdonetworks.lab import plots, seeds
from weirdonetworks.lab.config import Config, RunOptions, StudyConfig, TrainingConfig
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.data.datasets import Dataset, Resident
from weirdonetworks.lab.data.set_tasks import Task
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop, objectives
from weirdonetworks.lab.training.compiled import fingerprint
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.state import assign, count_parameters
from weirdonetworks.lab.training.trainer import Direction, Trainer, of_loss
from weirdonetworks.lab.training.trials import Trial, Trials
from weirdonetworks.measure.precision import variables_of

C = TypeVar("C", bound=StudyConfig, covariant=True)


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

    def by_epoch(self, metric: str) -> list[Any]:
        """Lists a metric after each epoch, such as `test_accuracy`."""
        return [record[metric] for record in self.records]

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
      name: Its name, unique within the study and seed; its spaces become underscores.
      make: Makes the network. It is called, and initial weights are drawn, under a seed of `config.random_seed`.
      objective: Makes the network's objective.
      data: The splits on the device, by name.
      config: The settings.
      entry: What else determines this training, of settings that are lists over trainings, such as `{"beta": 0.1}`.
      hooks: Makes the hooks, given the network at its initial weights.
      direction: The update direction, as for `Trainer`.
      trained: The result, once a study has trained it.
    """

    name: str
    make: Callable[[], snt.Module]
    objective: Callable[[Any], Objective]
    data: Mapping[str, Resident]
    config: TrainingConfig
    entry: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    hooks: Callable[[Any], Sequence[Hook]] = lambda network: ()
    direction: Direction = of_loss
    shared = False

    def __post_init__(self) -> None:
        self.name = self.name.replace(" ", "_")
        self._network: Any = None

    def within(self, folder: pathlib.Path, in_summary: bool) -> Self:
        """Sets the study's folder, and whether its `summary.json` has an entry of the run; returns itself."""
        self.folder, self._in_summary = folder, in_summary
        return self

    def settings(self, executed: str) -> dict[str, Any]:
        """Returns the settings that determine the run's id, those of `entry` among them."""
        return {**super().settings(executed), **self.entry}

    def trainer(self, execution: str, count: int | None) -> Trainer:
        """Makes the network and its trainer."""
        network = _made(self.make, self.config)
        if count is None:
            self._network = network
        return self.trainer_of(network, execution, count)

    def open(self, executed: str) -> contextlib.AbstractContextManager[runs.Run]:
        """Opens the run in the study's folder."""
        measuring = self.config.affecting("measuring", "nothing")
        settings = self.settings(executed)
        return runs.open_run(self.folder, self.name, settings, unhashed=measuring, resume=True, must_exist=False)

    def start(self, trainer: Trainer, run: runs.Run) -> Sequence[Hook]:
        """Sets a trainer's network to the initial weights, unless it was made for this training."""
        if trainer.network is not self._network:
            self._network = _made(self.make, self.config)
            if self._network is trainer.network:
                raise ValueError(f"make of {self.name} must make a new network at each call.")
            # Weights are drawn at the first call, as in a trainer of its own.
            objective = self.objective(self._network)
            trainer.build(objective)
            if self._graph(objective) != self._graph(self.objective(trainer.network)):
                raise UsageError(
                    f"trials_backend (=batched) must have networks that differ in weights alone, and "
                    f"those of {self.name} differ in more: pass --trials_backend=threads."
                )
            assign(variables_of(trainer.network), variables_of(self._network))
            trainer.state.restart()
        return self.hooks(trainer.network)

    def end(self, trainer: Trainer, run: runs.Run) -> None:
        """Stores the trained network, and finishes the run."""
        if trainer.network is not self._network:
            assign(variables_of(self._network), variables_of(trainer.network))
            trainer = self.trainer_of(self._network, trainer.execution, None)
        self.trained = Trained(self._network, trainer, run.records, run.directory)
        if not run.found_finished:
            best = loop.best_records(run.records)
            final = loop.reproducible(run.records[-1])
            record = {"training": self.name, "parameters": self.trained.parameters, "final": final, **best}
            settings = dataclasses.asdict(self.config) | {"execution": trainer.execution}
            run.finish(loop.flatten(settings | record) if self._in_summary else None)

    def _graph(self, objective: Objective) -> tuple[str, str]:
        """Fingerprints the computation of an objective, without the values of variables."""
        train = self.data["train"]
        traced = objectives.traced(objective, train.images[:2], train.labels[:2])
        constants = [tensor.numpy() for tensor in traced.captured_inputs if tensor.dtype != tf.resource]
        return fingerprint(traced), files.digest(constants)


class Study(Generic[C]):
    """An open study: trains networks in its folder, and writes its results.

    Attributes:
      name: The experiment's name.
      config: The settings.
      options: Run options, among them the folder of data sets.
      directory: The study's folder.
      is_finished: Whether an earlier process finished it, so that nothing is left to train.
    """

    def __init__(self, name: str, config: C, run: runs.Run, options: RunOptions):
        self.name = name
        self.config = config
        self.options = options
        self.directory = run.directory
        self.is_finished = run.found_finished
        self._run = run

    @property
    def results(self) -> Any:
        """The results that `finish` wrote, in JSON's types."""
        return files.read_json(self.directory / "results.json")

    def load(self, config: TrainingConfig | None = None) -> Dataset:
        """Loads the data set of some settings, by default those of the study, as `datasets.configured`."""
        return self.recorded(datasets.configured(config or self.config, self.options.data_dir))

    def recorded(self, data: Dataset) -> Dataset:
        """Records the version of a data set, if it has one, and returns it; see `Run.record_version`."""
        if data.version:
            self._run.record_version(data.name, data.version)
        return data

    def repeat(
        self,
        name: str,
        make: Callable[[], snt.Module],
        data: Dataset | Task,
        objective: Callable[[Any], Objective] | None = None,
        config: StudyConfig | None = None,
        **options: Any,
    ) -> list[Trained]:
        """Trains a network once for each trial of a configuration.

        Args:
          name: The training's name.
          make: Makes the network, as in `Training`.
          data: The data set, or task.
          objective: Makes the objective, given the network; None for classification on a data set.
          config: The settings; each trial has its own seed. None for those of the study.
          **options: Keyword arguments of `Training`.

        Returns:
          The trained networks, in the order of the trials.
        """
        if objective is None:
            objective = objectives.classifier(cast("Dataset", data))
        trials = (config or self.config).trials()
        return self.trials([Training(name, make, objective, data.residents, trial, **options) for trial in trials])

    def untrained(self, make: Callable[[], snt.Module]) -> list[Any]:
        """Makes the network of each trial at its initial weights, as `repeat` does, and trains none.

        Args:
          make: Makes a network with variables.
        """
        return [_made(make, trial) for trial in self.config.trials()]

    def trials(self, trainings: Sequence[Training]) -> list[Trained]:
        """Trains networks in run directories of their own, or restores those that were trained before.

        Args:
          trainings: Trainings that differ in seeds alone, at least one; they share the machine by `--trials_backend`.

        Returns:
          The trained networks, in that order.

        Raises:
          DivergenceError: If a loss did not stay finite.
          OSError: If one was trained before and its weights are gone.
        """
        first = trainings[0]
        backend = getattr(first.config, "trials_backend", "auto")
        which = f"seed {first.config.random_seed}" if len(trainings) == 1 else f"{len(trainings)} trials"
        placed = [each.within(self.directory, self.options.dump_json) for each in trainings]
        # Published figures are of trials one after another, with all cores on each network.
        Trials(placed, restores=True).run("sequential" if backend == "auto" else backend, f"{first.name}, {which}")
        return [each.trained for each in trainings]

    def finish(self, results: Mapping[str, Any], draw: Callable[[Any], Figure] | None = None) -> None:
        """Writes `results.json`, the plot, and the flat record in the experiment's `summary.json`.

        Args:
          results: Nested mappings and sequences of numbers and strings.
          draw: Draws the results, which it is given as read back from JSON.
        """
        self._run.measure_again()
        self._run.write_json("results.json", results)
        if self.options.dump_json:
            if draw:
                plots.save(draw(self.results), self.directory / f"{self.name}.png")
            self._run.finish(loop.flatten({"study": self.name, **results}))
        else:
            self._run.finish(None)


@contextlib.contextmanager
def open_study(name: str, config: Config, options: RunOptions) -> Iterator[Study[Any]]:
    """Opens the study of a configuration; prints its folder on leaving, and on entering whether it is finished.

    Raises:
      UsageError, OSError: As `runs.open_run`.
    """
    with runs.open_run(
        options.experiment_dir,
        name,
        config.affecting("training"),
        unhashed=dataclasses.asdict(options) | config.affecting("nothing"),
        measured=config.affecting("measuring"),
        resume=options.resume,
        overwrite=options.overwrite,
        must_exist=not options.start_missing,
    ) as run:
        study: Study[Any] = Study(name, config, run, options)
        if study.is_finished:
            print("This study was finished before; nothing was trained (--overwrite starts again).")
        elif run.remeasured:
            listed = ", ".join(f"--{key} was {was}, is {now}" for key, (was, now) in run.remeasured.items())
            print(f"This study was finished before; its trained networks are measured again, since {listed}.")
        yield study
        print(f"\nEverything is in {study.directory}")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Computes mean and standard deviation of the values of repeated trials.

    >>> spread([0.5, 0.7])["mean"]
    0.6

    Returns:
      `mean`, `deviation` (of the sample; None for a single value) and the `values`.
    """
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": deviation, "values": list(map(float, values))}


def spreads(trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Joins the metrics of repeated trials: a `spread` of each number, a mean of each list, in nested mappings too.

    >>> joined = spreads([{"loss": 1.0, "curve": [0.0, 2.0]}, {"loss": 3.0, "curve": [2.0, 4.0]}])
    >>> joined["loss"]["mean"], joined["curve"]
    (2.0, [1.0, 3.0])
    """
    joined: dict[str, Any] = {}
    for key, first in trials[0].items():
        values = [each[key] for each in trials]
        if isinstance(first, Mapping):
            joined[key] = spreads(values)
        else:
            joined[key] = np.mean(values, axis=0).tolist() if isinstance(first, list) else spread(values)
    return joined


def final(trained: Sequence[Trained], metric: str) -> dict[str, Any]:
    """Gives the `spread` of a metric after the last epoch, such as `test_accuracy`, over trained networks."""
    return spread([each.final[metric] for each in trained])


def formatted(found: Mapping[str, Any], spec: str) -> str:
    """Formats a `spread` by a format specification, the deviation in parentheses.

    >>> formatted(spread([30.0, 40.0]), ".1f"), formatted(spread([30.0]), ".1f")
    ('35.0 (7.1)', '30.0')
    """
    deviation = f" ({found['deviation']:{spec}})" if len(found["values"]) > 1 else ""
    return f"{found['mean']:{spec}}{deviation}"


def percent(found: Mapping[str, Any]) -> str:
    """Formats a `spread` of shares as percentages.

    >>> percent(spread([0.97, 0.99]))
    '98.00% (1.41%)'
    """
    return formatted(found, ".2%")


def _made(make: Callable[[], snt.Module], config: TrainingConfig) -> Any:
    tf.random.set_seed(seeds.derive(config.random_seed, "weights")[0])
    return make()
