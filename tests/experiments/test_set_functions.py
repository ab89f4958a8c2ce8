"""The experiment on functions of sets: its networks, and the command as a process on real data cut short."""

import pathlib
import subprocess
import time

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.drivers.processes import all_runs, only_run, read
from tests.experiments.processes import run, shown_again
from weirdonetworks.experiments.set_functions import study as set_functions
from weirdonetworks.experiments.shared import set_networks
from weirdonetworks.lab.data import set_tasks
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.measure.precision import in_dtype

SHORT = (
    "--examples=300",
    "--sets=150",
    "--batch_size=50",  # Whole batches: a short one would be traced beside them.
    "--epochs=1",
    "--examined=5",
    "--points=60",
    "--parameters=2000",
    "--execution=graph",
    "--tasks=median,points",
    "--networks=plain,deep_sets,relation",
    "--widths=1,2",
    "--sizes=60,4",
)
VARIANT = {"plain", "symmetrized_sampled", "symmetrized_adjacent"}
Done = tuple[pathlib.Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run("set_functions", *SHORT, f"--experiment_dir={folder}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("network", ["plain", "relation", "set_transformer"])
@pytest.mark.parametrize("name", ["median", "points"])
def test_the_width_is_the_greatest_within_the_budget(name: str, network: str, digits: Dataset) -> None:
    asked, counts = task(name, digits), []
    width = set_functions._widest(network, asked, budget=3000)
    for each in (width, width + 1):
        made = set_networks.make(network, each, asked)
        made(tf.constant(asked.test.images))
        counts.append(sum(variable.shape.num_elements() for variable in made.trainable_variables))
    assert counts[0] <= 3000 < counts[1]


def task(name: str, digits: Dataset) -> set_tasks.Task:
    return set_tasks.make(name, digits, sets=20, items=4, points=30, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("network", set_networks.MAKERS)
@pytest.mark.parametrize("name", ["median", "points"])
def test_order_matters_to_the_networks_without_the_law_alone(name: str, network: str, digits: Dataset) -> None:
    asked = task(name, digits)
    if set_networks.left_out(network, asked):
        assert network == "symmetrized_exact" and name == "points"
        return
    made = set_networks.make(network, 8, asked)  # So wide that no output is 0 throughout.
    assert made(tf.constant(asked.test.images)).shape == (4, asked.outputs)
    made, sets = in_dtype(made, tf.float64), asked.test.images[:2].astype(np.float64)
    order = np.random.default_rng(0).permutation(asked.items)
    outputs, others = (made(tf.constant(each)).numpy() for each in (sets, sets[:, order]))
    error = np.abs(outputs - others).max() / np.abs(outputs).max()
    assert error > 1e-4 if network in VARIANT else error < 1e-12


@pytest.mark.parametrize(
    "network",
    sorted(
        set(set_networks.MAKERS) - {"plain"} - {name for name in set_networks.MAKERS if name.startswith("symmetrized")}
    ),
)
@pytest.mark.slow
def test_absent_points_count_for_nothing(network: str, digits: Dataset) -> None:
    asked = task("points", digits)
    made = set_networks.make(network, 12, asked)  # Of three units, some draws leave none that any set activates.
    sets = asked.test.images[:2].copy()
    sets[:, 20:, 2] = 0
    outputs = made(tf.constant(sets)).numpy()
    sets[:, 20:, :2] = 7
    np.testing.assert_array_equal(made(tf.constant(sets)), outputs)
    sets[:, 20:, 2] = 1
    assert np.abs(made(tf.constant(sets)) - outputs).max() > 1e-6


def test_large_sets_are_left_out_with_a_reason(digits: Dataset) -> None:
    large = set_tasks.make("points", digits, sets=20, items=4, points=200, seed=0)
    reasons = {name: set_networks.left_out(name, large) for name in set_networks.MAKERS}
    given = {name for name, reason in reasons.items() if reason}
    assert given == {"symmetrized_exact", "symmetrized_adjacent", "relation"}
    assert reasons["relation"] == "a set of 200 items has 40,000 pairs"


@pytest.mark.slow
def test_a_step_is_timed_warm_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, ran = [], []

    class Slow(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable([[1.0]] * set_networks.FEATURES)

        def __call__(self, sets: tf.Tensor) -> tf.Tensor:
            traced.append(sets)
            return tf.matmul(tf.numpy_function(self.delayed, [sets], tf.float32), self.weight)

        def delayed(self, sets: np.ndarray) -> np.ndarray:
            ran.append(sets.shape)
            time.sleep(0.5 if len(ran) <= 1 + set_networks.WARM_UP else 0.02)
            return sets.mean(axis=1)

    monkeypatch.setattr(set_networks, "REPETITIONS", 3)
    monkeypatch.setitem(set_networks.MAKERS, "slow", lambda width, task: Slow())
    milliseconds = set_networks.step_milliseconds("slow", 1, set_networks.random_task(7, seed=0))
    assert 20 <= milliseconds < 400
    assert len(traced) == 2  # To make the variables, and to compile.
    assert ran == [(set_networks.BATCH, 7, set_networks.FEATURES)] * (1 + set_networks.WARM_UP + 3)


@pytest.mark.slow
def test_times_have_a_panel_for_the_networks_of_each_first_word() -> None:
    cell = {"width": 3, "sizes": {"10": {"milliseconds": 1.0}, "30": {"left_out": "of the test"}}}
    names = ["plain", "set_attention", "set_transformer", "relation"]
    figure = set_functions.draw_times({"times": dict.fromkeys(names, cell)})
    labels = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert [sorted(each) for each in labels] == [["plain", "relation"], ["set attention", "set transformer"]]
    assert [[line.get_xydata().tolist() for line in axes.lines] for axes in figure.axes] == [4 * [[[10.0, 1.0]]]] * 2
    cell["sizes"].pop("10")
    assert not any(axes.lines for axes in set_functions.draw_times({"times": dict.fromkeys(names, cell)}).axes)


@pytest.mark.slow
def test_it_leaves_results_and_a_picture(finished: Done) -> None:
    folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    study = only_run(folder)
    found = read(study / "results.json")
    assert list(found["tasks"]) == ["median", "points"] and list(found["widths"]) == ["median"]
    assert {pooling: list(each) for pooling, each in found["widths"]["median"].items()} == {
        "mean": ["1", "2"],
        "max": ["1", "2"],
    }
    for networks in found["tasks"].values():
        assert list(networks) == ["plain", "deep_sets", "relation"]
        for each in networks.values():
            assert "left_out" in each or 1000 < each["parameters"] <= 2000
        assert networks["plain"]["invariance_error"]["mean"] > 1e-3
        assert networks["deep_sets"]["invariance_error"]["mean"] < 1e-12
    times = found["times"]
    assert list(times) == ["plain", "deep_sets", "relation"]
    for each in times.values():
        assert list(each["sizes"]) == ["4", "60"] and each["width"] > 1
        assert each["sizes"]["4"]["milliseconds"] > 0
    assert times["deep_sets"]["sizes"]["60"]["milliseconds"] > 0
    assert times["relation"]["sizes"]["60"] == {"left_out": "a set of 60 items has 3,600 pairs"}
    assert "- 60 items, relation: left out, as a set of 60 items has 3,600 pairs." in done.stdout
    assert "- points, relation: left out, as a set of 60 items has 3,600 pairs." in done.stdout
    assert len(all_runs(study)) == 3 + 2 + 4
    for name in ("set_functions", "set_functions_widths", "set_functions_times"):
        assert (study / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_finished_study_trains_nothing(finished: Done) -> None:
    folder, _ = finished
    shown_again("set_functions", folder, *SHORT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--tasks=minimum", "tasks: minimum must be one of maximum, median"),
        ("--networks=lstm", "networks: lstm must be one of plain, equivariant_linear"),
        ("--sizes=10,1", "sizes (=1) must be at least 2"),
        ("--items=1", "items (=1) must be at least 2"),
    ],
)
def test_bad_input_is_one_clear_line(flag: str, words: str, tmp_path: pathlib.Path) -> None:
    done = run("set_functions", flag, "--examples=300", f"--experiment_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr


@pytest.mark.slow
def test_images_are_loaded_for_tasks_of_images_alone(tmp_path: pathlib.Path) -> None:
    quick = (
        "--sets=150",
        "--batch_size=50",
        "--epochs=1",
        "--networks=deep_sets",
        "--widths=",
        "--sizes=",
        "--execution=graph",
    )
    nowhere = ("--dataset=CIFAR10", f"--data_dir={tmp_path}/none", f"--experiment_dir={tmp_path}/runs")
    done = run("set_functions", "--tasks=median", *quick, *nowhere)
    assert (done.returncode, done.stderr) == (0, "") and "median" in done.stdout
    done = run("set_functions", "--tasks=median,points", *quick, *nowhere)
    assert done.returncode == 1 and "CIFAR10" in done.stderr
