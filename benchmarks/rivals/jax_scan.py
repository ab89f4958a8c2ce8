"""JAX: one compiled step called from Python, and the epoch as one `lax.scan`.

The optimizer is written out in the few lines it takes; weights are kept masked and their gradients masked.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness
from benchmarks.rivals import Finished, Problem


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

    step = _step(problem)

    def epoch(state: Any, images: Any, labels: Any, order: Any) -> Any:
        full = len(order) // problem.batch_size * problem.batch_size
        batches = order[:full].reshape(-1, problem.batch_size)
        state, _ = jax.lax.scan(lambda state, batch: (step(state, images, labels, batch), None), state, batches)
        return step(state, images, labels, order[full:]) if full < len(order) else state

    return _train(problem, finished, jax.jit(epoch, donate_argnums=0))


def _step(problem: Problem) -> Callable[[Any, Any, Any, Any], Any]:
    """Makes the training step on the examples `batch`: from state to state."""
    import jax
    import jax.numpy as jnp

    def loss(weights: Any, images: Any, labels: Any) -> Any:
        logits = _logits(problem, weights, images)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()

    def step(state: Any, images: Any, labels: Any, batch: Any) -> Any:
        parameters, m, v, count, masks = state
        gradients = jax.grad(loss)(parameters, images[batch], labels[batch])
        gradients = [(w * mask, b) for (w, b), mask in zip(gradients, masks, strict=True)]
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        rate = problem.learning_rate / (1 - 0.9**count)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8), parameters, m, v
        )
        return parameters, m, v, count, masks

    return step


def _logits(problem: Problem, parameters: Any, images: Any) -> Any:
    import jax
    import jax.numpy as jnp

    (mean,), (deviation,) = problem.standardisation.mean, problem.standardisation.deviation
    hidden = images.reshape(len(images), -1).astype(jnp.float32) * (1 / (255 * deviation)) - mean / deviation
    for w, b in parameters[:-1]:
        hidden = jax.nn.relu(hidden @ w + b)
    w, b = parameters[-1]
    return hidden @ w + b


def _train(
    problem: Problem, finished: Finished, epoch: Callable[[Any, Any, Any, Any], Any]
) -> Sequence[npt.NDArray[np.floating]]:
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(problem.seed)
    masks = [jnp.asarray(mask, jnp.float32) for mask in problem.masks]
    scales = [np.sqrt(2 / len(mask)) for mask in masks]
    parameters = [
        (jnp.asarray(rng.normal(0, scale, mask.shape), jnp.float32) * mask, jnp.zeros(mask.shape[1]))
        for mask, scale in zip(masks, scales, strict=True)
    ]
    m, v = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
    state = (parameters, m, v, jnp.zeros([], jnp.int32), masks)
    train, train_labels = jnp.asarray(problem.train.images), jnp.asarray(problem.train.labels)
    test, test_labels = jnp.asarray(problem.test.images), jnp.asarray(problem.test.labels)

    @jax.jit
    def accuracy(parameters: Any, images: Any, labels: Any) -> Any:
        return jnp.mean(_logits(problem, parameters, images).argmax(axis=1) == labels)

    for _ in range(problem.epochs):
        state = epoch(state, train, train_labels, rng.permutation(len(train_labels)).astype(np.int32))
        finished(float(accuracy(state[0], test, test_labels)))
    return [np.asarray(w) for w, _ in state[0]]
