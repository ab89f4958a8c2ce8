"""The files that data sets are read from: whole, damaged, missing, and none of the right kind."""

import gzip
import hashlib
import io
import pathlib
import tarfile
import tracemalloc
from typing import Any

import numpy as np
import pytest

from weirdonetworks.lab.data import datasets, download, sources
from weirdonetworks.lab.errors import UsageError

# Of the unpacked files, as published with copies of the data set.
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}
RECORD = 1 + 3 * 32 * 32


@pytest.mark.slow
@pytest.mark.parametrize("name", sources.MNIST_SHA256)
def test_shipped_files_unpack_to_the_published_ones(name: str) -> None:
    unpacked = gzip.decompress((sources.MNIST_DIRECTORY / name).read_bytes())
    assert hashlib.md5(unpacked).hexdigest() == MNIST_MD5[name]


@pytest.fixture
def copied_mnist(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the shipped files, to damage."""
    for name in sources.MNIST_SHA256:
        (tmp_path / name).symlink_to(sources.MNIST_DIRECTORY / name)
    return tmp_path


def replace(path: pathlib.Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.slow
def test_a_copy_is_read_the_same(copied_mnist: pathlib.Path, mnist: datasets.Dataset) -> None:
    raw = sources.read_mnist(copied_mnist)
    np.testing.assert_array_equal(raw.test[0], mnist.test.images)
    np.testing.assert_array_equal(raw.train[1], mnist.train.labels)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"])
@pytest.mark.parametrize("damage", ["altered", "truncated", "empty"])
def test_a_damaged_file_is_named(name: str, damage: str, copied_mnist: pathlib.Path) -> None:
    content = bytearray((sources.MNIST_DIRECTORY / name).read_bytes())
    content[len(content) // 2] ^= 1
    kept = {"altered": len(content), "truncated": len(content) // 2, "empty": 0}[damage]
    replace(copied_mnist / name, bytes(content[:kept]))
    with pytest.raises(OSError, match=f"{name} is damaged") as caught:
        sources.read_mnist(copied_mnist)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_missing_file_is_named(copied_mnist: pathlib.Path) -> None:
    (copied_mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(OSError, match=r"t10k-labels-idx1-ubyte\.gz is missing\. Reinstall"):
        sources.read_mnist(copied_mnist)


def cifar_batches(records: int = 3) -> dict[str, np.ndarray]:
    """Records of CIFAR-10's binary version: a label, then the red, the green and the blue plane."""
    rng = np.random.default_rng(0)
    batches = {}
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        batch = rng.integers(0, 256, (records, RECORD), dtype=np.uint8)
        batch[:, 0] = rng.integers(0, 10, records)
        batches[name] = batch
    return batches


def write_archive(folder: pathlib.Path, contents: dict[str, bytes]) -> pathlib.Path:
    path = folder / "cifar-10-binary-few.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"batches.meta.txt": b"airplane\n", **contents}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_cifar10_is_read_exactly(tmp_path: pathlib.Path) -> None:
    batches = cifar_batches()
    write_archive(tmp_path, {name: batches[name].tobytes() for name in sorted(batches, reverse=True)})
    data = datasets.load("CIFAR10", tmp_path)
    assert data.name == "CIFAR10"
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert data.train.images.shape == (15, 32, 32, 3) and data.test.images.shape == (3, 32, 32, 3)
    for number in range(1, 6):
        batch = batches[f"data_batch_{number}.bin"]
        for index, record in enumerate(batch):
            image = data.train.images[3 * (number - 1) + index]
            for colour, row, column in [(0, 0, 0), (1, 5, 31), (2, 31, 7)]:
                assert image[row, column, colour] == record[1 + 1024 * colour + 32 * row + column]
    np.testing.assert_array_equal(data.test.labels, batches["test_batch.bin"][:, 0])
    planes = np.stack([np.moveaxis(image, -1, 0) for image in data.test.images]).reshape(3, -1)
    np.testing.assert_array_equal(planes, batches["test_batch.bin"][:, 1:])


def test_a_truncated_archive_is_named(tmp_path: pathlib.Path) -> None:
    path = write_archive(tmp_path, {name: batch.tobytes() for name, batch in cifar_batches().items()})
    content = path.read_bytes()
    for length in (len(content) // 2, 30, 0):
        path.write_bytes(content[:length])
        with pytest.raises(OSError, match=r"few\.tar\.gz is damaged") as caught:
            datasets.load("CIFAR10", tmp_path)
        assert "\n" not in str(caught.value)


def test_an_altered_archive_is_named(tmp_path: pathlib.Path) -> None:
    path = write_archive(tmp_path, {name: batch.tobytes() for name, batch in cifar_batches().items()})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"few\.tar\.gz is damaged"):
        datasets.load("CIFAR10", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_wrong_label_is_refused(name: str, tmp_path: pathlib.Path) -> None:
    batches = cifar_batches()
    batches[name][1, 0] = 10
    write_archive(tmp_path, {name: batch.tobytes() for name, batch in batches.items()})
    with pytest.raises(OSError, match=r"few\.tar\.gz is damaged: it holds a label above 9"):
        datasets.load("CIFAR10", tmp_path)


@pytest.mark.parametrize("missing", ["data", "test"])
def test_a_missing_batch_is_refused(missing: str, tmp_path: pathlib.Path) -> None:
    kept = {name: batch.tobytes() for name, batch in cifar_batches().items() if not name.startswith(missing)}
    write_archive(tmp_path, kept)
    with pytest.raises(OSError, match=r"few.tar.gz holds no data_batch\*.bin or no test_batch.bin"):
        datasets.load("CIFAR10", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
@pytest.mark.parametrize("length", [0, RECORD + 1])
def test_a_cut_batch_is_refused(name: str, length: int, tmp_path: pathlib.Path) -> None:
    contents = {name: batch.tobytes() for name, batch in cifar_batches().items()}
    contents[name] = contents[name][:length]
    write_archive(tmp_path, contents)
    with pytest.raises(OSError, match=r"few\.tar\.gz is damaged"):
        datasets.load("CIFAR10", tmp_path)


def write_prepared(
    name: str, folder: pathlib.Path, splits: dict[str, int], config: str | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Writes a data set as TensorFlow Datasets prepares it, with that many random images; returns what it holds."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    whole = tfds.builder_cls(name)
    written: dict[str, tuple[list[np.ndarray], list[int]]] = {}

    with tfds.core.registered.skip_registration():

        class Few(whole):  # type: ignore[misc, valid-type]
            def _split_generators(self, manager: Any) -> dict[str, Any]:
                return {split: self._generate_examples(split) for split in splits}

            def _generate_examples(self, split: str) -> Any:
                rng = np.random.default_rng(len(split))
                images, labels = written[split] = [], []
                others = {"id": "x", "filename": "x"}.items() & dict.fromkeys(self.info.features, "x").items()
                for index in range(splits[split]):
                    images.append(rng.integers(0, 256, self.info.features["image"].shape, dtype=np.uint8))
                    labels.append(index % 10)
                    yield index, {**dict(others), "image": images[-1], "label": labels[-1]}

        Few.name, Few.pkg_dir_path = whole.name, whole.pkg_dir_path
        builder = Few(data_dir=str(folder), config=config)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return {split: (np.stack(images), np.array(labels, np.int32)) for split, (images, labels) in written.items()}


def assert_same_examples(split: datasets.Split, written: tuple[np.ndarray, np.ndarray]) -> None:
    """Asserts that a split holds what was written, in whatever order TensorFlow Datasets has put it."""
    images, labels = written
    assert split.images.shape == images.shape
    read = {(image.tobytes(), int(label)) for image, label in zip(split.images, split.labels, strict=True)}
    assert read == {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


@pytest.mark.slow
def test_a_prepared_directory_is_read_by_name(tmp_path: pathlib.Path) -> None:
    written = write_prepared("fashion_mnist", tmp_path, {"train": 12, "test": 5})
    data = datasets.load("Fashion_MNIST", tmp_path)
    assert data.name == "fashion_mnist"
    assert data.train.images.dtype == np.uint8 and data.train.labels.dtype == np.int32
    assert_same_examples(data.train, written["train"])
    assert_same_examples(data.test, written["test"])
    assert (data.classes[0], data.classes[9], len(data.classes)) == ("T-shirt/top", "Ankle boot", 10)
    assert data.standardisation == datasets.Standardisation.of(written["train"][0])


@pytest.mark.parametrize("kind", ["zeros beside", "zeros in a batch", "sparse batch", "after the end"])
def test_an_archive_longer_than_the_data_is_refused_and_not_unpacked(
    kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CIFAR10_BYTES", 2**20)
    contents = {name: batch.tobytes() for name, batch in cifar_batches().items()}
    zeros = bytes(RECORD * 2**14)  # 50 MB, and some 50 KB packed.
    if kind.startswith("zeros"):
        contents["readme.html" if kind == "zeros beside" else "data_batch_1.bin"] = zeros
    path = write_archive(tmp_path, contents)
    if kind == "after the end":
        with gzip.open(path, "ab") as file:
            file.write(zeros)
    if kind == "sparse batch":
        size = RECORD * 2**28  # Nearly a TiB, of which nothing is there.
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.pax_headers = {"GNU.sparse.size": str(size), "GNU.sparse.map": f"{size},0"}
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(member, io.BytesIO(b""))
    tracemalloc.start()
    cause = {"zeros in a batch": "bytes", "sparse batch": "bytes"}.get(kind, "it is longer than the data set")
    with pytest.raises(OSError, match=rf"few\.tar\.gz is damaged or not CIFAR-10's binary version: .*{cause}\."):
        datasets.load("CIFAR10", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["cifar10", "cifar10:3.0.2", "CIFAR10:1.0.0"])
def test_the_archive_is_read_whatever_version_is_named(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "prepare", lambda name, data_dir: pytest.fail("asked for a download"))
    write_archive(tmp_path, {name: batch.tobytes() for name, batch in cifar_batches().items()})
    data = datasets.load(name, tmp_path)
    assert (len(data.test), data.version) == (3, None)


@pytest.mark.slow
def test_a_prepared_cifar10_goes_before_the_archive(tmp_path: pathlib.Path) -> None:
    write_archive(tmp_path, {name: batch.tobytes() for name, batch in cifar_batches().items()})
    assert len(datasets.load("cifar10", tmp_path).test) == 3
    written = write_prepared("cifar10", tmp_path, {"train": 4, "test": 2})
    data = datasets.load("cifar10", tmp_path)
    assert (data.name, data.version) == ("CIFAR10", "3.0.2")
    assert_same_examples(data.test, written["test"])


def test_other_versions_and_configurations_are_read(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "prepare", lambda name, data_dir: pytest.fail("asked for a download"))
    written = write_prepared("fashion_mnist", tmp_path, {"train": 12, "test": 5})
    assert_same_examples(datasets.load("Fashion_MNIST:3.0.1", tmp_path).train, written["train"])
    other = (tmp_path / "fashion_mnist" / "3.0.1").rename(tmp_path / "fashion_mnist" / "2.0.0") / "dataset_info.json"
    other.write_text(other.read_text().replace('"3.0.1"', '"2.0.0"'))
    for name in ("fashion_mnist", "fashion_mnist:2.0.0"):
        assert datasets.load(name, tmp_path).version == "2.0.0"
        assert_same_examples(datasets.load(name, tmp_path).train, written["train"])
    written = write_prepared("emnist", tmp_path, {"train": 12, "test": 5}, config="letters")
    data = datasets.load("EMNIST/letters", tmp_path)
    assert data.name == "emnist/letters"
    assert_same_examples(data.train, written["train"])


def test_what_was_prepared_by_the_users_own_code_is_read_by_name(tmp_path: pathlib.Path) -> None:
    written = write_prepared("fashion_mnist", tmp_path, {"train": 12, "test": 5})
    version = tmp_path / "fashion_mnist" / "3.0.1"
    for path in version.iterdir():  # As a builder named `my_shoes`, which is not registered, would have written it.
        content = path.read_bytes()
        content = content.replace(b'"fashion_mnist"', b'"my_shoes"') if path.suffix == ".json" else content
        (tmp_path / "my_shoes" / "1.0.0").mkdir(parents=True, exist_ok=True)
        (tmp_path / "my_shoes" / "1.0.0" / path.name.replace("fashion_mnist", "my_shoes")).write_bytes(content)
    assert_same_examples(datasets.load("my_shoes", tmp_path).test, written["test"])
    with pytest.raises(UsageError, match=r"dataset \(=my_boots\) must be MNIST, .* your own data, such as \./my_boots"):
        datasets.load("my_boots", tmp_path)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("fashion_mnist:9.0.0", "cannot be loaded at version 9.0.0"),
        ("emnist/none", "BuilderConfig none not found"),
        ("a b", "Parsing builder name string a b failed"),
    ],
)
def test_versions_and_configurations_that_are_not_there_are_refused_in_one_line(
    name: str, rule: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UsageError, match=rf"^dataset \(={name}\): .*{rule}") as caught:
        datasets.load(name, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kmnist", "eurosat"])
def test_what_was_just_downloaded_is_read(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}

    def prepare(name: str, data_dir: pathlib.Path) -> None:
        written.update(write_prepared(name, data_dir, {"train": 3, "test": 2}))

    monkeypatch.setattr(download, "prepare", prepare)
    data = datasets.load(name, tmp_path)
    assert_same_examples(data.train, written["train"])
    assert_same_examples(data.test, written["test"])


@pytest.mark.parametrize("when", ["before", "now"])
def test_a_data_set_without_a_test_split_is_refused(
    when: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(name: str, data_dir: pathlib.Path) -> None:
        write_prepared(name, data_dir, {"train": 3})

    monkeypatch.setattr(download, "prepare", prepare)
    if when == "before":
        prepare("kmnist", tmp_path)
    with pytest.raises(UsageError, match=r"dataset \(=kmnist\) must have the splits train and test, not \['train'\]"):
        datasets.load("kmnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("no_such_data", "must be MNIST, CIFAR10 or "),
        ("imdb_reviews", "must be one of image classification"),
        ("food101", r"must have images of one size, not \(None, None, 3\)"),
    ],
)
def test_what_is_no_image_classification_is_refused(
    name: str, rule: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "prepare", lambda name, data_dir: pytest.fail("asked for a download"))
    with pytest.raises(UsageError, match=rf"^dataset \(={name}\) {rule}"):
        datasets.load(name, tmp_path)
    assert not list(tmp_path.iterdir())
