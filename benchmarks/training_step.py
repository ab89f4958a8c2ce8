"""Training of one masked model: this project beside Keras, tf.data, PyTorch and JAX.

    python -m benchmarks.training_step --threads=2,1 --json=training_step.json
    python -m benchmarks.training_step --model=CIFAR10_CNN --examples=2560 --data_dir=FOLDER

The model, 784-300-100-10 by default, has 90% of its weights masked, is trained with Adam on batches of 128 from the
images of MNIST or CIFAR10, and evaluated on the test images after each epoch. What is timed is an epoch with its
evaluation. Ours records the loss, the accuracy and the gradient norm of every step meanwhile; the others record what
they do by themselves. `--clock=processor` counts the time of the processors instead, all threads together, which others
on the machine disturb less.

CIFAR10 is read from `--data_dir`. Without it images and labels are drawn at random, and the accuracy says nothing.
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
from weight_symmetry.models.widths import FILTERS
from weirdonetworks.lab import seeds
from weirdonetworks.lab.data import datasets

WIDTHS = (784, 300, 100, 10)
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "MNIST_FC": list(itertools.pairwise(WIDTHS)),
    "MNIST_CNN": [*((5, 5, *each) for each in itertools.pairwise((1, *FILTERS["MNIST_CNN"]))), (32, 64), (64, 10)],
    "CIFAR10_CNN": [*((3, 3, *each) for each in itertools.pairwise((3, *FILTERS["CIFAR10_CNN"]))), (128, 10)],
}
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
        "One masked model, MNIST_FC (784-300-100-10), MNIST_CNN or CIFAR10_CNN, trained: seconds an epoch",
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
    data = datasets.load("MNIST") if options["model"] != "CIFAR10_CNN" else _cifar10(options["data_dir"])
    if options["examples"]:
        data = data.cut(options["examples"])
    problem = Problem(
        train=data.train,
        test=data.test,
        standardisation=data.standardisation,
        masks=masks.create("random", SHAPES[options["model"]], SPARSITY, seed=options["round"]),
        model=options["model"],
        epochs=options["warmup"] + options["epochs"],
        seed=options["round"],
        threads=threads,
    )
    return timed(contender, problem, options["warmup"], harness.CLOCKS[options["clock"]])


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
    widths = {"features": [mask.shape[1] for mask in problem.masks[:-1]]} if problem.model == "MNIST_FC" else {}
    network = models.MODELS[problem.model](**widths)
    network(problem.inputs(problem.train)[:1], is_training=False)
    masks = Masks(network)

    def objective(network: Any) -> objectives.Objective:
        return objectives.classification(network, problem.standardisation, takes=("is_training", "seed"))

    optimizer = masks.wrap(optimizers.Adam())
    sizes: dict[str, Any] = {"batch_size": problem.batch_size, "batch_size_test": problem.batch_size_test}
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


def _cifar10(data_dir: str | None) -> datasets.Dataset:
    """Loads CIFAR10, or draws as many random images of its shape."""
    if data_dir:
        return datasets.load("CIFAR10", data_dir)
    rng = np.random.default_rng(0)

    def split(examples: int) -> datasets.Split:
        images = rng.integers(256, size=(examples, 32, 32, 3), dtype=np.uint8)
        return datasets.Split(images, rng.integers(10, size=examples, dtype=np.int32))

    train, test = split(50_000), split(10_000)
    standardisation = datasets.Standardisation.of(train.images)
    return datasets.Dataset("random images", train, test, tuple(map(str, range(10))), standardisation)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=SHAPES, default="MNIST_FC", help="the classifier (%(default)s)")
    parser.add_argument("--data_dir", help="folder of CIFAR10 (none: random images are drawn)")
    parser.add_argument("--clock", choices=harness.CLOCKS, default="wall", help="what is timed (%(default)s)")
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
    is_random = options["model"] == "CIFAR10_CNN" and not options["data_dir"]
    return (
        f"{options['model']}, seconds an epoch ({options['clock']} clock), {images}{' random' * is_random} images, "
        f"{SPARSITY:.0%} masked, timed epochs a round: {options['epochs']}"
    )


if __name__ == "__main__":
    sys.exit(main())
