"""Masked layers: what they compute, what gradient they pass, and that a cut weight never moves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry.layers import MaskedConv2D, MaskedLinear
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.lab.training.trainer import Resident, Trainer

Layer = MaskedLinear | MaskedConv2D


def dense() -> tuple[MaskedLinear, npt.NDArray[np.float32]]:
    """A built dense layer, and inputs for it."""
    layer, inputs = MaskedLinear(4), np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    layer(tf.constant(inputs))
    return layer, inputs


def convolution(padding: str = "SAME") -> tuple[MaskedConv2D, npt.NDArray[np.float32]]:
    """A built convolution, and inputs for it."""
    layer = MaskedConv2D(4, kernel_size=3, padding=padding)
    inputs = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    layer(tf.constant(inputs))
    return layer, inputs


def draw_mask(layer: Layer, seed: int = 1) -> npt.NDArray[np.bool_]:
    """A random mask with connections kept and cut."""
    mask = np.random.default_rng(seed).random(tuple(layer.w.shape)) < 0.5
    assert 0 < mask.sum() < mask.size
    return mask


def convolve(inputs: np.ndarray, kernel: np.ndarray, padding: str) -> np.ndarray:
    """Cross-correlates, position by position, in float64."""
    size = len(kernel)
    if padding == "SAME":
        inputs = np.pad(inputs, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
    height, width = (inputs.shape[axis] - size + 1 for axis in (1, 2))
    outputs = np.zeros((len(inputs), height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            window = inputs[:, row : row + size, column : column + size].astype(np.float64)
            outputs[:, row, column] = np.einsum("bhwi,hwio->bo", window, kernel)
    return outputs


def test_a_dense_layer_is_a_masked_product() -> None:
    layer, inputs = dense()
    mask = draw_mask(layer)
    before = layer.w.numpy()
    layer.b.assign([1.0, 2.0, 3.0, 4.0])
    layer.set_mask(mask)
    expected = inputs.astype(np.float64) @ (before * mask) + [1, 2, 3, 4]
    np.testing.assert_allclose(layer(tf.constant(inputs)), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(expected - (inputs @ before + [1, 2, 3, 4])).max() > 0.1


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_a_convolution_is_a_masked_convolution(padding: str) -> None:
    layer, inputs = convolution(padding)
    mask = draw_mask(layer)
    before = layer.w.numpy()
    layer.b.assign([1.0, 2.0, 3.0, 4.0])
    layer.set_mask(mask)
    expected = convolve(inputs, before * mask, padding) + np.arange(1, 5)
    np.testing.assert_allclose(layer(tf.constant(inputs)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [dense, convolution])
def test_the_gradient_is_that_of_the_product_with_the_mask(make: Callable[[], Any]) -> None:
    layer, inputs = make()
    mask = draw_mask(layer)
    layer.set_mask(mask)
    images = tf.constant(inputs)
    weight, bias = tf.Variable(layer.w), tf.Variable(layer.b)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        loss = tf.reduce_sum(tf.sin(layer(images)))
        product = weight * mask.astype(np.float32)
        linear = images @ product if mask.ndim == 2 else tf.nn.conv2d(images, product, 1, layer.padding)
        plain = tf.reduce_sum(tf.sin(linear + bias))
    by_weight, by_bias, by_images = tape.gradient(loss, [layer.w, layer.b, images])
    assert (by_weight.numpy()[~mask] == 0).all() and (by_weight.numpy()[mask] != 0).all()
    for actual, expected in zip(
        (by_weight, by_bias, by_images), tape.gradient(plain, [weight, bias, images]), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    unmasked = tape.gradient(plain, product)
    assert np.abs(unmasked.numpy()[~mask]).max() > 0.1  # There was a gradient to cut.
    assert tape.gradient(loss, layer.mask) is None


@pytest.mark.parametrize("make", [dense, convolution])
def test_a_new_layer_keeps_everything(make: Callable[[], Any]) -> None:
    layer, _ = make()
    assert (layer.mask.numpy() == 1).all() and (layer.w.numpy() != 0).all()
    assert [variable.name.split("/")[-1] for variable in layer.trainable_variables] == ["b:0", "w:0"]


def test_a_layer_without_bias() -> None:
    layer = MaskedLinear(4, with_bias=False)
    layer(tf.ones([1, 3]))
    assert len(layer.trainable_variables) == 1
    np.testing.assert_allclose(layer(tf.ones([1, 3]))[0], layer.w.numpy().sum(axis=0), rtol=1e-5)


def test_new_weights_are_he_normal() -> None:
    layer = MaskedConv2D(300, kernel_size=3)
    layer(tf.ones([1, 4, 4, 20]))
    assert layer.w.numpy().std() == pytest.approx(np.sqrt(2 / (9 * 20)), rel=0.03)
    assert abs(layer.w.numpy().mean()) < 0.002


@pytest.mark.parametrize("make", [dense, convolution])
@pytest.mark.parametrize("kind", [bool, int, np.float32, np.uint8])
def test_a_mask_of_any_type_zeroes_what_it_cuts(make: Callable[[], Any], kind: Any) -> None:
    layer, _ = make()
    mask, before = draw_mask(layer), layer.w.numpy()
    layer.set_mask(mask.astype(kind))
    np.testing.assert_array_equal(layer.mask.numpy(), mask)
    np.testing.assert_array_equal(layer.w.numpy(), np.where(mask, before, 0))


def test_a_mask_set_later_opens_connections_at_zero() -> None:
    layer, _ = dense()
    first, second = draw_mask(layer, 1), draw_mask(layer, 2)
    before = layer.w.numpy()
    layer.set_mask(first)
    layer.set_mask(second)
    np.testing.assert_array_equal(layer.w.numpy(), before * first * second)
    np.testing.assert_array_equal(layer.mask.numpy(), second)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((4, 6)), r"mask of shape \(4, 6\) must have the weight's shape \(6, 4\)"),
        (np.ones(24), r"mask of shape \(24,\)"),
        (np.ones((1, 6, 4)), r"mask of shape \(1, 6, 4\)"),
        (1, r"mask of shape \(\)"),
        (np.full((6, 4), 2), "zeros and ones only"),
        (np.full((6, 4), 0.5), "zeros and ones only"),
        (np.full((6, 4), -1), "zeros and ones only"),
        (np.full((6, 4), np.nan), "zeros and ones only"),
    ],
)
def test_what_is_no_mask_is_refused(mask: Any, message: str) -> None:
    layer, _ = dense()
    before = layer.w.numpy()
    with pytest.raises(ValueError, match=message):
        layer.set_mask(mask)
    np.testing.assert_array_equal(layer.w.numpy(), before)
    assert (layer.mask.numpy() == 1).all()


def test_a_weight_is_set_within_the_mask() -> None:
    layer, _ = dense()
    mask = draw_mask(layer)
    layer.set_mask(mask)
    weight = np.random.default_rng(3).normal(size=(6, 4))
    layer.set_weight(weight)
    np.testing.assert_array_equal(layer.w.numpy(), np.where(mask, weight, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskedLinear(0), r"output size \(=0\) must be at least 1"),
        (lambda: MaskedConv2D(-2, 3), r"output size \(=-2\) must be at least 1"),
        (lambda: MaskedConv2D(2, 3, padding="FULL"), r"padding \(=FULL\) must be SAME or VALID"),
        (lambda: MaskedConv2D(2, 0), r"kernel_size \(=0\) must be at least 1"),
    ],
)
def test_an_impossible_layer_is_refused(make: Callable[[], Layer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class Plain(snt.Module):
    """A linear layer whose weight is masked once, at the start, and never again."""

    def __init__(self, mask: npt.NDArray[np.bool_]):
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(0).normal(0, 0.05, mask.shape) * mask, dtype=tf.float32)
        self.b = tf.Variable(tf.zeros([mask.shape[1]]))

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        return snt.flatten(images) @ self.w + self.b


class Masked(snt.Module):
    """A masked linear layer on images."""

    def __init__(self, mask: npt.NDArray[np.bool_]):
        super().__init__()
        self.layer = MaskedLinear(mask.shape[1])
        self.layer(tf.zeros([1, mask.shape[0]]))
        self.layer.set_mask(mask)

    @property
    def w(self) -> tf.Variable:
        return self.layer.w

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        return self.layer(snt.flatten(images))


OPTIMIZERS = {
    "Adam": lambda: Adam(),
    "Adam with decay": lambda: Adam(weight_decay=0.3),
    "Momentum": lambda: Momentum(0.9),
    "Momentum with decay": lambda: Momentum(0.9, weight_decay=0.01),
}


def pixel_mask() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(4).random((784, 10)) < 0.5


def make_trainer(network: Any, optimizer: Any, digits: Dataset, execution: str = "graph") -> Trainer:
    def objective(network: Any) -> objectives.Objective:
        return objectives.classification(network, digits.standardisation)

    return Trainer(network, optimizer, objective, Resident(digits.train), batch_size=64, execution=execution)


def train(trainer: Trainer, epochs: int = 3, first: int = 0) -> None:
    for epoch in range(first, first + epochs):
        order = np.random.default_rng(epoch).permutation(len(trainer.train))
        trainer.epoch(order, np.full(trainer.steps_per_epoch, 0.01), (0, epoch))


@pytest.mark.parametrize(
    ("optimizer", "execution"), [*((optimizer, "graph") for optimizer in OPTIMIZERS), ("Adam with decay", "xla")]
)
@pytest.mark.slow
def test_a_cut_weight_never_moves(optimizer: str, execution: str, digits: Dataset) -> None:
    mask = pixel_mask()
    network = Masked(mask)
    start = network.w.numpy()
    train(make_trainer(network, OPTIMIZERS[optimizer](), digits, execution), epochs=2)
    end = network.w.numpy()
    assert (end[~mask] == 0).all()
    inked = digits.train.images.reshape(len(digits.train), -1).any(axis=0)
    assert (end[mask] != start[mask]).mean() > 0.9
    assert (np.abs(end - start)[mask & np.asarray(inked)[:, np.newaxis]] > 1e-3).mean() > 0.5


@pytest.mark.exhaustive
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_weight_masked_only_once_does_move(optimizer: str, digits: Dataset) -> None:
    mask = pixel_mask()
    network = Plain(mask)
    train(make_trainer(network, OPTIMIZERS[optimizer](), digits), epochs=2)
    assert (np.abs(network.w.numpy()[~mask]) > 1e-3).mean() > 0.5


@pytest.mark.exhaustive
@pytest.mark.parametrize("optimizer", ["Adam", "Momentum"])
@pytest.mark.parametrize("cleared", [True, False], ids=["slots cleared", "slots kept"])
def test_a_weight_cut_in_mid_training_stays_if_the_optimizer_forgets_it(
    optimizer: str, cleared: bool, digits: Dataset
) -> None:
    network = Masked(np.ones((784, 10), bool))
    trainer = make_trainer(network, OPTIMIZERS[optimizer](), digits)
    train(trainer, epochs=1)
    mask = pixel_mask()
    network.layer.set_mask(mask)
    if cleared:
        for slot in trainer.state.optimizer.slots(network.w):
            slot.assign(slot * network.layer.mask)
    train(trainer, epochs=1, first=1)
    stayed = (network.w.numpy()[~mask] == 0).mean()
    assert stayed == 1 if cleared else stayed < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["graph", "xla"])
def test_a_new_mask_traces_nothing_again(execution: str, digits: Dataset) -> None:
    network, entered = Masked(np.ones((784, 10), bool)), 0

    def counted(images: tf.Tensor) -> tf.Tensor:
        nonlocal entered
        entered += 1
        return network(images)

    objective = objectives.classification(counted, digits.standardisation)
    trainer = Trainer(network, Adam(), lambda _: objective, Resident(digits.train), batch_size=64, execution=execution)
    test = Resident(digits.test)
    train(trainer, epochs=1)
    loss = trainer.evaluate(test)["loss"]
    traced = entered
    for epoch in range(1, 4):
        network.layer.set_mask(np.random.default_rng(epoch).random((784, 10)) < 0.1)
        train(trainer, epochs=1, first=epoch)
        changed = trainer.evaluate(test)["loss"]
    assert entered == traced
    assert changed != loss
