"""Tests of Jacobian products, against the dense Jacobian, and of invariant directions, against its null space."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weirdonetworks.algebra import cyclic_group
from weirdonetworks.measure import jacobian, lie_derivatives, stability
from weirdonetworks.measure.precision import in_dtype

SIZE = 7


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def sonnet_network(folder: pathlib.Path) -> Any:
    del folder
    return snt.nets.MLP([9, 3], activation=tf.tanh)


def keras_network(folder: pathlib.Path) -> Any:
    del folder
    import keras

    hidden = keras.layers.Dense(9, "tanh", dtype="float64")
    return keras.Sequential([keras.Input([SIZE], dtype="float64"), hidden, keras.layers.Dense(3, dtype="float64")])


def saved_network(folder: pathlib.Path) -> Any:
    keras_network(folder).export(str(folder), verbose=False)
    loaded = tf.saved_model.load(str(folder))
    return lambda batch: loaded.serve(batch)


def function(folder: pathlib.Path) -> Any:
    del folder
    return lambda batch: tf.stack([tf.reduce_prod(batch, axis=1), tf.sin(batch[:, 0])], axis=1)


MODELS: dict[str, Callable[[pathlib.Path], Any]] = {
    "function": function,
    "Sonnet": sonnet_network,
    "Keras": keras_network,
    "SavedModel": saved_network,
}


def dense_jacobian(model: Any, inputs: np.ndarray) -> np.ndarray:
    """Forms the Jacobians, `[inputs, outputs, entries]`, backwards output by output."""
    run = in_dtype(model, tf.float64) if isinstance(model, snt.Module) else model
    batch = tf.constant(inputs)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(batch)
        outputs = tf.reshape(run(batch), [len(inputs), -1])
        columns = tf.unstack(outputs, axis=1)
    rows = [tape.gradient(column, batch, unconnected_gradients=jacobian.ZERO) for column in columns]
    return np.stack(rows, axis=1).reshape(len(inputs), len(rows), -1)


@pytest.fixture(params=["formed", "sketched"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How invariant directions are found."""
    if request.param == "sketched":
        monkeypatch.setattr(jacobian, "FORMED", 0)
    return request.param


@pytest.mark.exhaustive
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", MODELS)
def test_any_model_is_differentiated_and_its_null_space_is_that_of_the_dense_jacobian(
    kind: str, tmp_path: pathlib.Path
) -> None:
    model, inputs, turn = MODELS[kind](tmp_path), draw(2, SIZE), draw(SIZE, SIZE, seed=1)
    generators = [tf.ones_like, lambda batch: tf.matmul(batch, tf.cast(turn, batch.dtype))]
    found = jacobian.jacobian_along(model, inputs, generators, batch_size=1, dtype=tf.float64)
    dense = dense_jacobian(model, inputs)
    tangents = np.stack([np.ones_like(inputs), inputs @ turn])
    np.testing.assert_allclose(found, np.einsum("ion,gin->gio", dense, tangents), rtol=1e-10, atol=1e-12)

    directions = jacobian.invariant_directions(model, inputs, dtype=tf.float64)
    _, singular, rows = np.linalg.svd(np.concatenate(dense) / np.sqrt(2))
    rank = int((singular > 1e-3 * singular[0]).sum())  # 3 of 4 for the function, one of whose outputs is of x_0 alone.
    assert directions.dimension == SIZE - rank > 0 and directions.bound < 1e-7
    np.testing.assert_allclose(directions.singular_values, singular[:rank], rtol=1e-8)
    np.testing.assert_allclose(directions.share(rows), [0] * rank + [1] * (SIZE - rank), atol=1e-8)


def planted(size: int, rank: int, outputs: int) -> tuple[Callable[[tf.Tensor], tf.Tensor], np.ndarray]:
    """Makes a model that sees its inputs through a projection only, and the rows of that."""
    seen = np.linalg.qr(draw(size, rank))[0].T
    weights = np.geomspace(1, 0.05, rank)[:, None] * draw(rank, outputs, seed=1)

    def model(batch: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(batch, [-1, size])
        return tf.tanh(tf.matmul(tf.matmul(flat, tf.cast(seen.T, batch.dtype)), tf.cast(weights, batch.dtype)))

    return model, seen


def test_invariant_directions_of_a_wide_input_are_found_without_the_jacobian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jacobian, "FORMED", 10 * 40 * 2000 - 1)
    monkeypatch.delattr(jacobian, "formed")
    # The Jacobians of all inputs have 10 x 40 rows of 2,000 numbers; the first sketch is too small for their rank.
    model, seen = planted(2000, rank=40, outputs=40)
    inputs = draw(10, 40, 50)
    found = jacobian.invariant_directions(model, inputs, batch_size=500)
    assert found.dimension == 2000 - 40 and found.bound < 1e-4 * found.singular_values[0]
    assert found.sensitive.shape == (40, 40, 50)
    np.testing.assert_allclose(found.share(seen.reshape(40, 40, 50)), 0, atol=1e-4)
    vectors = draw(3, 40, 50, seed=2)
    moved = model(tf.constant(inputs[:3] + found.projected(vectors)))
    np.testing.assert_allclose(moved, model(tf.constant(inputs[:3])), atol=1e-4)
    control = model(tf.constant(inputs[:3] + vectors - found.projected(vectors)))
    assert np.abs(control - model(tf.constant(inputs[:3]))).max() > 0.1
    np.testing.assert_allclose(found.share(vectors), 1 - 40 / 2000, atol=2e-2)


@pytest.mark.usefixtures("way")
def test_leading_directions_alone_leave_a_bound() -> None:
    model, _ = planted(30, rank=12, outputs=12)
    inputs = draw(6, 30)
    _, singular, rows = np.linalg.svd(np.concatenate(dense_jacobian(model, inputs)) / np.sqrt(6))
    found = jacobian.invariant_directions(model, inputs, max_rank=4, dtype=tf.float64)
    np.testing.assert_allclose(found.singular_values, singular[:4], rtol=1e-6)
    assert found.bound == pytest.approx(singular[4], rel=1e-3) and found.dimension == 30 - 4
    loose = jacobian.invariant_directions(model, inputs, tolerance=0.2, dtype=tf.float64)
    kept = int((singular > 0.2 * singular[0]).sum())
    assert 1 < len(loose.sensitive) == kept < 12
    assert loose.bound == pytest.approx(singular[kept], rel=1e-6)
    np.testing.assert_allclose(loose.share(rows[:kept]), 0, atol=1e-8)


@pytest.mark.usefixtures("way")
def test_the_basis_is_orthonormal_and_invariant() -> None:
    model, seen = planted(12, rank=3, outputs=5)
    found = jacobian.invariant_directions(model, draw(4, 3, 4), dtype=tf.float64)
    basis = found.basis()
    assert basis.shape == (9, 3, 4)
    flat = basis.reshape(9, 12)
    np.testing.assert_allclose(flat @ flat.T, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(flat @ seen.T, 0, atol=1e-7)


@pytest.mark.usefixtures("way")
def test_a_constant_model_ignores_every_direction() -> None:
    found = jacobian.invariant_directions(lambda batch: tf.ones([tf.shape(batch)[0], 2]), draw(3, 4))
    assert found.dimension == 4 and found.bound == 0 and found.singular_values.size == 0
    np.testing.assert_allclose(found.projected(np.ones(4)), np.ones(4))
    assert found.basis().shape == (4, 4) and found.share(np.zeros((2, 4))).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["PixelAttention", "LeNet"])  # Forward accumulation fails on the first.
def test_networks_of_the_project_are_differentiated(name: str) -> None:
    (entry,) = (each for each in registry.NETWORKS if each.name == name)
    network = in_dtype(entry.build(), tf.float64)
    inputs, step = tf.cast(entry.inputs(), tf.float64), 1e-6
    _, (found,) = jacobian.jvp(network, inputs, [tf.sin(inputs)])
    ahead, back = (network(inputs + sign * step * tf.sin(inputs)).numpy() for sign in (1, -1))
    np.testing.assert_allclose(found, (ahead - back) / (2 * step), rtol=1e-4, atol=1e-7)
    assert np.abs(found).max() > 1e-3


def test_a_gradient_of_its_own_counts() -> None:
    def straight_through(batch: tf.Tensor) -> tf.Tensor:
        return batch + tf.stop_gradient(tf.floor(batch) - batch)

    assert jacobian.jacobian_along(straight_through, draw(2, 3), [tf.ones_like]).tolist() == [[[1.0] * 3] * 2]
    assert jacobian.jacobian_along(tf.floor, draw(2, 3), [tf.ones_like]).tolist() == [[[0.0] * 3] * 2]


KEPT: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "constant": tf.zeros_like,
    "sum of probabilities": lambda batch: tf.reduce_sum(tf.nn.softmax(batch), axis=1),
    "sign": tf.sign,
    "floor": tf.floor,
    "mean of steps": lambda batch: tf.reduce_mean(tf.round(batch), axis=1),
    "class": lambda batch: tf.cast(tf.argmax(batch, axis=1), batch.dtype)[:, None],
    "flat at 0": tf.square,
    "kink at 0": tf.nn.relu,
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", KEPT)
def test_a_derivative_of_zero_is_taken_where_outputs_stand_still_or_jump(name: str) -> None:
    for inputs in (np.zeros((1, 300)), np.arange(300.0)[None], draw(1, 300)):
        for dtype in (tf.float32, tf.float64):
            assert jacobian.differentiable(KEPT[name], inputs, dtype) is KEPT[name]


LOST: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "numpy_function": lambda batch: tf.numpy_function(np.tanh, [batch], batch.dtype),
    "numpy_function with a kink at 0": lambda batch: tf.numpy_function(np.abs, [batch], batch.dtype),
    "mean": lambda batch: tf.reduce_mean(tf.numpy_function(np.sin, [batch], batch.dtype), axis=1),
    "py_function": lambda batch: tf.py_function(tf.tanh, [batch], batch.dtype),
    "py_function of arrays": lambda batch: tf.py_function(lambda x: np.tanh(x.numpy()), [batch], batch.dtype),
    "stop_gradient": lambda batch: tf.stop_gradient(tf.tanh(batch)),
}


@pytest.mark.parametrize("name", LOST)
def test_a_gradient_that_is_lost_is_refused(name: str) -> None:
    for inputs in (np.zeros((1, 300)), draw(1, 300)):
        for dtype in (tf.float32, tf.float64):
            with pytest.raises(ValueError, match=r"TensorFlow can differentiate.* tf.numpy_function"):
                jacobian.differentiable(LOST[name], inputs, dtype)


def test_bad_use_is_refused_in_one_line(tmp_path: pathlib.Path) -> None:
    inputs = draw(2, 3)
    tf.saved_model.save(tf.Module(), str(tmp_path))
    loaded, turn = tf.saved_model.load(str(tmp_path)), lie_derivatives.IMAGE_GENERATORS["rotation"]
    along = functools.partial(jacobian.jacobian_along, tf.tanh, inputs)
    for use, error, message in (
        (lambda: jacobian.jacobian_along(tf.tanh, inputs, []), ValueError, "action must hold at least one"),
        (lambda: jacobian.jacobian_along(tf.tanh, inputs[0], [tf.tanh]), ValueError, r"inputs of shape \(3,\) must"),
        (
            lambda: jacobian.jacobian_along(tf.tanh, inputs, [lambda batch: batch[:, :2]]),
            ValueError,
            r"must give tangents of the shape of the inputs, \(2, 3\), not \(2, 2\)",
        ),
        (lambda: along([lambda batch: batch[:1]]), ValueError, r"the shape of the inputs, \(2, 3\), not \(1, 3\)"),
        (lambda: along([lambda batch: None]), ValueError, r"the shape of the inputs, \(2, 3\), not None"),
        (
            lambda: along(["rotation"]),
            TypeError,
            r"action \(=\['rotation'\]\) must be flow.* or a list of functions",
        ),
        (
            lambda: along({"rotation": turn}),
            TypeError,
            r"action \(={'rotation': .* must be flow.* or a list of functions",
        ),
        (
            lambda: along(turn),
            TypeError,
            r"action \(=ImageGenerator\(.* must be flow.* or a list of functions",
        ),
        (lambda: jacobian.jacobian_along(None, inputs, [tf.tanh]), TypeError, r"model \(=None\) must be a function"),
        (lambda: jacobian.jacobian_along(loaded, inputs, [tf.tanh]), TypeError, r"such as `model.serve`"),
        (lambda: stability.invariance_error(loaded, inputs, cyclic_group(3)), TypeError, r"such as `model.serve`"),
        (lambda: jacobian.invariant_directions(tf.tanh, inputs, tolerance="a"), ValueError, r"tolerance \(='a'\)"),
        (lambda: jacobian.jacobian_along(tf.reduce_sum, inputs, [tf.tanh]), ValueError, "an output for each input"),
        (lambda: jacobian.invariant_directions(tf.tanh, inputs, tolerance=1.0), ValueError, r"tolerance \(=1.0\)"),
        (lambda: jacobian.invariant_directions(tf.sqrt, 0 * inputs), ValueError, "finite derivatives"),
        (lambda: jacobian.invariant_directions(tf.tanh, inputs, max_rank=0), ValueError, r"max_rank \(=0\)"),
        (lambda: jacobian.invariant_directions(tf.tanh, inputs, seed=0.5), TypeError, r"seed \(=0.5\)"),
        (lambda: jacobian.invariant_directions(tf.tanh, inputs, batch_size=0), ValueError, r"batch_size \(=0\)"),
        (
            lambda: jacobian.invariant_directions(tf.tanh, inputs).share(np.ones((2, 4))),
            ValueError,
            r"vectors of shape \(2, 4\) must end in \(3,\)",
        ),
    ):
        with pytest.raises(error, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_spectra_are_those_of_the_sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    tf.random.set_seed(0)  # Of some weights a unit is dead for an image, which has a direction less.
    network = snt.Sequential([snt.Conv2D(2, 3), tf.tanh, snt.Flatten(), snt.nets.MLP([6, 3])])
    images = draw(4, 5, 5, 1)
    singular, directions = jacobian.spectrum(network, images, batch_size=3)
    monkeypatch.setattr(jacobian, "FORMED", 0)
    found = jacobian.invariant_directions(network, images, tolerance=1e-4)
    rank = len(found.singular_values)
    np.testing.assert_allclose(singular[:rank], found.singular_values, rtol=1e-4)
    assert rank == 12 == len(directions)
    assert found.share(directions).max() < 1e-6 < 0.1 < found.share(np.eye(25).reshape(25, 5, 5, 1)).mean()
