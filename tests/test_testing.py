"""The assertions pass what obeys a law, name the element that does not, and refuse to pass what cannot fail."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import cyclic_group, image_rotations, items, pixels, regular, symmetric_group, trivial
from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.nets.sets.permutation import PermutationEquivariantLinear
from weirdonetworks.nets.sets.pooled_sets import DeepSets
from weirdonetworks.testing import assert_equivariant, assert_invariant

SETS = np.random.default_rng(0).normal(size=(3, 4, 2))
IMAGES = np.random.default_rng(1).normal(size=(3, 4, 4, 1))


def test_networks_that_obey_a_law_pass_in_float64_and_stay_as_they_are() -> None:
    layer, network = PermutationEquivariantLinear(3), DeepSets([4], [2])
    assert_equivariant(layer, SETS, items(4))
    assert_invariant(network, SETS, items(4))
    assert_equivariant(network, SETS, items(4), trivial(2))
    assert {each.dtype for each in (*layer.variables, *network.variables)} == {tf.float32}


def test_keras_models_pass() -> None:
    import keras

    pool, flat = keras.layers.GlobalAveragePooling1D(dtype="float64"), keras.layers.Flatten(dtype="float64")
    assert_invariant(keras.Sequential([keras.Input([4, 2], dtype="float64"), pool]), SETS, items(4))
    with pytest.raises(AssertionError, match="must be invariant"):
        assert_invariant(keras.Sequential([keras.Input([4, 2], dtype="float64"), flat]), SETS, items(4))


def test_the_message_names_the_element_and_by_how_much() -> None:
    def moved_late(sets: tf.Tensor) -> tf.Tensor:
        return sets * tf.constant([[1.0], [1.0], [1.0], [1.5]], sets.dtype)

    inputs = np.zeros((1, 4, 2))
    inputs[0, 1] = 2.0
    # The one shift that takes item 1 to the last place.
    message = (
        r"must be equivariant, F\(g x\) = g F\(x\): under element 2 of 4, \[2, 3, 0, 1\], the two sides differ by 1, "
        r"which is 0.333 of the largest output, where at most 1e-10 of it is rounding\."
    )
    with pytest.raises(AssertionError, match=message):
        assert_equivariant(moved_late, inputs, items(cyclic_group(4)))
    assert_equivariant(moved_late, inputs, items(cyclic_group(4)), tolerance=0.34)


def weighed(sets: tf.Tensor) -> tf.Tensor:
    """Reads the first item a little more than the others."""
    return tf.reduce_sum(sets, 1) + 1e-8 * sets[:, 0]


@pytest.mark.parametrize("group", [symmetric_group(4), cyclic_group(4)])
def test_a_small_departure_fails(group: Any) -> None:
    with pytest.raises(AssertionError, match="must be invariant"):
        assert_invariant(weighed, SETS, items(group))
    assert_invariant(weighed, SETS, items(group), tolerance=1e-6)


def test_outputs_that_are_no_numbers_fail() -> None:
    with pytest.raises(AssertionError, match="differ by nan"):
        assert_invariant(lambda sets: tf.reduce_sum(tf.math.log(sets), 1), SETS, items(4))


@pytest.mark.slow
def test_the_wrong_action_on_the_outputs_fails() -> None:
    def corners(images: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.image.rot90(images, turns)[:, 0, 0, 0] for turns in (0, 3, 2, 1)], axis=1)

    assert_equivariant(corners, IMAGES, pixels(), regular(image_rotations(2, 2)))
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(corners, IMAGES, pixels(), trivial(4))


BAD: dict[str, tuple[Callable[[], None], type[Exception], str]] = {
    "no group": (
        lambda: assert_invariant(tf.identity, IMAGES, [rotation(4, 4, 30 * step) for step in range(12)]),
        ValueError,
        "must be that of a group",
    ),
    "nothing": (lambda: assert_invariant(tf.zeros_like, SETS, items(4)), ValueError, "outputs other than 0"),
    "tolerance": (
        lambda: assert_invariant(weighed, SETS, items(4), tolerance=-1.0),
        ValueError,
        r"tolerance \(=-1.0\)",
    ),
    "type": (
        lambda: assert_invariant(lambda sets: tf.cast(sets, tf.float32), SETS, items(4)),
        ValueError,
        "must compute in float64",
    ),
    "no action": (lambda: assert_invariant(snt.Flatten(), SETS, 4), TypeError, r"action \(=4\) must be an Action"),  # type: ignore[arg-type]
    "other groups": (
        lambda: assert_equivariant(tf.identity, SETS, items(4), items(3)),
        ValueError,
        "must extend to a homomorphism",
    ),
    "outputs of two numbers": (
        lambda: assert_equivariant(lambda sets: tf.reduce_sum(sets, 1), SETS, items(4), trivial()),
        ValueError,
        r"begin with \[1\] .* use trivial\(2\), or assert_invariant",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_asserted_is_refused(call: Callable[[], None], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        call()
    assert not re.search(r"\n", str(raised.value))
