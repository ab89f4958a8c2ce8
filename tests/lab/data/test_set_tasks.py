"""Tasks on sets: the answers against definitions, and sets that tell nothing by their order."""

import itertools

import numpy as np
import pytest

from weirdonetworks.lab.data import set_tasks
from weirdonetworks.lab.data.datasets import Dataset, Examples, Split
from weirdonetworks.lab.errors import UsageError

STATISTICS = {"maximum": lambda values: max(values), "median": lambda values: sorted(values)[2], "variance": np.var}


def make(
    name: str, digits: Dataset, sets: int = 50, items: int = 5, points: int = 200, seed: int = 0
) -> set_tasks.Task:
    return set_tasks.make(name, digits, sets, items, points, seed)


@pytest.mark.parametrize("name", set_tasks.TASKS)
def test_a_task_has_sets_and_answers_of_its_kind(name: str, digits: Dataset) -> None:
    task = make(name, digits)
    assert (len(task.train), len(task.test)) == (50, 10)
    for split in (task.train, task.test):
        assert split.images.dtype == np.float32 and split.images.ndim == 3 and split.images.shape[1] == task.items
        if task.kind == "class":
            assert split.labels.dtype == np.int32 and 0 <= split.labels.min() <= split.labels.max() < task.outputs
        else:
            assert split.labels.dtype == np.float32 and split.labels.shape == (len(split), task.outputs)


@pytest.mark.parametrize("name", set_tasks.TASKS)
def test_the_seed_makes_the_sets(name: str, digits: Dataset) -> None:
    task, same, other = (make(name, digits, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(task.train.images, same.train.images)
    np.testing.assert_array_equal(task.test.labels, same.test.labels)
    assert not np.array_equal(task.train.images, other.train.images)
    assert not np.array_equal(task.train.images[:10], task.test.images)


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_standardised(name: str, digits: Dataset) -> None:
    task = make(name, digits)
    answers = {
        split: [STATISTICS[name](each.ravel().astype(float)) for each in sets.images]
        for split, sets in (("train", task.train), ("test", task.test))
    }
    mean, deviation = np.mean(answers["train"]), np.std(answers["train"])
    for split, sets in (("train", task.train), ("test", task.test)):
        np.testing.assert_allclose(sets.labels[:, 0], (np.array(answers[split]) - mean) / deviation, atol=1e-5)


def test_digit_sums_are_those_of_the_images_in_a_set(digits: Dataset) -> None:
    task = make("digit_sum", digits, sets=30, items=3)
    by_image = {
        split.images[index].tobytes(): label
        for split in (digits.train, digits.test)
        for index, label in enumerate(split.labels)
    }
    known = {"train": [], "test": []}
    for split, examples in (("train", task.train), ("test", task.test)):
        for pixels in examples.images:
            images = np.rint(255 * pixels).astype(np.uint8).reshape(3, 28, 28, 1)
            known[split].append(sum(by_image[image.tobytes()] for image in images))
    mean, deviation = np.mean(known["train"]), np.std(known["train"])
    for split, examples in (("train", task.train), ("test", task.test)):
        sums = examples.labels[:, 0] * deviation + mean
        np.testing.assert_allclose(sums, known[split], atol=1e-4)
    # Half a digit to either side.
    assert task.tolerance == pytest.approx(0.5 / deviation)


def test_points_are_the_places_of_ink(digits: Dataset) -> None:
    task = make("points", digits, points=784)
    np.testing.assert_array_equal(task.train.labels, digits.train.labels[:50])
    for image, points in zip(digits.train.images, task.train.images, strict=False):
        present = points[points[:, 2] == 1]
        rows, columns = np.rint((present[:, :2].T + 1) / 2 * 27).astype(int)
        drawn = np.zeros((28, 28), bool)
        drawn[rows, columns] = True
        np.testing.assert_array_equal(drawn, image[:, :, 0] >= 128)
        assert len(present) == drawn.sum()
        assert not points[points[:, 2] == 0].any()


def test_of_too_many_points_some_are_drawn(digits: Dataset) -> None:
    task = make("points", digits, points=20)
    every = make("points", digits, points=784)
    assert task.items == 20
    for some, points in zip(task.train.images, every.train.images, strict=True):
        there = {tuple(point) for point in points if point[2]}
        chosen = [tuple(point) for point in some if point[2]]
        assert len(set(chosen)) == len(chosen) == min(20, len(there)) and there.issuperset(chosen)


def test_points_of_an_image_are_in_no_order(digits: Dataset) -> None:
    rows = make("points", digits).train.images[0, :20, 0]
    assert (np.diff(rows) > 0).any() and (np.diff(rows) < 0).any()


def test_a_blank_image_has_points_all_the_same() -> None:
    images, labels = np.zeros((10, 4, 4, 1), np.uint8), np.zeros(10, np.int32)
    split = Split(images, labels)
    blank = Dataset("blank", split, split, ("0",), None)
    assert make("points", blank, sets=5).train.images[..., 2].any(axis=1).all()


def test_the_next_state_is_what_was_said_and_what_follows_from_two(digits: Dataset) -> None:
    task = make("next_state", digits, sets=100)
    for propositions, answer in zip(task.train.images, task.train.labels, strict=True):
        said = {(int(each[:4].argmax()), int(each[4:6].argmax()), int(each[6:].argmax())) for each in propositions}
        assert len(said) == 5
        holds = {(x, z) for x, relation, z in said if relation == 0}
        holds |= {(x, z) for (x, _, y), (other, _, z) in itertools.product(said, said) if y == other and x != z}
        assert {set_tasks.PAIRS[index] for index in np.flatnonzero(answer)} == holds


def test_no_state_is_seen_twice(digits: Dataset) -> None:
    task = make("next_state", digits, sets=500, items=3)
    states = {frozenset(map(bytes, each)) for split in (task.train, task.test) for each in split.images}
    assert len(states) == 600
    orders = [np.diff(each @ 2.0 ** np.arange(10)) for each in task.train.images]
    assert len({tuple(each > 0) for each in orders}) > 1  # In no order.


def test_the_length_of_vectors_leaves_out_who_is_present(digits: Dataset) -> None:
    examples = Examples(np.array([[[3, 4, 1], [0, 0, 0]]], np.float32), np.zeros(1, np.int32))
    assert set_tasks.Task("points", "class", 1, examples, examples, has_absent=True).length == 5
    assert set_tasks.Task("points", "class", 1, examples, examples).length == pytest.approx(13**0.5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("next_state", {"items": 25}, r"items \(=25\) must be at most 24"),
        ("next_state", {"items": 1}, "60 states for training and test must differ, drawn from 24 of 1"),
        ("minimum", {}, "tasks: minimum must be one of maximum"),
    ],
)
def test_bad_input(name: str, options: dict[str, int], message: str, digits: Dataset) -> None:
    with pytest.raises(UsageError, match=message):
        make(name, digits, **options)
