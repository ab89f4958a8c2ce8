"""The pipeline that every driver runs: data, trials, records."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from weight_symmetry import batched, threads
from weight_symmetry.config import ModelConfig, TrialOptions
from weight_symmetry.plans import Plan
from weight_symmetry.trials import Trials
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.lab.training import loop

C = TypeVar("C", bound=ModelConfig)


def run(driver: str, config: C, options: TrialOptions, make_plan: Callable[[C], Plan]) -> list[runs.Run]:
    """Trains a masked model by a plan, as often as there are trials, and records each.

    Args:
      driver: The name that a run's id begins with.
      config: What determines the result of the first trial; the others raise its seeds.
      options: Where the runs go, how many there are, and how they share the machine.
      make_plan: Says when a trial's masks change, given its configuration.

    Returns:
      The finished runs, trial by trial; one that was finished before is returned as it is, nothing trained.

    Raises:
      UsageError: If the request is impossible (see `runs.open_run`, `datasets.load`, `Trainer`).
      OSError: If data cannot be had or a run not written.
    """
    data = datasets.configured(config, options.data_dir)
    config = config.fitted(data.train.images[0].size, len(data.classes))
    splits = loop.residents(data)
    chosen = [config.trial(number) for number in range(options.num_trials)]
    trials = Trials(driver, chosen, [make_plan(trial) for trial in chosen], options, data, splits)
    if len(trials) > 1:
        return batched.run(trials) if _backend(trials) == "batched" else threads.run(trials)
    bench = trials.bench()
    with trials.open(bench, 0, must_exist=not options.start_missing) as opened:
        if not opened.is_finished:
            examples = f"{len(data.train):,} images of {data.name}"
            print(f"Training {bench} on {examples} for {counted(config.epochs, 'epoch')}: {opened.directory}")
            with loop.progress(config.epochs) as after_epoch:
                trials.train(bench, opened, 0, after_epoch)
    return [opened]


def _backend(trials: Trials) -> str:
    """Chooses how trials share the machine, which is all in which the back ends differ: the records are the same."""
    if trials.options.trials_backend != "auto":
        return trials.options.trials_backend
    accelerated = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
    return "batched" if accelerated and batched.obstacle(trials.configs[0]) is None else "threads"
