"""Studies: experiments made of several trainings, with one directory, one result and one picture.

<experiment_dir>/<study>-<hash>/config.json       every flag, package versions
<experiment_dir>/<study>-<hash>/results.json      what the study found; there once it has finished
<experiment_dir>/<study>-<hash>/<study>.png       the same as a picture
<experiment_dir>/<study>-<hash>/<training>-<hash>/  a run directory for each training (see `runs`)
<experiment_dir>/<study>-<hash>/summary.json      training's id -> one flat record
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from weirdonetworks.lab import plots
from weirdonetworks.lab.config import Config, RunOptions
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.training import loop
from weirdonetworks.lab.training.study_trials import Trained, Training
from weirdonetworks.lab.training.trials import Trials


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

    def train(self, name: str, *arguments: Any, **options: Any) -> Trained:
        """Trains a network in a run directory of its own, or takes it from there if it was trained before.

        Args:
          name: The training's name.
          *arguments: What `Training` takes after the name.
          **options: Likewise.

        Returns:
          The trained network.

        Raises:
          DivergenceError: If the loss did not stay finite.
          OSError: If it was trained before and its weights are gone.
        """
        (trained,) = self.trials([Training(name, *arguments, **options)])
        return trained

    def trials(self, trainings: Sequence[Training]) -> list[Trained]:
        """Trains, as `train` does, what differs in seeds alone, sharing the machine as `--trials_backend` says.

        Args:
          trainings: The trainings, at least one.

        Returns:
          The trained networks, in that order.
        """
        first = trainings[0]
        backend = getattr(first.config, "trials_backend", "auto")
        which = f"seed {first.config.random_seed}" if len(trainings) == 1 else f"{len(trainings)} trials"
        placed = [each.within(self.directory, self._options.dump_json) for each in trainings]
        # The published figures come of one after another, where all cores work on each network.
        Trials(placed, restores=True).run("sequential" if backend == "auto" else backend, f"{first.name}, {which}")
        return [each.trained for each in trainings]

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
            print(f"This study was finished before; what was trained is measured again, since {listed}.")
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
