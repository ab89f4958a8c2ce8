"""Cats and dogs are found in both data sets, and are numbered the same."""

import pathlib
import re
from typing import Any

import numpy as np
import pytest

from tests.lab.data.test_sources import RECORD, cifar_batches, write_archive
from weirdonetworks.experiments.transfer_stability import pets
from weirdonetworks.lab.data import download

CIFAR10_CAT, CIFAR10_DOG = 3, 5


def write_cifar10(folder: pathlib.Path, records: int = 40) -> dict[str, np.ndarray]:
    batches = cifar_batches(records)
    write_archive(folder, {name: batch.tobytes() for name, batch in batches.items()})
    return batches


def test_the_two_classes_of_cifar10_are_kept_in_order(tmp_path: pathlib.Path) -> None:
    batch = write_cifar10(tmp_path)["test_batch.bin"]
    data = pets.load("CIFAR10", tmp_path)
    chosen = [record for record in batch if record[0] in (CIFAR10_CAT, CIFAR10_DOG)]
    assert {record[0] for record in chosen} == {CIFAR10_CAT, CIFAR10_DOG} and len(chosen) < len(batch)
    assert data.test.labels.tolist() == [int(record[0] == CIFAR10_DOG) for record in chosen]
    planes = np.moveaxis(data.test.images, -1, 1).reshape(-1, RECORD - 1)
    np.testing.assert_array_equal(planes, [record[1:] for record in chosen])
    assert data.classes == ("cat", "dog") and data.test.images.shape[1:] == (32, 32, 3)
    assert 0 < len(data.train) < 200 and set(data.train.labels) == {0, 1}
    assert len(pets.load("CIFAR10", tmp_path, examples=3).train) == 3


def test_classes_are_numbered_in_the_order_asked_for(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path)
    usual = pets.load("CIFAR10", tmp_path).test
    monkeypatch.setattr(pets, "CLASSES", pets.CLASSES[::-1])
    turned = pets.load("CIFAR10", tmp_path).test
    assert turned.labels.tolist() == (1 - usual.labels).tolist() and turned.labels.dtype == np.int32
    np.testing.assert_array_equal(turned.images, usual.images)


def write_photographs(folder: pathlib.Path, count: int) -> dict[bytes, int]:
    """Writes `cats_vs_dogs` as TensorFlow Datasets prepares it; returns each photograph's label by its grey.

    The photographs are 20 x 40 or 40 x 20, grey in the middle square and striped outside it; of all at once, the grey
    is one for each.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    whole = tfds.builder_cls("cats_vs_dogs")
    with tfds.core.registered.skip_registration():

        class Few(whole):  # type: ignore[misc, valid-type]
            def _split_generators(self, manager: Any) -> dict[str, Any]:
                return {"train": self._generate_examples()}

            def _generate_examples(self) -> Any:
                for index in range(count):
                    image = np.zeros((20, 40, 3), np.uint8)
                    image[:, ::2] = 255
                    image[:, 10:30] = 10 * (index + 1)
                    image = image if index % 2 else np.ascontiguousarray(image.transpose(1, 0, 2))
                    yield index, {"image": image, "image/filename": f"{index}.jpg", "label": index % 3 % 2}

        Few.name, Few.pkg_dir_path = whole.name, whole.pkg_dir_path
        builder = Few(data_dir=str(folder))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return {10 * (index + 1): index % 3 % 2 for index in range(count)}


@pytest.mark.slow
def test_photographs_become_their_middle_squares(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: dict[int, int] = {}
    monkeypatch.setattr(download, "prepare", lambda name, data_dir: labels.update(write_photographs(data_dir, 10)))
    data = pets.load("cats_vs_dogs", tmp_path, side=12)
    assert (len(data.train), len(data.test)) == (8, 2) and data.classes == ("cat", "dog")
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(data.version))
    found = {}
    for split in (data.train, data.test):
        assert split.images.shape[1:] == (12, 12, 3)
        for image, label in zip(split.images, split.labels, strict=True):
            # JPEG smears the stripes a little over the border of the square, and greys by a step or two.
            grey = 10 * round(float(image[3:-3, 3:-3].mean()) / 10)
            assert np.abs(image[3:-3, 3:-3].astype(int) - grey).max() <= 4
            found[grey] = int(label)
    assert found == labels
    few = pets.load("cats_vs_dogs", tmp_path, side=12, examples=1)
    assert (len(few.train), len(few.test)) == (1, 1)
    np.testing.assert_array_equal(few.train.images[0], data.train.images[0])


@pytest.mark.slow
def test_photographs_that_cannot_be_had_are_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "prepare", lambda name, data_dir: "no network")
    with pytest.raises(OSError, match=r"^cats_vs_dogs is not .*: no network\. Pass --data_dir .*--dataset=CIFAR10\.$"):
        pets.load("cats_vs_dogs", tmp_path)


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^name \(='MNIST'\) must be one of cats_vs_dogs, CIFAR10"):
        pets.load("MNIST")
