"""Rewinding, and the controls that take a lottery ticket apart."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests import sparse_models
from weight_symmetry import models
from weight_symmetry.masks import Masks, create
from weight_symmetry.updaters import tickets
from weight_symmetry.updaters.rewinding import Snapshot
from weirdonetworks.lab.training.state import assign

SHAPES = [(16, 12), (12, 8), (8, 3)]


def ticket(seed: int = 0) -> tuple[models.Classifier, Masks]:
    """A small model as rewinding leaves it: early weights everywhere, with biases, and nothing masked yet."""
    model = models.MNIST_FC(num_classes=3, features=(12, 8))
    model(tf.zeros([1, 4, 4, 1]), is_training=False)
    masks = Masks(model)
    models.initialise(masks, seed)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        layer.b.assign(rng.normal(size=layer.b.shape))
    return model, masks


def move(model: models.Classifier, symmetric: bool) -> tickets.MovedUnits:
    def units(permutation: dict[int, np.ndarray]) -> None:
        assign(model.variables, sparse_models.applied(permutation, model).variables)

    return tickets.MovedUnits(1, symmetric, units)


def outputs(model: models.Classifier) -> np.ndarray:
    images = np.random.default_rng(7).normal(size=(64, 4, 4, 1)).astype(np.float32)
    return model(tf.constant(images), is_training=False).numpy()


def weights(model: models.Classifier) -> list[np.ndarray]:
    return [layer.w.numpy() for layer in model.layers]


def assert_masked(masks: Masks, arrays: list[np.ndarray]) -> None:
    """The masks are those given, and the weights within them."""
    for weight, mask, given in zip(masks.weights, masks.arrays, arrays, strict=True):
        np.testing.assert_array_equal(mask, given)
        np.testing.assert_array_equal(weight.numpy() != 0, mask)


def test_symmetric_shuffle_moves_weights_and_keeps_outputs() -> None:
    (model, masks), (plain, plain_masks) = ticket(), ticket()
    drawn = create("symmetric", SHAPES, 0.5, seed=0)
    plain_masks.set(drawn)
    move(model, symmetric=True)(masks, drawn, 0)
    assert not all((a == b).all() for a, b in zip(weights(model), weights(plain), strict=True))
    before = outputs(plain)
    np.testing.assert_allclose(outputs(model), before, rtol=0, atol=1e-6 * np.abs(before).max())
    assert_masked(masks, drawn)


def test_asymmetric_shuffle_is_the_control_that_changes_outputs() -> None:
    (model, masks), (plain, plain_masks) = ticket(), ticket()
    drawn = create("random", SHAPES, 0.5, seed=0)
    plain_masks.set(drawn)
    move(model, symmetric=False)(masks, drawn, 0)
    assert np.abs(outputs(model) - outputs(plain)).max() > 0.1 * np.abs(outputs(plain)).max()
    assert_masked(masks, drawn)  # Every kept connection has a weight, too.


def test_an_asymmetry_changes_a_mask_or_is_refused() -> None:
    rng = np.random.default_rng(0)
    masks_with_one_symmetry = [np.eye(3, dtype=bool)[:, :2], np.ones((2, 1), bool)]
    drawn = tickets.random_asymmetry(masks_with_one_symmetry, rng)
    assert drawn[0].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"asymmetric_shuffle.* every unit permutation preserves this mask"):
        tickets.random_asymmetry([np.ones((2, 3), bool), np.ones((3, 1), bool)], rng)


def test_each_ticket_of_a_run_is_changed_in_its_own_way() -> None:
    drawn = create("random", SHAPES, 0.5, seed=0)
    for control in (tickets.NewWeights(1), tickets.ShuffledWeights(1), tickets.ShuffledMask(1)):
        changed = []
        for epoch in (2, 4):
            model, masks = ticket()
            control(masks, drawn, epoch)
            changed.append(weights(model)[0])
        assert (changed[0] != changed[1]).any(), control


def test_a_random_symmetry_leaves_every_mask_as_it_is() -> None:
    drawn = create("symmetric", SHAPES, 0.5, seed=0)
    permutation = tickets.random_symmetry(drawn, np.random.default_rng(3))
    assert any((images != np.arange(len(images))).any() for images in permutation.values())
    first, second, third = drawn
    s, t = permutation[0], permutation[1]
    for mask, rows, columns in ((first, None, s), (second, s, t), (third, t, None)):
        moved = np.zeros_like(mask)
        rows = np.arange(mask.shape[0]) if rows is None else rows
        columns = np.arange(mask.shape[1]) if columns is None else columns
        moved[np.ix_(rows, columns)] = mask
        assert (moved == mask).all()


def test_shuffle_weights_keeps_each_layers_values_and_masks() -> None:
    (model, masks), drawn = ticket(), create("random", SHAPES, 0.5, seed=0)
    before = weights(model)
    tickets.ShuffledWeights(1)(masks, drawn, 0)
    for now, then, mask in zip(weights(model), before, drawn, strict=True):
        np.testing.assert_array_equal(np.sort(now[mask]), np.sort(then[mask]))
        assert (now[mask] != then[mask]).any()
    assert_masked(masks, drawn)


def test_reinit_draws_new_weights_under_the_same_masks_and_begins_anew() -> None:
    (model, masks), drawn, begun = ticket(), create("random", SHAPES, 0.5, seed=0), []

    def begin(seed: int) -> None:
        begun.append(seed)
        for layer in model.layers:
            layer.b.assign(tf.zeros_like(layer.b))

    before = weights(model)
    tickets.NewWeights(1, begin=begin)(masks, drawn, 0)
    for now, then, mask in zip(weights(model), before, drawn, strict=True):
        assert (now[mask] != then[mask]).all()
    assert_masked(masks, drawn)
    assert len(begun) == 1 and all((layer.b.numpy() == 0).all() for layer in model.layers)


def test_shuffle_mask_keeps_each_layers_sparsity() -> None:
    (model, masks), drawn = ticket(), create("per-neuron", SHAPES, 0.5, seed=0)
    before = weights(model)
    tickets.ShuffledMask(1)(masks, drawn, 0)
    for now, then, weight, early in zip(masks.arrays, drawn, weights(model), before, strict=True):
        assert now.sum() == then.sum() and (now != then).any()
        np.testing.assert_array_equal(weight, np.where(now, early, 0))


def test_a_ticket_leaves_the_weights() -> None:
    (model, masks), drawn = ticket(), create("random", SHAPES, 0.5, seed=0)
    before = weights(model)
    tickets.Ticket()(masks, drawn, 0)
    for now, then, mask in zip(weights(model), before, drawn, strict=True):
        np.testing.assert_array_equal(now, np.where(mask, then, 0))


def test_a_snapshot_restores_everything() -> None:
    model = models.MNIST_CNN(filters=(2, 3), dense_size=4)
    model(tf.zeros([1, 8, 8, 1]), is_training=False)
    snapshot = Snapshot(model.variables)
    before = [variable.numpy() for variable in model.variables]
    model(tf.random.stateless_normal([4, 8, 8, 1], seed=(1, 2)), is_training=True)  # Moves batch norm's statistics.
    model.layers[0].w.assign(tf.zeros_like(model.layers[0].w))
    assert any((variable.numpy() != value).any() for variable, value in zip(model.variables, before, strict=True))
    snapshot.restore()
    assert all((variable.numpy() == value).all() for variable, value in zip(model.variables, before, strict=True))
    assert len(snapshot.variables) == len(model.variables), "its own alone"


def test_a_long_walk_takes_most_units_away() -> None:
    walk = tickets.random_symmetry([np.ones((2, 40), bool), np.ones((40, 1), bool)], np.random.default_rng(0))
    assert (walk[0] == np.arange(40)).mean() < 0.3
    assert math.isclose(walk[0].sum(), 780)


def test_a_carried_mask_computes_what_the_ticket_does_if_the_other_network_is_a_permuted_copy() -> None:
    model, masks = ticket()
    drawn = create("random", SHAPES, 0.5, seed=0)
    copy = sparse_models.applied({0: np.roll(np.arange(12), 1), 1: np.arange(8)[::-1]}, model)
    values = [variable.numpy() for variable in copy.variables]
    images = np.random.default_rng(8).normal(size=(600, 4, 4, 1)).astype(np.float32)
    control = tickets.CarriedMask(model, lambda epoch: (values, values), lambda most: images, {"is_training": False})
    control.before_rewinding()
    control(masks, drawn, 0)
    plain, plain_masks = ticket()
    plain_masks.set(drawn)
    np.testing.assert_allclose(outputs(model), outputs(plain), atol=1e-5)
    assert not all(np.array_equal(a, b) for a, b in zip(masks.arrays, drawn, strict=True))
    for variable, value in zip(model.variables, values, strict=True):  # The control: the mask as it was.
        variable.assign(value)
    masks.set(drawn)
    assert np.abs(outputs(model) - outputs(plain)).max() > 1e-2
