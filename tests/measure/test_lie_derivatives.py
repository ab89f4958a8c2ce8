"""Tests of Lie derivatives: closed forms, sums over layers, and invariant models."""

import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import flow, transforms, trivial
from weirdonetworks.algebra.actions import FlowAction
from weirdonetworks.measure import lie_derivatives as lie
from weirdonetworks.measure.lie_derivatives import IMAGE_GENERATORS, ImageGenerator
from weirdonetworks.measure.precision import in_dtype

SIDE = 8
NAMES = list(IMAGE_GENERATORS)
VELOCITIES = {  # Of the point (x, y), to the right and upwards.
    "rotation": lambda x, y: (-y, x),
    "shift right": lambda x, y: (1 + 0 * x, 0 * y),
    "shift up": lambda x, y: (0 * x, 1 + 0 * y),
    "zoom": lambda x, y: (x, y),
    "horizontal shear": lambda x, y: (y, 0 * y),
    "vertical shear": lambda x, y: (0 * x, x),
}
MAPS: dict[str, Callable[[float], transforms.ImageTransform]] = {
    "rotation": lambda t: transforms.rotation(SIDE, SIDE, np.degrees(t)),
    "shift right": lambda t: transforms.shift(SIDE, SIDE, right=t),
    "shift up": lambda t: transforms.shift(SIDE, SIDE, up=t),
    "zoom": lambda t: transforms.zoom(SIDE, SIDE, np.exp(t)),
    "horizontal shear": lambda t: transforms.shear(SIDE, SIDE, horizontal=t),
    "vertical shear": lambda t: transforms.shear(SIDE, SIDE, vertical=t),
}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def points(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.arange(width) - (width - 1) / 2, (height - 1) / 2 - np.arange(height)
    return np.meshgrid(x, y)


def blob(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws a smooth spot off the centre, its size in proportion to the image's, and its slopes to the right and up."""
    x, y = points(side, side + 2)
    left, below, size = x - 0.1 * side, y + 0.05 * side, side / 8
    image = np.exp(-(left**2 + 2 * below**2) / (2 * size**2))
    return image, -left / size**2 * image, -2 * below / size**2 * image


def test_of_a_smooth_model_it_is_the_closed_form_to_second_order() -> None:
    errors = []
    for side in (16, 32, 64):
        image, slope_x, slope_y = blob(side)
        x, y = points(*image.shape)
        weights = np.cos(4 * x / side) + np.sin(3 * y / side)  # f(image) = sum of weights * image

        def model(batch: tf.Tensor, weights: np.ndarray = weights) -> tf.Tensor:
            return tf.reduce_sum(batch * weights[..., None], [1, 2])

        found = lie.lie_derivative(model, image[None, ..., None], dtype=tf.float64).ravel()
        motions = [velocity(x, y) for velocity in VELOCITIES.values()]
        parts = np.array([weights * (right * slope_x + up * slope_y) for right, up in motions])
        errors.append(np.abs(found + parts.sum(axis=(1, 2))) / np.abs(parts).sum(axis=(1, 2)))
    assert errors[0].max() < 0.05
    for coarse, fine in itertools.pairwise(errors):
        assert (fine < coarse / 3.5).all()  # A quarter at twice the resolution.


@pytest.mark.parametrize("name", NAMES)
def test_velocities_are_the_mean_slope_of_the_maps(name: str) -> None:
    image, step = np.zeros((2, SIDE, SIDE, 3)), 1e-6
    image[:, 2:-2, 2:-2] = draw(2, SIDE - 4, SIDE - 4, 3)  # What leaves the image is 0 here, and goes on there.
    velocity = IMAGE_GENERATORS[name](tf.constant(image)).numpy()
    ahead, back = (MAPS[name](each).apply(image) for each in (step, -step))
    np.testing.assert_allclose(velocity, (ahead - back) / (2 * step), atol=1e-4)
    assert np.abs(velocity - (image - back) / step).max() > 0.1  # One-sided, it is another.


def test_an_image_that_is_linear_moves_exactly_up_to_the_border() -> None:
    x, y = points(5, 7)
    image = (3.0 + 2 * x - y)[None, ..., None]
    for name in NAMES:
        right, up = VELOCITIES[name](x, y)
        velocity = IMAGE_GENERATORS[name](tf.constant(image)).numpy()[0, ..., 0]
        np.testing.assert_allclose(velocity, -(2 * right - up), rtol=1e-12, atol=1e-12)
    for narrow in (image[:, :1], image[:, :, :2], image[:, :1, :1]):
        assert IMAGE_GENERATORS["rotation"](tf.constant(narrow)).shape == narrow.shape


def convolution_network() -> snt.Module:
    return snt.Sequential([snt.Conv2D(2, 3), tf.tanh, snt.Flatten(), snt.Linear(3)])


def keras_network() -> Any:
    import keras

    layers = [keras.layers.Conv2D(2, 3, activation="tanh", dtype="float64"), keras.layers.Flatten(dtype="float64")]
    return keras.Sequential([keras.Input([SIDE, SIDE, 1], dtype="float64"), *layers])


def saved_network(folder: pathlib.Path) -> Any:
    keras_network().export(str(folder), verbose=False)
    loaded = tf.saved_model.load(str(folder))
    return lambda batch: loaded.serve(batch)


MODELS: dict[str, Callable[[pathlib.Path], Any]] = {
    "function": lambda folder: lambda batch: tf.reduce_sum(tf.sin(batch), [1, 2]),
    "Sonnet": lambda folder: convolution_network(),
    "Keras": lambda folder: keras_network(),
    "SavedModel": saved_network,
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", MODELS)
def test_any_model_is_differentiated(kind: str, tmp_path: pathlib.Path) -> None:
    model, images, step = MODELS[kind](tmp_path), draw(5, SIDE, SIDE, 1), 1e-5
    found = lie.lie_derivative(model, images, dtype=tf.float64)
    run = in_dtype(model, tf.float64) if isinstance(model, snt.Module) else model
    for derivative, generator in zip(found, IMAGE_GENERATORS.values(), strict=True):
        velocity = generator(tf.constant(images))
        ahead, back = (run(images + sign * step * velocity).numpy() for sign in (1, -1))
        np.testing.assert_allclose(derivative, (ahead - back) / (2 * step), rtol=1e-5, atol=1e-6)


def test_an_invariant_model_has_none_and_another_has() -> None:
    x, y = points(SIDE, SIDE)
    images = np.zeros((4, SIDE, SIDE, 1))
    images[:, 2:-2, 2:-2] = draw(4, SIDE - 4, SIDE - 4, 1)  # The weights of a border would not be those of a circle.
    for weights, invariant in ((x**2 + y**2, "rotation"), (1 + 0 * x, "shift right"), (x + 0 * y, "shift up")):

        def model(batch: tf.Tensor, weights: np.ndarray = weights) -> tf.Tensor:
            return tf.tanh(tf.reduce_sum(batch * weights[..., None] / 10, [1, 2]))

        sizes = dict(
            zip(NAMES, np.abs(lie.lie_derivative(model, images, dtype=tf.float64)).max(axis=(1, 2)), strict=True)
        )
        assert sizes[invariant] < 1e-12 < 1e-2 < sizes["zoom"]


def test_images_that_move_along_have_none() -> None:
    kernel = draw(3, 3, 1, 2)
    images = np.zeros((3, 12, 12, 1))
    images[:, 4:-4, 4:-4] = draw(3, 4, 4, 1)

    def convolution(padding: str) -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda batch: tf.nn.conv2d(batch, tf.cast(kernel, batch.dtype), 1, padding)

    shifts = [IMAGE_GENERATORS["shift right"], IMAGE_GENERATORS["shift up"]]
    for padding in ("SAME", "VALID"):
        equivariant = lie.lie_derivative(convolution(padding), images, shifts, dtype=tf.float64)
        assert np.abs(equivariant).max() < 1e-13
        turned = lie.lie_derivative(convolution(padding), images, dtype=tf.float64)[0]
        assert np.abs(turned).max() > 0.1


@pytest.mark.slow
def test_features_of_another_resolution_move_in_proportion() -> None:
    x, y = points(12, 12)
    ramp = (x + 2 * y)[None, ..., None]

    def coarser(batch: tf.Tensor) -> tf.Tensor:
        return tf.nn.avg_pool2d(batch, 2, 2, "VALID")

    def finer(batch: tf.Tensor) -> tf.Tensor:
        wide = tf.repeat(tf.repeat(batch, 2, axis=1), 2, axis=2)
        return tf.nn.avg_pool2d(tf.nn.avg_pool2d(wide, 2, 1, "VALID"), 2, 1, "VALID")  # So that a ramp stays one.

    for added in lie.lie_derivative_by_layer([coarser, coarser], ramp, dtype=tf.float64):
        np.testing.assert_allclose(added, 0, atol=1e-12)
    np.testing.assert_allclose(lie.lie_derivative(finer, ramp, dtype=tf.float64), 0, atol=1e-12)


@pytest.mark.slow
def test_layers_add_up_to_the_whole() -> None:
    layers = [
        snt.Conv2D(3, 3, name="first"),
        tf.nn.relu,
        lambda batch: tf.nn.max_pool2d(batch, 2, 2, "VALID"),
        snt.Flatten(),
        snt.Linear(4),
        tf.tanh,
    ]
    images = draw(7, SIDE, SIDE, 1)
    added = lie.lie_derivative_by_layer(layers, images, batch_size=3, dtype=tf.float64)
    whole = lie.lie_derivative(snt.Sequential(layers), images, dtype=tf.float64)
    assert [each.shape for each in added] == [(6, 7, 4)] * 6
    np.testing.assert_allclose(np.sum(added, axis=0), whole, rtol=1e-9, atol=1e-12)
    sizes = [np.abs(each).max() for each in added]
    assert min(sizes[:4]) > 1e-3 and sizes[4:] == [0, 0]


def test_relu_commutes_with_no_difference_but_a_scale_does() -> None:
    images = draw(3, SIDE, SIDE, 1)
    scaled, cut = lie.lie_derivative_by_layer([lambda batch: 3 * batch, tf.nn.relu], images, dtype=tf.float64)
    assert np.abs(scaled).max() < 1e-12 < 0.1 < np.abs(cut).max()


def test_the_error_is_the_mean_square() -> None:
    derivatives = draw(2, 3, 4, 5)
    found = lie.local_equivariance_error(derivatives)
    np.testing.assert_allclose(found, (derivatives**2).mean(axis=(2, 3)), rtol=1e-12)
    assert lie.local_equivariance_error(draw(2, 3)).shape == (2, 3)


def test_bad_use_is_refused() -> None:
    images = draw(2, SIDE, SIDE, 1)
    for layers, given, generators, message in (
        ([tf.tanh], images[0, 0, 0], None, r"images of shape \(1,\) must be"),
        (
            [lambda batch: pytest.fail("A convolution would end the process.")],
            images[..., 0],
            None,
            r"images of shape \(2, 8, 8\) must be \[images, height, width, channels\]",
        ),
        ([tf.tanh], images, [lambda batch: batch[:1]], r"inputs, \(2, 8, 8, 1\), not \(1, 8, 8, 1\)"),
        ([tf.tanh], images, [], "generators must hold at least one"),
        ([], images, None, "layers must hold at least one"),
        ([tf.reduce_mean], images, None, "an output for each input"),
    ):
        moves = IMAGE_GENERATORS.values() if generators is None else generators
        with pytest.raises(ValueError, match=message):
            lie.lie_derivative_by_layer(layers, given, moves)
    with pytest.raises(ValueError, match="whose gradients TensorFlow can differentiate; bilinear"):
        lie.lie_derivative(lambda batch: tf.image.resize(batch, [4, 4]) + batch[:, :4, :4], images)
    for whole in (convolution_network(), keras_network()):
        with pytest.raises(TypeError, match=r"layers \(=.*Sequential.*\) must be a list"):
            lie.lie_derivative_by_layer(whole, images)
    with pytest.raises(TypeError, match=r"action \(=\['rotation'\]\) must be flow\(generators\) or a list"):
        lie.lie_derivative(tf.tanh, images, ["rotation"])
    with pytest.raises(TypeError, match=r"model \(=None\) must be a function of a batch"):
        lie.lie_derivative(None, images)
    with pytest.raises(ValueError, match="batch_size"):
        lie.lie_derivative(tf.tanh, images, batch_size=0)
    with pytest.raises(ValueError, match=r"move \(=\(1.0, nan\)\) must be \[2\], all finite"):
        ImageGenerator(move=(1.0, float("nan")))
    with pytest.raises(ValueError, match="uint8 of shape"):
        IMAGE_GENERATORS["zoom"](tf.zeros([1, 2, 2, 1], tf.uint8))
    with pytest.raises(ValueError, match=r"derivatives of shape \(3,\)"):
        lie.local_equivariance_error([1.0, 2.0, 3.0])


PLANE = flow([[[0.0, -1.0], [1.0, 0.0]]])
TWICE = flow([[[0.0, -2.0], [2.0, 0.0]]])


def squared(points: tf.Tensor) -> tf.Tensor:
    """The square of complex numbers, which turns by twice the angle."""
    return tf.stack([points[:, 0] ** 2 - points[:, 1] ** 2, 2 * points[:, 0] * points[:, 1]], axis=1)


def test_along_an_action_it_is_the_derivative_of_the_error_of_equivariance() -> None:
    inputs, step = draw(5, 2), 1e-5
    weights = draw(2, 2, seed=1)
    model = lambda points: tf.tanh(points @ weights)  # noqa: E731
    for action_out in (None, PLANE, TWICE):
        found = lie.lie_derivative(model, inputs, PLANE, action_out, dtype=tf.float64)
        assert found.shape == (1, 5, 2)

        def back(time: float, action_out: FlowAction | None = action_out) -> np.ndarray:
            (moved,) = PLANE.apply(np.array([[time]]), inputs)
            outputs = model(tf.constant(moved)).numpy()
            return outputs if action_out is None else action_out.apply(np.array([[-time]]), outputs)[0]

        np.testing.assert_allclose(found[0], (back(step) - back(-step)) / (2 * step), rtol=1e-6, atol=1e-8)


def test_along_an_action_an_equivariant_model_has_none_and_another_has() -> None:
    inputs = draw(5, 2)
    assert np.abs(lie.lie_derivative(squared, inputs, PLANE, TWICE, dtype=tf.float64)).max() < 1e-12
    assert np.abs(lie.lie_derivative(squared, inputs, PLANE, PLANE, dtype=tf.float64)).max() > 0.1
    length = lambda points: tf.norm(points, axis=1)  # noqa: E731
    assert np.abs(lie.lie_derivative(length, inputs, PLANE, dtype=tf.float64)).max() < 1e-12
    assert np.abs(lie.lie_derivative(squared, inputs, PLANE, dtype=tf.float64)).max() > 0.1


def test_an_action_that_does_not_fit_is_refused() -> None:
    for inputs, action, action_out, error, message in (
        (draw(5, 3), PLANE, None, ValueError, "must end with 2"),
        (draw(5, 2), PLANE, flow(np.zeros((1, 3, 3))), ValueError, "must end with 3"),
        (draw(5, 2), PLANE, flow(np.zeros((2, 2, 2))), ValueError, "must have as many generators as action"),
        (draw(5, 2), PLANE, trivial(2), TypeError, r"action_out \(=trivial\(2\)\) must be flow\(generators\)"),
        (draw(1, 4, 4, 1), IMAGE_GENERATORS.values(), PLANE, TypeError, "must be flow"),
        (draw(5, 2), trivial(2), None, TypeError, "finite groups have no derivatives"),
    ):
        with pytest.raises(error, match=message):
            lie.lie_derivative(squared, inputs, action, action_out)
    with pytest.raises(TypeError, match="must be ImageGenerators"):
        lie.lie_derivative_by_layer([tf.tanh], draw(1, 4, 4, 2), PLANE)
