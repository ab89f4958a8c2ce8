"""Tests of InvariantMLP: invariance under each element of each group, with a polynomial network as control."""

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import (
    Action,
    MatrixGroup,
    PermutationGroup,
    alternating_group,
    coordinates,
    cyclic_group,
    dihedral_group,
    direct_product,
    icosahedral_rotations,
    image_dihedral,
    image_rotations,
    image_translations,
    items,
    molien_series,
    octahedral_rotations,
    pixels,
    regular,
    sign_changes,
    symmetric_group,
    trivial,
    trivial_group,
)
from weirdonetworks.algebra.actions import as_action
from weirdonetworks.algebra.actions.transforms import rotation
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets.polynomial.invariant import InvariantMLP
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialMLP
from weirdonetworks.testing import assert_invariant

Group = PermutationGroup | MatrixGroup
GROUPS = {
    "C5": (lambda: cyclic_group(5), 3),
    "D6": (lambda: dihedral_group(6), 3),
    "S4": (lambda: symmetric_group(4), 4),
    "A4": (lambda: alternating_group(4), 3),
    "C2xC3": (lambda: direct_product(cyclic_group(2), cyclic_group(3)), 3),
    "rotations": (lambda: image_rotations(4, 4), 2),
    "dihedral": (lambda: image_dihedral(3, 3, 2), 2),
    "translations": (lambda: image_translations(3, 4), 2),
    "signs": (lambda: sign_changes(3), 4),
    "octahedral": (octahedral_rotations, 4),
    "icosahedral": (icosahedral_rotations, 6),
    "floating": (lambda: MatrixGroup([[[0.0, -1.0], [1.0, 0.0]]]), 4),
}
SMALL = ["C5", "S4", "signs", "octahedral"]


def relative_error(network: InvariantMLP | PolynomialMLP, group: Group) -> float:
    """The largest change of the outputs over all elements, over their size."""
    inputs = np.random.default_rng(0).normal(size=(6, group.dimension))
    assert network(tf.constant(inputs)).numpy().std(axis=0).min() > 0
    return invariance_error(network, inputs, group, dtype=tf.float64).overall_relative


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", GROUPS)
def test_network_is_invariant(name: str) -> None:
    make, degree = GROUPS[name]
    assert relative_error(InvariantMLP(make(), degree, [16, 3], activation=tf.tanh), make()) < 1e-10


@pytest.mark.parametrize("name", SMALL)
def test_network_on_fundamental_invariants_is_invariant(name: str) -> None:
    make, degree = GROUPS[name]
    network = InvariantMLP(make(), degree, [16, 3], invariants="fundamental", activation=tf.tanh)
    assert relative_error(network, make()) < 1e-10


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", GROUPS)
def test_polynomial_network_is_not(name: str) -> None:
    make, _ = GROUPS[name]
    assert relative_error(PolynomialMLP([16, 3], 2, activation=tf.tanh), make()) > 1e-3


@pytest.mark.parametrize("name", ["C5", "D6", "S4", "signs", "octahedral", "rotations"])
def test_there_are_as_many_invariants_as_the_molien_series_says(name: str) -> None:
    make, degree = GROUPS[name]
    assert InvariantMLP(make(), degree, [1]).num_invariants == sum(molien_series(make(), degree)[1:])


def test_fundamental_invariants_of_the_symmetric_group_are_its_degrees() -> None:
    network = InvariantMLP(symmetric_group(5), 5, [1], invariants="fundamental")
    assert network.num_invariants == 5


def test_features_are_orbit_sums() -> None:
    features = InvariantMLP(cyclic_group(3), 2, [1]).features(tf.constant([[1.0, 2.0, 4.0]], tf.float64)).numpy()[0]
    # The sum has variance 3; the squares mean 3 and variance 6; the products of neighbours variance 3.
    np.testing.assert_allclose(features, [7 / 3**0.5, (21 - 3) / 6**0.5, (2 + 8 + 4) / 3**0.5], rtol=1e-12)


@pytest.mark.parametrize("name", ["C5", "S4", "signs", "octahedral", "rotations"])
def test_features_are_standardised(name: str) -> None:
    make, _ = GROUPS[name]
    network = InvariantMLP(make(), 2, [1])
    inputs = np.random.default_rng(1).normal(size=(40_000, network.input_size))
    features = network.features(tf.constant(inputs)).numpy()
    assert np.abs(features.mean(axis=0)).max() < 0.05
    assert np.abs(features.std(axis=0) - 1).max() < 0.1


def test_features_in_pieces_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network = InvariantMLP(image_rotations(4, 4), 2, [1])
    inputs = tf.constant(np.random.default_rng(2).normal(size=(3, 4, 4, 1)))
    whole = network.features(inputs).numpy()
    monkeypatch.setattr("weirdonetworks.nets.polynomial.invariant.TERMS", 7)
    np.testing.assert_allclose(network.features(inputs).numpy(), whole, rtol=1e-12)


def test_under_the_trivial_group_all_monomials_are_features() -> None:
    network = InvariantMLP(trivial_group(4), 3, [1])
    layer = PolynomialMLP([1], 3)
    layer(tf.zeros([1, 4]))
    assert network.num_invariants == len(layer.polynomial.monomials()) - 1


def test_bad_options_are_refused() -> None:
    group = cyclic_group(3)
    with pytest.raises(ValueError, match=r"degree \(=0\) must be at least 1"):
        InvariantMLP(group, 0, [1])
    with pytest.raises(ValueError, match="output_sizes must hold"):
        InvariantMLP(group, 2, [])
    with pytest.raises(ValueError, match=r"invariants \(='all'\) must be one of orbit_sums, fundamental"):
        InvariantMLP(group, 2, [1], invariants="all")
    with pytest.raises(TypeError, match=r"must be an Action, .* a PermutationGroup, a MatrixGroup"):
        InvariantMLP([[1, 2, 0]], 2, [1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too low"):
        InvariantMLP(sign_changes(2), 1, [1])
    with pytest.raises(ValueError, match="complex"):
        InvariantMLP(MatrixGroup([[[0.0, 1j], [-1j, 0.0]]]), 1, [1])
    for kind in ("orbit_sums", "fundamental"):
        with pytest.raises(ValueError, match=r"degree \(=3\) gives 80622640 monomials in 784.*at most 33333333\."):
            InvariantMLP(image_rotations(28, 28), 3, [1], invariants=kind)
    with pytest.raises(TypeError, match=r"output_sizes \(=8\) must be a list of integers"):
        InvariantMLP(group, 2, 8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(1, 4\) must have width 3"):
        InvariantMLP(group, 2, [1])(tf.zeros([1, 4]))
    with pytest.raises(ValueError, match=r"must have width 3.* action \* trivial\(features\)"):
        InvariantMLP(items(3), 2, [1])(tf.zeros([1, 3, 2]))
    with pytest.raises(ValueError, match="Pass its side"):
        InvariantMLP(pixels(), 2, [1])
    with pytest.raises(ValueError, match="without a group"):
        InvariantMLP([rotation(4, 4, 30)], 2, [1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="b_init must be None"):
        InvariantMLP(group, 2, [1], with_bias=False, b_init=snt.initializers.Ones())


ACTIONS: list[tuple[Action, tuple[int, ...]]] = [
    (items(3) * trivial(2), (3, 2)),
    (items(3) + items(3), (6,)),
    (pixels(side=3), (3, 3)),
    (pixels(image_dihedral(2, 2), side=2) * regular(image_dihedral(2, 2)), (2, 2, 8)),
    (regular(octahedral_rotations()), (24,)),
    (coordinates(octahedral_rotations()) * trivial(2), (6,)),
    (coordinates(octahedral_rotations()) + trivial(1), (4,)),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("action", "shape"), ACTIONS, ids=repr)
def test_networks_are_invariant_under_actions(action: Action, shape: tuple[int, ...]) -> None:
    network = InvariantMLP(action, 2, [16, 3], activation=tf.tanh)
    assert network.num_invariants == sum(molien_series(action.position_group(), 2)[1:])
    inputs = np.random.default_rng(0).normal(size=(3, *shape))
    assert_invariant(network, inputs, action)
    # The control: inputs that count differently at each position.
    counts = np.random.default_rng(1).normal(size=shape)
    with pytest.raises(AssertionError):
        assert_invariant(snt.Sequential([lambda x: x * tf.cast(counts, x.dtype), network]), inputs, action)


def test_actions_that_are_a_group_on_all_numbers_keep_it() -> None:
    for group in (symmetric_group(4), octahedral_rotations()):
        assert as_action("action", group).position_group() is group
    assert items(symmetric_group(4)).position_group().order == 24
    assert (coordinates(octahedral_rotations()) + trivial(1)).position_group().order == 24


def test_initializers_reach_the_dense_layers() -> None:
    constant = snt.initializers.Constant
    network = InvariantMLP(cyclic_group(3), 2, [4, 1], w_init=constant(2.0), b_init=constant(1.0))
    network(tf.ones([1, 3]))
    assert {float(tf.reduce_max(each)) for each in network.variables} == {1.0, 2.0}


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_every_precision_gives_its_own_type_back_and_another_is_refused(dtype: tf.DType) -> None:
    inputs = tf.cast(np.random.default_rng(0).normal(size=(4, 3)), dtype)
    network = InvariantMLP(cyclic_group(3), 2, [4, 1])
    assert network(inputs).dtype == network.features(inputs).dtype == dtype
    expected = InvariantMLP(cyclic_group(3), 2, [4, 1]).features(tf.cast(inputs, tf.float64))
    error = tf.reduce_max(tf.abs(tf.cast(network.features(inputs), tf.float64) - expected))
    assert error < {tf.float16: 2e-3, tf.bfloat16: 2e-2, tf.float64: 1e-12}[dtype]
    with pytest.raises(ValueError, match="as the weights are"):
        network(tf.cast(inputs, tf.float32))
