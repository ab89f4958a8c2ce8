"""Tests of dropout: its rate and mean, and determinism by seed and index."""

import numpy as np
import pytest
import tensorflow as tf

from weirdonetworks.nets.dropout import checked_rate, dropout

SEED = np.array([3, 4], np.int32)


def dropped(rate: float, seed: np.ndarray = SEED, index: int = 0) -> np.ndarray:
    values = tf.ones([200, 500], tf.float64)
    return dropout(values, rate, is_training=True, seed=tf.constant(seed), index=index).numpy()


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_a_share_is_dropped_and_the_rest_scaled(rate: float) -> None:
    outputs = dropped(rate)
    assert abs((outputs == 0).mean() - rate) < 0.01  # Six standard deviations of 100,000 draws.
    np.testing.assert_allclose(outputs[outputs != 0], 1 / (1 - rate), rtol=1e-12)


def test_seed_and_index_alone_choose() -> None:
    first = dropped(0.5)
    np.testing.assert_array_equal(first, dropped(0.5))
    for other in (dropped(0.5, index=1), dropped(0.5, SEED + 1)):
        assert abs((first == other).mean() - 0.5) < 0.01


def test_nothing_is_dropped_outside_training_or_at_rate_0() -> None:
    values = tf.ones([3])
    assert dropout(values, 0.5, is_training=False, seed=None) is values
    assert dropout(values, 0.0, is_training=True, seed=None) is values


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"seed \(=None\) must be given in training with dropout"):
        dropout(tf.ones([3]), 0.5, is_training=True, seed=None)
    for rate in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"rate \(=.*\) must be in \[0, 1\)"):
            checked_rate("rate", rate)
    for wrong in (np.zeros(0), np.array([0.1, 0.2]), "0.1", None):
        with pytest.raises(TypeError, match=r"^rate \(=.*\) must be a number"):
            checked_rate("rate", wrong)
    assert checked_rate("rate", 0.25) == 0.25 == checked_rate("rate", np.array(0.25))
