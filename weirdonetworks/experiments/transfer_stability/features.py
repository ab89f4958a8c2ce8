"""Features of images under a frozen backbone, computed once and saved on disk."""

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from weirdonetworks import lab
from weirdonetworks.algebra.actions.transforms import ImageTransform
from weirdonetworks.experiments.transfer_stability.backbones import Backbone
from weirdonetworks.measure.stability import outputs_over

Floats: TypeAlias = npt.NDArray[np.float32]
BATCH = 64  # Images at a time.


def resized(images: npt.ArrayLike, side: int) -> Floats:
    """Resizes images `[N, height, width, channels]` to `side` x `side`, bilinearly: floats of the same range."""
    return tf.image.resize(images, [side, side], antialias=True).numpy()


def extract(
    backbone: Backbone,
    images: npt.NDArray[np.uint8],
    deform: Callable[[tf.Tensor, tuple[int, int]], tf.Tensor] | None = None,
    seed: int = 0,
    copy: int = 0,
) -> Floats:
    """Computes the features of images `[N, height, width, 3]` of any size: `[N, features]`.

    Args:
      backbone: The backbone.
      images: The images, at least one; they are resized.
      deform: Deforms a batch of resized images, given a seed, e.g. a `deformations.RandomDeformation`; None for none.
      seed: The seed of `deform`, from which each copy derives its own.
      copy: The number of the copy.
    """
    found = []
    starts = range(0, len(images), BATCH)
    for start in tqdm(starts, desc=f"{backbone.name}: features", unit="batch", leave=False, disable=None):
        batch = resized(images[start : start + BATCH], backbone.side)
        if deform:
            batch = deform(batch, lab.seeds.derive(seed, "deform", copy, start))
        found.append(backbone.compiled(batch).numpy())
    return np.concatenate(found)


def over(backbone: Backbone, images: npt.NDArray[np.uint8], transforms: Sequence[ImageTransform]) -> Floats:
    """Computes the features of images under each transformation of the resized image: `[transforms, N, features]`."""
    return outputs_over(backbone.features, resized(images, backbone.side), transforms, batch_size=BATCH)


def saved(run: lab.runs.Run, name: str, compute: Callable[[], Floats]) -> Floats:
    """Reads an array from a run's directory, or computes it and writes it there atomically.

    A computed array is noted in the run's records. It is memory-mapped.
    """
    path = run.directory / f"{name}.npy"
    if not path.exists():
        started = time.perf_counter()
        values = compute()
        lab.files.write_array(path, values)
        run.append({"features": name, "shape": values.shape, "wallclock_time": time.perf_counter() - started})
    return np.load(path, mmap_mode="r")
