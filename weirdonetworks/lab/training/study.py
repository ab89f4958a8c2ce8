"""Studies: experiments made of several trainings, with one directory, one result and one picture.

<experiment_dir>/<study>-<hash>/config.json       every flag, package versions
<experiment_dir>/<study>-<hash>/results.json      what the study found; there once it has finished
<experiment_dir>/<study>-<hash>/<study>.png       the same as a picture
<experiment_dir>/<study>-<hash>/<training>-<hash>/  a run directory for each training (see `runs`)
<experiment_dir>/<study>-<hash>/summary.json      training's id -> one flat record
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf
from matplotlib.figure import Figure

from weirdonetworks.lab import plots, seeds
from weirdonetworks.lab.config import Config, RunOptions, TrainingConfig
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop
from weirdonetworks.lab.training.hooks import Hook, Progress, progress
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.trainer import Direction, Resident, Trainer, of_loss


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network after its training.

    Attributes:
      network: The network, with its final weights.
      trainer: Its trainer, e.g. to evaluate it on other data.
      records: A record an epoch.
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
        """The records without what differs from one machine to the next."""
        return list(map(loop.reproducible, self.records))

    @property
    def parameters(self) -> int:
        """The number of trained weights."""
        return count_parameters(self.network)

    @property
    def seconds(self) -> float:
        """The time that its epochs took."""
        return sum(record["wallclock_time"] for record in self.records)


def count_parameters(network: snt.Module) -> int:
    """Counts the trainable numbers of a network that has been called once."""
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


class Study:
    """An open study.

    Attributes:
      name: Its name.
      directory: Its folder.
      is_finished: Whether it was finished before it was opened; then there is nothing to train.
    """

    def __init__(self, name: str, run: runs.Run, options: RunOptions):
        self.name = name
        self.directory = run.directory
        self.is_finished = run.found_finished
        self._run = run
        self._options = options

    @property
    def results(self) -> Any:
        """What the study found, as `finish` was given it; JSON's types."""
        return files.read_json(self.directory / "results.json")

    def train(
        self,
        name: str,
        make: Callable[[], snt.Module],
        objective: Callable[[Any], Objective],
        data: Mapping[str, Resident],
        config: TrainingConfig,
        hooks: Callable[[Any], Sequence[Hook]] = lambda network: (),
        direction: Direction = of_loss,
    ) -> Trained:
        """Trains a network in a run directory of its own, or takes it from there if it was trained before.

        Args:
          name: The training's name, one for each within the study and seed.
          make: Makes the network. It is called, and the network's weights drawn, under a seed of `config.random_seed`.
          objective: Makes the network's objective.
          data: The splits, as `loop.residents` makes them.
          config: How long and how.
          hooks: Makes what is done around the epochs, given the network at its initial weights.
          direction: What a step descends along, as `Trainer` takes it.

        Returns:
          The trained network.
        """
        tf.random.set_seed(seeds.derive(config.random_seed, "weights")[0])
        network = make()
        trainer = Trainer(
            network,
            loop.optimizer(config),
            objective,
            data["train"],
            batch_size=config.batch_size,
            batch_size_test=config.batch_size_test,
            execution=config.execution,
            direction=direction,
        )
        settings = dataclasses.asdict(config) | {"execution": trainer.execution}
        with (
            runs.open_run(self.directory, name, settings, unhashed={}, resume=True, must_exist=False) as run,
            progress(config.epochs, f"{name}, seed {config.random_seed}") as bar,
        ):
            loop.fit(trainer, [loop.Training(run, config, [*hooks(network), Progress(bar)])], data)
            if not run.found_finished:
                best = loop.best_records(run.records)
                final = loop.reproducible(run.records[-1])
                record = {"training": name, "parameters": count_parameters(network), "final": final, **best}
                run.finish(loop.flatten(settings | record) if self._options.dump_json else None)
        return Trained(network, trainer, run.records, run.directory)

    def finish(self, results: Mapping[str, Any], draw: Callable[[Any], Figure] | None = None) -> None:
        """Writes what was found: `results.json`, the picture, and the flat record in the experiment's `summary.json`.

        Args:
          results: What was found; nested mappings and sequences of numbers and strings.
          draw: Draws the results, given as they are read back from JSON.
        """
        self._run.write_json("results.json", results)
        if self._options.dump_json:
            if draw:
                plots.save(draw(self.results), self.directory / f"{self.name}.png")
            self._run.finish(loop.flatten({"study": self.name, **results}))
        else:
            self._run.finish(None)


@contextlib.contextmanager
def opened(name: str, config: Config, options: RunOptions) -> Iterator[Study]:
    """Opens the study of a configuration, says where it is, and in the end that it was finished before if it was.

    Raises:
      UsageError, OSError: As `runs.open_run`.
    """
    with runs.open_run(
        options.experiment_dir,
        name,
        dataclasses.asdict(config),
        unhashed=dataclasses.asdict(options),
        resume=options.resume,
        overwrite=options.overwrite,
        must_exist=not options.start_missing,
    ) as run:
        study = Study(name, run, options)
        if study.is_finished:
            print("This study was finished before; nothing was trained (--overwrite starts again).")
        yield study
        print(f"\nEverything is in {study.directory}")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Summarises the values that repetitions gave.

    >>> spread([0.5, 0.7])["mean"]
    0.6

    Returns:
      `mean`, `deviation` (of the sample; None for one value, which has none) and the `values`.
    """
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": deviation, "values": list(map(float, values))}


def percent(found: Mapping[str, Any]) -> str:
    """Writes a `spread` of shares as percentages.

    >>> percent(spread([0.97, 0.99]))
    '98.00% (1.41%)'
    """
    return f"{found['mean']:.2%} ({found['deviation']:.2%})" if len(found["values"]) > 1 else f"{found['mean']:.2%}"
