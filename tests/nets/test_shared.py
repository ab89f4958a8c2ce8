"""A layer with shared weights commutes with its group and has as many weights as Burnside counts, in each method."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import (
    PermutationGroup,
    alternating_group,
    cyclic_group,
    dihedral_group,
    direct_product,
    equivariant_weight_orbits,
    image_dihedral,
    image_rotations,
    image_translations,
    inverse,
    symmetric_group,
    trivial_group,
)
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.nets import shared
from weirdonetworks.nets.shared import EquivariantLinear
from weirdonetworks.nets.shared_maps import METHODS, shared_map, torus

Layer = Callable[[tf.Tensor], tf.Tensor]
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


def worst_error(layer: Layer, inputs: npt.NDArray[np.float64], elements: list[tuple[Ints, Ints]]) -> float:
    """The largest difference of f(s.x) and t.f(x), over the size of f(x)."""
    outputs = layer(tf.constant(inputs)).numpy()
    images = layer(tf.constant(np.concatenate([inputs[:, inverse(s)] for s, _ in elements]))).numpy()
    expected = np.concatenate([outputs[:, inverse(t)] for _, t in elements])
    return np.abs(images - expected).max() / np.abs(outputs).max()


@pytest.mark.parametrize(("name", "method"), CASES)
def test_layer_commutes_with_the_group(name: str, method: str) -> None:
    group_in, group_out = GROUPS[name]()
    inputs = draw(2, group_in.degree, 2)
    layer = disturbed(EquivariantLinear(group_in, group_out, channels=3, method=method), inputs)
    assert layer.applied == method
    assert worst_error(layer, inputs, paired(group_in, group_out)) < 1e-10


def test_a_dense_layer_does_not() -> None:
    weights, group = draw(6, 6, seed=2), cyclic_group(6)
    assert worst_error(lambda x: tf.einsum("bic,ij->bjc", x, weights), draw(2, 6, 2), paired(group, group)) > 1e-2


def test_the_other_action_is_seen_to_be_broken() -> None:
    inputs = draw(2, 6, 1)
    layer = disturbed(EquivariantLinear(cyclic_group(6)), inputs)
    reflected = dihedral_group(6)
    assert worst_error(layer, inputs, paired(reflected, reflected)) > 1e-2


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


@pytest.mark.parametrize("name", GROUPS)
def test_methods_compute_the_same_outputs_and_gradients(name: str) -> None:
    group_in, group_out = GROUPS[name]()
    inputs = tf.constant(draw(3, group_in.degree, 2))
    results = []
    for method in METHODS:
        if method == "fourier" and name not in TORI:
            continue
        apply = shared_map(group_in, group_out, method, 2, 3)
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
    assert worst_error(layer, inputs, paired(group, group)) < 1e-10


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
    elements = [(s, np.arange(2)) for s in group.elements()]
    assert worst_error(snt.Sequential(layers), draw(3, 16, 2), elements) < 1e-10


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: EquivariantLinear(3), TypeError, "group_in"),
        (lambda: EquivariantLinear(cyclic_group(3), "C3"), TypeError, "group_out"),
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


def test_other_channels_are_refused() -> None:
    layer = EquivariantLinear(cyclic_group(3))
    layer(tf.zeros([1, 3, 2]))
    with pytest.raises(ValueError, match="channels"):
        layer(tf.zeros([1, 3, 4]))


def test_all_layers_for_symmetries_are_here_by_name() -> None:
    assert {"GroupConv2D", "LearnedAugmentation", "LocalPool", "SoftEquivariant"} < set(shared.__all__)
    assert all(hasattr(shared, name) for name in shared.__all__)
