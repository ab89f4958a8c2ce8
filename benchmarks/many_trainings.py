"""Resource leaks: memory, threads and open files that remain after each of many trainings in one process.

    python -m benchmarks.many_trainings --trainings=30 --json=many_trainings.json

Networks of one architecture are trained one after another, as the trainings of an experiment are: by `Study.trials`, in
run directories of their own, on images of MNIST. The seconds are those of one training, from making the network to its
finished run. Memory is what the process holds after a training and did not hold before it, in MiB: of the first, which
loads and compiles all, and of each from the third to the last, on average. Those should cost next to nothing, and none
a thread or an open file.
"""

import argparse
import functools
import itertools
import os
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import harness
from weirdonetworks.lab import machine
from weirdonetworks.lab.records.tables import counted

HERE = "benchmarks.many_trainings"
VARIANTS = (
    harness.Variant("graph_small", "graph, 784-10", f"{HERE}:graph_small"),
    harness.Variant("graph_medium", "graph, 784-300-100-10", f"{HERE}:graph_medium"),
    harness.Variant("xla_small", "XLA, 784-10", f"{HERE}:xla_small"),
    harness.Variant("xla_medium", "XLA, 784-300-100-10", f"{HERE}:xla_medium"),
    harness.Variant("graph_polynomial", "graph, 784-8-20-10, the last two of degree 3", f"{HERE}:graph_polynomial"),
    harness.Variant("xla_polynomial", "XLA, 784-8-20-10, the last two of degree 3", f"{HERE}:xla_polynomial"),
)

# Calls its argument after each training.
Contender = Callable[[Mapping[str, Any], Callable[[], None]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        "What each of many trainings leaves behind in its process",
        VARIANTS,
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Trains by one contender, and measures the process's resources after each training."""
    harness.tensorflow_threads(threads)
    times, held = [time.perf_counter()], [_held()]

    def finished() -> None:
        held.append(_held())
        times.append(time.perf_counter())

    contender(options, finished)
    memory = [at["memory"] for at in held]
    later = memory[2:]
    return harness.Sample(
        [end - start for start, end in itertools.pairwise(times[2:])],
        {
            "MiB_of_the_first": memory[1] - memory[0],
            "MiB_of_each_from_the_third": (later[-1] - later[0]) / (len(later) - 1),
            "threads_left_since_the_second": held[-1]["threads"] - held[2]["threads"],
            "files_left_since_the_second": held[-1]["files"] - held[2]["files"],
        },
    )


def dense(*widths: int) -> Any:
    """Makes a dense network."""
    import sonnet as snt

    return snt.nets.MLP(widths)


def polynomial() -> Any:
    """Makes a network of layers with gradients of their own."""
    import sonnet as snt

    from weirdonetworks import PolynomialMLP

    return snt.Sequential([snt.Linear(8), PolynomialMLP([20, 10], degree=3)])


def train(make: Callable[[], Any], execution: str, options: Mapping[str, Any], finished: Callable[[], None]) -> None:
    """Trains networks of one kind one after another, in a study."""
    import sonnet as snt

    from weirdonetworks.lab.config import RunOptions, StudyConfig
    from weirdonetworks.lab.data import datasets
    from weirdonetworks.lab.training import objectives, study

    data = datasets.load("MNIST").cut(options["examples"])
    splits = data.residents
    config = StudyConfig(epochs=1, batch_size=100, execution=execution)
    with (
        tempfile.TemporaryDirectory() as folder,
        study.open_study("many", config, RunOptions(experiment_dir=folder)) as opened,
    ):
        for number in range(options["trainings"]):
            training = study.Training(
                f"training_{number}",
                lambda: snt.Sequential([snt.flatten, make()]),
                lambda network: objectives.classification(network, data.standardisation),
                splits,
                config,
            )
            opened.trials([training])
            finished()


small, medium = functools.partial(dense, 10), functools.partial(dense, 300, 100, 10)
graph_small, xla_small = (functools.partial(train, small, execution) for execution in ("graph", "xla"))
graph_medium, xla_medium = (functools.partial(train, medium, execution) for execution in ("graph", "xla"))
graph_polynomial, xla_polynomial = (functools.partial(train, polynomial, execution) for execution in ("graph", "xla"))


def _held() -> dict[str, float]:
    """Measures the process's memory in MiB (its peak where the system reports no more), threads and open files."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        memory = int(line.split()[1]) / 2**10
    else:
        memory = machine.peak_memory() * 2**10
    # Python's own threads: those of TensorFlow's pools come as they are needed.
    return {"memory": memory, "threads": threading.active_count(), "files": len(os.listdir("/dev/fd"))}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trainings", type=_several, default=30, help="number of trainings (%(default)s)")
    parser.add_argument(
        "--examples", type=harness.positive, default=1000, help="training images of each, and test images (%(default)s)"
    )


def _several(text: str) -> int:
    several = harness.positive(text)
    if several < 4:
        raise argparse.ArgumentTypeError(f"{text} must be at least 4.")
    return several


def _caption(options: Mapping[str, Any]) -> str:
    return f"{options['trainings']} trainings in one process, {counted(options['examples'], 'image')}, one epoch each"


if __name__ == "__main__":
    sys.exit(main())
