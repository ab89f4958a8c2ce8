"""The sweep over a grid, as a process."""

import pathlib
import signal
import subprocess
import time

import pytest

from tests.drivers.processes import all_runs, command, read, run
from weight_symmetry import grid
from weirdonetworks.lab.errors import UsageError

FLAGS = "--flags=--examples=400 --validation_size=100 --epochs=1 --features=8"


def test_a_failed_cell_stops_no_other_and_what_is_finished_is_skipped(tmp_path: pathlib.Path) -> None:
    wanted = "--grid=mask_type=symmetric,nonsense;mask_sparsity=0.5,0.9"
    done = run("sweep", wanted, FLAGS, f"--experiment_dir={tmp_path}", "shuffled_mask")
    assert done.returncode == 1
    assert done.stderr == "error: 2 of 4 combinations failed; the same command tries them again.\n"
    assert done.stdout.count("mask_type (=nonsense) must be one of") == 2
    first = all_runs(tmp_path)
    assert sorted(read(path / "config.json")["mask_sparsity"] for path in first) == [0.5, 0.9]
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.jsonl")}
    wider = run(
        "sweep",
        "--grid=mask_type=symmetric;mask_sparsity=0.5,0.9,0.8",
        FLAGS,
        f"--experiment_dir={tmp_path}",
        "shuffled_mask",
    )
    assert wider.returncode == 0, wider.stderr
    assert "3 combinations: 2 finished before, 1 now" in wider.stdout
    assert len(all_runs(tmp_path)) == 3
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--grid=mask_type", "shuffled_mask"), "must be flag=value"),
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


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_sweep_ends_its_cells_and_goes_on_where_they_were(
    ending: signal.Signals, tmp_path: pathlib.Path
) -> None:
    flags = ("--flags=--examples=400 --validation_size=100 --epochs=300 --features=8", f"--experiment_dir={tmp_path}")
    wanted = ("sweep", "--grid=mask_sparsity=0.5", *flags, "shuffled_mask")
    child = subprocess.Popen(command(*wanted), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/checkpoints/checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(ending)
    child.communicate(timeout=60)
    assert child.returncode not in (0, None)
    lines = tmp_path.glob("*/metrics.jsonl")
    (finished,) = (len(path.read_text().splitlines()) for path in lines)
    assert 0 < finished < 300
    time.sleep(1.0)
    (later,) = (len(path.read_text().splitlines()) for path in tmp_path.glob("*/metrics.jsonl"))
    assert later == finished  # Nobody trains on behind the sweep's back.
    again = run(*wanted)
    assert again.returncode == 0, again.stderr
    (path,) = tmp_path.glob("*/metrics.jsonl")
    assert len(path.read_text().splitlines()) == 300
