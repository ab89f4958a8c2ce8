"""Arguments of another type, empty or of absurd size: one line that names the argument, and no memory filled."""

import inspect
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy

from weirdonetworks import algebra
from weirdonetworks.algebra import (
    PolynomialNetwork,
    cycle_index,
    cycle_types,
    direct_product,
    exponent_table,
    fundamental_invariants,
    invariant_basis,
    is_invariant,
    molien_series,
    permutation_matrices,
    polynomial_ring,
    primary_invariants,
)

WRONG: dict[str, Any] = {"None": None, "text": "x", "empty": [], "number": 3, "array": np.arange(4), "class": int}
OF_A_GROUP: dict[str, Callable[[Any], Any]] = {
    "cycle_index": cycle_index,
    "cycle_types": cycle_types,
    "direct_product": direct_product,
    "fundamental_invariants": fundamental_invariants,
    "invariant_basis": lambda group: invariant_basis(group, 2),
    "is_invariant": lambda group: is_invariant(sympy.Symbol("x0"), group),
    "molien_series": lambda group: molien_series(group, 2),
    "permutation_matrices": permutation_matrices,
    "polynomial_ring": polynomial_ring,
    "primary_invariants": primary_invariants,
}


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("function", OF_A_GROUP)
def test_what_is_no_group_is_refused(function: str, value: str) -> None:
    with pytest.raises(TypeError, match=r"^groups? \(=.*\) must be a (Permutation|Matrix)Group"):
        OF_A_GROUP[function](WRONG[value])


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_polynomial_or_layer_is_refused(value: str) -> None:
    with pytest.raises(TypeError, match="polynomials must be elements of one ring"):
        exponent_table([WRONG[value]])
    with pytest.raises(TypeError, match=r"layers \(=.*\) must be a PolynomialLayer"):
        PolynomialNetwork([WRONG[value]])
    if value != "number":
        with pytest.raises(TypeError, match=r"polynomial \(=.*\) must be a SymPy expression"):
            is_invariant(WRONG[value], algebra.cyclic_group(3))


BY_NUMBER = [
    name
    for name in dir(algebra)
    if callable(getattr(algebra, name)) and [*inspect.signature(getattr(algebra, name)).parameters] == ["n"]
]


@pytest.mark.parametrize("name", BY_NUMBER)
def test_groups_of_absurd_size_are_refused_before_they_fill_the_memory(name: str) -> None:
    assert len(BY_NUMBER) >= 8
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"n \(=1000000000\) must be (at most|in \[1, )"):
        getattr(algebra, name)(10**9)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: algebra.image_translations(10**5, 10**5), r"height \* width \* channels \(=10000000000\) must be at"),
        (lambda: invariant_basis(algebra.cyclic_group(3), 10**9), "monomials, too many to list"),
        (lambda: algebra.monomials.monomials(2, 10**9), "monomials, too many to list"),
        (lambda: molien_series(algebra.cyclic_group(3), 10**9), r"max_degree \(=1000000000\) must be at most"),
        (lambda: algebra.items(10**9), r"group \(=1000000000\) must be at most"),
    ],
)
def test_absurd_numbers_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
