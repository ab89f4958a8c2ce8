"""Tests of orbits: the image of each input under each element, in order, and folded weights."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import (
    Action,
    MatrixGroup,
    PermutationGroup,
    act,
    coordinates,
    cyclic_group,
    dihedral_group,
    icosahedral_rotations,
    image_dihedral,
    image_rotations,
    image_translations,
    items,
    octahedral_rotations,
    pixels,
    regular,
    sign_changes,
    symmetric_group,
    transforms,
)
from weirdonetworks.nets import learned_augmentation
from weirdonetworks.nets.orbits import Orbit

ANGLES = (0.0, 20.0, 45.0, 90.0)


def interpolating(fill: float = 0.0) -> list[transforms.ImageTransform]:
    """Maps with one tap and with four, that enlarge, and that lose what leaves the image."""
    turned = [transforms.rotation(5, 4, angle, fill=fill) for angle in ANGLES]
    return [*turned, transforms.zoom(5, 4, 2.5, fill=fill), transforms.shift(5, 4, 1, 2, method="nearest", fill=fill)]


# What acts, and the shape of an input.
CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "C5": (cyclic_group(5), (5,)),
    "S4": (symmetric_group(4), (2, 2)),
    "quarter turns": (image_rotations(4, 4), (4, 4, 1)),
    "D4 with channels": (image_dihedral(3, 3, 2), (3, 3, 2)),
    "translations": (image_translations(3, 4), (3, 4, 1)),
    "signs": (sign_changes(3), (3,)),
    "icosahedral": (icosahedral_rotations(), (3,)),
    "transforms": (interpolating(), (5, 4, 3)),
    "transforms with a fill": (interpolating(0.7), (5, 4, 1)),
    "flat transforms with a fill": (interpolating(-2.0), (40,)),
    "nearest": ([transforms.rotation(6, 6, angle, method="nearest") for angle in ANGLES], (6, 6, 1)),
    "identity": ([transforms.shift(3, 3)], (3, 3, 2)),
    "items": (items(3), (3, 2)),
    "pixels": (pixels(), (3, 3, 2)),
    "coordinates of several vectors": (coordinates(octahedral_rotations()), (2, 3)),
    "a sum": (items(cyclic_group(3)) + items(cyclic_group(3)), (6, 2)),
    "group maps": (pixels() * regular(image_rotations(2, 2)), (3, 3, 4, 2)),
}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def images(what: Any, inputs: np.ndarray) -> np.ndarray:
    """What each element makes of inputs, one by one, by NumPy."""
    flat = inputs.reshape(len(inputs), -1)
    if isinstance(what, Action):
        return what.apply(what.elements(), inputs)
    if isinstance(what, PermutationGroup):
        moved = [act(element, flat) for element in what.elements()]
    elif isinstance(what, MatrixGroup):
        moved = [flat @ element.T for element in what.elements()]
    else:
        moved = [each.apply(inputs.reshape(len(inputs), each.height, each.width, -1)) for each in what]
    return np.stack([each.reshape(inputs.shape) for each in moved])


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("name", CASES)
def test_orbit_is_what_each_element_makes_of_each_input(name: str, compiled: bool) -> None:
    what, shape = CASES[name]
    inputs, orbit = draw(3, *shape), Orbit(what)
    signature = [tf.TensorSpec([None, *shape], tf.float64)]
    moved = tf.function(lambda given: orbit(given), input_signature=signature, jit_compile=compiled, autograph=False)
    expected = images(what, inputs)
    assert_close(moved(tf.constant(inputs)), expected, 1e-12)
    static = moved.get_concrete_function().structured_outputs.shape
    assert static.as_list() == [len(expected), None, *shape] and len(orbit) == len(expected)
    # The identity alone is a group, however it is given.
    assert orbit.is_exact == (not isinstance(what, list) or name == "identity") and not orbit.is_resampled


@pytest.mark.parametrize("name", CASES)
def test_folded_weights_give_the_outputs_on_the_orbit(name: str) -> None:
    what, shape = CASES[name]
    inputs, orbit = draw(3, *shape), Orbit(what)
    weights = draw(inputs[0].size, 4, seed=1)
    folded, offset = orbit.folded(tf.constant(weights), shape=shape)
    assert (offset is not None) == ("fill" in name)
    outputs = inputs.reshape(3, -1) @ folded.numpy() + (0 if offset is None else offset.numpy())
    expected = images(what, inputs).reshape(len(orbit), 3, -1) @ weights
    assert_close(outputs.reshape(3, len(orbit), 4), expected.swapaxes(0, 1), 1e-12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("batch", [None, 1, 2, 100])
@pytest.mark.parametrize("name", CASES)
def test_linear_is_the_same_whichever_is_moved(name: str, batch: int | None) -> None:
    what, shape = CASES[name]
    inputs, orbit = draw(batch or 3, *shape), Orbit(what)
    weights = draw(inputs[0].size, 3, seed=1)
    signature = [tf.TensorSpec([batch, *shape], tf.float64)]
    linear = tf.function(lambda given: orbit.linear(given, weights), input_signature=signature, autograph=False)
    expected = images(what, inputs).reshape(len(orbit), len(inputs), -1) @ weights
    assert_close(linear(tf.constant(inputs)), expected.swapaxes(0, 1), 1e-12)


def moves_the_weights(orbit: Orbit, batch: int | None, outputs: int) -> bool:
    """Whether `linear` multiplies the batch itself, and not as many images of it as there are elements."""
    weights = tf.zeros([20, outputs])
    linear = tf.function(lambda given: orbit.linear(given, weights), autograph=False)
    graph = linear.get_concrete_function(tf.TensorSpec([batch, 20])).graph
    (product,) = [each for each in graph.get_operations() if each.type == "MatMul"]
    return product.outputs[0].shape[-1] == len(orbit) * outputs


def test_the_weights_are_moved_where_the_batch_is_as_wide_as_the_layer() -> None:
    orbit = Orbit(cyclic_group(20))
    assert [moves_the_weights(orbit, batch, 8) for batch in (None, 1, 7, 8, 100)] == [False, False, False, True, True]
    interpolated = Orbit([transforms.rotation(5, 4, angle) for angle in (30, 60)])
    assert not moves_the_weights(interpolated, 8, 8) and moves_the_weights(interpolated, 30, 8)


def gradients(orbit: Orbit, inputs: tf.Tensor, weights: tf.Tensor, compiled: bool) -> list[tf.Tensor]:
    @tf.function(jit_compile=compiled, autograph=False)
    def compute() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([inputs, weights])
            loss = tf.reduce_sum(tf.sin(orbit.linear(inputs, weights) + 1))
        return tape.gradient(loss, [inputs, weights])

    return compute()


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize(
    "name",
    ["D4 with channels", "transforms with a fill", "signs", "items", "coordinates of several vectors", "group maps"],
)
@pytest.mark.exhaustive
def test_gradients_are_those_of_the_matrices(name: str, batch: int, compiled: bool) -> None:
    what, shape = CASES[name]
    inputs, orbit = draw(batch, *shape), Orbit(what)
    weights = draw(inputs[0].size, 3, seed=1)
    start = images(what, np.zeros((1, *shape))).reshape(len(orbit), -1)
    matrices = images(what, np.eye(inputs[0].size).reshape(-1, *shape)).reshape(len(orbit), *[inputs[0].size] * 2)
    matrices -= start[:, None]  # [elements, from, to]
    flat = inputs.reshape(batch, -1)
    moved = flat @ matrices + start[:, None]
    slopes = np.cos(moved @ weights + 1)
    by_inputs = np.einsum("ebo,po,ejp->bj", slopes, weights, matrices, optimize=True)
    found = gradients(orbit, tf.constant(inputs), tf.constant(weights), compiled)
    assert_close(found[0], by_inputs.reshape(inputs.shape), 1e-11)
    assert_close(found[1], np.einsum("ebp,ebo->po", moved, slopes, optimize=True), 1e-11)


LARGE: dict[str, Any] = {
    "permutations": symmetric_group(12),
    "few permutations": cyclic_group(12),
    "images": [transforms.rotation(4, 3, angle) for angle in range(0, 360, 30)],
    "matrices": sign_changes(12),
}
SEED = (1, 2)


@pytest.mark.parametrize("name", LARGE)
def test_a_large_group_is_sampled_once_or_at_each_call(name: str) -> None:
    inputs = tf.constant(draw(2, 12))
    make = lambda **options: Orbit(LARGE[name], limit=5, samples=4, **options)  # noqa: E731
    fixed, same, other = make(seed=3), make(seed=3), make(seed=4)
    assert len(fixed) == 4 and not fixed.is_exact and not fixed.is_resampled
    np.testing.assert_array_equal(fixed(inputs), same(inputs))
    np.testing.assert_array_equal(fixed(inputs), fixed(inputs, seed=tf.constant(SEED)))
    assert not np.array_equal(fixed(inputs), other(inputs))
    anew = make(seed=3, resample=True)
    assert anew.is_resampled
    np.testing.assert_array_equal(anew(inputs), fixed(inputs))
    first, again, second = (anew(inputs, seed=tf.constant(seed)) for seed in (SEED, SEED, (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second) and not np.array_equal(first, fixed(inputs))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_samples_are_images_by_elements_and_the_same_under_xla(name: str) -> None:
    inputs, orbit = draw(2, 12), Orbit(LARGE[name], limit=5, samples=50, resample=True)
    results = []
    for compiled in (False, True):
        sample = tf.function(lambda given, seed: orbit(given, seed), jit_compile=compiled, autograph=False)
        results.append(sample(tf.constant(inputs), tf.constant(SEED)).numpy())
    np.testing.assert_allclose(*results, rtol=1e-12, atol=1e-14)
    if name == "permutations":
        for sample in results[0]:
            np.testing.assert_array_equal(np.sort(sample, axis=1), np.sort(inputs, axis=1))
        places = np.argsort(results[0], axis=2)
        np.testing.assert_array_equal(
            places[:, 0, np.argsort(inputs[0]).argsort()], places[:, 1][..., np.argsort(inputs[1]).argsort()]
        )
    else:
        known = images(LARGE[name], inputs)
        assert all(np.abs(known - sample).max(axis=(1, 2)).min() < 1e-12 for sample in results[0])


@pytest.mark.parametrize("name", LARGE)
def test_folded_samples_are_those_of_the_same_seed(name: str) -> None:
    inputs, weights, seed = tf.constant(draw(3, 12)), tf.constant(draw(12, 2)), tf.constant(SEED)
    orbit = Orbit(LARGE[name], limit=5, samples=4, resample=True)
    expected = tf.transpose(orbit(inputs, seed) @ weights, [1, 0, 2])
    folded, _ = orbit.folded(weights, seed)
    assert_close(tf.reshape(inputs @ folded, [3, 4, 2]), expected, 1e-12)
    assert_close(orbit.linear(inputs, weights, seed), expected, 1e-12)


def drawn_from(group: PermutationGroup) -> np.ndarray:
    """What 12,000 elements drawn in a call make of the numbers 0 to 11."""
    orbit = Orbit(group, limit=5, samples=12_000, resample=True)
    return orbit(tf.range(12.0)[None], seed=tf.constant(SEED))[:, 0].numpy().astype(int)


def excess(moved: np.ndarray, group: PermutationGroup) -> float:
    """How unevenly the pairs that come to two places fall on their orbit: the mean of chi-square over its freedom.

    It is 1 for uniform elements, up to chance.
    """
    labels = group.orbits_on_pairs().labels.ravel()
    found = []
    for first, second in itertools.permutations(range(12), 2):
        counts = np.bincount(moved[:, first] * 12 + moved[:, second], minlength=144)
        possible = labels == labels[first * 12 + second]
        if counts[~possible].any():
            return np.inf
        expected = len(moved) / possible.sum()
        found.append(np.square(counts[possible] - expected).sum() / expected / (possible.sum() - 1))
    return float(np.mean(found))


@pytest.mark.parametrize("name", ["permutations", "few permutations"])
def test_samples_are_uniform(name: str) -> None:
    moved = drawn_from(LARGE[name])
    counts = [np.bincount(column, minlength=12) for column in moved.T]
    # What comes to each place is uniform: a count has mean 1000; over the fixed factors it deviates a little more.
    assert np.abs(np.array(counts) - 1000).max() < 200
    assert 0.5 < excess(moved, LARGE[name]) < 1.5


def test_samples_of_a_smaller_group_are_told_apart() -> None:
    for smaller in (cyclic_group(12), dihedral_group(12)):  # Both uniform at each place alone.
        assert excess(drawn_from(smaller), symmetric_group(12)) > 10


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(
        TypeError,
        match=r"action \(=3\) must be an Action, such as items\(group\), a PermutationGroup",
    ):
        Orbit(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be an Action.*a PermutationGroup"):
        Orbit([[1, 2, 0]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one transformation"):
        Orbit([])
    with pytest.raises(ValueError, match=r"of one size of image, at least one, and are of \[\(2, 3\), \(3, 3\)\]"):
        Orbit([transforms.shift(2, 3), transforms.shift(3, 3)])
    with pytest.raises(ValueError, match="complex"):
        Orbit(MatrixGroup([[[1j]]]))
    for option in ("limit", "samples"):
        with pytest.raises(ValueError, match=rf"{option} \(=0\) must be at least 1"):
            Orbit(cyclic_group(3), **{option: 0})


def test_bad_inputs_are_refused() -> None:
    group, some = Orbit(cyclic_group(6)), Orbit([transforms.shift(3, 2)])
    with pytest.raises(ValueError, match=r"examples of shape \(5,\) must hold 6 numbers for points"):
        group(tf.zeros([1, 5]))
    for shape in ([1, 7], [1, 2, 3, 1], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"must be images \[3, 2, channels\], or these flattened"):
            some(tf.zeros(shape))
    with pytest.raises(ValueError, match="floating point"):
        group(tf.zeros([1, 6], tf.int32))
    with pytest.raises(ValueError, match=r"weights of shape \(5, 2\) must have the inputs' width \(=6\) first"):
        group.linear(tf.zeros([1, 6]), tf.zeros([5, 2]))
    with pytest.raises(ValueError, match="must hold 6 numbers"):
        group.folded(tf.zeros([5, 2]))


@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist], ids=["NumPy", "list"])
def test_inputs_need_not_be_tensors(make: Callable[[np.ndarray], Any]) -> None:
    orbit, inputs, weights = Orbit(cyclic_group(6)), draw(2, 3, 2).astype(np.float32), tf.ones([6, 2])
    np.testing.assert_array_equal(orbit(make(inputs)), orbit(tf.constant(inputs)))
    np.testing.assert_array_equal(orbit.linear(make(inputs), weights), orbit.linear(tf.constant(inputs), weights))


def test_samples_of_items_move_all_features_of_an_item() -> None:
    sets, orbit = np.arange(72.0).reshape(2, 12, 3), Orbit(items(12), limit=5, samples=6, resample=True)
    for images in (orbit(sets), orbit(sets, seed=tf.constant(SEED))):
        order = images.numpy()[:, 0, :, 0].astype(int) // 3
        np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(12), (6, 1)))
        np.testing.assert_array_equal(images, sets[:, order].swapaxes(0, 1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("degrees", [90, 30])
def test_nan_and_infinity_stay_where_they_are_read(degrees: int, value: float) -> None:
    images = np.ones((1, 5, 5, 1), np.float32)
    images[0, 0, 1, 0] = value
    turned = transforms.rotation(5, 5, degrees)
    reads = (turned.to_dense()[:, 1] != 0).reshape(5, 5)
    orbit = Orbit([turned, transforms.rotation(5, 5, 20)])
    for found in (turned.apply(images)[0, :, :, 0], orbit(tf.constant(images))[0, 0, :, :, 0].numpy()):
        assert np.array_equal(~np.isfinite(found), reads) and 1 <= reads.sum() < 5
        assert degrees == 30 or np.array_equal(found[reads], [np.float32(value)], equal_nan=True)
    matrices = tf.constant([[[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]]], tf.float32)
    found = learned_augmentation.move(tf.constant(images), tf.repeat(matrices, 2, axis=1))
    assert np.sum(~np.isfinite(found[0, 0].numpy())) == 1


def test_nan_that_leaves_the_image_is_gone() -> None:
    images = np.array([[np.nan], [1.0], [2.0]], np.float32).reshape(1, 1, 3, 1)
    for found in (
        transforms.shift(1, 3, right=-1).apply(images),
        Orbit([transforms.shift(1, 3, right=-1)])(tf.constant(images))[0].numpy(),
    ):
        assert found.ravel().tolist() == [1.0, 2.0, 0.0]


def test_nan_in_a_gradient_goes_only_where_it_was_read() -> None:
    turned = transforms.rotation(5, 5, 30)
    orbit, images = Orbit([turned, transforms.rotation(5, 5, 20)]), tf.ones([1, 5, 5, 1])
    upstream = np.ones((2, 1, 5, 5, 1), np.float32)
    upstream[0, 0, 0, 1, 0] = np.nan
    with tf.GradientTape() as tape:
        tape.watch(images)
        moved = orbit(images)
    found = tape.gradient(moved, images, output_gradients=tf.constant(upstream)).numpy()
    reads = (turned.to_dense()[1] != 0).reshape(5, 5)
    assert np.array_equal(np.isnan(found[0, :, :, 0]), reads) and 1 <= reads.sum() < 5
