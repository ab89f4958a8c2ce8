"""The autoencoder's experiment, as a process on real data cut short."""

import pathlib
import subprocess
import sys

import pytest

from tests.drivers.processes import only_run, read, records
from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.autoencoder import AutoencoderConfig
from weirdonetworks.lab import experiment
from weirdonetworks.lab.config import RunOptions

SHORT = ("--examples=120", "--epochs=1", "--batch_size=55", "--code_size=8")
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("autoencoder", *SHORT, f"--experiment_dir={folder}")


@pytest.mark.slow
def test_it_leaves_results_and_a_picture(finished: Done) -> None:
    folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    study = only_run(folder)
    codes = read(study / "results.json")["codes"]
    assert [code["numbers"] for code in codes.values()] == [8, 8, 784]
    (training,) = study.glob("autoencoder-*")
    assert codes["autoencoder"]["test_error"]["mean"] == records(training)[-1]["test_avg_loss"]
    assert 0 < codes["principal components"]["test_error"]["mean"] < codes["autoencoder"]["test_error"]["mean"]
    assert codes["pixels"]["test_error"]["mean"] == 0
    assert all(0.2 < code["neighbours"]["mean"] < 1 for code in codes.values())
    assert f"{codes['pixels']['neighbours']['mean']:.2%}" in done.stdout
    assert (study / "autoencoder.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_finished_study_trains_nothing(finished: Done) -> None:
    folder, _ = finished
    shown_again("autoencoder", folder, *SHORT)


@pytest.mark.slow
def test_a_few_images_are_too_few(tmp_path: pathlib.Path) -> None:
    done = run("autoencoder", "--examples=99", f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr) == (2, "error: examples (=99) must be at least 100.\n")


def test_without_scikit_learn_there_is_one_clear_line_and_no_training(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # As if it were not installed.
    config = AutoencoderConfig(examples=120, epochs=1, batch_size=55, code_size=8)
    with pytest.raises(ImportError, match="scikit-learn is not installed") as caught:
        experiment.main(config, RunOptions(experiment_dir=str(tmp_path / "runs")))
    assert "pip install weirdonetworks[experiments]" in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "runs").glob("autoencoder-*"))
