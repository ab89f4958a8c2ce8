"""The experiment with many activation functions: its plan, and as a process on real data cut short."""

import pathlib
import subprocess

import pytest
import tensorflow as tf

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.all_activations.study import matching_sizes, parameters
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.state import count_parameters
from weirdonetworks.nets.small.activation_mlp import ACTIVATIONS, AllActivations

NAMES = ("relu", "convolution_4")
SHORT = (
    "--examples=500",
    "--batch_size=51",  # Whole batches: a short one would be traced beside them.
    "--epochs=2",
    "--units=16",
    "--execution=graph",
    f"--activations={','.join(NAMES)}",
)
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("all_activations", *SHORT, f"--experiment_dir={folder}")


@pytest.mark.slow
def test_it_leaves_results_and_a_picture(finished: Done) -> None:
    folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    study = only_run(folder)
    found = read(study / "results.json")
    networks = ["all_concat", "all_sum", *NAMES]
    assert list(found["test_accuracy"]) == networks
    assert all(name in done.stdout for name in networks)
    assert all(0 <= spread["mean"] <= 1 for spread in found["test_accuracy"].values())
    assert set(found["without"]["concat"]) == set(found["without"]["sum"]) == set(NAMES)
    assert (study / "all_activations.png").read_bytes().startswith(b"\x89PNG")
    assert len(all_runs(study)) == len(networks)


@pytest.mark.slow
def test_the_weights_given_are_in_the_records_of_each_epoch(finished: Done) -> None:
    study = only_run(finished[0])
    found = read(study / "results.json")["weights"]
    (gated,) = (directory for directory in all_runs(study) if directory.name.startswith("all_sum"))
    for record, weights in zip(records(gated), found["sum"], strict=False):
        assert {key: record[f"weight/{key}"] for key in weights} == weights
    # At the start all gates are equal; two epochs later they are not.
    assert len(found["sum"]) == 3
    assert set(found["sum"][0].values()) == {0.5}
    assert 0.5 not in found["sum"][-1].values()


@pytest.mark.slow
def test_a_finished_study_trains_nothing(finished: Done) -> None:
    folder, _ = finished
    assert "convolution_4" in shown_again("all_activations", folder, *SHORT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--units=12", "units (=12) must be divisible by 8"),
        ("--activations=relu,tanh", "activations (=tanh) must be among identity, relu"),
    ],
)
def test_bad_input_is_one_clear_line(flag: str, message: str, tmp_path: pathlib.Path) -> None:
    done = run("all_activations", *SHORT, flag, f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("units", [16, 64, 128])
def test_all_networks_have_as_many_weights_up_to_one_percent(units: int) -> None:
    def count(sizes: tuple[int, int], names: tuple[str, ...], reduce: str) -> int:
        network = AllActivations(sizes, 10, names, reduce)
        network(tf.zeros([1, 784]))
        return count_parameters(network)

    both = (units, units)
    matching = matching_sizes(parameters(784, both, 10, len(ACTIVATIONS)), 784, 10)
    wanted = count(both, tuple(ACTIVATIONS), "concat")
    assert count(matching, tuple(ACTIVATIONS), "sum") == pytest.approx(wanted, rel=0.01)
    for name in ACTIVATIONS:
        assert count(matching, (name,), "concat") == pytest.approx(wanted, rel=0.01)
    assert count(both, ("relu",), "concat") != pytest.approx(wanted, rel=0.01)


def test_sizes_that_cannot_match_are_refused() -> None:
    with pytest.raises(UsageError, match="has 100 weights: raise --units"):
        matching_sizes(100, 784, 10)
