"""Updaters that drop connections and grow others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry import updaters
from weight_symmetry.masks import Masks, create
from weight_symmetry.updaters.growing import DropAndGrow, drop_and_grow
from weirdonetworks.lab.training.optimizers import Adam

SHAPES = [(3, 3, 2, 8), (16, 12), (12, 4)]


def sparse(mask_type: str = "random", sparsity: Any = (0.75, 0.5, 0.0)) -> Masks:
    """Masks of a kernel and a dense weight, and of one that stays dense."""
    rng = np.random.default_rng(0)
    masks = Masks([tf.Variable(rng.normal(size=shape)) for shape in SHAPES])
    masks.set(create(mask_type, SHAPES, sparsity, seed=1))
    return masks


def drawn(seed: int = 0) -> Callable[[], list[np.ndarray]]:
    return lambda: [np.random.default_rng([seed, index]).normal(size=shape) for index, shape in enumerate(SHAPES)]


def make(kind: type[DropAndGrow], **options: Any) -> DropAndGrow:
    masks = sparse("per-neuron" if kind is updaters.SRigL else "random")
    return kind(masks, **{"interval": 5, "end": 40, "drop_fraction": 0.4} | options)


@pytest.mark.parametrize("kind", [updaters.SET, updaters.RigL, updaters.SRigL])
def test_counts_stay_and_grown_weights_start_at_zero(kind: type[DropAndGrow]) -> None:
    updater, due = make(kind), []
    start = updater.masks.arrays
    for step in range(50):
        for weight, mask, values in zip(updater.masks.weights, updater.masks.arrays, drawn(step)(), strict=True):
            weight.assign(np.where(mask, values, 0.0))
        before, weights = updater.masks.arrays, [each.numpy() for each in updater.masks.weights]
        if updater.update(step, drawn(step + 100)):
            due.append(step)
        for index, (early, mask) in enumerate(zip(before, updater.masks.arrays, strict=True)):
            if kind is updaters.SRigL:
                assert start[index].sum() - mask.shape[-1] < mask.sum() <= start[index].sum()
            else:
                assert mask.sum() == start[index].sum()
            changes = bool((mask != early).any())
            assert changes <= (step in due and index < 2)  # The third stays dense.
            assert changes or step != 5 or index == 2
            expected = np.where(mask & early, weights[index], 0.0)
            np.testing.assert_array_equal(updater.masks.weights[index].numpy(), expected)
    assert due == [5, 10, 15, 20, 25, 30, 35]
    assert 0 < updater.statistics["start_overlap"] < 1


def test_the_fraction_falls_with_a_cosine() -> None:
    updater = make(updaters.SET)
    assert [updater.fraction(step) for step in (0, 20, 40, 41)] == pytest.approx([0.4, 0.2, 0.0, 0.0])
    mask = updater.masks.arrays[1]
    weight = updater.masks.weights[1].numpy()
    updater.update(10)
    count = round(0.2 * (1 + np.cos(np.pi / 4)) * mask.sum())
    assert count == 33
    dropped = np.argsort(np.where(mask, np.abs(weight), np.inf), axis=None)[:count]
    lost = mask & ~updater.masks.arrays[1]
    assert set(np.flatnonzero(lost)) <= set(dropped) and lost.any()


def test_gradients_are_asked_for_when_they_are_needed() -> None:
    asked: list[int] = []

    def gradients() -> list[np.ndarray]:
        asked.append(1)
        return drawn()()

    rigl, evolving = make(updaters.RigL), make(updaters.SET)
    for step in range(12):
        assert rigl.update(step, gradients) == evolving.update(step, gradients) == (step in (5, 10))
    assert len(asked) == 2
    with pytest.raises(TypeError, match=r"^gradients \(=None\) must be a function that computes them"):
        make(updaters.RigL).update(5)
    for wrong in ([None, *drawn()()[1:]], drawn()()[:2]):
        with pytest.raises(ValueError, match=r"must be those of the masked weights, .*: tape.gradient\(loss"):
            make(updaters.RigL).update(5, lambda: wrong)  # noqa: B023


def test_rigl_grows_where_the_gradient_is_largest() -> None:
    weight = np.array([[5.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
    mask = np.array([[True, True, True], [False, False, False]])
    gradient = np.array([[9.0, 0.1, 0.2], [0.3, -0.5, 0.4]])
    masks = Masks([tf.Variable(weight)])
    masks.set([mask])
    rigl = updaters.RigL(masks, interval=1, end=2, drop_fraction=2 / 3)
    with pytest.raises(ValueError, match=r"^masks must cut some connections"):
        updaters.RigL(Masks([tf.Variable(weight)]), end=2)
    assert rigl.update(1, lambda: [tf.constant(gradient)])
    np.testing.assert_array_equal(masks.arrays[0], [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(masks.weights[0].numpy(), [[5.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    # A control: the signed gradient would choose another.
    assert drop_and_grow(weight, mask, gradient, 1)[1, 2]


def test_ties_are_broken_by_position() -> None:
    mask = np.array([[True, True, True, False, False, False]])
    grown = drop_and_grow(np.ones((1, 6)), mask, np.ones((1, 6)), 2)
    np.testing.assert_array_equal(grown, [[True, True, True, False, False, False]])
    scores = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    grown = drop_and_grow(np.ones((1, 6)), mask, scores, 2)
    np.testing.assert_array_equal(grown, [[True, False, False, True, True, False]])


@pytest.mark.parametrize("kind", [updaters.RigL, updaters.SRigL])
def test_gradients_that_are_no_numbers_lose_no_connection(kind: type[DropAndGrow]) -> None:
    updater = make(kind)
    counts = [int(mask.sum()) for mask in updater.masks.arrays]
    updater.update(5, lambda: [np.full(shape, np.nan) for shape in SHAPES])
    assert [int(mask.sum()) for mask in updater.masks.arrays] == counts
    mask, scores = np.array([[True, True, False, False]]), np.array([[9.0, 9.0, np.nan, 1.0]])
    grown = drop_and_grow(np.array([[np.nan, 2.0, 0.0, 0.0]]), mask, scores * [[0, 0, 1, 1]], 1)
    np.testing.assert_array_equal(grown, [[False, True, False, True]])


def test_gradients_of_an_embedding() -> None:
    table = tf.Variable(tf.ones([6, 2]))
    masks = Masks([table])
    masks.set([[[1, 1]] * 3 + [[0, 0]] * 3])

    def gradients() -> list[Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [4, 4]))
        return [tape.gradient(loss, table)]

    assert updaters.RigL(masks, interval=1, end=100, drop_fraction=1 / 3).update(1, gradients)
    assert masks.arrays[0].sum(axis=1).tolist() == [2, 2, 0, 0, 2, 0]


def test_srigl_leaves_each_living_neuron_a_connection() -> None:
    masks = Masks([tf.Variable(np.ones((6, 10)))])
    start = np.zeros((6, 10))
    start[0, :3] = 1
    masks.set([start])
    updater = updaters.SRigL(masks, interval=1, end=100, min_salient=0.0)
    updater.update(1, lambda: [np.random.default_rng(0).normal(size=(6, 10))])
    assert masks.arrays[0].sum() == 3 and masks.arrays[0].sum(axis=0).max() == 1


def test_set_is_drawn_from_its_seed() -> None:
    same, again, other = (make(updaters.SET, seed=seed) for seed in (1, 1, 2))
    for updater in (same, again, other):
        updater.update(5)
    assert all(np.array_equal(a, b) for a, b in zip(same.masks.arrays, again.masks.arrays, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(same.masks.arrays, other.masks.arrays, strict=True))


def test_srigl_keeps_one_fan_in_and_ablates() -> None:
    updater = make(updaters.SRigL, min_salient=0.3)
    weight = updater.masks.weights[1]
    weight.assign(weight * tf.constant([1e-3] * 3 + [1.0] * 9, weight.dtype))  # Three neurons of no account.
    start = updater.masks.arrays
    gradients = drawn()()
    gradients[1][:, :3] *= 1e-3
    ablated = 0
    for step in range(5, 40, 5):
        assert updater.update(step, lambda: gradients)
        for index, mask in enumerate(updater.masks.arrays):
            fans = mask.reshape(-1, mask.shape[-1]).sum(axis=0)
            living = fans[fans > 0]
            assert set(living) == {min(start[index].sum() // len(living), mask[..., 0].size)}
            ablated = max(ablated, len(fans) - len(living))
    assert ablated == 3
    unablated = make(updaters.SRigL, min_salient=0.0)
    unablated.update(5, lambda: gradients)
    assert all(mask.reshape(-1, mask.shape[-1]).any(axis=0).all() for mask in unablated.masks.arrays)
    with pytest.raises(ValueError, match=r"must have one fan-in for all neurons: Masks.create\(model, 'per-neuron'"):
        updaters.SRigL(sparse(), end=40)


def test_srigl_leaves_a_neuron() -> None:
    masks = Masks([tf.Variable(np.ones((4, 3)))])
    masks.set([[[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]])
    updater = updaters.SRigL(masks, interval=1, end=1000, drop_fraction=1.0, min_salient=1.0)
    updater.update(1, lambda: [np.zeros((4, 3))])  # Each has one salient weight, where three are asked for.
    assert masks.arrays[0].sum(axis=0).tolist() == [4, 0, 0]
    masks.set([[[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]])
    options: dict[str, Any] = {"interval": 1, "end": 1000, "drop_fraction": 1.0, "min_salient": 1.0}
    updaters.SRigL(masks, **options, never_ablated=[0]).update(1, lambda: [np.zeros((4, 3))])
    assert masks.arrays[0].sum(axis=0).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, r"interval \(=0\)"),
        ({"interval": True}, r"interval \(=True\) must be an integer"),
        ({"end": 0}, r"end \(=0\)"),
        ({"end": True}, r"end \(=True\) must be an integer"),
        ({"drop_fraction": 1.5}, r"drop_fraction \(=1.5\) must be in \[0, 1\]"),
        ({"drop_fraction": "x"}, r"drop_fraction \(='x'\) must be in \[0, 1\]"),
        ({"drop_fraction": None}, r"drop_fraction \(=None\) must be in \[0, 1\]"),
        ({"min_salient": -1}, r"min_salient \(=-1\) must be in \[0, 1\]"),
        ({"min_salient": "x"}, r"min_salient \(='x'\) must be in \[0, 1\]"),
        ({"never_ablated": [3]}, r"never_ablated: 3 must be in \[0, 3\)"),
        ({"never_ablated": 3}, r"never_ablated \(=3\) must be a collection of integers"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(updaters.SRigL, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(updaters.SET, seed="a"), r"^seed \(='a'\) must be an integer\.$"),
        (lambda: make(updaters.SET, seed=1.5), r"^seed \(=1.5\) must be an integer\.$"),
        (lambda: make(updaters.SET).update(5.0), r"^epoch \(=5.0\) must be an integer\.$"),
        (lambda: make(updaters.SET).update(-1), r"^epoch \(=-1\) must be at least 0\.$"),
        (lambda: make(updaters.SET).is_due("a"), r"^step \(='a'\) must be an integer\.$"),
        (lambda: make(updaters.RigL).update(5, drawn()()), r"^gradients \(=\[array.{,50}\) must be a function that"),
        (lambda: make(updaters.RigL).update(5, lambda: None), r"^gradients\(\) \(=None\) must be a list: tape"),
        (lambda: make(updaters.RigL).update(5, lambda: "abc"), r"^gradients\(\) \(='abc'\) must be a list: tape"),
        (lambda: make(updaters.RigL).update(5, lambda: ["a"] * 3), r"^gradients\(\) must hold arrays .* holds 'a'\.$"),
        (lambda: drop_and_grow(np.ones((1, 2)), "a", np.ones((1, 2)), 1), r"^mask \(='a'\) must be an array of zeros"),
        (lambda: drop_and_grow(np.ones((1, 2)), [[0, 1]], np.ones((1, 2)), 2), r"^count \(=2\) must be at most 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_counter_of_steps_is_a_number_of_steps() -> None:
    updater = make(updaters.SET)
    assert [updater.update(step) for step in (tf.Variable(5), tf.constant(6), np.int64(10))] == [True, False, True]


def test_masks_of_zeros_and_ones_are_masks() -> None:
    grown = drop_and_grow(np.array([[1.0, -3.0, 0.0, 0.0]]), [[1, 1, 0, 0]], np.eye(1, 4, 3), 1)
    assert grown.tolist() == [[False, True, False, True]]


def test_srigl_refuses_masks_that_were_set_uneven() -> None:
    updater = make(updaters.SRigL)
    kernel, mask, outputs = updater.masks.arrays
    mask[:, 0] = True
    updater.masks.set([kernel, mask, outputs])
    with pytest.raises(ValueError, match=r"\(fan-ins 8 to 16\) must have one fan-in for all neurons"):
        updater.update(5, drawn())


@pytest.mark.parametrize("wrapped", ["own", "sonnet", "keras", "scaled"])
def test_moments_of_changed_connections_are_zero(wrapped: str) -> None:
    model, inputs = snt.nets.MLP([6, 4]), tf.ones([3, 5])
    model(inputs)
    masks = Masks.create(model, "random", 0.5)
    optimizer: Any = {
        "own": lambda: Adam(),
        "sonnet": lambda: snt.optimizers.Adam(0.1),
        "keras": lambda: tf.keras.optimizers.Adam(0.1),
        "scaled": lambda: tf.keras.optimizers.LossScaleOptimizer(tf.keras.optimizers.Adam(0.1)),
    }[wrapped]()
    masks.wrap(optimizer)
    parameters = model.trainable_variables
    gradients = [tf.ones_like(each) for each in parameters]
    if wrapped == "own":
        optimizer.initialize(parameters)
        optimizer.apply(gradients, parameters, tf.constant(0.1))
    else:
        optimizer.apply(gradients, parameters)
    holding = getattr(optimizer, "inner_optimizer", optimizer)
    moments = getattr(holding, "_velocities", None) or holding.v
    before, then = [np.asarray(tf.convert_to_tensor(each)) for each in moments], masks.arrays
    new = [np.roll(mask, 1) for mask in then]
    masks.set(new)
    pairs = zip([0, 2] if before[0].ndim == 2 else [1, 3], then, new, strict=True)
    for index, early, late in pairs:
        after = np.asarray(tf.convert_to_tensor(moments[index]))
        changed = early != late
        assert changed.any() and before[index][early].all() and not after[changed].any()
        np.testing.assert_array_equal(after[~changed], before[index][~changed])
    bias = 1 if before[0].ndim == 2 else 0
    np.testing.assert_array_equal(np.asarray(tf.convert_to_tensor(moments[bias])), before[bias])
