"""Seeds: the same on every machine, and another for every use."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from weirdonetworks.lab import seeds

parts = st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=5))
uses = st.tuples(st.integers(-(2**70), 2**70), st.lists(parts, max_size=4).map(tuple))


@pytest.mark.parametrize(
    ("base", "purpose", "seed"),
    [
        (42, (), (1587279681, 773762549)),
        (42, ("init", 0), (386030836, -1929845990)),
        (-7, ("mask", 3, "x"), (-1610239864, -1292359329)),
        (2**70, ("order", 1), (-692324794, 1962607979)),
    ],
)
def test_seeds_never_change(base: int, purpose: tuple[seeds.Part, ...], seed: tuple[int, int]) -> None:
    """Every published figure depends on these."""
    assert seeds.derive(base, *purpose) == seed


def test_generators_never_change() -> None:
    assert seeds.generator(42, "order", 0).permutation(8).tolist() == [1, 5, 7, 2, 4, 3, 0, 6]
    drawn = seeds.generator(42, "init", 1, 0).normal(size=2)
    assert drawn.tolist() == pytest.approx([-1.2232081703699693, -0.03270117129017477], rel=1e-12)


@pytest.mark.slow
@given(uses)
def test_a_seed_is_two_32_bit_integers(use: tuple[int, tuple[seeds.Part, ...]]) -> None:
    base, purpose = use
    seed = seeds.derive(base, *purpose)
    assert len(seed) == 2
    assert all(type(word) is int and -(2**31) <= word < 2**31 for word in seed)
    assert seeds.derive(base, *purpose) == seed


@given(uses, uses)
def test_different_uses_have_different_seeds(
    one: tuple[int, tuple[seeds.Part, ...]], other: tuple[int, tuple[seeds.Part, ...]]
) -> None:
    same = one == other
    assert (seeds.derive(one[0], *one[1]) == seeds.derive(other[0], *other[1])) == same


def test_layers_trials_and_purposes_have_different_streams() -> None:
    uses_of_one_run = [
        (purpose, layer, trial) for purpose in ("init", "mask") for layer in range(20) for trial in range(20)
    ]
    assert len({seeds.derive(42, *use) for use in uses_of_one_run}) == len(uses_of_one_run)
    draws = {seeds.generator(42, *use).random() for use in uses_of_one_run}
    assert len(draws) == len(uses_of_one_run)


def test_integers_and_strings_are_told_apart() -> None:
    assert seeds.derive(42, 1) != seeds.derive(42, "1")
    assert seeds.derive(42, "a", "b") != seeds.derive(42, "a', 'b")
    assert seeds.derive(42, 1, 2) != seeds.derive(42, 12)


def test_numpy_integers_count_as_integers() -> None:
    base: Any = np.int64(42)
    layer: Any = np.int32(3)
    assert seeds.derive(base, "init", layer) == seeds.derive(42, "init", 3)


@pytest.mark.parametrize("part", [1.0, True, None, ("init",), b"init"])
def test_other_parts_are_refused(part: object) -> None:
    with pytest.raises(TypeError, match=r"^purpose \(=.*\) must hold integers and strings only"):
        seeds.derive(42, "init", part)  # type: ignore[arg-type]


def test_drawing_from_one_stream_leaves_the_others_as_they_are() -> None:
    expected = seeds.generator(1, "order", 2).random(3)
    seeds.generator(1, "order", 1).random(1000)
    np.testing.assert_array_equal(seeds.generator(1, "order", 2).random(3), expected)
