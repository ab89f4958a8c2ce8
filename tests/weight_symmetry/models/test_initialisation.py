"""Sparse initialisation: each neuron's variance from its live connections, and dense draws as they always were."""

import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, strategies as st

from tests import packages, sparse_models
from weight_symmetry import masks, models
from weight_symmetry.models import initialisation
from weirdonetworks.lab import seeds
from weirdonetworks.lab.training.state import assign

SHAPES = [(7, 5), (1, 1), (3, 3, 2, 4), (5, 5, 1, 3)]
KINDS = list(models.MODELS)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [*SHAPES, (784, 300)])
def test_a_mask_of_ones_gives_the_dense_draw_to_the_bit(shape: tuple[int, ...]) -> None:
    deviation = math.sqrt(2.0 / math.prod(shape[:-1]))
    np.testing.assert_array_equal(
        initialisation.draw(np.ones(shape), rng(3)), rng(3).normal(0.0, deviation, shape), strict=True
    )


@given(
    st.sampled_from(SHAPES),
    st.sampled_from(initialisation.SCHEMES),
    st.sampled_from(list(masks.MASK_TYPES)),
    st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_what_is_cut_is_zero_and_the_rest_is_scaled_by_neuron(
    shape: tuple[int, ...], scheme: str, mask_type: str, sparsity: float, seed: int
) -> None:
    try:
        mask = masks.MASK_TYPES[mask_type](shape, sparsity, rng(seed))
    except ValueError:  # Too few inputs for neurons that all differ.
        assume(False)
    weight = initialisation.draw(mask, rng(seed), scheme)
    assert weight.shape == shape and weight.dtype == np.float64
    assert not weight[~mask].any() and not np.signbit(weight[~mask]).any()
    assert weight[mask].all()
    # Written out neuron by neuron: the dense draw with another scale.
    dense = initialisation.draw(np.ones(shape), rng(seed), scheme)
    positions, live = math.prod(shape[:-2]), sum(bool(mask[..., j].any()) for j in range(shape[-1]))
    for neuron in range(shape[-1]):
        fan_in, dense_fan = int(mask[..., neuron].sum()), math.prod(shape[:-1])
        if scheme.startswith("glorot"):
            fan_in, dense_fan = fan_in + positions * live, dense_fan + positions * shape[-1]
        kept = mask[..., neuron]
        expected = dense[..., neuron][kept] * math.sqrt(dense_fan / max(fan_in, 1))
        np.testing.assert_allclose(weight[..., neuron][kept], expected, rtol=1e-12)


@pytest.mark.parametrize("scheme", initialisation.SCHEMES)
def test_variances_are_those_of_the_live_connections(scheme: str) -> None:
    """Neuron `j` keeps `500 j` of 2000 inputs, and the first is dead, so that 4 of 5 count in the fan-out."""
    mask = np.arange(2000)[:, np.newaxis] < 500 * np.arange(5)
    weight = initialisation.draw(mask, rng(), scheme)
    fans = 500 * np.arange(1, 5) + (4 if scheme.startswith("glorot") else 0)
    kept = [weight[: 500 * j, j] for j in range(1, 5)]
    ratio = np.array([neuron.var() for neuron in kept]) / (2 / fans)
    assert np.abs(ratio - 1).max() < 0.2
    # The control: a fan-in that counted what is cut would be off by up to a factor of four.
    assert np.abs(ratio * (fans / 2000) - 1).max() > 0.5
    reach = np.array([np.abs(neuron).max() for neuron in kept]) / np.sqrt(6 / fans)
    assert (reach <= 1).all() and (reach > 0.98).all() if scheme.endswith("uniform") else (reach > 1.3).all()


def test_the_scale_keeps_the_signal_where_a_dense_scale_loses_it() -> None:
    """Through ten sparse ReLU layers, the mean square stays of the order of 1 (He et al.), or fades."""

    def last(sparse: bool) -> float:
        source, hidden = rng(1), rng(2).normal(size=(50, 400))
        for _ in range(10):
            mask = masks.per_neuron((400, 400), 0.9, source)
            weight = initialisation.draw(mask if sparse else np.ones_like(mask), source) * mask
            hidden = np.maximum(hidden @ weight, 0)
        return float(np.mean(hidden**2))

    assert 0.1 < last(sparse=True) < 2.0
    assert last(sparse=False) < 1e-8


def test_a_neuron_draws_the_same_whatever_the_others_keep() -> None:
    mask = np.ones((6, 3))
    other = mask.copy()
    other[2:, 1:] = 0
    np.testing.assert_array_equal(initialisation.draw(mask, rng())[:, 0], initialisation.draw(other, rng())[:, 0])


def test_large_layers_take_no_loop() -> None:
    mask = masks.random((2048, 2048), 0.9, rng())
    weight = initialisation.draw(mask, rng(), "glorot_normal")
    assert np.count_nonzero(weight) == mask.sum()


@pytest.mark.parametrize(
    ("mask", "scheme", "message"),
    [
        (np.ones((2, 3)), "lecun", r"scheme \(='lecun'\) must be one of he_normal, he_uniform, glorot_normal"),
        (np.ones(3), "he_normal", r"mask \(shape \(3,\)\) must be shaped"),
        (np.full((2, 3), 0.5), "he_normal", "must hold only 0 and 1"),
    ],
)
def test_bad_input_is_refused(mask: np.ndarray, scheme: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        initialisation.draw(mask, rng(), scheme)


def test_tensorflow_stays_out() -> None:
    program = "import sys, weight_symmetry.models.initialisation; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=packages.ROOT, check=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_dense_models_start_as_they_always_did(kind: str) -> None:
    model = sparse_models.build(kind)
    models.initialise(masks.Masks(model), 42, trial=3)
    for index, layer in enumerate(model.layers):
        shape = tuple(layer.w.shape)
        deviation = math.sqrt(2.0 / math.prod(shape[:-1]))
        expected = seeds.generator(42, "init", index, 3).normal(0.0, deviation, shape).astype(np.float32)
        np.testing.assert_array_equal(layer.w.numpy(), expected)
        assert not layer.with_bias or not layer.b.numpy().any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("scheme", initialisation.SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_sparse_models_start_by_their_masks(kind: str, scheme: str) -> None:
    model = sparse_models.sparse(kind, 0.7, seed=1)
    kept = sparse_models.kept(model)
    own = masks.Masks(model)
    own.set(kept)
    models.initialise(own, 5, trial=2, scheme=scheme)
    for index, (layer, mask) in enumerate(zip(model.layers, kept, strict=True)):
        expected = initialisation.draw(mask, seeds.generator(5, "init", index, 2), scheme)
        np.testing.assert_array_equal(layer.w.numpy(), expected.astype(np.float32))
        np.testing.assert_array_equal(layer.w.numpy() != 0, mask)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        models.initialise(masks.Masks(sparse_models.build("MNIST_FC")), 1, scheme="xavier")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_used_model_is_as_new_and_traced_once(kind: str) -> None:
    """With the values of a new model, and weights drawn again, nothing is left of the training."""
    model, batch = sparse_models.sparse(kind, 0.5, seed=1), sparse_models.images(kind)
    train = tf.function(lambda images: model(images, is_training=True))
    train(batch)
    train(batch + 1)
    kept, own = sparse_models.kept(model), masks.Masks(model)
    new = sparse_models.build(kind)
    assign(model.variables, new.variables)
    for each in (masks.Masks(new), own):
        each.set(kept)
        models.initialise(each, 9, trial=1)
    for one, other in zip(sparse_models.values(new), sparse_models.values(model), strict=True):
        np.testing.assert_array_equal(one, other)
    expected = new(batch, is_training=True)
    np.testing.assert_allclose(train(batch), expected, atol=1e-5)
    assert train.experimental_get_tracing_count() == 1
    for one, other in zip(sparse_models.values(new), sparse_models.values(model), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    models.initialise(own, 9, trial=2)
    assert sparse_models.difference(train(batch), expected) > 0.01
