"""The experiments on the symmetry of the input: their plans, and each as a process on real data cut short."""

import itertools
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tests.drivers.processes import all_runs, only_run, read, records
from tests.experiments.processes import run
from weirdonetworks.algebra import image_rotations
from weirdonetworks.experiments.invariant_choice import study as invariant_choice
from weirdonetworks.experiments.monomial_subset import study as monomial_subset
from weirdonetworks.experiments.shared import digits
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.errors import UsageError

# Whole batches of the 275 images to train on: a short one would be traced beside them.
SHORT = ("--examples=300", "--batch_size=55", "--epochs=1", "--shrink=4", "--execution=graph")
FLAGS = {
    "polynomial_mnist": ("--parameters=3000", "--examined=50", "--step=90", "--unlike=letters"),
    "synchronous_mnist": ("--parameters=5000", "--examined=50", "--step=90", "--unlike=noise", "--turns=3"),
    "invariant_choice": ("--width=3", "--epochs=2"),
    "monomial_subset": ("--width=3", "--numbers=20,50"),
    "pooling_choice": ("--parameters=3000", "--num_trials=2", "--poolings=mean,sort"),
    "minimal_network": ("--targets=0.1,0.99", "--max_width=2"),
}


class Finished:
    """The studies that have been run so far, each once."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._done: dict[str, subprocess.CompletedProcess[str]] = {}

    def __call__(self, name: str) -> tuple[pathlib.Path, str]:
        """Returns a study's directory and what it printed."""
        folder = self._folder / name
        if name not in self._done:
            self._done[name] = run(name, *SHORT, *FLAGS[name], f"--experiment_dir={folder}")
        done = self._done[name]
        assert (done.returncode, done.stderr) == (0, "")
        return only_run(folder), done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def few_digits(request: pytest.FixtureRequest) -> Dataset:
    """The shared fixture under a name of its own: `digits` is the experiments' module here."""
    data: Dataset = request.getfixturevalue("digits")
    return data


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAGS)
def test_a_study_leaves_results_a_picture_and_its_trainings(name: str, finished: Finished) -> None:
    directory, printed = finished(name)
    assert read(directory / "results.json")
    assert (directory / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert str(directory) in printed
    trainings = all_runs(directory)
    assert len(trainings) >= 3
    assert set(read(directory / "summary.json")) == {training.name for training in trainings}
    for training in trainings:
        assert read(training / "status.json")["status"] == "finished"
        assert all(0 <= record["test_accuracy"] <= 1 for record in records(training))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["polynomial_mnist", "synchronous_mnist"])
def test_a_comparison_tells_symmetric_networks_from_others(name: str, finished: Finished) -> None:
    directory, printed = finished(name)
    found = read(directory / "results.json")
    assert found["angles"] == [0, 90, 180, 270]
    assert list(found["trained_on"]) == ["upright", "quarter turns", "any angle"]
    for networks in found["trained_on"].values():
        assert all(network in printed for network in networks)
        for network, each in networks.items():
            exact = network in ("invariant", "synchronous, 4 turns", "averaged, 4 turns")
            assert (each["invariance_error"]["mean"] < 1e-5) == exact, network
            assert (each["variance"]["digits"]["mean"] < 1e-10) == exact, network
            assert len(set(each["accuracy_by_angle"])) == 1 or not exact
            assert 1500 < each["parameters"] <= 5000


@pytest.mark.slow
def test_invariant_choice_follows_the_share_from_the_start(finished: Finished) -> None:
    directory, _ = finished("invariant_choice")
    found = read(directory / "results.json")
    assert list(found["networks"]) == ["upright", "turned", "augmented"]
    assert found["chance"]["degree 1, quarter turns, all pixels"] == pytest.approx(13 / 49)
    assert found["chance"]["degree 1, left and right, all pixels"] == pytest.approx(28 / 49)
    for network in found["networks"].values():
        assert set(network["accuracy"]) == {"upright", "turned"}
        assert set(network["shares"]) == set(found["chance"])
        for share in network["shares"].values():
            by_epoch = share["by_epoch"]
            assert len(by_epoch) == 3 and all(0 < each < 1 for each in by_epoch)
            assert by_epoch[0] != by_epoch[2] == pytest.approx(share["trained"]["mean"])
        for part in ("degree 2, quarter turns, all pixels", "degree 2, left and right, all pixels"):
            # Drawn at random, three outputs wide.
            assert abs(network["shares"][part]["by_epoch"][0] - found["chance"][part]) < 0.1
    (upright,) = (training for training in all_runs(directory) if training.name.startswith("upright"))
    shares = found["networks"]["upright"]["shares"]
    for epoch, record in enumerate(records(upright)):
        assert {part: record[part] for part in shares} == {part: shares[part]["by_epoch"][epoch] for part in shares}


def test_inked_pixels_leave_out_the_border(few_digits: Dataset) -> None:
    _, chance = invariant_choice.measure(few_digits, 1)
    assert list(chance) == [
        f"degree 1, {group}, {pixels} pixels"
        for group in ("quarter turns", "left and right")
        for pixels in ("all", "inked")
    ]
    assert chance["degree 1, quarter turns, all pixels"] == 0.25
    assert chance["degree 1, left and right, inked pixels"] == 0.5


def test_a_network_of_orbit_sums_is_invariant_and_not_under_the_control(few_digits: Dataset) -> None:
    from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialMLP

    shares, chance = invariant_choice.measure(few_digits, 1)
    network = PolynomialMLP([2, 3], 1)
    network(tf.zeros([1, 28, 28, 1]))
    orbits = image_rotations(28, 28).orbits()
    free = np.random.default_rng(0).normal(size=(len(orbits), 2))
    network.polynomial.set_coefficients(np.concatenate([np.zeros((1, 2)), free[orbits.labels]]))
    for part, share in shares(network).items():
        if "quarter" in part:
            assert share == pytest.approx(1.0, abs=1e-6)
        else:
            assert share < 0.75 and chance[part] < 0.75


@pytest.mark.slow
def test_monomial_subset_counts_what_it_chose(finished: Finished) -> None:
    subsets = read(finished("monomial_subset")[0] / "results.json")["subsets"]
    products = 49 * 48 // 2
    orbits = (products + 24) // 4  # Burnside: a half turn keeps the 24 pairs of opposite pixels, a quarter turn none.
    assert [(each["choice"], each["number"]) for each in subsets] == [
        ("none", 0),
        *itertools.product(("random", "local", "representatives"), (20, 50)),
        ("representatives", orbits),
        ("all", products),
    ]
    rest = 3 * 64 + 64 + 64 * 10 + 10
    assert [each["parameters"] for each in subsets] == [3 * (98 + each["number"] + 1) + rest for each in subsets]


@pytest.mark.slow
def test_pooling_choice_tries_each_pooling_at_both_positions(finished: Finished) -> None:
    networks = read(finished("pooling_choice")[0] / "results.json")["networks"]
    tried = {(each["pooling"], each["position"]) for each in networks}
    assert tried == set(itertools.product(("mean", "sort"), ("inside", "first"))) and len(networks) == 4
    assert max(each["invariance_error"]["mean"] for each in networks) < 1e-4  # `polynomial_mnist` has the control.
    assert all(len(each["test_accuracy"]["values"]) == 2 for each in networks)


@pytest.mark.slow
def test_minimal_network_gives_up_at_the_limit(finished: Finished) -> None:
    directory, printed = finished("minimal_network")
    networks = read(directory / "results.json")["networks"]
    assert [(each["kind"], each["target"]) for each in networks] == list(itertools.product(digits.KINDS, (0.1, 0.99)))
    assert all(each["width"] is None for each in networks if each["target"] == 0.99)
    assert "at most" in printed


@pytest.mark.slow
def test_minimal_network_finds_a_width(finished: Finished) -> None:
    networks = read(finished("minimal_network")[0] / "results.json")["networks"]
    found = [each for each in networks if each["width"]]
    assert found, "no network reached 10%"
    assert all(each["validation_accuracy"]["mean"] >= each["target"] for each in found)


@pytest.mark.parametrize("width", range(1, 33))
def test_least_finds_the_first_width_of_a_rising_accuracy(width: int) -> None:
    tried = []

    def reached(at: int) -> float:
        tried.append(at)
        return float(at >= width)

    assert digits.least(lambda at: reached(at) >= 1.0, limit=32) == width
    assert len(tried) <= 11


def test_local_products_come_nearest_first() -> None:
    ranked = monomial_subset.rank("local", 5, 2, seed=0)
    rows, columns = np.divmod(np.array(ranked), 5)
    spans = np.maximum(np.ptp(rows, axis=1), np.ptp(columns, axis=1)).tolist()
    assert spans == sorted(spans) and spans[0] == 1 and spans[-1] == 4
    assert len(set(ranked)) == len(ranked) == 25 * 24 // 2


def test_representatives_are_one_of_each_orbit() -> None:
    group = image_rotations(5, 5)
    ranked = monomial_subset.rank("representatives", 5, 2, seed=0)
    images = [{tuple(sorted(element[list(row)])) for element in group.elements()} for row in ranked]
    assert len(set.union(*images)) == sum(map(len, images)) == 25 * 24 // 2


def test_seeds_shuffle_monomials() -> None:
    one, same, other = (monomial_subset.rank("random", 4, 2, seed) for seed in (0, 0, 1))
    assert one == same != other and sorted(one) == sorted(other)


@pytest.mark.slow
def test_bad_input_is_one_line(tmp_path: pathlib.Path) -> None:
    folder = f"--experiment_dir={tmp_path}"
    for name, flag, status, words in (
        ("polynomial_mnist", "--shrink=3", 2, "shrink (=3) must divide"),
        ("polynomial_mnist", "--step=100", 2, "step (=100) must divide 360"),
        ("pooling_choice", "--turn=400", 2, "turn (=400) must be in [1, 360]"),
        ("minimal_network", "--validation_size=0", 2, "validation_size (=0) must be at least 1"),
        ("synchronous_mnist", "--parameters=10", 2, "parameters (=10) must be at least"),
        ("pooling_choice", "--poolings=mean,median", 2, "poolings: median must be one of mean, sum"),
        ("monomial_subset", "--numbers=0", 2, "numbers (=0) must be at least 1"),
    ):
        done = run(name, flag, "--examples=300", folder)
        assert done.returncode == status and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not all_runs(tmp_path)


def test_widest_is_the_last_that_fits() -> None:
    assert digits.widest(lambda width: 7 * width + 3, budget=73) == 10
    with pytest.raises(UsageError, match="at least 10"):
        digits.widest(lambda width: 7 * width + 3, budget=9)
