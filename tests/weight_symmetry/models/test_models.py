"""The three models: what they compute, what they refuse, and how they start."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry.masks import Masks
from weight_symmetry.models import MODELS, Classifier, initialise
from weirdonetworks.lab.data.datasets import Dataset, Split
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Adam
from weirdonetworks.lab.training.trainer import Resident, Trainer

SMALL: dict[str, dict[str, Any]] = {
    "MNIST_FC": {"features": (9, 9, 9)},
    "MNIST_CNN": {"filters": (4, 4, 4), "dense_size": 4, "kernel_size": 3},
    "CIFAR10_CNN": {"filters": (4, 4, 4, 4)},
}


def build(name: str, images: tuple[int, ...] = (8, 8, 1), **options: Any) -> Classifier:
    """A small model with its variables."""
    model = MODELS[name](**{**SMALL[name], **options})
    model(tf.zeros([1, *images]), is_training=False)
    return model


def parameters(model: Classifier) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize(
    ("name", "images", "shapes", "count"),
    [
        ("MNIST_FC", (28, 28, 1), [(784, 300), (300, 100), (100, 10)], 266_610),
        ("MNIST_CNN", (28, 28, 1), [(5, 5, 1, 16), (5, 5, 16, 32), (32, 64), (64, 10)], 16_122),
        (
            "CIFAR10_CNN",
            (32, 32, 3),
            [
                *((3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64), (3, 3, 64, 64), (3, 3, 64, 128), (3, 3, 128, 128)),
                (128, 10),
            ],
            288_298,
        ),
    ],
)
def test_the_defaults_have_the_published_sizes(
    name: str, images: tuple[int, ...], shapes: list[tuple[int, ...]], count: int
) -> None:
    model = MODELS[name]()
    assert model(tf.zeros([2, *images]), is_training=False).shape == (2, 10)
    assert [tuple(layer.w.shape) for layer in model.layers] == shapes
    assert [mask.shape for mask in Masks(model).arrays] == shapes
    assert parameters(model) == count


@pytest.mark.parametrize("name", MODELS)
def test_widths_and_classes_are_free(name: str) -> None:
    model = build(name, num_classes=3)
    assert model(tf.zeros([5, 8, 8, 1]), is_training=False).shape == (5, 3)
    assert model.layers[-1].w.shape[-1] == 3
    assert len({layer.name for layer in model.layers}) == len(model.layers)


def test_a_dense_model_is_the_chain_of_its_layers() -> None:
    model = build("MNIST_FC", features=(7, 5))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.b.assign(rng.normal(size=layer.b.shape))
    images = rng.normal(size=(3, 8, 8, 1)).astype(np.float32)
    hidden = images.reshape(3, 64).astype(np.float64)
    for index, layer in enumerate(model.layers):
        hidden = hidden @ layer.w.numpy() + layer.b.numpy()
        if index < 2:
            hidden = np.maximum(hidden, 0)
    np.testing.assert_allclose(model(tf.constant(images), is_training=False), hidden, rtol=1e-4, atol=1e-5)


def test_no_hidden_layer_is_a_linear_classifier() -> None:
    model = build("MNIST_FC", features=())
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    outputs = [model(tf.constant(scale * images), is_training=False).numpy() for scale in (1, 3)]
    np.testing.assert_allclose(outputs[1], 3 * outputs[0], rtol=1e-4, atol=1e-5)


def test_convolutions_are_pooled_after_every_second_and_then_averaged() -> None:
    model = build("CIFAR10_CNN", filters=(3, 2), images=(4, 6, 2))
    images = np.random.default_rng(0).normal(size=(2, 4, 6, 2)).astype(np.float32)
    hidden = tf.constant(images)
    for layer in model.layers[:-1]:
        hidden = tf.nn.relu(tf.nn.conv2d(hidden, layer.w, 1, "SAME") + layer.b)
    pooled = hidden.numpy().reshape(2, 2, 2, 3, 2, 2).max(axis=(2, 4))
    expected = pooled.mean(axis=(1, 2)) @ model.layers[-1].w.numpy() + model.layers[-1].b.numpy()
    np.testing.assert_allclose(model(tf.constant(images), is_training=False), expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_takes_the_batch_in_training_and_the_past_otherwise() -> None:
    model = build("MNIST_CNN")
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(6, 8, 8, 1)), tf.float32)
    others = tf.constant(rng.normal(3, 2, size=(6, 8, 8, 1)), tf.float32)
    mixed = tf.concat([images[:3], others[:3]], axis=0)
    alone = model(images, is_training=True)[:3]
    assert np.abs(alone - model(mixed, is_training=True)[:3]).max() > 1e-2
    np.testing.assert_allclose(
        model(images, is_training=False)[:3], model(mixed, is_training=False)[:3], rtol=1e-4, atol=1e-5
    )
    before = model(images, is_training=False).numpy()
    model(others, is_training=True)
    assert np.abs(model(images, is_training=False) - before).max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_dropout_is_drawn_from_the_seed_in_training_only(name: str) -> None:
    model = build(name, dropout_rate=0.5)
    images = tf.constant(np.random.default_rng(0).normal(size=(6, 8, 8, 1)), tf.float32)

    def outputs(*seed: int) -> np.ndarray:
        return model(images, is_training=True, seed=tf.constant(seed)).numpy()

    np.testing.assert_array_equal(outputs(1, 2), outputs(1, 2))
    assert not np.array_equal(outputs(1, 2), outputs(1, 3))
    plain = model(images, is_training=False)
    np.testing.assert_array_equal(model(images, is_training=False, seed=tf.constant([1, 2])), plain)


def test_dropout_keeps_the_mean_and_each_layer_drops_its_own_units() -> None:
    """Two layers that copy 1,000 ones: dropped by the same draw, half of them would come out as 4, not a quarter."""
    size = 1000
    model = MODELS["MNIST_FC"](num_classes=1, features=(size, size), dropout_rate=0.5)
    for layer, shape in zip(model.layers, [(4, size), (size, size), (size, 1)], strict=True):
        layer(tf.zeros([1, shape[0]]))
    model.layers[0].w.assign(np.full((4, size), 0.25))
    model.layers[1].w.assign(np.eye(size))
    model.layers[2].w.assign(np.full((size, 1), 1 / size))
    output = model(tf.ones([1, 2, 2, 1]), is_training=True, seed=tf.constant([3, 4])).numpy().item()
    assert output == pytest.approx(1, abs=0.25)  # Over four deviations; the same draw in both layers would give 2.


@pytest.mark.parametrize("name", MODELS)
def test_dropout_needs_a_seed(name: str) -> None:
    images = tf.zeros([2, 8, 8, 1])
    with pytest.raises(ValueError, match=r"seed \(=None\) must be given in training with dropout"):
        build(name, dropout_rate=0.5)(images, is_training=True)
    build(name)(images, is_training=True)


@pytest.mark.parametrize("name", MODELS)
def test_whether_it_trains_must_be_said(name: str) -> None:
    with pytest.raises(TypeError, match="is_training"):
        MODELS[name]()(tf.zeros([1, 32, 32, 3]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MODELS["MNIST_FC"](dropout_rate=1.0), r"dropout_rate \(=1.0\) must be in \[0, 1\)"),
        (lambda: MODELS["CIFAR10_CNN"](dropout_rate=-0.1), r"dropout_rate \(=-0.1\) must be in \[0, 1\)"),
        (lambda: MODELS["MNIST_FC"](features=(3, 0)), r"features \(=0\) must be at least 1"),
        (lambda: MODELS["MNIST_FC"](num_classes=0), r"num_classes \(=0\) must be at least 1"),
        (lambda: MODELS["MNIST_CNN"](dense_size=-2), r"dense_size \(=-2\) must be at least 1"),
        (lambda: MODELS["CIFAR10_CNN"](kernel_size=0), r"kernel_size \(=0\) must be at least 1"),
        (lambda: MODELS["MNIST_CNN"](filters=()), r"filters must hold at least one"),
        (lambda: MODELS["CIFAR10_CNN"](filters=[]), r"filters must hold at least one"),
    ],
)
def test_an_impossible_model_is_refused(make: Callable[[], Classifier], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("name", "poolings"), [("MNIST_CNN", 2), ("CIFAR10_CNN", 2)])
def test_images_must_survive_the_pooling(name: str, poolings: int) -> None:
    assert build(name, images=(4, 4, 1))(tf.zeros([2, 4, 4, 1]), is_training=False).shape == (2, 10)
    with pytest.raises(ValueError, match=rf"images of shape \(2, 3, 8, 1\) are too small for {poolings} poolings by 2"):
        build(name)(tf.zeros([2, 3, 8, 1]), is_training=False)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    one, other = build(name), build(name)
    assert not np.array_equal(one.layers[0].w, other.layers[0].w)
    for model in (one, other):
        initialise(Masks(model), seed=42)
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", MODELS)
def test_each_seed_trial_and_layer_has_its_own_weights(name: str) -> None:
    model = build(name)
    drawn = []
    for seed, trial in ((42, 0), (42, 1), (43, 0)):
        initialise(Masks(model), seed, trial)
        drawn += [layer.w.numpy() for layer in model.layers]
    # Layers of equal shape are there to be told apart.
    assert len({array.shape for array in drawn}) < len(model.layers)
    heads = {tuple(np.sign(array.ravel()[:16])) for array in drawn}
    assert len(heads) == len(drawn)


@pytest.mark.parametrize(
    ("name", "wide"), [("MNIST_FC", {"features": (900,)}), ("CIFAR10_CNN", {"filters": (300, 300)})]
)
def test_weights_are_he_normal_and_biases_zero(name: str, wide: dict[str, Any]) -> None:
    model = build(name, images=(8, 8, 3), **wide)
    initialise(Masks(model), seed=1)
    for layer in model.layers[:-1]:
        fan_in = int(np.prod(layer.w.shape[:-1]))
        assert layer.w.numpy().std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
        assert abs(layer.w.numpy().mean()) < 0.1 * np.sqrt(2 / fan_in)
    assert all((layer.b.numpy() == 0).all() for layer in model.layers)


def draw_masks(model: Classifier) -> Masks:
    masks = Masks(model)
    masks.set([np.random.default_rng(index).random(mask.shape) < 0.6 for index, mask in enumerate(masks.arrays)])
    return masks


@pytest.mark.parametrize("name", MODELS)
def test_new_weights_stay_within_the_masks(name: str) -> None:
    model = build(name)
    masks = draw_masks(model)
    initialise(masks, seed=5)
    for layer, mask in zip(model.layers, masks.arrays, strict=True):
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(layer.w.numpy() != 0, mask)


def make_trainer(model: Classifier, masks: Masks, data: Dataset, execution: str) -> Trainer:
    def objective(model: Classifier) -> objectives.Objective:
        return objectives.classification(model, data.standardisation, takes=("is_training", "seed"))

    optimizer = masks.wrap(Adam(weight_decay=0.1))
    return Trainer(model, optimizer, objective, Resident(data.train), batch_size=16, execution=execution)


def thumbnails(data: Dataset) -> Dataset:
    """A few digits, every fourth pixel of them: 7 x 7."""

    def shrink(split: Split) -> Split:
        return Split(np.ascontiguousarray(split.images[:32, 2::4, 2::4]), split.labels[:32])

    return Dataset(data.name, shrink(data.train), shrink(data.test), data.classes, data.standardisation)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_training_steps_compile_and_respect_the_masks(name: str, digits: Dataset) -> None:
    data, ends, losses = thumbnails(digits), {}, {}
    for execution in ("graph", "xla"):
        model = build(name, images=(7, 7, 1))
        masks = draw_masks(model)
        trainer = make_trainer(model, masks, data, execution)
        initialise(masks, seed=3)
        trainer.state.restart()
        start = [layer.w.numpy() for layer in model.layers]
        losses[execution] = trainer.epoch(np.arange(32), np.full(2, 0.002), (0, 0))["loss"]
        ends[execution] = [layer.w.numpy() for layer in model.layers]
        for before, after, mask in zip(start, ends[execution], masks.arrays, strict=True):
            assert (after[~mask] == 0).all()
            assert (after[mask] != before[mask]).mean() > 0.5
    np.testing.assert_allclose(losses["xla"], losses["graph"], rtol=1e-3)
    for one, other in zip(ends["xla"], ends["graph"], strict=True):
        assert np.abs(one - other).max() < 0.01 * np.abs(other).max()


def test_models_are_found_by_their_names() -> None:
    assert {name: model.__name__ for name, model in MODELS.items()} == {name: name for name in SMALL}
    assert isinstance(build("MNIST_CNN").layers[0], snt.Conv2D)
