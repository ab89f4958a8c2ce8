"""Sign flips and rescalings: counted exactly, and carried out; what is no symmetry changes the outputs."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from tests import sparse_models
from weight_symmetry import masks, models, symmetry
from weight_symmetry.symmetry import function_group as module
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import UnitLayout

Arrays = list[np.ndarray]
SIZES = (4, 6, 5, 3)
DENSE = [np.ones(shape) for shape in ((4, 6), (6, 5), (5, 3))]
ODD = {"arctan", "hard_tanh", "identity", "linear", "scaled_tanh", "sin", "softsign", "tanh"}
EVEN = {"abs", "cos", "gaussian", "square"}
DEGREES = {"abs": 1, "identity": 1, "leaky_relu": 1, "linear": 1, "relu": 1, "square": 2}


class Net:
    """A sparse fully connected network in float64, with any activation."""

    def __init__(self, sparsity: float, seed: int):
        rng = np.random.default_rng(seed)
        shapes = [mask.shape for mask in DENSE]
        self.masks = masks.create("random", shapes, sparsity, seed)
        self.weights: Arrays = [mask * rng.normal(size=mask.shape) for mask in self.masks]
        self.biases: Arrays = [rng.normal(size=shape[1]) for shape in shapes]
        self.images = rng.normal(size=(20, SIZES[0]))

    def __call__(self, activation: Callable) -> np.ndarray:
        hidden = self.images
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.asarray(activation(hidden @ weight + bias))
        return hidden @ self.weights[-1] + self.biases[-1]

    def scale(self, factors: Arrays, degree: float) -> None:
        """Multiplies what enters each hidden unit by a factor, and what leaves it by its power `-degree`."""
        for index, factor in enumerate(factors):
            self.weights[index] = self.weights[index] * factor
            self.biases[index] = self.biases[index] * factor
            back = np.sign(factor) ** (degree != 0) * np.abs(factor) ** -degree
            self.weights[index + 1] = self.weights[index + 1] * back[:, np.newaxis]

    def live(self) -> Arrays:
        """Which hidden units are on a path from the inputs to the outputs."""
        return [mask.any(axis=0) for mask in symmetry.propagate(self.masks)[:-1]]

    def draw(self, choose: Callable[[int], np.ndarray]) -> Arrays:
        """Draws a factor for each live hidden unit; the dead keep theirs of 1."""
        return [np.where(live, choose(len(live)), 1.0) for live in self.live()]


def change(net: Net, activation: Callable, factors: Arrays, degree: float) -> float:
    """By how much scaling changes the outputs."""
    before = net(activation)
    net.scale(factors, degree)
    return sparse_models.difference(net(activation), before)


@pytest.mark.parametrize("name", list(module.ACTIVATIONS))
def test_counts_follow_from_the_activation(name: str) -> None:
    found = symmetry.function_symmetries(DENSE, name)
    assert found.activation == name
    assert found.permutations.order == math.factorial(6) * math.factorial(5)
    assert found.sign_flips == (2**11 if name in ODD | EVEN else 1)
    assert found.rescaling_dimension == (11 if name in DEGREES else 0)
    assert (found.live_units, found.normalised_units) == (11, 0)
    assert (found.norm_sign_flips, found.norm_rescaling_dimension) == (1, 0)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", list(module.ACTIVATIONS))
@settings(max_examples=10)
@given(st.sampled_from([0.0, 0.5, 0.8]), st.integers(0, 10**6))
def test_signs_may_be_flipped_exactly_where_they_count(name: str, sparsity: float, seed: int) -> None:
    """Incoming weights and biases change sign, and outgoing weights with them for odd activations."""
    net = Net(sparsity, seed)
    function = module.ACTIVATIONS[name]
    found = symmetry.function_symmetries(net.masks, name)
    live = sum(int(units.sum()) for units in net.live())
    assert found.live_units == live
    rng = np.random.default_rng(seed)
    flips = net.draw(lambda units: rng.choice([-1.0, 1.0], units))
    assert found.sign_flips == (2**live if name in ODD | EVEN else 1)
    if name in ODD | EVEN:
        assert change(net, function, flips, degree=0 if name in EVEN else 1) < 1e-12


@pytest.mark.parametrize("name", list(module.ACTIVATIONS))
def test_no_other_activation_may_be_flipped(name: str) -> None:
    """The control: neither with the outgoing weights nor without, and rescaling is no way to flip."""
    for seed in range(5):
        for degree, kind in ((1, ODD), (0, EVEN)):
            flips = [np.where(np.arange(units) == 2, -1.0, 1.0) for units in SIZES[1:-1]]
            error = change(Net(0.0, seed), module.ACTIVATIONS[name], flips, degree)
            assert (error < 1e-12) == (name in kind)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", list(module.ACTIVATIONS))
@settings(max_examples=10)
@given(st.sampled_from([0.0, 0.5, 0.8]), st.integers(0, 10**6))
def test_units_may_be_rescaled_exactly_where_they_count(name: str, sparsity: float, seed: int) -> None:
    net = Net(sparsity, seed)
    found = symmetry.function_symmetries(net.masks, name)
    assert found.rescaling_dimension == (found.live_units if name in DEGREES else 0)
    rng = np.random.default_rng(seed)
    factors = net.draw(lambda units: rng.uniform(0.3, 3.0, units))
    if name in DEGREES:
        assert change(net, module.ACTIVATIONS[name], factors, DEGREES[name]) < 1e-12


@pytest.mark.parametrize("name", list(module.ACTIVATIONS))
def test_no_other_activation_may_be_rescaled(name: str) -> None:
    """The control: tanh is not homogeneous, nor is any other that is not counted, of no degree."""
    for degree in (-1, 0, 1, 2):
        factors = [np.where(np.arange(units) == 1, 1.7, 1.0) for units in SIZES[1:-1]]
        error = change(Net(0.0, 3), module.ACTIVATIONS[name], factors, degree)
        assert (error < 1e-12) == (DEGREES.get(name) == degree)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.7])
def test_the_dimension_is_that_of_the_directions(sparsity: float) -> None:
    """The directions in which rescalings move the parameters are as many, independent, as the dimension says."""
    net = Net(sparsity, seed=4)
    directions = []
    for index, live in enumerate(net.live()):
        for unit in np.flatnonzero(live):
            parts = [np.zeros_like(weight) for weight in net.weights]
            parts[index][:, unit] = net.weights[index][:, unit]
            parts[index + 1][unit] = -net.weights[index + 1][unit]
            biases = [np.zeros_like(bias) for bias in net.biases]
            biases[index][unit] = net.biases[index][unit]
            directions.append(np.concatenate([part.ravel() for part in (*parts, *biases)]))
    found = symmetry.function_symmetries(net.masks, "relu")
    assert np.linalg.matrix_rank(directions) == len(directions) == found.rescaling_dimension > 0


def test_functions_are_tested_in_float64() -> None:
    expected = {
        tf.nn.tanh: (2**11, 0),
        tf.nn.relu: (1, 11),
        tf.nn.leaky_relu: (1, 11),
        tf.identity: (2**11, 11),
        tf.math.sin: (2**11, 0),
        tf.nn.softsign: (2**11, 0),
        tf.nn.sigmoid: (1, 0),
        tf.nn.elu: (1, 0),
        tf.nn.gelu: (1, 0),
        tf.nn.relu6: (1, 0),
        np.sign: (2**11, 11),
        np.cbrt: (2**11, 11),
        np.floor: (1, 0),
    }
    for function, (flips, dimension) in expected.items():
        found = symmetry.function_symmetries(DENSE, function)
        assert (found.sign_flips, found.rescaling_dimension) == (flips, dimension), function
        assert found.activation == function.__name__


@pytest.mark.parametrize(
    ("function", "flips", "dimension"),
    [
        (lambda x: np.tanh(x) + 1e-10, 1, 0),
        (lambda x: np.maximum(x, 0) * (1 + 1e-8 * np.abs(x)), 1, 0),
        (lambda x: np.where(np.abs(x) < 50, x, 50 * np.sign(x)), 2**11, 0),
        (lambda x: np.where(x > 0, x**3, -0.5 * np.abs(x) ** 3), 1, 11),
        (lambda x: np.full_like(x, np.nan), 1, 0),
        (lambda x: np.exp(np.exp(np.abs(x))), 1, 0),  # Even, but beyond the numbers there are.
    ],
)
def test_functions_that_are_nearly_something_else(function: Callable, flips: int, dimension: int) -> None:
    found = symmetry.function_symmetries(DENSE, function)
    assert (found.sign_flips, found.rescaling_dimension) == (flips, dimension)


def test_dead_units_do_not_count() -> None:
    cut = [mask.copy() for mask in DENSE]
    cut[0][:, :2] = 0
    cut[2][4] = 0
    found = symmetry.function_symmetries({"a": cut[0], "b": cut[1], "c": cut[2]}, "identity")
    assert (found.live_units, found.sign_flips, found.rescaling_dimension) == (8, 2**8, 8)
    assert found.permutations.live_order == math.factorial(4) ** 2
    linear = symmetry.function_symmetries([np.ones((4, 3))], "tanh")
    assert (linear.live_units, linear.sign_flips, linear.permutations.order) == (0, 1, 1)


def traced(model: models.Classifier, kind: str) -> UnitGraph:
    return UnitGraph.trace(model, sparse_models.images(kind, 2, model.layers[0].w.dtype), is_training=False)


def outputs(model: models.Classifier, kind: str, is_training: bool = False) -> np.ndarray:
    images = sparse_models.images(kind, batch=16, dtype=model.layers[0].w.dtype)
    return model(images, is_training=is_training).numpy()


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["MNIST_FC", "CIFAR10_CNN"])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8])
def test_models_with_relu_may_be_rescaled(kind: str, sparsity: float) -> None:
    """Every live unit of the real model at once, across poolings too; the control, with one negative factor."""
    model = sparse_models.sparse(kind, sparsity, seed=2, dtype=tf.float64)
    found = symmetry.function_symmetries(sparse_models.kept(model), traced(model, kind))
    live = [mask.any(axis=tuple(range(mask.ndim - 1))) for mask in symmetry.propagate(sparse_models.kept(model))[:-1]]
    assert found.rescaling_dimension == found.live_units == sum(int(units.sum()) for units in live)
    assert (found.sign_flips, found.normalised_units, found.norm_rescaling_dimension) == (1, 0, 0)
    before, rng = outputs(model, kind), np.random.default_rng(3)

    def scale(index: int, factor: np.ndarray) -> None:
        layer, after = model.layers[index], model.layers[index + 1]
        layer.w.assign(layer.w * factor)
        layer.b.assign(layer.b * factor)
        after.w.assign(after.w / factor[:, np.newaxis])

    for index, units in enumerate(live):
        scale(index, np.where(units, rng.uniform(0.3, 3.0, len(units)), 1.0))
    assert sparse_models.difference(outputs(model, kind), before) < 1e-12
    scale(0, np.full(len(live[0]), -1.0))
    assert sparse_models.difference(outputs(model, kind), before) > 1e-3


def rescale_incoming(model: models.Classifier, factors: Arrays) -> None:
    """Multiplies the weights before each batch norm, whose moving statistics follow."""
    for layer, norm, factor in zip(model.layers, model.norms, factors, strict=False):
        layer.w.assign(layer.w * factor)
        norm.moving_mean.average.assign(norm.moving_mean.value * factor)
        variance, epsilon = norm.moving_variance.value, 1e-5
        norm.moving_variance.average.assign((variance + epsilon) * factor**2 - epsilon)


@pytest.mark.exhaustive
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8])
def test_batch_norm_frees_the_scale_of_what_enters(sparsity: float) -> None:
    model = sparse_models.sparse("MNIST_CNN", sparsity, seed=3)
    found = symmetry.function_symmetries(sparse_models.kept(model), traced(model, "MNIST_CNN"))
    propagated = symmetry.propagate(sparse_models.kept(model))
    live = sum(int(mask.any(axis=tuple(range(mask.ndim - 1))).sum()) for mask in propagated[:-1])
    assert found.rescaling_dimension == found.normalised_units == found.live_units == live
    assert found.sign_flips == 1
    # In the norms' own parameters: a sign for each unit, and a scale for ReLU.
    assert (found.norm_sign_flips, found.norm_rescaling_dimension) == (2**live, live)


def test_batch_norm_before_tanh_frees_signs_where_no_maximum_is_taken() -> None:
    """The first units are pooled, so that the norm's own signs are free in the second alone; scales in none."""
    layers = [snt.Conv2D(3, 3, with_bias=False), snt.Conv2D(4, 3, with_bias=False), snt.Linear(2)]
    norms = [snt.BatchNorm(True, True) for _ in range(2)]

    def network(images: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.max_pool2d(tf.tanh(norms[0](layers[0](images), is_training=False)), 2, 2, "SAME")
        hidden = tf.tanh(norms[1](layers[1](hidden), is_training=False))
        return layers[2](snt.Flatten()(hidden))

    for norm, units in zip(norms, (3, 4), strict=True):
        norm(tf.ones([2, 4, 4, units]), is_training=True)
    found = symmetry.function_symmetries({}, UnitGraph.trace(network, tf.ones([1, 6, 6, 1])))
    assert (found.rescaling_dimension, found.norm_rescaling_dimension) == (7, 0)
    assert (found.sign_flips, found.norm_sign_flips) == (1, 2 ** (3 + 4 + 4))


@pytest.mark.slow
def test_batch_norm_of_the_real_model() -> None:
    """Rescaled, it computes the same in evaluation and training; with other signs it does not."""
    model = sparse_models.sparse("MNIST_CNN", 0.5, seed=3)
    rng = np.random.default_rng(1)
    before = [outputs(sparse_models.applied({}, model), "MNIST_CNN", training) for training in (False, True)]
    rescale_incoming(model, [rng.uniform(0.5, 3.0, norm.scale.shape) for norm in model.norms])
    assert sparse_models.difference(outputs(model, "MNIST_CNN"), before[0]) < 1e-5
    # In training up to the norms' epsilon.
    assert sparse_models.difference(outputs(sparse_models.applied({}, model), "MNIST_CNN", True), before[1]) < 1e-3
    rescale_incoming(model, [np.full(norm.scale.shape, -1.0) for norm in model.norms])
    assert sparse_models.difference(outputs(model, "MNIST_CNN"), before[0]) > 1e-2
    # Signs that the norms' scales follow, and scales that the next weights undo.
    for norm in model.norms:
        norm.scale.assign(-norm.scale)
    assert sparse_models.difference(outputs(model, "MNIST_CNN"), before[0]) < 1e-5
    for norm, after in zip(model.norms, model.layers[1:], strict=True):
        factor = rng.uniform(0.5, 3.0, norm.scale.shape)
        norm.scale.assign(norm.scale * factor)
        norm.offset.assign(norm.offset * factor)
        after.w.assign(after.w / factor[:, np.newaxis])
    assert sparse_models.difference(outputs(model, "MNIST_CNN"), before[0]) < 1e-5


def test_max_pooling_holds_the_signs_of_odd_units() -> None:
    """Of the four convolutions the second and fourth are pooled, so the signs of the others alone are free."""
    model = sparse_models.sparse("CIFAR10_CNN", 0.0, seed=6, dtype=tf.float64)
    widths = [layer.w.shape[-1] for layer in model.layers[:-1]]
    assert symmetry.function_symmetries(sparse_models.kept(model), "tanh").sign_flips == 2 ** sum(widths)
    pooled = symmetry.function_symmetries(sparse_models.kept(model), "tanh", max_pooling=[1, 3])
    assert pooled.sign_flips == 2 ** (widths[0] + widths[2])

    def network(hidden: tf.Tensor, weights: list[tf.Tensor], activation: Callable = tf.nn.tanh) -> tf.Tensor:
        for index, weight in enumerate(weights[:-1]):
            hidden = activation(tf.nn.conv2d(hidden, weight, 1, "SAME"))
            if index % 2:
                hidden = tf.nn.max_pool2d(hidden, 2, 2, "VALID")
        return tf.reduce_mean(hidden, axis=(1, 2)) @ weights[-1]

    def compute(weights: list[tf.Tensor]) -> np.ndarray:
        return network(sparse_models.images("CIFAR10_CNN", dtype=tf.float64), weights).numpy()

    own, images = [layer.w for layer in model.layers], sparse_models.images("CIFAR10_CNN", 2, tf.float64)
    for activation, free in ((tf.tanh, widths[0] + widths[2]), (tf.cos, sum(widths))):
        graph = UnitGraph.trace(lambda x, each=activation: network(x, own, each), images)
        assert symmetry.function_symmetries({}, graph).sign_flips == 2**free

    weights = [layer.w.numpy() for layer in model.layers]
    before = compute(weights)
    for index in range(4):
        flipped = list(weights)
        flipped[index], flipped[index + 1] = -weights[index], -weights[index + 1]
        error = sparse_models.difference(compute(flipped), before)
        assert error > 1e-4 if index in (1, 3) else error < 1e-12


def test_batch_norm_of_masks_is_said() -> None:
    found = symmetry.function_symmetries(DENSE, "leaky_relu", batch_norm={0})
    assert (found.rescaling_dimension, found.norm_rescaling_dimension) == (11, 6)
    assert (found.sign_flips, found.norm_sign_flips) == (1, 2**6)
    found = symmetry.function_symmetries(DENSE, "sin", batch_norm=[1], max_pooling=[1])
    assert (found.rescaling_dimension, found.norm_rescaling_dimension) == (5, 0)
    assert (found.sign_flips, found.norm_sign_flips) == (2**6, 2**5)


@pytest.mark.slow
def test_one_line_describes_it_all() -> None:
    found = symmetry.function_symmetries(DENSE, "identity")
    assert found.describe() == (
        "11 live hidden units with identity: 86,400 permutations, 2,048 sign flips, 11 dimensions of rescaling"
    )
    found = symmetry.function_symmetries([np.ones((4, 300)), np.ones((300, 300)), np.ones((300, 2))], "tanh")
    assert found.describe() == (
        "600 live hidden units with tanh: 10^1229.0 permutations, 2^600 sign flips, 0 dimensions of rescaling"
    )
    found = symmetry.function_symmetries({}, traced(sparse_models.build("MNIST_CNN"), "MNIST_CNN"))
    assert found.describe() == (
        "19 live hidden units with batch norm, norm, ReLU: 49,766,400 permutations, 1 sign flip, 19 dimensions "
        "of rescaling; of these units, 19 with batch norm, whose scales and offsets allow 2^19 sign flips and 19 "
        "dimensions more"
    )
    found = symmetry.function_symmetries([np.ones((4, 1)), np.ones((1, 2))], "relu")
    assert found.describe() == "1 live hidden unit with relu: 1 permutation, 1 sign flip, 1 dimension of rescaling"


@pytest.mark.parametrize(
    ("activation", "options", "message"),
    [
        ("swoosh", {}, r"activation \(='swoosh'\) must be a function or one of abs, arctan"),
        (np.sum, {}, r"activation \(sum\) must map float64 arrays to float64 arrays of the same shape"),
        (lambda x: x.astype(np.float32), {}, "to float32"),
        ("relu", {"batch_norm": [2]}, r"batch_norm \(=\[2\]\) must hold hidden layers, from 0 to 1"),
        ("relu", {"max_pooling": [-1]}, r"max_pooling \(=\[-1\]\)"),
    ],
)
def test_bad_input_is_refused(activation: str | Callable, options: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        symmetry.function_symmetries(DENSE, activation, **options)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(TypeError, match=r"activation \(a UnitLayout\) must be a UnitGraph, which can be evaluated"):
        symmetry.function_symmetries(DENSE, UnitLayout.of_chain([mask.shape for mask in DENSE]))


@pytest.mark.parametrize("given", [{}, DENSE])
def test_a_model_in_the_place_of_its_graph_is_refused(given: object) -> None:
    model = snt.nets.MLP([3, 2])
    model(tf.ones([1, 4]))
    with pytest.raises(TypeError, match=r"activation \(a MLP\) must be .* UnitGraph.trace\(model, \*example_inputs\)"):
        symmetry.function_symmetries(given, model)
