"""Tests of the comparative network: symmetry in its two inputs, and agreement of its parts."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import items
from weirdonetworks.measure.stability import invariance_error
from weirdonetworks.nets.small.comparative_mlp import ComparativeMLP


def asymmetry(is_symmetric: bool) -> float:
    """The largest change of the outputs when the inputs are exchanged, over their size."""
    pairs = np.random.default_rng(0).normal(size=(20, 2, 3, 3, 1))
    network = ComparativeMLP([12, 6], [5], is_symmetric)
    assert np.std(network(tf.constant(pairs))) > 0
    return invariance_error(network, pairs, items(2), dtype=tf.float64).overall_relative


def test_order_is_of_no_account() -> None:
    assert asymmetry(is_symmetric=True) == 0


def test_without_symmetry_order_counts() -> None:
    assert asymmetry(is_symmetric=False) > 1e-3


@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("head_sizes", [(), (5,)])
def test_all_against_all_is_pair_by_pair(is_symmetric: bool, head_sizes: tuple[int, ...]) -> None:
    network = ComparativeMLP([7, 4], head_sizes, is_symmetric)
    one, other = (np.random.default_rng(seed).normal(size=(count, 5)) for seed, count in ((1, 3), (2, 6)))
    table = network.compare(network.encode(tf.constant(one))[:, None], network.encode(tf.constant(other)))
    assert table.shape == (3, 6)
    pairs = np.stack([np.repeat(one, 6, axis=0), np.tile(other, (3, 1))], axis=1)
    assert_close(tf.reshape(table, [-1]), network(tf.constant(pairs)), 1e-12)


def test_head_reads_distance_and_product_of_the_codes() -> None:
    network = ComparativeMLP([2])
    network(tf.zeros([1, 2, 3], tf.float64))
    (head,) = (each for each in network.head.trainable_variables if each.shape.rank == 2)
    head.assign([[1.0], [10.0], [100.0], [1000.0]])
    score = network.compare(tf.constant([[1.0, 5.0]], tf.float64), tf.constant([[4.0, 3.0]], tf.float64))
    assert score.numpy().tolist() == [3 + 20 + 400 + 15000]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pairs of shape \(4, 3, 5\) must be \[batch, 2, ...\]"):
        ComparativeMLP([3])(tf.zeros([4, 3, 5]))
    with pytest.raises(ValueError, match="code_sizes must hold at least one"):
        ComparativeMLP([])
    for widths in (([3], 2), (2, [3])):
        with pytest.raises(TypeError, match=r"_sizes \(=2\) must be a list of integers"):
            ComparativeMLP(*widths)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"head_sizes \(=0\) must be at least 1"):
        ComparativeMLP([3], [0])
