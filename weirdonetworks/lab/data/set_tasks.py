"""Learning tasks on sets, drawn from a seed.

Sets are `[sets, items, features]`, float32, their items in random order. Where they differ in size, the last feature is
1 for items that are present, and absent items are 0.

- `maximum`, `median`, `variance`: of normal numbers, with a mean and deviation of their own for each set.
- `digit_sum`: the sum of the digits on images.
- `points`: the digit, from the coordinates of an image's inked pixels.
- `next_state`: the conclusions from propositions, see the function `next_state`.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks.lab import seeds
from weirdonetworks.lab.data.datasets import Dataset, Examples, Resident, Split
from weirdonetworks.lab.errors import UsageError

STATISTICS = ("maximum", "median", "variance")
OF_IMAGES = ("digit_sum", "points")
TASKS = (*STATISTICS, *OF_IMAGES, "next_state")
KINDS = ("number", "class", "propositions")
INTERVALS = 4
PAIRS = tuple(itertools.permutations(range(INTERVALS), 2))
PROPOSITIONS = 2 * len(PAIRS)  # First those of "before", then those of "meets".

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Task:
    """A learning task on sets.

    Attributes:
      name: One of `TASKS`.
      kind: The kind of labels: a `number`, standardised on the training sets, float32 `[sets, 1]`; a `class`, int32
        `[sets]`; or `propositions`, 1 where they hold, else 0, float32 `[sets, outputs]`.
      outputs: The number of outputs of a network.
      train: The training sets.
      test: The test sets.
      tolerance: The largest error of a number that counts as correct; 0 for other kinds.
      has_absent: Whether the last feature is the mask of present items.
    """

    name: str
    kind: str
    outputs: int
    train: Examples
    test: Examples
    tolerance: float = 0.0
    has_absent: bool = False

    @functools.cached_property
    def residents(self) -> dict[str, Resident]:
        """The splits on the device, placed there once."""
        return {"train": Resident(self.train), "test": Resident(self.test)}

    @property
    def items(self) -> int:
        """The number of items of a set, absent ones among them."""
        return self.train.images.shape[1]

    @property
    def length(self) -> float:
        """The root mean square norm of the present items, without the mask."""
        sets = self.train.images
        present = sets[..., -1] > 0 if self.has_absent else np.ones(sets.shape[:2], bool)
        vectors = sets[present][:, : sets.shape[2] - self.has_absent]
        return float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean()))


def make(name: str, images: Dataset | None, sets: int, items: int, points: int, seed: int) -> Task:
    """Makes a task, with a fifth as many test as training sets.

    Args:
      name: One of `TASKS`.
      images: A data set of digits, for the tasks `OF_IMAGES`; None for the others.
      sets: The number of training sets, at least 5; for `points` at most that of images.
      items: The items of a set, except for `points`.
      points: The largest number of points of an image.
      seed: The seed.

    Raises:
      UsageError: If there are fewer different sets, or no task of that name.
    """
    counts = {"train": sets, "test": sets // 5}
    rngs = {split: seeds.generator(seed, "sets", name, split) for split in counts}
    if name in STATISTICS:
        made = {split: _statistic(name, counts[split], items, rngs[split]) for split in counts}
        return _of_numbers(name, made, within=None)
    if name == "next_state":
        states = _states(sum(counts.values()), items, rngs["train"])
        train, test = (Examples(_described(each), next_state(each)) for each in (states[:sets], states[sets:]))
        return Task(name, "propositions", len(PAIRS), train, test)
    if name not in TASKS:
        raise UsageError(f"tasks: {name} must be one of {', '.join(TASKS)}.")
    if images is None:
        raise ValueError(f"images (=None) must be given for {name}, which is about images.")
    splits = {"train": images.train, "test": images.test}
    if name == "digit_sum":
        made = {split: _digit_sum(splits[split], counts[split], items, rngs[split]) for split in counts}
        return _of_numbers(name, made, within=0.5)
    train, test = (_points(splits[split][: counts[split]], points, rngs[split]) for split in counts)
    return Task(name, "class", len(images.classes), train, test, has_absent=True)


def next_state(states: npt.NDArray[np.integer]) -> Floats:
    """Draws the conclusions from each two propositions of a state, once.

    Four intervals of time are before or meet each other. A state is a set of such propositions, and its conjunction is
    given; nothing keeps them from contradicting each other. From two of them a third follows,

        R(x, y) and S(y, z)  =>  before(x, z),    R and S each of before, meets,

    and the next state holds the propositions `before` of the state and all that follow.

    >>> state = [PAIRS.index((0, 1)), len(PAIRS) + PAIRS.index((1, 2))]  # before(0, 1), meets(1, 2)
    >>> [PAIRS[pair] for pair in np.flatnonzero(next_state(np.array([state]))[0])]
    [(0, 1), (0, 2)]

    Allen, Maintaining knowledge about temporal intervals, 1983: the table of compositions.

    Args:
      states: The propositions of each state, `[states, items]`, integers in [0, PROPOSITIONS).

    Returns:
      Which of `PAIRS` are before each other next, 1 or 0, `[states, pairs]`.
    """
    holds = np.zeros((len(states), PROPOSITIONS), bool)
    np.put_along_axis(holds, states, True, axis=1)
    rows, columns = np.array(PAIRS).T
    before, either = np.zeros((2, len(states), INTERVALS, INTERVALS), bool)
    before[:, rows, columns] = holds[:, : len(PAIRS)]
    either[:, rows, columns] = holds[:, : len(PAIRS)] | holds[:, len(PAIRS) :]
    follows = (either[:, :, :, None] & either[:, None, :, :]).any(axis=2)
    return (before | follows)[:, rows, columns].astype(np.float32)


def _of_numbers(name: str, made: Mapping[str, tuple[Floats, npt.NDArray[Any]]], within: float | None) -> Task:
    """Standardises numbers; the tolerance is `within`, or a tenth of a standard deviation if None."""
    mean, deviation = made["train"][1].mean(), made["train"][1].std()
    train, test = (
        Examples(sets, ((numbers - mean) / deviation).astype(np.float32)[:, None])
        for sets, numbers in (made["train"], made["test"])
    )
    return Task(name, "number", 1, train, test, tolerance=0.1 if within is None else float(within / deviation))


def _statistic(name: str, sets: int, items: int, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[Any]]:
    centres, spreads = rng.uniform(-1, 1, (sets, 1)), rng.uniform(0.2, 1, (sets, 1))
    values = (centres + spreads * rng.standard_normal((sets, items))).astype(np.float32)
    answers: dict[str, Any] = {"maximum": np.max, "median": np.median, "variance": np.var}
    return values[:, :, None], answers[name](values.astype(np.float64), axis=1)


def _digit_sum(split: Split, sets: int, items: int, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[Any]]:
    chosen = rng.integers(len(split), size=(sets, items))
    pixels = split.images[chosen].reshape(sets, items, -1) / np.float32(255)
    return pixels.astype(np.float32), split.labels[chosen].sum(axis=1)


def _points(split: Split, points: int, rng: np.random.Generator) -> Examples:
    """Lists, or samples, the coordinates in [-1, 1] of the pixels of each image that are at least half bright."""
    height, width = split.images.shape[1:3]
    grey = split.images.max(axis=3).reshape(len(split), -1)
    has_ink = grey >= np.minimum(grey.max(axis=1, keepdims=True), 128)  # An image so faint has its darkest points.
    order = np.argsort(np.where(has_ink, rng.random(grey.shape), 2), axis=1)[:, :points]
    present = np.take_along_axis(has_ink, order, axis=1)
    places = np.stack([np.linspace(-1, 1, height)[order // width], np.linspace(-1, 1, width)[order % width]], axis=2)
    sets = np.concatenate([np.where(present[:, :, None], places, 0), present[:, :, None]], axis=2)
    return Examples(sets.astype(np.float32), split.labels)


def _states(count: int, items: int, rng: np.random.Generator) -> npt.NDArray[np.integer]:
    """Draws different states, `[count, items]`, each in random order."""
    if items > PROPOSITIONS:
        raise UsageError(f"items (={items}) must be at most {PROPOSITIONS}, the propositions of next_state.")
    drawn = np.argsort(rng.random((4 * count, PROPOSITIONS)), axis=1)[:, :items]
    _, first = np.unique(np.sort(drawn, axis=1), axis=0, return_index=True)
    if len(first) < count:
        raise UsageError(
            f"sets must be fewer for next_state: {count:,} states for training and test must differ, drawn from "
            f"{math.comb(PROPOSITIONS, items):,} of {items} propositions."
        )
    return drawn[np.sort(first)[:count]]


def _described(states: npt.NDArray[np.integer]) -> Floats:
    """Encodes each proposition as a vector: subject, relation and object, each one-hot."""
    subjects, objects = np.array(PAIRS).T
    relations = np.repeat(np.eye(2), len(PAIRS), axis=0)
    one_hot = np.eye(INTERVALS)
    table = np.concatenate([np.tile(one_hot[subjects], (2, 1)), relations, np.tile(one_hot[objects], (2, 1))], axis=1)
    return table[states].astype(np.float32)
