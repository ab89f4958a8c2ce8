"""What exchanging two units costs, and how many permutations cost little."""

import math

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import sparse_models
from weight_symmetry import symmetry
from weight_symmetry.masks import Masks

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 2, 20)


def model(hidden: int = 5) -> snt.nets.MLP:
    tf.random.set_seed(2)
    made = snt.nets.MLP([hidden, hidden, 2])
    made(X)
    return made


def masks(sparsity: float, hidden: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.random(shape) >= sparsity for shape in ((4, hidden), (hidden, hidden), (hidden, 2))]


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.8])
def test_at_no_tolerance_the_number_is_the_exact_groups_order(sparsity: float) -> None:
    found = symmetry.effective(model(), masks(sparsity), X)
    assert found.permutations(0.0) == found.exact_order == symmetry.automorphisms(masks(sparsity)).order
    assert found.permutations(math.inf) == math.factorial(5) ** 2
    numbers = [found.permutations(each) for each in (0.0, 0.05, 0.2, 0.5, math.inf)]
    assert numbers == sorted(numbers)
    if sparsity == 0.3:
        assert numbers[0] < numbers[3] < numbers[-1]  # The control: exchanges that cost much count only at last.


def test_joint_permutations_count_too() -> None:
    found = symmetry.effective(model(3), [np.ones((4, 3)), np.eye(3), np.ones((3, 2))], X)
    assert found.permutations(0.0) == 6 and found.permutations(math.inf) == 36
    assert all((costs[~np.eye(3, dtype=bool)] > 0).all() for costs in found.costs.values())


def test_the_cost_is_what_the_outputs_change_by() -> None:
    made, drawn = model(), masks(0.3)
    found = symmetry.effective(made, drawn, X, labels=LABELS)
    weights = [layer.w.numpy() * mask for layer, mask in zip(made._layers, drawn, strict=True)]
    order = [0, 3, 2, 1, 4]

    def outputs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        hidden = np.maximum(np.maximum(X @ first, 0) @ second, 0)
        return hidden @ weights[2]

    before = outputs(*weights[:2])
    after = outputs(weights[0][:, order] * drawn[0], weights[1][order] * drawn[1])
    (costs, _), (changes, _) = found.costs.values(), found.change_of_loss.values()
    wanted = np.sqrt(np.square(after - before).sum() / np.square(before).sum())
    assert costs[1, 3] == costs[3, 1] == pytest.approx(wanted, rel=1e-4)
    losses = [tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, each)) for each in (before, after)]
    assert changes[1, 3] == pytest.approx(float(losses[1] - losses[0]), abs=1e-5)


def test_distances_are_what_an_exchange_cuts_of_the_inputs() -> None:
    made, drawn = model(), masks(0.3)
    inputs = np.repeat(X[:3], 4, axis=0)  # Of three dimensions at most.
    found = symmetry.effective(made, drawn, inputs)
    first, second = found.distances.values()
    weights = [layer.w.numpy() * mask for layer, mask in zip(made._layers, drawn, strict=True)]
    hidden = np.maximum(inputs @ weights[0], 0)
    for distances, given, weight, mask in (
        (first, inputs, weights[0], drawn[0]),
        (second, hidden, weights[1], drawn[1]),
    ):
        for i, j in ((1, 3), (0, 2)):
            cut = [weight[:, a] * ~mask[:, b] for a, b in ((i, j), (j, i))]
            square = sum(np.square(given @ each).mean() for each in cut)
            wanted = np.sqrt(square / np.square(given @ weight).mean())
            assert distances[i, j] == distances[j, i] == pytest.approx(wanted, rel=0.02)
        assert (distances[np.diag_indices(5)] == 0).all()
    # Zero exactly where the masks of incoming weights are alike, which the exchange of all costs nothing less of.
    alike = (drawn[0][:, :, None] == drawn[0][:, None]).all(axis=0)
    assert ((first == 0) == alike).all() and not alike.all()


def test_only_dense_layers_have_distances() -> None:
    made = snt.Sequential([snt.Conv2D(3, 2), tf.nn.relu, snt.Flatten(), snt.Linear(4), tf.nn.relu, snt.Linear(2)])
    images = np.random.default_rng(0).normal(size=(5, 3, 3, 1)).astype(np.float32)
    made(images)
    found = symmetry.effective(made, Masks.create(made, "random", 0.3), images)
    assert len(found.costs) == 2 and len(found.distances) == 1


def test_clusters_hold_units_whose_exchange_costs_little() -> None:
    found = symmetry.effective(model(), masks(0.3), X)
    tolerance = 0.3
    for name, groups in found.clusters(tolerance).items():
        assert sorted(unit for group in groups for unit in group) == list(range(5))
        assert all(found.costs[name][i, j] <= tolerance for group in groups for i in group for j in group)


@pytest.mark.slow
def test_channels_are_exchanged_with_all_that_belongs_to_them() -> None:
    made = sparse_models.sparse("MNIST_CNN", 0.0, seed=1)
    kept = [np.ones(layer.w.shape, bool) for layer in made.layers]
    kept[1][:, :, 0, :] = False
    found = symmetry.effective(made, kept, sparse_models.images("MNIST_CNN"), is_training=False)
    first = next(iter(found.costs.values()))
    assert (first[1:, 1:] == 0).all() and (first[0, 1:] > 1e-3).all()


def test_what_cannot_be_compared_is_refused() -> None:
    made, kept = snt.Sequential([snt.Linear(3), tf.nn.relu, snt.Linear(2)]), [np.ones((4, 3)), np.ones((3, 2))]
    made(X)
    found = symmetry.effective(made, kept, X[:5], labels=LABELS[:5])  # The control.
    for inputs, message in ((X * np.nan, "must hold numbers, and NaN"), (X[:0], "must hold at least one example")):
        with pytest.raises(ValueError, match=f"^example_inputs {message}"):  # A ReLU may make 0 of NaN.
            symmetry.effective(made, kept, inputs)
    with pytest.raises(ValueError, match=r"^model must give floating-point outputs, .* and gives int64"):
        symmetry.effective(lambda x: tf.argmax(made(x), 1), kept, X)
    for labels in ([0] * 4, [7] * 5):
        with pytest.raises(ValueError, match=r"^labels \(=.*\) must suit the loss and the outputs: "):
            symmetry.effective(made, kept, X[:5], labels=labels)
    for text in ("a", None, [0.1]):
        with pytest.raises(TypeError, match=r"^tolerance \(=.*\) must be a number"):
            found.permutations(text)  # type: ignore[arg-type]
    for tolerance in (-1, math.nan):
        with pytest.raises(ValueError, match=r"^tolerance \(=.*\) must be at least 0"):
            found.permutations(tolerance)


def test_large_outputs_cost_what_small_ones_do() -> None:
    made, drawn = model(), masks(0.3)
    wanted = symmetry.effective(made, drawn, X).costs
    made._layers[-1].w.assign(made._layers[-1].w * 2.0**70)  # Whose squares are beyond float32.
    found = symmetry.effective(made, drawn, X).costs
    for name, costs in found.items():
        np.testing.assert_allclose(costs, wanted[name], rtol=1e-6)
        assert ((costs == 0) == (wanted[name] == 0)).all() and costs.max() > 0.1


def test_what_is_not_finite_is_told_by_its_cause() -> None:
    made, drawn = model(), masks(0.3)
    for layer, mask in zip(made._layers, drawn, strict=True):
        layer.w.assign(layer.w * mask)
    lowest = float(tf.reduce_min(made(X))) - 1e-3  # An exchange gives lower outputs, which have no logarithm.
    with pytest.raises(
        ValueError, match=r"^model must give finite outputs after an exchange, .* where units \d and \d of"
    ):
        symmetry.effective(lambda x: tf.math.log(made(x) - lowest), drawn, X)
    with pytest.raises(
        ValueError, match=r"^masks \(of mlp/linear_0/w:0 and others\) must be of weights .* another model: "
    ):
        symmetry.effective(made, Masks.create(model(), "random", 0.3), X)
    for number in (np.nan, np.inf):
        made._layers[1].w[0, 0].assign(number)
        with pytest.raises(ValueError, match=r"^model must have finite weights; mlp/linear_1/w holds NaN or infinity"):
            symmetry.effective(made, [np.ones_like(mask) for mask in drawn], X)
    kept = [drawn[0], drawn[1] & (np.arange(25).reshape(5, 5) > 0), drawn[2]]
    assert all(np.isfinite(costs).all() for costs in symmetry.effective(made, kept, X).costs.values())  # It is cut.
