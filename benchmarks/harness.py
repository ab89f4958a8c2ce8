"""Side-by-side timing: a process a variant, rounds interleaved, medians, and ratios within a round.

A benchmark is a list of variants, and one function that runs any of them in a process made for it:

    def run(contender: Any, threads: int, options: Mapping[str, Any]) -> Sample: ...

`main` does the rest: the command line, the processes, the table and the JSON file. The first variant is the baseline
that the others are compared to.

Why it is done so: the thread pools of two frameworks in one process disturb each other, and one process can be lucky
with its memory for as long as it lives, so each round has new ones; a machine grows slower and faster within minutes,
so a ratio is taken within a round, and the rounds give the variants in a rotating order.
"""

import argparse
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from weirdonetworks.lab import machine
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.tables import counted

PACKAGES = ("tensorflow", "dm-sonnet", "keras", "torch", "jax", "numpy")

# Where other processes keep more of a processor busy than this, a timing is marked as disturbed.
QUIET = 0.1


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to do the benchmark's work.

    Attributes:
      name: What the command line and the JSON file call it.
      title: What the table calls it.
      contender: Where its code is, `package.module:function`; imported in its own process alone.
      needs: The modules without which it is left out.
    """

    name: str
    title: str
    contender: str
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Lists the modules that it needs and that are not installed."""
        return [module for module in self.needs if importlib.util.find_spec(module) is None]


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one process measured.

    Attributes:
      seconds: The timed repetitions, those to warm up not among them.
      figures: Other figures for the table, such as an accuracy that shows that all did the same work.
    """

    seconds: Sequence[float]
    figures: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A sample and its circumstances.

    Attributes:
      variant: The variant's name.
      threads: Threads and processors that it had.
      round: The round, from 0.
      sample: What it measured.
      others: Processors that other processes kept busy meanwhile, on average; NaN where the system does not say.
    """

    variant: str
    threads: int
    round: int
    sample: Sample
    others: float


@dataclasses.dataclass(frozen=True)
class Row:
    """A variant's line in the table.

    Attributes:
      title: The variant's title.
      seconds: Its repetitions in all rounds.
      ratios: In each round, its median over the baseline's.
      figures: Its other figures, averaged over the rounds.
      others: The most processors that other processes kept busy in one of its rounds.
    """

    title: str
    seconds: Sequence[float]
    ratios: Sequence[float]
    figures: Mapping[str, float]
    others: float


def tensorflow_threads(threads: int) -> None:
    """Gives TensorFlow that many threads; to be called before it does anything."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def pytorch_threads(threads: int) -> None:
    """Gives PyTorch that many threads; to be called before it does anything."""
    import torch

    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != threads:  # It can be set but once.
        torch.set_num_interop_threads(threads)


def jax_threads(threads: int) -> None:
    """Gives JAX that many threads; to be called before it is imported. It has no setting but the environment."""
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
      description: What is measured, in a line.
      variants: The variants, the baseline first.
      run: Where the function is that runs one of them, `package.module:function`; see the top of this module.
      add_options: Adds the benchmark's own options; their values reach `run` as they are, so JSON must hold them.
      caption: Says, from those values, what stands above a table.
      arguments: The command line, that of this process if None.

    Returns:
      The exit status: 0; 1 if a variant failed; 130 if the user stopped it. A bad option exits with 2 by itself.
    """
    parser = argparse.ArgumentParser(description=description)
    add_options(parser)
    names = ", ".join(variant.name for variant in variants)
    shared = [
        parser.add_argument(
            "--variants", type=_names, metavar="NAME,...", help=f"which to run beside the first: {names} (all)"
        ),
        parser.add_argument(
            "--threads",
            type=_counts,
            default=[_processors()],
            metavar="N,...",
            help="threads and processors of a variant; each number has its own table (the processors there are)",
        ),
        parser.add_argument("--rounds", type=positive, default=5, help="how often to start a variant (%(default)s)"),
        parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where to write every measurement"),
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
    print(describe_machine())
    for threads in parsed.threads:
        rows = summarise(chosen, [m for m in measurements if m.threads == threads])
        print(f"\n{caption(options)}, {_plural(parsed.rounds, 'round')}, {_plural(threads, 'thread')}:\n")
        print(format_table(rows))
    if parsed.json:
        files.write_json(parsed.json, _record(description, chosen, measurements, parsed.rounds, options))
    return 0


def positive(text: str) -> int:
    """Parses an option that counts from one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least 1.")
    return int(text)


def measure(
    variants: Sequence[Variant], run: str, *, threads: Sequence[int], rounds: int, options: Mapping[str, Any]
) -> list[Measurement]:
    """Runs every variant in a process of its own, once a round, for each number of threads.

    Args:
      variants: The variants.
      run: Where the function is that runs one of them, `package.module:function`.
      threads: Numbers of threads.
      rounds: How often each variant is started with each of them. Each round starts with another one.
      options: What is passed on to `run`, with the round's number as `round`.

    Returns:
      A measurement for each process.

    Raises:
      RuntimeError: If a process failed; it says which, and the last it wrote.
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
            others = _Others()
            sample = _start(variant, run, count, {**options, "round": turn})
            measurements.append(Measurement(variant.name, count, turn, sample, others.busy()))
    return measurements


def summarise(variants: Sequence[Variant], measurements: Sequence[Measurement]) -> list[Row]:
    """Gathers the measurements of one number of threads, a row a variant; the first variant is the baseline."""
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
    """Formats rows as a Markdown table: seconds, the median ratio with its range over the rounds, the figures.

    A star marks what other processes disturbed.
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


def describe_machine() -> str:
    """Says in a line what it was measured on and with."""
    packages = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return f"{_processor()}, {counted(_processors(), 'processor')}; {packages}"


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    return list(dict.fromkeys(positive(count) for count in text.split(",")))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _processors() -> int:
    """Counts the processors that this process may use."""
    return len(machine.cores())


def _choose(variants: Sequence[Variant], names: Collection[str] | None) -> list[Variant]:
    """Picks the baseline and the variants asked for, all of them if None."""
    known = [variant.name for variant in variants]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise UsageError(f"--variants (={','.join(unknown)}) must be among {', '.join(known)}.")
    return [variant for variant in variants if names is None or variant.name in {known[0], *names}]


def _check(parsed: argparse.Namespace) -> None:
    if max(parsed.threads) > _processors():
        counts = ",".join(map(str, parsed.threads))
        raise UsageError(f"--threads (={counts}) must be at most {_processors()}, the processors there are.")
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
    """Does one task in this process, the one made for it, and writes the sample to standard output."""
    task = json.loads(written)
    machine.keep_to(machine.cores()[: task["threads"]])
    # Frameworks print as they please; the answer alone goes to standard output.
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sample = _resolve(task["run"])(_resolve(task["contender"]), task["threads"], task["options"])
    with answer:
        json.dump(dataclasses.asdict(sample), answer)


def _resolve(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class _Others:
    """Measures the processors that processes other than this one's children keep busy, from now on."""

    def __init__(self) -> None:
        self._start = self._now()

    def busy(self) -> float:
        elapsed, busy, own = (now - start for now, start in zip(self._now(), self._start, strict=True))
        # Ticks are coarse, so it can come out below zero; this order of arguments lets NaN through.
        return max((busy - own) / elapsed, 0.0)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            fields = ["nan"] * 8
        user, nice, system, _, _, irq, softirq, steal = map(float, fields)
        ticks = user + nice + system + irq + softirq + steal
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), children.ru_utime + children.ru_stime


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
        "machine": {"processor": _processor(), "processors": _processors()},
        "versions": _versions(),
        "options": options,
        "rounds": rounds,
        "summary": summaries,
        "measurements": [dataclasses.asdict(m) for m in measurements],
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    _serve(sys.argv[1])
