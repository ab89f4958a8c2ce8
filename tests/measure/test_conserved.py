"""Tests of conserved quantities: their drift under gradient descent, second order in the step, and controls.

A step of the rate h down the gradient g takes a conserved w M w to w M w + h^2 g M g exactly, and keeps a conserved
u w. Both are tested in float64, beside quantities that a network would have with another activation, norm or loss.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.measure.conserved import (
    MIXING,
    PERMUTATION,
    RESCALING,
    SCALE,
    TRANSLATION,
    Conserved,
    Value,
    conserved_quantities,
    drift,
)
from weirdonetworks.measure.layer_chain import Layer, Norm, layers_of

Activation: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Loss: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

CROSS_ENTROPY = tf.nn.sparse_softmax_cross_entropy_with_logits
RATE = 0.1
EXACT = 1e-9  # Of h^2 g M g, which may be as small a part of w M w.
SIZES = (4, 6, 5, 3)


def squared_error(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    if labels.shape.rank == 1:
        labels = tf.one_hot(labels, outputs.shape[1])
    return tf.reduce_mean(tf.square(tf.cast(labels, outputs.dtype) - outputs), axis=-1)


def cube(inputs: tf.Tensor) -> tf.Tensor:
    return inputs**3


def test_values_are_printed_without_their_numbers() -> None:
    assert repr([Value(np.zeros((300, 300)), 2.5), Value(np.zeros(1), 1 / 3)]) == (
        "[Value(shape=(300, 300), size=2.5), Value(shape=(1,), size=0.333333)]"
    )


def test_quantities_are_printed_without_weights() -> None:
    network = snt.nets.MLP([300, 10])
    network(tf.zeros([1, 784]))
    assert repr(conserved_quantities(network, CROSS_ENTROPY)) == (
        "[Conserved(name='layer_0/balance', symmetry='rescaling of homogeneous units'), "
        "Conserved(name='layer_0/equal_units', symmetry='permutation of units'), "
        "Conserved(name='layer_1/class_sums', symmetry='translation of softmax classes')]"
    )


class Chain:
    """Dense layers in float64 with drawn weights, and drawn data to train them on."""

    def __init__(self, activation: Activation, norm: str = "", loss: Loss = CROSS_ENTROPY):
        self._rng = np.random.default_rng(0)
        self.kind, self.loss = norm, loss
        *hidden, last = itertools.pairwise(SIZES)
        self.layers = [self.hidden_layer(*sizes, activation) for sizes in hidden]
        self.layers.append(Layer(self.drawn(*last), self.drawn(last[1])))
        self.inputs = tf.constant(self._rng.normal(size=(40, SIZES[0])))
        self.labels = tf.constant(self._rng.integers(0, SIZES[-1], 40))
        self.variables = [variable for layer in self.layers for variable in layer.variables]
        self.step = tf.function(lambda rate: self.descend(self.gradients(), rate), autograph=False)

    def drawn(self, *shape: int) -> tf.Variable:
        return tf.Variable(0.5 * self._rng.normal(size=shape))

    def hidden_layer(self, inputs: int, units: int, activation: Activation) -> Layer:
        bias = None if self.kind == "weight" else self.drawn(units)
        norm = Norm(self.kind, self.drawn(units), self.drawn(units)) if self.kind else None
        return Layer(self.drawn(inputs, units), bias, activation, norm)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        for layer in self.layers:
            outputs = self.normed(inputs, layer)
            inputs = layer.activation(outputs) if layer.activation else outputs
        return inputs

    def normed(self, inputs: tf.Tensor, layer: Layer) -> tf.Tensor:
        if layer.norm is None:
            return inputs @ layer.weights + layer.bias
        if self.kind == "weight":
            outputs = inputs @ (layer.weights / tf.norm(layer.weights, axis=0))
        else:
            outputs = inputs @ layer.weights + layer.bias
            means, variances = tf.nn.moments(outputs, [0 if self.kind == "batch" else 1], keepdims=True)
            outputs = (outputs - means) / tf.sqrt(variances)
        return outputs * layer.norm.scale + layer.norm.offset

    def gradients(self) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.loss(self.labels, self(self.inputs)))
        return tape.gradient(loss, self.variables)

    def descend(self, gradients: Sequence[tf.Tensor], rate: float | tf.Tensor) -> None:
        for variable, gradient in zip(self.variables, gradients, strict=True):
            variable.assign_sub(rate * gradient)

    def train(self, rate: float, steps: int) -> None:
        for _ in range(steps):
            self.step(tf.constant(rate, tf.float64))

    def make_twins(self, in_all: bool = True) -> None:
        """Makes the first two units of each hidden layer equal; else only the weights into them."""
        for layer, following in itertools.pairwise(self.layers):
            for variable in layer.variables:
                variable[..., 1].assign(variable[..., 0])
            if in_all:
                following.weights[1].assign(following.weights[0])

    def apart(self) -> float:
        """How far apart the weights into the first two units of hidden layers are at most."""
        return max(float(tf.norm(layer.weights[:, 1] - layer.weights[:, 0])) for layer in self.layers[:-1])


class Convolutions(Chain):
    """Two convolutions in float64, pooled and flattened, and a dense layer; as the chain that is read off."""

    def __init__(self, activation: Activation, pool: Callable[..., tf.Tensor]):
        self.loss = CROSS_ENTROPY
        self.network = snt.Sequential(
            [
                *(snt.Conv2D(4, 3), activation, lambda x: pool(x, 2, 2, "VALID"), snt.Conv2D(5, 2), activation),
                *(lambda x: pool(x, 3, 1, "SAME"), snt.Flatten(), snt.Linear(3)),
            ]
        )
        rng = np.random.default_rng(0)
        self.inputs = tf.constant(rng.normal(size=(10, 6, 6, 2)))
        self.labels = tf.constant(rng.integers(0, 3, 10))
        self.network(self.inputs)
        self.layers = layers_of(self.network)
        self.variables = list(self.network.trainable_variables)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.network(inputs)


def claiming(chain: Chain, **claims: Any) -> list[Layer]:
    """The layers of a chain, the hidden ones said to have what they have not."""
    return [*(dataclasses.replace(layer, **claims) for layer in chain.layers[:-1]), chain.layers[-1]]


def errors_of_a_step(chain: Chain, quantities: Sequence[Conserved]) -> dict[str, float]:
    """How far a step is from the law, for each quantity but those of permutations, in proportion to what it moves."""
    quantities = [each for each in quantities if each.symmetry != PERMUTATION]
    before = [each.value() for each in quantities]
    gradients = chain.gradients()
    chain.descend(gradients, RATE)
    after = [each.value() for each in quantities]
    for variable, gradient in zip(chain.variables, gradients, strict=True):
        variable.assign(gradient)
    errors = {}
    for each, one, other in zip(quantities, before, after, strict=True):
        of_gradient = each.value()
        linear = each.symmetry == TRANSLATION
        expected = one.numbers + (0 if linear else RATE**2 * of_gradient.numbers)
        size = (RATE if linear else RATE**2) * of_gradient.size
        errors[each.name] = float(np.linalg.norm(other.numbers - expected)) / size
    return errors


def by_name(quantities: Sequence[Conserved]) -> dict[str, str]:
    return {each.name: each.symmetry for each in quantities}


@pytest.mark.parametrize(
    ("activation", "norm", "symmetries"),
    [
        (tf.identity, "", {"balance": MIXING}),
        (tf.nn.relu, "", {"balance": RESCALING}),
        (tf.nn.leaky_relu, "", {"balance": RESCALING}),
        (tf.square, "", {"balance": RESCALING}),
        (cube, "", {"balance": RESCALING}),
        (tf.tanh, "", {}),
        (tf.tanh, "layer", {"length": SCALE}),
        (tf.nn.relu, "layer", {"length": SCALE, "balance": RESCALING}),
        (tf.nn.relu, "batch", {"length": SCALE, "balance": RESCALING}),
    ],
)
def test_a_step_changes_it_by_the_square_of_the_rate_alone(
    activation: Activation, norm: str, symmetries: dict[str, str]
) -> None:
    chain = Chain(activation, norm)
    found = conserved_quantities(chain.layers, CROSS_ENTROPY)
    assert by_name(found) == {
        **{f"layer_{i}/{name}": symmetry for i in (0, 1) for name, symmetry in symmetries.items()},
        **{f"layer_{i}/equal_units": PERMUTATION for i in (0, 1)},
        "layer_2/class_sums": TRANSLATION,
    }
    errors = errors_of_a_step(chain, found)
    assert len(errors) == 2 * len(symmetries) + 1
    assert max(errors.values()) < EXACT


@pytest.mark.parametrize(
    ("activation", "pool", "symmetry"),
    [
        (tf.nn.relu, tf.nn.max_pool2d, RESCALING),
        (tf.identity, tf.nn.avg_pool2d, MIXING),
        (tf.tanh, tf.nn.max_pool2d, ""),
    ],
)
def test_channels_of_convolutions_are_units(
    activation: Activation, pool: Callable[..., tf.Tensor], symmetry: str
) -> None:
    chain = Convolutions(activation, pool)
    found = conserved_quantities(chain.network, CROSS_ENTROPY)
    names = {f"layer_{i}/balance": symmetry for i in (0, 1) if symmetry}
    units = {f"layer_{i}/equal_units": PERMUTATION for i in (0, 1)}
    assert by_name(found) == {**names, **units, "layer_2/class_sums": TRANSLATION}
    assert [len(each.value().numbers) for each in found if each.symmetry == PERMUTATION] == [4, 5]
    assert max(errors_of_a_step(chain, found).values()) < EXACT


def test_channels_of_tanh_are_in_no_balance() -> None:
    chain = Convolutions(tf.tanh, tf.nn.max_pool2d)
    relu = Convolutions(tf.nn.relu, tf.nn.max_pool2d).layers
    claimed = [
        dataclasses.replace(layer, activation=other.activation) for layer, other in zip(chain.layers, relu, strict=True)
    ]
    errors = errors_of_a_step(chain, conserved_quantities(claimed, CROSS_ENTROPY))
    assert min(errors["layer_0/balance"], errors["layer_1/balance"]) > 1e-2


def test_weights_divided_by_their_length_are_in_no_balance_with_the_units_before() -> None:
    chain = Chain(tf.nn.relu, "weight")
    found = conserved_quantities(chain.layers, CROSS_ENTROPY)
    assert {each.name for each in found if each.symmetry == SCALE} == {"layer_0/length", "layer_1/length"}
    assert [each.name for each in found if each.symmetry == RESCALING] == ["layer_1/balance"]
    assert max(errors_of_a_step(chain, found).values()) < EXACT
    chain = Chain(tf.nn.relu, "weight")
    claimed = dataclasses.replace(chain.layers[1], norm=Norm("batch"))
    found = conserved_quantities([chain.layers[0], claimed, chain.layers[2]], CROSS_ENTROPY)
    assert errors_of_a_step(chain, found)["layer_0/balance"] > 1e-2


@pytest.mark.parametrize(
    ("chain", "claims", "name"),
    [
        (lambda: Chain(tf.tanh), {"activation": tf.nn.relu}, "balance"),
        (lambda: Chain(tf.nn.relu), {"activation": tf.identity}, "balance"),
        (lambda: Chain(tf.square), {"activation": tf.nn.relu}, "balance"),
        (lambda: Chain(tf.identity, "batch"), {"norm": None}, "balance"),
        (lambda: Chain(tf.nn.relu), {"norm": Norm("batch")}, "length"),
        (lambda: Chain(tf.tanh, "layer"), {"norm": Norm("batch")}, "length"),
        (lambda: Chain(tf.nn.relu, loss=squared_error), {}, "class_sums"),
    ],
    ids=["tanh", "ReLU as linear", "square as ReLU", "norm forgotten", "no norm", "layer as batch norm", "no softmax"],
)
def test_what_has_no_such_symmetry_breaks_the_law(
    chain: Callable[[], Chain], claims: dict[str, Any], name: str
) -> None:
    made = chain()
    errors = errors_of_a_step(made, conserved_quantities(claiming(made, **claims), CROSS_ENTROPY))
    claimed = [error for key, error in errors.items() if key.endswith(name)]
    assert claimed and min(claimed) > 1e-2


def drifts(chain: Chain, quantities: Sequence[Conserved], rate: float, time: float) -> dict[str, float]:
    """The drift of each quantity over a time; the chain is left as it was."""
    start = [tf.identity(variable) for variable in chain.variables]
    before = [each.value() for each in quantities]
    chain.train(rate, round(time / rate))
    found = {each.name: drift(one, each.value()) for each, one in zip(quantities, before, strict=True)}
    for variable, weights in zip(chain.variables, start, strict=True):
        variable.assign(weights)
    return found


@pytest.mark.parametrize(("activation", "norm"), [(tf.identity, ""), (tf.nn.relu, ""), (tf.tanh, "layer")])
def test_over_a_fixed_time_drift_is_in_proportion_to_the_rate(activation: Activation, norm: str) -> None:
    chain = Chain(activation, norm)
    found = conserved_quantities(chain.layers, CROSS_ENTROPY)
    fast, slow = (drifts(chain, found, rate, time=2.0) for rate in (0.02, 0.01))
    for each in found:
        if each.symmetry == TRANSLATION:
            assert max(fast[each.name], slow[each.name]) < 1e-13
        elif each.symmetry == PERMUTATION:
            assert fast[each.name] == slow[each.name] == 0
        else:
            assert 1e-5 < slow[each.name] < 1e-2
            assert fast[each.name] / slow[each.name] == pytest.approx(2, rel=0.05)


def test_the_drift_of_tanh_is_the_same_at_every_rate() -> None:
    chain = Chain(tf.tanh)
    found = conserved_quantities(claiming(chain, activation=tf.nn.relu), CROSS_ENTROPY)
    fast, slow = (drifts(chain, found, rate, time=2.0) for rate in (0.02, 0.01))
    for name in ("layer_0/balance", "layer_1/balance"):
        assert slow[name] > 0.01
        assert fast[name] / slow[name] == pytest.approx(1, rel=0.02)


def equality(chain: Chain) -> list[Value]:
    found = conserved_quantities(chain.layers, CROSS_ENTROPY)
    return [each.value() for each in found if each.symmetry == PERMUTATION]


@pytest.mark.parametrize(
    ("make", "keeps_sums"),
    [(lambda: Momentum(0.0), True), (Momentum, True), (Adam, False)],
    ids=["descent", "momentum", "Adam"],
)
def test_equal_units_stay_equal_under_every_optimizer(make: Callable[[], Any], keeps_sums: bool) -> None:
    chain = Chain(tf.tanh)
    chain.make_twins()
    *units, sums = conserved_quantities(chain.layers, CROSS_ENTROPY)
    before = [each.value() for each in (*units, sums)]
    assert [value.numbers.sum() for value in before[:-1]] == [SIZES[1] + 2, SIZES[2] + 2]
    optimizer = make()
    optimizer.initialize(chain.variables)
    rate = tf.constant(0.05, tf.float64)
    step = tf.function(lambda: optimizer.apply(chain.gradients(), chain.variables, rate), autograph=False)
    for _ in range(50):
        step()
    assert chain.apart() < 1e-12
    *of_units, of_sums = (drift(one, each.value()) for one, each in zip(before, (*units, sums), strict=True))
    assert of_units == [0, 0]
    assert of_sums < 1e-13 if keeps_sums else of_sums > 1e-2


def test_units_with_other_weights_out_of_them_come_apart() -> None:
    chain = Chain(tf.tanh)
    chain.make_twins(in_all=False)
    assert [value.numbers.sum() for value in equality(chain)] == [SIZES[1], SIZES[2]]
    assert chain.apart() == 0
    chain.train(0.2, 50)
    assert chain.apart() > 1e-2


def test_twins_set_apart_are_seen_to_drift() -> None:
    chain = Chain(tf.tanh)
    chain.make_twins()
    (before, _) = equality(chain)
    chain.layers[0].weights[0, 0].assign(9.0)
    (after, _) = equality(chain)
    assert drift(before, after) == pytest.approx(np.sqrt(2 / (SIZES[1] + 2)))


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
        (lambda z: z[:, :2], set()),
        (lambda z: tf.nn.dropout(tf.nn.relu(z), 0.5), set()),
        (lambda z: tf.minimum(tf.nn.relu(z), 20.0), {"equal_units"}),
        (lambda z: z / (1 + tf.nn.avg_pool1d(z[..., None] ** 2, 3, 1, "SAME")[..., 0]), set()),
    ],
    ids=[
        *("elu", "relu6", "softmax", "sign", "abs", "mixed", "a factor each", "fewer units", "dropout"),
        *("a late cap", "neighbours"),
    ],
)
def test_symmetries_of_activations_are_found_out(activation: Activation, names: set[str]) -> None:
    layers = [Layer(tf.Variable(tf.ones([3, 5])), activation=activation), Layer(tf.Variable(tf.ones([5, 2])))]
    found = conserved_quantities(layers, squared_error)
    assert {each.name.partition("/")[2] for each in found} == names
    assert MIXING not in by_name(found).values()


def test_a_single_unit_is_told_from_a_linear_one() -> None:
    for activation, symmetry in ((tf.nn.relu, RESCALING), (tf.identity, MIXING)):
        layers = [Layer(tf.Variable(tf.ones([3, 1])), activation=activation), Layer(tf.Variable(tf.ones([1, 2])))]
        assert by_name(conserved_quantities(layers, squared_error))["layer_0/balance"] == symmetry


def test_losses_are_found_out() -> None:
    def has_class_sums(loss: Loss, activation: Activation | None = None) -> bool:
        layers = [Layer(tf.Variable(tf.ones([3, 5])), activation=activation)]
        return [each.symmetry for each in conserved_quantities(layers, loss)] == [TRANSLATION]

    keras = tf.keras.losses
    assert has_class_sums(CROSS_ENTROPY) and has_class_sums(tf.nn.softmax_cross_entropy_with_logits)
    assert has_class_sums(keras.SparseCategoricalCrossentropy(), tf.nn.softmax)
    assert has_class_sums(squared_error, tf.nn.softmax)

    def almost(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        return CROSS_ENTROPY(labels, outputs) + 1e-5 * tf.reduce_logsumexp(outputs, axis=-1) ** 2

    for loss in (squared_error, keras.MeanSquaredError(), tf.nn.sigmoid_cross_entropy_with_logits, almost):
        assert not has_class_sums(loss)


def test_classes_at_each_place_have_sums() -> None:
    layers = [Layer(tf.Variable(tf.ones([3, 3, 2, 4])))]
    assert by_name(conserved_quantities(layers, CROSS_ENTROPY)) == {"layer_0/class_sums": TRANSLATION}


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_units_that_a_norm_leaves_without_a_scale_are_in_no_balance(kind: str) -> None:
    layers = Chain(tf.nn.relu, kind).layers
    layers[0] = dataclasses.replace(layers[0], norm=Norm(kind, offset=layers[0].norm.offset))
    names = [each.name for each in conserved_quantities(layers, CROSS_ENTROPY) if each.symmetry == RESCALING]
    assert names == ["layer_1/balance"]


def test_drift_is_in_proportion_to_the_terms() -> None:
    nothing = Value(np.zeros(2), 0.0)
    assert drift(nothing, nothing) == 0
    assert drift(nothing, Value(np.array([1e-7, 0.0]), 10.0)) == pytest.approx(1e-8)
    assert drift(Value(np.zeros(2), 10.0), Value(np.array([3.0, 4.0]), 1.0)) == 0.5
    with pytest.raises(ValueError, match=r"before \(of shape \(2,\)\) and after \(of shape \(3,\)\) must be values of"):
        drift(nothing, Value(np.zeros(3), 0.0))


def test_bad_models_and_losses_are_refused() -> None:
    one, other = Layer(tf.Variable(tf.ones([3, 4]))), Layer(tf.Variable(tf.ones([3, 2])))
    frozen = Layer(tf.Variable(tf.ones([3, 4]), trainable=False))
    biased = dataclasses.replace(one, bias=tf.Variable(tf.ones([4])), norm=Norm("weight"))
    late = snt.Sequential([snt.Linear(3), tf.nn.relu, snt.LayerNorm(-1, True, True)])
    late(tf.zeros([1, 2]))
    for model, error, words in (
        (3, TypeError, r"model \(=3\) must be a Sonnet or Keras chain"),
        ([3], TypeError, r"model \(=\[3\]\) must hold Layers only"),
        ([], ValueError, "must be a chain with a dense or convolutional layer"),
        (snt.Flatten(), ValueError, "must be a chain with a dense or convolutional layer"),
        (snt.nets.MLP([3]), ValueError, "linear_0 has no weights yet. Call the model once"),
        (tf.keras.layers.Dense(3, name="top"), ValueError, "top has no weights yet. Call the model once"),
        (late, ValueError, "a norm in model must come right after a layer with weights"),
        (
            [one, other],
            ValueError,
            "layer 1 must take the 4 units of the layer before, once or at so many places, and takes 3",
        ),
        ([one, one], ValueError, "layer 1 must not share variables"),
        ([Layer(tf.Variable(tf.ones([3])))], ValueError, "the weights of layer 0, of shape .3,., must be"),
        ([biased], ValueError, "layer 0 must have no bias but the offset"),
        ([frozen], ValueError, "the variables of layer 0 must be trainable"),
    ):
        with pytest.raises(error, match=words):
            conserved_quantities(model, CROSS_ENTROPY)
    with pytest.raises(ValueError, match=r"kind \(='group'\) must be one of batch, layer, weight"):
        Norm("group")
    with pytest.raises(ValueError, match=r"loss \(=.*\) must take one-hot or integer labels"):
        conserved_quantities([one], lambda outputs: tf.reduce_sum(outputs))
