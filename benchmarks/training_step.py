"""Training of one masked model: this project beside Keras, tf.data, PyTorch and JAX.

    python -m benchmarks.training_step --threads=2,1 --json=training_step.json

The model is 784-300-100-10 with 90% of its weights masked, trained with Adam on batches of 128 from the 60,000 images
of MNIST, and evaluated on the 10,000 test images after each epoch. What is timed is an epoch with its evaluation. Ours
records the loss, the accuracy and the gradient norm of every step meanwhile; the others record what they do by
themselves.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Contender, Finished, Problem
from weight_symmetry import masks
from weirdonetworks.lab import seeds
from weirdonetworks.lab.data import datasets

WIDTHS = (784, 300, 100, 10)
SPARSITY = 0.9

RIVALS = "benchmarks.rivals"
VARIANTS = (
    harness.Variant("ours", "ours", "benchmarks.training_step:ours"),
    harness.Variant("ours_xla", "ours, execution=xla", "benchmarks.training_step:ours_xla"),
    harness.Variant("ours_graph", "ours, execution=graph", "benchmarks.training_step:ours_graph"),
    harness.Variant("tf_data", "tf.data + Sonnet: decode, map, shuffle, batch", f"{RIVALS}.tf_data:usual"),
    harness.Variant("tf_data_guide", "tf.data + Sonnet: map, cache, shuffle, batch", f"{RIVALS}.tf_data:guide"),
    harness.Variant(
        "tf_data_best", "tf.data + Sonnet: cached, batched before map", f"{RIVALS}.tf_data:batched_before_map"
    ),
    harness.Variant("keras", "Keras fit", f"{RIVALS}.keras_fit:fit"),
    harness.Variant(
        "keras_epoch", "Keras fit, steps_per_execution = epoch", f"{RIVALS}.keras_fit:fit_epoch_per_execution"
    ),
    harness.Variant(
        "pytorch", "PyTorch: prune, DataLoader", f"{RIVALS}.pytorch:prune_and_data_loader", needs=("torch",)
    ),
    harness.Variant(
        "pytorch_best", "PyTorch: resident tensors, fused Adam", f"{RIVALS}.pytorch:resident", needs=("torch",)
    ),
    harness.Variant("jax", "JAX: jit a step", f"{RIVALS}.jax_scan:jit_step", needs=("jax",)),
    harness.Variant("jax_scan", "JAX: lax.scan an epoch", f"{RIVALS}.jax_scan:scan_epoch", needs=("jax",)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        "One masked model, 784-300-100-10, trained on MNIST: seconds an epoch",
        VARIANTS,
        run="benchmarks.training_step:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Trains by one contender, and times each epoch after the warm-up.

    Raises:
      RuntimeError: If a masked weight was not zero in the end, or not all epochs were trained.
    """
    data = datasets.load("MNIST")
    if options["examples"]:
        data = data.cut(options["examples"])
    shapes = list(itertools.pairwise(WIDTHS))
    problem = Problem(
        train=data.train,
        test=data.test,
        standardisation=data.standardisation,
        masks=masks.create("random", shapes, SPARSITY, seed=options["round"]),
        epochs=options["warmup"] + options["epochs"],
        seed=options["round"],
        threads=threads,
    )
    return timed(contender, problem, options["warmup"])


def timed(
    contender: Contender, problem: Problem, warmup: int, clock: Callable[[], float] = time.perf_counter
) -> harness.Sample:
    """Trains by a contender, and times each epoch after some; raises as `run`."""
    times, accuracies = [], []

    def finished(accuracy: float) -> None:
        times.append(clock())
        accuracies.append(accuracy)

    weights = contender(problem, finished)
    if len(times) != problem.epochs:
        raise RuntimeError(f"{len(times)} epochs were trained instead of {problem.epochs}.")
    for index, (weight, mask) in enumerate(zip(weights, problem.masks, strict=True)):
        if weight.shape != mask.shape or weight[~mask].any():
            raise RuntimeError(f"layer {index}: a masked weight is not zero.")
    return harness.Sample(np.diff(times[warmup - 1 :]).tolist(), {"test_accuracy": accuracies[-1]})


def ours(problem: Problem, finished: Finished, execution: str = "auto") -> Sequence[npt.NDArray[np.floating]]:
    """Trains by `weirdonetworks.lab.training.trainer.Trainer`, or by `SparseTrainer` if `execution` is sparse."""
    harness.tensorflow_threads(problem.threads)
    from weight_symmetry import models
    from weight_symmetry.masks import Masks
    from weirdonetworks.lab.training import objectives, optimizers
    from weirdonetworks.lab.training.trainer import Resident, Trainer

    train, test = Resident(problem.train), Resident(problem.test)
    network = models.MNIST_FC(features=[mask.shape[1] for mask in problem.masks[:-1]])
    network(problem.inputs(problem.train)[:1], is_training=False)
    masks = Masks(network)

    def objective(network: Any) -> objectives.Objective:
        return objectives.classification(network, problem.standardisation, takes=("is_training", "seed"))

    optimizer = masks.wrap(optimizers.Adam())
    sizes = {"batch_size": problem.batch_size, "batch_size_test": problem.batch_size_test}
    if execution == "sparse":
        from weight_symmetry.sparse import SparseTrainer

        trainer: Trainer = SparseTrainer(network, optimizer, objective, train, problem.standardisation, **sizes)
    else:
        trainer = Trainer(network, optimizer, objective, train, execution=execution, **sizes)
    masks.set(problem.masks)
    models.initialise(masks, problem.seed)
    trainer.state.restart()
    rates = np.full(trainer.steps_per_epoch, problem.learning_rate)
    for epoch in range(problem.epochs):
        order = seeds.generator(problem.seed, "shuffle", epoch).permutation(len(train))
        trainer.epoch(order, rates, seeds.derive(problem.seed, "dropout", epoch))
        finished(trainer.evaluate(test)["accuracy"])
    return [layer.w.numpy() for layer in network.layers]


def ours_xla(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by ours, compiled by XLA."""
    return ours(problem, finished, execution="xla")


def ours_graph(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by ours, in TensorFlow's own executor."""
    return ours(problem, finished, execution="graph")


def ours_sparse(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by ours, unmasked weights only."""
    return ours(problem, finished, execution="sparse")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=harness.positive, default=5, help="timed epochs per process (%(default)s)")
    parser.add_argument("--warmup", type=harness.positive, default=1, help="warm-up epochs before those (%(default)s)")
    parser.add_argument("--examples", type=_examples, help="number of training and test images (all)")


def _examples(text: str) -> int:
    examples = harness.positive(text)
    if examples < Problem.batch_size:
        raise argparse.ArgumentTypeError(f"{examples} must be at least {Problem.batch_size}, one batch.")
    return examples


def _caption(options: Mapping[str, Any]) -> str:
    images = f"the first {options['examples']:,}" if options["examples"] else "all"
    return f"Seconds an epoch, {images} images, {SPARSITY:.0%} masked, timed epochs a round: {options['epochs']}"


if __name__ == "__main__":
    sys.exit(main())
