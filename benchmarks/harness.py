"""Benchmark harness: a process per variant and round, rounds interleaved, medians, and ratios within a round.

A benchmark is a list of variants, and one function that runs any of them in a process made for it:

    def run(contender: Any, threads: int, options: Mapping[str, Any]) -> Sample: ...

`main` does the rest: the command line, the processes, the table and the JSON file. The first variant is the baseline
that the others are compared to.

Why: the thread pools of two frameworks in one process disturb each other, and the memory layout of a process can
speed it up or slow it down for its whole life, so each round has new processes; the speed of a machine drifts within
minutes, so ratios are taken within a round, and the order of the variants rotates from round to round.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from benchmarks import conditions
from weirdonetworks.lab import machine
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files

# A timing is marked as disturbed where other processes keep more processors busy than this.
QUIET = 0.1

# What a timing may be of, in seconds.
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


@dataclasses.dataclass(frozen=True)
class Variant:
    """An implementation of the benchmark's task.

    Attributes:
      name: Its name on the command line and in the JSON file.
      title: Its name in the table.
      contender: Its function, `package.module:function`; imported in its own process alone.
      needs: The modules that it requires; it is left out if one is not installed.
    """

    name: str
    title: str
    contender: str
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Lists the required modules that are not installed."""
        return [module for module in self.needs if importlib.util.find_spec(module) is None]


@dataclasses.dataclass(frozen=True)
class Sample:
    """The measurements of one process.

    Attributes:
      seconds: The times of the repetitions, without warm-up.
      figures: Further metrics for the table, such as the accuracy, which must be alike for all variants.
    """

    seconds: Sequence[float]
    figures: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A sample with the conditions of its measurement.

    Attributes:
      variant: The variant's name.
      threads: The number of threads and processors.
      round: The round, from 0.
      sample: The measurements.
      others: The mean number of processors that other processes kept busy meanwhile; NaN where unknown.
    """

    variant: str
    threads: int
    round: int
    sample: Sample
    others: float


@dataclasses.dataclass(frozen=True)
class Row:
    """A variant's row of the table.

    Attributes:
      title: The variant's title.
      seconds: The times of its repetitions in all rounds.
      ratios: For each round, its median divided by the baseline's.
      figures: Its further metrics, averaged over the rounds.
      others: The largest number of processors that other processes kept busy in one of its rounds.
    """

    title: str
    seconds: Sequence[float]
    ratios: Sequence[float]
    figures: Mapping[str, float]
    others: float


def tensorflow_threads(threads: int) -> None:
    """Sets the number of TensorFlow's threads; to be called before its first operation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def pytorch_threads(threads: int) -> None:
    """Sets the number of PyTorch's threads; to be called before its first operation."""
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != threads:  # It can be set but once.
        torch.set_num_interop_threads(threads)


def pytorch_device() -> str:
    """Returns the device of PyTorch's tensors: the GPU, where PyTorch has one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def jax_threads(threads: int) -> None:
    """Sets the number of JAX's threads by the environment, its only setting; to be called before it is imported."""
    os.environ["NPROC"] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"


def main(
    description: str,
    variants: Sequence[Variant],
    run: str,
    *,
    add_options: Callable[[argparse.ArgumentParser], None],
    caption: Callable[[Mapping[str, Any]], str],
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a benchmark from the command line, prints a table for each number of threads, and writes the JSON file.

    Args:
      description: The measured task, in one line, for --help.
      variants: The variants, the baseline first.
      run: The function that runs one of them, `package.module:function`; see the top of this module.
      add_options: Adds the benchmark's own options to the parser; their values must be JSON types.
      caption: Makes the caption of a table from those values.
      arguments: The command line; that of this process if None.

    Returns:
      The exit status: 0; 1 if a variant failed; 130 if the user stopped it. A bad option exits with 2 by itself.
    """
    parser = argparse.ArgumentParser(description=description)
    add_options(parser)
    names = ", ".join(variant.name for variant in variants)
    shared = [
        parser.add_argument(
            "--variants", type=_names, metavar="NAME,...", help=f"variants to run beside the first: {names} (all)"
        ),
        parser.add_argument(
            "--threads",
            type=_counts,
            default=[conditions.processors()],
            metavar="N,...",
            help="threads and processors of a variant, one table per number (all processors)",
        ),
        parser.add_argument(
            "--rounds",
            type=positive,
            default=5,
            help="number of rounds, each with a new process per variant (%(default)s)",
        ),
        parser.add_argument(
            "--json", type=pathlib.Path, metavar="FILE", help="write all measurements to this JSON file"
        ),
    ]
    parsed = parser.parse_args(arguments)
    options = {name: value for name, value in vars(parsed).items() if name not in {option.dest for option in shared}}
    try:
        asked = _choose(variants, parsed.variants)
        _check(parsed)
    except UsageError as error:
        parser.error(str(error))
    chosen = [variant for variant in asked if not variant.missing()]
    for module in sorted({module for variant in asked for module in variant.missing()}):
        titles = "; ".join(variant.title for variant in asked if module in variant.missing())
        print(f"Left out, {module} is not installed: {titles}.")
    try:
        measurements = measure(chosen, run, threads=parsed.threads, rounds=parsed.rounds, options=options)
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(conditions.describe_machine())
    for threads in parsed.threads:
        rows = summarise(chosen, [m for m in measurements if m.threads == threads])
        print(f"\n{caption(options)}, {_plural(parsed.rounds, 'round')}, {_plural(threads, 'thread')}:\n")
        print(format_table(rows))
    if parsed.json:
        files.write_json(parsed.json, _record(description, chosen, measurements, parsed.rounds, options))
    return 0


def positive(text: str) -> int:
    """Parses a positive integer option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least 1.")
    return int(text)


def measure(
    variants: Sequence[Variant], run: str, *, threads: Sequence[int], rounds: int, options: Mapping[str, Any]
) -> list[Measurement]:
    """Runs every variant in a process of its own, once per round, for each number of threads.

    Args:
      variants: The variants.
      run: The function that runs one of them, `package.module:function`.
      threads: The numbers of threads.
      rounds: The number of rounds; each starts with another variant.
      options: Options passed to `run`, with the round's number as `round`.

    Returns:
      A measurement for each process.

    Raises:
      RuntimeError: If a process failed, with its variant and its last output.
    """
    plan = [
        (count, turn, variant)
        for turn in range(rounds)
        for count in threads
        for variant in (*variants[turn % len(variants) :], *variants[: turn % len(variants)])
    ]
    measurements = []
    with tqdm(plan, unit="process", disable=None) as progress:
        for count, turn, variant in progress:
            progress.set_postfix_str(f"round {turn + 1}, {_plural(count, 'thread')}, {variant.name}")
            others = conditions.Others()
            sample = _start(variant, run, count, {**options, "round": turn})
            measurements.append(Measurement(variant.name, count, turn, sample, others.busy()))
    return measurements


def summarise(variants: Sequence[Variant], measurements: Sequence[Measurement]) -> list[Row]:
    """Gathers measurements with one number of threads, a row per variant; the first variant is the baseline."""
    medians = {(m.variant, m.round): statistics.median(m.sample.seconds) for m in measurements}
    rows = []
    for variant in variants:
        of_variant = [m for m in measurements if m.variant == variant.name]
        rows.append(
            Row(
                title=variant.title,
                seconds=[second for m in of_variant for second in m.sample.seconds],
                ratios=[medians[variant.name, m.round] / medians[variants[0].name, m.round] for m in of_variant],
                figures={
                    name: statistics.fmean(m.sample.figures[name] for m in of_variant)
                    for name in of_variant[0].sample.figures
                },
                others=max(m.others for m in of_variant),
            )
        )
    return rows


def format_table(rows: Sequence[Row]) -> str:
    """Formats rows as a Markdown table: seconds, the median ratio with its range over the rounds, further metrics.

    A star marks variants that other processes disturbed.
    """
    figures = list(rows[0].figures)
    lines = [["variant", "min (s)", "median (s)", "max (s)", f"ratio to {rows[0].title}", "in a round"]]
    lines[0].extend(name.replace("_", " ") for name in figures)
    lines.extend(
        [
            row.title + " *" * (row.others > QUIET),
            *(f"{of(row.seconds):.3f}" for of in (min, statistics.median, max)),
            f"{statistics.median(row.ratios):.2f}",
            f"{min(row.ratios):.2f} to {max(row.ratios):.2f}",
            *(f"{row.figures[name]:.4f}" for name in figures),
        ]
        for row in rows
    )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    cells = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))
    others = max(row.others for row in rows)
    if others > QUIET:
        table += f"\n\n* Other processes kept up to {others:.1f} processors busy meanwhile: measure again."
    return table


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    return list(dict.fromkeys(positive(count) for count in text.split(",")))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _choose(variants: Sequence[Variant], names: Collection[str] | None) -> list[Variant]:
    """Returns the baseline and the named variants, all of them if None."""
    known = [variant.name for variant in variants]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise UsageError(f"--variants (={','.join(unknown)}) must be among {', '.join(known)}.")
    return [variant for variant in variants if names is None or variant.name in {known[0], *names}]


def _check(parsed: argparse.Namespace) -> None:
    if max(parsed.threads) > conditions.processors():
        counts = ",".join(map(str, parsed.threads))
        raise UsageError(f"--threads (={counts}) must be at most {conditions.processors()}, the processors there are.")
    if parsed.json and not parsed.json.absolute().parent.is_dir():
        raise UsageError(f"--json (={parsed.json}) must be in a directory that exists.")


def _start(variant: Variant, run: str, threads: int, options: Mapping[str, Any]) -> Sample:
    task = {"contender": variant.contender, "run": run, "threads": threads, "options": options}
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.harness", json.dumps(task)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        last = "\n".join(finished.stderr.splitlines()[-15:])
        raise RuntimeError(f"{variant.name} failed with status {finished.returncode}:\n{last}")
    return Sample(**json.loads(finished.stdout))


def _serve(written: str) -> None:
    """Runs one variant in this process, and writes the sample to standard output."""
    task = json.loads(written)
    machine.keep_to(machine.cores()[: task["threads"]])
    # Frameworks may print; standard output is for the sample alone.
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sample = _resolve(task["run"])(_resolve(task["contender"]), task["threads"], task["options"])
    with answer:
        json.dump(dataclasses.asdict(sample), answer)


def _resolve(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _record(
    description: str,
    variants: Sequence[Variant],
    measurements: Sequence[Measurement],
    rounds: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    summaries = []
    for threads in sorted({m.threads for m in measurements}):
        rows = summarise(variants, [m for m in measurements if m.threads == threads])
        for variant, row in zip(variants, rows, strict=True):
            summary = {
                "threads": threads,
                "variant": variant.name,
                "seconds_median": statistics.median(row.seconds),
                "ratio_median": statistics.median(row.ratios),
            }
            summaries.append(summary | dict(row.figures))
    return {
        "benchmark": description,
        "machine": {"processor": conditions.processor(), "processors": conditions.processors()},
        "versions": conditions.versions(),
        "options": options,
        "rounds": rounds,
        "summary": summaries,
        "measurements": [dataclasses.asdict(m) for m in measurements],
    }


if __name__ == "__main__":
    _serve(sys.argv[1])
