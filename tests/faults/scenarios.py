"""Programs that write results, kept short; how to run one, whole or cut off; and how to compare what they leave."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests import processes

RUNS = "runs"
# Of a record or configuration: what depends on the machine, or on how a program was called.
PASSING = re.compile(
    r"wallclock_time|peak_memory_gib|.*seconds.*|resume|start_missing|experiment_dir|data_dir|trials_backend"
)
RESUMING = ("--resume", "--start_missing")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A program with flags, which writes into `RUNS` of its working directory.

    Attributes:
      name: The name.
      module: The module that is run.
      flags: Its flags; `DATA` in them is the path of the data.
      again: The flags by which it goes on with what was cut off.
      arguments: Positional arguments, after the flags.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    again: tuple[str, ...] = RESUMING
    arguments: tuple[str, ...] = ()

    def command(self, again: bool = False) -> list[str]:
        """Returns module, flags and arguments, at first or again."""
        more = self.again if again else ()
        return [self.module, *self.flags, *more, f"--experiment_dir={RUNS}", *self.arguments]


# Whole batches of the 40 images to train on: a short one would be traced beside them.
SHORT = ("--dataset=../data.npz", "--validation_size=10", "--epochs=3", "--batch_size=10", "--update_iterations=2")
WIDTHS = ("--features=5,4", "--execution=graph")
MASK = ("--mask_type=random", "--mask_sparsity=0.5")
STUDY = ("--dataset=../data.npz", "--validation_size=10", "--epochs=2", "--batch_size=10", "--execution=graph")
PAIR = (*STUDY, "--features=4,3", "--num_trials=1")


def _driver(name: str, driver: str, *flags: str) -> Scenario:
    return Scenario(name, f"weight_symmetry.{driver}", (*SHORT, *flags))


SCENARIOS = {
    each.name: each
    for each in (
        _driver("train", "train", *WIDTHS),
        _driver("train, XLA", "train", "--features=5,4", "--execution=xla"),
        _driver("prune", "prune", *WIDTHS, "--pruning_schedule=[(1, 0.5), (2, 0.8)]", "--rewind_epoch=0"),
        _driver("random_mask", "random_mask", *WIDTHS, "--mask_type=random", "--sparsity_range=0.3,0.6"),
        _driver("shuffled_mask", "shuffled_mask", *WIDTHS, *MASK),
        _driver(
            "fixed_param",
            "fixed_param",
            *("--execution=graph", "--param_count=400", "--depth=2", "--mask_sparsity=0.5", "--mask_type=random"),
        ),
        _driver("sparse_train", "sparse_train", *WIDTHS, "--updater=rigl", "--sparsity=0.5", "--update_interval=2"),
        # Of three trials on two cores one waits.
        _driver("trials in threads", "shuffled_mask", *WIDTHS, *MASK, "--num_trials=3", "--trials_backend=threads"),
        _driver("trials in one program", "shuffled_mask", *WIDTHS, *MASK, "--num_trials=2", "--trials_backend=batched"),
        Scenario("carry_ticket", "weight_symmetry.carry_ticket", (*PAIR, "--sparsities=0.5", "--rewind_epochs=1")),
        Scenario(
            "align",
            "weight_symmetry.align",
            (*PAIR, "--points=3", "--match_steps=1", "--match_batch=10", "--line_images=20"),
        ),
        Scenario("effective_symmetry", "weight_symmetry.effective_symmetry", (*PAIR, "--sparsities=0.5")),
        Scenario(
            "experiment, several trainings",
            "weirdonetworks.experiments.all_activations",
            (*STUDY, "--activations=relu,gelu", "--units=24", "--num_trials=1"),
        ),
        Scenario(
            "sweep",
            "weight_symmetry.sweep",
            ("--grid=mask_sparsity=0.5,0.8", "--flags=" + " ".join((*SHORT, *WIDTHS, "--mask_type=random"))),
            again=(),
            arguments=("shuffled_mask",),
        ),
    )
}


def make_data(path: pathlib.Path) -> None:
    """Writes a small data set: squares that are light above, below, on the left or on the right."""
    drawn = np.random.default_rng(5)
    half = {0: np.s_[:2], 1: np.s_[2:], 2: np.s_[:, :2], 3: np.s_[:, 2:]}
    arrays = {}
    for split, size in (("train", 50), ("test", 20)):
        labels = np.arange(size) % 4
        images = drawn.integers(0, 120, (size, 4, 4, 1), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[half[label]] += 100
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez(path, **arrays)


def run(scenario: Scenario, folder: pathlib.Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a scenario in a folder whose parent holds the data."""
    folder.mkdir(exist_ok=True)
    return processes.run(*scenario.command(), folder=folder, **options)


def go_on(scenario: Scenario, folder: pathlib.Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a scenario again that was cut off."""
    return processes.run(*scenario.command(again=True), folder=folder, **options)


def contents(folder: pathlib.Path) -> dict[str, Any]:
    """Reads all files of the runs in a folder, but for what may differ between two equal runs."""
    found: dict[str, Any] = {}
    for path in sorted((folder / RUNS).rglob("*")):
        name = str(path.relative_to(folder / RUNS))
        if path.is_dir() or path.parent.name == ".locks":
            continue
        if path.name.startswith("events.out"):
            found.setdefault(f"{path.parent.relative_to(folder / RUNS)}/events", set()).update(_events(path))
        elif path.suffix == ".json":
            found[name] = _lasting(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            found[name] = _lines(path.read_text())
        else:
            found[name] = path.read_bytes()
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names what differs between the contents of two folders, in words."""
    found = [f"{name} is missing" for name in sorted(one.keys() - other.keys())]
    found += [f"{name} is left over" for name in sorted(other.keys() - one.keys())]
    for name in sorted(one.keys() & other.keys()):
        if one[name] != other[name]:
            found.append(f"{name} differs{_how(one[name], other[name])}")
    return found


def _how(one: Any, other: Any) -> str:
    if isinstance(one, set):
        return f": {len(one - other)} missing, {len(other - one)} more, such as {sorted(one ^ other)[:3]}"
    if isinstance(one, dict):
        return ": " + ", ".join(f"{key}" for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return ""


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(each) for key, each in value.items() if not any(map(PASSING.fullmatch, key.split("/")))}
    return value


def _lines(text: str) -> tuple[list[Any], bool]:
    """Reads lines of JSON, and whether the last one ends in a newline, without which it was cut short."""
    return [_lasting(json.loads(line)) for line in text.splitlines()], not text or text.endswith("\n")


def _events(path: pathlib.Path) -> set[tuple[str, int, float]]:
    """Reads the scalars of a file of TensorBoard: tag, step and value; its records are length, check, data, check."""
    from tensorboard.compat.proto.event_pb2 import Event

    data, place, found = path.read_bytes(), 0, set()
    while place + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        if place + 16 + length > len(data):
            break  # What a kill left of a record; TensorBoard reads the files before and after it.
        event = Event.FromString(data[place + 12 : place + 12 + length])
        place += 16 + length
        for value in event.summary.value:
            number = value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
            if not value.tag.endswith("wallclock_time"):
                found.add((value.tag, event.step, number))
    return found


def fingerprint(folder: pathlib.Path) -> str:
    """Computes a digest of all files of a folder, parts of files included, without what passes: times and processes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        for pattern in _NAMED_ANEW:
            name = pattern.sub("", name)
        found.update(f"{name}\0{_fingerprint(path)}\0".encode())
    return found.hexdigest()


_NAMED_ANEW = (
    re.compile(r"(?<=tfevents)\.\d+\..*\.\d+(?=\.\d+$)"),
    re.compile(r"(?<=tempstate)\d+$"),
    re.compile(r"\.\d+$"),
)


def _fingerprint(path: pathlib.Path) -> Any:
    if not path.is_file():
        return path.is_dir()
    if path.name.startswith("events.out"):
        return sorted(_events(path)), path.stat().st_size
    if path.suffix == ".known":  # Of which state of the file it is the mark.
        file = path.parents[1] / path.stem
        return (
            file.exists()
            and path.read_text() == f"{file.stat().st_ino} {file.stat().st_size} {file.stat().st_mtime_ns}"
        )
    data = path.read_bytes()
    with contextlib.suppress(ValueError):
        if path.suffix in (".json", ".jsonl"):
            text = data.decode()
            return _lines(text) if path.suffix == ".jsonl" else (_lasting(json.loads(text)), text.endswith("\n"))
    return data


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies what there is of a folder, while a watched program waits."""
    if source.exists():
        shutil.copytree(source, target / source.name, symlinks=True)
    else:
        target.mkdir(parents=True)


def names(wanted: Sequence[str]) -> list[str]:
    """Returns the scenarios of some names, all of them for none."""
    unknown = set(wanted) - set(SCENARIOS)
    if unknown:
        raise ValueError(f"scenario (={', '.join(sorted(unknown))}) must be one of {', '.join(SCENARIOS)}.")
    return list(wanted or SCENARIOS)
