"""The training loop: what it records, and that a run that was cut off ends as one that was not."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.training import checkpoints, loop, objectives, schedules
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.state import DivergenceError
from weirdonetworks.lab.training.trainer import Resident, Trainer

EPOCHS = 5
# Whole batches, ten an epoch: a short one would be traced beside them.
CONFIG = TrainingConfig(epochs=EPOCHS, batch_size=50, update_epoch=3, update_iterations=3, execution="graph")
EACH_EPOCH = {
    *("epoch", "step", "lr", "wallclock_time"),
    *(f"{split}_{figure}" for split in ("train", "validation", "test") for figure in ("avg_loss", "accuracy")),
    *("gradient_norm", "cumulative_gradient_norm", "cosine_similarity", "vector_difference_norm"),
}
FULL = {"full_train_avg_loss", "full_train_accuracy"}


class Network(snt.Module):
    """A small classifier with dropout, so that a wrong seed shows."""

    def __init__(self, seed: int):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.w = [tf.Variable(rng.normal(0, 0.05, shape), dtype=tf.float32) for shape in ((784, 10), (10, 10))]
        self.b = tf.Variable(tf.zeros([10]))

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(tf.reshape(images, [-1, 784]) @ self.w[0])
        if is_training:
            hidden = tf.nn.experimental.stateless_dropout(hidden, 0.2, seed, rng_alg="philox")
        return hidden @ self.w[1] + self.b


@pytest.fixture(scope="module")
def splits(digits: Dataset) -> dict[str, Resident]:
    return digits.residents


def make_trainer(data: Dataset, splits: dict[str, Resident], config: TrainingConfig = CONFIG, seed: int = 0) -> Trainer:
    return Trainer(
        Network(seed),
        loop.optimizer(config),
        lambda network: objectives.classification(network, data.standardisation, takes=("is_training", "seed")),
        splits["train"],
        batch_size=config.batch_size,
        execution=config.execution,
    )


class Before(Hook):
    """Calls a function before each epoch."""

    def __init__(self, function: Callable[[int], dict[str, Any]]):
        self.before_epoch = function


def fit(
    folder: pathlib.Path,
    trainer: Trainer,
    splits: dict[str, Resident],
    config: TrainingConfig = CONFIG,
    resume: bool = False,
    before_epoch: Callable[[int], dict[str, Any]] = lambda epoch: {},
) -> runs.Run:
    """Trains to the end, or to the interruption that a hook raises."""
    try:
        with runs.open_run(folder, "loop", dataclasses.asdict(config), unhashed={}, resume=resume) as run:
            assert not loop.fit(trainer, [loop.Member(run, config, [Before(before_epoch)])], splits)
    except KeyboardInterrupt:
        assert run.status["status"] == "interrupted"
    return run


def lines(run: runs.Run) -> list[dict[str, Any]]:
    """What is in the run's file, without the wall times."""
    records = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "wallclock_time"} for record in records]


def weights(trainer: Trainer) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in trainer.state.network.trainable_variables]


@pytest.fixture(scope="module")
def whole(
    digits: Dataset, splits: dict[str, Resident], tmp_path_factory: pytest.TempPathFactory
) -> tuple[runs.Run, Trainer, list[int]]:
    """A run from start to end, its trainer, and the epochs that its hook was called with."""
    trainer, epochs = make_trainer(digits, splits), []

    def before_epoch(epoch: int) -> dict[str, Any]:
        epochs.append(epoch)
        return {"mask/sparsity": 0.25, "masked_test_accuracy": 0.5} if epoch == 2 else {"mask/sparsity": 0.0}

    run = fit(tmp_path_factory.mktemp("whole"), trainer, splits, before_epoch=before_epoch)
    return run, trainer, epochs


class Within(Hook):
    """Perturbs the weights after some steps, and notes the gradients that it is given."""

    def __init__(self, steps: dict[int, float], trainer: Trainer):
        self.steps, self.trainer, self.norms = steps, trainer, []  # type: ignore[var-annotated]

    def within_epoch(self, epoch: int, steps: int) -> dict[int, Callable[[Any], None]]:
        return {step - epoch * steps: self.change for step in self.steps if 0 <= step - epoch * steps < steps}

    def change(self, gradients: Any) -> None:
        before = weights(self.trainer)
        self.norms.append([float(np.abs(each).sum()) for each in gradients()])
        assert weights(self.trainer) == before
        variable = self.trainer.state.network.trainable_variables[0]
        variable.assign(variable * list(self.steps.values())[len(self.norms) - 1])


@pytest.mark.slow
def test_an_epoch_in_parts_equals_a_whole_one(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(CONFIG, epochs=2)
    found = []
    for number, steps in enumerate([{}, {1: 1.0, 4: 1.0, 10: 1.0, 19: 1.0}, {1: 1.0, 4: 0.5, 10: 1.0, 19: 1.0}]):
        trainer = make_trainer(digits, splits, config)
        hook = Within(steps, trainer)
        with runs.open_run(tmp_path / str(number), "loop", dataclasses.asdict(config), unhashed={}) as run:
            assert not loop.fit(trainer, [loop.Member(run, config, [hook])], splits)
        assert len(hook.norms) == len(steps) and all(len(norms) == 3 and min(norms) > 0 for norms in hook.norms)
        found.append((lines(run), weights(trainer)))
    assert found[0] == found[1]
    assert found[0] != found[2]  # A control: a change within an epoch shows.


@pytest.mark.slow
def test_a_line_holds_every_figure(whole: tuple[runs.Run, Trainer, list[int]]) -> None:
    run, _, epochs = whole
    assert epochs == [0, 1, 2, 3, 4]
    keys = [set(record) - {"mask/sparsity", "masked_test_accuracy"} for record in run.records]
    full = [EACH_EPOCH | FULL if epoch in (3, EPOCHS) else EACH_EPOCH for epoch in range(1, EPOCHS + 1)]
    assert keys == full
    assert [record["epoch"] for record in run.records] == [1, 2, 3, 4, 5]
    assert [record["step"] for record in run.records] == [10, 20, 30, 40, 50]
    assert [record.get("masked_test_accuracy") for record in run.records] == [None, None, 0.5, None, None]
    assert all(np.isfinite(value) for record in run.records for value in record.values())
    assert all(0 < record["wallclock_time"] < 600 for record in run.records)


def test_the_figures_are_those_of_the_network(
    whole: tuple[runs.Run, Trainer, list[int]], splits: dict[str, Resident]
) -> None:
    run, trainer, _ = whole
    last = run.records[-1]
    for split, name in (("validation", "validation"), ("test", "test"), ("train", "full_train")):
        figures = trainer.evaluate(splits[split])
        assert (last[f"{name}_avg_loss"], last[f"{name}_accuracy"]) == (figures["loss"], figures["accuracy"])
    assert last["vector_difference_norm"] == trainer.state.distance_from_start()["vector_difference_norm"]
    assert last["test_accuracy"] > run.records[0]["train_accuracy"] + 0.1
    rates = schedules.Cosine(CONFIG.learning_rate, 50)
    assert [record["lr"] for record in run.records] == pytest.approx(rates([9, 19, 29, 39, 49]).tolist(), rel=1e-6)
    sums = np.cumsum([10 * record["gradient_norm"] for record in run.records])
    assert [record["cumulative_gradient_norm"] for record in run.records] == pytest.approx(sums.tolist(), rel=1e-9)


@pytest.mark.slow
def test_train_figures_are_averaged_over_the_steps(
    digits: Dataset, splits: dict[str, Resident], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=64)
    trainer = make_trainer(digits, splits, config)
    epoch, steps = trainer.epoch, []

    def spy(*arguments: Any) -> dict[str, np.ndarray]:
        steps.append(epoch(*arguments))
        return steps[-1]

    monkeypatch.setattr(trainer, "epoch", spy)
    (record,) = fit(tmp_path, trainer, splits, config).records
    ((loss, accuracy, norm),) = [(step["loss"], step["accuracy"], step["gradient_norm"]) for step in steps]
    sizes = [64] * 7 + [52]  # A short batch counts for less.
    assert record["train_avg_loss"] == pytest.approx(np.average(loss, weights=sizes), rel=1e-6)
    assert record["train_avg_loss"] != pytest.approx(np.mean(loss), rel=1e-5)
    assert record["train_accuracy"] == pytest.approx(np.average(accuracy, weights=sizes), rel=1e-6)
    assert record["gradient_norm"] == pytest.approx(np.mean(norm), rel=1e-6)


def test_batch_figures_go_to_tensorboard(whole: tuple[runs.Run, Trainer, list[int]]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _, _ = whole
    run.set_status("running")  # Flushes.
    events = EventAccumulator(str(run.directory), size_guidance={"tensors": 0})
    events.Reload()
    for tag in ("training/train_batch_loss", "training/batch_gradient_norm"):
        assert [event.step for event in events.Tensors(tag)] == list(range(3, 51, 3))
    assert [event.step for event in events.Tensors("training/test_accuracy")] == [10, 20, 30, 40, 50]


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 3, 4])
def test_an_interrupted_run_ends_like_a_whole_one(
    cut: int,
    digits: Dataset,
    splits: dict[str, Resident],
    whole: tuple[runs.Run, Trainer, list[int]],
    tmp_path: pathlib.Path,
) -> None:
    def before_epoch(epoch: int) -> dict[str, Any]:
        return {"mask/sparsity": 0.25, "masked_test_accuracy": 0.5} if epoch == 2 else {"mask/sparsity": 0.0}

    def interrupt(epoch: int) -> dict[str, Any]:
        if epoch == cut:
            raise KeyboardInterrupt
        return before_epoch(epoch)

    run = fit(tmp_path, make_trainer(digits, splits), splits, before_epoch=interrupt)
    assert len(lines(run)) == cut
    # Other weights at the start: all that counts must come from the checkpoint.
    trainer = make_trainer(digits, splits, seed=9)
    resumed = fit(tmp_path, trainer, splits, resume=True, before_epoch=before_epoch)
    assert lines(resumed) == lines(whole[0])
    assert weights(trainer) == weights(whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("killed", [1, 3])
def test_a_record_without_its_checkpoint_is_taken_back(
    killed: int,
    digits: Dataset,
    splits: dict[str, Resident],
    whole: tuple[runs.Run, Trainer, list[int]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = checkpoints.Checkpoints.save

    def die(saved: checkpoints.Checkpoints, epoch: int) -> None:
        if epoch == killed:
            raise KeyboardInterrupt
        save(saved, epoch)

    def before_epoch(epoch: int) -> dict[str, Any]:
        return {"mask/sparsity": 0.25, "masked_test_accuracy": 0.5} if epoch == 2 else {"mask/sparsity": 0.0}

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.Checkpoints, "save", die)
        run = fit(tmp_path, make_trainer(digits, splits), splits, before_epoch=before_epoch)
    assert len(lines(run)) == killed
    # The very start is not in a checkpoint, so the same weights are drawn again, as a driver does.
    trainer = make_trainer(digits, splits)
    resumed = fit(tmp_path, trainer, splits, resume=True, before_epoch=before_epoch)
    assert lines(resumed) == lines(whole[0])
    assert weights(trainer) == weights(whole[1])


def test_the_comparison_sees_another_seed(
    digits: Dataset, splits: dict[str, Resident], whole: tuple[runs.Run, Trainer, list[int]], tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(CONFIG, epochs=1, random_seed=43)
    other = fit(tmp_path, make_trainer(digits, splits, config), splits, config)
    assert lines(other)[0]["train_avg_loss"] != lines(whole[0])[0]["train_avg_loss"]


def test_a_finished_training_trains_no_more(
    digits: Dataset, splits: dict[str, Resident], whole: tuple[runs.Run, Trainer, list[int]]
) -> None:
    run, trainer, _ = whole
    before = (run.directory / "metrics.jsonl").read_bytes()
    again = make_trainer(digits, splits, seed=9)
    fit(run.directory.parent, again, splits, resume=True, before_epoch=lambda epoch: pytest.fail("trained"))
    assert (run.directory / "metrics.jsonl").read_bytes() == before
    assert weights(again) == weights(trainer)


@pytest.mark.parametrize(("what", "step"), [("loss", 0), ("weights", -1)])
def test_what_is_not_finite_is_never_finished(
    what: str,
    step: int,
    digits: Dataset,
    splits: dict[str, Resident],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in the first step of the last epoch, nor in its last, of which no batch sees the weights."""
    epoch = Trainer.epoch

    def diverging(trainer: Trainer, order: Any, rates: Any, seed: Any, first: int = 0) -> dict[str, np.ndarray]:
        if trainer.state.epoch == 1:
            rates = rates.copy()
            rates[step] = np.inf
        return epoch(trainer, order, rates, seed, first)

    monkeypatch.setattr(Trainer, "epoch", diverging)
    config = dataclasses.replace(CONFIG, epochs=2)
    with pytest.raises(DivergenceError, match=rf"the {what} became (nan|inf) in epoch 2: lower --learning_rate"):
        fit(tmp_path, make_trainer(digits, splits, config), splits, config)
    (directory,) = tmp_path.glob("loop-*")
    run = runs.Run(directory)
    assert run.status == {"status": "interrupted", "epoch": 1} and len(run.records) == 1


def test_the_last_two_checkpoints_are_kept(whole: tuple[runs.Run, Trainer, list[int]]) -> None:
    run, _, _ = whole
    assert tf.train.latest_checkpoint(str(run.directory / "checkpoints")).endswith(f"ckpt-{EPOCHS}")
    assert len(list((run.directory / "checkpoints").glob("*.index"))) == 2


@pytest.mark.slow
def test_there_need_be_no_validation(digits: Dataset, tmp_path: pathlib.Path) -> None:
    data = dataclasses.replace(digits, validation=None)
    splits = data.residents
    assert {name: len(split) for name, split in splits.items()} == {"train": 500, "test": 200}
    config = dataclasses.replace(CONFIG, epochs=1)
    run = fit(tmp_path, make_trainer(data, splits, config), splits, config)
    assert not any(key.startswith("validation") for key in run.records[0])


@pytest.mark.parametrize(
    ("options", "kind", "weight_decay"),
    [
        ({}, Adam, 0.2),
        ({"weight_decay": 0.1}, Adam, 0.1),
        ({"optimizer": "Momentum", "momentum": 0.3}, Momentum, 0.0),
        ({"optimizer": "Momentum", "weight_decay": 0.01, "nesterov": True}, Momentum, 0.01),
    ],
)
def test_the_optimizer_is_the_one_asked_for(options: dict[str, Any], kind: type, weight_decay: float) -> None:
    config = TrainingConfig(**options)
    optimizer = loop.optimizer(config)
    assert type(optimizer) is kind and optimizer.weight_decay == weight_decay
    if isinstance(optimizer, Momentum):
        assert (optimizer.momentum, optimizer.nesterov) == (config.momentum, config.nesterov)


def test_the_learning_rate_is_the_one_asked_for() -> None:
    def rate(**options: Any) -> schedules.LearningRate:
        return schedules.learning_rate(TrainingConfig(learning_rate=0.1, epochs=6, **options), 10)

    assert rate() == schedules.Cosine(0.1, 60)
    assert rate(lr_schedule="constant", lr_schedule_steps="nonsense") == schedules.Constant(0.1)
    stepped = rate(lr_schedule="stepped", lr_schedule_steps="[(2, 0.5), [4, 0.25]]")
    assert stepped == schedules.Stepped(0.1, (20, 40), (0.5, 0.25))
    with pytest.raises(UsageError, match=r"lr_schedule_steps \(=\[2\]\) must be a list of pairs"):
        rate(lr_schedule="stepped", lr_schedule_steps="[(2)]")


RECORDS = [
    {"epoch": 1, "train_avg_loss": 0.1, "validation_accuracy": 0.9, "test_accuracy": 0.8, "wallclock_time": 1.0},
    {"epoch": 2, "train_avg_loss": 0.3, "validation_accuracy": 0.7, "test_accuracy": 0.9, "wallclock_time": 1.0},
    {"epoch": 3, "train_avg_loss": 0.2, "validation_accuracy": 0.8, "test_accuracy": 0.9, "wallclock_time": 1.0},
    {"epoch": 4, "train_avg_loss": 0.2, "validation_accuracy": 0.8, "test_accuracy": 0.7, "wallclock_time": 1.0},
]


@pytest.mark.parametrize(
    ("since", "train", "validation", "test"), [(0, 1, 1, 2), (1, 3, 3, 2), (2, 3, 3, 3), (3, 4, 4, 4)]
)
def test_the_best_is_the_earliest_among_equals(since: int, train: int, validation: int, test: int) -> None:
    best = loop.best_records(RECORDS, since)
    assert {name: record["epoch"] for name, record in best.items()} == {
        "best_train_loss": train,
        "best_validation_accuracy": validation,
        "best_test_acc": test,
    }


def test_a_best_record_is_the_whole_record_of_its_epoch() -> None:
    """What was chosen by the training loss says nothing of the best on the test data."""
    best = loop.best_records(RECORDS)
    assert best["best_train_loss"] == {
        "epoch": 1,
        "train_avg_loss": 0.1,
        "validation_accuracy": 0.9,
        "test_accuracy": 0.8,
    }
    assert best["best_test_acc"]["validation_accuracy"] == 0.7


def test_best_leaves_out_what_was_not_measured() -> None:
    records: list[dict[str, Any]] = [
        {"epoch": 1, "train_avg_loss": None, "test_accuracy": 0.5},  # A loss that was not finite.
        {"epoch": 2, "train_avg_loss": 0.7, "test_accuracy": 0.4},
    ]
    best = loop.best_records(records)
    assert {name: record["epoch"] for name, record in best.items()} == {"best_train_loss": 2, "best_test_acc": 1}
    assert loop.best_records(records, since=2) == {}
    assert loop.best_records([]) == {}


def test_flatten_joins_names() -> None:
    nested = {"a": 1, "b": {"c": 2, "d": {"e": [3]}}, "f": {}}
    assert loop.flatten(nested) == {"a": 1, "b/c": 2, "b/d/e": [3]}
