"""Training and evaluation on device-resident data, one compiled function call per epoch."""

import contextlib
import copy
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab import machine
from weirdonetworks.lab.data.datasets import Resident
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.arithmetic import in_bfloat16
from weirdonetworks.lab.training.batches import batch_sizes, filled, gather_of_bytes, over_batches, step_seeds
from weirdonetworks.lab.training.compiled import Compiled
from weirdonetworks.lab.training.copies import Copies
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.optimizers import Optimizer
from weirdonetworks.lab.training.state import TrainState, assign
from weirdonetworks.measure.precision import variables_of

EXECUTIONS = ("auto", "xla", "graph")
# Bytes of a batch of evaluation, which is filled up to its size, above which none is larger than all examples are.
LARGEST_BATCH = 2**26
FEW = 5000  # Examples below which XLA's compile time exceeds what it saves in twenty epochs.

Indices: TypeAlias = npt.NDArray[np.integer]
Floats: TypeAlias = npt.NDArray[np.floating]
# Maps `gradient(metric_name)`, the gradients of the objective's batch means, to the update direction.
Direction: TypeAlias = Callable[[Callable[[str], list[tf.Tensor]]], list[tf.Tensor]]


def of_loss(gradient: Callable[[str], list[tf.Tensor]]) -> list[tf.Tensor]:
    """Returns the gradient of the loss, the direction of ordinary training."""
    return gradient("loss")


def resolve_execution(execution: str, network: snt.Module, examples: int = FEW) -> str:
    """Chooses how an epoch of a built network is compiled: `xla`, or `graph` (TensorFlow's own executor).

    `auto` is the one measured faster: XLA on an accelerator; on a CPU XLA with at least two cores, no convolutions
    (whose gradients XLA computes some fifty times slower there), and enough `examples` per epoch to amortise the
    compilation; else the graph. The two round differently, so records state the choice.
    """
    if execution not in EXECUTIONS:
        raise UsageError(f"execution (={execution}) must be one of {', '.join(EXECUTIONS)}.")
    if execution != "auto":
        return execution
    if machine.has_accelerator():
        return "xla"
    convolves = any(weight.shape.rank > 2 for weight in network.trainable_variables)
    return "xla" if len(machine.cores()) > 1 and not convolves and examples >= FEW else "graph"


class Trainer:
    """A trainer of one network, or of many of one architecture side by side, on data held on the device.

    The loop over an epoch's batches runs inside one compiled function, from shuffled indices to the metrics of every
    step; Python is entered once an epoch. The last, short batch of an epoch is a step of its own; nothing is dropped.

    With a `count` K, every variable of network and optimizer has a leading axis of K copies, and so have orders, seeds
    and metrics. Of one order for all copies, each batch is read once and multiplied by all first layers at once. A step
    is that of a single network, vectorised over copies, and agrees with it to rounding. This fills an accelerator; on a
    CPU one network per core is faster.

    Attributes:
      network: The network, built; with a count, the one that `member` loads a copy into.
      state: The checkpointed state: network, optimizer and counts.
      metrics: The names of the objective's metrics.
      execution: How the functions are compiled, `xla` or `graph`.
      precision: The arithmetic of the network.
      objective: The objective of the network.
      count: The number of copies trained side by side; None for the network itself.
    """

    def __init__(
        self,
        network: Any,
        optimizer: Optimizer,
        objective: Callable[[Any], Objective],
        train: Resident,
        *,
        count: int | None = None,
        batch_size: int = 128,
        batch_size_test: int = 1000,
        execution: str = "auto",
        direction: Direction = of_loss,
        precision: str = "tf32",
    ):
        """Builds the network on one example and prepares the compiled functions.

        Args:
          network: The network; its variables are created here unless they exist. Copies start from them.
          optimizer: A new optimizer.
          objective: Makes the objective, given the network or a copy of it.
          train: The training split.
          count: The number of copies to train side by side, at least 1; None to train the network itself.
          batch_size: Batch size in training, of each copy, at most the number of examples.
          batch_size_test: Batch size in evaluation, which affects speed and memory, not the result.
          execution: See `resolve_execution`.
          direction: Maps `gradient(metric_name)` to the update direction, e.g. `projection.keeping(metric_name)`.
          precision: `highest`, float32; `tf32`, as TensorFlow is set, by default with TF32 products on GPUs that have
            them; `bfloat16`, of the network alone and with float32 weights, see `InBfloat16`.

        Raises:
          UsageError: If the batch is larger than the data, the count is below 1, or the network does not compute in
            bfloat16 that is asked for.
        """
        if not 1 <= batch_size <= len(train):
            raise UsageError(f"batch_size (={batch_size}) must be in [1, {len(train)}], the training examples.")
        if batch_size_test < 1:
            raise UsageError(f"batch_size_test (={batch_size_test}) must be at least 1.")
        if count is not None and count < 1:
            raise UsageError(f"count (={count}) must be at least 1, or None for a single network.")
        self.network = network
        self.train = train
        self.count = count
        self.batch_size = batch_size
        self.batch_size_test = batch_size_test
        self._make_objective = objective
        self.objective = objective(network)
        self.metrics = self.build(self.objective)
        self.precision = precision
        if precision == "bfloat16":
            self._make_objective = in_bfloat16(objective, network, train.images[:2], train.labels[:2])
            self.objective = self._make_objective(network)
        self.state = TrainState(network, optimizer)
        self.execution = resolve_execution(execution, network, len(train))
        self._direction = direction
        self._copies: Copies | None = None
        self._compile()
        if count is not None:
            self._single = copy.copy(self)
            self._single.count = None
            self._single._compile()
            self._copies = Copies(self.state, count)

    def _compile(self) -> None:
        ways = {"jit_compile": self.execution == "xla", "in_full_float32": self.precision == "highest"}
        self._compiled_epoch = Compiled(self._epoch, **ways)
        self._compiled_evaluation = Compiled(self._evaluation, **ways)
        self._compiled_gradients = Compiled(self._gradients, **ways)

    def build(self, objective: Objective) -> tuple[str, ...]:
        """Calls an objective on one training example, which creates variables; returns the names of its metrics."""
        images, labels = self.train.images[:1], self.train.labels[:1]
        return tuple(objective(images, labels, is_training=False, seed=tf.zeros([2], tf.int32)))

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps in an epoch, including the short last one."""
        return -(-len(self.train) // self.batch_size)

    @contextlib.contextmanager
    def member(self, index: int) -> Iterator["Trainer"]:
        """Yields a trainer of one copy, its state loaded; changes of that state are stored in the copy on leaving.

        Args:
          index: The copy, in [0, count); 0, the network itself, without a count.
        """
        if self._copies is None:
            yield self
            return
        self._copies.load(tf.constant(index))
        yield self._single
        self._copies.store(tf.constant(index))

    def epoch(self, order: Indices, learning_rates: Floats, seed: Any, first: int = 0) -> dict[str, Floats]:
        """Trains over the training split once, or over a part of an epoch.

        An epoch in parts draws as the whole does, since the seed of a step is that of its place in the epoch. Parts of
        whatever lengths are compiled once.

        Args:
          order: A permutation of its indices, `[examples]`, or of each copy, `[count, examples]`; or those of a part,
            which ends with a full batch or with the epoch.
          learning_rates: The rate of each step, `[steps]`.
          seed: The epoch's seed of random layers and augmentation, `[2]`, or `[count, 2]`.
          first: The number of the epoch's steps before the part.

        Returns:
          Each metric of the objective, averaged over the batch, and `gradient_norm`, of the update that the optimizer
          applied, as `[steps]` or `[count, steps]`; and `batch_size`, `[steps]`.
        """
        order, rates = np.asarray(order).T, np.asarray(learning_rates)
        full, rest = divmod(len(order), self.batch_size)
        if len(order) == len(self.train):
            steps = [self._steps(order, rates, seed, first)]
        else:
            steps = [self._padded_steps(order[: full * self.batch_size], rates[:full], seed, first)] if full else []
            if rest:
                steps.append(self._steps(order[-rest:], rates[full:], seed, first + full))
        metrics = np.concatenate(steps)
        sizes = batch_sizes(len(order), self.batch_size)
        return dict(zip((*self.metrics, "gradient_norm"), metrics.T, strict=True)) | {"batch_size": sizes}

    def _padded_steps(self, order: Indices, rates: Floats, seed: Any, first: int) -> Floats:
        """Trains over full batches, padded to those of an epoch, so that parts of all lengths have one shape."""
        full = len(self.train) // self.batch_size
        missing = full - len(rates)
        widths = [(0, missing * self.batch_size), *[(0, 0)] * (order.ndim - 1)]
        metrics = self._steps(np.pad(order, widths), np.pad(rates, (0, missing)), seed, first, end=len(rates))
        return metrics[: len(rates)]

    def _steps(self, order: Indices, rates: Floats, seed: Any, first: int, end: int | None = None) -> Floats:
        """Trains over the full batches of an order, those before `end` if it is given, and the short one at its end."""
        arguments = (
            self.train.images,
            self.train.labels,
            tf.constant(order, tf.int32),
            tf.constant(rates, tf.float32),
            tf.constant(seed, tf.int32),
            tf.constant([first] if end is None else [first, end], tf.int32),
        )
        if self._copies is not None:
            self._copies.check(self._compiled_epoch.captured(*arguments))
        metrics: Floats = self._compiled_epoch(*arguments).numpy()
        return metrics

    def gradients(self, indices: Indices, seed: Any) -> list[Floats]:
        """Computes the gradient of the mean loss over some training examples, as in training; changes nothing.

        Args:
          indices: The examples, `[examples]`.
          seed: The seed of random layers and augmentation, `[2]`.

        Returns:
          The gradient of each weight that the optimizer masks, in the order of its masks, at cut connections too; of an
          optimizer without masks that of every trainable variable.

        Raises:
          ValueError: If copies are trained; `member` gives a trainer of each.
        """
        if self.count is not None:
            raise ValueError(f"count (={self.count}) must be None: ask the trainer that member(index) yields.")
        arguments = (self.train.images, self.train.labels, tf.constant(indices, tf.int32), tf.constant(seed, tf.int32))
        flat = self._compiled_gradients(*arguments).numpy()
        shapes = [tuple(weight.shape) for weight in self._masked_weights]
        parts = np.split(flat, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def _masked_weights(self) -> Sequence[tf.Variable]:
        masks = getattr(self.state.optimizer, "masks", None)
        return self.network.trainable_variables if masks is None else masks.weights

    def evaluation_batch(self, data: Resident) -> int:
        """Returns the size of batches in which a split is evaluated: `batch_size_test`, if not far larger than it."""
        most = LARGEST_BATCH // max(1, math.prod(data.images.shape[1:]) * data.images.dtype.size)
        return min(self.batch_size_test, max(len(self.train), len(data), most))

    def evaluate(self, data: Resident) -> dict[str, Any]:
        """Averages each metric of the objective over a whole split, the network not in training.

        Returns:
          A number for each metric, or with a count a list of numbers.
        """
        size = self.evaluation_batch(data)
        chunks = [slice(begin, begin + size) for begin in range(0, len(data), size)]
        # One shape for all splits, and so one compilation.
        sums = [self._compiled_evaluation(*filled(data.images[each], data.labels[each], size)) for each in chunks]
        totals = np.array([each.numpy() for each in sums], np.float64).sum(axis=0)
        return dict(zip(self.metrics, (totals / len(data)).T.tolist(), strict=True))

    def _descent(
        self,
        objective: Objective,
        parameters: Sequence[tf.Variable],
        images: tf.Tensor,
        labels: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Computes a step's metrics and its update direction."""
        # A direction may ask for several gradients; in the graph, a tape for one and a tape for several are the same.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            metrics = objective(images, labels, is_training=True, seed=seed)
            means = {name: tf.reduce_mean(metric) for name, metric in metrics.items()}

        def gradient(metric: str) -> list[tf.Tensor]:
            if metric not in means:
                raise ValueError(f"metric (={metric!r}) must be one of the objective's: {', '.join(means)}.")
            return tape.gradient(means[metric], parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return tf.stack([*means.values()]), self._direction(gradient)

    def _step(
        self, images: tf.Tensor, labels: tf.Tensor, learning_rate: tf.Tensor, seed: tf.Tensor, is_own: bool
    ) -> tf.Tensor:
        if self._copies is None:
            parameters = self.network.trainable_variables
            metrics, gradients = self._descent(self.objective, parameters, images, labels, seed)
            applied = self.state.optimizer.apply(gradients, parameters, learning_rate)
            return tf.concat([metrics, gradient_norm(applied)[tf.newaxis]], axis=0)

        # What all copies share is captured, so that it is not computed for each.
        shared = () if is_own else (images, labels)
        own = (images, labels, seed) if is_own else (seed,)

        def one(network: Any, parameters: Sequence[tf.Tensor], *batch: tf.Tensor) -> Any:
            # The gradient is taken in here: from outside, the layers' own gradients would be lost in vectorising.
            return self._descent(self._make_objective(network), parameters, *shared, *batch)

        metrics, gradients = self._copies.call(one, *own)
        applied = self._copies.optimizer.apply(gradients, self._copies.parameters, learning_rate)
        norms = tf.vectorized_map(gradient_norm, applied)
        return tf.concat([metrics, norms[:, tf.newaxis]], axis=1)

    def _gradients(self, images: tf.Tensor, labels: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        weights = self._masked_weights
        held = [each for each in variables_of(self.network) if not each.trainable]
        values = [each.read_value() for each in held]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            metrics = self.objective(*self._batches(images, labels)(batch), is_training=True, seed=seed)
            loss = tf.reduce_mean(metrics["loss"])
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        assign(held, values)  # Such as moving averages of a batch norm.
        return tf.concat([tf.reshape(each, [-1]) for each in gradients], axis=0)

    def _epoch(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        order: tf.Tensor,
        learning_rates: tf.Tensor,
        seed: tf.Tensor,
        part: tf.Tensor,
    ) -> tf.Tensor:
        # The number of steps of a whole epoch is a constant of the program, which accelerators need to run ahead.
        first, *end = tf.unstack(part)
        seeds = step_seeds(seed, first, learning_rates.shape[0])
        batch_of = self._batches(images, labels)
        is_own = order.shape.rank > 1  # Copies may have an order each, or one for all.

        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            if is_own:
                # Not transposed: TensorFlow's kernel for integers prints an error on some processors.
                batch = tf.stack(tf.unstack(batch, axis=1))
            return self._step(*batch_of(batch), learning_rates[index], seeds[index], is_own)

        # Masked weights are set to zero once, not after each step, where the optimizer leaves them there.
        trained = self._copies or self.state
        shape = [*([] if self.count is None else [self.count]), len(self.metrics) + 1]
        with getattr(trained.optimizer, "zeros_held", contextlib.nullcontext)(trained.parameters):
            return over_batches(step, order, self.batch_size, shape, *end)

    def _batches(self, images: tf.Tensor, labels: tf.Tensor) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns what gathers a batch by the indices of its examples."""
        gather = functools.partial(tf.gather, images) if self.execution == "xla" else gather_of_bytes(images)
        return lambda indices: (gather(indices), tf.gather(labels, indices))

    def _evaluation(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        def sums(objective: Objective) -> tf.Tensor:
            metrics = objective(images, labels, is_training=False, seed=tf.zeros([2], tf.int32))
            return tf.stack([tf.reduce_sum(metric * weights) for metric in metrics.values()])

        if self._copies is None:
            return sums(self.objective)
        return self._copies.call(lambda network, _: sums(self._make_objective(network)))


def gradient_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes the Euclidean norm of tensors, taken as one vector."""
    return tf.sqrt(inner_product(tensors, tensors))


def inner_product(one: Sequence[tf.Tensor], other: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes the inner product of two lists of tensors of the same shapes, each taken as one vector.

    On a CPU a product with ones sums rows in the vectorised matrix kernel; a plain reduction costs XLA there a fifth of
    the whole step. On an accelerator the plain reduction is one kernel with the multiplication, the product another.
    """
    if machine.has_accelerator():
        return tf.add_n([tf.reduce_sum(tf.multiply(a, b)) for a, b in zip(one, other, strict=True)])
    products = []
    for a, b in zip(one, other, strict=True):
        rows = tf.reshape(tf.multiply(a, b), [-1, a.shape[-1] if a.shape.rank else 1])
        products.append(tf.reduce_sum(tf.linalg.matvec(rows, tf.ones([rows.shape[-1]], rows.dtype))))
    return tf.add_n(products)
