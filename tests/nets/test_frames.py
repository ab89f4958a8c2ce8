"""Tests of frames: exact invariance including ties, the number of calls, and the places of discontinuities."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import Action, act, cyclic_group, image_dihedral, image_rotations, items, pixels
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets import pooling
from weirdonetworks.nets.averaged import Canonicalise, FrameAverage
from weirdonetworks.nets.frames import Frame, SortFrame, TurnFrame

Floats = npt.NDArray[np.float64]
GROUPS = {"C4": image_rotations, "D4": image_dihedral}
ACTIONS = {name: pixels(make(2, 2)) for name, make in GROUPS.items()}
CALLS = {"C4": 2, "D4": 4}
WRAPPERS = {"canonical": Canonicalise, "average": FrameAverage}


def mlp(outputs: int = 3) -> snt.Module:
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([8, outputs], activation=tf.tanh)])


def moved(images: Floats, group: str) -> Floats:
    """All images of square images, `[|G|, batch, side, side, channels]`."""
    side, channels = images.shape[2:]
    elements = GROUPS[group](side, side, channels).elements()
    return act(elements, images.reshape(len(images), -1)).reshape(-1, *images.shape)


def draw(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


def tied_images(side: int = 5) -> Floats:
    """Images whose moments tie, by symmetry and by chance, in numbers that binary fractions do not hold."""
    rng = np.random.default_rng(0)
    images = np.zeros((8, side, side, 1))
    images[1] = 0.1
    images[2, side // 2, side // 2] = 0.3
    images[3] = images[3] + sum(moved(rng.normal(size=(1, side, side, 1)), "D4"))[0]
    pairs = moved(rng.normal(size=(1, side, side, 1)), "D4")
    images[4], images[5] = pairs[0, 0] + pairs[2, 0], pairs[0, 0] + pairs[5, 0]
    # Two marks as far from the middle: no moment tells the pattern from its mirror images, the numbers do.
    images[6, 0, 1], images[6, 1, 0], images[6, 4, 3], images[6, 3, 4] = 0.1, 0.2, 0.2, 0.1
    images[7, 0, 0], images[7, 0, 4], images[7, 4, 0], images[7, 4, 4] = 0.1, 0.7, 0.7, 0.1
    return images


def worst_error(network: Callable[[tf.Tensor], tf.Tensor], inputs: Floats, action: Action) -> float:
    return invariance_error(network, inputs, action, dtype=tf.float64).overall_relative


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("inputs", [draw(6, 4, 4, 2), draw(6, 5, 5, 1), tied_images(), draw(2, 1, 1, 2)], ids=len)
def test_images_turned_give_the_same(inputs: Floats, group: str, wrapper: str) -> None:
    network = WRAPPERS[wrapper](mlp(), TurnFrame(GROUPS[group](2, 2)))
    assert worst_error(network, inputs, ACTIONS[group]) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("group", GROUPS)
def test_a_whole_batch_compiled_gives_the_same(group: str, wrapper: str) -> None:
    inputs = np.concatenate([tied_images(), draw(9, 5, 5, 1)])
    network = WRAPPERS[wrapper](mlp(), TurnFrame(GROUPS[group](2, 2)))
    network(tf.constant(inputs))
    compiled = tf.function(network, jit_compile=True, autograph=False)
    assert worst_error(compiled, inputs, ACTIONS[group]) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_mirrored_images_are_others_for_turns_alone(wrapper: str) -> None:
    inputs = draw(6, 5, 5, 1)
    assert worst_error(WRAPPERS[wrapper](mlp(), TurnFrame(image_rotations(2, 2))), inputs, ACTIONS["D4"]) > 1e-2


@pytest.mark.parametrize("group", GROUPS)
def test_a_plain_network_is_not_invariant(group: str) -> None:
    inputs = draw(6, 5, 5, 1)
    assert worst_error(mlp(), inputs, ACTIONS[group]) > 1e-2


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(
    "inputs",
    [draw(5, 4, 2), draw(3, 4, 1), np.random.default_rng(0).integers(0, 2, (20, 4, 3)) * 0.1],
    ids=["random", "one feature", "ties"],
)
@pytest.mark.exhaustive
def test_sets_in_another_order_give_the_same(inputs: Floats, wrapper: str) -> None:
    network = WRAPPERS[wrapper](mlp(), SortFrame())
    assert worst_error(network, inputs, items(4)) < 1e-10
    if np.unique(inputs).size > 2:
        assert worst_error(mlp(), inputs, items(4)) > 1e-2


def test_sets_compile_for_batches_of_any_size() -> None:
    network = FrameAverage(mlp(), SortFrame())
    inputs = tf.constant(draw(5, 4, 2))
    expected = network(inputs)
    signature = [tf.TensorSpec([None, 4, 2], tf.float64)]
    for options in ({}, {"jit_compile": True}):
        compiled = tf.function(network, input_signature=signature, autograph=False, **options)
        assert compiled.get_concrete_function().structured_outputs.shape == [None, 3]
        assert_close(compiled(inputs), expected, 1e-10)


def rows_seen(wrapper: type[snt.Module], frame: Frame, inputs: Floats) -> int:
    """How many inputs the network is called on for each that it is given."""
    seen: list[int] = []
    wrapper(lambda x: seen.append(len(x)) or mlp()(x), frame)(tf.constant(inputs))
    (rows,) = seen
    return rows // len(inputs)


def test_a_few_calls_stand_for_the_group() -> None:
    for group, calls in CALLS.items():
        assert rows_seen(Canonicalise, TurnFrame(GROUPS[group](2, 2)), draw(3, 4, 4, 1)) == 1
        assert rows_seen(FrameAverage, TurnFrame(GROUPS[group](2, 2)), draw(3, 4, 4, 1)) == calls
        assert 2 * calls == GROUPS[group](4, 4).order
    assert rows_seen(Canonicalise, SortFrame(), draw(3, 6, 2)) == 1
    assert rows_seen(FrameAverage, SortFrame(), draw(3, 6, 2)) == 2  # And not 6! = 720.


@pytest.mark.parametrize("group", GROUPS)
def test_the_frame_is_images_of_the_input(group: str) -> None:
    inputs = draw(4, 5, 5, 2)
    all_images, frame, given = moved(inputs, group), TurnFrame(GROUPS[group](2, 2)), tf.constant(inputs)
    for images in (frame.images(given).numpy(), frame.canonical(given).numpy()[None]):
        for each in images:
            assert ((all_images == each).all(axis=(2, 3, 4)).sum(axis=0) == 1).all()


def test_the_standard_position_is_tall_with_most_on_top_and_left() -> None:
    images = TurnFrame(image_dihedral(2, 2)).canonical(tf.constant(draw(50, 6, 6, 1))).numpy()[..., 0]
    row, column = np.indices((6, 6)) - 2.5
    for weights in (row**2 - column**2, -row, -column):
        assert ((images * weights).sum(axis=(1, 2)) >= 0).all()


def jump(network: Callable[[tf.Tensor], tf.Tensor], start: Floats, step: Floats) -> float:
    """How much f changes over a tiny way across `start`, over the size of f."""
    sides = [network(tf.constant((start + factor * step)[None])).numpy() for factor in (-1e-7, 1e-7)]
    return np.abs(sides[0] - sides[1]).max() / np.abs(sides[0]).max()


@pytest.mark.parametrize("group", GROUPS)
def test_averages_jump_only_where_height_and_width_are_spread_alike(group: str) -> None:
    row, column = np.indices((5, 5))[..., None] - 2.0
    image = draw(5, 5, 1)
    spread, top = row**2 - column**2, -row
    image += (3 - (image * spread).sum()) * spread / (spread**2).sum()
    level = image - (image * top).sum() * top / (top**2).sum()  # As much on top as below.
    even = image - (image * spread).sum() * spread / (spread**2).sum()  # Spread alike.
    canonical, average = (wrapper(mlp(), TurnFrame(GROUPS[group](2, 2))) for wrapper in (Canonicalise, FrameAverage))
    assert jump(average, level, top) < 1e-5 and jump(canonical, level, top) > 1e-3
    assert jump(average, even, spread) > 1e-3 and jump(canonical, even, spread) > 1e-3
    assert jump(canonical, image + 1.0 * top, row * column) < 1e-5


def test_sorted_sets_jump_where_features_tie() -> None:
    items, step = draw(4, 2), np.zeros((4, 2))
    step[0] = 1
    canonical, average = (wrapper(mlp(), SortFrame()) for wrapper in (Canonicalise, FrameAverage))
    ties = [items.copy(), items.copy()]
    for feature, tied in enumerate(ties):
        tied[0, feature] = tied[1, feature]
    assert jump(canonical, ties[0], step) > 1e-3 and jump(canonical, ties[1], step) < 1e-5
    assert jump(average, ties[0], step) > 1e-3 and jump(average, ties[1], step) > 1e-3
    assert jump(average, items, step) < 1e-5
    # One feature alone: items that tie are equal. And an invariant network jumps nowhere.
    assert jump(FrameAverage(mlp(), SortFrame()), ties[0][:, :1], step[:, :1]) < 1e-5
    assert jump(Canonicalise(lambda x: tf.reduce_sum(x, axis=1), SortFrame()), ties[0], step) < 1e-5


def test_gradients_go_through_the_chosen_image() -> None:
    inputs = tf.constant(draw(2, 4, 4, 1))
    network = Canonicalise(mlp(), TurnFrame(image_dihedral(2, 2)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(network(inputs) ** 2)
    gradient = tape.gradient(loss, inputs).numpy()
    step = 1e-6 * draw(2, 4, 4, 1, seed=3)
    change = [tf.reduce_sum(network(inputs + sign * step) ** 2).numpy() for sign in (1, -1)]
    assert_close(np.array((change[0] - change[1]) / 2), np.array((gradient * step).sum()), 1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: TurnFrame("C4"), TypeError, r"action \(='C4'\) must be a PermutationGroup .* Use image_rotations"),
        (lambda: TurnFrame(cyclic_group(8)), ValueError, "symmetries of the square"),
        (lambda: TurnFrame(items(4)), ValueError, r"square images\. Use pixels"),
        (lambda: TurnFrame().canonical(tf.zeros([1, 4, 5, 1])), ValueError, "square"),
        (lambda: TurnFrame().images(tf.zeros([1, 4, 4])), ValueError, "images"),
        (lambda: SortFrame().images(tf.zeros([1, 4])), ValueError, "shape"),
        (lambda: Canonicalise(None, SortFrame()), TypeError, "network"),
        (lambda: FrameAverage(mlp(), "C4"), TypeError, "frame"),
        (lambda: FrameAverage(mlp(), SortFrame), TypeError, "frame"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def special(count: int, shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[np.float32]:
    """Inputs with NaN, both infinities and both zeros, also in one input, and many ties."""
    values = [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf]
    return np.random.default_rng(seed).choice(values, (count, *shape)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("group", GROUPS)
def test_positions_with_nan_and_infinity_are_the_same_for_all_images(group: str, compiled: bool) -> None:
    images = special(40, (3, 3, 1))
    images[:8, 0, :, :] = [[np.nan], [np.inf], [2.0]]
    canonical = tf.function(TurnFrame(ACTIONS[group]).canonical, jit_compile=compiled)
    first, *others = (canonical(tf.constant(each)).numpy() for each in moved(images, group).astype(np.float32))
    assert all(np.array_equal(first, other, equal_nan=True) for other in others)
    assert np.array_equal(np.sort(first, axis=None), np.sort(images, axis=None), equal_nan=True)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64], ids=lambda dtype: dtype.name)
def test_sorting_puts_nan_and_infinity_in_one_order(dtype: tf.DType) -> None:
    sets = special(40, (6, 2))
    orders = [np.random.default_rng(seed).permutation(6) for seed in range(4)]
    for sort in (SortFrame().canonical, pooling.sorted_items):
        first, *others = (tf.cast(sort(tf.constant(sets[:, each], dtype)), tf.float64).numpy() for each in orders)
        assert all(np.array_equal(first, other, equal_nan=True) for other in others)
    assert np.isnan(sets).any() and np.isinf(sets).any()
    down = pooling.sorted_items(tf.constant([[1.0], [np.nan], [-np.inf], [np.inf]], dtype))
    assert str(tf.cast(down, tf.float64).numpy().tolist()) == "[nan, inf, 1.0, -inf]"
