"""Permuted copies are matched back exactly, masks are respected, and several models come together."""

import time
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.unit_models import CASES, Case, values
from weight_symmetry import alignment, symmetry
from weight_symmetry.alignment.similarity import assignment
from weirdonetworks.measure.unit_graph import UnitGraph

Orders = dict[str, np.ndarray]


def pair(case: Case, inputs: np.ndarray) -> tuple[Any, Any, Orders]:
    """A model, a copy with permuted units, and the permutations that take the copy back."""
    models, options, rng = (case.make(), case.make()), dict(case.options), np.random.default_rng(3)
    one, other = (UnitGraph.trace(model, inputs, **options) for model in models)
    for a, b in zip(one.variables, other.variables, strict=True):
        if a.dtype.is_floating:
            a.assign(values(a, rng))
        b.assign(a)
    moved = {space.name: rng.permutation(space.size) for space in other.free}
    other.permute(moved)
    return *models, {name: np.argsort(order) for name, order in moved.items()}


def is_same(found: alignment.Permutations, wanted: Orders) -> bool:
    assert list(found.by_space) == list(wanted)
    return all(np.array_equal(order, wanted[name]) for name, order in found.by_space.items())


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_permuted_copy_is_matched_back_exactly(case: Case) -> None:
    inputs = case.inputs()
    one, other, wanted = pair(case, inputs)
    found = alignment.match(one, other, inputs, **dict(case.options))
    assert is_same(found, wanted)
    assert found.similarity == pytest.approx(1, abs=1e-6)
    # The control: units in their old order are less similar, and a model with other weights is not matched so well.
    UnitGraph.trace(other, inputs, **dict(case.options)).permute(found.by_space)
    rng = np.random.default_rng(4)
    for variable in UnitGraph.trace(other, inputs, **dict(case.options)).variables:
        if variable.dtype.is_floating:
            variable.assign(rng.permutation(variable.numpy().ravel()).reshape(variable.shape))
    assert alignment.match(one, other, inputs, **dict(case.options)).similarity < 0.99


MLP, CNN = CASES[0], next(case for case in CASES if case.name == "CIFAR10_CNN")
BLOCK = next(case for case in CASES if case.name == "transformer")


@pytest.mark.slow
@pytest.mark.parametrize("case", [MLP, CNN, BLOCK], ids=lambda case: case.name)
def test_activations_match_a_permuted_copy_back(case: Case) -> None:
    inputs = np.random.default_rng(5).normal(size=(30, *case.shape[1:])).astype(np.float32)
    one, other, wanted = pair(case, inputs[:10])
    options = dict(case.options)
    assert is_same(alignment.match(one, other, inputs[:10], method="activations", data=[inputs], **options), wanted)
    # The control: on constant inputs hardly a unit varies, and nothing tells them apart.
    constant = np.ones_like(inputs[:10])
    found = alignment.match(one, other, constant, method="activations", **options)
    assert not is_same(found, wanted)


def examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    return rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 2, 40)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["straight_through", "sinkhorn"])
def test_learned_permutations_match_a_permuted_copy_back(method: str) -> None:
    inputs, labels = examples()
    one, other, wanted = pair(MLP, inputs[:20])
    found = alignment.match(one, other, inputs[:20], method=method, data=[inputs, labels], steps=5)
    assert is_same(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["straight_through", "sinkhorn"])
def test_learned_permutations_lower_the_loss_half_way(method: str) -> None:
    inputs, labels = examples()
    tf.random.set_seed(1)
    models = [snt.nets.MLP([8, 2]) for _ in range(2)]
    for model in models:
        model(inputs)

    def loss(model: Any) -> dict[str, float]:
        return {"loss": float(tf.reduce_mean(alignment.cross_entropy(labels, model(inputs))))}

    found = {}
    for name in ("weights", method):
        order = alignment.match(
            *models, inputs, method=name, data=[inputs, labels] if name != "weights" else None, steps=40
        )
        path = alignment.linear_path(models[0], order.apply(models[1]), loss, points=3)
        found[name] = path.metrics["loss"][1]
    assert found[method] < found["weights"] - 1e-3


def test_masks_are_left_as_they_are_when_asked() -> None:
    """Units 0 and 1 read one input, 2 and 3 the other; between the layers are pairs that move together."""
    first, inner = np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), np.eye(4)
    masks = [first, inner, np.ones((4, 2))]
    models = [snt.nets.MLP([4, 4, 2]) for _ in range(2)]
    for model in models:
        model(tf.ones([1, 2]))
    one, other = models
    for a, b, mask in zip(one.trainable_variables[1::2], other.trainable_variables[1::2], masks, strict=True):
        a.assign(a * mask)
        b.assign(a)
    graph = UnitGraph.trace(other, tf.ones([1, 2]))
    names = [space.name for space in graph.free]
    graph.permute(dict.fromkeys(names, np.array([1, 0, 3, 2])))
    found = alignment.match(one, other, tf.ones([1, 2]), masks=masks)
    assert is_same(found, dict.fromkeys(names, np.array([1, 0, 3, 2])))
    moved = symmetry.permute(masks, found.by_space, graph)
    assert all(np.array_equal(a, b) for a, b in zip(moved[::2], masks, strict=True))
    # Outside the group the copy is more similar than in it, and stays outside only without masks.
    graph.permute(dict.fromkeys(names, np.array([2, 1, 0, 3])))
    free = alignment.match(one, other, tf.ones([1, 2]))
    kept = alignment.match(one, other, tf.ones([1, 2]), masks=masks)
    assert free.similarity == pytest.approx(1, abs=1e-6) and kept.similarity < 0.99
    moved = symmetry.permute(masks, free.by_space, graph)
    assert not all(np.array_equal(a, b) for a, b in zip(moved[::2], masks, strict=True))


def test_several_models_come_to_one() -> None:
    inputs = MLP.inputs()
    one, other, _ = pair(MLP, inputs)
    third = symmetry.apply({0: [1, 2, 3, 4, 0], 1: [3, 0, 2, 1]}, one, inputs)
    found = alignment.match_many([one, other, third], inputs)
    aligned = [order.apply(model) for order, model in zip(found, (one, other, third), strict=True)]
    for model in aligned[1:]:
        for a, b in zip(aligned[0].variables, model.variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert found[0].moved == 0 < found[1].moved
    assert [each.similarity for each in found] == pytest.approx([1, 1, 1])


@pytest.mark.slow
def test_thousands_of_units_are_assigned_in_seconds() -> None:
    gains = np.random.default_rng(0).normal(size=(3000, 3000))
    started = time.perf_counter()
    found = assignment(gains, np.arange(3000))
    assert time.perf_counter() - started < 120  # On one busy core; some seconds on an idle one.
    assert np.array_equal(np.sort(found), np.arange(3000))
    assert gains[np.arange(3000), found].sum() > gains.max(axis=1).sum() * 0.8


def test_what_cannot_be_matched_is_refused() -> None:
    one, other = snt.nets.MLP([4, 2]), snt.nets.MLP([5, 2])
    x = tf.ones([2, 3])
    with pytest.raises(ValueError, match=r"^model_b must be of the architecture of model_a: .*\(3, 5\)"):
        alignment.match(one, other, x)
    with pytest.raises(ValueError, match=r"^method \(='best'\) must be one of weights, activations"):
        alignment.match(one, one, x, method="best")
    with pytest.raises(ValueError, match=r"^data must be given for method \(='sinkhorn'\)"):
        alignment.match(one, one, x, method="sinkhorn")
    with pytest.raises(ValueError, match=r"^masks must be left out for method \(='activations'\)"):
        alignment.match(one, one, x, method="activations", masks={})
    with pytest.raises(ValueError, match=r"^data \(of shapes \[\(1, 3\)\]\) must hold inputs like the example inputs"):
        alignment.match(one, one, x, method="activations", data=[np.ones((1, 3))])
    with pytest.raises(ValueError, match=r"^models \(of length 1\) must hold at least two"):
        alignment.match_many([one], x)
    with pytest.raises(ValueError, match=r"^most \(=-1\) must be at least 0"):
        alignment.match_many([one, one], x, most=-1)
    with pytest.raises(ValueError, match=r"^model \(sets of \[5\] .*\) must be of the architecture of the matched one"):
        alignment.match(one, one, x).apply(other)
    with pytest.raises(ValueError, match=r"^data must be left out for method \(='weights'\), which reads none"):
        alignment.match(one, one, x, data=[X])
    with pytest.raises(ValueError, match=r"^models\[1\] must be of the architecture of models\[0\]: .*\(3, 5\)"):
        alignment.match_many([one, other], x)
    bent = snt.nets.MLP([4, 2], activation=tf.tanh)
    with pytest.raises(
        ValueError, match=r"^model_b .* computes Tanh \(.*\) where that of model_a computes Relu \(.*\)\.$"
    ):
        alignment.match(one, bent, x)
    one.trainable_variables[1].assign(np.full([3, 4], np.nan))
    with pytest.raises(ValueError, match=r"^model_a must have finite weights; mlp/linear_0/w holds NaN"):
        alignment.match(one, one, x)


def test_examples_that_say_nothing_of_units_are_refused() -> None:
    inputs, labels = examples()
    one, other, wanted = pair(MLP, inputs)
    assert is_same(alignment.match(one, other, inputs, method="activations"), wanted)  # The control.
    for given, data, name in ((inputs[:1], None, "example_inputs"), (inputs[:1], [inputs[:1]], "data")):
        with pytest.raises(ValueError, match=rf"^{name} \(one example\) must hold two or more"):
            alignment.match(one, other, given, method="activations", data=data)
    for method in ("activations", "sinkhorn"):
        with pytest.raises(
            ValueError, match=r"^example_inputs \(of shapes \[\(0, 3\)\]\) must hold at least one example"
        ):
            alignment.match(one, other, inputs[:0], method=method, data=[inputs, labels])
    masked = np.where(np.arange(120).reshape(40, 3) == 4, -np.inf, inputs)  # As masks hold it, but no mask.
    with pytest.raises(ValueError, match=r"^data must give the units of both models finite values, and gives NaN or"):
        alignment.match(one, other, inputs, method="activations", data=[masked])
    with pytest.raises(
        ValueError, match=r"^data must give outputs whose loss is a number, and some are NaN or infinite"
    ):
        alignment.match(one, other, inputs, method="sinkhorn", data=[masked, labels], steps=0)


def test_one_image_has_many_positions_to_correlate() -> None:
    model = snt.Sequential([snt.Conv2D(4, 2), tf.nn.relu, snt.Conv2D(2, 2)])
    image = np.random.default_rng(8).normal(size=(1, 6, 6, 1)).astype(np.float32)
    model(image)
    permuted = symmetry.apply({0: [1, 2, 3, 0]}, model, image)
    (order,) = alignment.match(model, permuted, image, method="activations").by_space.values()
    assert order.tolist() == [3, 0, 1, 2]


X, Y = np.ones((6, 3), np.float32), np.arange(6) % 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, r"seed \(=-1\) must be at least 0"),
        ({"seed": 1.5}, r"seed \(=1.5\) must be an integer"),
        ({"steps": -1}, r"steps \(=-1\) must be at least 0"),
        ({"loss": "mse"}, r"loss \(='mse'\) must be a module or a function"),
        ({"data": X}, r"data \(=.*\) must be a list of arrays"),
        ({"data": []}, r"data \(of length 0\) must hold 1 array of inputs and the labels"),
        ({"data": [X]}, r"data \(of length 1\) must hold 1 array of inputs and the labels"),
        ({"data": [X, Y[:5]]}, r"data \(of lengths \[6, 5\]\) must hold one input of each kind, and one label"),
        ({"data": [X, np.arange(9) % 2]}, r"data \(of lengths \[6, 9\]\) must hold"),
        ({"data": [X * np.nan, Y]}, r"data\[0\] must hold finite numbers, and holds NaN"),
        ({"data": [X * np.inf, Y]}, r"data\[0\] must hold finite numbers, and holds NaN or infinity"),
        (
            {"data": [X, Y + 5]},
            r"data\[1\] \(=.*\) must suit the loss and the outputs: Received a label value of 6[^[]*\[0, 2\)\.$",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(wrong: dict[str, Any], message: str) -> None:
    model = snt.nets.MLP([2])
    model(X)
    right: dict[str, Any] = {"method": "sinkhorn", "data": [X, Y], "steps": 0}
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        alignment.match(model, model, X[:2], **right | wrong)
    assert alignment.match(model, model, X[:2], **right).moved == 0  # The control.
