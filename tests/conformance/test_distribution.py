"""Every module can be replicated: two processors, each with its own copy of the variables, compute what one does."""

from collections.abc import Callable
from typing import Any

import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from tests.conformance.comparison import assert_close


@pytest.fixture(scope="module")
def replicator() -> snt.distribute.Replicator:
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) == 2
    # Reduced on one device, not by collectives: one failure there makes all later ones fail.
    return snt.distribute.Replicator(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


def split(values: tf.Tensor, strategy: tf.distribute.Strategy) -> Any:
    """Gives each replica its half of a batch."""
    halves = tf.split(values, 2)
    return strategy.experimental_distribute_values_from_function(
        lambda context: halves[context.replica_id_in_sync_group]
    )


def replicate(
    entry: registry.Network, strategy: tf.distribute.Strategy
) -> tuple[Any, tf.Tensor, Callable[[Any], tuple[Any, Any]]]:
    """Returns the module, inputs, and what computes the replicas' outputs and each parameter's mean gradient."""
    with strategy.scope():
        module = entry.build()

    def on_replica(images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            outputs = entry.call(module, images)
            loss = tf.reduce_mean(tf.square(outputs))
        gradients = tape.gradient(loss, module.trainable_variables)
        context = tf.distribute.get_replica_context()
        return outputs, [context.all_reduce("mean", gradient) for gradient in gradients]

    return module, entry.inputs(batch=4), lambda images: strategy.run(on_replica, (images,))


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_replicated_network_equals_one(entry: registry.Network, replicator: snt.distribute.Replicator) -> None:
    """Eagerly and in a function."""
    module, inputs, run = replicate(entry, replicator)
    assert all(len(variable.values) == 2 for variable in module.variables)
    with tf.GradientTape() as tape:
        expected = entry.call(module, inputs)
        loss = tf.reduce_mean(tf.square(expected))
    expected_gradients = tape.gradient(loss, module.trainable_variables)
    for way in (run, tf.function(run, autograph=False)):
        outputs, gradients = way(split(inputs, replicator))
        assert_close(tf.concat(outputs.values, axis=0), expected)
        for replicated, gradient in zip(gradients, expected_gradients, strict=True):
            for on_replica in replicated.values:
                assert_close(on_replica, gradient, tolerance=1e-4)


@pytest.mark.parametrize("entry", registry.OPTIMIZERS, ids=registry.name)
def test_replicated_optimizer_equals_one(entry: registry.Optimizer, replicator: snt.distribute.Replicator) -> None:
    with replicator.scope():
        parameters = entry.parameters()
        optimizer = entry.build(parameters)
    alone = entry.parameters()
    lone_optimizer = entry.build(alone)
    step = tf.function(
        lambda *updates: replicator.run(lambda *local: optimizer.apply(local, parameters, 0.1), updates),
        autograph=False,
    )
    for seed in range(3):
        step(*entry.updates(seed))
        lone_optimizer.apply(entry.updates(seed), alone, 0.1)
    for replicated, one in zip(parameters, alone, strict=True):
        assert len(replicated.values) == 2
        for on_replica in replicated.values:
            assert_close(on_replica, one)


class AcrossTheBatch(snt.Module):
    """Mixes the examples of a batch, so that halves of it do not compute what the whole does."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(1.0)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.scale * (inputs - tf.reduce_mean(inputs, axis=0))


def test_a_module_that_mixes_the_batch_breaks_the_law(replicator: snt.distribute.Replicator) -> None:
    entry = registry.Network(AcrossTheBatch, (4, 3))
    module, inputs, run = replicate(entry, replicator)
    outputs, _ = run(split(inputs, replicator))
    with pytest.raises(AssertionError, match="scaled error"):
        assert_close(tf.concat(outputs.values, axis=0), entry.call(module, inputs))
