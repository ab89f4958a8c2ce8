"""Tests of what is found to be conserved in which models, under which losses, and what is refused."""

import dataclasses

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.measure.chains import (
    CROSS_ENTROPY,
    Activation,
    Chain,
    Layer,
    Loss,
    by_name,
    found_in,
    squared_error,
    weight,
)
from weirdonetworks.measure.conserved import (
    MIXING,
    PERMUTATION,
    RESCALING,
    TRANSLATION,
    Value,
    conserved_quantities,
    drift,
)


def test_values_are_printed_without_their_numbers() -> None:
    assert repr([Value(np.zeros((300, 300)), 2.5), Value(np.zeros(1), 1 / 3)]) == (
        "[Value(shape=(300, 300), size=2.5), Value(shape=(1,), size=0.333333)]"
    )


def test_quantities_are_printed_without_weights() -> None:
    assert repr(conserved_quantities(snt.nets.MLP([300, 10]), CROSS_ENTROPY, tf.zeros([1, 784]))) == (
        "[Conserved(name='layer_0/balance', symmetry='rescaling of homogeneous units'), "
        "Conserved(name='layer_0/equal_units', symmetry='permutation of units'), "
        "Conserved(name='layer_1/class_sums', symmetry='translation of softmax classes')]"
    )


@pytest.mark.parametrize(
    ("activation", "names"),
    [
        (tf.nn.elu, {"equal_units"}),
        (tf.nn.relu6, {"equal_units"}),
        (tf.nn.softmax, {"equal_units"}),
        (tf.sign, {"equal_units"}),
        (tf.abs, {"balance", "equal_units"}),
        (lambda z: tf.cumsum(z, axis=1), set()),
        (lambda z: z * tf.range(1.0, 6.0), {"balance"}),
        # Of the two that are left, and of the others.
        (lambda z: tf.pad(tf.abs(z)[:, :2], [[0, 0], [0, 3]]), {"balance", "equal_units", "equal_units_2"}),
        (lambda z: tf.nn.dropout(tf.nn.relu(z), 0.5), {"balance"}),  # Whatever is dropped.
        (lambda z: tf.minimum(tf.nn.relu(z), 20.0), {"equal_units"}),
        (lambda z: z / (1 + tf.nn.avg_pool1d(z[..., None] ** 2, 3, 1, "SAME")[..., 0]), set()),
    ],
    ids=[
        *("elu", "relu6", "softmax", "sign", "abs", "mixed", "a factor each", "fewer units", "dropout"),
        *("a late cap", "neighbours"),
    ],
)
def test_symmetries_of_activations_are_found_out(activation: Activation, names: set[str]) -> None:
    found = found_in([Layer(weight(3, 5), activation=activation), Layer(weight(5, 2))], squared_error)
    assert {each.name.partition("/")[2] for each in found} == names
    assert MIXING not in by_name(found).values()


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True], ids=["", "frozen first"])
@pytest.mark.parametrize(("activation", "symmetry"), [(tf.nn.relu, RESCALING), (tf.identity, MIXING)])
def test_few_units_of_one_example_are_mixed_only_if_linear(activation: Activation, symmetry: str, frozen: bool) -> None:
    """Few ReLUs are often all active, and those after others often all without any input."""
    rng = np.random.default_rng(0)
    for width in (2, 3):
        drawn = [rng.normal(size=shape) for shape in ((2, width), (width, width), (width, 3))]
        before, *weights = (tf.Variable(each, trainable=index > 0) for index, each in enumerate(drawn))
        layers = [Layer(weights[0], activation=activation), Layer(weights[1])]
        if frozen:
            layers = [Layer(before, activation=tf.nn.relu), *layers]
        (balance,) = (
            each
            for each in conserved_quantities(
                snt.Sequential(layers), CROSS_ENTROPY, tf.ones([1, len(drawn[1 - frozen])], tf.float64)
            )
            if each.symmetry in (RESCALING, MIXING)
        )
        assert balance.symmetry == symmetry
        assert balance.value().numbers.shape == ((width, width) if symmetry == MIXING else (width,))


def test_losses_are_found_out() -> None:
    def has_class_sums(loss: Loss, activation: Activation | None = None) -> bool:
        layers = [Layer(weight(3, 5), activation=activation or tf.identity)]
        return [each.symmetry for each in found_in(layers, loss)] == [TRANSLATION]

    keras = tf.keras.losses
    assert has_class_sums(CROSS_ENTROPY) and has_class_sums(tf.nn.softmax_cross_entropy_with_logits)
    assert has_class_sums(keras.SparseCategoricalCrossentropy(), tf.nn.softmax)
    assert has_class_sums(squared_error, tf.nn.softmax)

    def almost(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return CROSS_ENTROPY(labels, outputs) + 1e-5 * tf.reduce_logsumexp(outputs, axis=-1) ** 2

    for loss in (squared_error, keras.MeanSquaredError(), tf.nn.sigmoid_cross_entropy_with_logits, almost):
        assert not has_class_sums(loss)


def test_class_sums_have_the_bias_of_a_deep_network_too() -> None:
    """Whose outputs are so large that the bias is lost in their rounding."""
    rng = np.random.default_rng(0)
    weights = [tf.Variable(rng.normal(size=(4, 4))) for _ in range(12)]
    last, bias = tf.Variable(rng.normal(size=(4, 3))), tf.Variable(rng.normal(size=3))
    layers = [*(Layer(each, activation=tf.nn.relu) for each in weights), Layer(last, bias)]
    *_, sums = found_in(layers)
    assert sums.symmetry == TRANSLATION
    assert np.allclose(sums.value().numbers, [*last.numpy().sum(axis=1), bias.numpy().sum()])
    assert TRANSLATION not in by_name(found_in(layers, squared_error)).values()


def test_deep_networks_with_a_softmax_have_class_sums() -> None:
    rng = np.random.default_rng(0)
    weights = [tf.Variable(rng.normal(size=shape) * (2 / shape[0]) ** 0.5) for shape in [(8, 8)] * 10 + [(8, 3)]]
    layers = [
        *(Layer(each, activation=tf.nn.relu) for each in weights[:-1]),
        Layer(weights[-1], activation=tf.nn.softmax),
    ]
    assert TRANSLATION in by_name(found_in(layers, squared_error)).values()


def test_class_sums_hold_for_all_weights_not_only_those_near_the_model() -> None:
    """Logits that are clipped far from those of the model move alike near them only."""
    small = Layer(tf.Variable(1e-3 * np.ones((3, 5))), activation=lambda z: tf.clip_by_value(z, -20.0, 20.0))
    assert TRANSLATION not in by_name(found_in([small])).values()


def test_a_loss_of_its_own_model_s_outputs_alone_is_asked_of_these() -> None:
    def strict(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        tf.debugging.assert_non_negative(outputs)
        return tf.reduce_sum((labels - outputs) ** 2, axis=-1)

    assert TRANSLATION in by_name(found_in([Layer(weight(3, 5), activation=tf.nn.softmax)], strict)).values()


def test_classes_at_each_place_have_sums() -> None:
    found = conserved_quantities(snt.Conv2D(4, 3), CROSS_ENTROPY, tf.ones([1, 8, 8, 2]))
    assert by_name(found) == {"layer_0/class_sums": TRANSLATION}


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_units_that_a_norm_leaves_without_a_scale_are_in_no_balance(kind: str) -> None:
    layers = Chain(tf.nn.relu, kind).layers
    layers[0] = dataclasses.replace(layers[0], scale=None)
    names = [each.name for each in found_in(layers) if each.symmetry == RESCALING]
    assert names == ["layer_1/balance"]


def test_drift_is_in_proportion_to_the_terms() -> None:
    nothing = Value(np.zeros(2), 0.0)
    assert drift(nothing, nothing) == 0
    assert drift(nothing, Value(np.array([1e-7, 0.0]), 10.0)) == pytest.approx(1e-8)
    assert drift(Value(np.zeros(2), 10.0), Value(np.array([3.0, 4.0]), 1.0)) == 0.5
    with pytest.raises(ValueError, match=r"before \(of shape \(2,\)\) and after \(of shape \(3,\)\) must be values of"):
        drift(nothing, Value(np.zeros(3), 0.0))


def test_norms_of_keras_are_read_as_in_training() -> None:
    kinds = tf.keras.layers
    layers = [kinds.Dense(5), kinds.BatchNormalization(), kinds.ReLU(), kinds.Dense(4, activation="relu")]
    network = tf.keras.Sequential([*layers, kinds.Dense(2, activation="softmax")])
    loss, inputs = tf.keras.losses.SparseCategoricalCrossentropy(), np.ones([4, 3], np.float32)
    found = conserved_quantities(network, loss, inputs, training=True)
    assert [each.name for each in found] == [
        *("layer_0/length", "layer_0/balance", "layer_0/equal_units"),
        *("layer_1/balance", "layer_1/equal_units", "layer_2/class_sums"),
    ]
    before = [each.value() for each in found]
    network.layers[-1].kernel.assign_add(np.eye(4, 2))
    moved = [drift(one, each.value()) > 0 for one, each in zip(before, found, strict=True)]
    assert moved == [False, False, False, True, False, True]
    evaluated = conserved_quantities(network, loss, inputs, training=False)
    assert "layer_0/length" not in [each.name for each in evaluated]


def test_bad_models_and_losses_are_refused() -> None:
    with pytest.raises(TypeError, match=r"model \(=int\) must be a module, a Keras model or a function"):
        conserved_quantities(3, CROSS_ENTROPY, tf.ones([1, 2]))
    with pytest.raises(ValueError, match="must read variables"):
        conserved_quantities(snt.Flatten(), CROSS_ENTROPY, tf.ones([1, 2]))
    with pytest.raises(ValueError, match=r"loss \(=.*\) must take one-hot or integer labels"):
        found_in([Layer(weight(3, 4))], lambda outputs: tf.reduce_sum(outputs))


def test_variables_that_are_not_trained_take_no_part() -> None:
    layers = [Layer(weight(3, 5), activation=tf.nn.relu), Layer(tf.Variable(tf.ones([5, 2]), trainable=False))]
    assert {each.symmetry for each in found_in(layers)} == {PERMUTATION}


@pytest.mark.parametrize("twins", [False, True])
def test_units_that_frozen_weights_tell_apart_are_not_equal(twins: bool) -> None:
    """All have outgoing weights of 0, but only those with the same frozen incoming weights as another's stay equal."""
    rng = np.random.default_rng(0)
    incoming = rng.normal(size=[3, 5])
    if twins:
        incoming[:, 1] = incoming[:, 0]
    frozen, head = tf.Variable(incoming, trainable=False), tf.Variable(np.zeros([5, 2]))
    inputs, labels = tf.constant(rng.normal(size=[4, 3])), tf.one_hot([0, 1, 1, 0], 2, dtype=tf.float64)

    def model(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x @ frozen) @ head

    (units,) = (each for each in conserved_quantities(model, CROSS_ENTROPY, inputs) if each.symmetry == PERMUTATION)
    before = units.value()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, model(inputs)))
    head.assign_sub(0.1 * tape.gradient(loss, head))
    assert np.array_equal(before.numbers, units.value().numbers)
    assert before.numbers.sum() == 5 + 2 * twins


def test_several_outputs_have_no_class_sums() -> None:
    first, second = snt.Linear(3), snt.Linear(2)
    found = conserved_quantities(lambda x: (first(x), second(first(x))), CROSS_ENTROPY, tf.ones([2, 4]))
    assert all(each.symmetry != TRANSLATION for each in found)


def test_examples_that_leave_the_outputs_as_they_are_say_nothing_of_the_loss() -> None:
    model = snt.nets.MLP([3, 2], with_bias=False)
    for loss, translated in ((squared_error, False), (CROSS_ENTROPY, True)):
        assert (TRANSLATION in by_name(conserved_quantities(model, loss, tf.zeros([1, 4]))).values()) == translated
