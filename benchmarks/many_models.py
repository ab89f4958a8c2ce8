"""Training of many masked models at once: this project beside PyTorch and JAX.

    python -m benchmarks.many_models --models=16 --json=many_models.json

The models are those of `benchmarks.training_step`, each with its own mask, initial weights and order of the examples;
`--variants=sparse,jax_processes` compares the sparse engine, which `--sparsity` lets gain more.
What is timed is the training of all of them, with an evaluation on the test images after each epoch, after everything
is compiled; the seconds are those of one epoch of one model.
"""

import argparse
import contextlib
import dataclasses
import itertools
import multiprocessing
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from benchmarks import harness, rivals
from benchmarks.rivals import Problem, jax_scan, pytorch
from benchmarks.training_step import SPARSITY, WIDTHS
from weight_symmetry import masks
from weirdonetworks.lab import machine, seeds
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records.tables import counted

HERE = "benchmarks.many_models"
_barrier: Any = None  # At which a process waits until all are ready; set in processes made for it.
VARIANTS = (
    harness.Variant("ours", "ours, a model a core in threads", f"{HERE}:a_model_a_core"),
    harness.Variant(
        "sparse", "ours, execution=sparse, a model a core", f"{HERE}:sparse_model_a_core", needs=("numba",)
    ),
    harness.Variant("batched", "ours, all in one program", f"{HERE}:batched"),
    harness.Variant("shared", "ours, in one program, one order for all", f"{HERE}:batched_in_one_order"),
    harness.Variant("jax_vmap", "JAX: vmap, lax.scan", "benchmarks.rivals.jax_scan:vmap_models", needs=("jax",)),
    harness.Variant("jax_map", "JAX: lax.map, lax.scan", "benchmarks.rivals.jax_scan:map_models", needs=("jax",)),
    harness.Variant("jax_processes", "JAX: lax.scan, a process a core", f"{HERE}:jax_processes", needs=("jax",)),
    harness.Variant("pytorch_vmap", "PyTorch: vmap", "benchmarks.rivals.pytorch:vmap_models", needs=("torch",)),
    harness.Variant(
        "pytorch_processes",
        "PyTorch: resident, a process a core",
        f"{HERE}:pytorch_processes",
        needs=("torch",),
    ),
    harness.Variant("pytorch", "PyTorch: prune, DataLoader, in turn", f"{HERE}:pytorch_in_turn", needs=("torch",)),
)


class Contender(Protocol):
    """A function that trains many models.

    Args:
      problems: The models' problems, alike but for masks and seeds.
      ready: To be called once, when all is compiled and the training begins.

    Returns:
      Each model's test accuracy at the end.
    """

    def __call__(self, problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        "Many masked models, 784-300-100-10, trained on MNIST: seconds an epoch of one model",
        VARIANTS,
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Times one contender's training, from when it is ready."""
    data = datasets.load("MNIST")
    shapes = list(itertools.pairwise(WIDTHS))
    first = options["round"] * options["models"]
    problem = Problem(
        train=data.train,
        test=data.test,
        standardisation=data.standardisation,
        masks=[],
        epochs=options["epochs"],
        seed=first,
        threads=threads,
    )
    problems = [
        dataclasses.replace(problem, masks=masks.create("random", shapes, options["sparsity"], seed=seed), seed=seed)
        for seed in range(first, first + options["models"])
    ]
    started = []
    accuracies = contender(problems, lambda: started.append(time.perf_counter()))
    seconds = time.perf_counter() - started[0]
    if len(accuracies) != len(problems):
        raise RuntimeError(f"{len(accuracies)} models were trained instead of {len(problems)}.")
    figures = {"lowest_test_accuracy": min(accuracies), "mean_test_accuracy": statistics.fmean(accuracies)}
    return harness.Sample([seconds / (len(problems) * options["epochs"])], figures)


def sparse_model_a_core(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains as a driver's trials in threads with `--execution=sparse`."""
    return a_model_a_core(problems, ready, is_sparse=True)


def a_model_a_core(problems: Sequence[Problem], ready: Callable[[], None], is_sparse: bool = False) -> Sequence[float]:
    """Trains as a driver's trials in threads: one trainer per core, each traced once and reused for the next model."""
    import tensorflow as tf

    # As `startup.import_tensorflow` does for many models: an operation has one thread.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(problems[0].threads)

    from weirdonetworks.lab.training.trainer import Resident, Trainer

    splits = Resident(problems[0].train), Resident(problems[0].test)

    def runner() -> tuple[Any, Any]:
        own, settings = _ours(problems[0])
        if is_sparse:
            from weight_symmetry.sparse import SparseTrainer

            standardisation = problems[0].standardisation
            trainer: Trainer = SparseTrainer(train=splits[0], standardisation=standardisation, **settings)
            _start(own, problems[0])  # Without masks it would compile dense products.
        else:
            trainer = Trainer(train=splits[0], execution="graph", **settings)
        trainer.epoch(np.arange(len(splits[0])), np.zeros(trainer.steps_per_epoch), (0, 0))
        trainer.evaluate(splits[1])
        return own, trainer

    runners = [runner() for _ in range(problems[0].threads)]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(problems)):
        waiting.put(number)
    accuracies = [0.0] * len(problems)

    def work(own: Any, trainer: Any) -> None:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            problem = problems[number]
            _start(own, problem)
            trainer.state.restart()
            rates = np.full(trainer.steps_per_epoch, problem.learning_rate)
            for epoch in range(problem.epochs):
                order = seeds.generator(problem.seed, "shuffle", epoch).permutation(len(splits[0]))
                trainer.epoch(order, rates, seeds.derive(problem.seed, "dropout", epoch))
                accuracies[number] = trainer.evaluate(splits[1])["accuracy"]

    ready()
    with ThreadPoolExecutor(len(runners)) as pool:
        for future in [pool.submit(work, *bench) for bench in runners]:
            future.result()
    return accuracies


def batched(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains all models in one program, the choice for accelerators."""
    return _together(problems, ready, [problem.seed for problem in problems])


def batched_in_one_order(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains all models in one program, in the first one's order of the examples."""
    return _together(problems, ready, [problems[0].seed])


def _together(problems: Sequence[Problem], ready: Callable[[], None], order_seeds: Sequence[int]) -> Sequence[float]:
    harness.tensorflow_threads(problems[0].threads)
    from weirdonetworks.lab.training.trainer import Resident, Trainer

    train, test = Resident(problems[0].train), Resident(problems[0].test)
    own, settings = _ours(problems[0])
    trainer = Trainer(train=train, count=len(problems), execution="xla", **settings)
    rates = np.full(trainer.steps_per_epoch, problems[0].learning_rate)
    orders = np.squeeze(np.tile(np.arange(len(train)), (len(order_seeds), 1)))
    trainer.epoch(orders, np.zeros_like(rates), [(0, 0)] * len(problems))
    trainer.evaluate(test)
    ready()
    for index, problem in enumerate(problems):
        with trainer.member(index) as one:
            _start(own, problem)
            one.state.restart()
    for epoch in range(problems[0].epochs):
        orders = np.stack([seeds.generator(seed, "shuffle", epoch).permutation(len(train)) for seed in order_seeds])
        trainer.epoch(np.squeeze(orders), rates, [seeds.derive(problem.seed, "dropout", epoch) for problem in problems])
        accuracies = trainer.evaluate(test)["accuracy"]
    return accuracies


def pytorch_in_turn(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains one after another by the usual loop over a `DataLoader`."""
    return _in_turn(pytorch.prune_and_data_loader, problems, ready)


def pytorch_processes(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains one after another in each of as many processes as there are cores, on resident tensors."""
    return _processes(_pytorch_resident, problems, ready)


def jax_processes(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains one after another in each of as many processes as there are cores, an epoch a `lax.scan`."""
    return _processes(jax_scan.models_in_turn, problems, ready)


def _pytorch_resident(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    return _in_turn(pytorch.resident, problems, ready)


def _in_turn(train: rivals.Contender, problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains models one after another by a contender for one model that needs no compilation."""
    harness.pytorch_threads(problems[0].threads)
    for split in (problems[0].train, problems[0].test):
        problems[0].inputs(split)
    ready()
    last = []
    for problem in problems:
        accuracies: list[float] = []
        train(problem, accuracies.append)
        last.append(accuracies[-1])
    return last


def _ours(problem: Problem) -> tuple[Any, dict[str, Any]]:
    """Makes the masks of our network, and the arguments of our trainer."""
    from weight_symmetry import models
    from weirdonetworks.lab.training import objectives, optimizers

    network = models.MNIST_FC(features=[mask.shape[1] for mask in problem.masks[:-1]])
    network(problem.inputs(problem.train)[:1], is_training=False)
    own = masks.Masks(network)
    return own, {
        "network": network,
        "optimizer": own.wrap(optimizers.Adam()),
        "objective": lambda network: objectives.classification(
            network, problem.standardisation, takes=("is_training", "seed")
        ),
        "batch_size": problem.batch_size,
        "batch_size_test": problem.batch_size_test,
    }


def _start(own: "masks.Masks", problem: Problem) -> None:  # In quotes: read, it would import TensorFlow.
    from weight_symmetry import models

    own.set(problem.masks)
    models.initialise(own, problem.seed)


def _processes(train: Contender, problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Distributes the problems over processes of one thread each, which start together."""
    context = multiprocessing.get_context("spawn")
    count = min(problems[0].threads, len(problems))
    barrier = context.Barrier(count + 1)
    alone = [dataclasses.replace(problem, threads=1) for problem in problems]
    accuracies = [0.0] * len(problems)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_share, initargs=(barrier,)) as pool:
        futures = [pool.submit(_work, train, alone[number::count], number) for number in range(count)]
        with contextlib.suppress(threading.BrokenBarrierError):  # What broke it is raised with the results.
            barrier.wait()
            ready()
        for number, future in enumerate(futures):
            accuracies[number::count] = future.result()
    return accuracies


def _share(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _work(train: Contender, problems: Sequence[Problem], number: int) -> Sequence[float]:
    machine.keep_to([machine.cores()[number]])
    try:
        return train(problems, _barrier.wait)
    except BaseException:
        _barrier.abort()
        raise


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=harness.positive, default=16, help="number of models (%(default)s)")
    parser.add_argument("--epochs", type=harness.positive, default=1, help="epochs of each (%(default)s)")
    parser.add_argument("--sparsity", type=float, default=SPARSITY, help="share of weights masked (%(default)s)")


def _caption(options: Mapping[str, Any]) -> str:
    return (
        f"Seconds an epoch of one model, {counted(options['models'], 'model')}, {options['sparsity']:.0%} masked, "
        f"{counted(options['epochs'], 'epoch')}"
    )


if __name__ == "__main__":
    sys.exit(main())
