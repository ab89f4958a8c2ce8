"""Every module comes back from a checkpoint bit by bit."""

import pathlib
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry


def disturb(variables: list[tf.Variable]) -> None:
    """Gives every variable values that no constructor gives it; positive ones, since some are variances."""
    rng = np.random.default_rng(3)
    for variable in variables:
        noise = (
            rng.uniform(0.5, 1.5, variable.shape) if variable.dtype.is_floating else rng.integers(1, 9, variable.shape)
        )
        variable.assign(noise.astype(variable.dtype.as_numpy_dtype))


def round_trip(source: Any, target: Any, folder: pathlib.Path) -> None:
    path = tf.train.Checkpoint(module=source).save(str(folder / "checkpoint"))
    tf.train.Checkpoint(module=target).restore(path).expect_partial().assert_existing_objects_matched()


def check(entry: registry.Network, folder: pathlib.Path) -> None:
    source, target = entry.build(), entry.build()
    disturb(list(source.variables))
    inputs = entry.inputs()
    same_before = np.array_equal(entry.call(source, inputs), entry.call(target, inputs))
    round_trip(source, target, folder)
    for one, other in zip(source.variables, target.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.name)
    for is_training in (False, True):
        expected = entry.call(source, inputs, is_training).numpy()
        np.testing.assert_array_equal(entry.call(target, inputs, is_training).numpy(), expected)
    assert same_before == (not source.variables)  # What is restored makes a difference.


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_network_comes_back(entry: registry.Network, tmp_path: pathlib.Path) -> None:
    check(entry, tmp_path)


@pytest.mark.parametrize("entry", registry.OPTIMIZERS, ids=registry.name)
def test_optimizer_comes_back(entry: registry.Optimizer, tmp_path: pathlib.Path) -> None:
    parameters = entry.parameters()
    source = entry.build(parameters)
    for seed in range(3):
        source.apply(entry.updates(seed), parameters, 0.1)
    copies = [tf.Variable(parameter) for parameter in parameters]
    target = entry.build(copies)
    round_trip(source, target, tmp_path)
    source.apply(entry.updates(9), parameters, 0.1)
    target.apply(entry.updates(9), copies, 0.1)
    for one, other in zip(parameters, copies, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@snt.allow_empty_variables
class Untracked(snt.Module):
    """Keeps its weight where a checkpoint does not look."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = np.random.default_rng().normal(size=3).astype(np.float32)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.weight


def test_a_module_with_weights_outside_variables_breaks_the_law(tmp_path: pathlib.Path) -> None:
    with pytest.raises(AssertionError):
        check(registry.Network(Untracked, (2, 3)), tmp_path)
