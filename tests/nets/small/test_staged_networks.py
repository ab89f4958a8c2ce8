"""Tests of staged networks: values against NumPy, and frozen stages unchanged bit by bit."""

import pathlib

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Adam, Momentum, Optimizer
from weirdonetworks.lab.training.trainer import Trainer
from weirdonetworks.nets.small.staged_networks import (
    ExpansionParallel,
    ExpansionSerial,
    RandomSample,
    Residual,
    StagedNetwork,
)

KINDS = (ExpansionSerial, ExpansionParallel, RandomSample, Residual)
SEED = (1, 2)
Floats = npt.NDArray[np.float64]


def inputs(batch: int = 5) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(batch, 5, 4, 1)))


def built(kind: type[StagedNetwork], **options: object) -> StagedNetwork:
    sampling = {"branches": 2, "sample_size": 7} if kind is RandomSample else {}
    made = kind(3, size=4, **sampling, **options)  # type: ignore[arg-type]
    made(inputs(), is_training=False)
    rng = np.random.default_rng(len(made.frozen))
    for variable in made.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return made


def dense(block: snt.Sequential, values: Floats) -> Floats:
    """A dense layer, layer norm and ReLU in NumPy."""
    variables = {variable.name.split("/", 1)[1].split("_")[-1]: variable.numpy() for variable in block.variables}
    hidden = values @ variables["linear/w:0"] + variables["linear/b:0"]
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return np.maximum(0, normed * variables["norm/scale:0"] + variables["norm/offset:0"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", [ExpansionSerial, ExpansionParallel, Residual])
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_outputs_are_those_of_the_equations(kind: type[StagedNetwork], frozen: int) -> None:
    network = built(kind, stages=3 - frozen, base=built(kind, stages=frozen) if frozen else None)
    x = inputs().numpy().reshape(5, -1)
    one, two, three = (*network.frozen, *network.stages)
    h = dense(one, x)
    for block in (two, three):
        if kind is Residual:
            h = h + dense(block, h)
        else:
            h = np.concatenate([h, dense(block, h if kind is ExpansionSerial else x)], axis=1)
    expected = h @ network.read_out.w.numpy() + network.read_out.b.numpy()
    np.testing.assert_allclose(network(inputs(), is_training=False).numpy(), expected, rtol=1e-9, atol=1e-9)


def samples(seed: int) -> list[tuple[int, ...]]:
    """The inputs that each branch of a network's two stages depends on, found by differentiation."""
    network = RandomSample(3, stages=2, size=4, branches=2, sample_size=7, seed=seed)
    network(inputs(), is_training=False)
    flat, along = tf.reshape(inputs(), [5, -1]), tf.constant(np.random.default_rng(1).normal(size=(5, 4)))
    found = []
    for block in [branch for stage in network.stages for branch in stage.branches.values()]:
        with tf.GradientTape() as tape:
            tape.watch(flat)
            outputs = block(flat)
        slopes = tape.gradient(outputs, flat, output_gradients=along).numpy()
        found.append(tuple(np.flatnonzero(np.abs(slopes).max(axis=0)).tolist()))
    return found


def test_a_branch_of_a_random_sample_sees_its_own_sample_and_no_more() -> None:
    assert {len(sample) for sample in samples(1)} == {7}
    assert len(set(samples(1))) == 4
    assert samples(1) == samples(1) != samples(2)


def test_the_branches_of_a_random_sample_are_joined() -> None:
    network = built(RandomSample, stages=2)
    flat = tf.reshape(inputs(), [5, -1])
    features = tf.concat([branch(flat) for stage in network.stages for branch in stage.branches.values()], axis=1)
    assert features.shape == (5, 16)
    np.testing.assert_array_equal(network(inputs(), is_training=False).numpy(), network.read_out(features).numpy())


def varies(network: StagedNetwork) -> bool:
    """Whether the outputs in training depend on the seed, once the last block gives nothing."""
    for variable in network.stages[-1].variables:
        if "norm" in variable.name:
            variable.assign(tf.zeros_like(variable))
    first, other = (network(inputs(), is_training=True, seed=tf.constant(seed)).numpy() for seed in (SEED, (3, 4)))
    return not np.array_equal(first, other)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_dropped_in_what_is_frozen(kind: type[StagedNetwork]) -> None:
    assert not varies(built(kind, base=built(kind)))
    assert varies(built(kind, stages=2))


def trained(network: StagedNetwork, digits: Dataset, optimizer: Optimizer) -> None:
    objective = objectives.classification(network, digits.standardisation, ("is_training", "seed"))
    train = digits.residents["train"]
    trainer = Trainer(network, optimizer, lambda _: objective, train, batch_size=100, execution="graph")
    trainer.epoch(np.arange(500), np.full(5, 0.05), SEED)


class Thawed(ExpansionSerial):
    """Does not keep its frozen stages from training."""

    trainable_variables = snt.Module.trainable_variables


def changed(kind: type[StagedNetwork], digits: Dataset, optimizer: Optimizer, **options: object) -> tuple[bool, bool]:
    """Trains a second stage; returns whether any frozen variable changed, and whether all others did."""
    first = kind(**options)  # type: ignore[arg-type]
    trained(first, digits, Momentum())
    second = kind(base=first, **options)  # type: ignore[arg-type]
    image = tf.zeros([1, 28, 28, 1])
    outputs = first(image, is_training=False).numpy()
    second(image, is_training=False)
    frozen = [variable for stage in first.stages for variable in stage.variables]
    assert len(second.variables) == len(frozen) + len([*second.stages[0].variables, *second.read_out.variables])
    own = [*second.stages[0].variables, *second.read_out.variables]
    before, start = ([variable.numpy().tobytes() for variable in each] for each in (frozen, own))
    trained(second, digits, optimizer)
    moved = [variable.numpy().tobytes() != value for variable, value in zip(own, start, strict=True)]
    touched = [variable.numpy().tobytes() != value for variable, value in zip(frozen, before, strict=True)]
    assert any(touched) or first(image, is_training=False).numpy().tobytes() == outputs.tobytes()
    return any(touched), all(moved)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_stays_bit_by_bit(kind: type[StagedNetwork], digits: Dataset) -> None:
    sampling = {"branches": 2} if kind is RandomSample else {}
    assert changed(kind, digits, Adam(weight_decay=0.5), **sampling) == (False, True)


@pytest.mark.slow
def test_what_is_frozen_stays_with_momentum_and_weight_decay(digits: Dataset) -> None:
    assert changed(Residual, digits, Momentum(weight_decay=0.5)) == (False, True)


@pytest.mark.slow
def test_frozen_stages_among_the_trained_ones_would_change(digits: Dataset) -> None:
    assert changed(Thawed, digits, Adam(weight_decay=0.5)) == (True, True)


class Around(snt.Module):
    """A module that holds a staged network."""

    def __init__(self, network: StagedNetwork):
        super().__init__()
        self.network = network


def reached(network: StagedNetwork) -> set[str]:
    """The names of the variables, among all that a module around the network would train, with a gradient."""
    around = Around(network)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(around.network(inputs(), is_training=False) ** 2)
    assert {each.ref() for each in around.trainable_variables} == {each.ref() for each in network.variables}
    gradients = tape.gradient(loss, around.trainable_variables)
    return {
        variable.name
        for variable, slope in zip(around.trainable_variables, gradients, strict=True)
        if slope is not None
    }


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_reaches_what_is_frozen_in_a_module_around_it(kind: type[StagedNetwork]) -> None:
    network = built(kind, stages=2, base=built(kind, base=built(kind)))
    assert len(network.frozen) == 2
    assert reached(network) == {variable.name for variable in network.trainable_variables}
    free = built(kind, stages=4)
    assert reached(free) == {variable.name for variable in free.variables}


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_network_comes_back_from_a_checkpoint(kind: type[StagedNetwork], tmp_path: pathlib.Path) -> None:
    network, other = (built(kind, base=built(kind, base=built(kind))) for _ in range(2))
    for variable in network.variables:
        variable.assign(variable + 1)
    path = tf.train.Checkpoint(network=network).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(network=other).restore(path).assert_consumed()
    assert len(other.frozen) == 2
    for one, two in zip(network.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stages \(=0\) must be at least 1"):
        ExpansionSerial(stages=0)
    with pytest.raises(ValueError, match=r"dropout_rate \(=1\) must be in \[0, 1\)"):
        Residual(dropout_rate=1)
    with pytest.raises(TypeError, match=r"base .* must be of the class Residual"):
        Residual(base=ExpansionSerial())
    with pytest.raises(ValueError, match=r"size \(=4\) must be that of the base \(=16\)"):
        Residual(size=4, base=Residual())(tf.zeros([1, 9]), is_training=False)
    with pytest.raises(ValueError, match=r"sample_size \(=16\) must be at most the number of inputs \(=9\)"):
        RandomSample()(tf.zeros([1, 9]), is_training=False)
    with pytest.raises(ValueError, match="seed"):
        Residual()(tf.zeros([1, 9]), is_training=True)
