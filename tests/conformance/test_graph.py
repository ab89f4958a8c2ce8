"""`tf.function(module)` traces every module without a word from AutoGraph, and computes what the module does eagerly.

This is in training; out of training the law of unknown batches compares the two.
"""

import json

import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from tests.conformance import goldens
from tests.conformance.comparison import assert_close


def check(entry: registry.Network, variables: int) -> None:
    module, inputs = entry.construct(is_random=True), entry.inputs()
    forward = tf.function(module)
    first = entry.call(forward, inputs, is_training=True)  # Makes the variables.
    traced = forward.experimental_get_tracing_count()
    assert len(module.variables) == variables
    expected = entry.call(module, inputs, is_training=True)
    assert_close(first, expected)
    assert_close(entry.call(forward, inputs, is_training=True), expected)
    assert forward.experimental_get_tracing_count() == traced <= 2  # Twice if there are variables to make.


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_network_makes_its_variables_and_runs_in_a_function(
    entry: registry.Network, warnings_of_tensorflow: list[str]
) -> None:
    check(entry, variables=len(json.loads(goldens.path(entry).read_text())))
    assert not warnings_of_tensorflow


class Unconvertible(snt.Module):
    """A module of a method that AutoGraph cannot convert, for its body is a comment alone."""

    def _nothing(self) -> None:
        """Does nothing."""

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        self._nothing()
        return inputs


def test_a_warning_would_be_seen(warnings_of_tensorflow: list[str]) -> None:
    entry = registry.Network(Unconvertible, (2, 3))
    entry.call(tf.function(Unconvertible()), entry.inputs())
    assert any("AutoGraph could not transform" in each for each in warnings_of_tensorflow)


@pytest.mark.parametrize("entry", registry.OPTIMIZERS, ids=registry.name)
def test_optimizer_runs_in_a_function(entry: registry.Optimizer) -> None:
    in_graph, eager = entry.parameters(), entry.parameters()
    graph_optimizer, eager_optimizer = entry.build(in_graph), entry.build(eager)
    step = tf.function(lambda *updates: graph_optimizer.apply(updates, in_graph, 0.1), autograph=False)
    for seed in range(3):
        step(*entry.updates(seed))
        eager_optimizer.apply(entry.updates(seed), eager, 0.1)
    assert step.experimental_get_tracing_count() == 1
    for one, other in zip(in_graph, eager, strict=True):
        assert_close(one, other)


@snt.allow_empty_variables
class Counting(snt.Module):
    """Counts its calls in Python, which a graph does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        self.calls += 1
        return inputs * self.calls


def test_a_module_with_state_in_python_breaks_the_law() -> None:
    with pytest.raises(AssertionError):
        check(registry.Network(Counting, (2, 3)), variables=0)
