"""Small sparse models of all three kinds, whose parameters look trained, and images for them."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry import masks, models, symmetry

SHAPES = {"MNIST_FC": (4, 4, 1), "MNIST_CNN": (9, 8, 2), "CIFAR10_CNN": (8, 9, 3)}
OPTIONS = {
    "MNIST_FC": {"features": (7, 6, 5)},
    "MNIST_CNN": {"filters": (5, 4, 4), "dense_size": 6, "kernel_size": 3},
    "CIFAR10_CNN": {"filters": (4, 5, 4, 3), "kernel_size": 3},
}
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)


def images(kind: str, batch: int = 5, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Draws a batch that the models of a kind take."""
    return tf.constant(np.random.default_rng(7).normal(size=(batch, *SHAPES[kind])), dtype)


def build(kind: str, dtype: tf.DType = tf.float32, **options: object) -> models.Classifier:
    """Makes a small dense model with its variables."""
    model = models.MODELS[kind](num_classes=3, **(OPTIONS[kind] | options))
    model(images(kind, dtype=dtype), is_training=False)
    return model


def sparse(
    kind: str,
    sparsity: float,
    seed: int,
    mask_type: str = "random",
    dtype: tf.DType = tf.float32,
    **options: object,
) -> models.Classifier:
    """Makes a small sparse model with weights, biases and batch norms as training might leave them."""
    model = build(kind, dtype, **options)
    models.initialise(masks.Masks.create(model, mask_type, sparsity, seed=seed), seed)
    pretend_training(model, seed)
    return model


def kept(model: models.Classifier) -> list[npt.NDArray[np.bool_]]:
    """The masks of a model: its weights that are not zero."""
    return [layer.w.numpy() != 0 for layer in model.layers]


def cut(layer: models.Layer, mask: npt.ArrayLike) -> None:
    """Sets the weights of a layer to zero where a mask is."""
    layer.w.assign(layer.w * np.asarray(mask))


def pretend_training(model: models.Classifier, seed: int) -> None:
    """Gives biases and batch norms values as after five steps of training, the weights staying."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.with_bias:
            layer.b.assign(rng.normal(0.1, 0.4, layer.b.shape))
    for norm in model.norms:
        norm.scale.assign(rng.uniform(0.5, 1.5, norm.scale.shape) * rng.choice([-1, 1], norm.scale.shape))
        norm.offset.assign(rng.normal(0.2, 0.5, norm.offset.shape))
        for _ in range(5):
            norm.moving_mean.update(tf.constant(rng.normal(size=norm.shape), norm.scale.dtype))
            norm.moving_variance.update(tf.constant(rng.uniform(0.2, 2.0, norm.shape), norm.scale.dtype))


def values(model: models.Classifier) -> list[npt.NDArray[np.floating]]:
    """The values of all variables, in the order that every model of the kind has them."""
    return [variable.numpy() for variable in model.variables]


def difference(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """The largest difference between two outputs, by the size of the largest of them or 1."""
    one, other = np.asarray(one), np.asarray(other)
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1.0))


def applied(permutation: dict[int, np.ndarray], model: models.Classifier) -> models.Classifier:
    """Permutes the units of a copy of a model."""
    kind = next(kind for kind, made in models.MODELS.items() if isinstance(model, made))
    options = {"is_training": False, "seed": np.zeros(2, np.int32)}
    return symmetry.apply(permutation, model, images(kind, 1, model.layers[0].w.dtype), **options)
