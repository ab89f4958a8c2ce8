"""Tests of local pooling: approximate invariance within its bound, and exact invariance over the group."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import compose, cyclic_group, image_translations, inverse, points, symmetric_group
from weirdonetworks.nets.averaged import LocalPool, OrbitAverage

GROUP = image_translations(5, 6)


def network() -> snt.Module:
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([16, 2], activation=tf.tanh)])


def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 5, 6, 1))


def change(model: Callable[[tf.Tensor], tf.Tensor], shift: tuple[int, int]) -> np.ndarray:
    """How much each output changes when the images are shifted."""
    inputs = images()
    return np.abs(model(tf.constant(np.roll(inputs, shift, (1, 2)))) - model(tf.constant(inputs)))


def test_radius_0_is_the_network() -> None:
    plain = network()
    assert_close(LocalPool(plain, GROUP, radius=0)(tf.constant(images())), plain(tf.constant(images())), 1e-12)


@pytest.mark.parametrize("pooling", ["mean", "max", "moments"])
def test_a_radius_that_reaches_all_is_the_whole_orbit(pooling: str) -> None:
    plain = network()
    local = LocalPool(plain, GROUP, radius=5, pooling=pooling)
    assert len(local.elements) == 30
    assert_close(local(tf.constant(images())), OrbitAverage(plain, GROUP, pooling)(tf.constant(images())), 1e-10)
    assert change(local, (2, 3)).max() < 1e-10


@pytest.mark.slow
def test_changes_are_within_the_bound_and_shrink() -> None:
    plain, inputs = network(), images()
    shifted = np.stack([np.roll(inputs, shift, (1, 2)) for shift in itertools.product(range(5), range(6))])
    values = np.stack([plain(tf.constant(each)).numpy() for each in shifted])
    spread = np.ptp(values, axis=0)
    largest = []
    for radius in (0, 1, 2, 3, 4, 5):
        local = LocalPool(plain, GROUP, radius)
        near = {element.tobytes() for element in local.elements.elements}
        changes = []
        for shift in ((1, 0), (0, 1), (0, -1), (1, 1)):
            move = inverse(np.roll(np.arange(30).reshape(5, 6), shift, (0, 1)).ravel())
            left = {compose(element, move).tobytes() for element in local.elements.elements}
            changes.append(change(local, shift))
            assert (changes[-1] <= len(left - near) / len(near) * spread + 1e-12).all()
        largest.append(np.max(changes))
    assert largest[1] < largest[0] and largest[3] < 0.5 * largest[0] and largest[5] < 1e-10
    assert largest[1] > 1e-2  # Not invariant yet.


def test_balls_are_the_words_of_so_many_steps() -> None:
    sizes = [len(points(GROUP).ball(radius, limit=30)) for radius in range(6)]
    shifts = [(min(down, 5 - down) + min(right, 6 - right)) for down in range(5) for right in range(6)]
    assert sizes == [sum(length <= radius for length in shifts) for radius in range(6)]
    assert len(points(symmetric_group(4)).ball(20, limit=24)) == 24
    assert len(points(cyclic_group(3)).ball(0, limit=1)) == 1


def test_outputs_keep_their_axes() -> None:
    local = LocalPool(lambda x: tf.repeat(x[..., None], 4, axis=2), cyclic_group(5), radius=1)
    inputs = tf.constant(np.random.default_rng(0).normal(size=(2, 5)))
    outputs = local(inputs)
    expected = sum(tf.roll(inputs, shift, 1) for shift in (-1, 0, 1)) / 3
    assert_close(outputs, tf.repeat(expected[..., None], 4, axis=2), 1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LocalPool(None, GROUP, 1), TypeError, "network"),
        (lambda: LocalPool(tf.identity, "shifts", 1), TypeError, "action"),
        (lambda: LocalPool(tf.identity, GROUP, -1), ValueError, "radius"),
        (lambda: LocalPool(tf.identity, GROUP, 1, pooling="median"), ValueError, "pooling"),
        (lambda: LocalPool(tf.identity, symmetric_group(9), 30), ValueError, "limit"),
        (lambda: LocalPool(tf.identity, GROUP, 1)(tf.zeros([1, 5, 5, 1])), ValueError, "must hold 30 numbers"),
        (lambda: LocalPool(tf.reduce_sum, GROUP, 1)(tf.zeros([1, 30])), ValueError, "network"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
