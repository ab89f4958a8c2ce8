"""Keras models inside this project's modules: their variables are seen, trained and saved."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import items, points, symmetric_group
from weirdonetworks.lab.data.datasets import Examples
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.optimizers import Momentum
from weirdonetworks.lab.training.trainer import Resident, Trainer
from weirdonetworks.measure.precision import in_dtype
from weirdonetworks.nets.averaged import Averaged, OrbitAverage, Symmetrized
from weirdonetworks.nets.frames import SortFrame, Standard
from weirdonetworks.nets.small.parallel import Parallel
from weirdonetworks.nets.soft_equivariant import SoftEquivariant
from weirdonetworks.testing import assert_invariant

GROUP = points(symmetric_group(3))
INPUTS = np.random.default_rng(1).normal(size=[6, 3]).astype(np.float32)


def network(dtype: str = "float32") -> keras.Model:
    layers = [keras.layers.Dense(4, activation="tanh"), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input([3], dtype=dtype), *layers])


def values(variables: list[tf.Variable]) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in variables]


HOSTS = {
    "OrbitAverage": lambda model: OrbitAverage(model, GROUP),
    "Averaged": lambda model: Averaged(model, GROUP),
    "Standard": lambda model: Averaged(snt.Sequential([snt.Flatten(), model]), Standard(SortFrame())),
    "Parallel": lambda model: Parallel({"given": model}, reduce="sum"),
    "SoftEquivariant": lambda model: SoftEquivariant(model, strength=0.1),
    "inside a Sonnet module": lambda model: OrbitAverage(snt.Sequential([model]), GROUP),
    "Sonnet around it": lambda model: snt.Sequential([OrbitAverage(model, GROUP)]),
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_the_weights_of_a_keras_model_are_among_the_variables(host: Callable[[keras.Model], snt.Module]) -> None:
    model = network()
    module = host(model)
    variables = {id(variable) for variable in module.variables}
    assert {id(weight.value) for weight in model.weights} <= variables
    trainable = {id(variable) for variable in module.trainable_variables}
    assert {id(weight.value) for weight in model.trainable_weights} <= trainable
    assert not {id(weight.value) for weight in model.non_trainable_weights} & trainable
    assert len(variables) == len(module.variables)


def test_a_model_that_is_built_by_the_first_call_has_weights_after_it() -> None:
    module = OrbitAverage(keras.Sequential([keras.layers.Dense(2)]), GROUP)
    assert not module.variables
    module(INPUTS)
    assert [variable.shape.as_list() for variable in module.variables] == [[3, 2], [2]]


@pytest.mark.parametrize("frozen", ["before", "after"])
def test_the_weights_of_a_frozen_model_are_not_trainable(frozen: str) -> None:
    model = network()
    model.trainable = frozen == "after"
    module = OrbitAverage(model, GROUP)
    around = snt.Sequential([module, snt.Linear(1, with_bias=False)])
    around(INPUTS)
    assert len(around.trainable_variables) == (7 if frozen == "after" else 1)
    model.trainable = not model.trainable
    assert len(around.trainable_variables) == (1 if frozen == "after" else 7)
    assert len(around.variables) == 9


def test_a_keras_model_in_a_module_trains_as_the_module_of_sonnet_does() -> None:
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    ours = OrbitAverage(snt.nets.MLP([4, 1], activation=tf.tanh), GROUP)
    theirs = OrbitAverage(model, GROUP)
    ours(INPUTS)
    for own, other in zip(sorted(ours.variables, key=by_shape), sorted(theirs.variables, key=by_shape), strict=True):
        other.assign(own)
    losses = [[step(module, optimizer) for _ in range(20)] for module, optimizer in started(ours, theirs)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][-1] < 0.5 * losses[0][0]


def by_shape(variable: tf.Variable) -> list[int]:
    return variable.shape.as_list()


def started(*modules: snt.Module) -> list[tuple[snt.Module, snt.Optimizer]]:
    return [(module, snt.optimizers.Adam(0.05)) for module in modules]


def step(module: snt.Module, optimizer: snt.Optimizer) -> float:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((module(INPUTS) - tf.reduce_prod(INPUTS, axis=1, keepdims=True)) ** 2)
    variables = module.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)
    return float(loss)


def test_the_trainer_trains_the_keras_model_and_refuses_copies_of_it() -> None:
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    data = Resident(Examples(INPUTS, np.prod(INPUTS, axis=1, keepdims=True)))

    def trainer(count: int | None = None) -> Trainer:
        network, options = OrbitAverage(model, GROUP), {"batch_size": 6, "execution": "graph", "count": count}
        return Trainer(network, Momentum(0.9), lambda each: objectives.regression(each, 0.01), data, **options)

    before, trained = values(model.weights), trainer()
    losses = [trained.epoch(np.arange(6), np.array([0.05]), (1, 2))["loss"] for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
    assert all(np.abs(weight - was).max() > 1e-5 for weight, was in zip(values(model.weights), before, strict=True))
    with pytest.raises(TypeError, match=r"must not hold a Keras model to be copied .* one after another"):
        trainer(count=2).epoch(np.arange(12).reshape(2, 6) % 6, np.array([[0.05], [0.05]]), [(1, 2), (3, 4)])


def test_a_checkpoint_holds_the_weights(tmp_path: pathlib.Path) -> None:
    module, other = (OrbitAverage(network(), GROUP) for _ in range(2))
    path = tf.train.Checkpoint(module=module).write(str(tmp_path / "saved"))
    assert not np.array_equal(module(INPUTS), other(INPUTS))
    tf.train.Checkpoint(module=other).read(path).assert_consumed()
    np.testing.assert_array_equal(module(INPUTS), other(INPUTS))


def test_a_copy_of_another_type_is_refused_with_the_remedy_and_the_remedy_works() -> None:
    with pytest.raises(TypeError, match=r"must not hold a Keras model to be copied .*dtype='float64'"):
        in_dtype(OrbitAverage(network(), GROUP), tf.float64)
    layers = [keras.layers.Dense(4, activation="tanh", dtype="float64"), keras.layers.Dense(2, dtype="float64")]
    model = keras.Sequential([keras.Input([3], dtype="float64"), *layers])
    assert_invariant(OrbitAverage(model, GROUP), INPUTS.astype(np.float64), GROUP)
    with pytest.raises(AssertionError):
        assert_invariant(model, INPUTS.astype(np.float64), GROUP)


def test_symmetrized_takes_a_keras_model() -> None:
    model = keras.Sequential([keras.Input([3, 2]), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert len(Symmetrized(model).trainable_variables) == 2
    assert len(OrbitAverage(model, items(3)).trainable_variables) == 2
