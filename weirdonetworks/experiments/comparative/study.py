"""Steps of the experiment `comparative`: train, measure, draw, table."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks import ComparativeMLP, lab
from weirdonetworks.experiments.comparative import ComparativeConfig
from weirdonetworks.measure.neighbours import nearest_labels

NETWORKS = ("symmetric", "ordered")
NEIGHBOURS = {"k_nearest": "k nearest", "nearest": "nearest"}
QUERIES = 100  # Test images per batch, each compared with all stored examples.


def run(study: lab.Study[ComparativeConfig]) -> None:
    """Trains the networks and measures them."""
    config, data = study.config, study.load()
    fewest = np.bincount(data.train.labels, minlength=len(data.classes)).min()
    if max(config.stored) > fewest:
        raise lab.UsageError(
            f"stored (={max(config.stored)}) must be at most {fewest}, the training images of the rarest class."
        )

    def train(name: str) -> list[lab.Trained]:
        sizes = config.code_sizes, config.head_sizes
        make = functools.partial(ComparativeMLP, *sizes, is_symmetric=name == "symmetric")
        return study.repeat(name, make, data, lambda network: comparison(network, data.standardisation))

    trained = {name: train(name) for name in NETWORKS}
    stored = list(dict.fromkeys(config.stored))

    def classified(number: int, trial: ComparativeConfig) -> dict[str, dict[str, float]]:
        networks = {name: each[number].network for name, each in trained.items()}
        accuracies: dict[str, dict[str, float]] = {name: {} for name in (*NETWORKS, *NEIGHBOURS)}
        for k in stored:
            draws = [measure(networks, data, k, trial.random_seed, draw) for draw in range(config.draws)]
            for name, by_number in accuracies.items():
                by_number[str(k)] = float(np.mean([accuracy[name] for accuracy in draws]))
        return accuracies

    results = {
        "stored": stored,
        "parameters": {name: each[0].parameters for name, each in trained.items()},
        "pairs": {name: lab.final(each, "test_accuracy") for name, each in trained.items()},
        "swapped": {name: lab.final(each, "test_swapped") for name, each in trained.items()},
        "classified": lab.spreads([classified(number, trial) for number, trial in enumerate(config.trials())]),
        "curves": {name: each[0].by_epoch("test_accuracy") for name, each in trained.items()},
    }
    study.finish(results, draw)


def comparison(network: ComparativeMLP, preprocess: Any) -> lab.Objective:
    """Makes the objective of a network on pairs of images: cross-entropy `loss`, `accuracy`, and `swapped`.

    Each image of a batch is paired with another one, every second image with one of its own class. Outside training the
    seed is the same for each batch, and so are the pairs. `swapped` is the share of pairs whose answer changes with the
    order of the two images.
    """

    def objective(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        partners = draw_partners(labels, seed)
        codes = network.encode(preprocess(images))
        others = tf.gather(codes, partners)
        forth, back = network.compare(codes, others), network.compare(others, codes)
        is_same = tf.equal(labels, tf.gather(labels, partners))
        return {
            "loss": tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(is_same, forth.dtype), forth),
            "accuracy": tf.cast(tf.equal(forth > 0, is_same), forth.dtype),
            "swapped": tf.cast(tf.not_equal(forth > 0, back > 0), forth.dtype),
        }

    return objective


def draw_partners(labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws a partner in the batch for each example: at even indices of the same class, at odd ones of another.

    The draw is uniform over the candidates; where there is none, the partner is the first example of the batch.

    Args:
      labels: Integers, `[batch]`.
      seed: int32 `[2]`.

    Returns:
      Indices, int32 `[batch]`.
    """
    size = tf.size(labels)
    priorities = tf.random.stateless_uniform([size, size], seed, alg="philox")
    wants_same = tf.range(size)[:, tf.newaxis] % 2 == 0
    is_candidate = tf.equal(tf.equal(labels[:, tf.newaxis], labels), wants_same)
    is_candidate = tf.logical_and(is_candidate, tf.logical_not(tf.eye(size, dtype=tf.bool)))
    return tf.argmax(tf.where(is_candidate, priorities, -1.0), axis=1, output_type=tf.int32)


def measure(
    networks: Mapping[str, ComparativeMLP], data: lab.Dataset, k: int, seed: int, number: int
) -> dict[str, float]:
    """Measures the accuracy of each classification of the test images by k stored examples of each class."""
    generator = lab.seeds.generator(seed, "stored", k, number)
    classes = range(len(data.classes))
    chosen = [generator.choice(np.flatnonzero(data.train.labels == each), k, replace=False) for each in classes]
    stored = data.train[np.concatenate(chosen)]
    guesses = {name: _classify(network, data, stored, k) for name, network in networks.items()}
    for name, voters in (("k_nearest", k), ("nearest", 1)):
        guesses[name] = nearest_labels(stored.images / 255, stored.labels, data.test.images / 255, voters)
    return {name: float(np.mean(guess == data.test.labels)) for name, guess in guesses.items()}


def _classify(network: ComparativeMLP, data: lab.Dataset, stored: lab.Split, k: int) -> npt.NDArray[np.intp]:
    """Classifies each test image by the greatest mean logit over the stored examples of a class."""
    codes = network.encode(data.standardisation(tf.constant(stored.images)))

    @tf.function(autograph=False)
    def matches(images: tf.Tensor) -> tf.Tensor:
        logits = network.compare(network.encode(data.standardisation(images))[:, tf.newaxis], codes)
        return tf.reduce_mean(tf.reshape(logits, [-1, len(data.classes), k]), axis=2)

    parts = range(0, len(data.test), QUERIES)
    found = [matches(tf.constant(data.test.images[start : start + QUERIES])) for start in parts]
    return np.argmax(np.concatenate(found), axis=1)


def draw(found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the accuracy on pairs by epoch, and that of classification by the number of stored examples."""
    figure, (pairs, classified) = lab.plots.grid(2, heights=3.2)
    for name, curve in found["curves"].items():
        lab.plots.by_epoch(pairs, curve, label=f"{name} network")
    pairs.set(title="Same digit or not: test pairs", ylabel="accuracy (%)")
    pairs.legend(loc="lower right")
    for name, by_k in found["classified"].items():
        label = NEIGHBOURS.get(name, f"{name} network")
        lab.plots.error_bars(classified, found["stored"], by_k.values(), marker="o", label=label)
    classified.set(title="Used as a classifier", xlabel="stored examples per class", ylabel="test accuracy (%)")
    classified.set(xscale="log", ylim=(None, 102))
    lab.plots.label_ticks(classified, found["stored"])
    lab.plots.label_lines(classified)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    labels = {name: f"{name} network" for name in NETWORKS}
    share = "{0[mean]:.2%}".format
    rows = [[label, share(found["pairs"][name]), share(found["swapped"][name])] for name, label in labels.items()]
    yield lab.table(["test pairs", "accuracy", "answers that change when swapped"], rows)
    labels |= NEIGHBOURS
    rows = [[label, *map(lab.percent, found["classified"][name].values())] for name, label in labels.items()]
    yield lab.table(["test accuracy, examples a class", *map(str, found["stored"])], rows)
