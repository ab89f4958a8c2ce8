"""Wrong input of every kind: flags, schedules, archives, records, and arguments of the library's public functions.

usage: python -m tests.faults.fuzz [--cases=10000] [--seed=0] [KIND ...]

A case passes if it is answered within time and memory, by a result or by one of the errors that a program prints as one
line. What fails is printed with what it was given.
"""

import argparse
import contextlib
import dataclasses
import functools
import gzip
import importlib
import inspect
import io
import json
import pathlib
import random
import resource
import signal
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags as absl_flags

from tests.faults import functions
from weirdonetworks.lab import flags
from weirdonetworks.lab.config import Config, RunOptions, TrainingConfig
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.programs import programs
from weirdonetworks.lab.records import runs

# Of the processor and of the clock, which other programs may slow down.
SECONDS, WALL_SECONDS, MEMORY = 20, 300, 12 * 2**30
TEXTS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1e400",
        "nan",
        "inf",
        "None",
        "[]",
        "{}",
        "()",
        "[(1, 0.5)",
        "[(1, 0.5), (1, 0.5)]",
        "[" * 3000,
    ),
    *(
        "9" * 5000,
        "10**9",
        "__import__('os').system('false')",
        "a,b",
        "1,2",
        ",",
        "\n",
        "\0",
        "é",
        "%s",
        "{0}",
        "~",
        "../..",
    ),
    *(
        "cubic",
        "cubic(1)",
        "cubic(0,0,0)",
        "[(2, 0.3), (5, 0.6)]",
        "[(True, 0.5)]",
        "[(1, 0.5, 2)]",
        "1000000000000000000000",
    ),
    *(
        "<script>",
        "=1+1",
        "x:y",
        "a.b:c",
        '{"depth": 3}',
        '{"a": {"b": [1]}}',
        "[1",
        "true",
        "MNIST_CNN",
        "XLA",
        "--",
        "-1e-400",
    ),
)
Case = tuple[str, Callable[[], object]]
# Kind of input -> the errors that a program prints as one line; anything else would be a traceback.
ANSWERS: dict[str, tuple[type[Exception], ...]] = {
    "flags": (UsageError,),
    "schedules": (ValueError,),
    "archives": (ValueError, OSError),
    "records": (ValueError, OSError),
    "functions": (ValueError, TypeError),
}


class TooLongError(BaseException):
    """A case took more than its time."""


@functools.cache
def _configurations() -> list[tuple[str, type[Config]]]:
    """Lists the settings of all programs, each with the name of its program."""
    found: dict[type[Config], str] = {}
    for package in ("weight_symmetry", "weirdonetworks.experiments"):
        for name in programs(package):
            for value in vars(importlib.import_module(f"{package}.{name}")).values():
                if inspect.isclass(value) and issubclass(value, Config) and dataclasses.fields(value):
                    found.setdefault(value, name)
    return [(name, config) for config, name in found.items() if not issubclass(config, RunOptions)]


def flag_case(drawn: random.Random, folder: pathlib.Path) -> Case:
    """Draws a command line: a few flags of a program with values of any kind."""
    program, config = drawn.choice(_configurations())
    own = {field.name for field in dataclasses.fields(config)}
    whole = [config, RunOptions] if own.isdisjoint(field.name for field in dataclasses.fields(RunOptions)) else [config]
    fields = [field for each in whole for field in dataclasses.fields(each)]
    given = [f"--{drawn.choice(fields).name}={_text(drawn)}" for _ in range(drawn.randint(1, 4))]
    given += [_text(drawn) for _ in range(drawn.random() < 0.1)]

    def parse() -> None:
        known = absl_flags.FlagValues()
        flags._define(known, whole)
        flags.check(program, given, *whole)
        known([program, *given])
        for each in whole:
            names = [field.name for field in dataclasses.fields(each)]
            values = {name: known[name].value if name in known else _text(drawn) for name in names}
            each(**values)

    return f"{program} {given}", parse


def schedule_case(drawn: random.Random, folder: pathlib.Path) -> Case:
    """Draws a schedule of the learning rate or of pruning, and reads it."""
    from weight_symmetry.run.prune_config import PruneConfig

    text = _text(drawn) if drawn.random() < 0.5 else repr(_value(drawn, 3))
    if drawn.random() < 0.5:
        return f"lr_schedule_steps={text}", lambda: TrainingConfig(lr_schedule="stepped", lr_schedule_steps=text)
    epochs = drawn.choice([1, 3, 20, 10**6])
    return f"pruning_schedule={text}", lambda: PruneConfig(pruning_schedule=text, epochs=epochs)


def archive_case(drawn: random.Random, folder: pathlib.Path) -> Case:
    """Draws a file of data with some of its bytes changed, dropped or repeated, and reads it."""
    from weirdonetworks.lab.data import sources, user_data

    kind, content = drawn.choice(_archives())
    changed = _mutated(drawn, content)
    path = folder / f"data.{kind}"
    if kind == "tar.gz" and drawn.random() < 0.7:
        changed = gzip.compress(_mutated(drawn, gzip.decompress(content)), 1)
    path.write_bytes(changed)
    read: Callable[[], object] = functools.partial(sources.read_cifar10, path)
    if kind == "npz":
        read = functools.partial(user_data.read, str(path))
    return f"{kind} of {len(changed)} bytes, {changed[:40]!r} ...", read


@functools.cache
def _archives() -> list[tuple[str, bytes]]:
    drawn, found = np.random.default_rng(0), []
    for arrays in (
        {"images": drawn.integers(0, 255, (12, 4, 4), np.uint8), "labels": np.arange(12) % 3},
        {"x_train": drawn.random((6, 4, 4, 1)), "y_train": np.arange(6) % 2, "classes": np.array(["a", "b"])},
    ):
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        found.append(("npz", packed.getvalue()))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("data_batch_1.bin", "test_batch.bin"):
            batch = drawn.integers(0, 10, 2 * 3073, np.uint8).tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(batch)
            tar.addfile(member, io.BytesIO(batch))
    return [*found, ("tar.gz", packed.getvalue())]


RECORD = {"driver": "train", "mask/sparsity": 0.5, "mask/permutations": "12", "final/test_accuracy": 0.9, "epochs": 2}


def record_case(drawn: random.Random, folder: pathlib.Path) -> Case:
    """Draws a record of runs, damaged or of another shape, and loads, reports, resumes or extends it."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
    run = folder / runs.run_id("train", {"epochs": 2})
    run.mkdir()
    content: dict[pathlib.Path, Any] = {
        folder / "summary.json": {run.name: RECORD, _text(drawn): {_text(drawn): _value(drawn, 2)}},
        folder / "sweep.json": {"train --epochs=2": {"status": 0, "message": "", "seconds": 1.0, "runs": [run.name]}},
        run / "config.json": {"driver": "train", "epochs": 2, "versions": {}},
        run / "status.json": {"status": drawn.choice(["running", "interrupted", "finished"]), "epoch": 1},
        run / "metrics.jsonl": {"epoch": 1, "train_avg_loss": 0.5},
    }
    damaged = drawn.choice(list(content))
    for path, value in content.items():
        text = json.dumps(_value(drawn, 4) if path == damaged and drawn.random() < 0.5 else value)
        if path == damaged and drawn.random() < 0.5:
            path.write_bytes(_mutated(drawn, text.encode()))
        else:
            path.write_text(text + "\n")
    return f"{damaged.name}: {damaged.read_bytes()[:300]!r}", functools.partial(_use, folder, run, drawn)


def _use(folder: pathlib.Path, run: pathlib.Path, drawn: random.Random) -> None:
    from analysis import page, summaries
    from weight_symmetry.run import grid

    uses: list[Callable[[], object]] = [
        lambda: grid.records(folder, grid.cells("train", "epochs=2")),
        lambda: grid.finished(folder, grid.cells("train", "epochs=2")),
        lambda: runs.update_json(folder / "summary.json", "another", {"a": 1}),
        lambda: _resume(folder),
    ]
    for use in uses:
        with contextlib.suppress(*ANSWERS["records"]):
            use()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", summaries.SkippedWarning)
        frame = summaries.load(folder)
        summaries.epochs(frame)
        summaries.statistics(frame)
        if drawn.random() < 0.02:  # It takes seconds.
            page.write(frame, folder / "report.html", title="<script>title")
            if "<script>" in (folder / "report.html").read_text():
                raise AssertionError("the report must escape what records hold")


def _resume(folder: pathlib.Path) -> None:
    with runs.open_run(folder, "train", {"epochs": 2}, unhashed={}, resume=True) as run:
        run.keep_records(min(1, len(run.records)))


DRAW: dict[str, Callable[[random.Random, pathlib.Path], Case]] = {
    "flags": flag_case,
    "schedules": schedule_case,
    "archives": archive_case,
    "records": record_case,
    "functions": functions.case,
}


def failures(kind: str, cases: int, seed: int) -> Iterator[str]:
    """Tries cases of a kind; yields what was given and what came of it for each that fails."""
    drawn = random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as folder, _bounded():
        for _ in range(cases):
            words, run = DRAW[kind](drawn, pathlib.Path(folder))
            try:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                signal.alarm(WALL_SECONDS)
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    run()
            except ANSWERS[kind] as error:
                if kind in ("flags", "schedules") and not str(error).strip():
                    yield f"{words[:300]}: an error without a word"
            except (Exception, TooLongError) as error:
                yield f"{words[:300]}: {type(error).__name__}: {str(error)[:150]} {_where(error)}"
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0.0)
                signal.alarm(0)


def _where(error: BaseException) -> str:
    """Names the line of this project where an error came up."""
    found, trace = "", error.__traceback__
    while trace is not None:
        path = pathlib.Path(trace.tb_frame.f_code.co_filename)
        if {"weirdonetworks", "weight_symmetry", "analysis"} & set(path.parts[-4:-1]):
            found = f"({path.name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Bounds the memory of this process, and lets its alarm end a case."""

    def end(*_: Any) -> None:
        raise TooLongError(f"more than {SECONDS} s of the processor, or {WALL_SECONDS} s")

    before = {each: signal.signal(each, end) for each in (signal.SIGALRM, signal.SIGPROF)}
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        for each, handler in before.items():
            signal.signal(each, handler)


def _text(drawn: random.Random) -> str:
    if drawn.random() < 0.8:
        return drawn.choice(TEXTS)
    return "".join(chr(drawn.choice([*range(32, 127), 0, 10, 233, 8364, 0x1F600])) for _ in range(drawn.randint(0, 12)))


def _value(drawn: random.Random, depth: int) -> Any:
    kind = drawn.randrange(9 if depth else 6)
    if kind < 6:
        return [None, drawn.randint(-5, 5), drawn.uniform(-2, 2), _text(drawn), bool(depth), 10**30][kind]
    if kind < 8:
        return [_value(drawn, depth - 1) for _ in range(drawn.randint(0, 3))]
    return {_text(drawn): _value(drawn, depth - 1) for _ in range(drawn.randint(0, 3))}


def _mutated(drawn: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(drawn.randint(1, 4)):
        place = drawn.randrange(len(changed) or 1)
        match drawn.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([drawn.randrange(256)])
            case 1:
                del changed[place : place + drawn.randint(1, 64)]
            case 2:
                changed[place:place] = changed[place : place + drawn.randint(1, 64)]
            case 3:
                changed[place:place] = drawn.randbytes(drawn.randint(1, 8))
            case 4:
                del changed[drawn.randrange(len(changed) or 1) :]
    return bytes(changed)


def main() -> int:
    """Runs the cases that the command line asks for; returns the status to exit with, 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="in all, the same number of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("kind", nargs="*", choices=[[], *DRAW])
    given = parser.parse_args()
    kinds, failed = given.kind or list(DRAW), Counter[str]()
    for kind in kinds:
        for line in failures(kind, given.cases // len(kinds), given.seed):
            failed[kind] += 1
            print(f"{kind}: {line}", flush=True)
        print(f"{kind}: {failed[kind]} of {given.cases // len(kinds)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
