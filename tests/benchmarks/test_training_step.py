"""The classifiers that the benchmark of a training step trains, as each framework builds them."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import training_step
from benchmarks.rivals import Problem
from weight_symmetry import masks, models
from weirdonetworks.lab.data.datasets import Split, Standardisation


@pytest.mark.parametrize("model", models.MODELS)
def test_masks_and_parts_are_those_of_the_model(model: str) -> None:
    images = np.zeros([1, 32, 32, 3] if model == "CIFAR10_CNN" else [1, 28, 28, 1], np.uint8)
    split = Split(images, np.zeros(1, np.int32))
    network = models.MODELS[model]()
    network(tf.zeros(images.shape), is_training=False)
    shapes = training_step.SHAPES[model]
    assert shapes == [tuple(weight.shape) for weight in masks.Masks(network).weights]

    ones = [np.ones(shape, bool) for shape in shapes]
    standardisation = Standardisation((0.5,) * images.shape[-1], (1.0,) * images.shape[-1])
    parts = Problem(split, split, standardisation, ones, epochs=1, seed=0, threads=1, model=model).parts
    assert [part == "layer" for part in parts if part.startswith("layer")] == [
        layer.with_bias for layer in network.layers
    ]
    assert parts.count("norm") == len(network.norms)
