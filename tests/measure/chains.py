"""Networks in float64 whose conserved quantities are known: chains of dense layers, and of convolutions."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.measure.conserved import Conserved, conserved_quantities

Activation: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
Loss: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

CROSS_ENTROPY = tf.nn.sparse_softmax_cross_entropy_with_logits
SIZES = (4, 6, 5, 3)


def squared_error(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    if labels.shape.rank == 1:
        labels = tf.one_hot(labels, outputs.shape[1])
    return tf.reduce_mean(tf.square(tf.cast(labels, outputs.dtype) - outputs), axis=-1)


def cube(inputs: tf.Tensor) -> tf.Tensor:
    return inputs**3


def laws_in_floating_point(
    model: Callable[[tf.Tensor, list[tf.Tensor]], tf.Tensor], weights: Sequence[tf.Variable], inputs: tf.Tensor
) -> int:
    """Counts the weights less the rank of gradients of outputs and of their brackets, on data."""
    point = tf.constant(np.concatenate([np.ravel(each) for each in weights]))
    outputs = model(inputs, list(weights))
    directions = tf.constant(np.random.default_rng(0).normal(size=outputs.shape))
    with tf.GradientTape() as outer:
        outer.watch(point)
        with tf.GradientTape() as inner:
            inner.watch(point)
            parts = tf.split(point, [int(tf.size(each)) for each in weights])
            values = [tf.reshape(part, each.shape) for part, each in zip(parts, weights, strict=True)]
            products = model(inputs, values) * directions
            outputs = tf.reduce_sum(products, axis=list(range(1, products.shape.rank)))
        gradients = inner.jacobian(outputs, point)
    hessians = outer.jacobian(gradients, point).numpy()
    fields = gradients.numpy()
    moved = np.einsum("aij,bj->abi", hessians, fields)
    brackets = (moved - moved.swapaxes(0, 1))[np.triu_indices(len(fields), 1)]
    rows = np.concatenate([fields, brackets])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    chosen = lengths[:, 0] > 1e-9 * lengths.max()  # Others are rounding.
    return len(point) - int(np.linalg.matrix_rank(rows[chosen] / lengths[chosen], tol=1e-7))


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


def weight(*shape: int) -> tf.Variable:
    return tf.Variable(tf.ones(shape))


def by_name(quantities: Sequence[Conserved]) -> dict[str, str]:
    return {each.name: each.symmetry for each in quantities}
