"""The pipeline that every driver runs: data, trials, records."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from weight_symmetry.config import ModelConfig, TrialOptions
from weight_symmetry.model_trials import ModelTrial
from weight_symmetry.plans import Plan
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.training import loop, trials

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
    number = options.num_trials
    must_exist = number == 1 and not options.start_missing
    chosen = [
        ModelTrial(driver, trial, make_plan(trial), options, data, splits, must_exist)
        for trial in (config.trial(index) for index in range(number))
    ]
    return trials.Trials(chosen).run(backend(options.trials_backend))


def backend(asked: str) -> str:
    """Chooses how trials share the machine: `auto` is what was measured fastest on the device at hand."""
    if asked != "auto":
        return asked
    accelerated = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
    return "batched" if accelerated else "threads"
