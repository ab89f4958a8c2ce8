"""Tests of the measures of stability, against NumPy, with dense networks as controls."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import (
    cyclic_group,
    image_rotations,
    transforms,
)
from weirdonetworks.measure import stability
from weirdonetworks.nets.polynomial.invariant import InvariantMLP

SIDE = 5
TURNS = image_rotations(SIDE, SIDE)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def images(count: int) -> np.ndarray:
    return draw(count, SIDE, SIDE, 1)


def linear(weights: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda batch: tf.matmul(tf.reshape(batch, [-1, len(weights)]), tf.cast(weights, batch.dtype))


def dense(inputs: int, *sizes: int) -> snt.Module:
    network = snt.Sequential([snt.Flatten(), snt.nets.MLP(sizes, activation=tf.tanh)])
    network(tf.zeros([1, inputs]))
    return network


def test_outputs_of_a_linear_map_are_those_of_the_moved_inputs() -> None:
    inputs, weights = images(7), draw(SIDE**2, 3, seed=1)
    outputs = stability.outputs_over(linear(weights), inputs, TURNS, dtype=tf.float64)
    expected = [np.rot90(inputs, turns, axes=(1, 2)).reshape(7, -1) @ weights for turns in range(4)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)


def test_variance_and_difference_of_a_linear_map() -> None:
    inputs, weights = images(7), draw(SIDE**2, 3, seed=1)
    measured = stability.measure_stability(linear(weights), inputs, TURNS, cyclic=True, dtype=tf.float64)
    outputs = np.stack([np.rot90(inputs, turns, axes=(1, 2)).reshape(7, -1) @ weights for turns in range(4)])
    by_input = [[outputs[:, i, k] for k in range(3)] for i in range(7)]
    variance = [np.mean([np.mean(each**2) - np.mean(each) ** 2 for each in entries]) for entries in by_input]
    change = [np.mean([abs(each[(g + 1) % 4] - each[g]) for each in e for g in range(4)]) for e in by_input]
    np.testing.assert_allclose(measured.variance, variance, rtol=1e-10)
    np.testing.assert_allclose(measured.difference, change, rtol=1e-10)
    assert measured.accuracy is None


def test_an_open_sweep_has_no_step_from_its_end_to_its_start() -> None:
    outputs = np.array([0.0, 1.0, 3.0])[:, None, None]
    assert stability.transformation_difference(outputs).tolist() == [1.5]
    assert stability.transformation_difference(outputs, cyclic=True).tolist() == [2.0]


def test_accuracy_under_each_transform() -> None:
    inputs = np.eye(3)
    # The first shift moves every input onto the next class, and so on.
    outputs = stability.outputs_over(lambda batch: batch, inputs, cyclic_group(3))
    assert stability.accuracy_over(outputs, [0, 1, 2]).tolist() == [1.0, 0.0, 0.0]
    assert stability.accuracy_over(outputs, [1, 1, 1]).tolist() == [1 / 3] * 3
    measured = stability.measure_stability(lambda batch: batch, inputs, cyclic_group(3), [1, 2, 2], batch_size=3)
    assert measured.accuracy is not None
    np.testing.assert_allclose(measured.accuracy, [1 / 3, 2 / 3, 0.0])


def test_image_transforms_are_swept_in_their_order() -> None:
    sweep = [transforms.rotation(SIDE, SIDE, degrees) for degrees in range(0, 360, 30)]
    inputs, weights = images(4), draw(SIDE**2, 2, seed=1)
    outputs = stability.outputs_over(linear(weights), inputs, sweep, dtype=tf.float64)
    expected = [each.apply(inputs).reshape(4, -1) @ weights for each in sweep]
    np.testing.assert_allclose(outputs, expected, rtol=1e-10, atol=1e-12)


def test_a_long_list_of_transforms_is_swept_whole() -> None:
    sweep = [transforms.shift(1, 2, right=index / 2000) for index in range(1100)]
    outputs = stability.outputs_over(lambda batch: batch, np.ones((1, 2)), sweep, dtype=tf.float64)
    np.testing.assert_allclose(outputs[:, 0, 0], 1 - np.arange(1100) / 2000, rtol=1e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("batch_size", [1, 9, 40])
def test_a_sweep_in_pieces_equals_one_in_one(batch_size: int) -> None:
    inputs, labels = images(11), np.arange(11) % 3
    network = dense(SIDE**2, 8, 3)

    def measure(batch_size: int) -> stability.Stability:
        return stability.measure_stability(network, inputs, TURNS, labels, batch_size=batch_size, dtype=tf.float64)

    pieces, whole = measure(batch_size), measure(1000)
    np.testing.assert_allclose(pieces.variance, whole.variance, rtol=1e-10)
    np.testing.assert_allclose(pieces.difference, whole.difference, rtol=1e-10)
    assert pieces.accuracy is not None and whole.accuracy is not None
    np.testing.assert_allclose(pieces.accuracy, whole.accuracy, rtol=1e-12)
    outputs = stability.outputs_over(network, inputs, TURNS, batch_size=batch_size, dtype=tf.float64)
    np.testing.assert_allclose(stability.transformation_variance(outputs), whole.variance, rtol=1e-10)
    error = stability.invariance_error(network, inputs, TURNS, batch_size=batch_size, dtype=tf.float64)
    np.testing.assert_allclose(
        error.absolute, stability.invariance_error(network, inputs, TURNS, dtype=tf.float64).absolute, rtol=1e-10
    )


def test_no_more_than_a_piece_is_there_at_once_and_the_model_is_traced_once() -> None:
    seen, traces = [], []

    def model(batch: tf.Tensor) -> tf.Tensor:
        traces.append(batch.shape)
        return tf.py_function(lambda each: (seen.append(len(each)), each)[1], [batch], tf.float32)[:, :3]

    def shaped(batch: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(model(batch), [None, 3])

    stability.outputs_over(shaped, draw(50, 6), cyclic_group(6), batch_size=24)
    assert max(seen) == 24 and sum(seen[1:]) == 50 * 6  # The first call is on one input, to see that it can be done.
    assert len(traces) == 2


def test_an_invariant_network_is_stable_and_a_dense_one_is_not() -> None:
    inputs = images(20)
    invariant = InvariantMLP(TURNS, 2, [16, 3], activation=tf.tanh)
    invariant(tf.zeros([1, SIDE, SIDE, 1]))
    measured = {
        name: stability.measure_stability(network, inputs, TURNS, cyclic=True, dtype=tf.float64)
        for name, network in {"invariant": invariant, "dense": dense(SIDE**2, 16, 3)}.items()
    }
    assert measured["invariant"].variance.max() < 1e-24 and measured["invariant"].difference.max() < 1e-12
    assert measured["dense"].variance.min() > 1e-3 and measured["dense"].difference.min() > 1e-2


def test_float64_tells_rounding_from_a_broken_symmetry() -> None:
    inputs, network = images(20), InvariantMLP(TURNS, 2, [16, 3], activation=tf.tanh)
    network(tf.zeros([1, SIDE, SIDE, 1]))
    before = [each.numpy() for each in network.variables]
    in_float32 = stability.invariance_error(network, inputs, TURNS).overall_relative
    in_float64 = stability.invariance_error(network, inputs, TURNS, dtype=tf.float64).overall_relative
    assert 1e-9 < in_float32 < 1e-4
    assert in_float64 < 1e-12
    control = stability.invariance_error(dense(SIDE**2, 16, 3), inputs, TURNS, dtype=tf.float64)
    assert control.overall_relative > 1e-2 and control.relative.min() > 1e-2
    for each, old in zip(network.variables, before, strict=True):
        assert each.dtype == tf.float32
        np.testing.assert_array_equal(each.numpy(), old)


def test_a_stability_is_written_in_short() -> None:
    measured = stability.measure_stability(linear(draw(4, 2)), draw(3, 4), cyclic_group(4), [0, 1, 1])
    assert re.fullmatch(
        r"<Stability of 3 inputs, on average: variance [\d.]+, difference [\d.]+, accuracy 0.[\d]+>", repr(measured)
    )


def test_what_is_no_number_is_not_hidden() -> None:
    def model(batch: tf.Tensor) -> tf.Tensor:
        return tf.math.log(batch[:, :2])

    inputs = np.array([[1.0, 2.0, 3.0], [1.0, -1.0, 3.0]])
    error = stability.invariance_error(model, inputs, cyclic_group(3))
    assert np.isnan(error.absolute).tolist() == np.isnan(error.relative).tolist() == [False, True]
    assert np.isnan(error.overall_absolute) and np.isnan(error.overall_relative)
    measured = stability.measure_stability(model, inputs, cyclic_group(3))
    assert np.isnan(measured.variance).tolist() == np.isnan(measured.difference).tolist() == [False, True]


def test_a_keras_model_is_measured() -> None:
    import keras

    inputs = images(6)
    for dtype in ("float32", "float64"):
        model = keras.Sequential([keras.Input([SIDE, SIDE, 1], dtype=dtype), keras.layers.Flatten(dtype=dtype)])
        model.add(keras.layers.Dense(3, dtype=dtype))
        outputs = stability.outputs_over(model, inputs, TURNS, dtype=tf.as_dtype(dtype))
        kernel, bias = model.layers[-1].get_weights()
        expected = [np.rot90(inputs, k, axes=(1, 2)).reshape(6, -1) @ kernel + bias for k in range(4)]
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
        if dtype == "float32":
            with pytest.raises(ValueError, match=r"must compute in float64, and gives float32\..*Keras model built in"):
                stability.outputs_over(model, inputs, TURNS, dtype=tf.float64)


def test_a_module_that_was_never_called_gets_its_variables() -> None:
    network = snt.Linear(2)
    outputs = stability.outputs_over(network, draw(3, 4), cyclic_group(4), dtype=tf.float64)
    assert network.w.dtype == tf.float32 and outputs.dtype == np.float64
    np.testing.assert_allclose(
        outputs, stability.outputs_over(network, draw(3, 4), cyclic_group(4)), rtol=1e-4, atol=1e-6
    )


def test_bytes_are_taken_as_numbers(capfd: pytest.CaptureFixture[str]) -> None:
    inputs, weights = np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE, 1), np.uint8), draw(SIDE**2, 3)
    outputs = stability.outputs_over(linear(weights), inputs, TURNS, dtype=tf.float64)
    expected = [np.rot90(inputs, turns, axes=(1, 2)).reshape(9, -1) @ weights for turns in range(4)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-10)
    assert not capfd.readouterr().err


def test_summaries_are_flat() -> None:
    measured = stability.Stability(np.arange(101.0), np.ones(101), np.array([0.5, 1.0]))
    summary = measured.summary()
    assert all(type(value) is float for value in summary.values())
    expected = {"mean": 50, "min": 0, "quantile_05": 5, "median": 50, "quantile_95": 95, "max": 100}
    assert {key: summary[f"transformation_variance/{key}"] for key in expected} == pytest.approx(expected)
    assert summary["transformation_difference/mean"] == 1 and summary["accuracy/min"] == 0.5
    assert not any(key.startswith("accuracy") for key in stability.Stability(np.ones(2), np.ones(2)).summary())
    elements = cyclic_group(2).elements()
    error = stability.Deviation(
        np.array([1.0, 2.0]), np.array([2.0, 8.0]), np.array([0.0, 2.0]), elements, True
    ).summary()
    assert all(type(value) is float for value in error.values()) and error["is_group"] == 1
    assert error["absolute/overall"] == 2 and error["relative/overall"] == 0.25 and error["relative/max"] == 0.5


def call(**changes: Any) -> Any:
    options = {"model": lambda batch: batch, "inputs": draw(2, 3), "action": cyclic_group(3), **changes}
    return stability.measure_stability(**options)


BAD = {
    "no inputs": ({"inputs": np.ones((0, 3))}, ValueError, r"inputs of shape \(0, 3\) must be"),
    "one axis": ({"inputs": np.ones(3)}, ValueError, r"inputs of shape \(3,\) must be"),
    "other width": ({"inputs": np.ones((1, 4))}, ValueError, "must hold 3 numbers"),
    "no transforms": ({"action": []}, ValueError, "at least one transformation"),
    "no group": ({"action": 3}, TypeError, "PermutationGroup"),
    "batch size": ({"batch_size": 0}, ValueError, r"batch_size \(=0\) must be at least 1"),
    "few labels": ({"labels": [0]}, ValueError, r"labels of shape \(1,\) must be of shape \(2,\)"),
    "labels that are no integers": ({"labels": [0.0, 1.0]}, TypeError, "must be integers"),
    "labels beyond the classes": ({"labels": [0, 3]}, ValueError, r"labels: 3 must be in \[0, 3\)"),
    "labels below 0": ({"labels": [0, -1]}, ValueError, r"labels: -1 must be in \[0, 3\)"),
    "one transformation": ({"action": cyclic_group(1), "inputs": np.ones((2, 1))}, ValueError, "transforms >= 2"),
    "one output for all": ({"model": tf.reduce_mean}, ValueError, "an output for each input"),
    "no tensor": ({"model": lambda batch: None}, ValueError, "an output for each input"),
    "words": ({"inputs": [["a", "b", "c"], ["d", "e", "f"]]}, TypeError, "inputs .* must be numbers"),
    "another type": ({"model": lambda batch: tf.cast(batch, tf.float32), "dtype": tf.float64}, ValueError, "in_dtype"),
    "fails in the type": (
        {"model": lambda batch: tf.matmul(batch, tf.ones([3, 2])), "dtype": tf.float64},
        ValueError,
        "must compute in float64, and fails: .*in_dtype",
    ),
}


@pytest.mark.parametrize(("changes", "error", "message"), BAD.values(), ids=BAD)
def test_bad_use_is_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(**changes)


def test_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"outputs of shape \(3,\)"):
        stability.transformation_variance([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"\[transforms, inputs, classes\]"):
        stability.accuracy_over(np.ones((2, 3)), [0, 1, 1])
