"""What is random in a network comes from its seed alone, also in a compiled function, and never outside training."""

import numpy as np
import pytest
import tensorflow as tf

from tests import registry

RANDOM = [entry for entry in registry.NETWORKS if entry.randomness]


@pytest.mark.exhaustive
@pytest.mark.parametrize("compile_options", [{}, {"jit_compile": True}], ids=["graph", "xla"])
@pytest.mark.parametrize("entry", RANDOM, ids=registry.name)
def test_a_seed_gives_one_result(entry: registry.Network, compile_options: dict[str, bool]) -> None:
    module, inputs = entry.build(is_random=True), entry.inputs(batch=16)

    @tf.function(autograph=False, **compile_options)
    def forward(seed: tf.Tensor) -> tf.Tensor:
        return entry.call(module, inputs, is_training=True, seed=seed)

    first, again, other, third = (forward(tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3], [2, 2]))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and not np.array_equal(first, third)
    assert np.isfinite(first).all()


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", RANDOM, ids=registry.name)
def test_nothing_is_random_outside_training(entry: registry.Network) -> None:
    module, inputs = entry.build(is_random=True), entry.inputs()
    first, other = (entry.call(module, inputs, is_training=False, seed=seed).numpy() for seed in ((1, 2), (3, 4)))
    np.testing.assert_array_equal(first, other)


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_nothing_is_random_without_the_options_for_it(entry: registry.Network) -> None:
    module, inputs = entry.build(), entry.inputs()
    first, other = (entry.call(module, inputs, is_training=True, seed=seed).numpy() for seed in ((1, 2), (3, 4)))
    np.testing.assert_array_equal(first, other)
