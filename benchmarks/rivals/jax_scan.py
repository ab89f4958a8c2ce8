"""JAX: one compiled step called from Python, the epoch as one `lax.scan`, and many models by `vmap` or `lax.map`.

The optimizer is written out in the few lines it takes; weights are kept masked and their gradients masked.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Finished, Problem
from weirdonetworks.lab.data.datasets import Split


def jit_step(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by a compiled step, which Python calls batch by batch."""
    harness.jax_threads(problem.threads)
    import jax

    step = _step(problem)
    compiled = jax.jit(step, donate_argnums=0)

    def epoch(state: Any, images: Any, labels: Any, order: Any) -> Any:
        for start in range(0, len(order), problem.batch_size):
            state = compiled(state, images, labels, order[start : start + problem.batch_size])
        return state

    return _train(problem, finished, epoch)


def scan_epoch(problem: Problem, finished: Finished) -> Sequence[npt.NDArray[np.floating]]:
    """Trains by a compiled epoch: a `lax.scan` over the full batches, then the short one."""
    harness.jax_threads(problem.threads)
    import jax

    return _train(problem, finished, jax.jit(_scan(problem, _step(problem)), donate_argnums=0))


def models_in_turn(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains many models one after another by one compiled epoch."""
    harness.jax_threads(problems[0].threads)
    import jax

    epoch = jax.jit(_scan(problems[0], _step(problems[0])), donate_argnums=0)
    accuracy = jax.jit(_accuracy(problems[0]))
    train, test = _arrays(problems[0].train), _arrays(problems[0].test)
    state = epoch(_initial(problems[0], np.random.default_rng(0)), *train, np.arange(len(train[1]), dtype=np.int32))
    jax.block_until_ready(accuracy(state[0], *test))
    ready()
    accuracies = []
    for problem in problems:
        rng = np.random.default_rng(problem.seed)
        state = _initial(problem, rng)
        for _ in range(problem.epochs):
            state = epoch(state, *train, rng.permutation(len(train[1])).astype(np.int32))
            last = float(accuracy(state[0], *test))
        accuracies.append(last)
    return accuracies


def vmap_models(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains many models together: a `lax.scan` over steps that `vmap` makes one of all models."""
    harness.jax_threads(problems[0].threads)
    import jax

    step = jax.vmap(_step(problems[0]), in_axes=(0, None, None, 0))
    scan = _scan(problems[0], step)
    return _together(problems, ready, scan, jax.vmap(_accuracy(problems[0]), in_axes=(0, None, None)))


def map_models(problems: Sequence[Problem], ready: Callable[[], None]) -> Sequence[float]:
    """Trains many models in one program, a `lax.map` over them of a `lax.scan` over the steps of each."""
    harness.jax_threads(problems[0].threads)
    import jax

    scan = _scan(problems[0], _step(problems[0]))

    def epoch(states: Any, images: Any, labels: Any, orders: Any) -> Any:
        return jax.lax.map(lambda model: scan(model[0], images, labels, model[1]), (states, orders.T))

    return _together(problems, ready, epoch, jax.vmap(_accuracy(problems[0]), in_axes=(0, None, None)))


def _together(
    problems: Sequence[Problem],
    ready: Callable[[], None],
    epoch: Callable[[Any, Any, Any, Any], Any],
    accuracy: Callable[[Any, Any, Any], Any],
) -> Sequence[float]:
    """Trains by an epoch of all models, given their states stacked and their orders, `[examples, models]`."""
    import jax
    import jax.numpy as jnp

    epoch, accuracy = jax.jit(epoch, donate_argnums=0), jax.jit(accuracy)
    train, test = _arrays(problems[0].train), _arrays(problems[0].test)

    def start() -> tuple[list[np.random.Generator], Any]:
        rngs = [np.random.default_rng(problem.seed) for problem in problems]
        states = [_initial(problem, rng) for problem, rng in zip(problems, rngs, strict=True)]
        return rngs, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    def trained(states: Any, rngs: Sequence[np.random.Generator]) -> Any:
        return epoch(states, *train, np.stack([rng.permutation(len(train[1])) for rng in rngs], 1).astype(np.int32))

    rngs, states = start()
    jax.block_until_ready(accuracy(trained(states, rngs)[0], *test))
    rngs, states = start()
    ready()
    for _ in range(problems[0].epochs):
        states = trained(states, rngs)
        accuracies = np.asarray(accuracy(states[0], *test)).tolist()
    return accuracies


def _scan(problem: Problem, step: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Any, Any, Any, Any], Any]:
    """Makes an epoch of a step: over the full batches, then the short one. The examples are the order's first axis."""
    import jax

    def epoch(state: Any, images: Any, labels: Any, order: Any) -> Any:
        full = len(order) // problem.batch_size * problem.batch_size
        batches = order[:full].reshape(-1, problem.batch_size, *order.shape[1:])
        state, _ = jax.lax.scan(lambda state, batch: (step(state, images, labels, batch.T), None), state, batches)
        return step(state, images, labels, order[full:].T) if full < len(order) else state

    return epoch


def _step(problem: Problem) -> Callable[[Any, Any, Any, Any], Any]:
    """Makes the training step on the examples `batch`: from state to state."""
    import jax
    import jax.numpy as jnp

    def loss(parameters: Any, images: Any, labels: Any) -> Any:
        logits, moments = _logits(problem, parameters, images, None)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean(), moments

    def step(state: Any, images: Any, labels: Any, batch: Any) -> Any:
        (parameters, averages), m, v, count, masks = state
        gradients, moments = jax.grad(loss, has_aux=True)(parameters, images[batch], labels[batch])
        gradients = [
            {name: value * mask if name == "w" else value for name, value in layer.items()}
            for layer, mask in zip(gradients, masks, strict=True)
        ]
        averages = jax.tree.map(lambda average, moment: 0.99 * average + 0.01 * moment, averages, moments)
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        rate = problem.learning_rate / (1 - 0.9**count)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8), parameters, m, v
        )
        return (parameters, averages), m, v, count, masks

    return step


def _logits(problem: Problem, parameters: Any, images: Any, averages: Any) -> Any:
    """Computes logits, and the moments of each batch norm: those of the batch, unless averages are given."""
    import jax
    import jax.numpy as jnp

    scale, offset = problem.standardisation.factors
    hidden = images.astype(jnp.float32) * scale - offset
    moments: list[Any] = []
    remaining = iter(parameters)
    for part in problem.parts:
        if part.startswith("layer"):
            layer = next(remaining)
            if layer["w"].ndim == 2:
                hidden = hidden @ layer["w"]
            else:
                hidden = jax.lax.conv_general_dilated(
                    hidden, layer["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
            if "b" in layer:
                hidden = hidden + layer["b"]
        elif part == "norm":
            axes = tuple(range(hidden.ndim - 1))
            batch = (hidden.mean(axes), hidden.var(axes)) if averages is None else averages[len(moments)]
            moments.append(batch)
            hidden = (hidden - batch[0]) * (layer["scale"] * jax.lax.rsqrt(batch[1] + 1e-5)) + layer["offset"]
        elif part == "pool":
            hidden = jax.lax.reduce_window(hidden, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        elif part == "mean":
            hidden = hidden.mean((1, 2))
        else:
            hidden = jax.nn.relu(hidden) if part == "relu" else hidden.reshape(len(hidden), -1)
    return hidden, moments


def _initial(problem: Problem, rng: np.random.Generator) -> Any:
    """Draws the state that training starts from.

    Returns:
      The parameters and the averages of batch norms, Adam's two moments, its count, and the masks.
    """
    import jax
    import jax.numpy as jnp

    masks = [jnp.asarray(mask, jnp.float32) for mask in problem.masks]
    remaining = iter(masks)
    parameters: list[dict[str, Any]] = []
    averages = []
    for part in problem.parts:
        if part.startswith("layer"):
            mask = next(remaining)
            outputs, scale = mask.shape[-1], np.sqrt(2 * mask.shape[-1] / mask.size)
            parameters.append({"w": jnp.asarray(rng.normal(0, scale, mask.shape), jnp.float32) * mask})
            if part == "layer":
                parameters[-1]["b"] = jnp.zeros(outputs)
        elif part == "norm":
            parameters[-1] |= {"scale": jnp.ones(outputs), "offset": jnp.zeros(outputs)}
            averages.append((jnp.zeros(outputs), jnp.ones(outputs)))
    m, v = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
    return (parameters, averages), m, v, jnp.zeros([], jnp.int32), masks


def _arrays(split: Split) -> tuple[Any, Any]:
    import jax.numpy as jnp

    return jnp.asarray(split.images), jnp.asarray(split.labels)


def _accuracy(problem: Problem) -> Callable[[Any, Any, Any], Any]:
    import jax.numpy as jnp

    def accuracy(model: Any, images: Any, labels: Any) -> Any:
        return jnp.mean(_logits(problem, model[0], images, model[1])[0].argmax(axis=1) == labels)

    return accuracy


def _train(
    problem: Problem, finished: Finished, epoch: Callable[[Any, Any, Any, Any], Any]
) -> Sequence[npt.NDArray[np.floating]]:
    import jax

    rng = np.random.default_rng(problem.seed)
    state = _initial(problem, rng)
    train, test = _arrays(problem.train), _arrays(problem.test)
    accuracy = jax.jit(_accuracy(problem))
    # Dense layers are fastest on all images at once; activations of convolutions would fill the memory.
    size = len(problem.test) if problem.model == "MNIST_FC" else problem.batch_size_test
    chunks = [tuple(each[first : first + size] for each in test) for first in range(0, len(problem.test), size)]
    for _ in range(problem.epochs):
        state = epoch(state, *train, rng.permutation(len(train[1])).astype(np.int32))
        right = sum(len(labels) * float(accuracy(state[0], images, labels)) for images, labels in chunks)
        finished(right / len(problem.test))
    return [np.asarray(layer["w"]) for layer in state[0][0]]
