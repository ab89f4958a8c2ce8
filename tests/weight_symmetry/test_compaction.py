"""Compacted models compute the same as the given ones, hold no unit that could go, and say what they save."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from tests.unit_models import CASES
from weight_symmetry import symmetry
from weight_symmetry.compaction import compact
from weight_symmetry.masks import Masks
from weirdonetworks.measure.unit_graph import UnitGraph


def outputs(model: Any, *inputs: Any, **options: Any) -> list[np.ndarray]:
    flat = tf.nest.flatten(model(*inputs, **options))
    return [np.asarray(each) for each in flat if tf.is_tensor(each)]


def difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest output."""
    size = max(float(np.abs(each).max()) for each in other)
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True)) / size


def sparse_mlp(
    seed: int, density: float, sizes: tuple[int, ...] = (4, 6, 5, 4, 3)
) -> tuple[snt.nets.MLP, list[np.ndarray]]:
    """An MLP with biases of all signs, and masks of its weights."""
    model = snt.nets.MLP(sizes[1:], activation=tf.tanh)
    model(tf.ones([1, sizes[0]]))
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    masks = [rng.random(shape) < density for shape in itertools.pairwise(sizes)]
    return model, masks


def apply_masks(model: snt.nets.MLP, masks: list[np.ndarray]) -> None:
    for layer, mask in zip(model.submodules, masks, strict=True):
        layer.w.assign(layer.w * mask)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.15, 0.3, 0.6, 1.0]))
def test_what_stays_is_what_paths_run_through(seed: int, density: float) -> None:
    """Counted independently, by products of the masks: the units on a path from an input to an output."""
    model, masks = sparse_mlp(seed, density)
    found = compact(model, masks, np.ones((3, 4), np.float32))
    reached, leading = [np.ones(4)], [np.ones(3)]
    for mask in masks:
        reached.append((reached[-1] @ mask > 0).astype(float))
    for mask in reversed(masks):
        leading.insert(0, (mask @ leading[0] > 0).astype(float))
    for layer, units in enumerate(found.kept.values(), start=1):
        live = np.flatnonzero(reached[layer] * leading[layer])
        assert units.tolist() == (live.tolist() or [0])
    apply_masks(model, masks)
    inputs = np.random.default_rng(seed).normal(size=(7, 4)).astype(np.float32)
    assert difference(outputs(found.model, inputs), outputs(model, inputs)) < 1e-5


def test_constants_that_are_dropped_are_missed() -> None:
    """The control: without what the constant units contribute, the outputs differ."""
    model, masks = sparse_mlp(1, 1.0)
    masks[1][:, 2] = False  # Unit 2 of the second layer reads nothing; it emits tanh of its bias.
    found = compact(model, masks, tf.ones([2, 4]))
    assert [len(units) for units in found.kept.values()] == [6, 4, 4]
    apply_masks(model, masks)
    assert difference(outputs(found.model, tf.ones([2, 4])), outputs(model, tf.ones([2, 4]))) < 1e-5
    (constant,) = found.model.constants
    constant.assign(tf.zeros_like(constant))
    assert difference(outputs(found.model, tf.ones([2, 4])), outputs(model, tf.ones([2, 4]))) > 1e-3


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_constants_read_at_the_border_of_an_image_are_those_of_the_border(kernel_size: int, padding: str) -> None:
    """A constant channel goes, though zero padding makes its contribution differ from place to place."""
    first, second = snt.Conv2D(3, 3), snt.Conv2D(4, kernel_size, padding=padding)
    model = snt.Sequential([first, tf.nn.relu, second, tf.nn.relu, snt.Flatten(), snt.Linear(2)])
    images = np.random.default_rng(0).normal(size=(3, 6, 5, 2)).astype(np.float32)
    model(images)
    first.b.assign([1.0, 2.0, -1.0])
    second.b.assign(np.linspace(0.5, 1, 4))
    weight = first.w.numpy()
    weight[..., 1] = 0
    first.w.assign(weight)
    found = compact(model, None, images)
    assert [units.tolist() for units in found.kept.values()] == [[0, 2], [0, 1, 2, 3]]
    assert difference(outputs(found.model, images), outputs(model, images)) < 1e-5
    (constant,) = found.model.constants
    varies = padding == "SAME" and kernel_size > 1
    assert constant.shape.as_list() == ([1, 6, 5, 4] if varies else [1, 1, 1, 4])
    if varies:  # The control: the same everywhere, as without padding, it would show.
        constant.assign(tf.broadcast_to(constant[:, 2:3, 2:3], constant.shape))
        assert difference(outputs(found.model, images), outputs(model, images)) > 1e-3


def test_removal_unravels_back_and_forth() -> None:
    """The last unit of a path takes the path along, and a constant makes constants of those it alone feeds."""
    model, masks = sparse_mlp(2, 1.0, (5, 4, 4, 4, 3))
    masks[0][:, 0] = False
    masks[1][:] = masks[2][:] = np.eye(4, dtype=bool)
    masks[3][2] = False
    found = compact(model, masks, tf.ones([2, 5]))
    # Units 0 are constants all along, and units 2 lead to an output that is cut.
    assert [units.tolist() for units in found.kept.values()] == [[1, 3]] * 3
    apply_masks(model, masks)
    assert difference(outputs(found.model, tf.ones([2, 5])), outputs(model, tf.ones([2, 5]))) < 1e-5


@pytest.mark.slow
def test_units_that_a_layer_norm_averages_stay() -> None:
    """Of the residual stream none can go, of the units between its dense layers those that lead nowhere."""
    case = next(case for case in CASES if case.name == "transformer")
    model = case.make()
    *_, wide, narrow, _ = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    kernel = narrow.kernel.numpy()
    kernel[3:] = 0
    narrow.kernel.assign(kernel)
    wide.bias.assign(tf.ones_like(wide.bias))
    found = compact(model, None, case.inputs())
    assert {len(units) for units in found.kept.values()} == {8, 2, 3, 4}
    assert found.kept[f"{wide.name}/kernel"].tolist() == [0, 1, 2]
    assert difference(outputs(found.model, case.inputs()), outputs(model, case.inputs())) < 1e-5


def test_masks_of_a_model_are_taken_along() -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(50, "relu"), keras.layers.Dense(2)])
    masks = Masks.create(model, "random", 0.9, seed=3)
    found = compact(model, masks, np.ones((4, 6)))
    assert difference(outputs(found.model, tf.ones([4, 6])), outputs(model, tf.ones([4, 6]))) < 1e-5
    (units,) = found.kept.values()
    assert len(units) < 50
    one, other = masks.arrays
    assert [mask.tolist() for mask in found.masks.values()] == [one[:, units].tolist(), other[units].tolist()]
    again = compact(found.model, found.masks | {}, np.ones((4, 6)))
    assert again.parameters.after == found.parameters.after


def test_cut_weights_that_are_not_zero_are_refused() -> None:
    """As after a step of an optimizer without masks, when the model computes otherwise than its masks say."""
    model = snt.nets.MLP([6, 2])
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    model(inputs)
    masks, graph = Masks.create(model, "random", 0.5, seed=1), UnitGraph.trace(model, inputs)
    model.trainable_variables[1].assign_add(tf.ones([4, 6]))
    message = r"12 of the 12 cut weights of mlp/linear_0/w:0 must be zero, .* call masks.apply\(\), and train with"
    for refused in (
        lambda: compact(model, masks, inputs),
        lambda: symmetry.automorphisms(masks, graph),
        lambda: symmetry.mask_statistics(masks),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
    masks.apply()
    assert difference(outputs(compact(model, masks, inputs), inputs), outputs(model, inputs)) < 1e-5


def test_masks_of_weights_that_the_call_does_not_read_are_left_out() -> None:
    """Such as of a second head, which is there in training."""
    first, head, aux = snt.Linear(8), snt.Linear(2), snt.Linear(3)
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    model = lambda x: head(tf.nn.relu(first(x)))  # noqa: E731
    aux(first(inputs)), model(inputs)
    masks = Masks.create([first.w, head.w, aux.w], "random", 0.8, seed=1)
    found, graph = compact(model, masks, inputs), UnitGraph.trace(model, inputs)
    assert len(found.masks) == 2
    assert difference(outputs(found, inputs), outputs(model, inputs)) < 1e-5
    read = Masks([first.w, head.w])
    read.set(masks.arrays[:2])
    assert symmetry.automorphisms(masks, graph).order == symmetry.automorphisms(read, graph).order > 1


@pytest.mark.parametrize("sizes", [(4,), (4, 5), (3, 4, 2)])
def test_costs_are_those_of_the_layers(sizes: tuple[int, ...]) -> None:
    """A convolution costs its filters at each place; a dense layer its weights."""
    convolutions = [layer for size in sizes for layer in (snt.Conv2D(size, 3, stride=2), tf.nn.relu)]
    model = snt.Sequential([*convolutions, snt.Flatten(), snt.Linear(3)])
    images = tf.ones([2, 9, 12, 2])
    model(images)
    first = next(layer for layer in model.submodules if isinstance(layer, snt.Conv2D))
    first.w.assign(first.w * tf.constant([0.0] + [1.0] * (sizes[0] - 1)))
    found = compact(model, None, images)

    def cost(widths: list[int]) -> tuple[int, int]:
        height, width, channels, parameters, flops = 9, 12, 2, 0, 0
        for size in widths:
            height, width = -(-height // 2), -(-width // 2)
            parameters += 9 * channels * size + size
            flops += 9 * channels * size * height * width
            channels = size
        dense = height * width * channels * 3
        return parameters + dense + 3, flops + dense

    (parameters, flops), (fewer, cheaper) = cost(list(sizes)), cost([sizes[0] - 1, *sizes[1:]])
    assert (found.parameters, found.flops) == ((parameters, fewer), (flops, cheaper))
    assert f"{flops:,}" in str(found) and f"{cheaper:,}" in str(found)


@pytest.mark.slow
def test_speed_is_measured_and_gained() -> None:
    model = snt.nets.MLP([2000, 2000, 10])
    images = np.ones((64, 64), np.float32)
    model(images)
    masks = [np.ones((64, 2000)), np.ones((2000, 2000)), np.ones((2000, 10))]
    masks[1][:, 8:] = 0
    masks[2][8:] = 0
    found = compact(model, masks, images)
    speed = found.measure_speed(images, calls=5)
    assert speed.before > speed.after > 0
    with pytest.raises(ValueError, match=r"calls \(=0\)"):
        found.measure_speed(images, calls=0)


def test_a_compacted_model_trains_and_is_saved(tmp_path: Any) -> None:
    model, masks = sparse_mlp(5, 0.3)
    small = compact(model, masks, tf.ones([2, 4])).model
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(small(tf.ones([3, 4])) ** 2)
    gradients = tape.gradient(loss, small.trainable_variables)
    assert all(gradient is not None for gradient in gradients) and len(gradients) == 8
    tf.train.Checkpoint(small).write(str(tmp_path / "small"))
    before = outputs(small, tf.ones([1, 4]))
    small.parameters[0].assign(tf.zeros_like(small.parameters[0]))
    tf.train.Checkpoint(small).read(str(tmp_path / "small")).assert_consumed()
    assert np.array_equal(outputs(small, tf.ones([1, 4]))[0], before[0])


def test_bad_input_is_refused() -> None:
    model, masks = sparse_mlp(1, 0.5)
    with pytest.raises(ValueError, match="example_inputs must hold the arguments of a call"):
        compact(model, masks)
    with pytest.raises(ValueError, match=r"shape \(0, 4\) must hold a batch"):
        compact(model, masks, tf.ones([0, 4]))
    with pytest.raises(ValueError, match="must have the variable's shape"):
        compact(model, [mask.T for mask in masks], tf.ones([2, 4]))
    with pytest.raises(ValueError, match=r"masks \(of length 3\) must hold one for each of the 4 weights"):
        compact(model, masks[:3], tf.ones([2, 4]))
    with pytest.raises(ValueError, match="'other' must be the name of one variable"):
        compact(model, {"other": masks[0]}, tf.ones([2, 4]))
    with pytest.raises(TypeError, match="must be a module, a Keras model or a function"):
        compact(3, None, tf.ones([2, 4]))  # type: ignore[arg-type]
    small = compact(model, masks, tf.ones([2, 4])).model
    with pytest.raises(ValueError, match="must have the shape"):
        small(tf.ones([2, 5]))
    with pytest.raises(ValueError, match="must be those that the model was compacted for"):
        small(tf.ones([2, 4]), is_training=True)


def test_a_model_that_computes_with_its_number_of_units_is_refused() -> None:
    first, head = snt.Linear(6), snt.Linear(2)

    def model(inputs: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(first(inputs))
        return head(hidden) / tf.cast(tf.raw_ops.Shape(input=hidden)[1], tf.float32)

    model(tf.ones([2, 4]))
    head.w.assign(head.w * tf.constant([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]]))
    with pytest.raises(ValueError, match="it must not compute with its number of units"):
        compact(model, None, tf.ones([2, 4]))


def test_a_model_that_returns_nan_is_refused_for_that() -> None:
    """As with a norm of weights by their length, all of one unit cut."""
    weight, head = tf.Variable(tf.ones([3, 2])), snt.Linear(2)
    cut = [np.ones([3, 2]) * [1, 0], np.ones([2, 2])]
    with pytest.raises(ValueError, match="model must not return NaN for the example inputs"):
        compact(lambda x: head(x @ (weight / tf.norm(weight, axis=0))), cut, tf.ones([2, 3]))


def test_the_result_is_written_as_a_table() -> None:
    model, masks = sparse_mlp(1, 0.5)
    lines = str(compact(model, masks, tf.ones([2, 4]))).splitlines()
    assert lines[0].split() == ["units", "before", "after"]
    assert [line.split()[0] for line in lines[1:4]] == ["mlp/linear_0/w", "mlp/linear_1/w", "mlp/linear_2/w"]


def test_several_inputs_are_given_as_the_model_takes_them() -> None:
    one, other = keras.Input((4,)), keras.Input((3,))
    joined = keras.layers.Concatenate()([keras.layers.Dense(6, "relu")(one), keras.layers.Dense(5, "relu")(other)])
    head = keras.layers.Dense(2)
    model = keras.Model([one, other], [head(joined), joined[:, :0]])
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(3, size)).astype(np.float32) for size in (4, 3)]
    head.kernel.assign(head.kernel * (np.arange(11) % 3 > 0)[:, None])
    assert sorted(space.size for space in UnitGraph.trace(model, inputs).free) == [5, 6]
    found = compact(model, None, inputs)
    assert sorted(len(units) for units in found.kept.values()) == [3, 4]
    more = [np.concatenate([each, each]) for each in inputs]
    assert difference(outputs(found, more)[:1], outputs(model, more)[:1]) < 1e-5


def test_a_model_that_computes_with_its_batch_is_refused() -> None:
    model, _ = sparse_mlp(3, 0.5)

    def centred(inputs: tf.Tensor) -> tf.Tensor:
        hidden = model(inputs)
        return hidden - tf.reduce_sum(hidden, axis=0) / tf.cast(tf.shape(inputs)[0], tf.float32)

    with pytest.raises(ValueError, match=r"its number of units or of examples"):
        compact(centred, None, tf.ones([2, 4]))


def test_slices_backwards_are_those_of_the_model() -> None:
    first, head = snt.Linear(5), snt.Linear(2)
    model = lambda inputs: head(tf.nn.relu(first(inputs))[:, ::-1])  # noqa: E731
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    assert difference(outputs(compact(model, None, inputs), inputs), outputs(model, inputs)) < 1e-5


def test_batch_norm_is_compacted_as_it_is_traced() -> None:
    first, norm, head = snt.Linear(5), snt.BatchNorm(True, True), snt.Linear(2)
    model = lambda inputs, is_training: head(tf.nn.relu(norm(first(inputs), is_training)))  # noqa: E731
    inputs = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    model(inputs, is_training=True)
    head.w.assign(head.w * tf.constant([[1.0], [0.0], [1.0], [0.0], [1.0]]))
    for is_training in (False, True):
        found = compact(model, None, inputs, is_training=is_training)
        assert [len(units) for units in found.kept.values()] == [3]
        assert difference(outputs(found, inputs), outputs(model, inputs, is_training=is_training)) < 1e-5


@pytest.mark.parametrize(
    "copied",
    [
        lambda token, x: tf.tile(token, [x.shape[0], 1, 1]),
        lambda token, x: tf.tile(token, [tf.shape(x)[0], 1, 1]),
        lambda token, x: tf.repeat(token, x.shape[0], axis=0),
    ],
)
def test_a_token_is_copied_for_each_example(copied: Any) -> None:
    """For each place of a sequence too, by the same operation."""
    token = tf.Variable(np.random.default_rng(1).normal(size=(1, 1, 5)).astype(np.float32))
    inner, outer, head = snt.Linear(6), snt.Linear(5), snt.Linear(2)

    def model(x: tf.Tensor) -> tf.Tensor:
        hidden = tf.concat([copied(token, x), x], axis=1)
        hidden += tf.tile(outer(tf.nn.relu(inner(hidden)))[:, :1], [1, 3, 1])
        return head(hidden[:, 0])

    inputs = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    model(inputs)
    outer.w.assign(outer.w * np.array([[1], [0], [1], [0], [1], [1]], np.float32))
    found = compact(model, None, inputs[:3])
    assert sorted(map(len, found.kept.values())) == [4]
    for batch in (inputs, inputs[:1]):
        assert difference(outputs(found, batch), outputs(model, batch)) < 1e-5


def test_layers_whose_gradients_are_computed_anew_are_compacted() -> None:
    """A function with a custom gradient hands over tensors that the gradient alone needs."""
    tf.random.set_seed(0)  # With some weights no unit is active.
    first, second, head = snt.Linear(5), snt.Linear(4), snt.Linear(2)
    anew = tf.recompute_grad(lambda x: tf.nn.relu(second(x)))
    model = lambda x: head(anew(tf.nn.relu(first(x))))  # noqa: E731
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    head(second(first(inputs)))
    head.w.assign(head.w * np.array([[1], [0], [1], [0]], np.float32))
    found = compact(model, None, inputs)
    assert sorted(map(len, found.kept.values())) == [2, 5]
    assert difference(outputs(found, inputs), outputs(model, inputs)) < 1e-5
