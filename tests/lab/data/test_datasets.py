"""Data sets: the splits, their standardisation, and how a validation split is cut."""

import pathlib

import numpy as np
import pytest
from hypothesis import given, strategies as st

from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data import datasets, download, sources
from weirdonetworks.lab.errors import UsageError

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def numbered(examples: int, classes: int = 3) -> datasets.Split:
    """A split whose images tell their own position."""
    images = np.zeros((examples, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(examples), 256)
    return datasets.Split(images, (np.arange(examples) % classes).astype(np.int32))


def positions(split: datasets.Split) -> list[int]:
    return (256 * split.images[:, 0, 0, 0].astype(int) + split.images[:, 0, 1, 0]).tolist()


def invented(train: int, test: int) -> datasets.Dataset:
    return datasets.Dataset(
        "invented", numbered(train), numbered(test), tuple("abc"), datasets.Standardisation((0.5,), (0.25,))
    )


def test_mnist_is_the_real_one(mnist: datasets.Dataset) -> None:
    assert (mnist.name, mnist.classes) == ("MNIST", tuple("0123456789"))
    assert mnist.train.images.shape == (60000, 28, 28, 1) and mnist.test.images.shape == (10000, 28, 28, 1)
    assert mnist.train.images.dtype == np.uint8 and mnist.train.labels.dtype == np.int32
    assert np.bincount(mnist.train.labels).tolist() == TRAIN_COUNTS
    assert np.bincount(mnist.test.labels).tolist() == TEST_COUNTS
    assert mnist.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert mnist.test.labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    assert mnist.validation is None


@pytest.mark.slow
def test_the_name_is_read_in_any_case() -> None:
    assert datasets.load("mnist").name == "MNIST"


@pytest.mark.slow
def test_mnist_standardisation_is_that_of_its_training_images(mnist: datasets.Dataset) -> None:
    measured = datasets.Standardisation.of(mnist.train.images)
    assert datasets.MNIST_STANDARDISATION.mean == pytest.approx(measured.mean, rel=1e-12)
    assert datasets.MNIST_STANDARDISATION.deviation == pytest.approx(measured.deviation, rel=1e-12)
    assert mnist.standardisation == datasets.MNIST_STANDARDISATION
    assert datasets.Standardisation.of(mnist.test.images).mean != pytest.approx(measured.mean, rel=1e-4)


def test_standardised_images_have_mean_0_and_variance_1() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)
    images[..., 1] //= 3
    outputs = datasets.Standardisation.of(images)(images).numpy()
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(outputs.std(axis=(0, 1, 2)), 1, rtol=1e-5)
    scaled = images / 255.0
    expected = (scaled - scaled.mean(axis=(0, 1, 2))) / scaled.std(axis=(0, 1, 2))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_a_constant_channel_is_standardised_to_zero() -> None:
    images = np.full((3, 2, 2, 2), 200, np.uint8)
    images[0, 0, 0, 0] = 10
    outputs = datasets.Standardisation.of(images)(images).numpy()
    np.testing.assert_allclose(outputs[..., 1], 0, atol=1e-6)
    assert np.ptp(outputs[..., 0]) > 1


@pytest.mark.slow
@given(st.integers(2, 400), st.data())
def test_validation_and_training_are_disjoint_and_cover(examples: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, examples - 1))
    whole = invented(examples, 5)
    cut = whole.with_validation(size, data.draw(st.integers(0, 99)))
    assert cut.validation is not None
    assert (len(cut.train), len(cut.validation)) == (examples - size, size)
    kept, chosen = positions(cut.train), positions(cut.validation)
    assert kept == sorted(kept) and chosen == sorted(chosen)
    assert sorted(kept + chosen) == positions(whole.train)
    assert cut.train.labels.tolist() == [position % 3 for position in kept]
    assert cut.test is whole.test


def test_the_seed_chooses_the_validation_split() -> None:
    splits = [invented(100, 5).with_validation(20, seed).validation for seed in (1, 1, 2)]
    first, again, other = (positions(split) for split in splits if split is not None)
    assert first == again
    assert first != other
    assert first != list(range(20)) and other != list(range(20))


def test_no_validation_is_the_data_set_itself() -> None:
    whole = invented(10, 5)
    assert whole.with_validation(0, seed=1) is whole


@pytest.mark.parametrize("size", [-1, 10, 11])
def test_validation_must_leave_something_to_train_on(size: int) -> None:
    with pytest.raises(UsageError, match=rf"validation_size \(={size}\) must be in \[0, 10\) for invented"):
        invented(10, 5).with_validation(size, seed=1)


def test_cut_keeps_the_first_of_each_split() -> None:
    cut = invented(10, 5).cut(7)
    assert (positions(cut.train), positions(cut.test)) == (list(range(7)), list(range(5)))
    with pytest.raises(UsageError, match=r"examples \(=0\)"):
        invented(10, 5).cut(0)


@pytest.mark.parametrize(
    ("images", "labels", "name"),
    [
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int32), "images"),
        (np.zeros((2, 3, 3, 1), np.float32), np.zeros(2, np.int32), "images"),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int32), "labels"),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.int64), "labels"),
    ],
)
def test_a_split_checks_its_arrays(images: np.ndarray, labels: np.ndarray, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        datasets.Split(images, labels)


def test_another_data_set_is_standardised_by_its_own_training_images(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (6, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(6, dtype=np.int32)
    raw = sources.Raw("some_set", (images, labels), (images[:2], labels[:2]), tuple("abcdef"))
    monkeypatch.setattr(sources, "read_named", lambda name, data_dir: raw)
    loaded = datasets.load("some_set", tmp_path)
    assert loaded.standardisation == datasets.Standardisation.of(images)
    assert loaded.standardisation.mean == pytest.approx(images.mean(axis=(0, 1, 2)) / 255)
    assert loaded.classes == tuple("abcdef")


@pytest.mark.parametrize(
    ("name", "remedy"), [("CIFAR10", "cifar-10-binary.tar.gz in it"), ("kmnist", "kmnist prepared")]
)
def test_without_a_network_there_is_one_clear_line(
    name: str, remedy: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "prepare", lambda name, data_dir: "no route to host")
    with pytest.raises(OSError, match="not on this machine") as caught:
        datasets.load(name, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{name} is not on this machine and could not be downloaded: no route to host. ")
    assert f"Pass --data_dir with {remedy}" in message
    assert message.endswith("or use --dataset=MNIST, which ships with the package.")
    assert "\n" not in message


@pytest.mark.slow
def test_a_configuration_is_cut_then_split(mnist: datasets.Dataset) -> None:
    data = datasets.configured(TrainingConfig(examples=600, validation_size=100, data_seed=5))
    expected = mnist.cut(600).with_validation(100, seed=5)
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(data, split).images, getattr(expected, split).images)
        np.testing.assert_array_equal(getattr(data, split).labels, getattr(expected, split).labels)
    assert [len(split) for split in (data.train, data.test)] == [500, 600]
    other = datasets.configured(TrainingConfig(examples=600, validation_size=100, data_seed=6))
    assert not np.array_equal(other.train.images, data.train.images)


@pytest.mark.slow
def test_a_configuration_without_a_cut_is_the_whole_less_a_twelfth() -> None:
    data = datasets.configured(TrainingConfig())
    assert data.validation is not None
    assert [len(split) for split in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]


def test_a_configuration_names_its_data_and_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str, data_dir: str | None) -> datasets.Dataset:
        asked.append((name, data_dir))
        return invented(10, 5)

    monkeypatch.setattr(datasets, "load", load)
    assert datasets.configured(TrainingConfig(dataset="kmnist", validation_size=0), "there").validation is None
    assert asked == [("kmnist", "there")]
    with pytest.raises(UsageError, match=r"validation_size \(=10\) must be in \[0, 10\)"):
        datasets.configured(TrainingConfig(validation_size=10))


@pytest.mark.parametrize("value", [None, "x", [[1]], 3])
def test_what_is_no_array_or_name_is_refused(value: object) -> None:
    labels = np.zeros(2, np.int32)
    for kind in (datasets.Split, datasets.Examples):
        with pytest.raises(TypeError, match=r"^images \(=.*\) must be a ndarray"):
            kind(value, labels)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^split \(=.*\) must be a Split or an Examples"):
        datasets.Resident(value)  # type: ignore[arg-type]
    if not isinstance(value, str):
        with pytest.raises(TypeError, match=r"^name \(=.*\) must be a str"):
            datasets.load(value)  # type: ignore[arg-type]
