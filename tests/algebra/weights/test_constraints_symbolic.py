"""Symbolic expansions against numerical evaluation; constraints against networks that satisfy or violate them."""

import itertools
import math
import subprocess
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sympy import QQ

from weirdonetworks.algebra import (
    PermutationGroup,
    PolynomialLayer,
    PolynomialNetwork,
    act,
    alternating_group,
    cyclic_group,
    dihedral_group,
    equivariant_weight_orbits,
    symmetric_group,
    trivial_group,
)
from weirdonetworks.algebra.weights.constraints import constraints

Weights = list[npt.NDArray[Any]]
LINEAR = PolynomialLayer(2, 2, degree=1)


def values(network: PolynomialNetwork, weights: Weights, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Runs a network on rows x in floating point."""
    for layer, given in zip(network.layers, weights, strict=True):
        table = np.asarray(given if layer.shared is None else given[layer.labels]).reshape(layer.outputs, -1)
        inputs = np.concatenate([np.ones((len(x), 1)), x], axis=1) if layer.include_lower else x
        x = inputs[:, layer.indices].prod(axis=-1) @ table.T
    return x


def drawn(network: PolynomialNetwork, seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=layer.parameters_shape) for layer in network.layers]


def is_equivariant(network: PolynomialNetwork, weights: Weights, group: PermutationGroup) -> bool:
    """Tests F(s.x) = s.F(x) on random x, within 1e-9 of the size of the outputs."""
    x = np.random.default_rng(7).normal(size=(20, network.inputs))
    plain = values(network, weights, x)
    errors = [np.abs(values(network, weights, act(s, x)) - act(s, plain)).max() for s in group.generators]
    return bool(max(errors) <= 1e-9 * np.abs(plain).max())


def equivariant(network: PolynomialNetwork, seed: int = 0) -> Weights:
    """Draws random weights, shared along orbits, with which each layer is equivariant under all permutations."""
    rng, given = np.random.default_rng(seed), []
    for layer in network.layers:
        group = symmetric_group(layer.inputs)
        found = equivariant_weight_orbits(group, group, layer.degree, layer.ordered, layer.include_lower)
        given.append(rng.normal(size=len(found))[found.orbits.labels])
    return given


def quadratic(n: int, depth: int, **options: Any) -> PolynomialNetwork:
    return PolynomialNetwork([PolynomialLayer(n, n, degree=2, **options)] * depth)


NETWORKS = {
    "linear": PolynomialNetwork([PolynomialLayer(3, 2, degree=1)]),
    "ordered": quadratic(3, 2),
    "redundant": quadratic(2, 2, ordered=False),
    "with lower degrees": PolynomialNetwork(
        [PolynomialLayer(2, 3, degree=2, include_lower=True), PolynomialLayer(3, 1, degree=2, include_lower=True)]
    ),
    "both": PolynomialNetwork([PolynomialLayer(2, 2, degree=2, ordered=False, include_lower=True)]),
    "shared": PolynomialNetwork(
        [PolynomialLayer(2, 2, degree=1, shared=[[0, 1], [1, 0]]), PolynomialLayer(2, 1, degree=3)]
    ),
    "three": quadratic(2, 3),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_expansions_have_the_values_of_the_network(name: str) -> None:
    network = NETWORKS[name]
    weights = drawn(network)
    flat = network.flat_parameters(weights)
    x = np.random.default_rng(1).normal(size=(4, network.inputs))
    expected = values(network, weights, x)
    for output, polynomial in enumerate(network.outputs):
        total = np.zeros(len(x))
        for exponents, coefficient in polynomial.items():
            terms = [int(number) * np.prod(flat ** np.array(powers)) for powers, number in coefficient.items()]
            total += sum(terms) * np.prod(x ** np.array(exponents), axis=1)
        np.testing.assert_allclose(total, expected[:, output], rtol=0, atol=1e-12 * np.abs(expected).max())


def test_names_and_lines() -> None:
    assert PolynomialLayer(2, 1, degree=1, include_lower=True).names("w") == ["w_0", "w_0_0", "w_0_1"]
    both = PolynomialLayer(1, 1, degree=2, ordered=False, include_lower=True)
    assert both.names("w") == ["w_0", "w_0_0", "w_0_0_c", "w_0_0_0"]
    network = PolynomialNetwork([LINEAR, PolynomialLayer(2, 1, degree=2)])
    assert network.written().splitlines() == [
        "y0",
        "  x0**2: w1_0_0**2*w2_0_0_0 + w1_0_0*w1_1_0*w2_0_0_1 + w1_1_0**2*w2_0_1_1",
        "  x0*x1: 2*w1_0_0*w1_0_1*w2_0_0_0 + w1_0_1*w1_1_0*w2_0_0_1 + w1_0_0*w1_1_1*w2_0_0_1 "
        "+ 2*w1_1_0*w1_1_1*w2_0_1_1",
        "  x1**2: w1_0_1**2*w2_0_0_0 + w1_0_1*w1_1_1*w2_0_0_1 + w1_1_1**2*w2_0_1_1",
    ]


GROUPS = [symmetric_group(3), cyclic_group(4), alternating_group(4), dihedral_group(4)]


@pytest.mark.parametrize("group", GROUPS, ids=repr)
def test_equations_of_one_layer_leave_as_many_parameters_as_there_are_orbits(group: PermutationGroup) -> None:
    n = group.degree
    for degree, include_lower, kind in itertools.product((1, 2), (False, True), ("equivariant", "invariant")):
        network = PolynomialNetwork([PolynomialLayer(n, n, degree, include_lower=include_lower)])
        found = constraints(network, group, kind)
        assert all(sum(exponents) == 1 for each in found.equations for exponents in each)
        rows = [[int(value) * np.array(powers) for powers, value in each.items()] for each in found.equations]
        rank = np.linalg.matrix_rank(np.stack([sum(row) for row in rows]))
        partner = group if kind == "equivariant" else trivial_group(n)
        orbits = equivariant_weight_orbits(group, partner, degree, include_lower=include_lower)
        assert network.weights_ring.ngens - rank == orbits.dimension


def test_redundant_indices_leave_what_cancels_out() -> None:
    found = constraints(quadratic(3, 1, ordered=False), symmetric_group(3))
    rows = [sum(int(value) * np.array(powers) for powers, value in each.items()) for each in found.equations]
    assert 27 - np.linalg.matrix_rank(np.stack(rows)) == 4 + 9
    assert any(len(each) == 4 for each in found.equations)  # w1_0_0_1 + w1_0_1_0 - ...


def test_equations_are_distinct() -> None:
    found = constraints(quadratic(3, 2), symmetric_group(3)).equations
    assert all(each.content() == 1 and each.LC > 0 for each in found)
    assert len({*found, *(-each for each in found)}) == 2 * len(found)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("n", [2, 3])
def test_two_quadratic_layers_against_explicit_solutions(n: int, ordered: bool) -> None:
    network, group = quadratic(n, 2, ordered=ordered), symmetric_group(n)
    start = time.process_time()
    found = constraints(network, group)
    assert time.process_time() - start < 10
    first, second = equivariant(network)
    assert found.satisfies([first, second])
    assert is_equivariant(network, [first, second], group)
    # Hidden units rescaled, and scaled back in the next layer: no layer is equivariant alone, and the network is.
    scale = np.arange(2.0, 2 + n)
    rescaled = (scale * first.T).T
    back = second / scale[network.layers[1].indices].prod(axis=1).reshape(second.shape[1:])
    assert not constraints(quadratic(n, 1, ordered=ordered), group).satisfies([rescaled])
    assert is_equivariant(network, [rescaled, back], group)
    assert found.satisfies([rescaled, back])
    # A layer of zeros is a solution whatever the other is.
    assert found.satisfies([drawn(network)[0], np.zeros_like(second)])


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("n", [2, 3])
def test_broken_weights_fail(n: int, ordered: bool) -> None:
    """The control: random weights, and solutions with one weight changed, satisfy neither the law nor the equations."""
    network, group = quadratic(n, 2, ordered=ordered), symmetric_group(n)
    found = constraints(network, group)
    assert not found.satisfies(drawn(network))
    for layer in (0, 1):
        weights = equivariant(network)
        weights[layer].ravel()[1] += 1e-3
        assert not is_equivariant(network, weights, group)
        assert not found.satisfies(weights)
        assert found.satisfies(weights, tolerance=0.5)


def test_each_equation_is_measured_by_its_own_terms() -> None:
    found = constraints(PolynomialNetwork([LINEAR]), symmetric_group(2))
    for large in (1.0, 1e10, 1e20):
        assert found.satisfies([[[large, 1], [1, large]]])
        assert not found.satisfies([[[large, 1], [2, large]]])
    assert found.satisfies([[[1, 1e-17], [-1e-17, 1]]])  # Zeros up to rounding.
    assert not found.satisfies([[[1, 1e-8], [-1e-8, 1]]])


def test_matrix_has_the_equations_as_rows() -> None:
    network = quadratic(3, 1, ordered=False)
    found, weights = constraints(network, symmetric_group(3)), np.random.default_rng(0).integers(-99, 100, 27)
    expected = [int(each(*weights.tolist())) for each in found.equations]
    assert np.array_equal(found.matrix() @ weights, expected) and np.any(expected)
    with pytest.raises(ValueError, match="equations must be linear, as for a single layer, and one has degree"):
        constraints(quadratic(2, 2), symmetric_group(2)).matrix()


def test_invariant_networks() -> None:
    network = PolynomialNetwork([PolynomialLayer(3, 2, degree=2), PolynomialLayer(2, 1, degree=2)])
    group = symmetric_group(3)
    found = constraints(network, group, kind="invariant")
    labels = equivariant_weight_orbits(group, trivial_group(2), 2).orbits.labels
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=4)[labels], rng.normal(size=(1, 3))]
    assert found.satisfies(weights)
    x = rng.normal(size=(5, 3))
    np.testing.assert_allclose(values(network, weights, act([1, 2, 0], x)), values(network, weights, x), rtol=1e-9)
    assert not found.satisfies(drawn(network))


def test_a_smaller_group_asks_for_less() -> None:
    network = quadratic(3, 1)
    labels = equivariant_weight_orbits(cyclic_group(3), cyclic_group(3), 2).orbits.labels
    weights = [np.random.default_rng(0).normal(size=6)[labels]]
    assert constraints(network, cyclic_group(3)).satisfies(weights)
    assert not constraints(network, symmetric_group(3)).satisfies(weights)


def test_shared_weights_that_are_equivariant_leave_no_equation() -> None:
    group = symmetric_group(3)
    shared = equivariant_weight_orbits(group, group, 2).orbits.labels
    network = quadratic(3, 2, shared=shared)
    found = constraints(network, group)
    assert found.equations == ()
    assert found.satisfies([np.ones(4), np.ones(4)])
    basis = found.groebner(60)
    assert basis.polynomials == ()
    assert str(basis) == "no equations: all weights are free."


def test_groebner_basis_of_one_layer_solves_it() -> None:
    found = constraints(quadratic(3, 1), symmetric_group(3))
    basis = found.groebner(60)
    assert basis.polynomials is not None
    assert len(basis.polynomials) == 18 - 4
    # Each says that two weights are equal.
    assert all(len(each) == 2 and sum(each.values()) == 0 for each in basis.polynomials)
    assert str(basis).splitlines()[0] == f"{basis.polynomials[0]} = 0"


def test_groebner_basis_of_two_layers_generates_the_same_ideal() -> None:
    network = PolynomialNetwork([LINEAR, LINEAR])
    found = constraints(network, symmetric_group(2))
    basis = found.groebner(60).polynomials
    assert basis is not None
    rationals = network.weights_ring.clone(domain=QQ)
    divisors = [each.set_ring(rationals) for each in basis]
    assert all(each.set_ring(rationals).rem(divisors) == 0 for each in found.equations)
    outside = network.weights_ring.gens[0].set_ring(rationals)
    assert outside.rem(divisors) != 0
    # The basis vanishes where the equations do.
    weights = equivariant(network)
    flat = network.flat_parameters(weights)
    for each in basis:
        assert abs(sum(int(value) * np.prod(flat ** np.array(powers)) for powers, value in each.items())) < 1e-12


def test_groebner_basis_that_does_not_end_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[Any]] = []
    plain = subprocess.Popen

    class Recorded(plain):  # type: ignore[type-arg, misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    basis = constraints(quadratic(3, 2), symmetric_group(3)).groebner(seconds=0.5)
    assert basis.polynomials is None
    assert str(basis) == "no Groebner basis was found in 0.5 seconds."
    assert [process.poll() is not None for process in started] == [True]


def test_bad_layers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs \(=0\) must be at least 1"):
        PolynomialLayer(0, 1, degree=1)
    with pytest.raises(ValueError, match=r"shared \(of shape \(2,\)\) must have the weights' shape \(2, 2\)"):
        PolynomialLayer(2, 2, degree=1, shared=[0, 1])
    with pytest.raises(TypeError, match="must hold integers"):
        PolynomialLayer(2, 1, degree=1, shared=[[0.0, 1.0]])
    for wrong in ([[0, 2]], [[-1, 0]]):
        with pytest.raises(ValueError, match="must hold each label from 0 to the highest"):
            PolynomialLayer(2, 1, degree=1, shared=wrong)
    with pytest.raises(ValueError, match="at least one"):
        PolynomialNetwork([])
    with pytest.raises(ValueError, match="layer 0 has 2 outputs, layer 1 3 inputs"):
        PolynomialNetwork([LINEAR, PolynomialLayer(3, 1, degree=1)])
    for n, depth in [(4, 4), (40, 1)]:
        with pytest.raises(ValueError, match="must have a product of at most 100,000,000"):
            quadratic(n, depth)


def test_bad_questions_are_refused() -> None:
    network = PolynomialNetwork([LINEAR])
    with pytest.raises(ValueError, match="kind"):
        constraints(network, symmetric_group(2), kind="covariant")
    with pytest.raises(ValueError, match="must permute the network's 2 inputs"):
        constraints(network, symmetric_group(3))
    with pytest.raises(ValueError, match="as many outputs"):
        constraints(PolynomialNetwork([PolynomialLayer(2, 1, degree=1)]), symmetric_group(2))
    found = constraints(network, symmetric_group(2))
    with pytest.raises(ValueError, match=r"weights \(of shapes \[\(2,\)\]\) must have the shapes \[\(2, 2\)\]"):
        found.satisfies([np.ones(2)])
    with pytest.raises(ValueError, match="must be finite"):
        found.satisfies([np.full((2, 2), np.nan)])
    for seconds in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="must be above 0 and finite"):
            found.groebner(seconds)
