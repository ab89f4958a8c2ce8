"""The pipeline that every driver runs: data, trials, records."""

from collections.abc import Callable
from typing import TypeVar

from weight_symmetry import trials
from weight_symmetry.bench import Bench
from weight_symmetry.config import ModelConfig, TrialOptions
from weight_symmetry.plans import Plan
from weirdonetworks.lab import datasets, loop, runs

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
    plans = [make_plan(trial) for trial in chosen]
    if len(chosen) > 1:
        return trials.run(driver, chosen, plans, options, data, splits)
    bench = Bench(config, data, splits)
    with bench.open(driver, config, options, must_exist=not options.start_missing) as opened:
        if not opened.is_finished:
            examples = f"{len(data.train):,} images of {data.name}"
            print(f"Training {bench} on {examples} for {config.epochs} epochs: {opened.directory}")
            with loop.progress(config.epochs) as after_epoch:
                bench.train(opened, config, plans[0], options, after_epoch)
    return [opened]
