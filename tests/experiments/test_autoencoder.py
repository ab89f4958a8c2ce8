"""The autoencoder's experiment, as a process on real data cut short."""

import os
import pathlib
import subprocess

import pytest

from tests.drivers.processes import only_run, read, records
from tests.experiments.processes import command, run, shown_again

SHORT = ("--examples=120", "--epochs=1", "--batch_size=50", "--code_size=8")
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


@pytest.mark.slow
def test_without_scikit_learn_there_is_one_clear_line_and_no_training(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ImportError('no such thing')\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command("autoencoder", *SHORT, f"--experiment_dir={tmp_path}/runs"),
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "scikit-learn is not installed" in done.stderr and "pip install weirdonetworks[experiments]" in done.stderr
    assert not list((tmp_path / "runs").glob("autoencoder-*"))
