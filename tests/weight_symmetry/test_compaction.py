"""Compacted models compute the same, hold no unit that could go, and say what they save."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from tests import sparse_models
from weight_symmetry import compaction, masks, models, symmetry

KINDS = list(models.MODELS)
GRID = (
    st.sampled_from(sparse_models.SPARSITIES),
    st.sampled_from(list(masks.MASK_TYPES)),
    st.integers(0, 10**6),
)


def difference(one: models.MaskedModel, other: models.MaskedModel, kind: str) -> float:
    images = sparse_models.images(kind, dtype=one.layers[0].w.dtype)
    return sparse_models.difference(one(images, is_training=False), other(images, is_training=False))


def alive(model: models.MaskedModel) -> list[np.ndarray]:
    """The hidden units of each layer on a path from the inputs to the outputs."""
    kept = symmetry.propagate(model.masks)
    return [np.flatnonzero(mask.any(axis=tuple(range(mask.ndim - 1)))) for mask in kept[:-1]]


def convolutions(kernel_size: int = 3, filters: tuple[int, ...] = (3, 4, 2)) -> models.MaskedModel:
    """A convolutional model without batch norm, the weights positive and the biases one, so that all emit."""
    model = sparse_models.build("CIFAR10_CNN", filters=filters, kernel_size=kernel_size)
    for layer in model.layers:
        layer.set_weight(np.random.default_rng(1).uniform(0.1, 0.5, layer.w.shape))
        layer.b.assign(tf.ones_like(layer.b))
    return model


def cut(layer: models.MaskedLayer, *index: object) -> None:
    """Cuts the connections at an index of the weight."""
    mask = layer.mask.numpy()
    mask[index] = 0
    layer.set_mask(mask)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(*GRID)
def test_the_function_is_the_same_and_what_can_go_is_gone(
    kind: str, sparsity: float, mask_type: str, seed: int
) -> None:
    model = sparse_models.sparse(kind, sparsity, seed, mask_type)
    before = sparse_models.values(model)
    found = compaction.compact(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, sparse_models.values(model), strict=True))
    assert type(found.model) is type(model) and found.original is model
    assert difference(found.model, model, kind) < 1e-5
    # What is left is alive or reported, never both, and all that is alive is left.
    for index, (units, live) in enumerate(zip(found.kept, alive(model), strict=False)):
        stayed = [unit for layer, unit, _ in found.stayed if layer == index]
        assert units.tolist() == sorted([*live.tolist(), *stayed])
        assert len(units) == found.model.layers[index].output_size
    assert found.kept[-1].tolist() == [0, 1, 2]
    # The connections left are among those given, and compacting again finds nothing more.
    for index, (small, mask) in enumerate(zip(found.model.masks, model.masks, strict=True)):
        inputs = found.kept[index - 1] if index else np.arange(mask.shape[-2])
        assert not (small & ~mask[..., inputs, :][..., found.kept[index]]).any()
    again = compaction.compact(found.model)
    assert [units.tolist() for units in again.kept] == [list(range(len(units))) for units in found.kept]
    assert len(again.stayed) == len(found.stayed)
    assert all(np.array_equal(a, b) for a, b in zip(again.model.masks, found.model.masks, strict=True))


@settings(max_examples=20)
@given(*GRID)
def test_fully_connected_models_are_left_with_the_propagated_masks(sparsity: float, mask_type: str, seed: int) -> None:
    """In float64 too, and nothing stays but for a layer that would be empty."""
    model = sparse_models.sparse("MNIST_FC", sparsity, seed, mask_type, tf.float64)
    found = compaction.compact(model)
    assert difference(found.model, model, "MNIST_FC") < 1e-13
    inputs = np.arange(16)
    for mask, small, units in zip(symmetry.propagate(model.masks), found.model.masks, found.kept, strict=True):
        np.testing.assert_array_equal(small, mask[inputs][:, units])
        inputs = units
    assert all("its layer has no other unit left" in reason for *_, reason in found.stayed)


@pytest.mark.parametrize("kind", KINDS)
def test_constants_that_are_dropped_are_missed(kind: str) -> None:
    """The control: the same small model with the biases and means that the given one had."""
    model = sparse_models.sparse(kind, 0.0, seed=3)
    dense = len(model.layers) - 2
    cut(model.layers[dense], ..., slice(0, 2))  # Two constant units, which only dense layers read.
    if model.norms:
        model.norms[dense].offset.assign(tf.ones_like(model.norms[dense].offset) * 3)
    else:
        model.layers[dense].b.assign(tf.ones_like(model.layers[dense].b))
    found = compaction.compact(model)
    assert len(found.kept[dense]) == model.layers[dense].output_size - 2
    assert difference(found.model, model, kind) < 1e-5
    found.model.layers[-1].b.assign(model.layers[-1].b)
    assert difference(found.model, model, kind) > 1e-3


def test_constants_fold_into_the_moving_mean() -> None:
    """From the last filters through the global pooling into the dense layer's batch norm; in training it goes on."""
    model = sparse_models.sparse("MNIST_CNN", 0.0, seed=5)
    cut(model.layers[2], ..., slice(0, 2))
    model.norms[2].offset.assign(tf.ones_like(model.norms[2].offset) * 3)
    found = compaction.compact(model)
    assert [units.tolist() for units in found.kept] == [
        list(range(5)),
        list(range(4)),
        [2, 3],
        list(range(6)),
        [0, 1, 2],
    ]
    assert not found.stayed
    assert difference(found.model, model, "MNIST_CNN") < 1e-5
    moving, old = found.model.norms[3].moving_mean, model.norms[3].moving_mean
    assert sparse_models.difference(moving.value, old.value) > 0.1
    constant = old.value - moving.value
    new = tf.random.stateless_normal(constant.shape, [1, 2])
    old.update(new)
    moving.update(new - constant)
    assert sparse_models.difference(moving.value, old.value - constant) < 1e-6


def test_a_constant_channel_before_padding_stays() -> None:
    model = convolutions()
    cut(model.layers[0], ..., 1)
    found = compaction.compact(model)
    assert found.stayed == (
        (0, 1, "it emits a constant, and the next convolution reads zero padding at the border instead"),
    )
    assert [len(units) for units in found.kept] == [3, 4, 2, 3]
    assert difference(found.model, model, "CIFAR10_CNN") < 1e-5
    # The control: folded as if there were no padding, it would show.
    wrong = compaction.compact(model).model
    taps = model.layers[1].w.numpy()[:, :, 1]
    wrong.layers[1].b.assign_add(taps.sum(axis=(0, 1)))
    cut(wrong.layers[1], slice(None), slice(None), 1)
    assert difference(wrong, model, "CIFAR10_CNN") > 1e-3


def test_a_constant_channel_of_zeros_goes() -> None:
    model = convolutions()
    cut(model.layers[0], ..., 1)
    model.layers[0].b.assign([1.0, -1.0, 1.0])
    found = compaction.compact(model)
    assert (found.kept[0].tolist(), found.stayed) == ([0, 2], ())
    assert difference(found.model, model, "CIFAR10_CNN") < 1e-5


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_a_constant_channel_read_in_the_middle_goes(kernel_size: int) -> None:
    model = convolutions(kernel_size)
    cut(model.layers[0], ..., 1)
    middle = (kernel_size - 1) // 2
    mask = model.layers[1].mask.numpy()
    mask[:, :, 1] = 0
    mask[middle, middle, 1] = 1
    model.layers[1].set_mask(mask)
    found = compaction.compact(model)
    assert (found.kept[0].tolist(), found.stayed) == ([0, 2], ())
    assert difference(found.model, model, "CIFAR10_CNN") < 1e-5
    if kernel_size > 1:  # The control: with one connection elsewhere it has to stay.
        mask[-1, -1, 1, 0] = 1
        model.layers[1].set_mask(mask)
        assert [stayed[:2] for stayed in compaction.compact(model).stayed] == [(0, 1)]


def test_what_a_channel_that_stayed_feeds_is_folded_filter_by_filter() -> None:
    """Of two filters that read one constant channel only, that with a middle alone is constant, and goes as well."""
    model = convolutions()
    cut(model.layers[0], ..., 1)
    mask = np.ones((3, 3, 3, 4))
    mask[..., :2] = 0
    mask[1, 1, 1, 0] = 1
    mask[:, :, 1, 1] = 1
    model.layers[1].set_mask(mask)
    model.layers[2].set_mask(np.eye(9)[4].reshape(3, 3, 1, 1) * np.ones((4, 2)))
    found = compaction.compact(model)
    assert [units.tolist() for units in found.kept[:2]] == [[0, 1, 2], [1, 2, 3]]
    assert [(layer, unit) for layer, unit, _ in found.stayed] == [(0, 1), (1, 1)]
    assert "reads only units that stayed" in found.stayed[1].reason
    assert difference(found.model, model, "CIFAR10_CNN") < 1e-5


def test_removal_unravels_back_and_forth() -> None:
    """The last unit of a path takes the path along, and a constant makes constants of those it alone feeds."""
    model = sparse_models.sparse("MNIST_FC", 0.0, seed=1)
    first, second, third, last = model.layers
    cut(first, slice(None), 0)
    second.set_mask(np.eye(7, 6))
    third.set_mask(np.eye(6, 5))
    cut(last, 2)
    found = compaction.compact(model)
    # Units 0 are constants all along; units 2 lead to an output that is cut; and 5 and 6 lead nowhere.
    assert [units.tolist() for units in found.kept[:-1]] == [[1, 3, 4], [1, 3, 4], [1, 3, 4]]
    assert difference(found.model, model, "MNIST_FC") < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_connections_still_emits_its_constants(kind: str) -> None:
    model = sparse_models.sparse(kind, 1.0, seed=2)
    found = compaction.compact(model)
    hidden = len(model.layers) - 1
    assert [units.tolist() for units in found.kept[:-1]] == [[0]] * hidden
    assert [(layer, unit) for layer, unit, _ in found.stayed] == [(layer, 0) for layer in range(hidden)]
    assert difference(found.model, model, kind) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_given_masks_cut_within_the_models_own(kind: str) -> None:
    model = sparse_models.sparse(kind, 0.5, seed=1)
    shapes = [layer.w.shape.as_list() for layer in model.layers]
    given = masks.create("random", shapes, 0.6, seed=9)
    found = compaction.compact(model, dict(enumerate(given)))
    for layer, mask in zip(model.layers, given, strict=True):
        layer.set_mask(layer.mask.numpy() * mask)
    expected = compaction.compact(model)
    assert [units.tolist() for units in found.kept] == [units.tolist() for units in expected.kept]
    assert found.stayed == expected.stayed
    assert difference(found.model, model, kind) < 1e-5


def traced_cost(model: models.MaskedModel, images: tf.Tensor) -> int:
    """Counts the multiplications that one image takes, from the operations in a traced call."""
    graph = tf.function(lambda batch: model(batch, is_training=False)).get_concrete_function(images[:1]).graph
    total = 0
    for operation in graph.get_operations():
        if operation.type in ("Conv2D", "MatMul"):
            inputs_of_an_output = np.prod(operation.inputs[1].shape.as_list()[:-1])
            total += int(np.prod(operation.outputs[0].shape.as_list()) * inputs_of_an_output)
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_costs_are_those_of_the_traced_models(kind: str, layers: int) -> None:
    """Which also holds the places of the poolings to those in the models."""
    height, width, channels = 33, 36, sparse_models.SHAPES[kind][-1]
    sizes = tuple(range(3, 3 + layers))
    model = models.MODELS[kind](num_classes=3, **{"features" if kind == "MNIST_FC" else "filters": sizes})
    images = tf.ones([1, height, width, channels])
    model(images, is_training=False)
    cut(model.layers[0], ..., 0)
    cut(model.layers[1], ..., 0, slice(None))
    found = compaction.compact(model, image_size=(height, width))
    assert len(found.kept[0]) == 2
    for change, counted in (
        (found.flops, [traced_cost(each, images) for each in (model, found.model)]),
        (found.parameters, [sum(v.numpy().size for v in each.trainable_variables) for each in (model, found.model)]),
    ):
        assert [change.before, change.after] == counted
        assert change.after < change.before


def test_costs_of_the_default_models() -> None:
    lenet = models.MNIST_FC()
    lenet(tf.ones([1, 28, 28, 1]), is_training=False)
    found = compaction.compact(lenet)
    assert found.parameters == (266_610, 266_610)
    assert found.flops == (266_200, 266_200)
    cnn = models.MNIST_CNN(filters=(2, 3), dense_size=4)
    cnn(tf.ones([1, 28, 28, 1]), is_training=False)
    found = compaction.compact(cnn)
    assert found.parameters.before == 50 + 150 + 12 + 40 + 10 + 2 * (2 + 3 + 4)
    assert found.flops.before == 28 * 28 * 50 + 14 * 14 * 150 + 12 + 40


@pytest.mark.parametrize("jit_compile", [False, True])
def test_speed_is_measured_and_gained(jit_compile: bool) -> None:
    model = models.MNIST_FC(features=(2000, 2000))
    images = np.ones((64, 8, 8, 1))
    model(tf.constant(images, tf.float32), is_training=False)
    cut(model.layers[1], ..., slice(8, None))
    cut(model.layers[2], slice(8, None))
    found = compaction.compact(model)
    speed = found.measure_speed(images, calls=5, jit_compile=jit_compile)
    assert speed.before > speed.after > 0
    with pytest.raises(ValueError, match=r"calls \(=0\)"):
        found.measure_speed(images, calls=0)


def test_options_are_kept() -> None:
    model = sparse_models.build("MNIST_CNN", dropout_rate=0.2, name="mine")
    small = compaction.compact(model).model
    assert (small.dropout_rate, small.name, small.layers[0].kernel_size) == (0.2, "mine", 3)


def test_bad_input_is_refused() -> None:
    model = models.MNIST_CNN(filters=(2, 3, 4), dense_size=4)
    with pytest.raises(ValueError, match=r"model \(mnist_cnn\) must have been called once"):
        compaction.compact(model)
    model(tf.ones([1, 8, 8, 1]), is_training=False)
    with pytest.raises(ValueError, match=r"image_size \(=\(3, 8\)\) must be at least 4"):
        compaction.compact(model, image_size=(3, 8))
    with pytest.raises(ValueError, match="must have the shapes of the model's weights"):
        compaction.compact(model, [np.ones((4, 3)), np.ones((3, 2))])
    other = type("Other", (models.MNIST_FC,), {})(features=(3,))
    other(tf.ones([1, 4]), is_training=False)
    with pytest.raises(TypeError, match=r"model \(a Other\) must be one of"):
        compaction.compact(other)
