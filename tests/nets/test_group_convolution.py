"""Tests of group convolutions: exact equivariance, refused sizes, and plain convolutions as controls."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import PermutationGroup, image_dihedral, image_rotations, pixels, regular
from weirdonetworks.nets.group_convolution import GroupConv2D, GroupPool, LiftingConv2D
from weirdonetworks.testing import assert_equivariant, assert_invariant

Images = npt.NDArray[np.float64]
Layer = Callable[[tf.Tensor], tf.Tensor]
ORDERS = {"C4": 4, "D4": 8}
GROUPS = {"C4": image_rotations(2, 2), "D4": image_dihedral(2, 2)}
# All symmetries of the square form ten groups; these are one of each kind beside the two above.
SUBGROUPS = {
    "left and right": [[1, 0, 3, 2]],
    "up and down": [[2, 3, 0, 1]],
    "transposition": [[0, 2, 1, 3]],
    "half turn": [[3, 2, 1, 0]],
    "both mirrors": [[1, 0, 3, 2], [2, 3, 0, 1]],
    "both diagonals": [[0, 2, 1, 3], [3, 1, 2, 0]],
    "identity": [[0, 1, 2, 3]],
}


def draw(*shape: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).normal(size=shape)


def turned(images: Images, element: int) -> Images:
    """Turns images `[batch, height, width, ...]` by hand: first mirrored, for elements from 4 on, then turned."""
    return np.rot90(images[:, :, ::-1] if element >= 4 else images, element % 4, axes=(1, 2))


def product(first: int, second: int) -> int:
    """Finds the element that turns as the second does and then the first, by turning."""
    marks = draw(1, 2, 2)
    both = turned(turned(marks, second), first)
    (found,) = [each for each in range(8) if np.array_equal(turned(marks, each), both)]
    return found


def turned_maps(maps: Images, element: int, group: str) -> Images:
    """Turns maps `[batch, height, width, |G|, channels]` and their order by hand."""
    moved = np.empty_like(turned(maps, element))
    for other in range(ORDERS[group]):
        moved[:, :, :, product(element, other)] = turned(maps[:, :, :, other], element)
    return moved


def disturbed(layer: snt.Module, inputs: Images) -> snt.Module:
    layer(tf.constant(inputs))
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def assert_commutes(layer: Layer, inputs: Images, group: str, tolerance: float = 1e-10) -> None:
    """Asserts f(s.x) = s.f(x) with inputs and outputs turned by hand.

    Without the actions that the layers are made from, and also for images that are no squares, which have none.
    """
    outputs = layer(tf.constant(inputs)).numpy()
    act = lambda maps, s: turned_maps(maps, s, group) if maps.ndim == 5 else turned(maps, s)  # noqa: E731
    for s in range(ORDERS[group]):
        assert_close(layer(tf.constant(act(inputs, s))), act(outputs, s), tolerance)


def make(name: str, group: str, **options: object) -> tuple[snt.Module, tuple[int, ...]]:
    """Makes a layer; gives it with the last axes of its inputs."""
    if name == "lifting":
        return LiftingConv2D(2, group=GROUPS[group], **options), (2,)  # type: ignore[arg-type]
    return GroupConv2D(2, group=GROUPS[group], **options), (ORDERS[group], 2)  # type: ignore[arg-type]


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", ORDERS)
@pytest.mark.parametrize("name", ["lifting", "group"])
@pytest.mark.parametrize("padding", ["SAME", "VALID", 1, 2])
def test_every_size_commutes_or_is_refused(name: str, group: str, padding: str | int) -> None:
    done = refused = 0
    for stride in (1, 2, 3):
        for kernel_size in (1, 2, 3, 4, 5):
            for size in range(5, 9):
                layer, last = make(name, group, kernel_size=kernel_size, stride=stride, padding=padding)
                inputs = draw(1, size, size, *last)
                try:
                    disturbed(layer, inputs)
                except ValueError as error:
                    assert f"a side of {size}" in str(error)
                    assert not commutes_unchecked(kernel_size, stride, padding, size)
                    refused += 1
                    continue
                assert commutes_unchecked(kernel_size, stride, padding, size)
                if size <= 6 or stride == 2:
                    assert_commutes(layer, inputs, group)
                    done += 1
    assert done >= 10 and refused >= 10


def commutes_unchecked(kernel_size: int, stride: int, padding: str | int, size: int) -> bool:
    """Whether TensorFlow's own convolution with a filter that no turn changes commutes with a quarter turn."""
    filters = np.ones((kernel_size, kernel_size, 1, 1))
    pads = padding if isinstance(padding, str) else [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]
    images = draw(1, size, size, 1)
    if isinstance(padding, int) and size + 2 * padding < kernel_size:
        return False
    convolve = lambda x: tf.nn.conv2d(tf.constant(x), filters, stride, pads).numpy()  # noqa: E731
    return np.allclose(convolve(turned(images, 1)), turned(convolve(images), 1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["lifting", "group"])
def test_images_that_are_no_squares_commute(name: str) -> None:
    layer, last = make(name, "D4", kernel_size=3, stride=2)
    inputs = draw(2, 5, 9, *last)
    assert_commutes(disturbed(layer, inputs), inputs, "D4")


def test_a_plain_convolution_does_not_commute() -> None:
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(snt.Conv2D(2, 3), draw(1, 5, 5, 1), pixels(), tolerance=1e-2)


def test_layers_for_turns_do_not_commute_with_mirrors() -> None:
    inputs = draw(1, 5, 5, 2)
    pooled = snt.Sequential([disturbed(LiftingConv2D(2, 3), inputs), GroupPool("max")])
    assert_equivariant(pooled, inputs, pixels())
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(pooled, inputs, pixels(GROUPS["D4"]), tolerance=1e-2)


def test_maps_in_another_order_are_seen_to_be_wrong() -> None:
    inputs = draw(1, 5, 5, 4, 2)
    layer = disturbed(GroupConv2D(2, 3), inputs)
    swapped = lambda maps: layer(tf.gather(maps, [0, 2, 1, 3], axis=3))  # noqa: E731
    with pytest.raises(AssertionError, match="scaled error"):
        assert_commutes(swapped, inputs, "C4", tolerance=1e-2)


@pytest.mark.parametrize("group", ORDERS)
def test_lifting_is_a_convolution_with_turned_filters(group: str) -> None:
    inputs = draw(2, 6, 7, 3)
    layer = disturbed(LiftingConv2D(2, 3, GROUPS[group]), inputs)
    outputs, filters = layer(tf.constant(inputs)).numpy(), layer.w.numpy()
    for element in range(ORDERS[group]):
        expected = tf.nn.conv2d(tf.constant(inputs), turned(filters[None], element)[0], 1, "SAME") + layer.b
        assert_close(outputs[:, :, :, element], expected, 1e-10)


@pytest.mark.parametrize("group", ORDERS)
def test_a_group_convolution_turns_filters_and_their_order(group: str) -> None:
    inputs = draw(2, 5, 5, ORDERS[group], 3)
    layer = disturbed(GroupConv2D(2, 3, GROUPS[group]), inputs)
    outputs, filters = layer(tf.constant(inputs)).numpy(), layer.w.numpy()
    for element in range(ORDERS[group]):
        moved = turned_maps(filters[None].reshape(1, 3, 3, ORDERS[group], -1), element, group)
        bank = moved.reshape(3, 3, -1, 2)
        expected = tf.nn.conv2d(tf.constant(inputs.reshape(2, 5, 5, -1)), bank, 1, "SAME") + layer.b
        assert_close(outputs[:, :, :, element], expected, 1e-10)


def test_elements_multiply_as_turns_do() -> None:
    for group in GROUPS.values():
        table = regular(group).permutations(group.elements())
        for g, row in enumerate(table.tolist()):
            assert row == [product(g, h) for h in range(group.order)]
    marks = draw(1, 3, 3)
    for element, moved in enumerate(pixels(GROUPS["D4"]).apply(GROUPS["D4"].elements(), marks)):
        np.testing.assert_array_equal(moved, turned(marks, element))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SUBGROUPS)
def test_every_group_of_symmetries_of_the_square_works(name: str) -> None:
    group = PermutationGroup(SUBGROUPS[name])
    images, maps = draw(1, 5, 5, 2), draw(1, 5, 5, group.order, 2)
    lifting, convolution = LiftingConv2D(2, 3, group), GroupConv2D(2, 3, group, stride=2)
    for layer, inputs in ((lifting, images), (convolution, maps)):
        assert_equivariant(disturbed(layer, inputs), inputs, layer.action_in, layer.action_out)
        assert layer.w.shape.num_elements() == 9 * 2 * np.prod(inputs.shape[3:])
    network = snt.Sequential([lifting, tf.nn.relu, convolution, GroupPool("max")])
    assert_equivariant(network, images, pixels(group))
    with pytest.raises(AssertionError, match="must be equivariant"):  # The control: a quarter turn is no element.
        assert_equivariant(network, images, pixels(), tolerance=1e-2)


@pytest.mark.parametrize("name", ["lifting", "group"])
def test_initializers_reach_the_variables(name: str) -> None:
    constant = snt.initializers.Constant
    layer, last = make(name, "C4", kernel_size=3, w_init=constant(2.0), b_init=constant(1.0), padding="VALID")
    outputs = layer(tf.ones([1, 3, 3, *last]))
    np.testing.assert_array_equal(outputs, np.full([1, 1, 1, 4, 2], 1 + 2.0 * 9 * np.prod(last)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_every_precision_gives_its_own_type_back(dtype: tf.DType) -> None:
    layers = [LiftingConv2D(2, 3), GroupConv2D(2, 3), GroupPool(over="all")]
    inputs = tf.constant(draw(2, 5, 5, 1))
    outputs = snt.Sequential(layers)(tf.cast(inputs, dtype))
    assert outputs.dtype == dtype
    exact = snt.Sequential([LiftingConv2D(2, 3), GroupConv2D(2, 3), GroupPool(over="all")])
    exact(inputs)
    for one, other in zip(exact.variables, snt.Sequential(layers).variables, strict=True):
        one.assign(tf.cast(other, tf.float64))
    assert_close(tf.cast(outputs, tf.float64), exact(inputs), {tf.float16: 1e-2, tf.bfloat16: 5e-2}.get(dtype, 1e-12))


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", ORDERS)
@pytest.mark.parametrize("pooling", ["mean", "max", "moments"])
def test_a_network_is_invariant(group: str, pooling: str) -> None:
    layers = [
        LiftingConv2D(3, 3, GROUPS[group], stride=2),
        tf.nn.relu,
        GroupConv2D(4, 3, GROUPS[group], padding="VALID"),
        tf.tanh,
        GroupPool(pooling, over="all"),
        snt.nets.MLP([5, 2]),
    ]
    inputs = draw(2, 11, 11, 1)
    assert_invariant(snt.Sequential(layers), inputs, pixels(GROUPS[group]))
    layers[4] = lambda maps: tf.reduce_mean(maps, axis=[1, 2])[:, 0]  # One element alone is not invariant.
    with pytest.raises(AssertionError, match="must be invariant"):
        assert_invariant(snt.Sequential(layers[:5]), inputs, pixels(GROUPS[group]), tolerance=1e-3)


def test_pooled_over_elements_turned_maps_give_turned_images() -> None:
    inputs = draw(1, 7, 7, 2)
    network = snt.Sequential([disturbed(LiftingConv2D(3, 3, GROUPS["D4"]), inputs), GroupPool("max")])
    assert_equivariant(network, inputs, pixels(GROUPS["D4"]))


@pytest.mark.parametrize("name", ["lifting", "group"])
def test_number_of_weights(name: str) -> None:
    layer, last = make(name, "D4", kernel_size=3)
    layer(tf.zeros([1, 5, 5, *last]))
    assert layer.w.shape.num_elements() == 9 * np.prod(last) * 2 and layer.b.shape == [2]


@pytest.mark.parametrize("name", ["lifting", "group"])
def test_variance_at_the_start(name: str) -> None:
    layer = {"lifting": LiftingConv2D, "group": GroupConv2D}[name](300, 3, padding="VALID")
    inputs = draw(2, 9, 9, *((3,) if name == "lifting" else (4, 3)))
    outputs = layer(tf.constant(inputs, tf.float32)).numpy()
    assert abs((outputs**2).mean() - 1) < 0.1


def test_an_error_names_sizes_that_work() -> None:
    with pytest.raises(ValueError, match="side of 27 or 29"):
        LiftingConv2D(1, 3, stride=2)(tf.zeros([1, 28, 28, 1]))
    with pytest.raises(ValueError, match="odd kernel_size"):
        LiftingConv2D(1, 2)(tf.zeros([1, 28, 28, 1]))
    with pytest.raises(ValueError, match="smaller kernel_size"):
        LiftingConv2D(1, 41, padding="VALID")(tf.zeros([1, 28, 28, 1]))
    for size in (27, 29):
        LiftingConv2D(1, 3, stride=2)(tf.zeros([1, size, size, 1]))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LiftingConv2D(0, 3), ValueError, "filters"),
        (lambda: LiftingConv2D(2, 2.5), TypeError, "kernel_size"),
        (lambda: LiftingConv2D(2, 3, "C4"), TypeError, r"group \(='C4'\) must be .* Use image_rotations\(2, 2\)"),
        (lambda: GroupConv2D(2, 3, image_rotations(3, 3)), ValueError, r"Use image_rotations\(2, 2\)"),
        (lambda: LiftingConv2D(2, 3, pixels(side=5)), ValueError, r"images of any size. Use pixels\(group\)"),
        (lambda: LiftingConv2D(2, 3, stride=0), ValueError, "stride"),
        (lambda: LiftingConv2D(2, 3, padding="FULL"), ValueError, "padding"),
        (lambda: LiftingConv2D(2, 3, padding=-1), ValueError, "padding"),
        (lambda: LiftingConv2D(2, 5, padding="VALID")(tf.zeros([1, 4, 4, 1])), ValueError, "a side of 4"),
        (lambda: GroupConv2D(2, 3)(tf.zeros([1, 4, 4, 8, 1])), ValueError, "the 4 elements"),
        (lambda: GroupConv2D(2, 3)(tf.zeros([1, 4, 4, 4])), ValueError, "elements"),
        (lambda: GroupConv2D(2, 3)(tf.zeros([1, 4, 4, 4, 0])), ValueError, "all sizes known and above 0"),
        (lambda: LiftingConv2D(2, 3)(tf.zeros([1, 4, 4, 0])), ValueError, "at least one channel"),
        (lambda: GroupConv2D(2, 3)(tf.zeros([1, 4, 4, 4, 1], tf.int32)), ValueError, "floating"),
        (lambda: GroupPool(over="space"), ValueError, "over"),
        (lambda: GroupPool("median"), ValueError, "pooling"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_other_channels_are_refused() -> None:
    layer = LiftingConv2D(2, 3)
    layer(tf.zeros([1, 5, 5, 1]))
    with pytest.raises(ValueError, match="channels"):
        layer(tf.zeros([1, 5, 5, 2]))


def test_other_elements_are_refused_at_every_call() -> None:
    layer = GroupConv2D(2, 3)
    layer(tf.zeros([1, 5, 5, 4, 1]))
    with pytest.raises(ValueError, match="the 4 elements"):
        layer(tf.zeros([1, 5, 5, 8, 1]))


def test_the_action_of_a_group_does_for_the_group() -> None:
    for module in (LiftingConv2D, GroupConv2D):
        layer = module(2, 3, group=pixels(GROUPS["D4"]))
        assert layer.group is GROUPS["D4"] and layer.action_out.on((5, 5, 8)).positions == 200


@pytest.mark.parametrize("name", ["lifting", "group"])
def test_a_size_refused_leaves_no_variables(name: str) -> None:
    layer, last = make(name, "C4", kernel_size=3, stride=2)
    with pytest.raises(ValueError, match="a side of 28"):
        layer(tf.zeros([1, 28, 28, *last]))
    assert not hasattr(layer, "w")
    layer(tf.zeros([1, 5, 5, *last[:-1], 3]))
    assert layer.w.shape[-2] == 3
