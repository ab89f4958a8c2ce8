"""The compiled epoch and evaluation, against loops written out in Python and NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.data.datasets import Dataset, Examples
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import objectives, trainer as trainers
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.trainer import Resident, Trainer

BATCH, STEPS = 50, 10  # Of 500 images, whole: a short one would be traced beside them.


class Dense(snt.Module):
    """A small classifier whose weights are drawn from a seed."""

    def __init__(self, seed: int = 0, dropout_rate: float = 0.0):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.w = [tf.Variable(rng.normal(0, 0.05, shape), dtype=tf.float32) for shape in ((784, 12), (12, 10))]
        self.b = [tf.Variable(tf.zeros([size])) for size in (12, 10)]
        self.dropout_rate = dropout_rate

    def __call__(self, images: tf.Tensor, is_training: bool, seed: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(tf.reshape(images, [-1, 784]) @ self.w[0] + self.b[0])
        if is_training and self.dropout_rate:
            hidden = tf.nn.experimental.stateless_dropout(hidden, self.dropout_rate, seed, rng_alg="philox")
        return hidden @ self.w[1] + self.b[1]


def make_trainer(
    data: Dataset,
    execution: str = "graph",
    optimizer: Adam | Momentum | None = None,
    network: Dense | None = None,
    batch_size: int = BATCH,
    **options: Any,
) -> Trainer:
    network = network or Dense()
    objective = objectives.classification(network, data.standardisation, takes=("is_training", "seed"))
    optimizer = optimizer or Momentum(0.9)
    return Trainer(
        network,
        optimizer,
        lambda _: objective,
        Resident(data.train),
        batch_size=batch_size,
        execution=execution,
        **options,
    )


def order_of(data: Dataset, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(len(data.train))


def weights(trainer: Trainer) -> list[npt.NDArray[np.float32]]:
    return [variable.numpy() for variable in trainer.state.network.trainable_variables]


def largest_difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_an_epoch_equals_a_loop_over_its_batches(digits: Dataset) -> None:
    size = 64  # 500 images make 7 full batches and one of 52.
    trainer = make_trainer(digits, batch_size=size)
    order, rates = order_of(digits), np.linspace(0.02, 0.01, 8)
    figures = trainer.epoch(order, rates, (1, 2))

    network = Dense()
    optimizer = snt.optimizers.Momentum(0.0, 0.9)
    losses, accuracies, norms, sizes = [], [], [], []
    for step, rate in enumerate(rates):
        batch = digits.train[order[step * size : (step + 1) * size]]
        images = (batch.images / 255 - digits.standardisation.mean) / digits.standardisation.deviation
        with tf.GradientTape() as tape:
            logits = network(tf.constant(images, tf.float32), is_training=True, seed=tf.constant([0, 0]))
            chosen = tf.gather(tf.nn.log_softmax(logits), batch.labels, axis=1, batch_dims=1)
            loss = -tf.reduce_mean(chosen)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.learning_rate = rate
        optimizer.apply(gradients, network.trainable_variables)
        losses.append(loss.numpy())
        accuracies.append(np.mean(logits.numpy().argmax(axis=1) == batch.labels))
        norms.append(np.sqrt(sum(np.sum(np.square(gradient, dtype=np.float64)) for gradient in gradients)))
        sizes.append(len(batch))

    assert sizes == [size] * 7 + [52] == figures["batch_size"].tolist()
    assert trainer.steps_per_epoch == 8
    np.testing.assert_allclose(figures["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(figures["accuracy"], accuracies, atol=1e-6)
    np.testing.assert_allclose(figures["gradient_norm"], norms, rtol=1e-4)
    by_hand = [variable.numpy() for variable in network.trainable_variables]
    assert largest_difference(weights(trainer), by_hand) < 1e-4
    # A control: another order of the same images ends elsewhere.
    other = make_trainer(digits, batch_size=size)
    other.epoch(order_of(digits, seed=1), rates, (1, 2))
    assert largest_difference(weights(other), by_hand) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_an_epoch_in_parts_equals_the_whole(execution: str, digits: Dataset) -> None:
    whole, parts = (make_trainer(digits, execution, network=Dense(dropout_rate=0.3)) for _ in range(2))
    order, rates = order_of(digits), np.linspace(0.02, 0.01, STEPS)
    expected = whole.epoch(order, rates, (1, 2))
    found = [
        parts.epoch(order[first * BATCH : end * BATCH], rates[first:end], (1, 2), first)
        for first, end in ((0, 3), (3, 4), (4, STEPS))
    ]
    for name, values in expected.items():
        np.testing.assert_allclose(np.concatenate([part[name] for part in found]), values, rtol=1e-5)
    assert largest_difference(weights(parts), weights(whole)) < 1e-5
    # A control: the seeds of a part are those of its place.
    other = make_trainer(digits, execution, network=Dense(dropout_rate=0.3))
    for first, end in ((0, 3), (3, 4), (4, STEPS)):
        other.epoch(order[first * BATCH : end * BATCH], rates[first:end], (1, 2))
    assert largest_difference(weights(other), weights(whole)) > 1e-3


def test_gradients_are_those_of_a_tape(digits: Dataset) -> None:
    network = Dense()
    trainer = make_trainer(digits, network=network)
    indices = np.array([3, 1, 4, 1, 5])
    before = weights(trainer)
    found = trainer.gradients(indices, (1, 2))
    batch = digits.train[indices]
    images = (batch.images / 255 - digits.standardisation.mean) / digits.standardisation.deviation
    with tf.GradientTape() as tape:
        logits = network(tf.constant(images, tf.float32), is_training=True, seed=tf.constant([0, 0]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(batch.labels, logits))
    expected = [each.numpy() for each in tape.gradient(loss, network.trainable_variables)]
    assert largest_difference(found, expected) < 1e-4
    assert all(np.array_equal(a, b) for a, b in zip(weights(trainer), before, strict=True))
    with pytest.raises(ValueError, match=r"count \(=2\) must be None: ask the trainer that member"):
        make_trainer(digits, count=2).gradients(indices, (1, 2))


def test_an_epoch_lowers_the_loss_that_evaluation_sees(digits: Dataset) -> None:
    trainer = make_trainer(digits)
    test = Resident(digits.test)
    before = trainer.evaluate(test)
    for epoch in range(3):
        trainer.epoch(order_of(digits, epoch), np.full(STEPS, 0.02), (1, epoch))
    after = trainer.evaluate(test)
    assert after["loss"] < 0.7 * before["loss"]
    assert after["accuracy"] > before["accuracy"] + 0.3


def test_evaluation_equals_numpy(digits: Dataset) -> None:
    network = Dense(seed=3, dropout_rate=0.5)  # Dropout is for training.
    rng = np.random.default_rng(0)
    for bias in network.b:
        bias.assign(rng.normal(size=bias.shape))
    trainer = make_trainer(digits, network=network)
    images = (digits.test.images / 255 - digits.standardisation.mean) / digits.standardisation.deviation
    (w1, w2), (b1, b2) = ([v.numpy().astype(np.float64) for v in variables] for variables in (network.w, network.b))
    logits = np.maximum(images.reshape(-1, 784) @ w1 + b1, 0) @ w2 + b2
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), digits.test.labels]
    figures = trainer.evaluate(Resident(digits.test))
    assert figures["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert figures["accuracy"] == np.mean(logits.argmax(axis=1) == digits.test.labels)


@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_the_evaluation_batch_changes_nothing(execution: str, digits: Dataset) -> None:
    figures = [
        make_trainer(digits, execution, batch_size_test=size).evaluate(Resident(digits.test)) for size in (7, 1000)
    ]
    assert len({figure["accuracy"] for figure in figures}) == 1
    for figure in figures:
        assert figure["loss"] == pytest.approx(figures[0]["loss"], rel=1e-5)


def test_a_batch_of_evaluation_far_larger_than_the_data_is_not_filled_up(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = Resident(digits.test)
    ordinary = make_trainer(digits, batch_size_test=1000)
    assert (
        ordinary.evaluation_batch(test) == 1000 > len(test)
    )  # Of one size, whatever the data: results keep their bits.
    monkeypatch.setattr(trainers, "LARGEST_BATCH", 2**16)
    huge = make_trainer(digits, batch_size_test=10**12)
    assert huge.evaluation_batch(test) == max(len(test), len(huge.train))
    assert huge.evaluate(test)["accuracy"] == ordinary.evaluate(test)["accuracy"]


def test_evaluation_trains_nothing(digits: Dataset) -> None:
    trainer = make_trainer(digits, network=Dense(dropout_rate=0.5))
    before = weights(trainer)
    first, second = (trainer.evaluate(Resident(digits.test)) for _ in range(2))
    assert first == second
    assert all(np.array_equal(a, b) for a, b in zip(weights(trainer), before, strict=True))


def train_two_epochs(
    data: Dataset, execution: str, dropout_rate: float = 0.3
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    trainer = make_trainer(data, execution, Adam(weight_decay=0.1), Dense(dropout_rate=dropout_rate))
    figures = [
        trainer.epoch(order_of(data, epoch), np.full(STEPS, 0.002), (5, epoch))[name]
        for epoch in range(2)
        for name in ("loss", "gradient_norm")
    ]
    return weights(trainer), figures


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_the_same_epochs_give_the_same_bytes(execution: str, digits: Dataset) -> None:
    one, other = (train_two_epochs(digits, execution) for _ in range(2))
    for a, b in zip([*one[0], *one[1]], [*other[0], *other[1]], strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.slow
def test_graph_and_xla_agree(digits: Dataset) -> None:
    """Without dropout: the two draw other random numbers from the same seed."""
    (graph, graph_figures), (xla, xla_figures) = (train_two_epochs(digits, mode, 0.0) for mode in ("graph", "xla"))
    for a, b in zip(xla_figures, graph_figures, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    assert largest_difference(xla, graph) < 1e-3


class Recording:
    """An objective that reports what it is given, and counts how often Python enters it."""

    def __init__(self, network: Callable[..., tf.Tensor]):
        self.network = network
        self.entered = {True: 0, False: 0}

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        self.entered[is_training] += 1
        # In parts, each of which a float holds exactly.
        high, low, rest = (tf.cast(part, tf.float32) for part in (seed[0] // 65536, seed[0] % 65536, seed[1]))
        scaled = tf.cast(images, tf.float32) / 255
        return {
            "loss": tf.reduce_mean(tf.square(self.network(scaled, is_training=is_training, seed=seed)), axis=1),
            "label": tf.cast(labels, tf.float32),
            "seed_high": high,
            "seed_low": low,
            "seed_rest": rest,
            "one": tf.ones([]),
        }


@pytest.fixture(scope="module", params=["graph", "xla"])
def recorded(request: pytest.FixtureRequest, digits: Dataset) -> tuple[Trainer, Recording]:
    network = Dense()
    objective = Recording(network)
    trainer = Trainer(
        network, Adam(), lambda _: objective, Resident(digits.train), batch_size=BATCH, execution=request.param
    )
    return trainer, objective


@pytest.mark.slow
def test_nothing_is_traced_again(recorded: tuple[Trainer, Recording], digits: Dataset) -> None:
    trainer, objective = recorded
    splits = [Resident(digits.test), Resident(digits.train)]

    def once(epoch: int) -> None:
        trainer.epoch(order_of(digits, epoch), np.full(STEPS, 0.1 / (1 + epoch)), (3, epoch))
        for split in splits:
            trainer.evaluate(split)

    once(0)
    entered = dict(objective.entered)
    assert min(entered.values()) > 0
    for epoch in range(1, 4):
        trainer.state.network.w[0].assign(trainer.state.network.w[0] * 0.5)
        once(epoch)
    assert objective.entered == entered


@pytest.mark.slow
def test_every_image_is_trained_on_in_order(recorded: tuple[Trainer, Recording], digits: Dataset) -> None:
    trainer, _ = recorded
    order = order_of(digits)
    means = trainer.epoch(order, np.zeros(STEPS), (3, 0))["label"]
    labels = digits.train.labels[order]
    expected = [labels[start : start + BATCH].mean() for start in range(0, 500, BATCH)]
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_every_step_has_its_own_seed(recorded: tuple[Trainer, Recording], digits: Dataset) -> None:
    trainer, _ = recorded

    def seeds_of(seed: tuple[int, int]) -> list[tuple[float, ...]]:
        figures = trainer.epoch(order_of(digits), np.zeros(STEPS), seed)
        return list(zip(*(figures[f"seed_{part}"].tolist() for part in ("high", "low", "rest")), strict=True))

    first, again, next_epoch = seeds_of((3, 0)), seeds_of((3, 0)), seeds_of((3, 1))
    assert first == again
    assert len({*first, *next_epoch}) == 2 * STEPS


def test_a_scalar_counts_for_every_example(recorded: tuple[Trainer, Recording], digits: Dataset) -> None:
    trainer, _ = recorded
    assert trainer.evaluate(Resident(digits.test))["one"] == 1
    assert trainer.epoch(order_of(digits), np.zeros(STEPS), (3, 0))["one"].tolist() == [1.0] * STEPS


def test_a_weight_outside_the_loss_stays(digits: Dataset) -> None:
    network = Dense()
    network.idle = tf.Variable([[1.0, 2.0]])
    trainer = make_trainer(digits, optimizer=Momentum(), network=network)
    trainer.epoch(order_of(digits), np.full(STEPS, 0.1), (0, 0))
    assert network.idle.numpy().tolist() == [[1.0, 2.0]]


def test_the_distance_from_the_start(digits: Dataset) -> None:
    trainer = make_trainer(digits)
    start = np.concatenate([w.ravel() for w in weights(trainer)]).astype(np.float64)
    assert trainer.state.distance_from_start() == pytest.approx({"cosine_similarity": 1, "vector_difference_norm": 0})
    trainer.epoch(order_of(digits), np.full(STEPS, 0.02), (0, 0))
    now = np.concatenate([w.ravel() for w in weights(trainer)]).astype(np.float64)
    distance = trainer.state.distance_from_start()
    assert distance["vector_difference_norm"] == pytest.approx(np.linalg.norm(now - start), rel=1e-9)
    cosine = now @ start / np.linalg.norm(now) / np.linalg.norm(start)
    assert distance["cosine_similarity"] == pytest.approx(cosine, rel=1e-9)
    assert cosine < 0.999
    trainer.state.restart()
    assert trainer.state.distance_from_start()["vector_difference_norm"] == 0


def test_a_network_of_zeros_has_no_direction(digits: Dataset) -> None:
    network = Dense()
    for variable in network.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    trainer = make_trainer(digits, network=network)
    assert trainer.state.distance_from_start() == {"cosine_similarity": 0.0, "vector_difference_norm": 0.0}


def test_restart_forgets_the_training(digits: Dataset) -> None:
    trainer = make_trainer(digits, optimizer=Adam())
    start = weights(trainer)
    first = trainer.epoch(order_of(digits), np.full(STEPS, 0.01), (0, 0))["loss"]
    trainer.state.step.assign_add(STEPS)
    for variable, value in zip(trainer.state.network.trainable_variables, start, strict=True):
        variable.assign(value)
    trainer.state.restart()
    assert int(trainer.state.step) == 0
    second = trainer.epoch(order_of(digits), np.full(STEPS, 0.01), (0, 0))["loss"]
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 501}, r"batch_size \(=501\) must be in \[1, 500\]"),
        ({"batch_size": 0}, r"batch_size \(=0\) must be in \[1, 500\]"),
        ({"batch_size_test": 0}, r"batch_size_test \(=0\) must be at least 1"),
        ({"execution": "eager"}, r"execution \(=eager\) must be one of auto, xla, graph"),
    ],
)
def test_impossible_training_is_refused(options: dict[str, Any], message: str, digits: Dataset) -> None:
    network = Dense()
    objective = objectives.classification(network, digits.standardisation, takes=("is_training", "seed"))
    with pytest.raises(UsageError, match=message):
        Trainer(network, Momentum(), lambda _: objective, Resident(digits.train), **options)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("batch_size", "steps"), [(500, 1), (499, 2), (250, 2), (1, 500), (128, 4)])
def test_steps_count_the_short_one(batch_size: int, steps: int, digits: Dataset) -> None:
    network = Dense()
    objective = objectives.classification(network, digits.standardisation, takes=("is_training", "seed"))
    trainer = Trainer(
        network, Momentum(), lambda _: objective, Resident(digits.train), batch_size=batch_size, execution="graph"
    )
    assert trainer.steps_per_epoch == steps
    if batch_size > 1:
        assert trainer.epoch(order_of(digits), np.zeros(steps), (0, 0))["batch_size"].sum() == 500


def test_inputs_and_answers_may_be_numbers() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, 3)).astype(np.float32)
    data = Resident(Examples(inputs, (inputs @ [[1.0], [2.0], [-1.0]]).astype(np.float32)))
    network = snt.Linear(1, w_init=snt.initializers.Zeros())
    objective = objectives.regression(network, tolerance=0.01)
    trainer = Trainer(network, Momentum(0.9), lambda _: objective, data, batch_size=30, execution="graph")
    before = trainer.evaluate(data)
    for epoch in range(30):
        trainer.epoch(rng.permutation(200), np.full(trainer.steps_per_epoch, 0.05), (epoch, 0))
    after = trainer.evaluate(data)
    assert before["loss"] > 0.1 and after["loss"] < 1e-6 and after["accuracy"] == 1
    np.testing.assert_allclose(network.w, [[1], [2], [-1]], atol=1e-3)


def test_a_step_descends_along_the_direction_asked_for() -> None:
    data = Resident(Examples(np.array([[1.0], [3.0]], np.float32), np.array([[1.0], [2.0]], np.float32)))

    def step(**options: Any) -> float:
        network = snt.Linear(1, with_bias=False, w_init=snt.initializers.Constant(2.0))
        objective = objectives.regression(network, tolerance=0.01)

        def and_size(images: tf.Tensor, labels: tf.Tensor, **rest: Any) -> dict[str, tf.Tensor]:
            return {**objective(images, labels, **rest), "size": tf.reduce_sum(network.w**2)}

        trainer = Trainer(network, Momentum(0.0), lambda _: and_size, data, batch_size=2, execution="graph", **options)
        figures = trainer.epoch(np.arange(2), np.array([0.1]), (0, 0))
        moved = 2.0 - float(network.w.numpy().item())
        assert figures["gradient_norm"] == pytest.approx(abs(moved) / 0.1, rel=1e-5)
        return moved

    # The loss ((w - 1)^2 + (3 w - 2)^2) / 2 has the derivative 13 at w = 2, the size w^2 has 4.
    assert step() == pytest.approx(1.3, rel=1e-5)
    both = step(direction=lambda gradient: [gradient("loss")[0] - 2 * gradient("size")[0]])
    assert both == pytest.approx(0.5, rel=1e-5)
    with pytest.raises(ValueError, match=r"metric \(='width'\) must be one of the objective's: loss, accuracy, size"):
        step(direction=lambda gradient: gradient("width"))


def test_inputs_and_answers_must_be_as_many() -> None:
    with pytest.raises(ValueError, match=r"images of shape \(3, 2\) and labels of shape \(4,\) must match in length"):
        Examples(np.zeros((3, 2)), np.zeros(4))


def test_splits_of_all_sizes_are_evaluated_by_one_program(digits: Dataset) -> None:
    trainer = make_trainer(digits, batch_size_test=64)
    for size in (200, 64, 7):
        trainer.evaluate(Resident(digits.test[:size]))
    assert len(trainer._compiled_evaluation._traced) == 1
