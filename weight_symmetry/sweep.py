"""Runs a driver once for every combination of some flags' values.

usage: python -m weight_symmetry.sweep --grid=GRID [--flags='--flag=value ...'] DRIVER

    python -m weight_symmetry.sweep \\
        --grid='mask_type=symmetric,random,per-neuron;mask_sparsity=0.5,0.9,0.95;num_trials=8' shuffled_mask

What a sweep into the same folder has finished is skipped, what was cut off goes on from its checkpoint, and a
combination that fails is named at the end and stops no other.
"""

import concurrent.futures
import dataclasses
import pathlib
import queue
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from weight_symmetry import grid
from weirdonetworks import extras
from weirdonetworks.lab import flags, machine
from weirdonetworks.lab.config import REQUIRED, Config, setting
from weirdonetworks.lab.errors import UsageError

DRIVERS = ("train", "prune", "random_mask", "shuffled_mask", "fixed_param")


@dataclasses.dataclass(frozen=True)
class SweepConfig(Config):
    """What to run, and where."""

    driver: str = setting(REQUIRED, "The driver to run.", choices=DRIVERS, positional=True)
    grid: str = setting(
        "", "Flags and their values: 'flag=value,value;flag=value,value'; brackets hold commas together."
    )
    flags: str = setting("", "Flags of every run, as on a command line: '--epochs=5 --features=100,50'.")
    experiment_dir: str = setting("runs", "The folder of all runs.")
    processes: int | None = setting(None, "Runs side by side, each on its share of the cores; none for one a core.")
    ray_address: str | None = setting(None, "Run on this Ray cluster ('auto' for the one here), one run a core.")


def main(config: SweepConfig) -> None:
    """Runs the sweep, and prints what became of it."""
    cells = grid.cells(config.driver, config.grid, config.flags)
    folder = pathlib.Path(config.experiment_dir).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"experiment_dir (={folder}) cannot be written: {error.strerror}.") from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that the cells' processes are ended too.
    before = grid.finished(folder, cells)
    waiting = [cell for cell in cells if cell not in before]
    execute = _on_ray(config.ray_address) if config.ray_address else _on_this_machine(config.processes)
    failed: list[tuple[grid.Cell, grid.Result]] = []
    with tqdm(total=len(cells), initial=len(before), desc="sweep", unit="run", disable=None) as bar:
        for cell, result in execute(waiting, str(folder)):
            grid.enter(folder, cell, result)
            if result.status:
                failed.append((cell, result))
            bar.update()
    print(f"{len(cells)} combinations: {len(before)} finished before, {len(waiting) - len(failed)} now: {folder}")
    for cell, result in failed:
        print(f"failed (status {result.status}): {cell}: {result.message}")
    if failed:
        raise OSError(f"{len(failed)} of {len(cells)} combinations failed; the same command tries them again.")


Execute = Callable[[Sequence[grid.Cell], str], Iterator[tuple[grid.Cell, grid.Result]]]


def _on_this_machine(processes: int | None) -> Execute:
    """Runs cells in processes, each kept to its share of the cores: models of one thread do not disturb each other."""
    cores = machine.cores()
    count = min(processes or len(cores), len(cores))
    if processes is not None and processes < 1:
        raise UsageError(f"processes (={processes}) must be at least 1.")
    shares: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    for start in range(count):
        shares.put(cores[start::count])

    def run(cell: grid.Cell, folder: str) -> grid.Result:
        share = shares.get()
        try:
            machine.keep_to(share)
            return grid.execute(cell, folder)
        finally:
            shares.put(share)

    def execute(cells: Sequence[grid.Cell], folder: str) -> Iterator[tuple[grid.Cell, grid.Result]]:
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            futures = {pool.submit(run, cell, folder): cell for cell in cells}
            try:
                for future in concurrent.futures.as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                grid.end_all()

    return execute


def _on_ray(address: str) -> Execute:
    """Runs cells as tasks of a Ray cluster; its machines must share the experiment's folder."""
    with extras.needed("sweep", "--ray_address needs it", "ray"):
        import ray

    def execute(cells: Sequence[grid.Cell], folder: str) -> Iterator[tuple[grid.Cell, grid.Result]]:
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, ValueError) as error:  # Ray's own text names its flags, not ours.
            raise OSError(
                f"ray_address (={address}) must be that of a running Ray cluster: start one by `ray start --head`, or "
                "leave --ray_address out to run on this machine."
            ) from error
        task: Any = ray.remote(num_cpus=1, max_retries=0)(grid.execute)
        waiting = {task.remote(cell, folder): cell for cell in cells}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(ready)
            try:
                yield cell, ray.get(ready)
            except ray.exceptions.RayError as error:  # A lost machine is one failed cell.
                yield cell, grid.Result(1, str(error).splitlines()[0], 0.0)

    return execute


if __name__ == "__main__":
    flags.run(main, SweepConfig)
