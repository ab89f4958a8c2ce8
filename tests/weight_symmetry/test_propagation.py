"""How layers chain, and propagation: only ever removes, keeps every path, and reaches its fixed point."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, strategies as st

from weight_symmetry import symmetry

Bools = npt.NDArray[np.bool_]


@st.composite
def models(draw: st.DrawFn) -> list[Bools]:
    """Masks of a small model: some convolutions, perhaps flattened, then dense layers; often with dead units."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.1, 0.2, 0.4, 0.7]))
    convolutions, dense = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, 4), min_size=convolutions + dense + 1, max_size=convolutions + dense + 1))
    shapes: list[tuple[int, ...]] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        if layer < convolutions:
            shapes.append((draw(st.integers(1, 2)), draw(st.integers(1, 2)), inputs, outputs))
        else:
            flattened = draw(st.integers(1, 3)) if layer == convolutions > 0 else 1
            shapes.append((flattened * inputs, outputs))
    return [rng.random(shape) < density for shape in shapes]


def on_a_path(masks: list[Bools]) -> list[Bools]:
    """Keeps each connection that some path from an input to an output uses, found by walking the paths."""
    kept = [np.zeros_like(mask) for mask in masks]

    def walk(layer: int, unit: int) -> bool:
        if layer == len(masks):
            return True
        reached = False
        size = masks[layer - 1].shape[-1] if layer else masks[0].shape[-2]
        for index in np.argwhere(masks[layer]):
            if index[-2] % size == unit and walk(layer + 1, index[-1]):
                kept[layer][tuple(index)] = reached = True
        return reached

    for unit in range(masks[0].shape[-2]):
        walk(0, unit)
    return kept


@pytest.mark.slow
@given(models())
def test_exactly_the_connections_on_a_path_stay(masks: list[Bools]) -> None:
    before = [mask.copy() for mask in masks]
    propagated = symmetry.propagate(masks)
    for kept, expected, mask, copy in zip(propagated, on_a_path(masks), masks, before, strict=True):
        assert kept.dtype == np.bool_
        np.testing.assert_array_equal(kept, expected)
        assert not (kept & ~mask).any()
        np.testing.assert_array_equal(mask, copy)


@pytest.mark.slow
@given(models())
def test_propagation_is_done_after_once(masks: list[Bools]) -> None:
    once = symmetry.propagate(masks)
    for first, second in zip(once, symmetry.propagate(once), strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_result_shares_no_memory_with_the_masks() -> None:
    masks = [np.ones((2, 2), bool), np.ones((2, 1), bool)]
    symmetry.propagate(masks)[0][:] = False
    assert masks[0].all()


def test_a_dead_end_far_away_unravels_back_and_forth() -> None:
    masks = [np.ones((2, 2)), np.eye(2), np.eye(2), np.array([[1], [0]])]
    alive = [layer.sum() for layer in symmetry.propagate(masks)]
    assert alive == [2, 1, 1, 1]
    assert [layer.sum() for layer in symmetry.propagate([np.zeros((2, 2)), *masks[1:]])] == [0, 0, 0, 0]


def test_kernels_keep_their_holes() -> None:
    conv, after = np.zeros((3, 3, 1, 2)), np.zeros((3, 3, 2, 2))
    conv[0, 0, 0, 0] = after[1, 1] = after[2, 0, 0, 1] = 1
    first, second = symmetry.propagate([conv, after])
    np.testing.assert_array_equal(first, conv)
    assert [tuple(index) for index in np.argwhere(second)] == [(1, 1, 0, 0), (1, 1, 0, 1), (2, 0, 0, 1)]


def test_flattened_channels_come_last() -> None:
    conv = np.zeros((1, 1, 1, 3))
    conv[..., 1] = 1
    _, dense = symmetry.propagate([conv, np.ones((2 * 3, 1))])
    np.testing.assert_array_equal(np.flatnonzero(dense), [1, 4])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], "at least one layer"),
        ([(3, 4), (5, 2)], r"masks\[1\] \(shape \(5, 2\)\) must .* masks\[0\] \(shape \(3, 4\)\)"),
        ([(3, 4), (8, 2)], "must have as many inputs"),
        ([(3, 3, 1, 4), (6, 2)], "must have as many inputs"),
        ([(3, 3, 1, 4), (3, 3, 8, 2)], "must have as many inputs"),
        ([(3,)], r"masks\[0\] \(shape \(3,\)\) must be shaped"),
        ([(3, 0)], r"masks\[0\] \(shape \(3, 0\)\) must be shaped"),
    ],
)
def test_what_does_not_chain_is_refused(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        symmetry.propagate([np.ones(shape) for shape in shapes])


def test_names_are_the_keys_of_a_mapping() -> None:
    masks = {"conv": np.ones((3, 3, 1, 2)), "head": np.ones((8, 5))}
    assert [row["name"] for row in symmetry.mask_statistics(masks)["layers"]] == ["conv", "head"]
    with pytest.raises(ValueError, match=r"masks\[head\]"):
        symmetry.propagate({"conv": np.ones((3, 3, 1, 2)), "head": np.ones((7, 5))})
