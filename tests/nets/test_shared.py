"""Tests of the equivariant linear layer: equivariance, and Burnside's count of weights, by each method."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

import weirdonetworks
from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import (
    PermutationAction,
    PermutationGroup,
    alternating_group,
    coordinates,
    cyclic_group,
    dihedral_group,
    direct_product,
    equivariant_weight_orbits,
    image_dihedral,
    image_rotations,
    image_translations,
    independent,
    inverse,
    items,
    pixels,
    points,
    regular,
    sign_changes,
    symmetric_group,
    trivial,
    trivial_group,
)
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.algebra.weights.weight_orbits import paired_permutations
from weirdonetworks.nets.shared import EquivariantLinear
from weirdonetworks.nets.shared_maps import METHODS, shared_map, torus
from weirdonetworks.testing import assert_equivariant

Pair = tuple[PermutationGroup, PermutationGroup]


def on_grid(rows: PermutationGroup, columns: PermutationGroup) -> PermutationGroup:
    """The permutations of rows and of columns of a table, on its entries."""
    n, m = rows.degree, columns.degree
    moved = [(s[:, None] * m + np.arange(m)).ravel() for s in rows.generators]
    return PermutationGroup([*moved, *((np.arange(n)[:, None] * m + s).ravel() for s in columns.generators)])


def on_pairs(group: PermutationGroup) -> PermutationGroup:
    """A group on ordered pairs of its points."""
    n = group.degree
    return PermutationGroup([(s[:, None] * n + s).ravel() for s in group.generators])


GROUPS: dict[str, Callable[[], Pair]] = {
    "trivial": lambda: (trivial_group(3),) * 2,
    "C6": lambda: (cyclic_group(6),) * 2,
    "D5": lambda: (dihedral_group(5),) * 2,
    "S5": lambda: (symmetric_group(5),) * 2,
    "A4": lambda: (alternating_group(4),) * 2,
    "S2 x S3 on a table": lambda: (on_grid(symmetric_group(2), symmetric_group(3)),) * 2,
    "S3 on points and pairs": lambda: (symmetric_group(3), on_pairs(symmetric_group(3))),
    "S4 on pairs and points": lambda: (on_pairs(symmetric_group(4)), symmetric_group(4)),
    "C2 x C3, two orbits": lambda: (direct_product(cyclic_group(2), cyclic_group(3)),) * 2,
    "C4 on images, channels": lambda: (image_rotations(3, 3, 2), image_rotations(3, 3)),
    "D4 on images of two sizes": lambda: (image_dihedral(3, 3), image_dihedral(4, 4)),
    "shifts": lambda: (image_translations(3, 4), image_translations(3, 4)),
    "shifts, channels": lambda: (image_translations(2, 5, 2), image_translations(2, 5, 3)),
    "shifts along one axis": lambda: (image_translations(1, 5),) * 2,
    "C6 on 6 and 3 points": lambda: (cyclic_group(6), cyclic_group(3)),
    "invariant under S4": lambda: (symmetric_group(4), trivial_group(2)),
    "invariant under shifts": lambda: (image_translations(3, 2), trivial_group(1)),
}
TORI = ("C6", "shifts", "shifts, channels", "shifts along one axis")
SQUARE = image_dihedral(2, 2)
CASES = [(name, method) for name in GROUPS for method in METHODS if method != "fourier" or name in TORI]


def paired(group_in: PermutationGroup, group_out: PermutationGroup) -> list[tuple[Ints, Ints]]:
    """All pairs of permutations that the pairs of generators generate, found one product after another."""
    partners = group_out.generators
    if len(partners) == 1:
        partners = np.repeat(partners, len(group_in.generators), axis=0)
    generators = list(zip(group_in.generators, partners, strict=True))
    start = np.arange(group_in.degree), np.arange(group_out.degree)
    found, newest = {tuple(map(bytes, start)): start}, [start]
    while newest:
        products = [(s[a], t[b]) for a, b in newest for s, t in generators]
        newest = []
        for product in products:
            if (key := tuple(map(bytes, product))) not in found:
                found[key] = product
                newest.append(product)
    return list(found.values())


def disturbed(layer: EquivariantLinear, inputs: npt.NDArray[np.float64], seed: int = 1) -> EquivariantLinear:
    """Makes the variables and gives them all values, biases too."""
    layer(tf.constant(inputs))
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def draw(*shape: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "method"), CASES)
def test_layer_commutes_with_the_group(name: str, method: str) -> None:
    group_in, group_out = GROUPS[name]()
    inputs = draw(2, group_in.degree, 2)
    layer = disturbed(EquivariantLinear(group_in, group_out, channels=3, method=method), inputs)
    assert layer.applied == method
    assert_equivariant(layer, inputs, items(group_in), items(group_out))


def test_a_dense_layer_does_not() -> None:
    weights = draw(6, 6, seed=2)
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(
            lambda x: tf.einsum("bic,ij->bjc", x, weights), draw(2, 6, 2), items(cyclic_group(6)), tolerance=1e-2
        )


def test_the_other_action_is_seen_to_be_broken() -> None:
    inputs = draw(2, 6, 1)
    layer = disturbed(EquivariantLinear(cyclic_group(6)), inputs)
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(layer, inputs, items(dihedral_group(6)), tolerance=1e-2)


@pytest.mark.parametrize("name", GROUPS)
def test_weights_are_as_many_as_burnside_counts(name: str) -> None:
    group_in, group_out = GROUPS[name]()
    elements = paired(group_in, group_out)
    fixed = [(np.sum(s == np.arange(len(s))), np.sum(t == np.arange(len(t)))) for s, t in elements]
    layer = EquivariantLinear(group_in, group_out, channels=3)
    layer(tf.zeros([1, group_in.degree, 2]))
    assert layer.w.shape.as_list() == [sum(a * b for a, b in fixed) / len(elements), 2, 3]
    assert layer.b.shape.as_list() == [sum(b for _, b in fixed) / len(elements), 3]


@pytest.mark.parametrize("name", GROUPS)
def test_weights_stand_where_the_algebra_puts_them(name: str) -> None:
    group_in, group_out = GROUPS[name]()
    inputs = np.eye(group_in.degree)
    layer = disturbed(EquivariantLinear(group_in, group_out, with_bias=False), inputs)
    labels = equivariant_weight_orbits(group_in, group_out, 1).orbits.labels
    assert_close(layer(tf.constant(inputs)).numpy()[..., 0].T, layer.w.numpy().ravel()[labels], 1e-12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", GROUPS)
def test_methods_compute_the_same_outputs_and_gradients(name: str) -> None:
    group_in, group_out = GROUPS[name]()
    inputs = tf.constant(draw(3, group_in.degree, 2))
    results = []
    one, other = (each.position_group() for each in paired_permutations(group_in, group_out))
    for method in METHODS:
        if method == "fourier" and name not in TORI:
            continue
        apply = shared_map(one, other, method, 2, 3)
        weights = tf.constant(draw(len(apply.fan_in), 2, 3, seed=1))
        with tf.GradientTape() as tape:
            tape.watch([inputs, weights])
            outputs = apply(inputs, weights)
            loss = tf.reduce_sum(outputs**3)
        results.append((apply.fan_in, outputs, *tape.gradient(loss, [inputs, weights])))
    assert len(results) == 2 + (name in TORI)
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            assert_close(one, other, 1e-10)


@pytest.mark.parametrize(
    ("name", "method"), [("C6", "fourier"), ("shifts, channels", "fourier"), ("S4 on pairs and points", "sum")]
)
@pytest.mark.slow
def test_methods_compile_for_batches_of_any_size(name: str, method: str) -> None:
    group_in, group_out = GROUPS[name]()
    inputs = draw(3, group_in.degree, 2)
    layer = disturbed(EquivariantLinear(group_in, group_out, channels=3, method=method), inputs)

    def step(points: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(points)
            outputs = layer(points)
            loss = tf.reduce_sum(outputs**3)
        return [outputs, *tape.gradient(loss, [points, layer.w, layer.b])]

    signature = [tf.TensorSpec([None, group_in.degree, 2], tf.float64)]
    for options in ({}, {"jit_compile": True}):
        compiled = tf.function(step, input_signature=signature, autograph=False, **options)
        assert compiled.get_concrete_function().structured_outputs[0].shape == [None, group_out.degree, 3]
        for batch in (1, 3):
            points = tf.constant(inputs[:batch])
            for one, other in zip(compiled(points), step(points), strict=True):
                assert_close(one, other, 1e-10)


@pytest.mark.parametrize("method", ["dense", "fourier"])
@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 4), (1, 6), (3, 3)])
def test_shifts_make_a_circular_convolution(height: int, width: int, method: str) -> None:
    images = draw(2, height, width, 2)
    layer = EquivariantLinear(image_translations(height, width), channels=3, with_bias=False, method=method)
    disturbed(layer, images)
    kernel = tf.reshape(layer.w, [height, width, 2, 3])
    torus_images = np.pad(images, [(0, 0), (0, height - 1), (0, width - 1), (0, 0)], mode="wrap")
    expected = tf.nn.conv2d(tf.constant(torus_images), kernel, 1, "VALID")
    assert_close(layer(tf.constant(images)), tf.reshape(expected, [2, height * width, 3]), 1e-10)


@pytest.mark.parametrize("method", ["dense", "sum"])
def test_all_permutations_leave_identity_and_mean(method: str) -> None:
    layer = disturbed(EquivariantLinear(symmetric_group(7), with_bias=False, method=method), np.eye(7))
    same, other = layer.w.numpy().ravel()
    expected = (same - other) * np.eye(7) + other * np.ones((7, 7))
    assert_close(layer(tf.constant(np.eye(7))).numpy()[..., 0], expected, 1e-12)


@pytest.mark.parametrize(
    ("group", "channels", "expected"),
    [
        (symmetric_group(100), 16, "sum"),
        (symmetric_group(5), 1, "dense"),
        (on_pairs(symmetric_group(6)), 4, "dense"),
        (on_grid(symmetric_group(20), symmetric_group(20)), 16, "sum"),
        (image_rotations(12, 12), 4, "dense"),
        (image_translations(28, 28), 1, "fourier"),
        (image_translations(64, 64), 3, "fourier"),
        (cyclic_group(16), 1, "dense"),
        (cyclic_group(128), 16, "fourier"),
    ],
    ids=str,
)
def test_the_cheapest_method_is_taken(group: PermutationGroup, channels: int, expected: str) -> None:
    assert shared_map(group, group, "auto", channels, channels).method == expected


def test_a_large_group_of_shifts_makes_no_table_of_pairs() -> None:
    layer = EquivariantLinear(image_translations(200, 200))  # 1.6e9 pairs, which the algebra refuses.
    assert layer(tf.zeros([1, 200, 200, 1])).shape.as_list() == [1, 40_000, 1]
    with pytest.raises(ValueError, match="weights"):
        EquivariantLinear(image_translations(200, 200), method="dense")(tf.zeros([1, 200, 200, 1]))


def test_tori_are_found_and_nothing_else() -> None:
    assert torus(image_translations(3, 4)).tolist() == [np.arange(12).reshape(3, 4).tolist()]
    shuffled = np.random.default_rng(0).permutation(12)
    moved = PermutationGroup([inverse(shuffled)[s[shuffled]] for s in image_translations(3, 4).generators])
    points = torus(moved)
    for axis, generator in enumerate(moved.generators):
        np.testing.assert_array_equal(generator[points], np.roll(points, -1, axis + 1))
    step = np.roll(np.arange(8), -1)
    # Not free; not commuting; not the product of its generators; of orders that do not cover the points.
    for group in (
        direct_product(cyclic_group(2), cyclic_group(3)),
        dihedral_group(4),
        PermutationGroup([step, step[step]]),
        PermutationGroup([np.concatenate([np.roll(np.arange(2), 1), 2 + np.roll(np.arange(4), 1)])]),
    ):
        assert torus(group) is None


def test_shuffled_points_on_a_torus_are_transformed_right() -> None:
    shuffled = np.random.default_rng(1).permutation(12)
    group = PermutationGroup([inverse(shuffled)[s[shuffled]] for s in image_translations(3, 4).generators])
    inputs = draw(2, 12, 2)
    layer = disturbed(EquivariantLinear(group, channels=2, method="fourier"), inputs)
    assert_equivariant(layer, inputs, items(group))


@pytest.mark.parametrize(
    ("name", "method"), [("C6", "fourier"), ("S5", "sum"), ("S3 on points and pairs", "dense"), ("C6", "dense")]
)
def test_variance_at_the_start(name: str, method: str) -> None:
    group_in, group_out = GROUPS[name]()
    layer = EquivariantLinear(group_in, group_out, channels=4000, method=method)
    outputs = layer(tf.constant(draw(40, group_in.degree, 3), tf.float32)).numpy()
    np.testing.assert_allclose((outputs**2).mean(axis=(0, 2)), 1, atol=0.25)
    assert abs((outputs**2).mean() - 1) < 0.12


def test_points_may_have_axes_and_one_channel_none() -> None:
    layer = disturbed(EquivariantLinear(image_rotations(3, 3), channels=2), draw(1, 9, 1))
    images = draw(2, 3, 3, 1)
    outputs = layer(tf.constant(images)).numpy()
    assert outputs.shape == (2, 9, 2)
    for shape in ([2, 9], [2, 9, 1], [2, 3, 3]):
        assert_close(layer(tf.constant(images.reshape(shape))), outputs, 1e-12)


def test_a_stack_is_invariant() -> None:
    group = image_dihedral(4, 4)
    layers = [EquivariantLinear(group, channels=5), tf.nn.relu, EquivariantLinear(group, trivial_group(2), channels=3)]
    assert_equivariant(snt.Sequential(layers), draw(3, 16, 2), items(group), trivial(2))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: EquivariantLinear(3), TypeError, "action_in"),
        (lambda: EquivariantLinear(cyclic_group(3), "C3"), TypeError, "action_out"),
        (lambda: EquivariantLinear(coordinates(sign_changes(2))), TypeError, "action_in .* must permute positions"),
        (
            lambda: EquivariantLinear(symmetric_group(3), symmetric_group(4)),
            ValueError,
            "must extend to a homomorphism",
        ),
        (lambda: EquivariantLinear(cyclic_group(3), cyclic_group(6)), ValueError, "must extend to a homomorphism"),
        (lambda: EquivariantLinear(pixels(side=4), pixels()), ValueError, "Pass its side"),
        (lambda: EquivariantLinear(pixels(side=4))(tf.zeros([1, 5, 5, 1])), ValueError, r"must begin with \[4, 4\]"),
        (lambda: EquivariantLinear(pixels())(tf.zeros([1, 4, 5, 1])), ValueError, "must be square"),
        (lambda: EquivariantLinear(cyclic_group(3), channels=0), ValueError, "channels"),
        (lambda: EquivariantLinear(cyclic_group(3), method="fft"), ValueError, "method"),
        (lambda: EquivariantLinear(symmetric_group(3), method="fourier")(tf.zeros([1, 3])), ValueError, "fourier"),
        (lambda: EquivariantLinear(symmetric_group(3), cyclic_group(3))(tf.zeros([1, 3])), ValueError, "generators"),
        (lambda: EquivariantLinear(cyclic_group(6))(tf.zeros([1, 2, 6])), ValueError, "must be"),
        (lambda: EquivariantLinear(cyclic_group(6))(tf.zeros([1, 12])), ValueError, "must be"),
        (lambda: EquivariantLinear(cyclic_group(6))(tf.zeros([1, 6, 0])), ValueError, "above 0"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


ACTIONS: dict[str, tuple[PermutationAction, PermutationAction | None, tuple[int, ...]]] = {
    "pixels": (pixels(), None, (4, 4)),
    "pixels of one side to another": (pixels(SQUARE), pixels(SQUARE, side=3), (4, 4)),
    "a mirror alone": (pixels(PermutationGroup([[1, 0, 3, 2]])), None, (3, 3)),
    "group maps": (pixels(SQUARE) * regular(SQUARE), None, (2, 2, 8)),
    "pixels to group maps": (pixels(side=3), pixels(side=2) * regular(image_rotations(2, 2)), (3, 3)),
    "items and pairs": (items(4) * items(4), items(4), (4, 4)),
    "rows and columns": (independent(items(2), items(3)), None, (2, 3)),
    "sums": (items(cyclic_group(4)) + trivial(2), items(cyclic_group(4)) + regular(cyclic_group(4)), (6,)),
    "regular, from the right": (regular(symmetric_group(3), right=True), items(3), (6,)),
    "the sign of a permutation": (items(3), items(PermutationGroup([[1, 0], [0, 1]])), (3,)),
    "invariant": (pixels(SQUARE), trivial(3), (3, 3)),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_layer_commutes_with_actions_on_several_axes(name: str) -> None:
    action_in, action_out, sizes = ACTIONS[name]
    inputs = draw(2, *sizes, 2)
    layer = disturbed(EquivariantLinear(action_in, action_out, channels=3), inputs)
    assert layer(tf.constant(inputs)).shape == (2, *(sizes if action_out is None else action_out.known_sizes()), 3)
    assert_equivariant(layer, inputs, action_in, action_out)
    counts = draw(*sizes, 1, seed=3)  # The control: inputs that count differently at each position.
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(lambda x: layer(x * counts), inputs, action_in, action_out, tolerance=1e-2)


def test_an_action_and_its_group_of_points_make_the_same_layer() -> None:
    images = draw(2, 3, 3, 2)
    one = disturbed(EquivariantLinear(image_dihedral(3, 3), channels=3), images)
    other = disturbed(EquivariantLinear(pixels(SQUARE), channels=3), images)
    assert other(tf.constant(images)).shape == (2, 3, 3, 3)
    assert_close(other(tf.constant(images)).numpy().reshape(2, 9, 3), one(tf.constant(images)), 1e-12)
    assert_close(EquivariantLinear(points(cyclic_group(4)))(tf.ones([1, 2, 2, 1])).shape, [1, 4, 1], 0)


def test_an_action_of_any_side_keeps_the_first() -> None:
    layer = EquivariantLinear(pixels())
    layer(tf.zeros([1, 4, 4, 1]))
    with pytest.raises(ValueError, match=r"must have \[4, 4\] positions and 1 channels, as at the first call"):
        layer(tf.zeros([1, 5, 5, 1]))


def test_a_huge_group_is_paired_with_itself_at_once() -> None:
    layer = EquivariantLinear(symmetric_group(1000), symmetric_group(1000))
    assert layer(tf.ones([1, 1000])).shape == [1, 1000, 1]


def test_initializers_reach_the_variables() -> None:
    constant = snt.initializers.Constant
    layer = EquivariantLinear(cyclic_group(3), channels=2, w_init=constant(3.0), b_init=constant(5.0))
    np.testing.assert_array_equal(layer(tf.ones([1, 3, 2])), np.full([1, 3, 2], 3.0 * 6 + 5))
    assert layer.w.shape == [3, 2, 2] and layer.b.shape == [1, 2]


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
@pytest.mark.parametrize(
    ("group", "applied"), [(cyclic_group(1024), "fourier"), (symmetric_group(3000), "sum"), (cyclic_group(4), "dense")]
)
@pytest.mark.exhaustive
def test_every_precision_gives_its_own_type_back(group: PermutationGroup, applied: str, dtype: tf.DType) -> None:
    layer = EquivariantLinear(group)
    inputs = tf.cast(tf.fill([2, group.degree], 30.0), dtype)
    outputs = layer(inputs)
    assert outputs.dtype == dtype and layer.applied == applied
    labels = np.bincount(equivariant_weight_orbits(group, group, 1).orbits.labels[0])
    expected = 30 * labels @ tf.cast(layer.w, tf.float64).numpy()[:, 0, 0]
    size = 30 * labels @ np.abs(tf.cast(layer.w, tf.float64).numpy()[:, 0, 0])
    error = np.abs(tf.cast(outputs, tf.float64).numpy() - expected).max() / size
    assert error < {tf.float16: 2e-3, tf.bfloat16: 1e-2, tf.float64: 1e-12}[dtype]


def test_an_initializer_without_a_bias_is_refused() -> None:
    with pytest.raises(ValueError, match="b_init must be None where with_bias is False"):
        EquivariantLinear(cyclic_group(3), with_bias=False, b_init=snt.initializers.Ones())


def test_other_channels_are_refused() -> None:
    layer = EquivariantLinear(cyclic_group(3))
    layer(tf.zeros([1, 3, 2]))
    with pytest.raises(ValueError, match="channels"):
        layer(tf.zeros([1, 3, 4]))


def test_all_layers_for_symmetries_are_in_the_package_by_name() -> None:
    names = {"EquivariantLinear", "GroupConv2D", "LearnedAugmentation", "LocalPool", "SoftEquivariant"}
    assert names < set(weirdonetworks.__all__)
    assert all(issubclass(getattr(weirdonetworks, name), snt.Module) for name in names)
