"""The user's own data: read exactly from each form, split and identified the same each time, refused in one line."""

import itertools
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.lab.data.test_sources import assert_same_examples, write_prepared
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data import datasets, user_data
from weirdonetworks.lab.errors import UsageError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(20) % 3


def saved(folder: pathlib.Path, **arrays: Any) -> pathlib.Path:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


def whole(data: datasets.Dataset) -> datasets.Split:
    parts = (data.train, data.test)
    return datasets.Split(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels")))


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("images", "labels", "test_images", "test_labels"),
        ("X_train", "y_train", "X_test", "y_test"),
    ],
    ids="-".join,
)
def test_a_file_that_is_split_is_read_so(names: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    arrays = (IMAGES[:15], LABELS[:15], IMAGES[15:], LABELS[15:, None])
    data = datasets.load(str(saved(tmp_path, **dict(zip(names, arrays, strict=True)))))
    assert (data.name, data.classes) == ("mine", ("0", "1", "2"))
    for split, part in ((data.train, slice(15)), (data.test, slice(15, None))):
        assert_same_examples(split, (IMAGES[part], LABELS[part]))
    assert data.standardisation == datasets.Standardisation.of(IMAGES[:15])


def test_a_file_that_is_not_split_keeps_one_in_five_for_testing_always_the_same(tmp_path: pathlib.Path) -> None:
    path = str(saved(tmp_path, images=IMAGES, labels=LABELS, classes=["a", "b", "c"]))
    data, again = datasets.load(path), datasets.load(path)
    assert (len(data.train), len(data.test), data.classes) == (16, 4, ("a", "b", "c"))
    assert_same_examples(whole(data), (IMAGES, LABELS))
    np.testing.assert_array_equal(data.test.images, again.test.images)
    assert data.train.labels.tolist() != sorted(data.train.labels)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (IMAGES / 255.0, IMAGES),
        ((IMAGES / 255).astype(np.float16), IMAGES),
        (IMAGES.astype(np.float32), IMAGES),
        (IMAGES.astype(np.int64), IMAGES),
        (IMAGES > 99, np.where(IMAGES > 99, 255, 0)),
        (IMAGES[..., 0], IMAGES[..., :1]),
        (np.asfortranarray(IMAGES), IMAGES),
    ],
    ids=["[0, 1]", "float16", "[0, 255]", "int64", "bool", "grey", "Fortran"],
)
def test_images_of_other_types_become_bytes(images: Any, expected: np.ndarray, tmp_path: pathlib.Path) -> None:
    data = datasets.load(str(saved(tmp_path, x=images, y=LABELS.astype(float), x_test=images, y_test=LABELS)))
    assert_same_examples(data.train, (np.asarray(expected, np.uint8), LABELS))


def test_the_first_examples_are_of_several_classes_in_a_file_that_is_sorted_too(tmp_path: pathlib.Path) -> None:
    images, labels = np.zeros([200, 4, 4], np.uint8), np.arange(200) // 50
    data = datasets.load(str(saved(tmp_path, x_train=images, y_train=labels, x_test=images, y_test=labels))).cut(40)
    assert all(np.bincount(split.labels, minlength=4).min() > 4 for split in (data.train, data.test))


def test_floats_of_train_and_test_are_scaled_alike(tmp_path: pathlib.Path) -> None:
    dark = np.zeros_like(IMAGES, float)
    dark[0] = 1.0  # In [0, 1], but so are not the others.
    data = datasets.load(str(saved(tmp_path, x_train=IMAGES.astype(float), y_train=LABELS, x_test=dark, y_test=LABELS)))
    assert data.test.images.max() == 1


def without(array: Any, value: Any) -> np.ndarray:
    changed = np.array(array, float)
    changed[0] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"images": IMAGES}, r"must hold arrays images and labels, .* and holds images\."),
        ({"images": IMAGES.reshape(20, 60), "labels": LABELS}, r"images of shape \(20, 60\) must be \[images, height"),
        (
            {"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS},
            r"channels first.*images\.transpose\(0, 2, 3, 1\)",
        ),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"images of shape \(0, 4, 5, 3\) must not be empty"),
        ({"images": IMAGES, "labels": LABELS[:19]}, "labels must be as many as images: 19 labels, 20 images"),
        ({"images": IMAGES, "labels": np.eye(3)[LABELS]}, r"labels of shape \(20, 3\) .*labels\.argmax\(axis=1\)"),
        ({"images": IMAGES, "labels": LABELS + 1}, r"0, 1, \.\.\. without a gap, and are 3 from 1 to 3: .*np\.unique"),
        ({"images": IMAGES, "labels": LABELS * 2}, r"without a gap, and are 3 from 0 to 4: .*np\.unique"),
        ({"images": IMAGES, "labels": LABELS - 1}, r"labels must be 0, 1, \.\.\., and are -1 to 1: .*np\.unique"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, r"labels of type float64 must be integers"),
        ({"images": IMAGES, "labels": np.array(["a", "b"] * 10)}, r"labels of type <U1 must be integers .*np\.unique"),
        ({"images": IMAGES, "labels": LABELS * 0}, "must have at least two classes, and all labels are 0"),
        ({"images": IMAGES[:3], "labels": LABELS[:3]}, "must have at least 5 images"),
        ({"images": IMAGES, "labels": LABELS, "classes": ["a", "b"]}, "labels must be 0 to 1, those of its 2 classes"),
        (
            {"images": IMAGES * 2.0, "labels": LABELS},
            r"images must be in \[0, 255\], or floats in \[0, 1\], and are in",
        ),
        ({"images": IMAGES / 127.5 - 1, "labels": LABELS}, r"and are in \[-1, 1\]: `\(images - images\.min\(\)\)"),
        ({"images": IMAGES / 254, "labels": LABELS}, r"in \[0, 1\] or \[0, 255\], and go up to 1.00\d+: `images\.clip"),
        ({"images": without(IMAGES, np.nan), "labels": LABELS}, "images must be finite, and hold NaN"),
        ({"images": without(IMAGES, np.inf), "labels": LABELS}, "images must be finite, and hold NaN"),
        ({"images": IMAGES.astype(str), "labels": LABELS}, "images of type <U3 must be numbers"),
        ({"images": IMAGES, "labels": LABELS.astype(object)}, "labels holds Python objects, which are never unpickled"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1},
            "test has the label 3, and train none above 2",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
            r"train and test must have one shape, and have \[\(3, 5, 3\), \(4, 5, 3\)\]",
        ),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS[1:]}, "test labels must be as many"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_data_set_is_refused_in_one_line(arrays: Any, rule: str, tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(UsageError, match=rf"^dataset \(={path}\).*{rule}") as caught:
        datasets.load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "npy"])
def test_a_damaged_file_is_named(damage: str, tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS)
    content = path.read_bytes()
    if damage == "npy":
        with open(path, "wb") as file:
            np.save(file, IMAGES)
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"images"}[damage])
    with pytest.raises(OSError, match=r"mine\.npz is damaged or no \.npz file"):
        datasets.load(str(path))


def test_a_file_with_a_flipped_byte_is_damaged(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(OSError, match=r"mine\.npz is damaged"):
        datasets.load(str(path))


def test_paths_are_told_from_names_and_a_home_is_expanded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path, images=IMAGES, labels=LABELS)
    assert datasets.load("~/mine.npz").name == "mine"
    monkeypatch.chdir(tmp_path)
    assert datasets.load("mine.npz").name == datasets.load("./mine.npz").name == "mine"
    assert not user_data.is_path("mnist") and not user_data.is_path("emnist/letters")
    (tmp_path / "notes.txt").write_text("images")
    for path, rule in (
        ("./none", "there is no such file or folder"),
        ("./notes.txt", "must be an .npz file, a folder"),
    ):
        with pytest.raises(UsageError, match=rf"^dataset \(={path}\):? {rule}"):
            datasets.load(path)


def write_images(folder: pathlib.Path, images: np.ndarray, labels: np.ndarray, suffix: str = ".png") -> None:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        kind = folder / f"kind {'abc'[label]}"
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(kind / f"{number:03}{suffix}")
        (kind / "Thumbs.db").write_text("no image")


def test_a_folder_of_images_by_class_is_read_exactly(tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "flowers", IMAGES, LABELS)
    data = datasets.load(str(tmp_path / "flowers"))
    assert (data.name, data.classes) == ("flowers", ("kind a", "kind b", "kind c"))
    assert (len(data.train), len(data.test)) == (16, 4)
    assert_same_examples(whole(data), (IMAGES, LABELS))
    assert len({*data.train.labels[:6]}) > 1  # The first ones are of several classes.


def test_a_folder_with_train_and_test_is_split_so(tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "train", IMAGES[:15], LABELS[:15])
    write_images(tmp_path / "test", IMAGES[15:], LABELS[15:])
    data = datasets.load(str(tmp_path))
    assert_same_examples(data.train, (IMAGES[:15], LABELS[:15]))
    assert_same_examples(data.test, (IMAGES[15:], LABELS[15:]))


def test_grey_images_have_one_channel_and_jpeg_is_read(tmp_path: pathlib.Path) -> None:
    grey = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None] * 12, 8, 1).repeat(8, 2)
    write_images(tmp_path, grey, LABELS, ".JPG")
    data = datasets.load(str(tmp_path))
    assert data.train.images.shape == (16, 8, 8, 1)
    found = {
        (int(image.mean().round()), int(label)) for image, label in zip(*whole(data).__dict__.values(), strict=True)
    }
    assert found == {(12 * number, number % 3) for number in range(20)}
    Image.fromarray(np.zeros([8, 8, 3], np.uint8)).save(tmp_path / "kind a" / "colour.png")
    assert datasets.load(str(tmp_path)).train.images.shape[3] == 3


def test_folders_that_are_no_data_set_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="it has no folder, named as a class, with"):
        datasets.load(str(tmp_path))
    write_images(tmp_path / "some", IMAGES, LABELS)
    odd = tmp_path / "some" / "kind b" / "zz.png"
    Image.fromarray(np.zeros([7, 5, 3], np.uint8)).save(odd)
    with pytest.raises(UsageError, match=r"images of one size, and has kind a/000.png 5x4 and kind b/zz.png 5x7"):
        datasets.load(str(tmp_path / "some"))
    Image.fromarray(np.zeros([4, 5], np.uint16)).save(odd)
    with pytest.raises(UsageError, match=r"kind b/zz.png has more than 8 bits a channel"):
        datasets.load(str(tmp_path / "some"))
    odd.write_bytes(b"no image")
    with pytest.raises(OSError, match=r"kind b/zz.png is damaged or no image"):
        datasets.load(str(tmp_path / "some"))
    write_images(tmp_path / "split" / "train", IMAGES, LABELS)
    with pytest.raises(UsageError, match="holds a folder train, and so must hold train and test"):
        datasets.load(str(tmp_path / "split"))
    write_images(tmp_path / "more" / "train", IMAGES[LABELS < 2], LABELS[LABELS < 2])
    write_images(tmp_path / "more" / "test", IMAGES, LABELS)
    with pytest.raises(UsageError, match="there are images of kind c in test and none in train"):
        datasets.load(str(tmp_path / "more"))


@pytest.mark.parametrize("depth", ["", "fashion_mnist", "fashion_mnist/3.0.1"])
def test_a_folder_of_tensorflow_datasets_is_read(depth: str, tmp_path: pathlib.Path) -> None:
    written = write_prepared("fashion_mnist", tmp_path, {"train": 12, "test": 5})
    path = str(tmp_path / depth)
    data = datasets.load(path)
    assert (data.name, data.classes[0]) == ("fashion_mnist", "T-shirt/top")
    assert_same_examples(data.train, written["train"])
    assert user_data.identified(path).startswith(f"{path.rstrip('/')}#")
    if not depth:
        write_prepared("kmnist", tmp_path, {"train": 12, "test": 5})
        with pytest.raises(UsageError, match=r"holds several data sets: fashion_mnist/3.0.1, kmnist/3.0.1. Name the"):
            datasets.load(path)


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_path_is_identified_by_its_content(form: str, tmp_path: pathlib.Path) -> None:
    def written(images: np.ndarray) -> pathlib.Path:
        if form == "file":
            return saved(tmp_path, images=images, labels=LABELS)
        write_images(tmp_path / "flowers", images, LABELS)
        return tmp_path / "flowers"

    path = written(IMAGES)
    config = TrainingConfig(dataset=str(path)).resolved()
    assert config.dataset.startswith(f"{path}#") and config == TrainingConfig(dataset=str(written(IMAGES))).resolved()
    assert config.resolved() == config and len(datasets.load(config.dataset).train) == 16
    changed = IMAGES.copy()
    changed[7, 0, 0, 0] ^= 1
    other = TrainingConfig(dataset=str(written(changed))).resolved()
    assert other.dataset.partition("#")[0] == str(path) and other != config
    with pytest.raises(UsageError, match=r"dataset \(=.*#[0-9a-f]{12}\) has changed: its content is now #"):
        datasets.load(config.dataset)
    assert TrainingConfig().resolved() == TrainingConfig()


def test_nothing_is_written_beside_the_data(tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "flowers", IMAGES, LABELS)
    path = saved(tmp_path, images=IMAGES, labels=LABELS)

    def state() -> dict[pathlib.Path, tuple[int, int]]:
        return {each: (each.stat().st_mtime_ns, each.stat().st_size) for each in tmp_path.rglob("*")}

    before = state()
    for each in (path, tmp_path / "flowers"):
        datasets.load(user_data.identified(str(each)))
    assert state() == before


def test_a_file_of_the_name_of_a_data_set_is_standardised_by_its_own_images(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS).rename(tmp_path / "MNIST.npz")
    data = datasets.load(str(path))
    assert data.name == "MNIST" and data.standardisation == datasets.Standardisation.of(data.train.images)
