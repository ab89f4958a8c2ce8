"""Projected gradients and the variance they keep, against NumPy and against steps written out."""

from collections.abc import Callable

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import image_rotations
from weirdonetworks.algebra.actions.transforms import ImageTransform, rotation
from weirdonetworks.experiments.projected_gradient import projection
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Momentum
from weirdonetworks.lab.training.trainer import Direction, Resident, Trainer, of_loss
from weirdonetworks.measure.stability import outputs_over, transformation_variance

SHAPES = ((3, 4), (5,), ())
RATE = 0.02


def joined(parts: list[tf.Tensor]) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in parts])


def random_parts(seed: int) -> list[tf.Tensor]:
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape)) for shape in SHAPES]


def test_the_complement_is_what_least_squares_leaves() -> None:
    vector, normal = random_parts(0), random_parts(1)
    projected = projection.complement(vector, normal)
    (share,), *_ = np.linalg.lstsq(joined(normal)[:, None], joined(vector))
    np.testing.assert_allclose(joined(projected), joined(vector) - share * joined(normal), rtol=1e-12)
    assert [part.shape for part in projected] == list(SHAPES)
    size = np.linalg.norm(joined(vector)) * np.linalg.norm(joined(normal))
    assert abs(joined(projected) @ joined(normal)) < 1e-12 * size
    assert abs(joined(vector) @ joined(normal)) > 1e-2 * size  # The control.


def test_nothing_is_projected_off_zero() -> None:
    vector = random_parts(0)
    projected = projection.complement(vector, [tf.zeros_like(part) for part in vector])
    np.testing.assert_array_equal(joined(projected), joined(vector))


def sweep() -> list[ImageTransform]:
    return [rotation(28, 28, angle) for angle in (0, 40, 200)]


def objective_of(
    network: Callable[[tf.Tensor], tf.Tensor], data: Dataset, penalty: float = 0.0
) -> objectives.Objective:
    return projection.with_variance(
        objectives.classification(network, data.standardisation),
        lambda images: tf.nn.softmax(network(data.standardisation(images))),
        sweep(),
        penalty,
    )


class Stepping:
    """Takes single steps on all digits, each from the same weights."""

    def __init__(self, data: Dataset, direction: Direction):
        tf.random.set_seed(0)
        self.network = snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 10])])
        self.objective = objective_of(self.network, data)
        self.train = Resident(data.train)
        options = {"batch_size": len(data.train), "execution": "graph", "direction": direction}
        self.trainer = Trainer(self.network, Momentum(0.0), lambda _: self.objective, self.train, **options)
        self.start = [variable.numpy() for variable in self.network.trainable_variables]

    def __call__(self, rate: float) -> float:
        """Takes a step, and returns by how much it changed the variance."""
        for variable, value in zip(self.network.trainable_variables, self.start, strict=True):
            variable.assign(value)
        before = self.trainer.evaluate(self.train)["variance"]
        self.trainer.epoch(np.arange(len(self.train)), np.array([rate]), (0, 0))
        return self.trainer.evaluate(self.train)["variance"] - before

    def gradient(self, figure: str) -> np.ndarray:
        """Computes the gradient of a figure at the start."""
        for variable, value in zip(self.network.trainable_variables, self.start, strict=True):
            variable.assign(value)
        with tf.GradientTape() as tape:
            figures = self.objective(
                self.train.images, self.train.labels, is_training=True, seed=tf.zeros([2], tf.int32)
            )
            mean = tf.reduce_mean(figures[figure])
        return joined(tape.gradient(mean, self.network.trainable_variables)).astype(np.float64)


@pytest.fixture(scope="module")
def keeping(digits: Dataset) -> Stepping:
    return Stepping(digits, projection.keeping("variance"))


@pytest.fixture(scope="module")
def plain(digits: Dataset) -> Stepping:
    return Stepping(digits, of_loss)


@pytest.mark.slow
def test_a_step_goes_along_the_projected_gradient(keeping: Stepping) -> None:
    loss, variance = keeping.gradient("loss"), keeping.gradient("variance")
    projected = loss - (loss @ variance) / (variance @ variance) * variance
    assert np.linalg.norm(projected - loss) > 1e-2 * np.linalg.norm(loss)
    keeping(RATE)
    taken = joined(keeping.network.trainable_variables) - joined(keeping.start)
    np.testing.assert_allclose(taken, -RATE * projected, atol=1e-3 * RATE * np.abs(projected).max())


@pytest.mark.slow
def test_a_projected_step_keeps_the_variance_to_first_order(keeping: Stepping, plain: Stepping) -> None:
    """Half the step changes it by a quarter; the control, an ordinary step, by half."""
    assert keeping(RATE) / keeping(RATE / 2) == pytest.approx(4, rel=0.15)
    assert plain(RATE) / plain(RATE / 2) == pytest.approx(2, rel=0.15)
    assert abs(keeping(RATE / 2)) < 0.1 * abs(plain(RATE / 2))


@pytest.mark.slow
def test_the_variance_is_that_of_measure(plain: Stepping, digits: Dataset) -> None:
    network, few = plain.network, digits.train[:20]
    outputs = outputs_over(lambda images: tf.nn.softmax(network(digits.standardisation(images))), few.images, sweep())
    options = {"is_training": True, "seed": tf.zeros([2], tf.int32)}
    figures = objective_of(network, digits, penalty=30.0)(few.images, few.labels, **options)
    np.testing.assert_allclose(figures["variance"], transformation_variance(outputs), rtol=1e-4)
    unpunished = objectives.classification(network, digits.standardisation)(few.images, few.labels, **options)["loss"]
    np.testing.assert_allclose(figures["loss"] - unpunished, 30 * figures["variance"], rtol=1e-2)
    assert list(figures) == ["loss", "accuracy", "variance"]


def test_an_invariant_network_has_no_variance(digits: Dataset) -> None:
    objective = projection.with_variance(
        lambda images, labels, is_training, seed: {"loss": tf.zeros([20])},
        lambda images: tf.reduce_mean(images, axis=(1, 2)),
        image_rotations(28, 28),
    )
    few = digits.train[:20]
    variance = objective(few.images, few.labels, is_training=True, seed=tf.zeros([2], tf.int32))["variance"]
    assert variance.numpy().max() < 1e-8  # Of means near 30.


@pytest.mark.parametrize("penalty", [-1.0, float("nan")])
def test_a_negative_penalty_is_refused(penalty: float, digits: Dataset) -> None:
    with pytest.raises(ValueError, match=rf"penalty \(={penalty}\) must be at least 0"):
        objective_of(snt.Flatten(), digits, penalty)
