"""Tests of networks over an orbit: invariance and equivariance for each group, with plain networks as controls."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import (
    MatrixGroup,
    PermutationGroup,
    cyclic_group,
    image_dihedral,
    image_rotations,
    image_translations,
    octahedral_rotations,
    regular,
    symmetric_group,
    transforms,
)
from weirdonetworks.lab.training import objectives
from weirdonetworks.measure.stability import equivariance_error, invariance_error
from weirdonetworks.nets import pooling
from weirdonetworks.nets.averaged import OrbitAverage
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialMLP
from weirdonetworks.nets.synchronous import SynchronousMLP

Group = PermutationGroup | MatrixGroup
Model = Callable[[tf.Tensor], tf.Tensor]

# Each group with the shape of an input.
GROUPS: dict[str, tuple[Callable[[], Group], tuple[int, ...]]] = {
    "C4": (lambda: image_rotations(4, 4), (4, 4, 1)),
    "D4 with channels": (lambda: image_dihedral(3, 3, 2), (3, 3, 2)),
    "translations": (lambda: image_translations(3, 4), (3, 4, 1)),
    "C7": (lambda: cyclic_group(7), (7,)),
    "S4": (lambda: symmetric_group(4), (4,)),
    "octahedral": (octahedral_rotations, (3,)),
}
POOLINGS: dict[str, pooling.Pooling] = {
    **pooling.POOLINGS,
    "third moment": pooling.named("moments", order=3),
    "product means": pooling.named("elementary_symmetric", order=3, normalised=True),
}


def flat_mlp() -> snt.Module:
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 3], activation=tf.tanh)])


NETWORKS: dict[str, Callable[[], Any]] = {
    "MLP": flat_mlp,
    "PolynomialMLP": lambda: PolynomialMLP([8, 3], 2, activation=tf.tanh),
}
MODELS: dict[str, Callable[[Group], Model]] = {
    **{
        f"OrbitAverage of {name}": lambda group, make=make: OrbitAverage(make(), group)  # type: ignore[misc]
        for name, make in NETWORKS.items()
    },
    **{
        f"SynchronousMLP {name} {position}": lambda group, function=function, position=position: SynchronousMLP(  # type: ignore[misc]
            group, [8, 6], [5, 3], function, position, activation=tf.tanh
        )
        for name, function in POOLINGS.items()
        for position in ("inside", "first")
    },
}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def relative_error(model: Model, name: str) -> float:
    """The largest change of the outputs over all elements of a group, over their size."""
    make, shape = GROUPS[name]
    inputs = draw(4, *shape)
    assert model(tf.constant(inputs)).numpy().std(axis=0).min() > 1e-6
    return invariance_error(model, inputs, make(), dtype=tf.float64).overall_relative


# Rotations of space have no linear invariant: the mean and the sum of an orbit are 0, and so is all that comes after.
# And the product of 24 activations below 1 is too small for its change to be told from rounding.
VANISHING = {("SynchronousMLP product inside", "octahedral")}
NOTHING_LEFT = {(f"SynchronousMLP {name} first", "octahedral") for name in ("mean", "sum")}
# A pooling sees the values over an orbit, not how they came about: images, permutations and matrices once each.
OF_EACH_KIND = ("C4", "S4", "octahedral")
PAIRS = [
    (name, group)
    for name, group in itertools.product(MODELS, GROUPS)
    if (group in OF_EACH_KIND or "SynchronousMLP" not in name or "mean inside" in name)
    and (name, group) not in NOTHING_LEFT | VANISHING
]


@pytest.mark.parametrize(("name", "group"), PAIRS)
@pytest.mark.exhaustive
def test_network_is_invariant(name: str, group: str) -> None:
    if "product" in name:
        tf.random.set_seed(0)  # With some weights products over a whole orbit are next to nothing.
    assert relative_error(MODELS[name](GROUPS[group][0]()), group) < 1e-10


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_plain_network_is_not(name: str, group: str) -> None:
    assert relative_error(NETWORKS[name](), group) > 1e-3


@pytest.mark.parametrize("group", ["C4", "C7"])
def test_nor_is_one_whose_pooling_is_not_symmetric(group: str) -> None:
    network = SynchronousMLP(GROUPS[group][0](), [8], [3], lambda values: values[..., 0, :], activation=tf.tanh)
    assert relative_error(network, group) > 1e-3


def follows_error(model: Model, name: str, right: bool = True) -> float:
    """How far f(h x)[g] is from f(x)[g h], over the size of f; or from f(x)[h^-1 g]."""
    make, shape = GROUPS[name]
    inputs = draw(4, *shape)
    outputs = model(tf.constant(inputs)).numpy()
    assert outputs.shape[:2] == (4, make().order) and np.abs(outputs - outputs[:, :1]).max() > 1e-3
    return equivariance_error(model, inputs, make(), regular(make(), right), dtype=tf.float64).overall_relative


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", GROUPS)
def test_equivariant_output_follows_the_group(group: str) -> None:
    make, _ = GROUPS[group]
    synchronous = SynchronousMLP(make(), [8], [5, 3], output="equivariant", activation=tf.tanh)
    assert follows_error(synchronous, group) < 1e-10
    assert follows_error(OrbitAverage(flat_mlp(), make(), output="equivariant"), group) < 1e-10


@pytest.mark.parametrize("group", ["C4", "S4", "octahedral"])
def test_a_network_that_knows_the_place_of_an_element_does_not(group: str) -> None:
    network = OrbitAverage(flat_mlp(), GROUPS[group][0](), output="equivariant")

    def placed(inputs: tf.Tensor) -> tf.Tensor:
        outputs = network(inputs)
        return outputs * tf.range(1, outputs.shape[1] + 1, dtype=outputs.dtype)[:, None]

    assert follows_error(placed, group) > 1e-3


def test_order_of_the_product_matters() -> None:
    """The law says f(x)[g h]; f(x)[h^-1 g] is another place where the group is not commutative."""
    network = OrbitAverage(flat_mlp(), symmetric_group(4), output="equivariant")
    assert follows_error(network, "S4") < 1e-10
    assert follows_error(network, "S4", right=False) > 1e-3


@pytest.mark.parametrize(("name", "group"), sorted(NOTHING_LEFT))
def test_pooled_first_nothing_is_left_where_there_is_no_invariant(name: str, group: str) -> None:
    make, shape = GROUPS[group]
    assert np.abs(MODELS[name](make())(tf.constant(draw(4, *shape)))).max() < 1e-12


@pytest.mark.parametrize("group", ["translations", "S4", "octahedral"])
def test_over_a_sample_a_network_is_not_invariant(group: str) -> None:
    make, _ = GROUPS[group]
    options = {"limit": 4, "samples": 5}
    assert relative_error(OrbitAverage(flat_mlp(), make(), **options), group) > 1e-3
    assert relative_error(SynchronousMLP(make(), [8], [3], activation=tf.tanh, **options), group) > 1e-3


@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_over_transformations_it_is_the_formula(fill: float) -> None:
    some = [transforms.rotation(4, 4, angle, fill=fill) for angle in (0, 30, 60)]
    inputs = draw(3, 4, 4, 2)
    network = SynchronousMLP(some, [7, 5], [4, 2], activation=tf.tanh)
    outputs = network(tf.constant(inputs))
    values = np.stack([each.apply(inputs) for each in some], axis=1).reshape(3, 3, -1)
    dense = [(layer.w.numpy(), layer.b.numpy()) for layer in network.layers]
    for weights, bias in dense[:2]:
        values = np.tanh(values @ weights + bias)
    hidden = np.tanh(values.mean(axis=1) @ dense[2][0] + dense[2][1])
    assert_close(outputs, hidden @ dense[3][0] + dense[3][1], 1e-12)


def test_pooled_first_it_is_the_formula() -> None:
    inputs, group = draw(3, 5), cyclic_group(5)
    network = SynchronousMLP(group, [4], [2], "max", "first", activation=tf.tanh)
    outputs = network(tf.constant(inputs))
    first, second = network.layers
    pooled = np.repeat(inputs.max(axis=1, keepdims=True), 5, axis=1)
    hidden = np.tanh(pooled @ first.w.numpy() + first.b.numpy())
    assert_close(outputs, hidden @ second.w.numpy() + second.b.numpy(), 1e-12)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("output", ["invariant", "equivariant"])
@pytest.mark.parametrize("group", ["C4", "D4 with channels", "octahedral"])
def test_a_folded_first_layer_gives_the_same(group: str, output: str, with_bias: bool) -> None:
    make, shape = GROUPS[group]
    network = SynchronousMLP(make(), [6], [5, 3], output=output, with_bias=with_bias)
    many = draw(6, *shape)
    folded = network(tf.constant(many)).numpy()
    one_by_one = np.concatenate([network(tf.constant(many[i : i + 1])).numpy() for i in range(6)])
    assert_close(folded, one_by_one, 1e-12)


class Noisy(snt.Module):
    """Needs to be told whether it trains, and a seed."""

    def __call__(self, inputs: tf.Tensor, is_training: bool, seed: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(tf.shape(inputs), seed, dtype=inputs.dtype)
        return inputs + noise if is_training else inputs


def test_the_network_is_given_what_it_takes() -> None:
    inputs, seed = tf.constant(draw(2, 3)), tf.constant([1, 2])
    network = OrbitAverage(Noisy(), cyclic_group(3), takes=("is_training", "seed"))
    average = tf.repeat(tf.reduce_mean(inputs, axis=1, keepdims=True), 3, axis=1)
    assert_close(network(inputs, is_training=False, seed=seed), average, 1e-12)
    assert np.abs(network(inputs, is_training=True, seed=seed) - average).max() > 1e-2


@pytest.mark.parametrize("make", [
    lambda **options: OrbitAverage(flat_mlp(), symmetric_group(6), limit=3, samples=4, **options),
    lambda **options: SynchronousMLP(symmetric_group(6), [5], [2], limit=3, samples=4, **options),
], ids=["OrbitAverage", "SynchronousMLP"])  # fmt: skip
def test_samples_are_drawn_anew_in_training_alone(make: Callable[..., Any]) -> None:
    inputs = tf.constant(draw(2, 6))
    network = make(resample=True)
    call = lambda is_training, seed: network(inputs, is_training=is_training, seed=tf.constant(seed)).numpy()  # noqa: E731
    np.testing.assert_array_equal(call(False, [1, 2]), call(False, [1, 3]))
    np.testing.assert_array_equal(call(True, [1, 2]), call(True, [1, 2]))
    assert not np.array_equal(call(True, [1, 2]), call(True, [1, 3]))
    with pytest.raises(ValueError, match=r"seed \(=None\) must be given in training with resample"):
        network(inputs, is_training=True)
    with pytest.raises(ValueError, match=r"is_training \(=None\) must be given with resample.*takes=\('is_training'"):
        network(inputs)
    make()(inputs, is_training=True)  # A fixed sample needs none.
    make()(inputs)


def test_an_objective_that_gives_nothing_is_refused_where_it_matters() -> None:
    network = SynchronousMLP(symmetric_group(4), [5], [2], limit=3, samples=4, resample=True)
    batch, labels, seed = tf.zeros([2, 4]), tf.zeros([2], tf.int32), tf.constant([1, 2])
    with pytest.raises(ValueError, match=r"is_training \(=None\) must be given"):
        objectives.classification(network)(batch, labels, is_training=True, seed=seed)
    objectives.classification(network, takes=("is_training", "seed"))(batch, labels, is_training=True, seed=seed)


def test_a_network_that_takes_it_is_told_whether_it_trains() -> None:
    network = OrbitAverage(Noisy(), cyclic_group(3), takes=("is_training", "seed"))
    with pytest.raises(ValueError, match=r"is_training \(=None\) must be given to the network, which takes it"):
        network(tf.zeros([2, 3]), seed=tf.constant([1, 2]))


@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist], ids=["NumPy", "list"])
@pytest.mark.parametrize("position", ["inside", "first"])
def test_inputs_need_not_be_tensors(position: str, make: Callable[[np.ndarray], Any]) -> None:
    inputs = draw(2, 2, 2, 1).astype(np.float32)
    network = SynchronousMLP(cyclic_group(4), [3], [2], position=position)
    np.testing.assert_array_equal(network(make(inputs)), network(tf.constant(inputs)))
    average = OrbitAverage(flat_mlp(), cyclic_group(4))
    np.testing.assert_array_equal(average(make(inputs)), average(tf.constant(inputs)))


def test_orbit_average_takes_networks_of_images() -> None:
    inputs = tf.constant(draw(3, 4, 4, 2), tf.float32)
    network = OrbitAverage(snt.Conv2D(5, 3), image_rotations(4, 4, 2), pooling="moments")
    assert network(inputs).shape.as_list() == [3, 4, 4, 10]
    each = OrbitAverage(network.network, image_rotations(4, 4, 2), output="equivariant")
    assert each(inputs).shape.as_list() == [3, 4, 4, 4, 5]
    assert_close(network(inputs)[..., :5], tf.reduce_mean(each(inputs), axis=1), 1e-5)


@pytest.mark.slow
def test_synchronous_network_trains() -> None:
    group = image_rotations(5, 5)
    inputs = draw(200, 25)
    target = tf.constant(np.tanh(inputs).reshape(200, 5, 5)[:, [0, 0, 4, 4], [0, 4, 0, 4]].max(axis=1)[:, None])
    network, images = SynchronousMLP(group, [16], [16, 1]), tf.constant(inputs)
    optimizer = snt.optimizers.Adam(0.01)
    network(images)

    @tf.function(jit_compile=True, autograph=False)
    def slopes() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(images) - target))
        return loss, tape.gradient(loss, network.trainable_variables)

    losses = []
    for _ in range(60):
        loss, gradients = slopes()
        optimizer.apply(gradients, network.trainable_variables)
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]
    turned = network(tf.constant(np.rot90(inputs.reshape(200, 5, 5), axes=(1, 2)).reshape(200, 25)))
    assert_close(turned, network(images).numpy(), 1e-10)


def test_bad_options_are_refused() -> None:
    group = cyclic_group(3)
    with pytest.raises(TypeError, match=r"network \(=3\) must be a module or a function"):
        OrbitAverage(3, group)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"takes \(=\('mask',\)\) must hold is_training and seed only"):
        OrbitAverage(tf.identity, group, takes=("mask",))
    with pytest.raises(ValueError, match=r"output \(='both'\) must be one of invariant, equivariant"):
        SynchronousMLP(group, [2], [2], output="both")
    with pytest.raises(ValueError, match=r"position \(='last'\) must be one of inside, first"):
        SynchronousMLP(group, [2], [2], position="last")
    with pytest.raises(ValueError, match=r"position \(='first'\) must be inside for an equivariant output"):
        SynchronousMLP(group, [2], [2], position="first", output="equivariant")
    with pytest.raises(ValueError, match=r"pooling \(='median'\) must be one of mean"):
        SynchronousMLP(group, [2], [2], "median")
    with pytest.raises(ValueError, match="shared_sizes must hold at least one"):
        SynchronousMLP(group, [], [2])
    with pytest.raises(ValueError, match="head_sizes must hold at least one"):
        SynchronousMLP(group, [2], [])
    with pytest.raises(TypeError, match=r"shared_sizes \(=2\) must be a list of integers"):
        SynchronousMLP(group, 2, [2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"head_sizes \(=0\) must be at least 1"):
        SynchronousMLP(group, [2], [0])
    network = SynchronousMLP(group, [2], [2])
    with pytest.raises(ValueError, match="must hold 3 numbers for points"):
        network(tf.zeros([1, 4]))
    assert network(tf.zeros([1, 3])).shape.as_list() == [1, 2]  # The refused width has left no trace.
    with pytest.raises(ValueError, match=r"network gives outputs of shape \(\)"):
        OrbitAverage(tf.reduce_sum, group)(tf.zeros([2, 3]))
