"""The stability of transferred backbones: cut off between two of them, resumed, and checked by exact invariance."""

import contextlib
import dataclasses
import html
import io
import pathlib
import sys
from typing import Any

import keras
import numpy as np
import pytest

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run
from tests.experiments.test_pets import write_cifar10
from weirdonetworks.experiments.transfer_stability import (
    TransferStabilityConfig,
    pet_networks,
    study as transfer_stability,
)
from weirdonetworks.experiments.transfer_stability.backbones import Backbone
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data.datasets import Dataset, Split, Standardisation
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files
from weirdonetworks.lab.training.study import Training

SHORT = {"dataset": "CIFAR10", "image_size": 16, "copies": 2, "step": 90, "epochs": 3, "batch_size": 16}
SHORT |= {"cnn_size": 8, "cnn_epochs": 1, "execution": "graph", "preprocess": "tf,none"}
SHORT |= {"examples": 80, "validation_size": 16}  # Whole batches: a short one is compiled apart.
SPLITS = ["train", "validation", "test", "train_deformed_42_0", "train_deformed_42_1", "turned_22_by_90"]
NETWORKS = ["means", "rows", "cnn, undeformed", "cnn, deformed", "cnn, any turn"]


def save(path: pathlib.Path, *layers: keras.Layer) -> str:
    keras.Sequential([keras.Input((None, None, 3)), *layers]).save(path)
    return str(path)


class Done:
    """A study that was cut off when it came to the second backbone, and then resumed."""

    def __init__(self, folder: pathlib.Path):
        write_cifar10(folder, records=100)
        # The mean of an image does not change by quarter turns; the mean of its lower half does.
        means = save(folder / "means.keras", keras.layers.GlobalAveragePooling2D())
        rows = save(folder / "rows.keras", keras.layers.Cropping2D(((8, 0), (0, 0))))
        config = TransferStabilityConfig(**SHORT, backbones=f"{means},{rows}")
        options = RunOptions(data_dir=str(folder), experiment_dir=str(folder / "runs"))
        transferred = pet_networks.transferred

        def first_only(opened: Any, backbone: Any, *rest: Any) -> Any:
            if backbone.name == "rows":
                raise KeyboardInterrupt
            return transferred(opened, backbone, *rest)

        with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(pet_networks, "transferred", first_only)
            experiment.main(config, options)
        self.directory = only_run(folder / "runs")
        files.write_json(self.directory / "status.json", {"status": "running", "epoch": 0})  # As a kill leaves it.
        self.before = {path: path.stat().st_mtime_ns for path in self.directory.glob("*/*") if path.is_file()}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            experiment.main(config, dataclasses.replace(options, resume=True))
        self.printed = printed.getvalue()
        self.results = read(self.directory / "results.json")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Done(tmp_path_factory.mktemp("pets"))


@pytest.mark.slow
def test_a_study_that_was_cut_off_goes_on_where_it_was(done: Done) -> None:
    unchanged = {path for path, before in done.before.items() if path.stat().st_mtime_ns == before}
    features = {path.name for path in unchanged if path.suffix == ".npy"}
    assert features == {f"{name}.npy" for name in SPLITS} and len(unchanged) > len(features)
    computed = [records(training) for training in all_runs(done.directory) if training.name.startswith("features")]
    assert [[each["features"] for each in lines] for lines in computed] == [SPLITS, SPLITS]
    assert len(all_runs(done.directory)) == 2 + len(NETWORKS)


@pytest.mark.slow
def test_only_the_invariant_backbone_is_stable(done: Done) -> None:
    networks = done.results["networks"]
    assert list(networks) == NETWORKS and done.results["angles"] == [0, 90, 180, 270]
    for name, each in networks.items():
        is_invariant = name == "means"
        assert (each["transformation_variance"]["mean"] < 1e-10) == is_invariant, name
        assert (each["transformation_difference"]["mean"] < 1e-5) == is_invariant, name
        assert len(set(each["error_by_angle"])) == 1 or not is_invariant
    assert networks["means"]["class_changes"]["mean"] == 0 < networks["rows"]["class_changes"]["mean"]


@pytest.mark.slow
def test_the_figures_agree_with_each_other(done: Done) -> None:
    images = read(done.directory / "images.json")
    assert done.results["images"]["turned"] == done.results["images"]["test"] == len(images["labels"])
    (training,) = (training for training in all_runs(done.directory) if training.name.startswith("head_rows"))
    rows = done.results["networks"]["rows"]
    assert rows["test_accuracy"]["values"] == [records(training)[-1]["test_accuracy"]]
    for name, each in done.results["networks"].items():
        # All test images were turned, by 0 degrees among others.
        assert each["error_by_angle"][0] == pytest.approx(1 - each["test_accuracy"]["mean"])
        assert np.mean(each["error_by_angle"]) == pytest.approx(each["error"]["mean"])
        for key in transfer_stability.MEASURES:
            assert np.mean(images["networks"][name][key]) == pytest.approx(each[key]["mean"])
            assert len(images["networks"][name][key]) == len(images["labels"])
    counts = {kind: images["labels"].count(index) for index, kind in enumerate(("cat", "dog"))}
    assert done.results["classes"] == counts and f"{counts['cat']} cat, {counts['dog']} dog." in done.printed
    ((constant, same),) = done.results["baseline"].items()
    answer = max(counts, key=lambda kind: counts[kind])
    error = 1 - counts[answer] / len(images["labels"])
    assert constant == f"always {answer}" and constant in done.printed and f"{error:.2%}" in done.printed
    assert same["error_by_angle"] == pytest.approx([error] * 4)
    assert same["class_changes"]["mean"] == same["transformation_variance"]["mean"] == 0
    head = 3 * 512 + 512 + 512 * 2 + 2
    assert (done.results["networks"]["means"]["parameters"], rows["image_size"]) == (head, 16)


def test_pictures_and_the_page_show_every_network(done: Done) -> None:
    page = (done.directory / "report.html").read_text()
    for name in ("transfer_stability", *map(pet_networks.file_name, NETWORKS)):
        assert (done.directory / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'id="{name}"' in page
    for name in NETWORKS:
        assert html.escape(name) in page and name in done.printed
    assert f"{done.results['networks']['rows']['test_accuracy']['mean']:.2%}" in page


@pytest.mark.slow
def test_nothing_is_taken_from_other_data_or_weights(tmp_path: pathlib.Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    split = Split(images, np.arange(8, dtype=np.int32) % 2)
    flipped = Split(images, 1 - split.labels)
    data = Dataset("pets", split, split, ("cat", "dog"), Standardisation.of(images))
    trained = []

    class Opened:
        directory = tmp_path
        config = TransferStabilityConfig(copies=2, step=180, num_trials=2)

        def trials(self, trainings: list[Training]) -> None:
            (name,) = {each.name for each in trainings}
            trained.append(name)
            raise KeyboardInterrupt

    def features_after(digest: str, data: Dataset) -> set[str]:
        backbone = Backbone("means", 8, lambda images: images[:, 0, 0], 0, digest)
        with pytest.raises(KeyboardInterrupt):
            pet_networks.transferred(Opened(), backbone, data, data.test[:2])
        return {path.name for path in tmp_path.glob("features-*")}

    first, *others = (
        features_after(*given)
        for given in (("a", data), ("a", data), ("b", data), ("a", dataclasses.replace(data, test=flipped)))
    )
    assert [len(first), *map(len, others)] == [1, 1, 2, 3]
    assert trained[0] == trained[1] and len(set(trained)) == 3
    copies = [np.load(path) for path in (tmp_path / first.pop()).glob("train_deformed_*.npy")]
    assert len(copies) == 4 and len({copy.tobytes() for copy in copies}) == 4


def test_measures_are_those_of_the_definitions() -> None:
    outputs = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.4, 0.6], [0.1, 0.9]]])  # [angles, images, classes]
    labels = np.array([0, 1])
    measured = transfer_stability.by_image([outputs, outputs[:1].repeat(2, axis=0)], labels)
    np.testing.assert_allclose(measured["error"], [[0.5, 0.5], [0, 1]])
    np.testing.assert_allclose(measured["transformation_variance"], [[0.09, 0.04], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(measured["transformation_difference"], [[0.6, 0.4], [0, 0]])
    accuracies = [0.5, 1.0]
    turned = pet_networks.Turned(8, 10, 5, accuracies, [outputs, outputs[:1].repeat(2, axis=0)])
    found = transfer_stability.summary(turned, measured, labels)
    assert found["error"]["values"] == [0.5, 0.5] and found["error_by_angle"] == [0.5, 0.5]
    assert found["class_changes"]["values"] == [1, 0]
    assert found["transformation_variance"]["values"] == pytest.approx([0.065, 0])
    assert found["test_accuracy"]["values"] == accuracies


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 100}, "step (=100) must divide 360 degrees"),
        ({"cnn_size": 5}, "cnn_size (=5) must be 0 or at least 6"),
        ({"cnn_size": 0, "backbones": " , "}, "backbones must name one at least"),
        ({"weights": "none,none"}, "weights (=none,none) must be one for all or one for each named backbone"),
        ({"preprocess": "vgg", "backbones": __file__}, "preprocess (=vgg) must be one of none, caffe, tf, torch"),
        ({"backbones": "MobileNetV3Small,MobileNetV3Small", "weights": "none"}, "must be of different names"),
        ({"backbones": "Nothing16"}, "Nothing16 must be a network of keras.applications"),
        ({"dataset": "MNIST"}, "dataset (=MNIST) must be one of cats_vs_dogs, CIFAR10"),
    ],
)
def test_bad_input_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        transfer_stability.load_backbones(TransferStabilityConfig(**settings))
    assert message in str(caught.value)


@pytest.mark.slow
def test_bad_flags_are_one_line(tmp_path: pathlib.Path) -> None:
    done = run("transfer_stability", "--max_turn=200", f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr) == (2, "error: max_turn (=200.0) must be in [0, 180].\n")
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named_before_anything_is_computed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "weirdonetworks.lab.records.page", raising=False)
    monkeypatch.delitem(sys.modules, "weirdonetworks.experiments.transfer_stability.study")
    monkeypatch.delattr("weirdonetworks.lab.records.page", raising=False)
    with pytest.raises(
        ImportError, match=r"^jinja2 is not installed, .*: pip install weirdonetworks\[experiments\]\.$"
    ):
        experiment.main(TransferStabilityConfig(), RunOptions(experiment_dir=str(tmp_path / "runs")))
    assert not list(tmp_path.iterdir())
