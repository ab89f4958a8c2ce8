"""Trials in threads, one a core: the fastest way on a processor."""

import concurrent.futures
import dataclasses
import queue
import threading
from collections.abc import Mapping
from typing import Any

from weight_symmetry.bench import Bench
from weight_symmetry.trials import Trials
from weirdonetworks.lab import machine
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.training import loop


def run(trials: Trials) -> list[runs.Run]:
    """Trains one model a core, each by functions of its own traced once, and takes the next trial when one ends.

    Returns:
      The finished runs, by number.
    """
    # With one thread a model TensorFlow's own executor is the faster one; see `trainer.resolve_execution`.
    trials = dataclasses.replace(
        trials,
        configs=[
            dataclasses.replace(config, execution="graph") if config.execution == "auto" else config
            for config in trials.configs
        ],
    )
    workers = min(len(trials), len(machine.cores()))
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(trials)):
        waiting.put(number)
    finished: dict[int, runs.Run] = {}
    stopped = threading.Event()
    with loop.progress(sum(config.epochs for config in trials.configs)) as show:

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
                with trials.open(bench, number) as opened:
                    if opened.is_finished:
                        show(trials.configs[number].epochs, {})
                    else:
                        trials.train(bench, opened, number, after_epoch)
                finished[number] = opened

        benches = [trials.bench() for _ in range(workers)]
        where = trials.options.experiment_dir
        print(f"Training {len(trials)} trials of {benches[0]}, {workers} at a time: {where}")
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(work, bench) for bench in benches]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            finally:
                stopped.set()
    return [finished[number] for number in range(len(trials))]
