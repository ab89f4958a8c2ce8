"""Training of a masked model at some sparsity: the sparse engine beside dense products.

    python -m benchmarks.sparse_training --sparsity=0.9 --threads=1
    python -m benchmarks.sparse_training --sparsity=0.98 --widths=784,4096,4096,10 --examples=8192 --threads=1

The model is fully connected with ReLU, trained with Adam on batches of 128 of MNIST. What is timed is an epoch with the
evaluation on the test images after it. The engine uses one thread, whatever their number. `--clock=processor` counts
the processor's time of the process, which others on the machine disturb less; it is meant for one thread.
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import harness, training_step
from benchmarks.rivals import Contender, Problem
from weight_symmetry import masks
from weirdonetworks.lab.data import datasets

OURS = "benchmarks.training_step"
RIVALS = "benchmarks.rivals"
VARIANTS = (
    harness.Variant("sparse", "ours, execution=sparse", f"{OURS}:ours_sparse", needs=("numba",)),
    harness.Variant("graph", "ours, execution=graph", f"{OURS}:ours_graph"),
    harness.Variant("xla", "ours, execution=xla", f"{OURS}:ours_xla"),
    harness.Variant("jax_scan", "JAX: lax.scan an epoch", f"{RIVALS}.jax_scan:scan_epoch", needs=("jax",)),
    harness.Variant(
        "pytorch_best", "PyTorch: resident tensors, fused Adam", f"{RIVALS}.pytorch:resident", needs=("torch",)
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        "One sparse model trained on MNIST: seconds an epoch",
        VARIANTS,
        run="benchmarks.sparse_training:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Trains by one contender, and times each epoch after the first; raises as `training_step.run`."""
    data = datasets.load("MNIST").cut(options["examples"])
    shapes = list(itertools.pairwise(options["widths"]))
    problem = Problem(
        train=data.train,
        test=data.test,
        standardisation=data.standardisation,
        masks=masks.create("random", shapes, options["sparsity"], seed=options["round"]),
        epochs=1 + options["epochs"],
        seed=options["round"],
        threads=threads,
    )
    return training_step.timed(contender, problem, 1, harness.CLOCKS[options["clock"]])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sparsity", type=float, default=0.9, help="share of weights that is masked (%(default)s)")
    parser.add_argument(
        "--widths", type=_widths, default=(784, 300, 100, 10), help="units of each layer, inputs first (%(default)s)"
    )
    parser.add_argument("--examples", type=harness.positive, default=60000, help="training images (%(default)s)")
    parser.add_argument("--epochs", type=harness.positive, default=3, help="timed epochs per process (%(default)s)")
    parser.add_argument("--clock", choices=harness.CLOCKS, default="wall", help="what is timed (%(default)s)")


def _widths(text: str) -> tuple[int, ...]:
    widths = tuple(map(harness.positive, text.split(",")))
    if len(widths) < 2 or (widths[0], widths[-1]) != (784, 10):
        raise argparse.ArgumentTypeError(f"{text} must begin with 784, the pixels, and end with 10, the classes.")
    return widths


def _caption(options: Mapping[str, Any]) -> str:
    widths = "-".join(map(str, options["widths"]))
    return (
        f"Seconds an epoch of {options['examples']:,} images ({options['clock']} clock), {widths}, "
        f"{options['sparsity']:.0%} masked, timed epochs a round: {options['epochs']}"
    )


if __name__ == "__main__":
    sys.exit(main())
