"""The sweep over a grid, as a process."""

import pathlib
import re
import signal
import time

import pytest

from tests.drivers.processes import all_runs, read, run, start
from weight_symmetry.run import grid
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.mask_config import ShuffledMaskConfig
from weirdonetworks.lab import flags
from weirdonetworks.lab.errors import UsageError

FLAGS = "--flags=--examples=400 --validation_size=100 --batch_size=100 --epochs=1 --features=8"


@pytest.mark.slow
def test_a_failed_cell_stops_no_other_and_what_is_finished_is_skipped(tmp_path: pathlib.Path) -> None:
    wanted, folder = "--grid=mask_type=nonsense,symmetric;mask_sparsity=0.9", tmp_path / "shuffled_mask-0123456789"
    done = run("sweep", wanted, FLAGS, f"--experiment_dir={folder}", "shuffled_mask")
    assert done.returncode == 1
    assert done.stderr == "error: 1 of 2 combinations failed; the same command tries again.\n"
    header, *rows = done.stdout.strip().splitlines()[:3]
    assert re.split("  +", header) == [
        *("mask_type", "mask_sparsity", "trials", "test at end", "deviation", "validation", "sparsity")
    ]
    assert [row.split()[:3] for row in rows] == [
        ["nonsense", "0.9", "-"],
        ["symmetric", "0.9", "1"],
    ]
    assert [row.split()[3].endswith("%") for row in rows] == [False, True]
    assert f"python -m weight_symmetry.report {folder}\n" in done.stdout
    assert done.stdout.count("mask_type (=nonsense) must be one of") == 1
    assert [read(path / "config.json")["mask_sparsity"] for path in all_runs(folder)] == [0.9]
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/metrics.jsonl")}
    wider = run(
        "sweep",
        "--grid=mask_type=symmetric;mask_sparsity=0.9,0.8",
        FLAGS,
        f"--experiment_dir={folder}",
        "shuffled_mask",
    )
    assert wider.returncode == 0, wider.stderr
    assert "2 combinations: 1 finished before, 1 now" in wider.stdout
    ids = [name for entry in read(folder / "sweep.json").values() for name in entry["runs"]]
    assert (
        sorted(ids) == sorted(path.name for path in all_runs(folder)) and len(ids) == 2
    )  # No part of the folder's name.
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("shuffled_mask",), "grid must name at least one flag and its values, such as --grid="),
        (("--grid= ", "shuffled_mask"), "grid must name at least one flag and its values, such as --grid="),
        (("--grid=mask_type", "shuffled_mask"), "must be flag=value"),
        (("--grid=epochs=1,2,1", "train"), "must list each value once, and lists epochs=1 twice."),
        (("--grid=maks_type=random", "shuffled_mask"), "shuffled_mask: Unknown command line flag 'maks_type'"),
        (("--grid=mask_type=random", "train"), "train: Unknown command line flag 'mask_type'"),
        (("--grid=epochs=1", "--flags=--wrong=1", "train"), "train: Unknown command line flag 'wrong'"),
        (("--grid=epochs=1", "--flags=lr=1", "train"), "train: unexpected argument 'lr=1'; flags are written --name="),
        (
            ("--grid=epochs=1", "--flags=--lr='1", "train"),
            "must be written as on a command line: No closing quotation.",
        ),
        (("--grid=epochs=1,two", "train"), "train: flag --epochs=two: invalid literal"),
        (("--grid=experiment-dir=a,b", "train"), "train: --experiment_dir must not be a flag of a sweep's runs: pass"),
        (("--grid=epochs=1", "--flags=--overwrite", "train"), "train: --overwrite must not be a flag of a sweep's"),
        (("--grid=epochs=1", "--processes=0", "train"), "processes (=0) must be at least 1."),
        (("--grid=epochs=1", "--processes=-2", "train"), "processes (=-2) must be at least 1."),
        (("--grid=a=1;a=2", "shuffled_mask"), "must name each flag once"),
        (("--grid=epochs=1",), "DRIVER is missing"),
        (("--grid=epochs=1", "nonsense"), "driver (=nonsense) must be one of train, prune"),
    ],
)
def test_bad_grids_are_one_clear_line(flags: tuple[str, ...], message: str, tmp_path: pathlib.Path) -> None:
    done = run("sweep", *flags, f"--experiment_dir={tmp_path}/runs")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()  # Nothing has run.


def test_every_flag_of_a_driver_can_vary() -> None:
    varying = "mask-type=random,symmetric;--lr=0.1,0.2;dump_json=true,false;verbosity=0,1"
    given = flags.check(
        "shuffled_mask",
        [flag for cell in grid.cells("shuffled_mask", varying, "--wd 0.1") for flag in cell.flags],
        ShuffledMaskConfig,
        TrialOptions,
    )
    assert {"mask_type", "learning_rate", "dump_json", "verbosity", "weight_decay"} <= given
    assert "experiment_dir" not in given


def test_the_grid_is_the_product_in_order() -> None:
    cells = grid.cells("prune", "sparsity=0.5,0.9;epochs=1,2", "--lr=0.1")
    assert [cell.flags for cell in cells] == [
        ("--lr=0.1", "--sparsity=0.5", "--epochs=1"),
        ("--lr=0.1", "--sparsity=0.5", "--epochs=2"),
        ("--lr=0.1", "--sparsity=0.9", "--epochs=1"),
        ("--lr=0.1", "--sparsity=0.9", "--epochs=2"),
    ]
    with pytest.raises(UsageError, match="semicolons"):
        grid.cells("prune", "sparsity=0.5;;epochs=1")


@pytest.mark.slow
def test_an_ended_sweep_ends_its_cells_and_goes_on_where_they_were(tmp_path: pathlib.Path) -> None:
    flags = ("--flags=--examples=400 --validation_size=100 --batch_size=100 --epochs=150 --features=8",)
    wanted = ("sweep", "--grid=mask_sparsity=0.5", *flags, f"--experiment_dir={tmp_path}", "shuffled_mask")
    before = 0
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        child, deadline = start(*wanted), time.monotonic() + 120
        while epochs(tmp_path) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send(ending)
        assert child.end().returncode != 0
        time.sleep(0.5)  # SIGKILL leaves the cells to the system.
        finished = epochs(tmp_path)
        assert before < finished < 150
        time.sleep(1.0)
        assert epochs(tmp_path) == finished  # Nobody trains on behind the sweep's back.
        before = finished
    again = run(*wanted)
    assert again.returncode == 0, again.stderr
    assert epochs(tmp_path) == 150


def epochs(folder: pathlib.Path) -> int:
    """The number of epochs that the one run in a folder has finished."""
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*/metrics.jsonl"))
