"""Magnitude pruning cuts exactly as many weights as asked for, the least ones first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, strategies as st

from weight_symmetry.updaters import magnitude_masks

shapes = st.one_of(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
)
# Few different magnitudes, so that there are ties.
values = st.sampled_from([-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0])


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[np.ndarray], list[npt.NDArray[np.bool_]]]:
    """Weights of some layers, zero where their masks are, with weights of magnitude zero kept too."""
    weights, masks = [], []
    for shape in draw(st.lists(shapes, min_size=1, max_size=4)):
        size = int(np.prod(shape))
        mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))).reshape(shape)
        weight = np.array(draw(st.lists(values, min_size=size, max_size=size)), np.float32).reshape(shape)
        weights.append(weight * mask)
        masks.append(mask)
    return weights, masks


def cut_in_order(weight: Sequence[float], mask: Sequence[bool], count: int) -> list[bool]:
    """The law, spelt out: what is cut already, then by magnitude, then by position."""
    order = sorted(range(len(weight)), key=lambda position: (mask[position], abs(weight[position]), position))
    gone = set(order[:count])
    return [position not in gone for position in range(len(weight))]


def wanted(sparsity: float, mask: npt.NDArray[np.bool_]) -> int:
    return max(round(sparsity * mask.size), int((~mask).sum()))


@pytest.mark.slow
@given(layers(), st.data())
def test_each_layer_loses_exactly_its_share(
    model: tuple[list[np.ndarray], list[npt.NDArray[np.bool_]]], data: st.DataObject
) -> None:
    weights, masks = model
    chosen = data.draw(st.sets(st.integers(0, len(weights) - 1)))
    sparsities = {index: data.draw(st.floats(0, 1)) for index in chosen}
    result = magnitude_masks(weights, masks, sparsities)
    assert len(result) == len(masks)
    for index, (weight, before, after) in enumerate(zip(weights, masks, result, strict=True)):
        assert after.dtype == np.bool_ and after.shape == before.shape
        assert not (after & ~before).any()  # What is cut stays cut.
        if index not in sparsities:
            np.testing.assert_array_equal(after, before)
            continue
        count = wanted(sparsities[index], before)
        assert (~after).sum() == count
        assert after.ravel().tolist() == cut_in_order(weight.ravel().tolist(), before.ravel().tolist(), count)


@pytest.mark.slow
@given(layers(), st.floats(0, 1), st.data())
def test_global_scope_ranks_all_its_layers_together(
    model: tuple[list[np.ndarray], list[npt.NDArray[np.bool_]]], sparsity: float, data: st.DataObject
) -> None:
    weights, masks = model
    chosen = sorted(data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1)))
    order = data.draw(st.permutations(chosen))
    result = magnitude_masks(weights, masks, dict.fromkeys(order, sparsity), scope="global")
    joined = [np.concatenate([array[index].ravel() for index in chosen]) for array in (weights, masks, result)]
    count = wanted(sparsity, joined[1])
    assert (~joined[2]).sum() == count
    assert joined[2].tolist() == cut_in_order(joined[0].tolist(), joined[1].tolist(), count)
    for index in set(range(len(masks))) - set(chosen):
        np.testing.assert_array_equal(result[index], masks[index])
    for before, after in zip(masks, result, strict=True):
        assert after.shape == before.shape


@pytest.mark.slow
@given(layers(), st.lists(st.floats(0, 1), min_size=2, max_size=4).map(sorted), st.sampled_from(["layer", "global"]))
def test_a_rising_schedule_reaches_each_total(
    model: tuple[list[np.ndarray], list[npt.NDArray[np.bool_]]], rising: list[float], scope: str
) -> None:
    weights, masks = model
    masks = [np.ones_like(mask) for mask in masks]
    for sparsity in rising:
        after = magnitude_masks(weights, masks, dict.fromkeys(range(len(masks)), sparsity), scope)
        assert all(not (new & ~old).any() for new, old in zip(after, masks, strict=True))
        weights = [weight * mask for weight, mask in zip(weights, after, strict=True)]
        masks = after
        cut = [(int((~mask).sum()), mask.size) for mask in masks]
        if scope == "layer":
            assert all(gone == round(sparsity * size) for gone, size in cut)
        else:
            assert sum(gone for gone, _ in cut) == round(sparsity * sum(size for _, size in cut))


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_nothing_and_everything(scope: str) -> None:
    weights = [np.arange(1.0, 7.0).reshape(2, 3), np.arange(1.0, 5.0).reshape(4, 1)]
    masks = [np.ones((2, 3)), np.ones((4, 1))]
    kept = magnitude_masks(weights, masks, {0: 0.0, 1: 0.0}, scope)
    assert all(mask.all() for mask in kept)
    gone = magnitude_masks(weights, masks, {0: 1.0, 1: 1.0}, scope)
    assert not any(mask.any() for mask in gone)


def test_ties_are_broken_by_position() -> None:
    (mask,) = magnitude_masks([np.full((3, 3), -2.0)], [np.ones((3, 3))], {0: 4 / 9})
    assert mask.astype(int).tolist() == [[0, 0, 0], [0, 1, 1], [1, 1, 1]]


def test_a_kept_zero_goes_before_others_but_after_what_is_cut() -> None:
    weight, mask = np.array([[0.0, 0.0, 3.0, -1.0]]), np.array([[1, 0, 1, 1]])
    kept = {count: magnitude_masks([weight], [mask], {0: count / 4})[0][0].tolist() for count in (1, 2, 3)}
    assert kept == {1: [True, False, True, True], 2: [False, False, True, True], 3: [False, False, True, False]}


def test_global_scope_may_spare_a_whole_layer() -> None:
    weights = [np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])]
    masks = [np.ones((1, 2)), np.ones((1, 2))]
    by_layer = magnitude_masks(weights, masks, {0: 0.5, 1: 0.5})
    over_all = magnitude_masks(weights, masks, {0: 0.5, 1: 0.5}, "global")
    assert [mask.tolist() for mask in by_layer] == [[[False, True]], [[False, True]]]
    assert [mask.tolist() for mask in over_all] == [[[False, False]], [[True, True]]]


def test_the_arguments_stay_as_they_are() -> None:
    weights, masks = [np.array([[1.0, 2.0]])], [np.array([[True, True]])]
    for scope in ("layer", "global"):
        result = magnitude_masks(weights, masks, {0: 1.0}, scope)
        assert masks[0].all() and weights[0].tolist() == [[1.0, 2.0]]
        result[0][:] = True
        assert magnitude_masks(weights, masks, {}, "layer")[0] is not masks[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsities": {0: 0.5}, "scope": "neuron"}, r"scope \(=neuron\) must be one of layer, global"),
        ({"sparsities": {0: 0.5, 1: 0.6}, "scope": "global"}, "must be equal when the scope is global"),
    ],
)
def test_a_wrong_scope_is_refused(arguments: dict[str, Any], message: str) -> None:
    weights = masks = [np.ones((2, 2)), np.ones((2, 2))]
    with pytest.raises(ValueError, match=message):
        magnitude_masks(weights, masks, **arguments)
