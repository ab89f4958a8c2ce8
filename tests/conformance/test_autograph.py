"""`tf.function(module)` traces every module without a word from AutoGraph."""

from typing import Any

import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry


def trace(entry: registry.Network, module: Any) -> None:
    keywords = {"is_training": True, "seed": tf.constant([1, 2])}
    tf.function(module)(entry.inputs(), **{name: keywords[name] for name in entry.takes})


@pytest.mark.slow
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_a_module_is_converted_without_a_warning(entry: registry.Network, warnings_of_tensorflow: list[str]) -> None:
    trace(entry, entry.construct(is_random=True))
    assert not warnings_of_tensorflow


class Unconvertible(snt.Module):
    """A module of a method that AutoGraph cannot convert, for its body is a comment alone."""

    def _nothing(self) -> None:
        """Does nothing."""

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        self._nothing()
        return inputs


def test_a_warning_would_be_seen(warnings_of_tensorflow: list[str]) -> None:
    trace(registry.Network(Unconvertible, (2, 3)), Unconvertible())
    assert any("AutoGraph could not transform" in each for each in warnings_of_tensorflow)
