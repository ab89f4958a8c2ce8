"""Cats and dogs: photographs of two classes, of CIFAR-10 or of TensorFlow Datasets' `cats_vs_dogs`."""

import os

import numpy as np

from weirdonetworks import lab
from weirdonetworks.lab.data import sources

CLASSES = ("cat", "dog")
SOURCES = ("cats_vs_dogs", "CIFAR10")


def load(
    name: str, data_dir: str | os.PathLike[str] | None = None, side: int = 96, examples: int | None = None
) -> lab.Dataset:
    """Loads cats, of class 0, and dogs, of class 1.

    Args:
      name: `CIFAR10` for those of its two classes, 32 x 32, in its own splits; `cats_vs_dogs` for the photographs of
        TensorFlow Datasets, the middle square of each, the first four fifths to train on and the others to test on.
      data_dir: As for `datasets.load`.
      side: Pixels a side to which photographs are resized; images of CIFAR10 keep their size.
      examples: Largest number of train and of test examples; None for all.

    Raises:
      ValueError: If the name is neither.
      OSError: If the data cannot be obtained, or a file is damaged.
    """
    if name not in SOURCES:
        raise ValueError(f"name (={name!r}) must be one of {', '.join(SOURCES)}.")
    if name == "CIFAR10":
        whole = lab.datasets.load(name, data_dir)
        version = whole.version
        train, test = (
            _of_classes(split, [whole.classes.index(kind) for kind in CLASSES]) for split in (whole.train, whole.test)
        )
    else:
        raw = sources.read_cats_vs_dogs(None if data_dir is None else os.fspath(data_dir), side, examples)
        train, test, version = lab.Split(*raw.train), lab.Split(*raw.test), raw.version
    standardisation = lab.datasets.Standardisation.of(train.images)
    data = lab.Dataset(f"cats and dogs of {name}", train, test, CLASSES, standardisation, version=version)
    return data.cut(examples) if examples else data


def _of_classes(split: lab.Split, classes: list[int]) -> lab.Split:
    """Selects the images of some classes, relabelled 0, 1, ... in their order."""
    selected = split[np.flatnonzero(np.isin(split.labels, classes))]
    return lab.Split(selected.images, (selected.labels[:, None] == classes).argmax(axis=1).astype(np.int32))
