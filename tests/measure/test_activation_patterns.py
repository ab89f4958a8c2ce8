"""Laws beyond the balances, where weights let not all patterns of active ReLUs occur: none is certified away."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

from tests.measure.chains import Activation, laws_in_floating_point, squared_error
from weirdonetworks.measure.conserved import conserved_quantities, count_laws, count_model_laws


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """Dense layers with an activation between them."""

    weights: list[tf.Variable]
    activation: Activation = tf.nn.relu

    @classmethod
    def drawn(cls, *sizes: int, seed: int = 3, activation: Activation = tf.nn.relu) -> "Layers":
        rng = np.random.default_rng(seed)
        return cls([tf.Variable(rng.normal(size=pair)) for pair in itertools.pairwise(sizes)], activation)

    def signed(self, layer: int, sign: int) -> "Layers":
        self.weights[layer].assign(sign * tf.abs(self.weights[layer]))
        return self

    def __call__(self, inputs: tf.Tensor, weights: list[tf.Tensor] | None = None) -> tf.Tensor:
        first, *others = self.weights if weights is None else weights
        units = inputs @ first
        for each in others:
            units = self.activation(units) @ each
        return units

    @property
    def example(self) -> tf.Tensor:
        return tf.ones([1, self.weights[0].shape[0]], tf.float64)


def leaky(values: tf.Tensor) -> tf.Tensor:
    return tf.nn.leaky_relu(values, 0.25)


def elu_of_square(values: tf.Tensor) -> tf.Tensor:
    return tf.nn.elu(tf.square(values))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "balances", "laws"),
    [
        pytest.param(lambda: Layers.drawn(1, 2, 1).signed(0, 1), 2, 3, id="one input, weights of one sign"),
        pytest.param(lambda: Layers.drawn(2, 1, 3, 1).signed(1, 1), 4, 6, id="above one unit, positive"),
        pytest.param(lambda: Layers.drawn(3, 2, 2, 1, seed=5).signed(1, 1), 4, 5, id="second layer positive"),
        pytest.param(lambda: Layers.drawn(3, 2, 2, 1, seed=5).signed(1, -1), 4, 12, id="second layer negative"),
        pytest.param(lambda: Layers.drawn(1, 2, 1, activation=leaky).signed(0, 1), 2, 3, id="leaky, one input"),
        pytest.param(lambda: Layers.drawn(3, 2, 2, 1, seed=0), 4, 4, id="control: mixed signs"),
    ],
)
def test_a_models_own_weights_decide(make: Callable[[], Layers], balances: int, laws: int) -> None:
    layers = make()
    data = tf.constant(3 * np.random.default_rng(0).normal(size=(60, layers.example.shape[1])))
    count = count_model_laws(layers, layers.example)
    assert (count.quadratic, count.at_most) == (balances, laws)
    assert laws_in_floating_point(layers, layers.weights, data) == laws
    assert conserved_quantities(layers, squared_error, layers.example).are_all() == (laws == balances)


def test_elu_above_what_is_positive_is_linear() -> None:
    """Units `elu(z^2) = z^2` of degree 2: their balances are all, as if there were no ELU, and else there are none."""
    for activation, laws in ((tf.square, 3), (elu_of_square, 3), (tf.nn.elu, 0)):
        layers = Layers.drawn(2, 3, 1, activation=activation)
        assert count_model_laws(layers, layers.example).at_most == laws


def test_zero_biases_leave_zero() -> None:
    bias = tf.Variable(tf.zeros(2, tf.float64))
    layers = Layers.drawn(1, 2, 1).signed(0, 1)
    first, last = layers.weights
    count = count_model_laws(lambda inputs: tf.nn.relu(inputs @ first + bias) @ last, layers.example)
    assert count.is_complete and count.at_most == 2


def flow(sign: float) -> tuple[float, float]:
    """Trains `relu(x w) v`; returns by how much (w1 + v1) / (w2 + v2) has changed, and w1."""
    first, last = np.array([0.5, sign * 1.2]), np.array([0.3, 0.8])
    start = first[0], (first[0] + last[0]) / (first[1] + last[1])
    inputs = np.random.default_rng(0).normal(size=50)
    labels = 2 * np.abs(inputs)
    for _ in range(200):
        units = np.maximum(np.outer(inputs, first), 0)
        errors = (units @ last - labels) / len(inputs)
        moved = ((errors * inputs)[:, np.newaxis] * last * (units > 0)).sum(axis=0)
        first, last = first - 0.01 * moved, last - 0.01 * units.T @ errors
    return float(abs((first[0] + last[0]) / (first[1] + last[1]) - start[1])), float(abs(first[0] - start[0]))


def test_two_relus_of_one_input_conserve_more_than_their_balances() -> None:
    """Where both weights are positive w moves along v and v along w, so that even gradient descent scales all w + v."""
    change, moved = flow(1)
    assert moved > 0.1 and change < 1e-12
    assert flow(-1)[0] > 1  # The control: units that are active at inputs of opposite signs.


@pytest.mark.parametrize(
    "chain",
    [[(1, 3), (3, 1)], [(2, 1), (1, 3), (3, 1)], [[[1, 1, 1], [0, 0, 0]], (3, 1)]],
    ids=["one input", "above one unit", "masked to one input"],
)
def test_a_chain_whose_weights_decide_is_not_certified(chain: Any) -> None:
    count = count_laws(chain)
    assert count.quadratic < count.at_most and not count.is_complete


def test_a_chain_of_one_input_is_counted_where_its_relus_are_independent() -> None:
    count = count_laws([(1, 3), (3, 3), (3, 1)], biases=cast(Any, np.True_))
    assert count.is_complete and count.at_most == 6
    assert count_laws([(3, 1), (1, 1), (1, 2)]).at_most == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: count_laws([(0, 3), (3, 1)]), r"chain \(=0\) must be at least 1"),
        (lambda: count_laws([(2, 2)], biases=cast(Any, "no")), r"biases \(='no'\) must be True or False"),
        (lambda: count_laws([(2, 2)], seed=-1), r"seed \(=-1\) must be at least 0"),
        (lambda: count_laws([np.full((2, 2), np.nan)]), r"chain \(=.*\) must hold masks of finite numbers"),
        (lambda: count_laws([np.array([["a", "b"]])]), r"chain \(=.*\) must be an array of real numbers"),
        (lambda: count_laws([[[1, 0], [1]]]), r"chain \(=.*\) must be an array of real numbers, of one shape"),
        (lambda: count_model_laws(Layers.drawn(1, 1), np.ones((1, 1)), seed=-1), r"seed \(=-1\) must be at least 0"),
    ],
    ids=["no inputs", "biases", "seed", "NaN", "text", "ragged", "a model's seed"],
)
def test_bad_arguments_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call()


def test_masks_may_be_lists_or_tensors() -> None:
    first, second = [[1, 1, 0], [1, 0, 1]], [[1], [1], [1]]
    want = count_laws([np.array(first, bool), np.array(second, bool)])
    assert want == count_laws([first, second]) == count_laws([tf.constant(first), tf.constant(second, tf.float32)])
