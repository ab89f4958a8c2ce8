"""Condensed models beside the given ones: what `condense` chose for each layer, and whether it is ever slower.

    python -m benchmarks.condense --threads=1
    python -m benchmarks.condense --models=mlp_1024 --sparsities=0.5,0.9 --batches=1,128 --threads=1

The choice is made as for a user, in one process for all; then the given and the chosen model are timed again, by calls
in turn, in rounds. Ratios are of the given model's time to the chosen one's in a round: above 1 the chosen one is
faster. Where the given model was chosen, both are the same, and the ratio shows the noise. `--clock=processor` is that
of `benchmarks.sparse_training`, for these ratios; what is chosen depends on the time that passes.
"""

import argparse
import functools
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks import conditions, harness
from weirdonetworks.lab import machine
from weirdonetworks.lab.records.tables import counted, table

BAR = 0.97  # The ratio below which the chosen model counts as slower.
SECONDS = 0.05  # That a round takes, of as many calls in turn as there is time for.
MODELS = ("lenet", "mlp_1024", "cnn", "transformer")


class Row(NamedTuple):
    """What was chosen, and the ratio in each round."""

    model: str
    sparsity: float
    batch: int
    kind: str
    layers: list[str]
    milliseconds: float
    ratios: list[float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module.

    Returns:
      The exit status: 1 if a chosen model is slower than the given one by more than 3%, 0 otherwise.
    """
    parser = argparse.ArgumentParser(description="Condensed models beside the given ones")
    parser.add_argument("--models", type=_names, default=MODELS, help=f"models, of {', '.join(MODELS)} (all)")
    parser.add_argument(
        "--sparsities", type=_list(float), default=[0.5, 0.8, 0.9, 0.95, 0.98], help="shares of weights masked"
    )
    parser.add_argument("--batches", type=_list(harness.positive), default=[1, 128, 1000], help="examples of a call")
    parser.add_argument("--threads", type=harness.positive, default=1, help="threads and processors (%(default)s)")
    parser.add_argument("--rounds", type=harness.positive, default=5, help="timed rounds (%(default)s)")
    parser.add_argument("--clock", choices=harness.CLOCKS, default="wall", help="what is timed (%(default)s)")
    options = parser.parse_args(arguments)
    if options.threads > conditions.processors():
        parser.error(
            f"--threads (={options.threads}) must be at most {conditions.processors()}, the processors there are."
        )
    described = conditions.describe_machine()
    machine.keep_to(machine.cores()[: options.threads])
    harness.tensorflow_threads(options.threads)
    others = conditions.Others()
    plan = list(itertools.product(options.models, options.sparsities, options.batches))
    rows = [
        measure(model, sparsity, batch, options.rounds, harness.CLOCKS[options.clock])
        for model, sparsity, batch in tqdm(plan, unit="model", disable=None)
    ]
    print(described)
    lengths = f"{counted(options.threads, 'thread')}, {counted(options.rounds, 'round')}, {options.clock} clock"
    print(f"\n{lengths}; other processes kept {others.busy():.1f} processors busy:\n")
    print(_formatted(rows))
    slower = [row for row in rows if statistics.median(row.ratios) < BAR]
    print(f"\nslower than the given model by more than 3%: {len(slower)} of {len(rows)}")
    return int(bool(slower))


def measure(name: str, sparsity: float, batch: int, rounds: int, clock: Callable[[], float]) -> Row:
    """Condenses a model of random masks for a batch of some size, and times both."""
    import tensorflow as tf

    from weight_symmetry import Masks
    from weight_symmetry.sparse import condense

    model, options = _model(name)
    inputs = tf.random.stateless_normal([batch, 28, 28, 1], [0, 0])
    model(inputs, **options)
    masks = Masks.create(model, "random", sparsity, seed=0)
    condensed = condense(model, masks, inputs, **options)
    given = functools.partial(model, **options)
    functions = [tf.function(each, autograph=False) for each in (given, condensed.model)]
    for function in functions:
        function(inputs)
    pairs = [_round(functions, inputs, clock) for _ in range(rounds)]
    return Row(
        name,
        sparsity,
        batch,
        condensed.kind,
        [f"{each.shape[0]}x{each.shape[1]} {_chosen(each)}" for each in condensed.layers],
        1e3 * statistics.median(seconds for seconds, _ in pairs),
        [one / other for one, other in pairs],
    )


def _chosen(layer: Any) -> str:
    dense, condensed = layer.milliseconds
    return f"{'condensed' if layer.is_condensed else 'dense'} ({dense / condensed:.2f})"


def _round(functions: Sequence[Callable[[Any], Any]], inputs: Any, clock: Callable[[], float]) -> tuple[float, float]:
    """Times two functions by calls in turn, in another order each time, and returns the median seconds of each."""
    times: tuple[list[float], list[float]] = ([], [])
    until = time.perf_counter() + SECONDS * len(functions)
    while time.perf_counter() < until or len(times[0]) < 4:
        for place in (0, 1) if len(times[0]) % 2 else (1, 0):
            start = clock()
            functions[place](inputs).numpy()
            times[place].append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def _model(name: str) -> tuple[Any, dict[str, Any]]:
    """Makes a model, with the options of its call."""
    from weight_symmetry.models import examples

    if name in ("lenet", "mlp_1024"):
        return examples.mlp((300, 100) if name == "lenet" else (1024, 1024)), {}
    return getattr(examples, name)(), {"training": False}


def _formatted(rows: Sequence[Row]) -> str:
    lines = [
        [
            row.model,
            f"{row.sparsity:.0%}",
            str(row.batch),
            f"{row.milliseconds:.3f}",
            f"{statistics.median(row.ratios):.2f}",
            f"{min(row.ratios):.2f} to {max(row.ratios):.2f}",
            row.kind,
            "; ".join(row.layers),
        ]
        for row in rows
    ]
    return table(["model", "masked", "batch", "ms given", "ratio", "in a round", "chosen", "layers"], lines)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(MODELS):
        raise argparse.ArgumentTypeError(f"{text} must be among {', '.join(MODELS)}.")
    return names


def _list(of: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    return lambda text: [of(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
