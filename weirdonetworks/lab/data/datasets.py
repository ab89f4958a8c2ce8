"""Image classification data sets, one uint8 array per split."""

import copy
import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import instance
from weirdonetworks.lab import seeds
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data import sources, user_data
from weirdonetworks.lab.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Examples:
    """Inputs and labels of any kind, arrays with the examples first, under the names of `Split`."""

    images: npt.NDArray[Any]
    labels: npt.NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("images", "labels"):
            instance(name, getattr(self, name), np.ndarray)
        self._check()

    def _check(self) -> None:
        if self.images.shape[:1] != self.labels.shape[:1]:
            raise ValueError(
                f"images of shape {self.images.shape} and labels of shape {self.labels.shape} must match in length."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | npt.NDArray[np.integer]) -> Self:
        return dataclasses.replace(self, images=self.images[index], labels=self.labels[index])


@dataclasses.dataclass(frozen=True)
class Split(Examples):
    """Images, uint8 `[examples, height, width, channels]`, and their labels, int32 `[examples]`."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]

    def _check(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ValueError(
                f"images (={self.images.dtype}{self.images.shape}) must be uint8 [N, height, width, channels]."
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int32:
            raise ValueError(f"labels (={self.labels.dtype}{self.labels.shape}) must be int32 [{len(self.images)}].")


class Resident:
    """A split held on the device."""

    def __init__(self, split: Examples):
        import tensorflow as tf

        instance("split", split, Split, Examples)
        self.images = tf.constant(split.images)
        self.labels = tf.constant(split.labels)

    def copied(self) -> "Resident":
        """Copies the split to the device that `tf.device` names, if it is on another."""
        import tensorflow as tf

        copied = copy.copy(self)
        copied.images, copied.labels = tf.identity(self.images), tf.identity(self.labels)
        return copied

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclasses.dataclass(frozen=True)
class Standardisation:
    """A map of bytes to floats of mean 0 and variance 1 over a training split: `(byte / 255 - mean) / deviation`.

    Attributes:
      mean: The mean of each channel, in [0, 1].
      deviation: The standard deviation of each channel, in [0, 1].
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, images: "tf.Tensor") -> "tf.Tensor":
        """Standardises uint8 `[batch, height, width, channels]` to float32 of the same shape."""
        import tensorflow as tf

        scale, offset = self.factors
        return tf.cast(images, tf.float32) * scale - offset

    @property
    def factors(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The scale and the offset of each channel: a byte is standardised as `byte * scale - offset`."""
        scale = np.asarray([1.0 / (255.0 * deviation) for deviation in self.deviation], np.float32)
        offset = np.asarray([m / d for m, d in zip(self.mean, self.deviation, strict=True)], np.float32)
        return scale, offset

    @staticmethod
    def of(images: npt.NDArray[np.uint8]) -> "Standardisation":
        """Measures the standardisation of uint8 images, exactly, by counting bytes."""
        values = np.arange(256) / 255.0
        means, deviations = [], []
        for channel in range(images.shape[-1]):
            share = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
            mean = float(share @ values)
            means.append(mean)
            # A constant channel is divided by one, and so stays at zero.
            deviations.append(float(np.sqrt(share @ (values - mean) ** 2)) or 1.0)
        return Standardisation(tuple(means), tuple(deviations))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: name, splits, class names, and the standardisation measured on its whole training data.

    The version is that of TensorFlow Datasets, if that has prepared it.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    standardisation: Standardisation
    validation: Split | None = None
    version: str | None = None

    @property
    def side(self) -> int:
        """The height of the images in pixels, and the width where they are square."""
        return self.train.images.shape[1]

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name: `train`, `validation` (if there is one) and `test`."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    @functools.cached_property
    def residents(self) -> dict[str, Resident]:
        """The splits on the device, placed there once."""
        return {name: Resident(split) for name, split in self.splits.items()}

    def with_validation(self, size: int | None, seed: int) -> "Dataset":
        """Splits `size` validation examples (a twelfth if None), drawn by `seed`, off the training split.

        Raises:
          UsageError: If that would leave no training example.
        """
        size = len(self.train) // 12 if size is None else size
        if not 0 <= size < len(self.train):
            raise UsageError(f"validation_size (={size}) must be in [0, {len(self.train)}) for {self.name}.")
        if size == 0:
            return self
        order = seeds.generator(seed, "validation").permutation(len(self.train))
        # Sorting keeps the files' order, as in a run without validation.
        train, validation = np.sort(order[size:]), np.sort(order[:size])
        return dataclasses.replace(self, train=self.train[train], validation=self.train[validation])

    def cut(self, examples: int) -> "Dataset":
        """Keeps the first `examples` of each of train and test, or all where there are fewer."""
        if examples < 1:
            raise UsageError(f"examples (={examples}) must be at least 1.")
        return dataclasses.replace(self, train=self.train[:examples], test=self.test[:examples])


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Loads a data set into memory.

    `MNIST` ships with this package. `CIFAR10` and every image classification data set of TensorFlow Datasets, under its
    name there (`fashion_mnist`, `emnist/letters`, `kmnist:3.0.1`, ...), are looked for in this order: prepared by
    TensorFlow Datasets in `data_dir`; for CIFAR10, a `cifar-10-binary*.tar.gz` in `data_dir`; the download.

    A path, which starts with `/`, `~` or `.` or ends with `.npz`, is the user's own data: a file of arrays `images` and
    `labels`, or `train_images`, `train_labels`, `test_images` and `test_labels`; a folder of images by class, or of
    `train` and `test`; or a folder that TensorFlow Datasets has prepared. Where they are not split, one in five images,
    always the same, are for testing.

    >>> data = load("MNIST")
    >>> data.train.images.shape, data.test.images.shape, len(data.classes)
    ((60000, 28, 28, 1), (10000, 28, 28, 1), 10)

    Args:
      name: The name, in any case, or the path.
      data_dir: The folder of data sets; that of TensorFlow Datasets (`~/tensorflow_datasets`) if None.

    Returns:
      The data set, without validation split.

    Raises:
      UsageError: If there is no such data set, or it is not one of image classification with train and test, or the
        user's own data are of another form.
      OSError: If the data cannot be obtained, or a file is damaged.
    """
    is_shipped = instance("name", name, str).lower() == "mnist"
    if is_shipped:
        raw = sources.read_mnist()
    elif user_data.is_path(name):
        raw = user_data.read(name)
    else:
        raw = sources.read_named(name, None if data_dir is None else os.path.expanduser(data_dir))
    train, test = (Split(images, labels.astype(np.int32)) for images, labels in (raw.train, raw.test))
    standardisation = MNIST_STANDARDISATION if is_shipped else Standardisation.of(train.images)
    return Dataset(raw.name, train, test, raw.classes, standardisation, version=raw.version)


def configured(config: TrainingConfig, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Loads the data set of a configuration, with its pixels' scale, number of examples and validation split.

    Raises:
      UsageError, OSError: As `load`, and as `Dataset.with_validation`.
    """
    data = load(config.dataset, data_dir)
    if not config.standardises:
        channels = data.train.images.shape[-1]
        data = dataclasses.replace(data, standardisation=Standardisation((0.0,) * channels, (1.0,) * channels))
    if config.examples:
        data = data.cut(config.examples)
    return data.with_validation(config.validation_size, config.data_seed)


# `Standardisation.of` the 60,000 training images, precomputed to save start-up time.
MNIST_STANDARDISATION = Standardisation(mean=(0.13066047627384286,), deviation=(0.3081078038564627,))
