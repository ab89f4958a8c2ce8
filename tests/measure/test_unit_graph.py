"""Tests of the unit graph beside those of `weight_symmetry/test_any_model.py`: edges, reasons, layouts, axes, calls."""

import re
from typing import Any

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.unit_models import CASES
from weirdonetworks.measure.rescalings import scalings
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import UnitLayout, collect, spread
from weirdonetworks.measure.unit_tracing.axes import (
    Axis,
    Concatenation,
    Product,
    Units,
    concatenation,
    gather,
    product,
    resolved,
    split_concatenation,
    split_product,
    unify,
    units_of,
)


def test_what_cannot_be_followed_is_fixed_and_said() -> None:
    first, head = snt.Linear(6), snt.Linear(2)
    graph = UnitGraph.trace(lambda x: head(tf.sort(first(x))), tf.ones([2, 3]))
    assert not graph.free
    (space,) = [space for space in graph.spaces if space.size == 6 and space.name == "linear/w"]
    assert "TopKV2" in space.fixed and "is not followed" in space.fixed
    header, *lines = str(graph).splitlines()[1:]
    start = header.index("free or fixed")
    reasons = " ".join(line[start:] for line in lines)
    assert "fixed (TopKV2" in reasons and "compute it by other operations" in reasons
    assert "fixed (outputs): the data tell them apart" in reasons
    assert any(line.split()[:3] == ["2", "linear/w", "6"] for line in lines)


def test_a_computed_index_fixes_what_it_takes_from() -> None:
    first, head, step, scales = snt.Linear(5), snt.Linear(2), tf.Variable(0), tf.Variable(tf.ones([3, 5]))

    def network(x: tf.Tensor, index: tf.Variable | int) -> tf.Tensor:
        return head(tf.nn.relu(first(x)) * scales[index])

    found = {each.size: each.fixed for each in UnitGraph.trace(lambda x: network(x, step), tf.ones([2, 4])).spaces}
    assert found[3] == found[5] and "is given a computed argument" in found[5]
    assert [each.size for each in UnitGraph.trace(lambda x: network(x, 0), tf.ones([2, 4])).free] == [5]


EDGES = {
    "MLP": [*[("mlp/linear/w", (0,), (1,))] * 3],
    "mobile": [
        ("conv2d/kernel", (2,), (3,)),
        ("conv2d/kernel", (2,), (3,)),
        ("depthwise_conv2d/kernel", (2,), (2, 3)),
        ("conv2d/kernel", (2,), (3,)),
        ("dense/kernel", (0,), (1,)),
    ],
    "transformer": [
        ("dense/kernel", (0,), (1,)),
        ("multi_head_attention/query/kernel", (0,), (1, 2)),
        ("multi_head_attention/key/kernel", (0,), (1, 2)),
        ("multi_head_attention/value/kernel", (0,), (1, 2)),
        ("multi_head_attention/attention_output/kernel", (0, 1), (2,)),
        *[("dense/kernel", (0,), (1,))] * 3,
    ],
    "LSTM": [*[(f"recurrent/{name}", (0,), (1,)) for name in ("lstm/w_i", "lstm/w_h", "linear/w")]],
    "encoder": [
        *[("quantised/mlp/linear/w", (0,), (1,))] * 2,
        ("quantised/vector_quantizer/embeddings", (0,), (1,)),  # The distances multiply the codes,
        ("quantised/vector_quantizer/embeddings", (1,), (0,)),  # of which the nearest is read.
    ],
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_the_weights_that_read_and_write_units(name: str) -> None:
    graph = next(case for case in CASES if case.name == name).graph()
    found = [(re.sub(r"_\d+/", "/", graph.names[e.variable]), e.inputs, e.outputs) for e in graph.edges]
    assert found == EDGES[name]


def test_a_weight_computed_from_others_still_makes_an_edge() -> None:
    weight, mask, head = tf.Variable(tf.ones([2, 3, 4])), tf.Variable(tf.ones([2, 3, 4])), snt.Linear(2)
    graph = UnitGraph.trace(
        lambda x: head(tf.reshape(tf.transpose(x), [5, 6]) @ tf.reshape(weight * mask, [6, 4])), tf.ones([6, 5])
    )
    assert (graph.edges[0].inputs, graph.edges[0].outputs) == ((0, 1), (2,))


def test_a_part_of_a_weight_makes_an_edge() -> None:
    """As of the gates of a recurrent cell: without, its units would count as mixed, and stay when a model is compacted.

    The flips of an update are those of the weights of its candidate, of what it reads and of what reads it.
    """
    cell, head = snt.GRU(4), snt.Linear(2)
    graph = UnitGraph.trace(
        lambda x: head(cell(x, cell(x, cell.initial_state(3))[1])[0]), tf.random.normal([3, 2], seed=1)
    )
    names = [each.rpartition("/")[2] for each in graph.names]
    edges = {(names[edge.variable], edge.inputs, edge.outputs) for edge in graph.edges}
    assert {("w_h", (0,), (1,)), ("w_i", (0,), (1,)), ("w", (0,), (1,))} == edges
    ((space,), (found,)) = graph.free, scalings(graph)
    assert not space.mixed
    flipped = [names[group.variable] for group, flip in zip(found.groups, *found.flips, strict=True) if flip]
    assert sorted(flipped) == ["b", "w", "w_h", "w_h", "w_i"]


def test_functions_of_units_are_noted() -> None:
    first, second = snt.Linear(5), snt.Linear(4)
    graph = UnitGraph.trace(lambda x: tf.reduce_sum(tf.tanh(second(tf.nn.relu(first(x)))), axis=1), tf.ones([2, 3]))
    assert {space.size: space.functions for space in graph.free} == {5: {"Relu"}, 4: {"Tanh", "Sum"}}
    assert {space.size: space.mixed for space in graph.free} == {5: False, 4: True}


def test_constants_that_differ_from_unit_to_unit_fix_them() -> None:
    first, head, scale = snt.Linear(4), snt.Linear(2), tf.constant([1.0, 2.0, 3.0, 4.0])
    assert not UnitGraph.trace(lambda x: head(first(x) * scale), tf.ones([2, 3])).free
    alike = UnitGraph.trace(lambda x: head(first(x) * tf.fill([4], 2.0)), tf.ones([2, 3]))
    assert [space.size for space in alike.free] == [4]


def test_masks_are_permuted_as_weights_are() -> None:
    graph = UnitGraph.trace(snt.nets.MLP([4, 2], with_bias=False), tf.ones([1, 3]))
    masks = [np.arange(12).reshape(3, 4), np.arange(8).reshape(4, 2)]
    moved = graph.permuted({graph.free[0].name: [1, 2, 3, 0]}, masks)
    assert moved[0][0].tolist() == [3, 0, 1, 2]
    assert moved[1][:, 0].tolist() == [6, 0, 2, 4]


@pytest.mark.parametrize(
    ("permutations", "message"),
    [
        ({"mlp/linear_0/w": [0, 1]}, "must be of its 4 units"),
        ({"mlp/linear_0/w": [0, 1, 2, 2]}, "exactly once"),
        ({"mlp/linear_1/w": [1, 0]}, "is fixed: outputs. Free spaces: mlp/linear_0/w."),
        ({"units": [1, 0]}, "is not a space of the model"),
    ],
)
def test_permutations_that_do_not_fit_are_refused(permutations: dict[str, list[int]], message: str) -> None:
    graph = UnitGraph.trace(snt.nets.MLP([4, 2]), tf.ones([1, 3]))
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        graph.permuted(permutations)


def test_permutations_without_names_are_refused() -> None:
    graph = UnitGraph.trace(snt.nets.MLP([4, 2]), tf.ones([1, 3]))
    with pytest.raises(TypeError, match=r"permutations \(a list\) must map names of spaces"):
        graph.permute([0])  # type: ignore[arg-type]


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="example_inputs must hold the arguments of a call of model, and are none: "):
        UnitGraph.trace(snt.nets.MLP([2]))
    with pytest.raises(TypeError, match=r"model \(=int\) must be a module"):
        UnitGraph.trace(3, tf.ones([1, 2]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must read variables"):
        UnitGraph.trace(tf.nn.relu, tf.ones([1, 2]))
    linear = snt.Linear(2)
    with pytest.raises(ValueError, match="shape depends on the data"):
        UnitGraph.trace(lambda x: linear(tf.boolean_mask(x, x[:, 0] > 0)), tf.ones([4, 2]))


class TestChain:
    """Layouts of weights in a row, of which only the shapes are known."""

    def test_a_flattened_convolution_is_read_channels_last(self) -> None:
        layout = UnitLayout.of_chain({"conv": (3, 3, 1, 4), "dense": (24, 5), "out": (5, 2)})
        assert [(space.name, space.size) for space in layout.free] == [("conv", 4), ("dense", 5)]
        values = [np.zeros((3, 3, 1, 4)), np.arange(24)[:, None] * np.ones((1, 5)), np.zeros((5, 2))]
        moved = layout.permuted({"conv": [1, 2, 3, 0]}, values)
        assert moved[1][:8, 0].tolist() == [3, 0, 1, 2, 7, 4, 5, 6]

    def test_outputs_move_only_if_asked(self) -> None:
        assert [space.size for space in UnitLayout.of_chain([(3, 4), (4, 2)]).free] == [4]
        assert [space.size for space in UnitLayout.of_chain([(3, 4), (4, 2)], permute_outputs=True).free] == [4, 2]

    def test_a_single_channel_is_read_at_every_place(self) -> None:
        layout = UnitLayout.of_chain([(3, 3, 1, 1), (6, 5), (5, 2)])
        (channel,) = units_of(layout.axes[0][-1])
        assert list(units_of(layout.axes[1][0])) == [channel] * 6

    @pytest.mark.parametrize("shapes", [[], [(3, 4), (5, 2)], [(3, 4), (8, 2)], [(3, 3, 1, 4), (3, 3, 8, 2)]])
    def test_what_does_not_fit_is_refused(self, shapes: list[tuple[int, ...]]) -> None:
        with pytest.raises(ValueError, match="shape"):
            UnitLayout.of_chain(shapes)

    def test_flags_are_read_along_axes_and_split_again(self) -> None:
        two, three = Units(2), Units(3)
        axis = concatenation([product([two, three]), two])
        flags = {two: np.array([True, False]), three: np.array([False, True, True])}
        along = spread(axis, flags)
        assert along.astype(int).tolist() == [0, 1, 1, 0, 0, 0, 1, 0]
        found = [(units.size, values.tolist()) for units, values in collect(axis, along)]
        assert found == [(2, [True, False]), (3, [False, True, True]), (2, [True, False])]


class TestAxes:
    """Terms are unified, split and read as indices."""

    def test_a_flattened_axis_and_a_free_one_become_the_same(self) -> None:
        height, width, channels, rows = Units(2, "places"), Units(3, "places"), Units(4), Units(24)
        unify(product([height, width, channels]), rows, "test")
        assert [units.size for units in units_of(rows)] == [2, 3, 4]
        indices = gather(rows, {channels: np.array([1, 2, 3, 0])})
        assert indices[:8].tolist() == [3, 0, 1, 2, 7, 4, 5, 6]

    def test_groupings_are_refined(self) -> None:
        one, other = product([Units(6), Units(4)]), product([Units(2), Units(12)])
        unify(one, other, "test")
        assert [units.size for units in units_of(one)] == [units.size for units in units_of(other)] == [2, 3, 4]
        assert list(units_of(one)) == list(units_of(other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (product([Units(2), Units(3)]), product([Units(3), Units(2)])),
            (product([Units(2), Units(3)]), concatenation([Units(3), Units(3)])),
        ],
    )
    def test_what_does_not_fit_is_fixed(self, one: Axis, other: Axis) -> None:
        unify(one, other, "test")
        assert all(units.fixed for units in units_of(one, other))

    def test_concatenations_are_refined_and_read_from_their_starts(self) -> None:
        first, second, whole = Units(2), Units(3), Units(5)
        unify(concatenation([first, second]), whole, "test")
        assert gather(whole, {second: np.array([2, 0, 1])}).tolist() == [0, 1, 3, 4, 2]
        halves = split_concatenation(whole, 4)
        assert halves is not None and [half.size for half in halves] == [4, 1]
        assert split_product(Units(6), 4) is None

    def test_reasons_and_functions_go_along(self) -> None:
        units = Units(4, "why")
        units.functions.add("Relu")
        unify(units, product([Units(2), Units(2)]), "test")
        assert [(part.fixed, part.functions) for part in units_of(units)] == [("why", {"Relu"})] * 2

    def test_units_within_their_own_pairs_are_fixed(self) -> None:
        units = Units(1)
        pairs = product([Units(2), units])
        assert resolved(pairs).size == 2
        with pytest.raises(ValueError, match="must have the same size"):
            unify(units, pairs, "test")

    def test_products_of_products_are_one(self) -> None:
        nested = product([product([Units(2), Units(3)]), Units(1), Units(5)])
        assert isinstance(nested, Product) and len(nested.parts) == 3
        joined = concatenation([concatenation([Units(2), Units(3)]), Units(5)])
        assert isinstance(joined, Concatenation) and len(joined.parts) == 3


class TestCalls:
    """What a trace takes, and what it leaves as it was."""

    def test_tracing_leaves_the_state_of_a_model(self) -> None:
        model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(2)])
        before = [variable.numpy() for variable in model.variables]
        UnitGraph.trace(model, np.random.default_rng(0).normal(size=(8, 3)), training=True)
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))

    def test_tracing_leaves_the_state_that_a_function_refers_to(self) -> None:
        layers = [snt.Linear(4), snt.BatchNorm(True, True), snt.Linear(2)]
        count = tf.Variable(0.0, trainable=False)

        def model(inputs: tf.Tensor) -> tf.Tensor:
            count.assign_add(1.0)
            return layers[2](layers[1](layers[0](inputs), is_training=True))

        inputs = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        model(inputs)
        mean = layers[1].moving_mean.average.numpy()
        UnitGraph.trace(model, inputs * 5)
        assert count.numpy() == 1
        assert np.array_equal(layers[1].moving_mean.average.numpy(), mean)
        model(inputs * 5)  # The control: a call changes it.
        assert not np.array_equal(layers[1].moving_mean.average.numpy(), mean)

    def test_reading_what_the_call_has_changed_is_refused(self) -> None:
        first, mean = snt.Linear(4), tf.Variable(tf.zeros([4]), trainable=False, name="mean")

        def model(inputs: tf.Tensor) -> tf.Tensor:
            hidden = first(inputs)
            mean.assign(0.9 * mean + 0.1 * tf.reduce_mean(hidden, axis=0))
            return tf.nn.relu(hidden - mean)

        with pytest.raises(ValueError, match="must not read mean:0 after changing it in the same call"):
            UnitGraph.trace(model, tf.ones([2, 3]))

    def test_outputs_that_are_no_floats_are_compared_too(self) -> None:
        model = snt.nets.MLP([6, 5])
        graph = UnitGraph.trace(lambda x: tf.argmax(model(x), axis=1), np.random.default_rng(0).normal(size=(50, 3)))
        assert graph.verify() == 0
        rng = np.random.default_rng(1)
        assert graph.difference([rng.normal(size=variable.shape) for variable in graph.variables]) == np.inf

    def test_loops_are_fixed_and_refused_in_a_line_where_they_must_be_evaluated(self) -> None:
        inputs = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)

        def model(unroll: bool) -> keras.Model:
            layers = [keras.layers.LSTM(4, unroll=unroll), keras.layers.Dense(5, "relu"), keras.layers.Dense(2)]
            return keras.Sequential([keras.Input((6, 3)), *layers])

        graph = UnitGraph.trace(model(unroll=False), inputs)
        assert [space.size for space in graph.free] == [5]
        with pytest.raises(ValueError, match=r"While .* cannot be evaluated outside the model. Unroll loops"):
            graph.verify()
        unrolled = UnitGraph.trace(model(unroll=True), inputs)
        assert [space.size for space in unrolled.free] == [4, 5] and unrolled.verify() < 1e-12

    @pytest.mark.parametrize("evaluate", [UnitGraph.verify, scalings])
    def test_branches_are_refused_in_a_line_of_their_own(self, evaluate: Any) -> None:
        first, second, head = snt.Linear(4), snt.Linear(4), snt.Linear(2)

        def model(inputs: tf.Tensor) -> tf.Tensor:
            hidden = first(inputs)
            return head(tf.cond(tf.reduce_sum(hidden) > 0, lambda: second(hidden), lambda: -second(hidden)))

        graph = UnitGraph.trace(model, tf.ones([2, 3]))
        assert not graph.free
        with pytest.raises(ValueError, match=r"If .* cannot be evaluated outside the model. Branch in Python, or comp"):
            evaluate(graph)

    def test_what_has_no_double_precision_is_evaluated_in_its_own(self) -> None:
        first, last = keras.layers.Conv2D(5, 3), keras.layers.Dense(2)

        def model(images: tf.Tensor, method: str) -> tf.Tensor:
            return last(tf.reduce_mean(tf.image.resize(first(images), (6, 6), method), axis=(1, 2)))

        inputs = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
        for method in ("bilinear", "area", "lanczos3"):
            graph = UnitGraph.trace(model, inputs, method=method)
            assert np.allclose(graph.call.outputs(graph.variables)[0], model(inputs, method), atol=1e-5)
            assert graph.difference([variable.numpy() for variable in graph.variables]) == 0

    def test_images_scaled_up_by_repetition_are_followed(self) -> None:
        """The repetitions are computed from constants, by operations that TensorFlow does not fold."""
        layers = [keras.layers.Conv2D(6, 3, padding="same"), keras.layers.UpSampling2D(), keras.layers.Conv2D(3, 3)]
        model = keras.Sequential([keras.Input((4, 4, 2)), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])
        graph = UnitGraph.trace(model, np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32))
        assert sorted(space.size for space in graph.free) == [3, 6]
        assert graph.verify() < 1e-12

    def test_axes_left_out_are_found_in_a_model_as_created(self) -> None:
        """Its biases are zeros, which any order of units leaves as they are."""
        model = snt.nets.MLP([5, 4, 2])
        graph = UnitGraph.trace(model, np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32))
        before = [variable.numpy() for variable in graph.variables]
        assert graph.verify() < 1e-12
        assert not before[1].any()
        places = [place for space in graph.free for place in space.places]
        assert len(places) == 6
        for place in places:
            axes = graph.axes[place.variable]
            axes[place.axis], left_out = Units(axes[place.axis].size), axes[place.axis]
            assert graph.verify() > 1e-3, (graph.names[place.variable], place.axis)
            axes[place.axis] = left_out
        assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, graph.variables, strict=True))

    def test_norms_of_all_units_mix_them(self) -> None:
        model = snt.nets.MLP([5, 4])
        graph = UnitGraph.trace(lambda x: tf.nn.l2_loss(model(x)), tf.ones([2, 3]))
        assert {space.size: space.mixed for space in graph.free} == {5: False, 4: True}

    def test_reasons_of_rules_are_told(self) -> None:
        weight = tf.Variable(tf.ones([3, 4]))

        def model(inputs: tf.Tensor) -> tf.Tensor:
            return tf.nn.max_pool(tf.reshape(inputs @ weight, [2, 1, 1, 4]), [1, 1, 1, 2], [1, 1, 1, 2], "VALID")

        graph = UnitGraph.trace(model, tf.ones([2, 3]))
        assert any("pools over channels" in space.fixed for space in graph.spaces)

    @pytest.mark.parametrize(
        ("model", "given", "error", "message"),
        [
            (snt.nets.MLP, np.ones([1, 2]), TypeError, "of a class give an instance"),
            (lambda x: x, None, ValueError, "example_inputs must be arrays, and hold a NoneType"),
            (lambda x: x, object(), ValueError, "example_inputs must be arrays, and hold a object"),
        ],
    )
    def test_wrong_types_are_told_in_a_line(self, model: Any, given: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            UnitGraph.trace(model, given)
