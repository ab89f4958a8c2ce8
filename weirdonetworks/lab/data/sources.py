"""Readers of data sets: the idx files in this package, the CIFAR-10 archive, TensorFlow Datasets."""

import contextlib
import gzip
import hashlib
import pathlib
import re
import tarfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab.data import download
from weirdonetworks.lab.errors import UsageError

Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]

MNIST_DIRECTORY = pathlib.Path(__file__).parent / "mnist"
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_ARCHIVES = "cifar-10-binary*.tar.gz"
CIFAR10_RECORD = 1 + 3 * 32 * 32
CIFAR10_BYTES = 60_000 * CIFAR10_RECORD


class Raw(NamedTuple):
    """A data set as read from its source: images uint8 `[N, height, width, channels]` and labels, integers `[N]`.

    The version is that of TensorFlow Datasets, if that has prepared it.
    """

    name: str
    train: Arrays
    test: Arrays
    classes: tuple[str, ...]
    version: str | None = None


def read_mnist(directory: pathlib.Path = MNIST_DIRECTORY) -> Raw:
    """Reads the four idx files of MNIST (LeCun, Cortes & Burges), each checked against its SHA-256.

    Raises:
      OSError: If a file is missing, or not the one that was shipped.
    """
    read = [_read_idx(directory / name, digest) for name, digest in MNIST_SHA256.items()]
    train, test = ((images[..., np.newaxis], labels) for images, labels in (read[:2], read[2:]))
    return Raw("MNIST", train, test, tuple("0123456789"))


def _read_idx(path: pathlib.Path, sha256: str) -> npt.NDArray[np.uint8]:
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing. Reinstall weirdonetworks to restore it.") from None
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise OSError(f"{path} is damaged: its SHA-256 is not the one that was shipped. Reinstall weirdonetworks.")
    content = gzip.decompress(packed)
    # Two zero bytes, the type (8: unsigned byte), the rank; then each size as a big-endian 32-bit integer.
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_named(name: str, data_dir: str | None) -> Raw:
    """Reads a data set by its TensorFlow Datasets name, from the places that `datasets.load` lists.

    The name may go on with a configuration and a version, as in `emnist/letters:3.1.0`.
    """
    end = re.search("[/:]|$", name).start()  # type: ignore[union-attr]
    canonical = name[:end].lower() + name[end:]
    title = "CIFAR10" if canonical == "cifar10" else canonical
    # The archive is looked for before TensorFlow Datasets is imported, and used unless a prepared directory is there.
    archive = _find_archive(data_dir) if canonical[:end] == "cifar10" else None
    if archive is not None and not _is_prepared(canonical, data_dir):
        return read_cifar10(archive)
    return _read_tfds(canonical, title, data_dir)


def _find_archive(data_dir: str | None) -> pathlib.Path | None:
    return min(pathlib.Path(data_dir).glob(CIFAR10_ARCHIVES), default=None) if data_dir else None


def _is_prepared(name: str, data_dir: str | None) -> bool:
    name, _, version = name.partition(":")
    directory = pathlib.Path(data_dir or "~/tensorflow_datasets").expanduser() / name
    found = [path.parent.name for path in directory.glob("*/dataset_info.json")]
    return version in found if version else any("incomplete" not in each for each in found)


def read_cifar10(archive: pathlib.Path) -> Raw:
    """Reads CIFAR-10's binary version (Krizhevsky 2009): records of a label byte and 3 x 32 x 32 bytes, colour first.

    Raises:
      OSError: If the archive is truncated or not of that form.
    """
    batches: dict[str, npt.NDArray[np.uint8]] = {}
    try:
        with gzip.open(archive) as content:
            # Twice the data, for what else is in an archive.
            bounded: Any = _Bounded(content, 2 * CIFAR10_BYTES)
            with tarfile.open(fileobj=bounded, mode="r|") as tar:
                for member in tar:
                    stream = tar.extractfile(member)
                    name = pathlib.PurePath(member.name).name
                    if stream is not None and name.startswith(("data_batch", "test_batch")):
                        if member.size > CIFAR10_BYTES:  # A sparse member can be longer than the archive.
                            raise EOFError(f"{name} has {member.size} bytes")
                        batches[name] = np.frombuffer(stream.read(), np.uint8).reshape(-1, CIFAR10_RECORD)
                        if not len(batches[name]):
                            raise EOFError(f"{name} is empty")
            while bounded.read(2**20):
                pass  # To the end, where gzip's checksum is.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        cause = " ".join(str(error).split())
        raise OSError(f"{archive} is damaged or not CIFAR-10's binary version: {cause}. Fetch it again.") from error
    parts = [[batches[name] for name in sorted(batches) if name.startswith(kind)] for kind in ("data", "test")]
    if not all(parts):
        raise OSError(f"{archive} holds no data_batch*.bin or no test_batch.bin: it is not CIFAR-10's binary version.")
    train, test = (_split_records(np.concatenate(part)) for part in parts)
    if max(train[1].max(), test[1].max()) >= len(CIFAR10_CLASSES):
        raise OSError(f"{archive} is damaged: it holds a label above {len(CIFAR10_CLASSES) - 1}. Fetch it again.")
    return Raw("CIFAR10", train, test, CIFAR10_CLASSES)


class _Bounded:
    """A stream of which no more than a number of bytes is read: what is packed can be a thousand times as long."""

    def __init__(self, stream: gzip.GzipFile, limit: int):
        self._stream = stream
        self._left = limit

    def read(self, size: int) -> bytes:
        content = self._stream.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise EOFError("it is longer than the data set")
        return content


def _split_records(records: npt.NDArray[np.uint8]) -> Arrays:
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    # Both are copies, so that the records are not kept.
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].copy()


def _read_tfds(name: str, title: str, data_dir: str | None) -> Raw:
    content = "cifar-10-binary.tar.gz" if name == "cifar10" else f"{name} prepared by tensorflow_datasets"
    remedy = f"Pass --data_dir with {content} in it, or use --dataset=MNIST, which ships with the package."
    return read_builder(_prepared(name, title, data_dir, remedy, _check_features), title)


def read_builder(builder: Any, title: str) -> Raw:
    """Reads what a builder of TensorFlow Datasets has prepared.

    Args:
      builder: The builder.
      title: The name of the data set, also in errors.

    Raises:
      UsageError: If it is not one of images of one size with labels, split into train and test.
    """
    import tensorflow_datasets as tfds

    _check_features(builder, title)
    train, test = (
        tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, as_supervised=True)) for split in ("train", "test")
    )
    return Raw(title, train, test, tuple(builder.info.features["label"].names), str(builder.version))


def read_cats_vs_dogs(data_dir: str | None, side: int, examples: int | None = None) -> Raw:
    """Reads TensorFlow Datasets' `cats_vs_dogs` (Elson et al. 2007), photographs of all sizes in one split.

    Args:
      data_dir: As for `read_named`.
      side: Pixels a side to which the central square of each photograph is resized.
      examples: Largest number of train and of test examples to read; None for all.

    Returns:
      The first four fifths as training data, the last fifth as test data.

    Raises:
      OSError: If the data cannot be obtained.
    """
    import tensorflow as tf
    from tqdm import tqdm

    remedy = "Pass --data_dir with cats_vs_dogs prepared by tensorflow_datasets in it, or use --dataset=CIFAR10."
    builder = _prepared("cats_vs_dogs", "cats_vs_dogs", data_dir, remedy, lambda builder, title: None)

    def squared(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shortest = tf.reduce_min(tf.shape(image)[:2])
        middle = tf.image.resize_with_crop_or_pad(image, shortest, shortest)
        resized = tf.image.resize(middle, [side, side], antialias=True)
        return tf.saturate_cast(tf.round(resized), tf.uint8), tf.cast(label, tf.int32)

    def read(split: str) -> Arrays:
        photographs = builder.as_dataset(split=split, as_supervised=True).take(-1 if examples is None else examples)
        reading = tqdm(photographs.map(squared, num_parallel_calls=2), desc=f"reading {split}", disable=None)
        images, labels = zip(*((image.numpy(), label.numpy()) for image, label in reading), strict=True)
        return np.stack(images), np.stack(labels)

    train, test = read("train[:80%]"), read("train[80%:]")
    return Raw("cats_vs_dogs", train, test, tuple(builder.info.features["label"].names), str(builder.version))


def _prepared(name: str, title: str, data_dir: str | None, remedy: str, check: Callable[[Any, str], None]) -> Any:
    """Returns the builder of a data set, downloaded if it is not on this machine.

    Args:
      name: Its name in TensorFlow Datasets.
      title: Its name in errors.
      data_dir: The folder of data sets.
      remedy: The advice of an error if the download fails.
      check: Called with the builder and the name in errors, before and after the download, to refuse a data set.

    Raises:
      UsageError: If there is no such data set, or it is refused.
      OSError: If it cannot be obtained.
    """
    import tensorflow_datasets as tfds

    download.disable_remote_lookups()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ImportError) as error:
        raise UsageError(
            f"dataset (={title}) must be MNIST, CIFAR10 or an image data set of TensorFlow Datasets, or the path of "
            f"your own data, such as ./{title}."
        ) from error
    except (ValueError, AssertionError) as error:  # Of a name that cannot be read, a configuration, a version.
        raise UsageError(f"dataset (={title}): {str(error).partition(chr(10))[0]}") from error
    check(builder, title)
    if not builder.is_prepared():
        with contextlib.suppress(tfds.core.DatasetNotFoundError):  # Of another version than TensorFlow Datasets' own.
            builder = tfds.core.read_only_builder.builder_from_files(name, data_dir=data_dir)
            check(builder, title)
            return builder
        cause = download.prepare(name, pathlib.Path(builder._data_dir_root))
        if cause:
            raise OSError(f"{title} is not on this machine and could not be downloaded: {cause}. {remedy}")
        builder = tfds.builder(name, data_dir=data_dir)  # A builder made before the data exist knows no splits.
        check(builder, title)
    return builder


def _check_features(builder: Any, title: str) -> None:
    """Raises UsageError unless the builder has images of one size, with one label each, and the splits are named so."""
    import tensorflow_datasets as tfds

    if builder.info.supervised_keys != ("image", "label"):
        raise UsageError(f"dataset (={title}) must be one of image classification (an image and a label).")
    image, label = (builder.info.features[key] for key in ("image", "label"))
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise UsageError(f"dataset (={title}) must be one of image classification (an image and a label).")
    if None in image.shape:
        raise UsageError(f"dataset (={title}) must have images of one size, not {image.shape}.")
    if builder.info.splits and not {"train", "test"} <= set(builder.info.splits):
        raise UsageError(f"dataset (={title}) must have the splits train and test, not {sorted(builder.info.splits)}.")
