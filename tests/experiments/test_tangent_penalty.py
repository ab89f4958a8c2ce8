"""The penalty is the sum of squared derivatives, has their gradient, and makes a network more invariant."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import image_rotations
from weirdonetworks.experiments.jacobian_penalty.penalty import JacobianPenalty
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data.augmentation import RandomTransform
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import loop, objectives
from weirdonetworks.lab.training.trainer import Resident, Trainer
from weirdonetworks.measure.lie_derivatives import IMAGE_GENERATORS, lie_derivative, local_equivariance_error

SIDE = 5
SEED = np.array([3, 4], np.int32)
GENERATORS = [IMAGE_GENERATORS[name] for name in ("rotation", "zoom", "shift up")]


def images(count: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 1)), tf.uint8)


def model(batch: tf.Tensor) -> tf.Tensor:
    weights = tf.constant(np.random.default_rng(1).normal(0, 0.005, (SIDE**2, 3)), tf.float32)
    return tf.tanh(tf.matmul(tf.reshape(tf.cast(batch, tf.float32), [-1, SIDE**2]), weights))


def constant_loss(
    images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor
) -> Mapping[str, tf.Tensor]:
    return {"loss": tf.fill([tf.shape(images)[0]], 2.0), "accuracy": tf.zeros([tf.shape(images)[0]])}


def measure(objective: JacobianPenalty, batch: tf.Tensor, seed: np.ndarray = SEED, is_training: bool = True) -> Any:
    labels = tf.zeros([len(batch)], tf.int32)
    return objective(batch, labels, is_training=is_training, seed=tf.constant(seed))


@pytest.mark.slow
def test_one_generator_gives_its_squared_derivative_and_no_randomness() -> None:
    batch = images(6)
    objective = JacobianPenalty(constant_loss, model, GENERATORS[:1], 0.5)
    exact = local_equivariance_error(lie_derivative(model, batch.numpy(), GENERATORS[:1]))[0]
    for is_training, share in ((True, 0.5), (False, 0.0)):
        figures = measure(objective, batch, is_training=is_training)
        np.testing.assert_allclose(figures["penalty"], exact, rtol=1e-4)
        np.testing.assert_allclose(figures["loss"], 2 + share * exact, rtol=1e-5)
    assert set(figures) == {"loss", "accuracy", "penalty"} and exact.min() > 1e-4


@pytest.mark.slow
def test_over_seeds_it_is_the_sum_over_generators() -> None:
    batch = images(4)
    objective = tf.function(JacobianPenalty(constant_loss, model, GENERATORS, 1.0), autograph=False)
    labels = tf.zeros([4], tf.int32)
    drawn = np.array(
        [objective(batch, labels, is_training=True, seed=tf.constant([0, each]))["penalty"] for each in range(300)]
    )
    exact = local_equivariance_error(lie_derivative(model, batch.numpy(), GENERATORS)).sum(axis=0)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - exact) < 4 * error).all()
    assert (error < 0.1 * exact).all() and (error > 0).all()
    assert len(np.unique(drawn[:, 0].round(6))) == 4  # As many pairs of opposite signs as three generators have.


@pytest.mark.slow
def test_both_objective_and_penalty_see_images_moved_in_training() -> None:
    batch, seen = images(8), []

    def objective(given: tf.Tensor, labels: tf.Tensor, **options: Any) -> Mapping[str, tf.Tensor]:
        seen.append(given)
        return constant_loss(given, labels, **options)

    penalty = JacobianPenalty(objective, model, GENERATORS[:1], 1.0, RandomTransform(image_rotations(SIDE, SIDE)))
    trained, again, tested = (measure(penalty, batch, is_training=each) for each in (True, True, False))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert np.abs(seen[0] - tf.cast(seen[2], tf.float32)).max() > 1
    np.testing.assert_array_equal(seen[2], batch)
    np.testing.assert_array_equal(trained["penalty"], again["penalty"])
    for given, figures in zip(seen[1:], (again, tested), strict=True):
        exact = local_equivariance_error(lie_derivative(model, np.asarray(given), GENERATORS[:1]))[0]
        np.testing.assert_allclose(figures["penalty"], exact, rtol=1e-4)


def trained(digits: Dataset, strength: float, execution: str) -> tuple[Callable[[Any], tf.Tensor], list[np.ndarray]]:
    """Trains a linear classifier for an epoch; returns its logits as a function of bytes, and its weights."""
    tf.random.set_seed(1)
    network = snt.Sequential([snt.Flatten(), snt.Linear(16), tf.tanh, snt.Linear(10)])

    def logits(batch: tf.Tensor) -> tf.Tensor:
        return network(digits.standardisation(batch))

    penalty = JacobianPenalty(
        objectives.classification(network, digits.standardisation), logits, [IMAGE_GENERATORS["rotation"]], strength
    )
    config = TrainingConfig(batch_size=100)
    trainer = Trainer(
        network, loop.optimizer(config), lambda _: penalty, Resident(digits.train), batch_size=100, execution=execution
    )
    steps = trainer.steps_per_epoch
    trainer.epoch(loop.order(0, 0, len(digits.train)), np.full(steps, 0.003), (1, 2))
    return logits, [weight.numpy() for weight in network.trainable_variables]


@pytest.mark.slow
def test_training_makes_a_network_more_invariant_the_same_under_xla(digits: Dataset) -> None:
    logits, weights = trained(digits, 1.0, "graph")
    _, compiled = trained(digits, 1.0, "xla")
    for one, other in zip(weights, compiled, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)
    control, _ = trained(digits, 0.0, "graph")
    errors = [
        local_equivariance_error(lie_derivative(each, digits.test.images)).mean(axis=1) for each in (logits, control)
    ]
    rotation, right = 0, 1
    assert errors[0][rotation] < errors[1][rotation] / 2
    assert errors[0][rotation] / errors[1][rotation] < errors[0][right] / errors[1][right] / 1.5


@pytest.mark.slow
def test_the_gradient_is_that_of_forward_accumulation() -> None:
    weights = tf.Variable(np.random.default_rng(1).normal(0, 0.005, (SIDE**2, 3)), dtype=tf.float32)

    def network(batch: tf.Tensor) -> tf.Tensor:
        return tf.tanh(tf.matmul(tf.reshape(batch, [-1, SIDE**2]), weights))

    batch = images(6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(measure(JacobianPenalty(constant_loss, network, GENERATORS[:1], 1.0), batch)["penalty"])
    found = tape.gradient(loss, weights)
    floats = tf.cast(batch, tf.float32)
    with tf.GradientTape() as tape:
        with tf.autodiff.ForwardAccumulator(floats, GENERATORS[0](floats)) as forwards:
            outputs = network(floats)
        loss = tf.reduce_sum(forwards.jvp(outputs) ** 2) / 3
    np.testing.assert_allclose(found, tape.gradient(loss, weights), rtol=1e-3, atol=1e-4)
    assert np.abs(found).max() > 1e-2


def test_bad_use_is_refused() -> None:
    with pytest.raises(ValueError, match="generators must hold at least one"):
        JacobianPenalty(constant_loss, model, [], 1.0)
    for strength in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"strength \(=.*\) must be at least 0, and finite"):
            JacobianPenalty(constant_loss, model, GENERATORS, strength)
