"""Many trials in one process: one a core on a processor, all in one program on an accelerator."""

import concurrent.futures
import dataclasses
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from weight_symmetry import batched
from weight_symmetry.bench import Bench
from weight_symmetry.config import ModelConfig, TrialOptions
from weight_symmetry.plans import Plan
from weirdonetworks.lab import datasets, loop, machine, runs
from weirdonetworks.lab.training import Resident


def run(
    driver: str,
    configs: Sequence[ModelConfig],
    plans: Sequence[Plan],
    options: TrialOptions,
    data: datasets.Dataset,
    splits: Mapping[str, Resident],
) -> list[runs.Run]:
    """Runs trials of one architecture by the back end that `options` names.

    Each trial has the run, with the same records, that its configuration gives alone under the same execution.

    Returns:
      The finished runs, in the order of the configurations.
    """
    backend = options.trials_backend
    if backend == "auto":
        accelerated = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
        backend = "batched" if accelerated and batched.obstacle(configs[0]) is None else "threads"
    if backend == "batched":
        return batched.run(driver, configs, plans, options, data, splits)
    return _threads(driver, configs, plans, options, data, splits)


def _threads(
    driver: str,
    configs: Sequence[ModelConfig],
    plans: Sequence[Plan],
    options: TrialOptions,
    data: datasets.Dataset,
    splits: Mapping[str, Resident],
) -> list[runs.Run]:
    """Trains one model a core, each by functions of its own traced once, and takes the next trial when one ends."""
    # With one thread a model TensorFlow's own executor is the faster one; see `training.resolve_execution`.
    configs = [
        dataclasses.replace(config, execution="graph") if config.execution == "auto" else config for config in configs
    ]
    workers = min(len(configs), len(machine.cores()))
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(configs)):
        waiting.put(number)
    finished: dict[int, runs.Run] = {}
    stopped = threading.Event()
    with loop.progress(sum(config.epochs for config in configs)) as show:

        def after_epoch(epochs: int, record: Mapping[str, Any]) -> None:
            show(epochs, record)
            if stopped.is_set():
                raise KeyboardInterrupt

        def work(bench: Bench) -> None:
            while not stopped.is_set():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                config = configs[number]
                with bench.open(driver, config, options, must_exist=False) as opened:
                    if opened.is_finished:
                        show(config.epochs, {})
                    else:
                        bench.train(opened, config, plans[number], options, after_epoch)
                finished[number] = opened

        benches = [Bench(configs[0], data, splits) for _ in range(workers)]
        print(f"Training {len(configs)} trials of {benches[0]}, {workers} at a time: {options.experiment_dir}")
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(work, bench) for bench in benches]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            finally:
                stopped.set()
    return [finished[number] for number in range(len(configs))]
