"""The training loop: epochs, records, checkpoints, resuming."""

import dataclasses
import functools
import itertools
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab import seeds
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data.datasets import Resident
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training import checkpoints, schedules
from weirdonetworks.lab.training.checkpoints import Checkpoints
from weirdonetworks.lab.training.hooks import Gradients, Hook
from weirdonetworks.lab.training.optimizers import Adam, Momentum, Optimizer
from weirdonetworks.lab.training.state import DivergenceError, TrainState
from weirdonetworks.lab.training.trainer import Trainer

# The criterion of each best record. The last is chosen on the test data, and so is a biased estimate.
BEST: dict[str, tuple[str, Callable[..., Mapping[str, Any]]]] = {
    "best_train_loss": ("train_avg_loss", min),
    "best_validation_accuracy": ("validation_accuracy", max),
    "best_test_acc": ("test_accuracy", max),
}

# The entries of a record that depend on the machine.
BY_MACHINE = ("wallclock_time", "peak_memory_gib")


def optimizer(config: TrainingConfig) -> Optimizer:
    """Makes the optimizer that a configuration names."""
    if config.optimizer == "Adam":
        return Adam(weight_decay=config.decay)
    return Momentum(config.momentum, weight_decay=config.decay, nesterov=config.nesterov)


class BaseSeeds(NamedTuple):
    """The base seeds of one network: of its steps, and of the order of its examples."""

    steps: int
    order: int


@dataclasses.dataclass(frozen=True)
class Member:
    """One network of a training: run, settings, hooks.

    Attributes:
      run: Its open run.
      config: The settings.
      hooks: Its hooks.
    """

    run: Run
    config: TrainingConfig
    hooks: Sequence[Hook] = ()

    @property
    def seeds(self) -> BaseSeeds:
        """The base seeds; that of the order is, if none is set, that of the steps."""
        order = self.config.order_seed
        return BaseSeeds(self.config.random_seed, self.config.random_seed if order is None else order)

    def learning_rates(self, epoch: int, steps_per_epoch: int) -> npt.NDArray[np.floating]:
        """Returns the learning rate of each step of an epoch, set by a hook or else by the configured schedule."""
        for hook in self.hooks:
            if (rates := hook.learning_rates(epoch)) is not None:
                return rates
        return schedules.epoch_rates(self.config, epoch, steps_per_epoch)

    def before_epoch(self, epoch: int) -> dict[str, Any]:
        """Calls the hooks before an epoch; returns their entries."""
        return {key: value for hook in self.hooks for key, value in hook.before_epoch(epoch).items()}

    def within_epoch(self, epoch: int, steps: int) -> dict[int, list[Callable[[Gradients], None]]]:
        """Returns what the hooks call within an epoch, by the number of its steps before."""
        calls: dict[int, list[Callable[[Gradients], None]]] = {}
        for hook in self.hooks:
            for step, call in hook.within_epoch(epoch, steps).items():
                calls.setdefault(step, []).append(call)
        return calls

    def after_epoch(self, record: dict[str, Any]) -> None:
        """Calls the hooks after an epoch, and adds their entries to its record."""
        for hook in self.hooks:
            record |= hook.after_epoch(record)


def fit(trainer: Trainer, members: Sequence[Member], data: Mapping[str, Resident]) -> dict[int, DivergenceError]:
    """Trains to the configured number of epochs, resuming from the runs' checkpoints if there are any.

    After every epoch a record is appended to each run (see `epoch_record`), and then the state is saved. A record
    without checkpoint is dropped on resuming, so that interrupted runs end with the same records as others.

    Args:
      trainer: The network with its optimizer, at its initial weights; or copies of it.
      members: The network's run, settings and hooks; of copies, those of each, which differ in seeds and runs alone.
      data: The splits, as `residents` makes them.

    Returns:
      The errors of copies whose loss or weights did not stay finite, by number; the others are trained to the end.

    Raises:
      DivergenceError: If loss and weights of no network stayed finite.
      OSError: If a checkpoint is missing, damaged or of another run.
    """
    config, number = members[0].config, range(len(members))
    saved = []
    for index, member in enumerate(members):
        with trainer.member(index) as one:
            saved.append(Checkpoints(member.run, one.state, member.hooks, copies=trainer.count))
    first, failures = checkpoints.restore(trainer, [member.run for member in members], saved)
    for epoch in range(first, config.epochs):
        started = time.perf_counter()
        added: dict[int, dict[str, Any]] = {}
        for index in number:
            if index not in failures:
                with trainer.member(index):
                    added[index] = members[index].before_epoch(epoch)
        rates = members[min(added)].learning_rates(epoch, trainer.steps_per_epoch)
        bases = [member.seeds for member in members]
        calls = {index: members[index].within_epoch(epoch, trainer.steps_per_epoch) for index in added}
        steps = train_epoch(trainer, rates, bases, epoch, calls)
        due = due_splits(data, config, epoch + 1)
        evaluated = {name: _each(trainer, trainer.evaluate(split)) for name, split in due.items()}
        share = (time.perf_counter() - started) / len(members)
        for index, (member, own) in enumerate(zip(members, saved, strict=True)):
            if index in failures:
                continue
            started = time.perf_counter()
            with trainer.member(index) as one:
                _count(one.state, steps[index])
                metrics = {name: split[index] for name, split in evaluated.items()}
                norm = float(one.state.cumulative_gradient_norm)
                record = epoch_record(epoch + 1, steps[index], metrics, norm, one.state.distance_from_start())
                record |= added[index]
                member.after_epoch(record)
                record["wallclock_time"] = share + time.perf_counter() - started
                # The last step can leave weights that no batch of the epoch has seen.
                for what, key in (("loss", "train_avg_loss"), ("weights", "vector_difference_norm")):
                    if not math.isfinite(record[key]) and index not in failures:
                        failures[index] = DivergenceError(
                            f"the {what} became {record[key]} in epoch {epoch + 1}: lower --learning_rate."
                        )
                if index in failures:
                    if len(failures) == len(members):
                        raise failures[index]
                    continue
                member.run.append(record)
                # Before the checkpoint: an epoch that is trained again writes the same numbers to TensorBoard twice.
                log_steps(member.run, steps[index], config.update_iterations)
                member.run.log(record)
                own.save(epoch + 1)
    return failures


def order(seed: int, epoch: int, examples: int) -> npt.NDArray[np.integer]:
    """Draws the order of the training examples in an epoch."""
    return seeds.generator(seed, "order", epoch).permutation(examples)


def train_epoch(
    trainer: Trainer,
    rates: npt.NDArray[np.floating],
    bases: Sequence[BaseSeeds],
    epoch: int,
    calls: Mapping[int, Mapping[int, Sequence[Callable[[Gradients], None]]]] | None = None,
) -> list[dict[str, np.ndarray]]:
    """Trains one epoch, in parts where something is called within it.

    Args:
      trainer: The trainer.
      rates: The learning rate of each step.
      bases: The base seeds of each network. Copies of one order read each batch once for all.
      epoch: The number of finished epochs.
      calls: By the number of a network, what is called within the epoch, as `Member.within_epoch` returns it.

    Returns:
      The metrics of each network's steps, the global `step` and `lr` among them.
    """
    size, length = trainer.batch_size, trainer.steps_per_epoch
    by_seed = {base.order: order(base.order, epoch, len(trainer.train)) for base in bases}
    orders = np.stack([by_seed[base.order] for base in bases]) if len(by_seed) > 1 else by_seed[bases[0].order]
    drawn = [seeds.derive(base.steps, "step", epoch) for base in bases]
    within = calls or {}
    starts = sorted({0}.union(*within.values()))
    parts = []
    for first, end in itertools.pairwise([*starts, length]):
        for index, own in within.items():
            if first not in own:
                continue
            base = bases[index]
            batch = by_seed[base.order][first * size : (first + 1) * size]
            with trainer.member(index) as one:
                gradients = functools.partial(one.gradients, batch, seeds.derive(base.steps, "gradients", epoch, first))
                for call in own[first]:
                    call(gradients)
        seed = drawn[0] if trainer.count is None else drawn
        parts.append(trainer.epoch(orders[..., first * size : end * size], rates[first:end], seed, first))
    metrics = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    shared = {"step": schedules.epoch_steps(epoch, length) + 1, "lr": rates}
    return [own | shared for own in _each(trainer, metrics)]


def _each(trainer: Trainer, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Separates the metrics of each network."""
    if trainer.count is None:
        return [dict(metrics)]
    common = {"batch_size"} & metrics.keys()
    return [
        {name: value if name in common else value[index] for name, value in metrics.items()}
        for index in range(trainer.count)
    ]


def _count(state: TrainState, steps: Mapping[str, np.ndarray]) -> None:
    """Updates the counts of a state after an epoch."""
    state.epoch.assign_add(1)
    state.step.assign_add(len(steps["step"]))
    state.cumulative_gradient_norm.assign_add(float(steps["gradient_norm"].sum(dtype=np.float64)))


def due_splits(data: Mapping[str, Resident], config: TrainingConfig, epoch: int) -> dict[str, Resident]:
    """Selects the splits to evaluate after `epoch` epochs: validation, test and, when due, `full_train`."""
    due = {name: split for name, split in data.items() if name != "train"}
    if epoch % config.update_epoch == 0 or epoch == config.epochs:
        due["full_train"] = data["train"]
    return due


def epoch_record(
    epoch: int,
    steps: Mapping[str, np.ndarray],
    evaluated: Mapping[str, Mapping[str, float]],
    cumulative_gradient_norm: float,
    movement: Mapping[str, float],
) -> dict[str, Any]:
    """Makes the record of an epoch.

    Args:
      epoch: The number of finished epochs, including this one.
      steps: The result of `Trainer.epoch`, with `step` and `lr`.
      evaluated: Split -> metrics over the whole of it, at the epoch's end.
      cumulative_gradient_norm: The sum over all steps so far.
      movement: The result of `TrainState.distance_from_start`.

    Returns:
      `epoch` and `step`, both finished;
      `train_*`: metrics averaged over the epoch's batches, while the weights moved;
      `validation_*`, `test_*`, `full_train_*`: those of `evaluated`;
      `lr`: the last step's learning rate; `gradient_norm`: the mean over the epoch's steps;
      `cumulative_gradient_norm`, `cosine_similarity` and `vector_difference_norm`.
    """
    record: dict[str, Any] = {"epoch": epoch, "step": int(steps["step"][-1])}
    sizes = steps["batch_size"].astype(np.float64)
    for name in [name for name in steps if name not in ("batch_size", "gradient_norm", "step", "lr")]:
        record[_key("train", name)] = float(steps[name] @ sizes / sizes.sum())
    for split, metrics in evaluated.items():
        record |= {_key(split, name): value for name, value in metrics.items()}
    return record | {
        "lr": float(steps["lr"][-1]),
        "gradient_norm": float(steps["gradient_norm"].mean(dtype=np.float64)),
        "cumulative_gradient_norm": cumulative_gradient_norm,
        **movement,
    }


def best_records(records: Sequence[Mapping[str, Any]], since: int = 0) -> dict[str, dict[str, Any]]:
    """Picks the best epochs, the earliest among equals.

    >>> records = [{"epoch": 1, "test_accuracy": 0.9}, {"epoch": 2, "test_accuracy": 0.8}]
    >>> best_records(records)["best_test_acc"]["epoch"], best_records(records, since=1)["best_test_acc"]["epoch"]
    (1, 2)

    Args:
      records: The epochs' records.
      since: The number of first epochs to ignore, e.g. those before the last pruning.

    Returns:
      For each name in `BEST` whose key the records have, the chosen record as `reproducible` leaves it.
    """
    later = [record for record in records if record["epoch"] > since]
    chosen = {}
    for name, (key, choose) in BEST.items():
        if known := [record for record in later if record.get(key) is not None]:
            chosen[name] = reproducible(choose(known, key=operator.itemgetter(key)))
    return chosen


def reproducible(record: Mapping[str, Any]) -> dict[str, Any]:
    """Removes the entries of a record that depend on the machine.

    >>> reproducible({"epoch": 1, "wallclock_time": 2.5})
    {'epoch': 1}
    """
    return {key: value for key, value in record.items() if key not in BY_MACHINE}


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Joins the keys of nested mappings with slashes.

    >>> flatten({"best_test_acc": {"epoch": 3}})
    {'best_test_acc/epoch': 3}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= flatten(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _key(split: str, metric: str) -> str:
    # `avg_loss` is the column name that published summaries of weight-symmetry experiments use.
    return f"{split}_avg_loss" if metric == "loss" else f"{split}_{metric}"


def log_steps(run: Run, steps: Mapping[str, np.ndarray], interval: int) -> None:
    """Writes batch loss and gradient norm of every `interval`-th step to TensorBoard."""
    for index in np.flatnonzero(steps["step"] % interval == 0):
        metrics = {
            "training/train_batch_loss": float(steps["loss"][index]),
            "training/batch_gradient_norm": float(steps["gradient_norm"][index]),
        }
        run.scalars(metrics, int(steps["step"][index]))
