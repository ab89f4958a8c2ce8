"""Tests of pooled networks on sets: permutation invariance, masks, and varying numbers of items."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks import algebra
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets.pooling import POOLINGS
from weirdonetworks.nets.sets import pooled_sets
from weirdonetworks.nets.sets.pooled_sets import DeepSets, PointNet, RelationNetwork
from weirdonetworks.nets.sets.set_attention import SetAttention, SetTransformer
from weirdonetworks.testing import assert_equivariant

MASK = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 1, 1, 1, 0]], bool)
NETWORKS: dict[str, Callable[[], Any]] = {
    **{
        f"deep-{name}": lambda name=name: DeepSets([8, 6], [5, 2], pooling=name, activation=tf.tanh)
        for name in sorted(set(POOLINGS) - {"sort"})
    },
    "point": lambda: PointNet([6], [7], [5, 2]),
    "point-transforms": lambda: disturbed(PointNet([6], [7], [5, 2], True, True)),
    "relation": lambda: RelationNetwork([8, 6], [5, 2]),
    "relation-sum": lambda: RelationNetwork([8], [5, 2], "sum", tf.tanh),
    "relation-max": lambda: RelationNetwork([8, 7, 6], [5, 2], pooling="max"),
    "attention": lambda: SetTransformer(8, [5, 2], num_heads=2),
    "attention-points": lambda: SetTransformer(8, [5, 2], num_blocks=1, num_heads=2, num_inducing=3),
}
EQUIVARIANT: dict[str, Callable[[], Any]] = {
    "attention": lambda: SetAttention(8, num_heads=2),
    "one-head": lambda: SetAttention(3, num_heads=1, with_norm=False),
    "points": lambda: SetAttention(8, num_heads=4, num_inducing=3),
}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def disturbed(network: Any, features: int = 3) -> Any:
    """Gives every weight a random value: some start at 0."""
    network(tf.zeros([1, 2, features], tf.float64))
    for index, variable in enumerate(network.variables):
        variable.assign(0.5 * draw(*variable.shape, seed=index))
    return network


def order_error(network: Any) -> float:
    """The largest change of the outputs over all orders of four items, over their size."""
    inputs = draw(3, 4, 3)
    assert network(tf.constant(inputs)).numpy().std(axis=0).min() > 0
    return invariance_error(network, inputs, algebra.items(4), dtype=tf.float64).overall_relative


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_invariant(name: str) -> None:
    assert order_error(NETWORKS[name]()) < 1e-10


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", EQUIVARIANT)
def test_attention_is_equivariant(name: str) -> None:
    assert_equivariant(EQUIVARIANT[name](), draw(3, 4, 3), algebra.items(4))


def test_sorted_items_are_pooled_where_their_number_is_known() -> None:
    assert order_error(DeepSets([8, 6], [5, 2], pooling="sort")) < 1e-10


def test_a_network_on_the_items_side_by_side_is_not_invariant() -> None:
    assert order_error(snt.Sequential([snt.Flatten(), snt.nets.MLP([16, 2])])) > 1e-3


@pytest.mark.parametrize(
    "weigh", [lambda items: items[:, :1], lambda items: tf.cumsum(items, axis=1)], ids=["1st", "sum"]
)
def test_a_pooling_that_is_not_symmetric_breaks_the_law(weigh: Callable[[tf.Tensor], tf.Tensor]) -> None:
    network = DeepSets(
        [8, 6], [5, 2], pooling=lambda items, mask: tf.reduce_max(weigh(items), axis=1), activation=tf.tanh
    )
    assert order_error(network) > 1e-3


def test_attention_is_not_invariant() -> None:
    assert order_error(SetAttention(8, num_heads=2)) > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*NETWORKS, *(f"equivariant-{name}" for name in EQUIVARIANT)])
def test_masked_items_are_as_if_dropped(name: str) -> None:
    network = EQUIVARIANT[name.removeprefix("equivariant-")]() if "equivariant" in name else NETWORKS[name]()
    inputs = draw(3, 5, 3)
    outputs = network(tf.constant(inputs), MASK).numpy()
    for index, present in enumerate(MASK):
        alone = network(tf.constant(inputs[index : index + 1, present])).numpy()[0]
        if outputs.ndim == 3:
            assert not outputs[index, ~present].any()
        assert_close(outputs[index, present] if outputs.ndim == 3 else outputs[index], alone, 1e-10)
    assert np.abs(network(tf.constant(inputs)).numpy() - outputs)[1:].max() > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["deep-mean", "deep-max", "point-transforms", "relation", "attention-points"])
def test_nothing_comes_from_absent_items_and_no_gradient_goes_there(name: str) -> None:
    network, inputs = NETWORKS[name](), draw(3, 5, 3)
    expected = network(tf.constant(inputs), MASK).numpy()
    watched = tf.constant(np.where(MASK[:, :, None], inputs, np.nan))
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = network(watched, MASK)
        loss = tf.reduce_sum(outputs**2)
    np.testing.assert_array_equal(outputs.numpy(), expected)
    by_inputs = tape.gradient(loss, watched).numpy()
    assert np.isfinite(by_inputs).all() and not by_inputs[~MASK].any() and by_inputs[MASK].any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["deep-moments", "point-transforms", "relation", "attention", "attention-points"])
def test_one_trace_serves_every_number_of_items(name: str) -> None:
    network = NETWORKS[name]()
    network(tf.zeros([1, 2, 3], tf.float64))
    forward = tf.function(
        network,
        input_signature=[tf.TensorSpec([None, None, 3], tf.float64), tf.TensorSpec([None, None], tf.bool)],
        autograph=False,
    )
    for batch, items in ((3, 5), (2, 1), (1, 40)):
        inputs, mask = draw(batch, items, 3), np.ones([batch, items], bool)
        assert_close(forward(tf.constant(inputs), tf.constant(mask)), network(tf.constant(inputs)), 1e-10)
    assert forward.experimental_get_tracing_count() == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one item"):
        forward(tf.constant(inputs), tf.constant(np.zeros([1, 40], bool)))


def test_deep_sets_is_its_equation() -> None:
    network, inputs = DeepSets([4, 3], [5, 2], pooling="mean"), draw(2, 6, 3)
    by_item = np.stack([network.item(tf.constant(inputs[:, index])).numpy() for index in range(6)])
    assert_close(network(tf.constant(inputs)), network.head(tf.constant(by_item.mean(axis=0))), 1e-12)


def test_relation_network_is_its_equation() -> None:
    network, inputs = disturbed(RelationNetwork([4, 3], [2], pooling="sum")), draw(2, 3, 3)
    total = np.zeros([2, 3])
    for i, j in itertools.product(range(3), repeat=2):
        first = inputs[:, i] @ network.left.w.numpy() + network.left.b.numpy() + inputs[:, j] @ network.right.w.numpy()
        total += network.pair(tf.constant(np.maximum(first, 0))).numpy()
    assert_close(network(tf.constant(inputs)), network.head(tf.constant(total)), 1e-12)


def test_first_layer_of_relations_is_multiplied_out_for_items_not_for_pairs() -> None:
    network = RelationNetwork([7, 6], [5])
    network(tf.zeros([1, 2, 3]))
    graph = tf.function(network, autograph=False).get_concrete_function(tf.TensorSpec([4, 9, 3])).graph
    products = [each.inputs[0].shape.as_list() for each in graph.get_operations() if each.type == "MatMul"]
    assert products == [[4 * 9, 3], [4 * 9, 3], [4 * 81, 7], [4, 6]]


def test_halves_of_the_first_layer_of_relations_are_drawn_as_one() -> None:
    network = RelationNetwork([64], [1])
    network(tf.zeros([1, 1, 50]))
    halves = np.concatenate([network.left.w.numpy(), network.right.w.numpy()])
    dense = snt.Linear(64)
    dense(tf.zeros([1, 100]))
    assert 0.95 < halves.std() / dense.w.numpy().std() < 1.05


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def norm(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-5)


def test_attention_is_its_equation() -> None:
    network, inputs = SetAttention(6, num_heads=2), draw(1, 4, 3)
    outputs = network(tf.constant(inputs)).numpy()[0]
    block, items = network.attention, inputs[0]
    queries, keys, values = (items @ layer.w.numpy() for layer in (block.to_queries, block.to_keys, block.to_values))
    heads = [slice(0, 3), slice(3, 6)]
    attended = [softmax(queries[:, head] @ keys[:, head].T / 3**0.5) @ values[:, head] for head in heads]
    hidden = norm(queries + np.concatenate(attended, axis=1))
    assert_close(outputs, norm(hidden + np.maximum(hidden @ block.dense.w.numpy(), 0)), 1e-12)


def test_point_net_starts_without_turning_and_then_turns() -> None:
    network, inputs = PointNet([6], [7], [2], True, True), tf.constant(draw(3, 5, 3))
    outputs, transforms = network.with_transforms(inputs)
    for transform, size in zip(transforms, (3, 6), strict=True):
        assert_close(transform, np.tile(np.eye(size), [3, 1, 1]), 1e-12)
    assert pooled_sets.orthogonality_loss(transforms).numpy() == 0
    features = network.feature(network.item(inputs[1])).numpy()
    assert_close(outputs[1], network.head(tf.constant(features.max(axis=0)[None]))[0], 1e-12)

    disturbed(network)
    outputs, (by_input, by_feature) = network.with_transforms(inputs)
    assert np.abs(by_input[0] - by_input[1]).max() > 1e-3  # Each set has its own.
    turned = network.item(tf.constant(inputs[1].numpy() @ by_input[1].numpy().T)).numpy() @ by_feature[1].numpy().T
    expected = network.head(tf.constant(network.feature(tf.constant(turned)).numpy().max(axis=0)[None]))
    assert_close(outputs[1], expected[0], 1e-12)
    distances = [matrix @ matrix.T - np.eye(len(matrix)) for matrix in by_feature.numpy()]
    loss = pooled_sets.orthogonality_loss([by_feature])
    assert loss.numpy() > 0
    np.testing.assert_allclose(loss, np.mean([np.sum(each**2) for each in distances]), rtol=1e-12)


def test_point_net_has_the_transforms_asked_for() -> None:
    inputs = tf.constant(draw(2, 4, 3))
    for wanted in itertools.product([False, True], repeat=2):
        assert len(PointNet([6], [7], [2], *wanted).with_transforms(inputs)[1]) == sum(wanted)
    with pytest.raises(ValueError, match="transforms must hold at least one"):
        pooled_sets.orthogonality_loss([])


@pytest.mark.slow
def test_a_set_network_learns_what_is_symmetric() -> None:
    inputs = draw(256, 6, 1).astype(np.float32)
    targets = inputs.max(axis=1) - inputs.min(axis=1)
    network, optimizer = DeepSets([32, 32], [32, 1], pooling="max"), snt.optimizers.Adam(0.01)
    network(inputs := tf.constant(inputs))

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(inputs) - targets) ** 2)
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    losses = [step().numpy() for _ in range(200)]
    assert losses[-1] < 0.02 * targets.var() < losses[0]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["deep-mean", "point-transforms", "relation", "attention"])
def test_bad_sets_are_refused(name: str) -> None:
    network = NETWORKS[name]()
    network(tf.zeros([2, 4, 3], tf.float64))
    for inputs, mask, message in (
        (tf.zeros([2, 4], tf.float64), None, r"shape \(2, 4\) must be \[batch, items, features\]"),
        (tf.zeros([2, 4, 5], tf.float64), None, "must have 3 features, as the network was made for"),
        (tf.zeros([2, 0, 3], tf.float64), None, "at least one item"),
        (tf.zeros([2, 4, 3], tf.int32), None, "int32 must be floating point"),
        (tf.zeros([2, 4, 3], tf.float32), None, "float32 must be float64, as the weights are"),
        (tf.RaggedTensor.from_tensor(tf.zeros([2, 4, 3], tf.float64)), None, "must not be ragged"),
        (tf.zeros([2, 4, 3], tf.float64), np.ones([2, 3], bool), r"mask of shape \(2, 3\)"),
        (tf.zeros([2, 4, 3], tf.float64), np.ones([2, 4, 1], bool), r"mask of shape \(2, 4, 1\)"),
        (tf.zeros([2, 4, 3], tf.float64), np.arange(8).reshape(2, 4) < 4, "leaves none in set 1 of the batch"),
    ):
        with pytest.raises(ValueError, match=message):
            network(inputs, mask)
    with pytest.raises(TypeError, match="mask of type int64 must be boolean"):
        network(tf.zeros([2, 4, 3], tf.float64), np.ones([2, 4], int))


def test_bad_options_are_refused() -> None:
    for make, message in (
        (lambda: DeepSets([], [1]), "item_sizes must hold at least one"),
        (lambda: DeepSets([1], [0]), r"head_sizes \(=0\) must be at least 1"),
        (lambda: DeepSets([1], [1], pooling="median"), r"pooling \(='median'\) must be one of"),
        (lambda: PointNet([1], [], [1]), "feature_sizes must hold at least one"),
        (lambda: PointNet([1], [1], [1], True, transform_head_sizes=[]), "transform_head_sizes must hold"),
        (lambda: RelationNetwork([], [1]), "pair_sizes must hold at least one"),
        (lambda: SetAttention(9, num_heads=2), r"size \(=9\) must be divisible by num_heads \(=2\)"),
        (lambda: SetAttention(8, num_inducing=0), r"num_inducing \(=0\) must be at least 1"),
        (lambda: SetTransformer(8, [1], num_blocks=0), r"num_blocks \(=0\) must be at least 1"),
        (lambda: SetTransformer(8, []), "head_sizes must hold at least one"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="item_sizes"):
        DeepSets([1.5], [1])  # type: ignore[list-item]
