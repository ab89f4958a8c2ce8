"""Tests of the errors of invariance and equivariance, against NumPy, with models that break the law as controls."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.measure.test_stability import SIDE, dense, draw, images, linear
from weirdonetworks.algebra import (
    PermutationGroup,
    act,
    coordinates,
    cyclic_group,
    cyclic_rotations,
    image_rotations,
    independent,
    items,
    pixels,
    regular,
    symmetric_group,
    transforms,
    trivial,
)
from weirdonetworks.measure import stability
from weirdonetworks.nets.orbits import Orbit

ROTATIONS = cyclic_rotations(5)
QUARTERS = [transforms.rotation(4, 4, degrees) for degrees in (0, 90, 180, 270)]


def test_invariance_error_is_that_of_the_moved_inputs() -> None:
    inputs, weights = draw(6, 4), draw(4, 2, seed=1)
    error = stability.invariance_error(linear(weights), inputs, cyclic_group(4), dtype=tf.float64)
    outputs = np.stack([act(g, inputs) @ weights for g in cyclic_group(4).elements()])
    absolute = np.abs(outputs - outputs[0]).max(axis=(0, 2))
    size = np.abs(outputs).max(axis=(0, 2))
    np.testing.assert_allclose(error.absolute, absolute, rtol=1e-10)
    np.testing.assert_allclose(error.relative, absolute / size, rtol=1e-10)
    assert error.overall_absolute == pytest.approx(absolute.max())
    assert error.overall_relative == pytest.approx(absolute.max() / size.max())


def circular(kernel: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda batch: sum(float(each) * tf.roll(batch, shift, axis=1) for shift, each in enumerate(kernel))


def test_a_circular_convolution_is_equivariant_and_a_dense_layer_is_not() -> None:
    inputs, group = draw(8, 6), cyclic_group(6)
    convolution = circular(draw(3))
    assert stability.equivariance_error(convolution, inputs, group, dtype=tf.float64).overall_relative < 1e-14
    assert stability.invariance_error(convolution, inputs, group, dtype=tf.float64).overall_relative > 1e-1
    network = dense(6, 6)
    assert stability.equivariance_error(network, inputs, group, dtype=tf.float64).overall_relative > 1e-1
    # A group of as many elements that moves the outputs along another cycle is another law.
    other = PermutationGroup([[2, 3, 1, 4, 5, 0]])
    assert stability.equivariance_error(convolution, inputs, group, other, dtype=tf.float64).overall_relative > 1e-1


def test_the_group_may_act_otherwise_on_the_outputs() -> None:
    def quadrants(batch: tf.Tensor) -> tf.Tensor:
        """Sums the four quarters of images 4 x 4, counter-clockwise from the upper right."""
        flat = tf.reshape(batch, [-1, 4, 4])
        halves = [(slice(0, 2), slice(2, 4)), (slice(0, 2), slice(0, 2)), (slice(2, 4), slice(0, 2))]
        halves.append((slice(2, 4), slice(2, 4)))
        return tf.stack([tf.reduce_sum(flat[:, rows, columns], [1, 2]) for rows, columns in halves], axis=1)

    def corner(batch: tf.Tensor) -> tf.Tensor:
        return tf.reshape(batch, [-1, 16])[:, :4]

    group, inputs = image_rotations(4, 4), draw(5, 4, 4, 1)
    error = {
        model.__name__: stability.equivariance_error(model, inputs, group, cyclic_group(4), dtype=tf.float64)
        for model in (quadrants, corner)
    }
    assert error["quadrants"].overall_relative < 1e-14 < 1e-1 < error["corner"].overall_relative
    vectors = stability.equivariance_error(lambda batch: batch, draw(5, 2), cyclic_rotations(4), dtype=tf.float64)
    assert vectors.overall_relative < 1e-14


@pytest.mark.slow
def test_a_group_too_large_to_list_is_sampled() -> None:
    inputs = draw(3, 8)
    ordered = tf.function(lambda batch: tf.sort(batch, axis=1))
    assert stability.invariance_error(ordered, inputs, symmetric_group(8)).overall_absolute == 0
    assert stability.outputs_over(ordered, inputs, symmetric_group(8)).shape == (64, 3, 8)
    some = Orbit(symmetric_group(8), samples=5)
    assert stability.outputs_over(ordered, inputs, some).shape == (5, 3, 8)
    assert stability.equivariance_error(tf.tanh, inputs, symmetric_group(8), dtype=tf.float64).overall_relative < 1e-14


def test_two_actions_of_one_large_group_are_sampled_alike() -> None:
    inputs, group = draw(3, 8, 2), symmetric_group(8)
    sums = {
        "in order": lambda batch: tf.reduce_sum(batch, 2),
        "reversed": lambda batch: tf.reduce_sum(batch, 2)[:, ::-1],
    }
    errors = {
        name: stability.equivariance_error(model, inputs, items(group), symmetric_group(8), dtype=tf.float64)
        for name, model in sums.items()
    }
    assert errors["in order"].overall_relative < 1e-14 < 1e-1 < errors["reversed"].overall_relative
    assert errors["in order"].elements.shape == (64, 8)


def test_an_orbit_is_paired_with_the_same_elements_alone() -> None:
    def error(action_in: Any, action_out: Any, axis: int = 2) -> float:
        model = lambda sets: tf.reduce_sum(sets, axis)  # noqa: E731
        return stability.equivariance_error(
            model, draw(3, 6, 2), action_in, action_out, dtype=tf.float64
        ).overall_relative

    group = cyclic_group(6)
    some, same, others = (
        Orbit(items(6) if seed is None else symmetric_group(6), limit=9, samples=5, seed=seed or 0)
        for seed in (None, 0, 1)
    )
    for pair in ((Orbit(items(group)), group), (items(group), Orbit(group)), (some, same), (some, symmetric_group(6))):
        assert error(*pair) < 1e-14, pair
    assert error(some, trivial(2), axis=1) < 1e-14
    backwards = PermutationGroup(group.elements()[5:])
    for pair in ((some, others), (Orbit(items(group)), Orbit(backwards)), (Orbit(items(group)), backwards)):
        with pytest.raises(ValueError, match=r"same elements as action_in .* algebra\.paired"):
            error(*pair)
    with pytest.raises(ValueError, match="Pass an action of the same group"):
        error(Orbit(items(symmetric_group(6))), Orbit(group))


# A law that holds: the model, the shape of its inputs, how they and the outputs move. And an action on the outputs by
# which it does not.
LAWS: dict[str, tuple[Any, tuple[int, ...], Any, Any, Any]] = {
    "items, features along": (lambda x: x**3, (4, 2), items(4), None, trivial(4)),
    "sums over sets": (lambda x: tf.reduce_sum(x, 1), (4, 2), items(4), trivial(2), items(2)),
    "rows and columns": (lambda x: tf.nn.softmax(x, 3), (3, 2, 2), independent(items(3), items(2)), None, trivial(3)),
    "pixels": (lambda x: x - tf.reduce_max(x, [1, 2], True), (4, 4, 2), pixels(), None, trivial(4)),
    "pixels to the regular representation": (
        lambda x: tf.stack([tf.image.rot90(x, turns)[:, 0, 0] for turns in (0, 3, 2, 1)], axis=1),
        (4, 4, 2),
        pixels(),
        regular(image_rotations(2, 2)),
        trivial(4),
    ),
    "several vectors": (
        lambda x: x * tf.norm(x, axis=2, keepdims=True),
        (5, 2),
        coordinates(ROTATIONS),
        None,
        trivial(5),
    ),
    "lengths": (lambda x: tf.norm(x, axis=2), (5, 2), coordinates(ROTATIONS), trivial(5), regular(ROTATIONS)),
    "a group onto a smaller one": (
        lambda x: x[:, :2] + x[:, 2:],
        (4,),
        cyclic_group(4),
        items(cyclic_group(2)),
        trivial(2),
    ),
    "a list and what nothing moves": (lambda x: tf.reduce_max(x, [1, 2]), (4, 4, 2), QUARTERS, trivial(2), None),
    "a list and a group, by places": (
        lambda x: tf.stack([tf.image.rot90(x, turns)[:, 0, 0] for turns in (0, 3, 2, 1)], axis=1),
        (4, 4, 2),
        QUARTERS,
        items(cyclic_group(4)),
        trivial(4),
    ),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("model", "shape", "action_in", "action_out", "wrong"), LAWS.values(), ids=LAWS)
def test_laws_between_actions(model: Any, shape: tuple[int, ...], action_in: Any, action_out: Any, wrong: Any) -> None:
    inputs = draw(5, *shape)
    error = stability.equivariance_error(model, inputs, action_in, action_out, dtype=tf.float64)
    assert error.overall_relative < 1e-14 and error.is_group
    if wrong is not None:
        control = stability.equivariance_error(model, inputs, action_in, wrong, dtype=tf.float64)
        assert control.overall_relative > 1e-1


def test_the_element_that_a_model_follows_least_is_named() -> None:
    def model(batch: tf.Tensor) -> tf.Tensor:
        return batch[:, :1] + 0.01 * batch[:, 1:2]

    inputs = np.array([[0.0, 0.0, 1.0, 100.0, 0.0], [0.0, 0.0, -2.0, 0.0, 0.0]])
    error = stability.invariance_error(model, inputs, cyclic_group(5), batch_size=1, dtype=tf.float64)
    outputs = np.stack([act(g, inputs) @ [1.0, 0.01, 0.0, 0.0, 0.0] for g in cyclic_group(5).elements()])
    np.testing.assert_allclose(error.by_element, np.abs(outputs - outputs[0]).max(axis=1))
    assert error.number == error.by_element.argmax() == 2 and error.element.tolist() == [2, 3, 4, 0, 1]
    assert repr(error) == "<Deviation 1 of the largest output, 100, for element 2 of 5: [2, 3, 4, 0, 1]>"


def test_a_measure_says_when_the_elements_form_no_group() -> None:
    for step, is_group in ((90, True), (30, False)):
        turns = [transforms.rotation(SIDE, SIDE, degrees) for degrees in range(0, 360, step)]
        error = stability.invariance_error(dense(SIDE**2, 3), images(3), turns)
        assert error.is_group == is_group == error.summary()["is_group"]
        assert ("of 12 that form no group" in repr(error)) != is_group


def test_a_model_that_gives_zeros_has_no_error() -> None:
    error = stability.invariance_error(tf.zeros_like, draw(3, 4), cyclic_group(4))
    assert error.relative.tolist() == [0.0] * 3 and error.overall_relative == 0.0


def test_actions_that_cannot_be_paired_are_refused() -> None:
    inputs = draw(2, 6)
    with pytest.raises(ValueError, match=r"examples of shape \(6,\) must hold 3 numbers for points"):
        stability.equivariance_error(tf.tanh, inputs, cyclic_group(6), cyclic_group(3))
    with pytest.raises(ValueError, match="must extend to a homomorphism"):
        stability.equivariance_error(tf.tanh, inputs, items(3), symmetric_group(4))
    turns = [transforms.rotation(SIDE, SIDE, degrees) for degrees in (0, 90, 180)]
    with pytest.raises(ValueError, match=r"action_out has 4 elements and must have as many as action_in \(=3\)"):
        stability.equivariance_error(tf.tanh, images(2), turns, pixels())
