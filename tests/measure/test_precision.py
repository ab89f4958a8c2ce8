"""Tests of copies of modules in another type: equal numbers, and an unchanged original."""

from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import cyclic_group
from weirdonetworks.measure import jacobian, lie_derivatives, models, products, stability
from weirdonetworks.measure.precision import full_float32, in_dtype
from weirdonetworks.nets.sets.pooled_sets import DeepSets

FLOAT64 = [entry for entry in registry.NETWORKS if entry.float64 and entry.dtype.is_floating]


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", FLOAT64, ids=registry.name)
def test_a_network_in_float64_computes_the_same(entry: registry.Network) -> None:
    tf.random.set_seed(0)  # Of some weights an encoder that rounds is next to a jump.
    network = entry.build()
    inputs = entry.inputs()
    outputs = entry.call(network, inputs)
    copied = in_dtype(network, tf.float64)
    again = entry.call(copied, tf.cast(inputs, tf.float64))
    assert again.dtype == tf.float64
    assert_close(tf.cast(again, tf.float32), outputs, 1e-4)
    assert [each.dtype for each in network.variables] == [tf.float32] * len(network.variables)
    assert [(each.name, each.shape, each.trainable) for each in copied.variables] == [
        (each.name, each.shape, each.trainable) for each in network.variables
    ]


def test_a_variable_that_is_shared_stays_shared() -> None:
    linear = snt.Linear(3)
    network = snt.Sequential([linear, linear])
    network(tf.ones([1, 3]))
    copied = in_dtype(network, tf.float64)
    assert len(copied.variables) == 2
    inputs = np.random.default_rng(0).normal(size=(4, 3))
    w, b = linear.w.numpy().astype(np.float64), linear.b.numpy()
    np.testing.assert_allclose(copied(tf.constant(inputs)), (inputs @ w + b) @ w + b, rtol=1e-12)


def test_changing_the_copy_leaves_the_module_alone() -> None:
    linear = snt.Linear(2)
    linear(tf.ones([1, 3]))
    before = linear.w.numpy()
    in_dtype(linear, tf.float64).w.assign(tf.zeros([3, 2], tf.float64))
    np.testing.assert_array_equal(linear.w.numpy(), before)


def test_a_module_of_the_type_is_itself() -> None:
    linear = snt.Linear(2)
    linear(tf.ones([1, 3]))
    assert in_dtype(linear, tf.float32) is linear


def test_integers_stay_integers() -> None:
    class Counter(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count, self.scale = tf.Variable(3), tf.Variable(0.5)

        def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs * self.scale + tf.cast(self.count, inputs.dtype)

    copied = in_dtype(Counter(), tf.float64)
    assert (copied.count.dtype, copied.scale.dtype) == (tf.int32, tf.float64)
    assert copied(tf.constant([2.0], tf.float64)).numpy().tolist() == [4.0]


def test_bad_use_is_refused() -> None:
    class Fixed(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(1.0)

        def __deepcopy__(self, memo: dict[int, Any]) -> None:
            raise TypeError("no copies")

    with pytest.raises(ValueError, match=r"dtype \(=int32\) must be floating point"):
        in_dtype(Fixed(), tf.int32)
    with pytest.raises(TypeError, match=r"can be copied \(no copies\)"):
        in_dtype(Fixed(), tf.float64)


def test_a_network_that_has_found_its_type_is_copied_into_another() -> None:
    network, inputs = DeepSets([4], [2]), tf.ones([1, 3, 2])
    for _ in range(2):  # The second call finds the weights of the first.
        network(inputs)
    assert in_dtype(network, tf.float64)(tf.cast(inputs, tf.float64)).dtype == tf.float64
    assert network(inputs).dtype == tf.float32
    with pytest.raises(ValueError, match="must be float32"):
        network(tf.cast(inputs, tf.float64))


@pytest.mark.parametrize("setting", [True, False])
def test_measures_compute_without_tf32_whatever_the_setting(setting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, in_pieces = tf.config.experimental.tensor_float_32_execution_enabled, models.in_pieces
    found: list[bool] = []

    def watched(compute: Any, *arguments: Any, **options: Any) -> Any:
        def watching(*given: tf.Tensor) -> Any:
            found.append(rounds())
            return compute(*given)

        return in_pieces(watching, *arguments, **options)

    for module in (stability, jacobian, products, lie_derivatives):
        monkeypatch.setattr(module, "in_pieces", watched)
    inputs = np.random.default_rng(0).normal(size=[3, 4]).astype(np.float32)
    generator = np.eye(4)[::-1] - np.eye(4)
    velocities = [lambda x: tf.matmul(x, tf.constant(generator, x.dtype))]
    before = rounds()
    tf.config.experimental.enable_tensor_float_32_execution(setting)
    try:
        linear = snt.Linear(2)
        stability.outputs_over(linear, inputs, cyclic_group(4))
        stability.invariance_error(linear, inputs, cyclic_group(4))
        jacobian.jacobian_along(linear, inputs, velocities)
        jacobian.spectrum(linear, inputs)
        lie_derivatives.lie_derivative_by_layer([snt.Flatten()], np.ones([2, 5, 5, 1], np.float32))
        assert rounds() == setting
        with pytest.raises(RuntimeError), full_float32():
            raise RuntimeError
        assert rounds() == setting
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    assert len(found) >= 5
    assert not any(found)
