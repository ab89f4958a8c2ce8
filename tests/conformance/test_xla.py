"""Every module's forward pass and gradient step compile with XLA, and compute what they compute without.

Each operation of what is compiled has a kernel for GPUs too, which run it where XLA does not.
"""

from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from tests.conformance import kernels
from tests.conformance.comparison import assert_close


def gradients(entry: registry.Network, module: Any, inputs: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The outputs in training, and the gradients of their mean square by the inputs and by each parameter."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = entry.call(module, inputs, is_training=True)
        loss = tf.reduce_mean(tf.square(outputs))
    return outputs, tape.gradient(loss, [inputs, *module.trainable_variables])


def out_of_training(entry: registry.Network, module: Any, inputs: tf.Tensor) -> list[tf.Tensor]:
    """The outputs out of training, where they are others."""
    return [entry.call(module, inputs)] if entry.takes else []


def check(entry: registry.Network) -> None:
    module, inputs = entry.build(), entry.inputs()
    parameters = module.trainable_variables
    before = [parameter.numpy() for parameter in parameters]
    in_training, (by_inputs, *expected) = gradients(entry, module, inputs)
    assert all(gradient is not None for gradient in expected)
    expected_outputs = [*out_of_training(entry, module, inputs), in_training]

    # All in one function: most of the time goes into compiling.
    @tf.function(jit_compile=True, autograph=False)
    def step(images: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        outputs = out_of_training(entry, module, images)  # Before averages move on in training.
        in_training, (first, *rest) = gradients(entry, module, images)
        for parameter, gradient in zip(parameters, rest, strict=True):
            parameter.assign_sub(0.5 * gradient)
        return [*outputs, in_training], first

    outputs, first = step(inputs)
    assert not kernels.only_on_processors(step.get_concrete_function(inputs))
    for compiled, eager in zip(outputs, expected_outputs, strict=True):
        assert_close(compiled, eager)
    assert_close(first, by_inputs)
    largest = max((float(np.abs(gradient).max()) for gradient in expected), default=0.0)
    for parameter, start, gradient in zip(parameters, before, expected, strict=True):
        moved = (start - parameter.numpy()) / 0.5
        # Scaled by the largest of all gradients: some of a layer's are sums that cancel to nothing.
        assert np.abs(moved - gradient).max() <= 1e-5 * max(largest, np.abs(start).max())


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_forward_pass_and_gradient_step_compile(entry: registry.Network) -> None:
    check(entry)


@pytest.mark.parametrize("entry", registry.OPTIMIZERS, ids=registry.name)
def test_optimizer_compiles(entry: registry.Optimizer) -> None:
    compiled, eager = entry.parameters(), entry.parameters()
    compiled_optimizer, eager_optimizer = entry.build(compiled), entry.build(eager)
    step = tf.function(
        lambda *updates: compiled_optimizer.apply(updates, compiled, tf.constant(0.1)),
        jit_compile=True,
        autograph=False,
    )
    for seed in range(3):
        step(*entry.updates(seed))
        eager_optimizer.apply(entry.updates(seed), eager, tf.constant(0.1))
    for one, other in zip(compiled, eager, strict=True):
        assert_close(one, other)


@snt.allow_empty_variables
class Interpreted(snt.Module):
    """Calls back to Python, which XLA cannot."""

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(np.sqrt, [tf.abs(inputs)], inputs.dtype), inputs.shape)


def test_a_module_that_calls_python_breaks_the_law() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        check(registry.Network(Interpreted, (2, 3)))
