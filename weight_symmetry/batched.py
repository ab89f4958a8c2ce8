"""Trials as one batched program, for accelerators."""

import contextlib
import time
from collections.abc import Sequence

import numpy as np

from weight_symmetry.bench import Bench, finish
from weight_symmetry.config import ModelConfig
from weight_symmetry.masking import Masking
from weight_symmetry.plans import Plan
from weight_symmetry.prune_config import PruneConfig
from weight_symmetry.trials import Trials
from weirdonetworks.lab import seeds
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.training import loop, objectives
from weirdonetworks.lab.training.batched import BatchedTrainer
from weirdonetworks.lab.training.trainer import movement


def obstacle(config: ModelConfig) -> str | None:
    """Says what cannot be batched: networks that are random or change variables, masks that change; None if nothing."""
    if config.dropout_rate:
        return f"dropout_rate (={config.dropout_rate}) draws for one network at a time"
    if config.model == "MNIST_CNN":
        return f"model (={config.model}) has batch norm, which changes variables"
    if isinstance(config, PruneConfig):
        return "pruning differs from trial to trial"
    return None


def run(trials: Trials) -> list[runs.Run]:
    """Trains the unfinished trials together, epoch by epoch.

    No checkpoint is kept: trials that were cut off start again.

    Returns:
      The finished runs, by number.
    """
    if (reason := obstacle(trials.configs[0])) is not None:
        raise UsageError(f"trials cannot be batched: {reason}. Pass --trials_backend=threads.")
    bench = trials.bench()
    bench.execution = "batched"
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(trials.open(bench, number)) for number in range(len(trials))]
        active = [number for number, the_run in enumerate(opened) if not the_run.is_finished]
        print(f"Training {len(active)} trials of {bench} in one program: {trials.options.experiment_dir}")
        if active:
            _train(bench, [(opened[n], trials.configs[n], trials.plans[n]) for n in active], trials)
    return opened


def _train(bench: Bench, active: Sequence[tuple[runs.Run, ModelConfig, Plan]], trials: Trials) -> None:
    config = active[0][1]
    options = trials.options
    objective = objectives.classification(bench.model, trials.data.standardisation, takes=("is_training", "seed"))
    trainer = BatchedTrainer(
        bench.model,
        loop.optimizer(config),
        objective,
        bench.splits["train"],
        len(active),
        batch_size=config.batch_size,
        batch_size_test=config.batch_size_test,
    )
    tracked = []
    for index, (the_run, own, plan) in enumerate(active):
        the_run.keep_records(0)
        bench.load(own, plan)
        trainer.load(index)
        masking = Masking(plan, bench.model, bench.trainer, bench.splits["test"], the_run, own, options.dump_json)
        tracked.append(masking.before_epoch(0))
    start = [trainer.weights(index) for index in range(len(active))]
    totals = np.zeros(len(active))
    schedule = loop.learning_rate(config, trainer.steps_per_epoch)
    with loop.progress(config.epochs * len(active)) as after_epoch:
        for epoch in range(config.epochs):
            started = time.perf_counter()
            numbers = loop.epoch_steps(epoch, trainer.steps_per_epoch)
            figures = trainer.epoch(
                np.stack([loop.order(own.random_seed, epoch, len(trainer.train)) for _, own, _ in active]),
                schedule(numbers),
                [seeds.derive(own.random_seed, "step", epoch) for _, own, _ in active],
            )
            due = loop.due_splits(bench.splits, config, epoch + 1)
            evaluated = {name: trainer.evaluate(split) for name, split in due.items()}
            for index, (the_run, own, _) in enumerate(active):
                steps = figures[index] | {"step": numbers + 1, "lr": schedule(numbers)}
                totals[index] += steps["gradient_norm"].sum(dtype=np.float64)
                record = loop.epoch_record(
                    epoch + 1,
                    steps,
                    {name: values[index] for name, values in evaluated.items()},
                    float(totals[index]),
                    movement(trainer.weights(index), start[index]),
                )
                record |= tracked[index] | {"wallclock_time": (time.perf_counter() - started) / len(active)}
                the_run.append(record)
                loop.log_steps(the_run, steps, own.update_iterations)
                the_run.log(record)
                after_epoch(1, record)
    for the_run, own, plan in active:
        bench.load(own, plan)  # For the masks, which are those that it was trained with.
        masking = Masking(plan, bench.model, bench.trainer, bench.splits["test"], the_run, own, options.dump_json)
        finish(the_run, bench.model.masks, masking.describe(), options)
