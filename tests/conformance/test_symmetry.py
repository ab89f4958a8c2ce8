"""Every network with a symmetry has it for all elements of its group and whatever its weights; others say why not."""

import functools
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weirdonetworks.algebra import cyclic_group, points
from weirdonetworks.algebra.groups.permutations import inverse
from weirdonetworks.testing import assert_equivariant, assert_invariant

SYMMETRIC = [entry for entry in registry.NETWORKS if entry.action_in is not None]


class Called(snt.Module):
    """Calls the module of an entry with what it takes beside the inputs."""

    def __init__(self, entry: registry.Network, module: Any) -> None:
        super().__init__()
        self.entry, self.module = entry, module

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.entry.call(self.module, inputs)


@functools.cache
def built(name: str) -> Called:
    """Builds a network with weights away from where it starts: no bias is 0, no scale 1, and no two are alike."""
    (entry,) = (each for each in SYMMETRIC if each.name == name)
    module, rng = entry.build(), np.random.default_rng(0)
    for variable in module.trainable_variables:
        variable.assign_add(rng.normal(scale=0.3, size=variable.shape))
    return Called(entry, module)


def is_invariant(entry: registry.Network) -> bool:
    assert entry.action_out is not None
    return entry.action_out.order == 1


def check(entry: registry.Network, module: Any) -> None:
    inputs = entry.inputs().numpy()
    if is_invariant(entry):
        assert_invariant(module, inputs, entry.action_in)
    else:
        assert_equivariant(module, inputs, entry.action_in, entry.action_out)


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", SYMMETRIC, ids=registry.name)
def test_network_obeys_its_law(entry: registry.Network) -> None:
    check(entry, built(entry.name))


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", SYMMETRIC, ids=registry.name)
def test_and_no_other(entry: registry.Network) -> None:
    """An equivariant network is not invariant, and an invariant one not so under a cycle of all numbers of an input."""
    wrong = points(cyclic_group(int(np.prod(entry.shape[1:])))) if is_invariant(entry) else entry.action_in
    with pytest.raises(AssertionError, match="must be invariant"):
        assert_invariant(built(entry.name), entry.inputs().numpy(), wrong, tolerance=1e-4)


EQUIVARIANT = [entry for entry in SYMMETRIC if not is_invariant(entry)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", EQUIVARIANT, ids=registry.name)
def test_an_equivariant_network_is_not_so_under_another_action_on_the_outputs(entry: registry.Network) -> None:
    """The other action is that of the same elements on the outputs in another order."""
    assert entry.action_in is not None and entry.action_out is not None
    module, inputs = built(entry.name), entry.inputs().numpy()
    shape = module(entry.inputs()).shape[1:]
    number = shape.num_elements()
    moved = entry.action_out.apply(entry.action_out.generators, np.arange(number).reshape(1, *shape))
    order = np.random.default_rng(0).permutation(number)
    wrong = points(registry.conjugate(order, list(inverse(moved.reshape(-1, number)))))
    with pytest.raises(AssertionError, match="must be equivariant"):
        assert_equivariant(module, inputs, entry.action_in, wrong, tolerance=1e-4)


def test_each_network_has_a_law_or_a_reason_why_not() -> None:
    wrong = [
        entry.name
        for entry in registry.NETWORKS
        if len({entry.action_in is None, entry.action_out is None, entry.reason is not None}) > 1
    ]
    assert not wrong, f"give action_in and action_out, or a reason, in tests/registry.py to {', '.join(wrong)}"


class Placed(snt.Module):
    """A network over a set that weighs its items by their places."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable([1.0, 1.0, 1.0, 1.0, 1.0 + 1e-6])

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.einsum("bif,i->bf", inputs, self.weights)


def test_a_weight_a_millionth_off_its_orbit_breaks_the_law() -> None:
    entry = registry.Network(Placed, (4, 5, 3), **registry.POOLED_SETS)
    with pytest.raises(AssertionError, match=r"must be invariant, F\(g x\) = F\(x\): under element \d+ of 120"):
        check(entry, Called(entry, entry.build()))
