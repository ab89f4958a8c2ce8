"""Rewinding, and the controls that take a lottery ticket apart."""

import math

import numpy as np
import pytest
import tensorflow as tf

from weight_symmetry import masks, models, tickets


def ticket(mask_type: str, seed: int = 0) -> models.MaskedModel:
    """A small model under masks of a type, with biases, as it might be after some epochs."""
    model = models.MNIST_FC(num_classes=3, features=(12, 8))
    model(tf.zeros([1, 4, 4, 1]), is_training=False)
    shapes = [tuple(layer.w.shape) for layer in model.layers]
    for layer, mask in zip(model.layers, masks.create(mask_type, shapes, 0.5, seed), strict=True):
        layer.set_mask(mask)
    model.initialise(seed)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        layer.b.assign(rng.normal(size=layer.b.shape))
    return model


def outputs(model: models.MaskedModel) -> np.ndarray:
    images = np.random.default_rng(7).normal(size=(64, 4, 4, 1)).astype(np.float32)
    return model(tf.constant(images), is_training=False).numpy()


def weights(model: models.MaskedModel) -> list[np.ndarray]:
    return [layer.w.numpy() for layer in model.layers]


def assert_masked(model: models.MaskedModel) -> None:
    for layer in model.layers:
        assert (layer.w.numpy()[layer.mask.numpy() == 0] == 0).all()


def test_symmetric_shuffle_moves_weights_and_keeps_outputs() -> None:
    model = ticket("symmetric")
    before, masks_before, moved_from = outputs(model), model.masks, weights(model)
    tickets.move_units("symmetric_shuffle", model, model.masks, seed=1)
    for layer, mask in zip(model.layers, masks_before, strict=True):
        layer.set_mask(mask)
    assert not all((a == b).all() for a, b in zip(weights(model), moved_from, strict=True))
    assert all((a == b).all() for a, b in zip(model.masks, masks_before, strict=True))
    np.testing.assert_allclose(outputs(model), before, rtol=0, atol=1e-6 * np.abs(before).max())
    assert_masked(model)


def test_asymmetric_shuffle_is_the_control_that_changes_outputs() -> None:
    model, masked = ticket("random"), ticket("random")
    ticket_masks = masked.masks
    for layer in model.layers:  # As rewinding leaves it: early weights everywhere.
        layer.set_mask(np.ones(layer.mask.shape))
    model.initialise(0)
    tickets.move_units("asymmetric_shuffle", model, ticket_masks, seed=1)
    for layer, mask in zip(model.layers, ticket_masks, strict=True):
        layer.set_mask(mask)
    assert np.abs(outputs(model) - outputs(masked)).max() > 0.1 * np.abs(outputs(masked)).max()
    for layer, mask in zip(model.layers, ticket_masks, strict=True):
        assert (layer.w.numpy()[mask] != 0).all()  # Every kept connection has a weight.
    assert_masked(model)


def test_an_asymmetry_changes_a_mask_or_is_refused() -> None:
    rng = np.random.default_rng(0)
    masks_with_one_symmetry = [np.eye(3, dtype=bool)[:, :2], np.ones((2, 1), bool)]
    drawn = tickets.random_asymmetry(masks_with_one_symmetry, rng)
    assert drawn[0].tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"asymmetric_shuffle.* every unit permutation preserves this mask"):
        tickets.random_asymmetry([np.ones((2, 3), bool), np.ones((3, 1), bool)], rng)


def test_each_ticket_of_a_run_is_changed_in_its_own_way() -> None:
    for ablation in ("reinit", "shuffle_weights"):
        changed = []
        for epoch in (2, 4):
            model = ticket("random")
            tickets.ablate(ablation, model, seed=1, scheme="he_normal", epoch=epoch)
            changed.append(weights(model)[0])
        assert (changed[0] != changed[1]).any(), ablation
    first, second = (tickets.ticket_masks("shuffle_mask", ticket("random").masks, 1, epoch) for epoch in (2, 4))
    assert (first[0] != second[0]).any()


def test_a_random_symmetry_leaves_every_mask_as_it_is() -> None:
    model = ticket("symmetric")
    permutation = tickets.random_symmetry(model.masks, np.random.default_rng(3))
    assert any((images != np.arange(len(images))).any() for images in permutation.values())
    first, second, third = model.masks
    s, t = permutation[0], permutation[1]
    for mask, rows, columns in ((first, None, s), (second, s, t), (third, t, None)):
        moved = np.zeros_like(mask)
        rows = np.arange(mask.shape[0]) if rows is None else rows
        columns = np.arange(mask.shape[1]) if columns is None else columns
        moved[np.ix_(rows, columns)] = mask
        assert (moved == mask).all()


def test_shuffle_weights_keeps_each_layers_values_and_masks() -> None:
    model = ticket("random")
    before, masks_before = weights(model), model.masks
    tickets.ablate("shuffle_weights", model, seed=1, scheme="he_normal")
    for now, then, mask, mask_then in zip(weights(model), before, model.masks, masks_before, strict=True):
        assert (mask == mask_then).all()
        np.testing.assert_array_equal(np.sort(now[mask]), np.sort(then[mask]))
        assert (now[mask] != then[mask]).any()
    assert_masked(model)


def test_reinit_draws_new_weights_under_the_same_masks() -> None:
    model = ticket("random")
    before, masks_before = weights(model), model.masks
    tickets.ablate("reinit", model, seed=1, scheme="he_normal")
    for now, then, mask, mask_then in zip(weights(model), before, model.masks, masks_before, strict=True):
        assert (mask == mask_then).all()
        assert (now[mask] != then[mask]).all()
    assert_masked(model)


def test_shuffle_mask_keeps_each_layers_sparsity() -> None:
    model = ticket("per-neuron")
    shuffled = tickets.ticket_masks("shuffle_mask", model.masks, seed=1)
    for now, then in zip(shuffled, model.masks, strict=True):
        assert now.sum() == then.sum()
        assert (now != then).any()
    kept = tickets.ticket_masks("none", model.masks, seed=1)
    assert all((a == b).all() for a, b in zip(kept, model.masks, strict=True))


@pytest.mark.parametrize("ablation", ["none", "shuffle_mask"])
def test_no_control_leaves_the_weights(ablation: str) -> None:
    model = ticket("random")
    before = weights(model)
    tickets.ablate(ablation, model, seed=1, scheme="he_normal")
    assert all((a == b).all() for a, b in zip(weights(model), before, strict=True))


def test_a_snapshot_restores_everything() -> None:
    model = models.MNIST_CNN(filters=(2, 3), dense_size=4)
    model(tf.zeros([1, 8, 8, 1]), is_training=False)
    snapshot = tickets.Snapshot(model)
    before = [variable.numpy() for variable in model.variables]
    model(tf.random.stateless_normal([4, 8, 8, 1], seed=(1, 2)), is_training=True)  # Moves batch norm's statistics.
    model.layers[0].set_mask(np.zeros(model.layers[0].mask.shape))
    assert any((variable.numpy() != value).any() for variable, value in zip(model.variables, before, strict=True))
    snapshot.restore(model)
    assert all((variable.numpy() == value).all() for variable, value in zip(model.variables, before, strict=True))


def test_a_long_walk_takes_most_units_away() -> None:
    walk = tickets.random_symmetry([np.ones((2, 40), bool), np.ones((40, 1), bool)], np.random.default_rng(0))
    assert (walk[0] == np.arange(40)).mean() < 0.3
    assert math.isclose(walk[0].sum(), 780)
