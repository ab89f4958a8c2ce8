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
    assert repr(conserved_quantities(snt.nets.MLP([300, 10]), CROSS_ENTROPY, tf.zeros([1, 784]))) == (
        "[Conserved(name='layer_0/balance', symmetry='rescaling of homogeneous units'), "
        "Conserved(name='layer_0/equal_units', symmetry='permutation of units'), "
        "Conserved(name='layer_1/class_sums', symmetry='translation of softmax classes')]"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A dense layer, its norm and its activation."""

    weights: tf.Variable
    bias: tf.Variable | None = None
    activation: Activation = tf.identity
    norm: str = ""
    scale: tf.Variable | None = None
    offset: tf.Variable | None = None

    @property
    def variables(self) -> list[tf.Variable]:
        return [each for each in (self.weights, self.bias, self.scale, self.offset) if each is not None]

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        weights = self.weights
        if self.norm == "weight":
            weights = weights / tf.norm(weights, axis=0)
        outputs = inputs @ weights
        outputs = outputs if self.bias is None else outputs + self.bias
        if self.norm in ("batch", "layer"):
            means, variances = tf.nn.moments(outputs, [0 if self.norm == "batch" else 1], keepdims=True)
            outputs = (outputs - means) / tf.sqrt(variances)
        outputs = outputs if self.scale is None else outputs * self.scale
        return self.activation(outputs if self.offset is None else outputs + self.offset)


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
        norm = (self.kind, self.drawn(units), self.drawn(units)) if self.kind else ()
        return Layer(self.drawn(inputs, units), bias, activation, *norm)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def found(self, **claims: Any) -> list[Conserved]:
        """The quantities, hidden layers said to have what they have not."""
        hidden = [dataclasses.replace(each, **claims) for each in self.layers[:-1]]
        return found_in([*hidden, self.layers[-1]])

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


def found_in(layers: Sequence[Layer], loss: Loss = CROSS_ENTROPY) -> list[Conserved]:
    inputs = np.random.default_rng(0).normal(size=(6, layers[0].weights.shape[0]))

    def chain(inputs: tf.Tensor) -> tf.Tensor:
        for layer in layers:
            inputs = layer(inputs)
        return inputs

    return conserved_quantities(chain, loss, tf.constant(inputs, layers[0].weights.dtype))


class Convolutions(Chain):
    """Two convolutions in float64, pooled and flattened, and a dense layer."""

    def __init__(self, activation: Activation, pool: Callable[..., tf.Tensor]):
        self.loss = CROSS_ENTROPY
        first, second, head = snt.Conv2D(4, 3), snt.Conv2D(5, 2), snt.Linear(3)

        def network(images: tf.Tensor, activation: Activation = activation) -> tf.Tensor:
            hidden = pool(activation(first(images)), 2, 2, "VALID")
            return head(snt.Flatten()(pool(activation(second(hidden)), 3, 1, "SAME")))

        self.network = network
        rng = np.random.default_rng(0)
        self.inputs = tf.constant(rng.normal(size=(10, 6, 6, 2)))
        self.labels = tf.constant(rng.integers(0, 3, 10))
        self.network(self.inputs)
        self.variables = [variable for layer in (first, second, head) for variable in layer.trainable_variables]

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.network(inputs)

    def found(self, **claims: Any) -> list[Conserved]:
        """The quantities, with an activation that the network has not."""
        return conserved_quantities(lambda images: self.network(images, **claims), CROSS_ENTROPY, self.inputs)


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


def weight(*shape: int) -> tf.Variable:
    return tf.Variable(tf.ones(shape))


def by_name(quantities: Sequence[Conserved]) -> dict[str, str]:
    return {each.name: each.symmetry for each in quantities}


@pytest.mark.slow
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
    found = chain.found()
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
    found = chain.found()
    names = {f"layer_{i}/balance": symmetry for i in (0, 1) if symmetry}
    units = {f"layer_{i}/equal_units": PERMUTATION for i in (0, 1)}
    assert by_name(found) == {**names, **units, "layer_2/class_sums": TRANSLATION}
    assert [len(each.value().numbers) for each in found if each.symmetry == PERMUTATION] == [4, 5]
    assert max(errors_of_a_step(chain, found).values()) < EXACT


def test_channels_of_tanh_are_in_no_balance() -> None:
    chain = Convolutions(tf.tanh, tf.nn.max_pool2d)
    errors = errors_of_a_step(chain, chain.found(activation=tf.nn.relu))
    assert min(errors["layer_0/balance"], errors["layer_1/balance"]) > 1e-2


def test_weights_divided_by_their_length_are_in_no_balance_with_the_units_before() -> None:
    chain = Chain(tf.nn.relu, "weight")
    found = chain.found()
    assert {each.name for each in found if each.symmetry == SCALE} == {"layer_0/length", "layer_1/length"}
    assert [each.name for each in found if each.symmetry == RESCALING] == ["layer_1/balance"]
    assert max(errors_of_a_step(chain, found).values()) < EXACT
    chain = Chain(tf.nn.relu, "weight")
    found = found_in([chain.layers[0], dataclasses.replace(chain.layers[1], norm="batch"), chain.layers[2]])
    assert errors_of_a_step(chain, found)["layer_0/balance"] > 1e-2


@pytest.mark.parametrize(
    ("chain", "claims", "name"),
    [
        (lambda: Chain(tf.tanh), {"activation": tf.nn.relu}, "balance"),
        (lambda: Chain(tf.nn.relu), {"activation": tf.identity}, "balance"),
        (lambda: Chain(tf.square), {"activation": tf.nn.relu}, "balance"),
        (lambda: Chain(tf.identity, "batch"), {"norm": "", "scale": None, "offset": None}, "balance"),
        (lambda: Chain(tf.nn.relu), {"norm": "batch"}, "length"),
        (lambda: Chain(tf.tanh, "layer"), {"norm": "batch"}, "length"),
        (lambda: Chain(tf.nn.relu, loss=squared_error), {}, "class_sums"),
    ],
    ids=["tanh", "ReLU as linear", "square as ReLU", "norm forgotten", "no norm", "layer as batch norm", "no softmax"],
)
def test_what_has_no_such_symmetry_breaks_the_law(
    chain: Callable[[], Chain], claims: dict[str, Any], name: str
) -> None:
    made = chain()
    errors = errors_of_a_step(made, made.found(**claims))
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


@pytest.mark.exhaustive
@pytest.mark.parametrize(("activation", "norm"), [(tf.identity, ""), (tf.nn.relu, ""), (tf.tanh, "layer")])
def test_over_a_fixed_time_drift_is_in_proportion_to_the_rate(activation: Activation, norm: str) -> None:
    chain = Chain(activation, norm)
    found = chain.found()
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
    found = chain.found(activation=tf.nn.relu)
    fast, slow = (drifts(chain, found, rate, time=2.0) for rate in (0.02, 0.01))
    for name in ("layer_0/balance", "layer_1/balance"):
        assert slow[name] > 0.01
        assert fast[name] / slow[name] == pytest.approx(1, rel=0.02)


def equality(chain: Chain) -> list[Value]:
    found = chain.found()
    return [each.value() for each in found if each.symmetry == PERMUTATION]


@pytest.mark.parametrize(
    ("make", "keeps_sums"),
    [(lambda: Momentum(0.0), True), (Momentum, True), (Adam, False)],
    ids=["descent", "momentum", "Adam"],
)
def test_equal_units_stay_equal_under_every_optimizer(make: Callable[[], Any], keeps_sums: bool) -> None:
    chain = Chain(tf.tanh)
    chain.make_twins()
    *units, sums = chain.found()
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


def test_several_outputs_have_no_class_sums() -> None:
    first, second = snt.Linear(3), snt.Linear(2)
    found = conserved_quantities(lambda x: (first(x), second(first(x))), CROSS_ENTROPY, tf.ones([2, 4]))
    assert all(each.symmetry != TRANSLATION for each in found)
