"""Updaters: when masks change, and to what."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weight_symmetry import updaters
from weight_symmetry.masks import Masks, create
from weight_symmetry.run.prune_config import PruneConfig

SHAPES = [(8, 6), (6, 5), (5, 4)]


def weights() -> list[np.ndarray]:
    return [np.random.default_rng(index).normal(size=shape) for index, shape in enumerate(SHAPES)]


def masks() -> Masks:
    return Masks([tf.Variable(weight) for weight in weights()])


def pruning(**settings: Any) -> updaters.MagnitudePruning:
    config = PruneConfig(**settings)
    return updaters.MagnitudePruning(masks(), config.schedules, config.pruning_scope)


def zeros(updater: updaters.Updater) -> list[int]:
    """The weights cut of each layer, which are zero."""
    for weight, mask in zip(updater.masks.weights, updater.masks.arrays, strict=True):
        np.testing.assert_array_equal(weight.numpy() != 0, mask)
    return [int((~mask).sum()) for mask in updater.masks.arrays]


def test_an_updater_leaves_the_masks_and_a_fixed_mask_draws_them_once() -> None:
    dense = updaters.Updater(masks())
    assert not any(dense.update(epoch) for epoch in range(4)) and zeros(dense) == [0, 0, 0]
    fixed = updaters.FixedMask(masks(), "random", 0.5, seed=3, indices=(0, 2))
    drawn = create("random", [SHAPES[0], SHAPES[2]], 0.5, 3)
    assert not any(fixed.update(epoch) for epoch in range(4)) and zeros(fixed) == [24, 0, 10]
    np.testing.assert_array_equal(fixed.masks.arrays[2], drawn[1])
    assert fixed.statistics == {"connections_added": 0}
    kept = updaters.FixedMask(masks(), "per-neuron-no-input-ablation", 1.0)
    assert kept.statistics == {"connections_added": 19}


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_follows_its_schedule(scope: str) -> None:
    updater = pruning(epochs=9, pruning_schedule="[(2, 0.3), (5, 0.6), (6, 0.6), (8, 0.95)]", pruning_scope=scope)
    levels = {2: 0.3, 5: 0.6, 8: 0.95}  # At 6 the sparsity asked for is the one reached.
    for epoch in range(9):
        before = updater.masks.arrays
        expected = before
        if epoch in levels:
            expected = updaters.magnitude_masks(weights(), before, dict.fromkeys(range(3), levels[epoch]), scope)
        assert updater.update(epoch) == (epoch in levels)
        for now, then in zip(updater.masks.arrays, expected, strict=True):
            np.testing.assert_array_equal(now, then)
        if epoch in levels and scope == "layer":
            assert zeros(updater) == [round(levels[epoch] * size) for size in (48, 30, 20)]
        elif epoch in levels:
            assert sum(zeros(updater)) == round(levels[epoch] * 98)


def test_pruning_at_the_start_is_before_the_first_epoch() -> None:
    updater = pruning(epochs=1, sparsity=0.5)
    assert updater.update(0) and zeros(updater) == [24, 15, 10]


def test_layers_have_schedules_of_their_own() -> None:
    updater = pruning(epochs=9, pruning_schedule="{'0': [(1, 0.5)], '2': [(1, 0.25), (3, 0.5)]}")
    assert updater.update(1) and zeros(updater) == [24, 0, 5]
    first = updater.masks.arrays[0]
    assert not updater.update(2)
    assert updater.update(3) and zeros(updater) == [24, 0, 10]
    np.testing.assert_array_equal(updater.masks.arrays[0], first)


def test_a_cubic_schedule_cuts_after_each_epoch_of_its_span() -> None:
    updater = pruning(epochs=9, sparsity=0.9, pruning_schedule="cubic(2, 6)")
    assert [epoch for epoch in range(9) if updater.update(epoch)] == [3, 4, 5, 6]


def test_a_sparsity_of_zero_changes_nothing() -> None:
    updater = pruning(sparsity=0.0)
    assert not any(updater.update(epoch) for epoch in range(20))


def test_what_cannot_be_pruned_is_refused() -> None:
    half, other = updaters.SteppedSparsity((1,), (0.5,)), updaters.SteppedSparsity((1,), (0.6,))
    with pytest.raises(ValueError, match=r"schedule: index 3 must be in \[0, 3\), the masked weights"):
        updaters.MagnitudePruning(masks(), {3: half})
    with pytest.raises(ValueError, match=r"scope \(=neuron\) must be one of layer, global"):
        updaters.MagnitudePruning(masks(), half, scope="neuron")
    with pytest.raises(ValueError, match=r"schedules .* must be equal when the scope is global"):
        updaters.MagnitudePruning(masks(), {0: half, 1: other}, scope="global")


def test_before_its_epoch_a_rewinding_holds_the_initial_weights_not_those_of_a_training_before() -> None:
    variables = [tf.Variable([9.0])]
    later = updaters.MagnitudePruning(Masks([tf.Variable([[1.0]])]), updaters.SteppedSparsity((9,), (0.5,)))
    rewind = updaters.Rewind(later, variables, epoch=2)
    for epoch, value in enumerate([1.0, 2.0, 3.0, 4.0]):
        variables[0].assign([value])
        rewind.update(epoch)
        assert rewind.snapshot.kept[0].numpy() == [1.0, 1.0, 3.0, 3.0][epoch]


def test_rewinding_returns_to_the_weights_of_its_epoch() -> None:
    updater = pruning(epochs=9, pruning_schedule="[(2, 0.3), (3, 0.6)]")
    bias, resets = tf.Variable([1.0]), []
    variables = [*updater.masks.weights, bias]
    rewind = updaters.Rewind(updater, variables, epoch=1, reset=lambda: resets.append(1))
    early: list[np.ndarray] = []
    for epoch in range(4):
        if epoch == 1:
            early = [variable.numpy() for variable in variables]
        scores = [weight.numpy() for weight in updater.masks.weights]
        kept = updater.masks.arrays
        assert rewind.update(epoch) == (epoch >= 2)
        if epoch >= 2:
            expected = updaters.magnitude_masks(scores, kept, dict.fromkeys(range(3), {2: 0.3, 3: 0.6}[epoch]))
            for variable, value, mask in zip(variables, early, [*expected, True], strict=True):
                np.testing.assert_array_equal(variable.numpy(), np.where(mask, value, 0))
        for index, variable in enumerate(variables):  # As a step of training changes them.
            drawn = np.random.default_rng([epoch, index]).normal(size=variable.shape)
            variable.assign(variable + drawn * (variable.numpy() != 0))
    assert len(resets) == 2 and list(rewind.saved) == ["snapshot"] and rewind.record == {}


def test_pruning_is_not_missed_between_two_calls() -> None:
    step = updaters.SteppedSparsity((5,), (0.5,))
    updater = updaters.MagnitudePruning(masks(), step)
    assert [updater.update(epoch) for epoch in (2, 4, 6, 8)] == [False, False, True, False]
    assert zeros(updater) == [24, 15, 10]
    late = updaters.MagnitudePruning(masks(), step)
    assert late.proposed(6) is not None  # A look changes nothing.
    assert late.update(6) and zeros(late) == [24, 15, 10] and not late.update(7)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_new_updater_goes_on_with_the_masks_of_another(scope: str) -> None:
    """As of a training that is resumed: what has been pruned is not pruned, nor rewound, again."""
    settings = {"epochs": 9, "pruning_schedule": "[(2, 0.33), (5, 0.61), (8, 0.95)]", "pruning_scope": scope}
    for resumed in range(9):
        first = pruning(**settings)
        done = [first.update(epoch) for epoch in range(resumed)]
        config = PruneConfig(**settings)
        second = updaters.MagnitudePruning(first.masks, config.schedules, scope)
        done += [second.update(epoch) for epoch in range(resumed, 9)]
        assert [epoch for epoch, changed in enumerate(done) if changed] == [2, 5, 8]
    restarted = pruning(**settings)
    assert [epoch for epoch in [*range(9), *range(9)] if restarted.update(epoch)] == [2, 5, 8] * 2


def test_an_updater_of_ones_own_need_not_take_gradients() -> None:
    class Own(updaters.Updater):
        def proposed(self, epoch: int) -> list[np.ndarray] | None:  # type: ignore[override]
            return [np.zeros(shape, bool) for shape in SHAPES] if epoch == 1 else None

    own = Own(masks())
    assert [updaters.Rewind(own, own.masks.weights).update(epoch) for epoch in (0, 1)] == [False, True]
    assert [own.update(epoch) for epoch in (0, 1)] == [False, True] and zeros(own) == [48, 30, 20]


def test_wrong_types_are_refused_in_one_line() -> None:
    step: Any = updaters.SteppedSparsity((5,), (0.5,))
    model: Any = tf.keras.Sequential([tf.keras.Input([3]), tf.keras.layers.Dense(2)])
    with pytest.raises(
        TypeError, match=r"^masks \(a Sequential\) must be weight_symmetry.masks.Masks: Masks\(model\)\.$"
    ):
        updaters.MagnitudePruning(model, step)
    with pytest.raises(TypeError, match=r"^schedule \(=0.9\) must be one of sparsities, such as CubicSparsity"):
        updaters.MagnitudePruning(masks(), 0.9)  # type: ignore[arg-type]
    for index in (7, -1, "a"):
        with pytest.raises(ValueError, match=rf"^indices: {index!r} must be in \[0, 3\), the masked weights\.$"):
            updaters.FixedMask(masks(), "random", 0.5, indices=[index])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"^indices \(=1\) must be a collection of integers\.$"):
        updaters.FixedMask(masks(), "random", 0.5, indices=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^seed \(='a'\) must be an integer\.$"):
        updaters.FixedMask(masks(), "random", 0.5, seed="a")  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [1.5, float("nan"), None])
def test_a_schedule_must_return_sparsities(level: Any) -> None:
    pruning = updaters.MagnitudePruning(Masks([tf.Variable(tf.ones([2, 2]))]), lambda epoch: level)
    with pytest.raises(ValueError, match=rf"^schedule\(1\) \(={level}\) must be in \[0, 1\]\.$"):
        pruning.update(1)


def test_sparsities_are_those_of_some_weights() -> None:
    weights, ones = [np.arange(4.0).reshape(2, 2)], [np.ones((2, 2))]
    with pytest.raises(ValueError, match=r"^sparsities: 5 must be in \[0, 1\), the masked weights\.$"):
        updaters.magnitude_masks(weights, ones, {5: 0.5})
    with pytest.raises(ValueError, match=r"^sparsities\[0\] \(=2.0\) must be in \[0, 1\]\.$"):
        updaters.magnitude_masks(weights, ones, {0: 2.0})
    for scope in ("layer", "global"):
        assert updaters.magnitude_masks(weights, ones, {}, scope)[0].all()
