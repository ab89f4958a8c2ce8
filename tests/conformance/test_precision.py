"""Float16, bfloat16 and float64: each module is right to the type's accuracy, or refuses the type in one line.

The first call makes the weights in the type of its inputs. Mixed precision is inputs of half precision and weights of
float32; modules that wrap a network of the user's and have no weights of their own leave that to the network.
"""

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import processes, registry
from weirdonetworks.nets import pooling
from weirdonetworks.nets.base_module import BaseModule
from weirdonetworks.nets.sets.permutation import PermutationInvariantLinear

TYPES = (tf.float16, tf.bfloat16, tf.float64)
HALVES = TYPES[:2]
ENTRIES = [entry for entry in registry.NETWORKS if entry.dtype.is_floating]
# Whether half precision rounds a number up or down decides there, so the outputs may be others altogether.
JUMPS = ("FreeAbelianEncoder", "QuantisedMLP")
# The largest error, relative to the largest output, in units of the type's last digit.
DIGITS = {tf.float16: 16, tf.bfloat16: 16, tf.float32: 64}
Pair = tuple[registry.Network, tf.DType]
EVERY = [(entry, dtype) for entry in ENTRIES for dtype in TYPES]
MIXED = [(entry, dtype) for entry in ENTRIES if issubclass(entry.module, BaseModule) for dtype in HALVES]


def name(value: registry.Network | tf.DType) -> str:
    return value.name


def called(entry: registry.Network, module: Any, dtype: tf.DType) -> tf.Tensor | None:
    """The outputs for inputs of a type; None where the type is refused, by one line of ours."""
    try:
        return entry.call(module, tf.cast(entry.inputs(), dtype))
    except (ValueError, TypeError) as refusal:
        assert f"of type {dtype.name} must be" in str(refusal) and "\n" not in str(refusal), refusal
        return None


@functools.cache
def in_float64(name: str) -> Any:
    """The module of an entry in float64, one for all tests."""
    (entry,) = (each for each in ENTRIES if each.name == name)
    module = entry.construct()
    entry.call(module, tf.cast(entry.inputs(), tf.float64))
    return module


def twin(entry: registry.Network, module: Any) -> Any:
    """The same module with the same weights in float64, until the next call."""
    other = in_float64(entry.name)
    for variable, own in zip(other.variables, module.variables, strict=True):
        variable.assign(tf.cast(own, variable.dtype))
    return other


def error(entry: registry.Network, outputs: tf.Tensor, module: Any, dtype: tf.DType) -> float:
    """How far outputs are from those of float64 on the same inputs and weights, in the type's last digits."""
    right = entry.call(twin(entry, module), tf.cast(tf.cast(entry.inputs(), dtype), tf.float64)).numpy()
    largest = np.abs(outputs.numpy().astype(np.float64) - right).max() / np.abs(right).max()
    return float(largest / ml_dtypes.finfo(dtype.as_numpy_dtype).eps)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("entry", "dtype"), EVERY, ids=name)
def test_a_module_built_in_a_type_is_right_in_it_or_refuses_it(entry: registry.Network, dtype: tf.DType) -> None:
    module = entry.construct()
    outputs = called(entry, module, dtype)
    if dtype == tf.float64 and entry.float64:
        assert outputs is not None
        assert {variable.dtype for variable in module.trainable_variables} <= {tf.float64}
    if outputs is None:
        return
    # Widths of maps of images stay in float32, as the places of pixels do.
    wide = {tf.float32} if entry.name == "LearnedAugmentation" else set()
    assert outputs.dtype == dtype and {each.dtype for each in floating(module)} <= {dtype} | wide
    compare_in = tf.float32 if dtype == tf.float64 else dtype
    if dtype == tf.float64:  # Against float32: there is nothing finer here to compare with.
        module = entry.construct()
        outputs = called(entry, module, compare_in)
    assert outputs is not None
    if entry.name not in JUMPS:
        assert error(entry, outputs, module, compare_in) < DIGITS[compare_in]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("entry", "dtype"), MIXED, ids=name)
def test_float32_weights_compute_in_half_precision(entry: registry.Network, dtype: tf.DType) -> None:
    module = entry.build()
    with tf.GradientTape() as tape:
        outputs = called(entry, module, dtype)
        if outputs is None:
            return
        loss = tf.reduce_mean(tf.cast(outputs, tf.float32) ** 2)
    assert outputs.dtype == dtype and {each.dtype for each in floating(module)} <= {tf.float32}
    if entry.name not in JUMPS:
        assert error(entry, outputs, module, dtype) < DIGITS[dtype]
    trained = list(tf.Module.trainable_variables.fget(module))
    for gradient, variable in zip(tape.gradient(loss, trained), trained, strict=True):
        assert gradient is None or gradient.dtype == variable.dtype == tf.float32
    assert entry.call(module, entry.inputs()).dtype == tf.float32  # Nothing stays cast.


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if issubclass(entry.module, BaseModule)], ids=name)
def test_sonnets_mixed_precision_is_obeyed(entry: registry.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    module = entry.build()
    expected = entry.call(module, entry.inputs())
    modes = snt.mixed_precision.modes([tf.float32, tf.bfloat16])
    monkeypatch.setattr(entry.module, "__call__", modes(entry.module.__call__))
    entry.call(module, entry.inputs())  # Sonnet computes the first call in full.
    with snt.mixed_precision.scope(tf.bfloat16):
        try:
            outputs = entry.call(module, entry.inputs())
        except ValueError as refusal:
            assert "of type bfloat16 must be" in str(refusal), refusal
            return
    assert outputs.dtype == tf.float32
    if entry.name not in JUMPS:
        assert np.abs(outputs - expected).max() < 0.25 * np.abs(expected).max()


@pytest.mark.slow
def test_the_first_call_in_half_precision_prints_nothing() -> None:
    # TensorFlow warns at most once a process, so it is a fresh one.
    layer = "import tensorflow as tf; from weirdonetworks import DeepSets; layer = DeepSets([2], [1])"
    calls = "layer(tf.ones([1, 3, 2])); layer(tf.ones([1, 3, 2], tf.bfloat16))"
    assert processes.run("timeit", "-n1", "-r1", "-s", layer, calls).stderr == ""


def floating(module: Any) -> list[tf.Variable]:
    return [each for each in tf.Module.variables.fget(module) if each.dtype.is_floating]


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", HALVES, ids=name)
@pytest.mark.parametrize("pool", pooling.POOLINGS)
def test_poolings_of_many_items_add_up_in_float32(pool: str, dtype: tf.DType) -> None:
    items = {"elementary_symmetric": 300, "product": 8}.get(pool, 5000)
    values = tf.cast(tf.random.stateless_uniform([1, items, 1], (1, 2), 0.5, 1), dtype)
    options = {"normalised": True} if pool == "elementary_symmetric" else {}
    found, right = (pooling.named(pool, **options)(each) for each in (values, tf.cast(values, tf.float64)))
    assert found.dtype == dtype
    scale = np.where(np.isfinite(tf.cast(right, dtype).numpy().astype(np.float64)), right, np.inf)
    distance = np.abs(found.numpy().astype(np.float64) - right) / np.abs(scale)
    assert distance[np.isfinite(scale)].max() < 2 * ml_dtypes.finfo(dtype.as_numpy_dtype).eps


@pytest.mark.parametrize("dtype", HALVES, ids=name)
def test_the_mean_of_many_equal_items_is_the_item(dtype: tf.DType) -> None:
    twenties = tf.fill([1, 5000, 1], tf.constant(20, dtype))
    assert pooling.mean(twenties).numpy().item() == 20
    layer = PermutationInvariantLinear(1)
    assert layer(twenties).numpy().item() == layer(twenties[:, :1]).numpy().item()


def test_the_law_sees_what_is_not_right() -> None:
    entry = registry.NETWORKS[0]
    module = entry.build()
    outputs = entry.call(module, entry.inputs())
    assert error(entry, outputs, module, tf.float32) < DIGITS[tf.float32]
    assert error(entry, outputs * (1 + 1e-4), module, tf.float32) > DIGITS[tf.float32]
