"""The user's own data, named by path: an `.npz` file, a folder of images by class, a folder of TensorFlow Datasets.

Nothing is written there, and nothing unpickled. A path may be followed by `#` and the first digits of the SHA-256 of
its content, as it is in records: reading then refuses other content.
"""

import hashlib
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab import literals, seeds
from weirdonetworks.lab.data import sources
from weirdonetworks.lab.data.sources import Raw
from weirdonetworks.lab.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg")
NAMES = (("images", "labels"), ("x", "y"))  # Of the arrays in a file; each may stand before or after `train` or `test`.
TEST_SHARE = 5  # One image in so many is for testing where the data are not split.
NUMBERS = "buif"  # The kinds of NumPy's types that images and labels may have.
KINDS = "an .npz file, a folder of images by class, or a folder prepared by TensorFlow Datasets"
REMAP = "`labels = np.unique(labels, return_inverse=True)[1]` numbers them so."


class Read(NamedTuple):
    """Images and labels as they were found: images of any type, labels of any integers."""

    images: npt.NDArray[Any]
    labels: npt.NDArray[Any]


def is_path(dataset: str) -> bool:
    """Tells a path from a name.

    >>> [is_path(each) for each in ("CIFAR10", "emnist/letters", "mine.npz", "./photographs", "~/data/mine")]
    [False, False, True, True, True]
    """
    path, _ = _split(dataset)
    return path.startswith(("/", "~", ".")) or path.endswith(".npz") or (os.sep in path and os.path.exists(path))


def identified(dataset: str) -> str:
    """Returns a path as `absolute/path#digest`, which changes when its content does; a name as it is.

    Raises:
      UsageError: If there is no such file or folder, or it holds no data.
      OSError: If it cannot be read.
    """
    if not is_path(dataset):
        return dataset
    path, given = _split(dataset)
    where = _found(path)
    return f"{where}#{given or _digest(where)}"


def read(dataset: str) -> Raw:
    """Reads data by path.

    Raises:
      UsageError: If they are not images of one size with labels 0, 1, ..., or have changed since they were recorded.
      OSError: If a file is damaged.
    """
    path, given = _split(dataset)
    where = _found(path)
    if given and given != _digest(where):
        raise UsageError(f"dataset (={dataset}) has changed: its content is now #{_digest(where)}.")
    if where.suffix == ".npz":
        return _read_npz(where)
    prepared = _prepared(where)
    if prepared is not None:
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(str(prepared))
        return sources.read_builder(builder, str(where))._replace(name=builder.name)
    return _read_folder(where)


def _split(dataset: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*)#([0-9a-f]{12})", dataset, re.DOTALL)
    return (found[1], found[2]) if found else (dataset, "")


def _found(path: str) -> pathlib.Path:
    where = pathlib.Path(os.path.expanduser(path)).absolute()
    if ".." in where.parts:
        where = where.resolve()  # One name from wherever it is given, and so one run.
    literals.text("dataset", str(where))
    if not where.exists():
        raise UsageError(f"dataset (={path}): there is no such file or folder.")
    if where.is_file() and where.suffix != ".npz":
        raise UsageError(f"dataset (={path}) must be {KINDS}.")
    return where


def _digest(where: pathlib.Path) -> str:
    """Returns 12 digits that depend on the names and the content of the files that are read."""
    if where.is_file():
        files = [where]
    elif (prepared := _prepared(where)) is not None:
        files = sorted(each for each in prepared.iterdir() if each.is_file())
    else:
        files = [file for images in _folders(where).values() for _, file in images]
    whole = hashlib.sha256()
    for file in files:
        with open(file, "rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        name = "" if file == where else file.relative_to(where).as_posix()
        whole.update(f"{name}\n{digest}\n".encode())
    return whole.hexdigest()[:12]


def _read_npz(path: pathlib.Path) -> Raw:
    if not zipfile.is_zipfile(path):
        raise OSError(f"{path} is damaged or no .npz file, which `numpy.savez` writes.")
    try:
        # NumPy leaves a file of its own open if it is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            keys = {key.lower(): key for key in content.files}
            train = _pair(keys, "train") or _pair(keys, "")
            if train is None:
                listed = ", ".join(content.files) or "nothing"
                raise UsageError(
                    f"dataset (={path}) must hold arrays images and labels, or train_images, train_labels, test_images "
                    f"and test_labels (x and y in their place will do), and holds {listed}."
                )
            pairs = {"train": train, "test": _pair(keys, "test")}
            parts = {
                split: Read(*(_array(path, content, key) for key in pair)) for split, pair in pairs.items() if pair
            }
            named = tuple(map(str, _array(path, content, keys["classes"]))) if "classes" in keys else ()
    except UsageError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, MemoryError) as error:
        raise OSError(f"{path} is damaged or no .npz file: {' '.join(str(error).split())}") from error
    return _checked(path, parts, named)


def _pair(keys: Mapping[str, str], split: str) -> tuple[str, str] | None:
    """Finds the keys of the images and the labels of a split."""
    for names in NAMES:
        for form in ("{split}_{name}", "{name}_{split}") if split else ("{name}",):
            images, labels = (form.format(split=split, name=name) for name in names)
            if images in keys and labels in keys:
                return keys[images], keys[labels]
    return None


def _array(path: pathlib.Path, content: Any, key: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(content[key])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise UsageError(
            f"dataset (={path}): {key} holds Python objects, which are never unpickled. Save it as an array of numbers."
        ) from error


def _prepared(folder: pathlib.Path) -> pathlib.Path | None:
    """Finds the newest version of what TensorFlow Datasets has prepared in a folder; None if it holds none."""
    if not folder.is_dir():
        return None
    found = [file.parent for depth in ("", "*/", "*/*/") for file in folder.glob(f"{depth}dataset_info.json")]
    if len({version.parent for version in found}) > 1:
        listed = ", ".join(sorted(str(version.relative_to(folder)) for version in found))
        raise UsageError(f"dataset (={folder}) holds several data sets: {listed}. Name the folder of one.")
    return max(found, key=lambda version: [int(part) for part in re.findall(r"\d+", version.name)], default=None)


def _folders(root: pathlib.Path) -> dict[str, list[tuple[str, pathlib.Path]]]:
    """Lists the images of a folder, or of `train` and `test` in it: split -> (class, file), in order."""
    folders = _subfolders(root)
    splits = {"train", "test"}.intersection(each.name for each in folders)
    if len(splits) == 1:
        raise UsageError(f"dataset (={root}) holds a folder {splits.pop()}, and so must hold train and test.")
    parts = {name: root / name for name in sorted(splits, reverse=True)} or {"train": root}
    found = {
        name: [
            (kind.name, file)
            for kind in _subfolders(part)
            for file in sorted(kind.iterdir())
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        ]
        for name, part in parts.items()
    }
    for name, part in parts.items():
        if not found[name]:
            raise UsageError(
                f"dataset (={part}) must be {KINDS}: it has no folder, named as a class, with "
                f"{', '.join(SUFFIXES)} files in it."
            )
    return found


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _read_folder(root: pathlib.Path) -> Raw:
    found = _folders(root)
    classes = tuple(dict.fromkeys(kind for kind, _ in found["train"]))
    unknown = {kind for images in found.values() for kind, _ in images} - set(classes)
    if unknown:
        raise UsageError(f"dataset (={root}): there are images of {min(unknown)} in test and none in train.")
    files = [file for images in found.values() for _, file in images]
    images = iter(_read_images(root, files))
    parts = {
        split: Read(
            np.stack([next(images) for _ in listed]), np.asarray([classes.index(kind) for kind, _ in listed], np.int32)
        )
        for split, listed in found.items()
    }
    return _checked(root, parts, classes)


def _read_images(root: pathlib.Path, files: Sequence[pathlib.Path]) -> Iterator[npt.NDArray[np.uint8]]:
    """Reads images of one size: grey ones as one channel if all are grey, else all in RGB."""
    from PIL import Image, UnidentifiedImageError
    from tqdm import tqdm

    try:
        headers = []
        for file in files:
            with Image.open(file) as image:
                headers.append((image.mode, image.size))
        for file, (mode, size) in zip(files, headers, strict=True):
            if size != headers[0][1]:
                sizes = " and ".join(
                    f"{name.relative_to(root)} {w}x{h}" for name, (w, h) in ((files[0], headers[0][1]), (file, size))
                )
                raise UsageError(f"dataset (={root}) must have images of one size, and has {sizes}. Resize them first.")
            if mode.startswith(("I", "F")):
                raise UsageError(f"dataset (={root}): {file.relative_to(root)} has more than 8 bits a channel.")
        mode = "L" if all(mode in ("1", "L", "LA") for mode, _ in headers) else "RGB"
        for file in tqdm(files, desc="reading images", disable=None):
            with Image.open(file) as image:
                values = np.asarray(image.convert(mode))
            yield values[..., np.newaxis] if mode == "L" else values
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise OSError(f"{file} is damaged or no image: {' '.join(str(error).split())}") from error


def _checked(path: pathlib.Path, parts: Mapping[str, Read], classes: tuple[str, ...]) -> Raw:
    """Returns the splits with images as bytes and labels from 0, in an order that is always the same."""
    where = f"dataset (={path})"
    said = {split: f"{where}: {split} " if "test" in parts else f"{where}: " for split in parts}
    for split, part in parts.items():
        _check_shapes(said[split], part)
    largest = max((part.images.max() for part in parts.values() if part.images.dtype.kind in NUMBERS), default=0)
    images = {split: _as_bytes(f"{said[split]}images", part.images, largest) for split, part in parts.items()}
    shapes = {values.shape[1:] for values in images.values()}
    if len(shapes) > 1:
        raise UsageError(f"{where}: images of train and test must have one shape, and have {sorted(shapes)}.")
    labels = {split: _as_numbers(f"{said[split]}labels", part.labels) for split, part in parts.items()}
    _check_classes(where, labels, classes)
    names = classes or tuple(map(str, range(labels["train"].max() + 1)))
    # Data often come class by class, and --examples takes the first.
    drawn = {split: seeds.generator(0, split).permutation(len(values)) for split, values in labels.items()}
    if "test" not in drawn:
        count = len(drawn["train"]) // TEST_SHARE
        if not count:
            raise UsageError(f"{where} must have at least {TEST_SHARE} images to keep one in {TEST_SHARE} for testing.")
        images["test"], labels["test"] = images["train"], labels["train"]
        drawn = {"test": drawn["train"][:count], "train": drawn["train"][count:]}
    train, test = ((images[split][drawn[split]], labels[split][drawn[split]]) for split in ("train", "test"))
    return Raw(path.stem, train, test, names)


def _check_shapes(where: str, part: Read) -> None:
    shape, count = part.images.shape, len(part.labels) if part.labels.ndim else 0
    if not part.images.size:
        raise UsageError(f"{where}images of shape {shape} must not be empty.")
    if len(shape) not in (3, 4):
        raise UsageError(
            f"{where}images of shape {shape} must be [images, height, width] or [images, height, width, channels]: "
            "reshape them."
        )
    if len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] > 4:
        raise UsageError(
            f"{where}images of shape {shape} seem to have their channels first, and must have them last: "
            "`images.transpose(0, 2, 3, 1)`."
        )
    if part.labels.ndim == 2 and part.labels.shape[1] > 1:
        raise UsageError(
            f"{where}labels of shape {part.labels.shape} must be one integer an image: of one-hot rows take "
            "`labels.argmax(axis=1)`."
        )
    if part.labels.shape not in ((shape[0],), (shape[0], 1)):
        raise UsageError(f"{where}labels must be as many as images: {count} labels, {shape[0]} images.")


def _as_bytes(where: str, images: npt.NDArray[Any], largest: Any) -> npt.NDArray[np.uint8]:
    """Converts images to bytes: floats from [0, 1] if no image is brighter than 1, else numbers from [0, 255]."""
    kind = images.dtype.kind
    if kind not in NUMBERS:
        raise UsageError(f"{where} of type {images.dtype} must be numbers.")
    if kind == "f" and not np.isfinite(images).all():
        raise UsageError(f"{where} must be finite, and hold NaN or infinity.")
    least, most = images.min(), images.max()
    if least < 0 or most > 255:
        raise UsageError(
            f"{where} must be in [0, 255], or floats in [0, 1], and are in [{least:g}, {most:g}]: "
            "`(images - images.min()) / np.ptp(images)` moves them there."
        )
    if kind == "f" and 1 < largest < 2:  # Neither bytes nor in [0, 1], such as after an interpolation.
        raise UsageError(f"{where} must be in [0, 1] or [0, 255], and go up to {largest}: `images.clip(0, 1)`.")
    if kind == "b" or (kind == "f" and largest <= 1):
        images = images * 255.0
    converted = images if images.dtype == np.uint8 else np.rint(images).astype(np.uint8)
    return converted if images.ndim == 4 else converted[..., np.newaxis]


def _as_numbers(where: str, labels: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    labels = labels.reshape(len(labels))
    if labels.dtype.kind not in NUMBERS or not (labels == np.floor(labels)).all():
        raise UsageError(f"{where} of type {labels.dtype} must be integers 0, 1, ...: {REMAP}")
    if labels.min() < 0 or labels.max() >= 2**31:
        raise UsageError(f"{where} must be 0, 1, ..., and are {labels.min()} to {labels.max()}: {REMAP}")
    return labels.astype(np.int32)


def _check_classes(where: str, labels: Mapping[str, npt.NDArray[np.int32]], classes: tuple[str, ...]) -> None:
    """Raises a UsageError unless the labels are 0, 1, ..., at least two, and those of test among those of train."""
    found = np.unique(labels["train"])
    if len(found) == 1:
        raise UsageError(f"{where} must have at least two classes, and all labels are {found[0]}.")
    highest = len(classes) - 1 if classes else len(found) - 1
    if found[-1] > highest or (not classes and found[0] != 0):
        expected = f"0 to {highest}, those of its {len(classes)} classes," if classes else "0, 1, ... without a gap,"
        raise UsageError(
            f"{where}: labels must be {expected} and are {len(found)} from {found[0]} to {found[-1]}: {REMAP}"
        )
    if "test" in labels and (most := labels["test"].max()) > highest:
        raise UsageError(f"{where}: test has the label {most}, and train none above {highest}.")
