"""Keras: `Model.fit` on arrays; the mask is a constraint, onto which each update is projected."""

import math
import os
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Finished, Problem


def fit(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by `fit` with its defaults."""
    return _fit(problem, finished, steps_per_execution=1)


def fit_epoch_per_execution(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by `fit` with `steps_per_execution` set to an epoch, so that Python runs once per epoch."""
    return _fit(problem, finished, steps_per_execution=math.ceil(len(problem.train) / problem.batch_size))


def _fit(problem: Problem, finished: Finished, steps_per_execution: int) -> Sequence[npt.NDArray[np.floating]]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    harness.tensorflow_threads(problem.threads)
    import keras

    class Masked(keras.constraints.Constraint):
        def __init__(self, mask: npt.NDArray[np.bool_]):
            self.mask = keras.ops.convert_to_tensor(mask, "float32")

        def __call__(self, w: keras.KerasTensor) -> keras.KerasTensor:
            return w * self.mask

    keras.utils.set_random_seed(problem.seed)

    def masked(mask: npt.NDArray[np.bool_], use_bias: bool) -> keras.layers.Layer:
        options = {"kernel_initializer": "he_normal", "kernel_constraint": Masked(mask), "use_bias": use_bias}
        if mask.ndim == 2:
            return keras.layers.Dense(mask.shape[1], **options)
        return keras.layers.Conv2D(mask.shape[3], mask.shape[:2], padding="same", **options)

    others: dict[str, Callable[[], keras.layers.Layer]] = {
        "norm": lambda: keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-5),
        "relu": keras.layers.ReLU,
        "pool": keras.layers.MaxPooling2D,
        "mean": keras.layers.GlobalAveragePooling2D,
        "flatten": keras.layers.Flatten,
    }
    remaining = iter(problem.masks)
    network = keras.Sequential([keras.Input(problem.train.images.shape[1:])])
    for part in problem.parts:
        network.add(others[part]() if part in others else masked(next(remaining), use_bias=part == "layer"))
    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    for layer in layers:
        layer.kernel.assign(layer.kernel_constraint(layer.kernel))
    network.compile(
        optimizer=keras.optimizers.Adam(problem.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    network.fit(
        problem.inputs(problem.train),
        problem.train.labels,
        batch_size=problem.batch_size,
        epochs=problem.epochs,
        validation_data=(problem.inputs(problem.test), problem.test.labels),
        validation_batch_size=problem.batch_size_test,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: finished(logs["val_accuracy"]))],
        verbose=0,
    )
    return [layer.kernel.numpy() for layer in layers]
