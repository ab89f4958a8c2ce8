"""Studies: experiments of several trainings, with one directory, one file of results and one plot.

<experiment_dir>/<study>-<hash>/config.json       every flag, package versions
<experiment_dir>/<study>-<hash>/results.json      its results, written when it finishes
<experiment_dir>/<study>-<hash>/<study>.png       their plot
<experiment_dir>/<study>-<hash>/<training>-<hash>/  a run directory for each training (see `runs`)
<experiment_dir>/<study>-<hash>/summary.json      training's id -> one flat record
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sonnet as snt
from matplotlib.figure import Figure

from weirdonetworks.lab import plots
from weirdonetworks.lab.config import Config, RunOptions, StudyConfig
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.study_trials import Trained, Training
from weirdonetworks.lab.training.trainer import Resident
from weirdonetworks.lab.training.trials import Trials


class Study:
    """An open study: trains networks in its folder, and writes its results.

    Attributes:
      name: The experiment's name.
      directory: The study's folder.
      is_finished: Whether an earlier process finished it, so that nothing is left to train.
    """

    def __init__(self, name: str, run: runs.Run, options: RunOptions):
        self.name = name
        self.directory = run.directory
        self.is_finished = run.found_finished
        self._run = run
        self._options = options

    @property
    def results(self) -> Any:
        """The results that `finish` wrote, in JSON's types."""
        return files.read_json(self.directory / "results.json")

    def train(self, name: str, *arguments: Any, **options: Any) -> Trained:
        """Trains a network in a run directory of its own, or restores it from there if it was trained before.

        Args:
          name: The training's name.
          *arguments: Further positional arguments of `Training`.
          **options: Keyword arguments of `Training`.

        Returns:
          The trained network.

        Raises:
          DivergenceError: If the loss did not stay finite.
          OSError: If it was trained before and its weights are gone.
        """
        (trained,) = self.trials([Training(name, *arguments, **options)])
        return trained

    def repeat(
        self,
        name: str,
        make: Callable[[], snt.Module],
        objective: Callable[[Any], Objective],
        data: Mapping[str, Resident],
        config: StudyConfig,
        **options: Any,
    ) -> list[Trained]:
        """Trains a network once for each of `config.trials()`.

        Args:
          name: The training's name.
          make: Makes the network, as in `Training`.
          objective: Makes the objective, given the network.
          data: The splits, as `loop.residents` makes them.
          config: The settings; each trial has its own seed.
          **options: Keyword arguments of `Training`.

        Returns:
          The trained networks, in the order of the trials.
        """
        return self.trials([Training(name, make, objective, data, trial, **options) for trial in config.trials()])

    def trials(self, trainings: Sequence[Training]) -> list[Trained]:
        """Runs trainings that differ in seeds alone, as `train` does, sharing the machine by `--trials_backend`.

        Args:
          trainings: The trainings, at least one.

        Returns:
          The trained networks, in that order.
        """
        first = trainings[0]
        backend = getattr(first.config, "trials_backend", "auto")
        which = f"seed {first.config.random_seed}" if len(trainings) == 1 else f"{len(trainings)} trials"
        placed = [each.within(self.directory, self._options.dump_json) for each in trainings]
        # Published figures are of trials one after another, with all cores on each network.
        Trials(placed, restores=True).run("sequential" if backend == "auto" else backend, f"{first.name}, {which}")
        return [each.trained for each in trainings]

    def finish(self, results: Mapping[str, Any], draw: Callable[[Any], Figure] | None = None) -> None:
        """Writes `results.json`, the plot, and the flat record in the experiment's `summary.json`.

        Args:
          results: Nested mappings and sequences of numbers and strings.
          draw: Draws the results, which it is given as read back from JSON.
        """
        self._run.write_json("results.json", results)
        if self._options.dump_json:
            if draw:
                plots.save(draw(self.results), self.directory / f"{self.name}.png")
            self._run.finish(loop.flatten({"study": self.name, **results}))
        else:
            self._run.finish(None)


@contextlib.contextmanager
def open_study(name: str, config: Config, options: RunOptions) -> Iterator[Study]:
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
        study = Study(name, run, options)
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


def percent(found: Mapping[str, Any]) -> str:
    """Formats a `spread` of shares as percentages, the deviation in parentheses.

    >>> percent(spread([0.97, 0.99]))
    '98.00% (1.41%)'
    """
    return f"{found['mean']:.2%} ({found['deviation']:.2%})" if len(found["values"]) > 1 else f"{found['mean']:.2%}"
