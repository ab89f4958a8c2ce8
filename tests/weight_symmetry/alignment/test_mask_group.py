"""The best orders of units among those that leave masks as they are."""

import itertools

import numpy as np
import pytest

from weight_symmetry.alignment.mask_group import MaskGroup
from weight_symmetry.alignment.similarity import Orders, Similarity
from weirdonetworks.measure.unit_layout import UnitLayout

CYCLE = np.eye(9) + np.roll(np.eye(9), 1, axis=0)
BLOCKS = np.kron(np.eye(4), np.ones((2, 2)))


def setting(middle: np.ndarray) -> tuple[UnitLayout, list[np.ndarray], MaskGroup]:
    """A chain of three layers, of which the middle one is masked."""
    masks = [np.ones((5, len(middle))), middle, np.ones((len(middle), 3))]
    layout = UnitLayout.of_chain({f"w{index}": mask.shape for index, mask in enumerate(masks)})
    return layout, masks, MaskGroup(layout, masks)


def drawn(masks: list[np.ndarray], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [mask * rng.normal(size=mask.shape) for mask in masks]


@pytest.mark.parametrize(
    ("middle", "moves"),
    [
        (np.eye(8), [[3, 1, 7, 0, 2, 4, 6, 5]] * 2),
        (BLOCKS, [[4, 5, 1, 0, 7, 6, 2, 3], [5, 4, 0, 1, 6, 7, 3, 2]]),
        (CYCLE, [np.roll(np.arange(9), 4)] * 2),
    ],
    ids=["pairs", "blocks", "cycle"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_copy_permuted_within_the_group_is_matched_back_exactly(
    middle: np.ndarray, moves: list[list[int]], seed: int
) -> None:
    layout, masks, group = setting(middle)
    one = drawn(masks, seed)
    permutation = {space.name: np.array(move) for space, move in zip(layout.free, moves, strict=True)}
    similarity = Similarity(layout, one, layout.permuted(permutation, one))
    found = group.best(similarity, np.random.default_rng(seed))
    assert all(np.array_equal(found[space.units], permutation[space.name]) for space in layout.free)
    assert group.holds(found) and similarity.cosine(found) == pytest.approx(1)
    # The control: one layer's units alone leave the group.
    first = layout.free[0].units
    assert not group.holds(found | {first: found[first][[1, 2, 3, 4, 0, *range(5, first.size)]]})


def every(orders: Orders, classes: int, size: int) -> list[Orders]:
    """The orders of units in blocks, in two sets, that leave a mask of such blocks as it is."""
    within = list(itertools.product(itertools.permutations(range(size)), repeat=classes))
    return [
        {
            units: np.concatenate([size * block + np.array(own) for block, own in zip(blocks, each, strict=True)])
            for units, each in zip(orders, both, strict=True)
        }
        for blocks in itertools.permutations(range(classes))
        for both in itertools.product(within, repeat=2)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("classes", "size"), [(5, 1), (3, 2)], ids=["pairs", "blocks"])
def test_other_models_are_matched_as_well_as_the_group_allows(classes: int, size: int, seed: int) -> None:
    layout, masks, group = setting(np.kron(np.eye(classes), np.ones((size, size))))
    similarity = Similarity(layout, drawn(masks, seed), drawn(masks, seed + 3))
    found = group.best(similarity, np.random.default_rng(0))
    orders = every(similarity.start(), classes, size)
    assert group.holds(found) and all(map(group.holds, orders[:: len(orders) // 10]))
    assert similarity.total(found) == pytest.approx(max(map(similarity.total, orders)))
    # The control: the best of all orders is better, and not in the group.
    free = similarity.ascend(similarity.optimistic_start({}), {}, np.random.default_rng(0))
    assert not group.holds(free) and similarity.total(free) > similarity.total(found)


@pytest.mark.parametrize("seed", range(3))
def test_of_a_small_group_all_elements_are_tried(seed: int) -> None:
    """A cycle of 9 units in each of two sets: 18 elements, rotations and reflections."""
    layout, masks, group = setting(CYCLE)
    similarity = Similarity(layout, drawn(masks, seed), drawn(masks, seed + 3))
    found = group.best(similarity, np.random.default_rng(0))
    units = np.arange(9)
    rotations = [(units + shift) % 9 for shift in range(9)]
    orders = [dict.fromkeys(found, each) for each in rotations]
    orders += [dict(zip(found, ((shift - units) % 9, (shift - 1 - units) % 9), strict=True)) for shift in range(9)]
    assert all(map(group.holds, orders)) and not group.holds(dict(zip(found, rotations[:2], strict=True)))
    assert similarity.total(found) == pytest.approx(max(map(similarity.total, orders)))
