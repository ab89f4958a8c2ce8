"""Runs a driver once for every combination of some flags' values.

usage: python -m weight_symmetry.sweep --grid=GRID [--flags='--flag=value ...'] DRIVER

    python -m weight_symmetry.sweep \\
        --grid='mask_type=symmetric,random,per-neuron;mask_sparsity=0.5,0.9,0.95;num_trials=8' shuffled_mask

What a sweep into the same folder has finished is skipped, what was cut off goes on from its checkpoint, and a
combination that fails is named at the end and stops no other. It ends with a table: for each combination the mean
accuracies of its trials.
"""

import concurrent.futures
import logging
import math
import os
import pathlib
import queue
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from weight_symmetry.run import grid, outcome
from weight_symmetry.run.config import ModelConfig, TrialOptions
from weirdonetworks import extras
from weirdonetworks.lab import flags, literals, machine
from weirdonetworks.lab.config import REQUIRED, Config, setting
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records.tables import counted

DRIVERS = ("train", "prune", "random_mask", "shuffled_mask", "fixed_param", "sparse_train")
RESERVED_FLAGS = {
    "experiment_dir": "pass it to the sweep itself, whose runs share one folder",
    "overwrite": "a sweep goes on with what is there; to run it anew, pass it another --experiment_dir",
}


class SweepConfig(Config):
    """Settings of a sweep: the driver, the grid of its flags, and where to run."""

    driver: str = setting(REQUIRED, "The driver to run.", choices=DRIVERS, positional=True)
    grid: str = setting(
        "", "Flags and their values: 'flag=value,value;flag=value,value'; a value with commas stands in brackets."
    )
    flags: str = setting("", "Flags of every run, as on a command line: '--epochs=5 --features=100,50'.")
    experiment_dir: str = setting("runs", "The folder of all runs.", path=True)
    processes: int | None = setting(
        None, "The number of concurrent runs, each on its share of the cores; default: one per core.", minimum=1
    )
    ray_address: str | None = setting(
        None, "The address of a Ray cluster to run on ('auto': the local one), one run per core, which share its GPUs."
    )


def main(config: SweepConfig) -> None:
    """Runs the sweep, and prints a table of its results and the failures."""
    cells = grid.cells(config.driver, config.grid, config.flags)
    _check_flags(config.driver, cells)
    folder = pathlib.Path(literals.text("experiment_dir", os.path.realpath(config.experiment_dir)))
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
            grid.write_result(folder, cell, result)
            if result.status:
                failed.append((cell, result))
            bar.update()
    records = grid.records(folder, cells)
    print(f"\n{outcome.format_combinations(cells, records)}\n")
    done = f"{len(before)} finished before, {len(waiting) - len(failed)} now"
    print(f"{counted(len(cells), 'combination')}: {done}: {folder}")
    if any(records):
        print(f"Plots and tables of all runs there: python -m weight_symmetry.report {shlex.quote(str(folder))}")
    for cell, result in failed:
        print(f"failed (status {result.status}): {cell}: {result.message}")
    if failed:
        raise OSError(f"{len(failed)} of {counted(len(cells), 'combination')} failed; the same command tries again.")


def _check_flags(driver: str, cells: Sequence[grid.Cell]) -> None:
    """Raises UsageError unless the driver has the flags of all cells; their values are not checked."""
    # These import NumPy, which takes a tenth of a second that --help need not wait for.
    from weight_symmetry.run import mask_config, prune_config, sparse_config

    config = {
        "train": ModelConfig,
        "prune": prune_config.PruneConfig,
        "random_mask": mask_config.RandomMaskConfig,
        "shuffled_mask": mask_config.ShuffledMaskConfig,
        "fixed_param": mask_config.FixedParamConfig,
        "sparse_train": sparse_config.SparseTrainConfig,
    }[driver]
    varying = dict.fromkeys(f"--{name}={value}" for cell in cells for name, value in cell.values)
    given = flags.check(driver, [*cells[0].shared, *varying], config, TrialOptions)
    for name in given & set(RESERVED_FLAGS):
        raise UsageError(f"{driver}: --{name} must not be a flag of a sweep's runs: {RESERVED_FLAGS[name]}.")


LOOKS_EVERY, LOOKS = 2, 3  # Seconds between looks at a cluster's head, and how many must miss it.
REACHED_WITHIN = 10  # Seconds for a cluster to answer, before it is taken to be out of reach.
Execute = Callable[[Sequence[grid.Cell], str], Iterator[tuple[grid.Cell, grid.Result]]]


def _on_this_machine(processes: int | None) -> Execute:
    """Runs cells in processes, each pinned to its share of the cores."""
    cores = machine.cores()
    count = min(processes or len(cores), len(cores))
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
            _reach(address)
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True, logging_level=logging.WARNING)
        except (OSError, RuntimeError, ValueError) as error:  # Ray's own text names its flags, not ours.
            raise OSError(
                f"ray_address (={address}) must be that of a running Ray cluster: start one by `ray start --head`, or "
                "leave --ray_address out to run on this machine."
            ) from error
        share = gpu_share([each["Resources"] for each in ray.nodes() if each["Alive"]])
        task: Any = ray.remote(num_cpus=1, num_gpus=share, max_retries=0)(grid.execute)
        waiting = {task.remote(cell, folder, os.getcwd()): cell for cell in cells}
        head = address if address.startswith("ray://") else ray.get_runtime_context().gcs_address
        unreached = 0
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOKS_EVERY)
            if not ended:
                unreached = 0 if _is_reached(head) else unreached + 1
                if unreached == LOOKS:  # Ray itself would end this process after a minute.
                    raise OSError(
                        f"ray_address (={address}): the head of the cluster, {head}, has ended or is out of reach. "
                        "What ran there ends, too; the same command goes on from it, on a new cluster or without."
                    )
                continue
            unreached = 0
            (ready,) = ended
            cell = waiting.pop(ready)
            try:
                yield cell, ray.get(ready)
            except ray.exceptions.RayError as error:  # A lost machine is one failed cell.
                yield cell, grid.Result(1, str(error).splitlines()[0], 0.0)

    return execute


def _is_reached(address: str) -> bool:
    try:
        _reach(address)
    except OSError:
        return False
    return True


def gpu_share(machines: Iterable[Mapping[str, float]]) -> float:
    """Returns the share of a GPU that a run asks of a Ray cluster, so that each core of a machine with GPUs has a run.

    >>> gpu_share([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}]), gpu_share([{"CPU": 64.0}])
    (0.125, 0)

    Args:
      machines: The resources of each machine, as Ray names them.

    Returns:
      At most 1, in steps of 0.0001, below which Ray does not divide; 0 for a cluster without GPUs.
    """
    shares = [each["GPU"] / each["CPU"] for each in machines if each.get("GPU") and each.get("CPU")]
    return min(1, math.floor(1e4 * min(shares)) / 1e4) if shares else 0


def _reach(address: str) -> None:
    """Raises OSError if nothing listens at an address `host:port`, to which Ray would connect again and again."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_WITHIN):
            pass


if __name__ == "__main__":
    flags.run(main, SweepConfig)
