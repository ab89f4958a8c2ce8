"""The size of what masks leave alive, beside the model that compaction makes."""

import itertools

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry.compaction import compact, live_architecture
from weight_symmetry.masks import Masks, create

SIZES = (12, 10, 8, 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_alive_is_what_compaction_leaves(seed: int) -> None:
    model, inputs = snt.nets.MLP(SIZES[1:]), tf.ones([2, SIZES[0]])
    model(inputs)
    masks = Masks(model)
    masks.set(create("random", list(itertools.pairwise(SIZES)), 0.85, seed))
    small = compact(model, masks, inputs)
    live = live_architecture(masks.arrays)
    assert live.sizes[1:-1] == tuple(len(units) for units in small.kept.values())
    assert live.sizes[1:-1] != SIZES[1:-1]  # Or there would be nothing to see.
    left = list(small.masks.values())
    assert live.sizes[0] == left[0].any(axis=1).sum() and live.sizes[-1] == SIZES[-1]
    assert live.weights == sum(int(mask.sum()) for mask in left) and live.flops == 2 * live.weights


def test_a_dense_network_is_alive_throughout() -> None:
    live = live_architecture([np.ones(shape) for shape in itertools.pairwise((784, 300, 100, 10))])
    assert live == ((784, 300, 100, 10), 266_200, 532_400, 4 * (266_200 + 410) + 266_200 // 8)
