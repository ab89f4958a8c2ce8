"""The networks on sets that `set_functions` compares, each made of a width and a task; and the time of a step.

All end in dense layers, of that width and of the task's outputs; in the two networks with attention, whose four heads
each have that width, the first of them is four times as wide.
"""

import functools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import sonnet as snt
import tensorflow as tf

import weirdonetworks
from weirdonetworks import lab, pooling
from weirdonetworks.nets.sets.set_network import on_items

LARGE = 50  # Items; of more the pairs of all sets of a batch no longer fit.
ORDERS = 720  # Most orders over which a network is averaged exactly.
SAMPLES = 16  # Orders where they are drawn.
HEADS = 4
BATCH, FEATURES = 16, 3  # Of the random sets.
Maker: TypeAlias = Callable[[int, lab.Task], snt.Module]  # Of a width and a task.
WARM_UP, REPETITIONS = 3, 31  # Steps that are not timed, and steps that are.


class _Pooled(snt.Module):
    """Layers that commute with permutations of the items, their mean over the items, and dense layers."""

    def __init__(self, layers: list[Any], head: list[int]):
        """Constructs the network.

        Args:
          layers: Each maps sets and a mask to sets.
          head: The widths of the dense layers.
        """
        super().__init__(name="pooled")
        self.layers = layers
        self.head = snt.nets.MLP(head, name="head")

    def __call__(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to `[batch, head[-1]]`."""
        for layer in self.layers:
            inputs = tf.tanh(layer(inputs, mask))
        return self.head(pooling.mean(inputs, mask))


class _Encoded(snt.Module):
    """A dense layer on each item or none, an encoder of sets, and dense layers."""

    def __init__(self, item: Callable[[tf.Tensor], tf.Tensor], encoder: Any, head: list[int]):
        """Constructs the network.

        Args:
          item: Maps items `[batch, features]`.
          encoder: Maps sets and a mask to vectors.
          head: The widths of the dense layers.
        """
        super().__init__(name="encoded")
        self.item = item
        self.encoder = encoder
        self.head = snt.nets.MLP(head, name="head")

    def __call__(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to `[batch, head[-1]]`."""
        return self.head(tf.tanh(self.encoder(on_items(self.item, inputs), mask)))


class _WithPresence(snt.Module):
    """A network on sets whose last feature is the mask: positive for items that are present."""

    def __init__(self, network: Any):
        """Wraps a network that is called with sets and a mask."""
        super().__init__(name="with_presence")
        self.network = network

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, items, features + 1]` to the output of the network."""
        return self.network(inputs[:, :, :-1], inputs[:, :, -1] > 0)


def _plain(width: int, task: lab.Task) -> snt.Module:
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([width, width, task.outputs])])


def _symmetrized(method: str, width: int, task: lab.Task) -> snt.Module:
    plain, name = _plain(width, task), f"symmetrized_{method}"
    return weirdonetworks.Symmetrized(plain, method=method, limit=ORDERS, samples=SAMPLES, name=name)


def _equivariant(degree: int, width: int, task: lab.Task) -> snt.Module:
    # Of the items' own features, which may be many, the linear maps alone.
    first = weirdonetworks.PermutationEquivariantLinear(width)
    second = weirdonetworks.PermutationEquivariantPolynomial(width, degree)
    return _Pooled([first, second], [width, task.outputs])


def _invariant(degree: int, width: int, task: lab.Task) -> snt.Module:
    item = snt.nets.MLP([width], activation=tf.tanh, activate_final=True, name="item")
    return _Encoded(item, weirdonetworks.PermutationInvariantPolynomial(width, degree), [width, task.outputs])


def _inducing(task: lab.Task) -> int | None:
    return 16 if task.items > LARGE else None


def _set_attention(width: int, task: lab.Task) -> snt.Module:
    blocks = [
        weirdonetworks.SetAttention(HEADS * width, HEADS, _inducing(task), with_norm=False, name=f"block_{index}")
        for index in range(2)
    ]
    return _Pooled(blocks, [HEADS * width, task.outputs])


def _set_transformer(width: int, task: lab.Task) -> snt.Module:
    # The layer norm would hide the size of numbers.
    head = [HEADS * width, task.outputs]
    return weirdonetworks.SetTransformer(HEADS * width, head, 2, HEADS, _inducing(task), with_norm=False)


def _fourier(width: int, task: lab.Task) -> snt.Module:
    features = task.train.images.shape[2] - task.has_absent
    # So that the phases of the items are about two radians.
    encoder = weirdonetworks.FourierSetEncoder(width, features, scale=2 / task.length)
    return _Encoded(tf.identity, encoder, [width, task.outputs])


def _free_abelian(width: int, task: lab.Task) -> snt.Module:
    item = snt.nets.MLP([width, 4], name="item")
    return _Encoded(item, weirdonetworks.FreeAbelianEncoder(width, width), [width, task.outputs])


DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3}
METHODS = ("exact", "sampled", "canonical", "adjacent")
MAKERS: dict[str, Maker] = {
    "plain": _plain,
    **{f"equivariant_{name}": functools.partial(_equivariant, degree) for name, degree in DEGREES.items()},
    **{f"invariant_{name}": functools.partial(_invariant, degree) for name, degree in DEGREES.items()},
    **{f"symmetrized_{method}": functools.partial(_symmetrized, method) for method in METHODS},
    "deep_sets": lambda width, task: weirdonetworks.DeepSets([width, width], [width, task.outputs]),
    "point_net": lambda width, task: weirdonetworks.PointNet([width], [width], [width, task.outputs]),
    "relation": lambda width, task: weirdonetworks.RelationNetwork([width, width], [width, task.outputs]),
    "set_attention": _set_attention,
    "set_transformer": _set_transformer,
    "fourier": _fourier,
    "free_abelian": _free_abelian,
}


def make(name: str, width: int, task: lab.Task) -> snt.Module:
    """Makes a network.

    Args:
      name: One of `MAKERS`.
      width: Its width, at least 1.
      task: The task.
    """
    network = MAKERS[name](width, task)
    # The dense layers see who is present as any other feature.
    is_dense = name == "plain" or name.startswith("symmetrized")
    return _WithPresence(network) if task.has_absent and not is_dense else network


def left_out(name: str, task: lab.Task) -> str | None:
    """Gives the reason why a network is too expensive for a task's sets; None if it is not."""
    if name == "symmetrized_exact" and math.factorial(min(task.items, 20)) > ORDERS:
        return f"a set of {task.items} items has more than {ORDERS} orders"
    if name == "symmetrized_adjacent" and task.items > LARGE:
        return f"it would run {task.items} copies of the dense network on each set"
    if name == "relation" and task.items > LARGE:
        return f"a set of {task.items} items has {task.items**2:,} pairs"
    return None


def random_task(items: int, seed: int) -> lab.Task:
    """Makes a task of one batch of random sets and numbers, to time a step on.

    Args:
      items: The items of a set, at least 1.
      seed: The seed of sets and numbers.
    """
    rng = lab.seeds.generator(seed, "sets", "times", str(items))
    sets, numbers = (rng.standard_normal((BATCH, *shape), np.float32) for shape in ((items, FEATURES), (1,)))
    batch = lab.Examples(sets, numbers)
    return lab.Task("random", "number", 1, batch, batch)


def step_milliseconds(name: str, width: int, task: lab.Task) -> float:
    """Measures the median time, in milliseconds, of a compiled forward pass and gradient on all training sets.

    Args:
      name: One of `MAKERS`.
      width: The network's width, at least 1.
      task: The task, whose answers are numbers.
    """
    network = make(name, width, task)

    @tf.function(autograph=False)
    def step(sets: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(sets) - answers) ** 2)
        # One number that needs every gradient: none is left out, and to read it is to wait for all.
        return tf.linalg.global_norm(tape.gradient(loss, network.trainable_variables))

    train = task.residents["train"]
    network(train.images)  # Makes its variables.
    seconds = []
    for _ in range(WARM_UP + REPETITIONS):
        start = time.perf_counter()
        step(train.images, train.labels).numpy()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[WARM_UP:])
