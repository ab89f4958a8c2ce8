"""Plans: when masks change, and to what."""

import numpy as np
import pytest

from weight_symmetry import plans
from weight_symmetry.prune_config import PruneConfig
from weight_symmetry.pruning import magnitude_masks

SHAPES = [(8, 6), (6, 5), (5, 4)]


def weights() -> list[np.ndarray]:
    return [np.random.default_rng(index).normal(size=shape) for index, shape in enumerate(SHAPES)]


def ones() -> list[np.ndarray]:
    return [np.ones(shape, bool) for shape in SHAPES]


def test_a_dense_plan_cuts_nothing() -> None:
    plan = plans.Dense()
    assert all(mask.all() for mask in plan.initial_masks(SHAPES))
    assert [plan.next_masks(epoch, weights(), ones()) for epoch in range(4)] == [None] * 4


def test_pruning_starts_with_everything() -> None:
    masks = plans.MagnitudePruning(PruneConfig()).initial_masks(SHAPES)
    assert [mask.shape for mask in masks] == SHAPES and all(mask.all() for mask in masks)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_follows_its_schedule(scope: str) -> None:
    config = PruneConfig(epochs=9, pruning_schedule="[(2, 0.3), (5, 0.6), (6, 0.6), (8, 0.95)]", pruning_scope=scope)
    plan, masks, changes = plans.MagnitudePruning(config), ones(), {}
    for epoch in range(9):
        changed = plan.next_masks(epoch, weights(), masks)
        if changed is not None:
            expected = magnitude_masks(weights(), masks, dict.fromkeys(range(3), config.schedules[0](epoch)), scope)
            assert all(np.array_equal(a, b) for a, b in zip(changed, expected, strict=True))
            masks, changes[epoch] = changed, [int((~mask).sum()) for mask in changed]
    assert list(changes) == [2, 5, 8]  # At 6 the sparsity asked for is the one reached.
    for epoch, level in ((2, 0.3), (5, 0.6), (8, 0.95)):
        if scope == "layer":
            assert changes[epoch] == [round(level * mask.size) for mask in masks]
        else:
            assert sum(changes[epoch]) == round(level * sum(mask.size for mask in masks))


def test_pruning_at_the_start_is_before_the_first_epoch() -> None:
    plan = plans.MagnitudePruning(PruneConfig(epochs=1, sparsity=0.5))
    masks = plan.next_masks(0, weights(), ones())
    assert masks is not None and [int((~mask).sum()) for mask in masks] == [24, 15, 10]


def test_layers_have_schedules_of_their_own() -> None:
    plan = plans.MagnitudePruning(
        PruneConfig(epochs=9, pruning_schedule="{'0': [(1, 0.5)], '2': [(1, 0.25), (3, 0.5)]}")
    )
    first = plan.next_masks(1, weights(), ones())
    assert first is not None and [int((~mask).sum()) for mask in first] == [24, 0, 5]
    assert plan.next_masks(2, weights(), first) is None
    second = plan.next_masks(3, weights(), first)
    assert second is not None and [int((~mask).sum()) for mask in second] == [24, 0, 10]
    np.testing.assert_array_equal(second[0], first[0])


def test_a_cubic_schedule_cuts_after_each_epoch_of_its_span() -> None:
    plan = plans.MagnitudePruning(PruneConfig(epochs=9, sparsity=0.9, pruning_schedule="cubic(2, 6)"))
    changed = [epoch for epoch in range(9) if plan.next_masks(epoch, weights(), ones()) is not None]
    assert changed == [3, 4, 5, 6]


def test_a_sparsity_of_zero_changes_nothing() -> None:
    plan = plans.MagnitudePruning(PruneConfig(sparsity=0.0))
    assert all(plan.next_masks(epoch, weights(), ones()) is None for epoch in range(20))
