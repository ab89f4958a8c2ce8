"""Kills a node of a Ray cluster under a sweep: first one that only works, then the head; the same sweep goes on.

usage: python -m tests.faults.ray_sweep

Both nodes are on this machine. Prints what the sweep said and how what it left in the end differs from a sweep without
Ray, for each of the two.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

from tests import processes
from tests.faults import scenarios
from tests.faults.scenarios import RUNS, SCENARIOS, SHORT, WIDTHS, Scenario

EPOCHS = 300
SWEEP = dataclasses.replace(
    SCENARIOS["sweep"],
    flags=(
        "--grid=mask_sparsity=0.5,0.8",
        "--flags=" + " ".join((*SHORT, *WIDTHS, "--mask_type=random", f"--epochs={EPOCHS}")),
    ),
)


def sweep(scenario: Scenario, folder: pathlib.Path, *more: str) -> str:
    """Runs a sweep, and returns the last line that it said as an error."""
    folder.mkdir(exist_ok=True)
    module, *arguments = scenario.command()
    done = processes.run(module, *more, *arguments, folder=folder)
    return f"status {done.returncode}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ''}"


def cut(folder: pathlib.Path, kill: Callable[["object", "object"], None]) -> str:
    """Runs a sweep on a cluster, kills one of its nodes once a cell has a checkpoint; returns what the sweep said."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        worker = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            said = pool.submit(sweep, SWEEP, folder, f"--ray_address={cluster.address}")
            while len(list(folder.glob(f"{RUNS}/*/checkpoints/checkpoint"))) < 2 and not said.done():
                time.sleep(0.05)
            kill(cluster, worker)
            return said.result()
    finally:
        cluster.shutdown()


def main() -> int:
    """Kills the worker and the head; returns the status to exit with, 1 if anything differed."""
    os.environ.update(RAY_worker_niceness="0")
    processes.TIMEOUT, failed = 3600, 0
    base = pathlib.Path(tempfile.mkdtemp())
    scenarios.make_data(base / "data.npz")
    print(f"without Ray: {sweep(SWEEP, base / 'whole')}", flush=True)
    whole = scenarios.contents(base / "whole")
    for name in ("worker", "head"):
        folder = base / name

        def kill(cluster: "object", worker: "object", name: str = name) -> None:
            node = worker if name == "worker" else cluster.head_node  # type: ignore[attr-defined]
            cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]

        said = cut(folder, kill)
        print(f"{name} killed: {said}", flush=True)
        time.sleep(2.0)
        lengths = [len(path.read_text().splitlines()) for path in sorted(folder.glob(f"{RUNS}/*/metrics.jsonl"))]
        time.sleep(2.0)
        later = [len(path.read_text().splitlines()) for path in sorted(folder.glob(f"{RUNS}/*/metrics.jsonl"))]
        print(f"epochs then: {lengths}, two seconds later: {later}", flush=True)
        print(f"again without Ray: {sweep(SWEEP, folder)}", flush=True)
        found = scenarios.differences(whole, scenarios.contents(folder))
        print(f"{name}: {'; '.join(found) or 'equal'}", flush=True)
        own = "status 1: error: " + ("1 of 2 combinations failed" if name == "worker" else "ray_address (=")
        failed += bool(found) or lengths != later or not said.startswith(own)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
