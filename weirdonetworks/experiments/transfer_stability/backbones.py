"""Backbones: trained networks of Keras without their last layers, as functions from images to features."""

import contextlib
import dataclasses
import functools
import io
import pathlib
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from weirdonetworks import lab

# Modes of `keras.applications.imagenet_utils.preprocess_input`, and none for images in [0, 255].
PREPROCESSING = ("none", "caffe", "tf", "torch")
SUFFIXES = (".keras", ".h5")
SILENCE = 30.0  # Seconds without data after which a download is given up.


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A frozen network from images to features.

    Attributes:
      name: Its name in tables and files.
      side: Pixels a side of its images.
      features: Maps images `[batch, side, side, 3]`, floats in [0, 255], to `[batch, features]`.
      parameters: The number of its weights.
      digest: The SHA-256 of its weights, or of its file and the name of its preprocessing.
    """

    name: str
    side: int
    features: Callable[[tf.Tensor], tf.Tensor]
    parameters: int
    digest: str

    @functools.cached_property
    def compiled(self) -> Any:
        """`features` as a graph, for any number of images."""
        shape = [None, self.side, self.side, 3]
        return tf.function(self.features, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)


def is_path(name: str) -> bool:
    """Returns whether a backbone is given by the path of a saved model, rather than by name."""
    return name.endswith(SUFFIXES) or pathlib.Path(name).is_file()


def title(name: str) -> str:
    """Returns the name of a backbone, or that of its file without suffix.

    >>> title("VGG16"), title("models/small.keras")
    ('VGG16', 'small')
    """
    return pathlib.Path(name).stem if is_path(name) else name


def by_name(name: str, side: int, weights: str = "imagenet") -> Backbone:
    """Makes a network of `keras.applications` without its classifier, its feature maps averaged.

    Args:
      name: Its name there, such as `VGG16`.
      side: Pixels a side; few of them take less than 32.
      weights: `imagenet`, downloaded unless they are on this machine; `none` for random ones; or a file with those of
        the network without its classifier.

    Raises:
      UsageError: If there is no such network or file, or the network takes no such images.
      OSError: If the weights cannot be had, are damaged, or are not this network's.
    """
    make = getattr(keras.applications, name, None)
    if not name[:1].isupper() or not callable(make):
        raise lab.UsageError(
            f"backbones: {name} must be a network of keras.applications, such as VGG16, or the path of a saved Keras "
            f"model ({' or '.join(SUFFIXES)})."
        )
    if weights not in ("imagenet", "none") and not pathlib.Path(weights).is_file():
        raise lab.UsageError(f"weights (={weights}) must be imagenet, none or a file; there is no such file.")

    def made(weights: str | None) -> Any:
        return make(weights=weights, include_top=False, input_shape=(side, side, 3), pooling="avg")

    with _quiet():
        with _raising(lab.UsageError, f"image_size (={side}): {name} refuses it", of=ValueError):
            model = made(None)
        if weights == "imagenet":
            missing = f"{name}'s ImageNet weights are not on this machine and could not be downloaded"
            remedy = (
                "Pass --weights=FILE with them, --weights=none for random ones, or the path of a saved Keras model in "
                "--backbones."
            )
            with _raising(OSError, missing, remedy):
                model = made(weights)
        elif weights != "none":
            with _raising(OSError, f"weights (={weights}) are not those of {name} without its classifier"):
                model.load_weights(weights)
    preprocess = sys.modules[make.__module__].preprocess_input
    digest = lab.files.digest(model.get_weights())
    return Backbone(name, side, lambda images: model(preprocess(images), training=False), model.count_params(), digest)


def by_path(path: str, side: int, preprocess: str = "none") -> Backbone:
    """Loads a saved Keras model, named after its file.

    Args:
      path: The file. Its model maps images `[batch, side, side, 3]` to features, or to feature maps, to be averaged.
      side: Pixels a side, unless the model has a fixed size.
      preprocess: One of `PREPROCESSING`: `caffe` for BGR minus ImageNet's means, `tf` for [-1, 1], `torch` for the
        mean 0 and deviation 1 of ImageNet's colours, `none` for [0, 255].

    Raises:
      UsageError: If there is no such file or preprocessing, or its model takes no such images or gives no features.
      OSError: If it holds no model that Keras can load.
    """
    if preprocess not in PREPROCESSING:
        raise lab.UsageError(f"preprocess (={preprocess}) must be one of {', '.join(PREPROCESSING)}.")
    if not pathlib.Path(path).is_file():
        raise lab.UsageError(f"backbones: {path} must be a saved Keras model; there is no such file.")
    with _raising(OSError, f"{path} is damaged or no saved Keras model"), _quiet():
        model = keras.models.load_model(path, compile=False)
    taken: Any = getattr(model, "input_shape", None)
    given: Any = getattr(model, "output_shape", None)
    if not _fits(taken) or not isinstance(given, tuple) or len(given) not in (2, 4):
        raise lab.UsageError(
            f"backbones: {path} must map images [batch, side, side, 3] to features [batch, features] or "
            f"[batch, height, width, features], and maps {taken} to {given}."
        )

    def features(images: tf.Tensor) -> tf.Tensor:
        if preprocess != "none":
            images = keras.applications.imagenet_utils.preprocess_input(images, mode=preprocess)
        found = model(images, training=False)
        return found if len(given) == 2 else tf.reduce_mean(found, axis=[1, 2])

    digest = lab.files.digest([np.fromfile(path, np.uint8), np.frombuffer(preprocess.encode(), np.uint8)])
    backbone = Backbone(title(path), taken[1] or side, features, model.count_params(), digest)
    with _raising(lab.UsageError, f"image_size (={backbone.side}): {path} refuses it", "Larger ones may do."):
        # Traced only: where an image is smaller than a window, computing can end the whole process.
        backbone.compiled.get_concrete_function()
    return backbone


def _fits(shape: Any) -> bool:
    """Returns whether inputs of a shape can be square colour images."""
    return isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2] and shape[3] in (3, None)


@contextlib.contextmanager
def _raising(kind: type[Exception], message: str, remedy: str = "", of: type[Exception] = Exception) -> Iterator[None]:
    """Raises errors, by default of any type, as those of a kind: the message, their own first line, and a remedy.

    Keras raises a bare `Exception` for a failed download, and a `ValueError` for a damaged file.
    """
    try:
        yield
    except of as error:
        cause = str(error).strip().partition("\n")[0].rstrip(".")
        raise kind(f"{message}: {cause}. {remedy}".rstrip()) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences Keras's warnings, sends its progress bars to stderr (if a terminal), and ends downloads that hang."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)
