"""Flows: actions of connected groups, given by generators."""

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.algebra import cyclic_group, flow, points, trivial
from weirdonetworks.testing import assert_equivariant, assert_invariant

PLANE = [[[0.0, -1.0], [1.0, 0.0]]]
# The rotations of space: about x, y and z.
SPACE = np.cross(np.eye(3)[:, None], np.eye(3)[None]).swapaxes(1, 2)


def test_elements_are_exponentials() -> None:
    times = np.array([[0.3], [-40.0], [0.0]])
    cosine, sine = np.cos(times[:, 0]), np.sin(times[:, 0])
    turned = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
    np.testing.assert_allclose(flow(PLANE).matrices(times), turned, atol=1e-12)
    shear = flow([[[0.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(
        shear.matrices([[2.0, 0.0], [0.0, 1.5]]), [[[1, 2], [0, 1]], np.exp(1.5) * np.eye(2)], rtol=1e-13
    )
    np.testing.assert_allclose(
        flow(np.diag([1.0, -3.0])[None]).matrices([[20.0]]), np.diag(np.exp([20.0, -60.0]))[None], rtol=1e-9
    )


def test_rotations_of_space_are_orthogonal_and_compose() -> None:
    turns = flow(SPACE)
    matrices = turns.matrices(turns.sample(20, seed=1))
    np.testing.assert_allclose(matrices @ matrices.swapaxes(1, 2), np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, rtol=1e-12)


def test_measures_and_assertions_take_samples_of_a_flow() -> None:
    turns, inputs = flow(SPACE), np.random.default_rng(0).normal(size=(4, 5, 3))
    assert (turns.is_group, turns.is_finite, turns.is_permutation) == (True, False, False)
    assert_invariant(lambda x: tf.matmul(x, x, transpose_b=True), inputs, turns)
    assert_equivariant(lambda x: tf.cumsum(x, axis=1), inputs, turns)
    cross = lambda x: tf.linalg.cross(x[:, 0], x[:, 1])  # noqa: E731
    assert_equivariant(cross, inputs, turns, turns)
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(lambda x: x * x, inputs, turns, tolerance=1e-2)
    doubled = flow(2 * np.array(PLANE))
    square = lambda x: tf.stack([x[:, 0] ** 2 - x[:, 1] ** 2, 2 * x[:, 0] * x[:, 1]], axis=1)  # noqa: E731  z -> z^2
    assert_equivariant(square, inputs[:, 0, :2], flow(PLANE), doubled)
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(square, inputs[:, 0, :2], flow(PLANE), tolerance=0.1)
    assert_equivariant(lambda x: tf.norm(x, axis=-1), inputs, turns, trivial(5))
    with pytest.raises(ValueError, match="must be a flow of as many generators as action_in"):
        assert_equivariant(square, inputs[:, 0, :2], flow(PLANE), flow(np.zeros((2, 2, 2))))


def test_what_an_infinite_group_cannot_do_is_refused() -> None:
    turns = flow(PLANE)
    for call in (lambda: turns.order, turns.elements, turns.table, lambda: turns.ball(1), lambda: turns + turns):
        with pytest.raises(
            ValueError, match=r"has infinitely many elements, so none are listed. Draw some by sample\(num, seed\)"
        ):
            call()
    with pytest.raises(ValueError, match="must end with 2"):
        turns.on((3,))
    with pytest.raises(ValueError, match="infinitely many"):
        turns * points(cyclic_group(2))
    for given, error, words in (
        (np.eye(2), ValueError, r"generators of shape \(2, 2\) must be square matrices, .*, at least one"),
        (np.zeros((0, 2, 2)), ValueError, "at least one"),
        ([[[1j]]], TypeError, "must be real numbers"),
        ([[[np.nan]]], ValueError, "must be finite"),
    ):
        with pytest.raises(error, match=words):
            flow(given)
