"""Time of a training step (forward, gradient, Adam) of each network on sets, by the number n of items.

    python -m benchmarks.set_networks --threads=2 --rounds=3 --json=set_networks.json

Sets have n items of 3 features, in batches of 16; networks have layers of width 32. Each process times one network at
every n. The table has seconds at n = 100 and milliseconds at each n, nan where a step would hold hundreds of megabytes
of pairs or of orders.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import harness

ITEMS = (10, 30, 100, 300, 1000)
TABLE_ITEMS = 100  # The number of items of the table's seconds.
BATCH, FEATURES, WIDTH = 16, 3, 32

HERE = "benchmarks.set_networks"
TITLES = {
    "deep_sets": "DeepSets",
    "point_net": "PointNet",
    "equivariant_linear": "PermutationEquivariantLinear, twice, pooled",
    "equivariant_quadratic": "PermutationEquivariantQuadratic, twice, pooled",
    "invariant_quadratic": "PermutationInvariantQuadratic",
    "fourier": "FourierSetEncoder",
    "free_abelian": "FreeAbelianEncoder",
    "set_transformer": "SetTransformer",
    "set_transformer_inducing": "SetTransformer, 16 inducing points",
    "relation": "RelationNetwork",
    "plain": "plain MLP",
    "canonical": "Symmetrized, canonical",
    "sampled": "Symmetrized, 16 sampled orders",
    "adjacent": "Symmetrized, adjacent",
}
VARIANTS = tuple(harness.Variant(name, title, f"{HERE}:{name}") for name, title in TITLES.items())
# The largest number of items at which a step is measured, where below the largest of all.
LARGEST = {"relation": 100, "set_transformer": 300, "adjacent": 300}

Contender = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        f"A training step of networks on sets of {FEATURES} features, width {WIDTH}, batch {BATCH}: seconds",
        VARIANTS,
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Times a network's step at each number of items."""
    harness.tensorflow_threads(threads)
    largest = LARGEST.get(contender.__name__, max(ITEMS))
    seconds = {
        items: _timed(_step(contender(), items, options["round"]), options["repetitions"])
        for items in ITEMS
        if items <= largest
    }
    medians = {f"ms_at_{n}": 1e3 * statistics.median(seconds[n]) if n in seconds else math.nan for n in ITEMS}
    return harness.Sample(seconds[TABLE_ITEMS], medians)


def _step(network: Any, items: int, seed: int) -> Callable[[], Any]:
    """Prepares a step of training to predict numbers from random sets."""
    import tensorflow as tf

    from weirdonetworks.lab.training.optimizers import Adam

    rng = np.random.default_rng([seed, items])
    sets = tf.constant(rng.standard_normal((BATCH, items, FEATURES), np.float32))
    answers = tf.constant(rng.standard_normal((BATCH, 1), np.float32))
    network(sets)
    optimizer, weights = Adam(), network.trainable_variables
    optimizer.initialize(weights)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(sets) - answers) ** 2)
        optimizer.apply(tape.gradient(loss, weights), weights, tf.constant(1e-3))
        return loss

    return lambda: step().numpy()


def _timed(step: Callable[[], Any], repetitions: int) -> list[float]:
    for _ in range(3):
        step()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def deep_sets() -> Any:
    """Makes `weirdonetworks.DeepSets`."""
    from weirdonetworks.nets.sets.pooled_sets import DeepSets

    return DeepSets([WIDTH, WIDTH], [WIDTH, 1])


def point_net() -> Any:
    """Makes `weirdonetworks.PointNet` without transforms."""
    from weirdonetworks.nets.sets.pooled_sets import PointNet

    return PointNet([WIDTH], [WIDTH], [WIDTH, 1])


def _pooled(degree: int) -> Any:
    import sonnet as snt
    import tensorflow as tf

    from weirdonetworks.nets import pooling
    from weirdonetworks.nets.sets.permutation import PermutationEquivariantPolynomial

    layers = [PermutationEquivariantPolynomial(WIDTH, degree) for _ in range(2)]
    return snt.Sequential([layers[0], tf.tanh, layers[1], tf.tanh, pooling.mean, snt.nets.MLP([WIDTH, 1])])


def equivariant_linear() -> Any:
    """Makes two layers of degree 1, pooled."""
    return _pooled(1)


def equivariant_quadratic() -> Any:
    """Makes two layers of degree 2, pooled."""
    return _pooled(2)


def invariant_quadratic() -> Any:
    """Makes `weirdonetworks.PermutationInvariantQuadratic` on an equivariant layer of degree 1."""
    import tensorflow as tf

    from weirdonetworks.nets.sets.permutation import PermutationEquivariantLinear, PermutationInvariantQuadratic

    return _encoded(PermutationEquivariantLinear(WIDTH), tf.tanh, PermutationInvariantQuadratic(WIDTH))


def fourier() -> Any:
    """Makes `weirdonetworks.FourierSetEncoder`."""
    from weirdonetworks.nets.sets.fourier_set import FourierSetEncoder

    return _encoded(FourierSetEncoder(WIDTH, FEATURES))


def free_abelian() -> Any:
    """Makes `weirdonetworks.FreeAbelianEncoder`."""
    from weirdonetworks.nets.sets.free_abelian import FreeAbelianEncoder

    return _encoded(FreeAbelianEncoder(WIDTH, WIDTH))


def set_transformer(num_inducing: int | None = None) -> Any:
    """Makes `weirdonetworks.SetTransformer`, every item attending to all."""
    from weirdonetworks.nets.sets.set_attention import SetTransformer

    return SetTransformer(WIDTH, [WIDTH, 1], num_inducing=num_inducing)


def set_transformer_inducing() -> Any:
    """Makes the same with inducing points."""
    return set_transformer(16)


def relation() -> Any:
    """Makes `weirdonetworks.RelationNetwork`."""
    from weirdonetworks.nets.sets.pooled_sets import RelationNetwork

    return RelationNetwork([WIDTH, WIDTH], [WIDTH, 1])


def plain() -> Any:
    """Makes dense layers on the items side by side."""
    import sonnet as snt

    return snt.Sequential([snt.Flatten(), snt.nets.MLP([WIDTH, WIDTH, 1])])


def _symmetrized(method: str) -> Any:
    from weirdonetworks.nets.averaged import Symmetrized

    return Symmetrized(plain(), method=method, samples=16)


def canonical() -> Any:
    """Makes dense layers on the items sorted."""
    return _symmetrized("canonical")


def sampled() -> Any:
    """Makes dense layers averaged over sampled orders."""
    return _symmetrized("sampled")


def adjacent() -> Any:
    """Makes dense layers averaged over the swaps of neighbours."""
    return _symmetrized("adjacent")


def _encoded(*layers: Any) -> Any:
    import sonnet as snt

    return snt.Sequential([*layers, snt.nets.MLP([WIDTH, 1])])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=harness.positive, default=20, help="timed steps at each n (%(default)s)")


def _caption(options: Mapping[str, Any]) -> str:
    return f"Seconds a step at n = {TABLE_ITEMS}, timed steps a round: {options['repetitions']}"


if __name__ == "__main__":
    sys.exit(main())
