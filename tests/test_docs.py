"""The commands and examples of the readme and the pages: their programs know their flags, and the examples run."""

import ast
import importlib
import importlib.util
import itertools
import json
import pathlib
import re
import runpy
import shlex
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.lab.data import test_sources
from tests.packages import ROOT
from weight_symmetry import alignment, sparse_train
from weight_symmetry.masks import Masks
from weight_symmetry.run import experiment
from weight_symmetry.run.config import TrialOptions
from weight_symmetry.run.sparse_config import SparseTrainConfig
from weirdonetworks.lab import plots
from weirdonetworks.lab.data import datasets

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
WITHOUT_FLAGS = (
    *("weirdonetworks.experiments", "weight_symmetry"),  # Lists of programs.
    *("weight_symmetry.NAME", "weirdonetworks.experiments.NAME"),
    "benchmarks.cross_check.ours",
)
# Each command in a fork, up to the flag that no program has: the first error is about that one alone. What programs
# import is there before the forks, but for the programs themselves, which run once more under another name.
PROGRAM = """
import importlib, io, json, os, runpy, sys

def refused(command):
    reader, writer = os.pipe()
    if not (child := os.fork()):
        sys.argv, sys.stdout = command, io.StringIO()
        sys.stderr = written = io.StringIO()
        try:
            runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        except BaseException as error:
            print(repr(error), file=written)
        os.write(writer, written.getvalue()[:4000].encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()

asked = json.loads(sys.argv[1])
for name in {command[0] for command in asked}:
    if not hasattr(importlib.import_module(name), "__path__"):
        del sys.modules[name]
print(json.dumps([refused([*command, "--no_such_flag=1"]) for command in asked]))
"""


FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: pathlib.Path, *languages: str) -> list[str]:
    """The code blocks of a page in some languages; "" is that of a block without one."""
    return [code for language, code in FENCED.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands() -> list[list[str]]:
    """The programs of the project in the pages, in blocks and in the text, with their arguments."""
    found = []
    for page in PAGES:
        lines = [line for block in blocks(page, "sh", "") for line in joined(block)]
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        lines += re.findall(r"`([^`]*)`", text.replace("\n", " "))
        for line in lines:
            for command in re.findall(r"python -m ((?:weirdonetworks|weight_symmetry|benchmarks).*)", line):
                words = shlex.shlex(command.replace("$seed", "1"), posix=True, punctuation_chars=";&|")
                words.whitespace_split = True
                arguments = list(itertools.takewhile(lambda word: word not in (";", "&&", "|"), words))
                if arguments not in found and arguments[0] not in WITHOUT_FLAGS:
                    found.append(arguments)
    return found


def joined(block: str) -> list[str]:
    """The lines of a block of shell commands, those that a backslash continues as one."""
    return block.replace("\\\n", " ").splitlines()


def answers(asked: list[list[str]]) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_programs_know_the_flags_they_are_shown_with() -> None:
    asked = commands()
    assert len(asked) > 40
    for command, answer in zip(asked, answers(asked), strict=True):
        # As absl and as argparse say it.
        assert re.search(
            r"Unknown command line flag 'no_such_flag'|unrecognized arguments: --no_such_flag=1\n", answer
        ), f"{' '.join(command)}: {answer}"


def test_a_flag_that_a_program_lacks_is_seen() -> None:
    (answer,) = answers([["weight_symmetry.prune", "--sparsities=0.9"]])
    assert "sparsities" in answer and "no_such_flag" not in answer


def test_pictures_fit_a_page() -> None:
    pictures = sorted((ROOT / "docs/pictures").glob("*.png"))
    # A PNG file begins with a signature of 8 bytes and the chunk IHDR: length, name, width, height.
    sizes = {
        path.name: tuple(int.from_bytes(path.read_bytes()[start : start + 4]) for start in (16, 20))
        for path in pictures
    }
    widest, highest = plots.PAGE * plots.DOTS_PER_INCH, 1400
    large = {name: size for name, size in sizes.items() if size[0] > widest or size[1] > highest}
    assert sizes and large == {}


def test_examples_of_the_readme_and_the_page_on_code_run() -> None:
    names = standing_in()
    for page in (ROOT / "README.md", ROOT / "docs/how-to/library.md", ROOT / "docs/how-to/keras.md"):
        names |= {"model": names["chain"], "optimizer": snt.optimizers.Adam(1e-3)}
        for code in blocks(page, "python"):
            names["sets"] = names["sets_of_5" if "keras" in code else "sets_of_4"]
            exec(compile(code, str(page), "exec"), names)
            names["model"] = names["any_sonnet_module"]


@pytest.mark.slow
def test_the_page_on_weight_symmetry_runs() -> None:
    names = standing_in() | {"np": np, "snt": snt}
    images = names["flat_images"]
    one, other = (snt.nets.MLP([6, 3]) for _ in range(2))
    one(images), other(images)
    networks = {"a": one, "b": other, "test_images": images, "test_labels": names["labels"]}
    names |= networks | {"images": images, "gradients_of_a_batch": lambda weights: [tf.ones_like(w) for w in weights]}
    for code in blocks(ROOT / "docs/how-to/weight-symmetry.md", "python"):
        names |= {"model": one, "optimizer": snt.optimizers.Adam(1e-3), "masks": Masks.create(one, "random", 0.5)}
        exec(compile(code, "weight-symmetry.md", "exec"), names)
    assert isinstance(names["found"], alignment.Permutations) and names["rigl"].masks is names["masks"]


@pytest.mark.slow
def test_the_page_on_a_model_of_ones_own_runs(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    test_sources.write_archive(
        tmp_path, {name: batch.tobytes() for name, batch in test_sources.cifar_batches().items()}
    )
    code = blocks(ROOT / "docs/how-to/your-model.md", "python")[0]
    assert len([line for line in code.splitlines() if re.match(r"(?!import|from)\s*\S", line)]) <= 30
    script = tmp_path / "own_model.py"  # AutoGraph reads the source of functions.
    script.write_text(code, encoding="utf-8")
    runpy.run_path(str(script), {"data_dir": tmp_path, "epochs": 13})
    printed = capsys.readouterr().out
    assert "sparsity 90.0%, test accuracy" in printed and "10^302.7 symmetries, then" in printed


@pytest.mark.slow
def test_the_pages_on_data_and_records_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = np.random.default_rng(0).integers(0, 256, [40, 8, 8]), np.arange(40) % 2
    names: dict[str, Any] = {"images": images, "labels": labels, "x_train": images[8:], "y_train": labels[8:]}
    names |= {"x_test": images[:8], "y_test": labels[:8]}
    for code in blocks(ROOT / "docs/how-to/data.md", "python"):
        exec(compile(code, "data.md", "exec"), names)
    assert datasets.load("photographs.npz").train.images.shape == (32, 8, 8, 1)
    quick: dict[str, Any] = {"epochs": 1, "features": (5,), "batch_size": 10, "execution": "graph"}
    config = SparseTrainConfig(dataset="photographs.npz", updater="static", **quick)
    (done,) = experiment.run("sparse_train", config, TrialOptions(), sparse_train.updater)
    for code in blocks(ROOT / "docs/how-to/runs.md", "python"):
        (example,) = set(re.findall(r"prune-\w+", code)) or {""}
        exec(compile(code.replace(example, done.directory.name) if example else code, "runs.md", "exec"), names)
    assert names["epochs"].epoch.tolist() == [1] and names["runs"].index.tolist() == [done.directory.name]


@pytest.mark.slow
def test_examples_import_what_there_is() -> None:
    asked = {
        (module, name)
        for page in PAGES
        for code in blocks(page, "python")
        for node in ast.walk(ast.parse(code))
        for module, name in imported(node)
        if module.split(".")[0] in ("weirdonetworks", "weight_symmetry")
    }
    missing = [(module, name) for module, name in sorted(asked) if not exists(module, name)]
    assert len(asked) > 30 and missing == []
    assert not exists("weirdonetworks", "no_such_name") and not exists("weirdonetworks.no_such_module", "")


def imported(node: ast.AST) -> list[tuple[str, str]]:
    """The modules and names that a statement imports; no name where a module is."""
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "", each.name) for each in node.names]
    return [(each.name, "") for each in node.names] if isinstance(node, ast.Import) else []


def exists(module: str, name: str) -> bool:
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    return not name or hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}") is not None


def standing_in() -> dict[str, Any]:
    """What the readme's examples are about: a user's data, networks and losses."""
    import keras

    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 28, 28, 1)).astype(np.float32)
    chain = snt.nets.MLP([6, 3])
    chain(images.reshape(2, -1))

    def mean(inputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(inputs, axis=list(range(1, inputs.shape.rank)))[:, None]

    return {
        "tf": tf,
        "model": chain,
        "optimizer": snt.optimizers.Adam(1e-3),
        "epoch": 3,
        "images": images,
        "labels": np.array([0, 1]),
        "flat_images": images.reshape(2, -1),
        "velocities": images,
        "feature_maps": snt.Conv2D(2, 3),
        "sets_of_4": rng.normal(size=(2, 4, 3)).astype(np.float32),
        "sets_of_5": rng.normal(size=(2, 5, 3)).astype(np.float32),
        "targets": rng.normal(size=(2, 1)).astype(np.float32),
        "keras_model": keras.Sequential([keras.Input([28, 28, 1]), keras.layers.Flatten(), keras.layers.Dense(3)]),
        "any_sonnet_module": snt.Sequential([mean, snt.Linear(3)]),
        "any_network_of_yours": mean,
        "chain": chain,
        "small_model": snt.nets.MLP([3, 2]),
        "one_example": rng.normal(size=(1, 4)).astype(np.float32),
        "loss": tf.nn.sparse_softmax_cross_entropy_with_logits,
        "examples": rng.normal(size=(2000, 4)).cumsum(axis=1),
    }
