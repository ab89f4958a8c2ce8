"""A sweep on a Ray cluster of two nodes, both on this machine, each with a GPU that is none."""

import pathlib
import socket
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests import processes
from tests.drivers.processes import all_runs, read, run
from tests.faults import scenarios
from weight_symmetry import sweep

# The path is relative to the sweep's working directory, which is not that of Ray's processes.
FLAGS = "--flags=--dataset=./data.npz --validation_size=10 --batch_size=10 --epochs=1 --features=8"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own warnings are not this project's.
def test_a_cluster_runs_the_same_cells(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Else other tests, running beside this one, starve it.
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1, num_gpus=1)
        cluster.wait_for_nodes()
        scenarios.make_data(tmp_path / "data.npz")
        wanted = ("--grid=mask_type=symmetric,nonsense;mask_sparsity=0.5,0.9", FLAGS, "shuffled_mask")
        where = (f"--ray_address={cluster.address}", f"--experiment_dir={tmp_path}")
        done = processes.run("weight_symmetry.sweep", *wanted, *where, folder=tmp_path)
    finally:
        cluster.shutdown()
    assert done.returncode == 1
    assert "2 of 4 combinations failed" in done.stderr
    assert sorted(read(path / "config.json")["mask_sparsity"] for path in all_runs(tmp_path)) == [0.5, 0.9]
    assert {entry["status"] for entry in read(tmp_path / "sweep.json").values()} == {0, 2}


def test_a_cluster_whose_head_is_gone_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    cells: Any = ("one cell", "another", "a third")
    looks = []
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"

        def wait(waiting: list[str], **_: Any) -> tuple[list[str], list[str]]:
            looks.append(len(waiting))
            if len(looks) == 3:  # Until then it is there, and only slow.
                head.close()
            return (waiting[:1], waiting[1:]) if len(looks) in (2, 4) else ([], waiting)

        asked: dict[str, Any] = {}
        ray = SimpleNamespace(
            init=lambda **_: None,
            remote=lambda **options: (
                lambda execute: asked.update(options) or SimpleNamespace(remote=lambda cell, *_: cell)
            ),
            nodes=lambda: [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}, {"Alive": False, "Resources": {}}],
            get_runtime_context=lambda: SimpleNamespace(gcs_address=address),
            wait=wait,
            get=lambda cell: f"the result of {cell}",
        )
        monkeypatch.setitem(sys.modules, "ray", ray)
        results = sweep._on_ray(address)(cells, "runs")
        assert next(results) == ("one cell", "the result of one cell")
        assert next(results) == ("another", "the result of another")
        assert (asked["num_cpus"], asked["num_gpus"]) == (1, 0.25)
        with pytest.raises(OSError, match=rf"ray_address \(={address}\): the head of the cluster, .* out of reach"):
            next(results)
    assert looks == [3, 3, 2, 2, *[1] * sweep.LOOKS]  # A cell that ends starts the count of looks anew.


def free_address() -> str:
    """An address at which nothing listens, so that connections are refused."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "nonsense", "free"])
def test_a_missing_cluster_is_told_in_our_own_flags(address: str, tmp_path: pathlib.Path) -> None:
    address = free_address() if address == "free" else address
    start = time.monotonic()
    done = run("sweep", "--grid=epochs=1", f"--ray_address={address}", f"--experiment_dir={tmp_path}", "train")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: ray_address (={address}) must be that of a running Ray cluster")
    assert "--address" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - start < 60  # Ray alone would go on for minutes.
