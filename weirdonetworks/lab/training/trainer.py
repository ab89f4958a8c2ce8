"""Training over resident data: one compiled function an epoch, one an evaluation."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab import machine
from weirdonetworks.lab.data.datasets import Examples, Split
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.copies import Copies
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.optimizers import Optimizer
from weirdonetworks.lab.training.programs import Program
from weirdonetworks.lab.training.state import TrainState

EXECUTIONS = ("auto", "xla", "graph")
FEW = 5000  # Examples below which XLA saves less in twenty epochs than it takes to compile.

# Makes what a step descends along from the gradients of the objective's figures, each averaged over the batch, by name.
Direction: TypeAlias = Callable[[Callable[[str], list[tf.Tensor]]], list[tf.Tensor]]


def of_loss(gradient: Callable[[str], list[tf.Tensor]]) -> list[tf.Tensor]:
    """Takes the gradient of the loss as it is: the direction of ordinary training."""
    return gradient("loss")


def resolve_execution(execution: str, network: snt.Module, examples: int = FEW) -> str:
    """Says which way an epoch of a built network is compiled: `xla`, or `graph` (TensorFlow's own executor).

    `auto` is the one measured faster on the device at hand: XLA on an accelerator; on a processor XLA if there are two
    cores and more, no convolution, whose gradient XLA computes some fifty times slower there, and enough `examples` in
    an epoch to earn back the seconds that it takes to compile; else the graph. The two round differently, so a record
    states which it was.
    """
    if execution not in EXECUTIONS:
        raise UsageError(f"execution (={execution}) must be one of {', '.join(EXECUTIONS)}.")
    if execution != "auto":
        return execution
    if tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"):
        return "xla"
    convolves = any(weight.shape.rank > 2 for weight in network.trainable_variables)
    return "xla" if len(machine.cores()) > 1 and not convolves and examples >= FEW else "graph"


class Resident:
    """A split on the device, whole."""

    def __init__(self, split: Split | Examples):
        self.images = tf.constant(split.images)
        self.labels = tf.constant(split.labels)

    def __len__(self) -> int:
        return int(self.labels.shape[0])


class Trainer:
    """Trains and evaluates a network, or many of one architecture side by side, on data held on the device.

    The loop over an epoch's batches runs inside one compiled function: shuffled indices come in, every step's figures
    come out, and Python is entered once an epoch. The last, short batch of an epoch is a step of its own; nothing is
    dropped.

    With a `count` K, every variable of the network and of the optimizer has a leading axis of K copies, each trained on
    its own order of the data; so have orders and seeds that come in and figures that come out. A step is the one that
    a single network takes, vectorised over the copies, and agrees with it to rounding. On an accelerator this fills the
    device; on a processor the copies' weights push each other out of the cache, and one network a core is faster.

    Attributes:
      network: The network, built; with a count, what `member` loads a copy into.
      state: The network, its optimizer and the counts: what a checkpoint holds.
      figures: The names of the objective's figures.
      execution: How the functions are compiled, `xla` or `graph`.
      count: How many copies are trained side by side; None for the network itself.
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
    ):
        """Builds the network on one example and prepares the compiled functions.

        Args:
          network: The network; its variables are created here unless they exist. Copies start as it is.
          optimizer: An optimizer not used before.
          objective: Makes what a network is trained for, given the network or a copy of it.
          train: The training split.
          count: How many copies to train side by side, at least 1; None to train the network itself.
          batch_size: Examples a step, for each copy, at most as many as there are.
          batch_size_test: Examples an evaluation step; changes speed and memory, not the result.
          execution: See `resolve_execution`.
          direction: What a step descends along, of the parameters' shapes, e.g. `projection.keeping(figure)`.

        Raises:
          UsageError: If the batch is larger than the data, or the count is below 1.
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
        self._objective = objective(network)
        self.figures = self.build(self._objective)
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
        compiled = self.execution == "xla"
        self._compiled_epoch = Program(self._epoch, jit_compile=compiled)
        self._compiled_evaluation = Program(self._evaluation, jit_compile=compiled)

    def build(self, objective: Objective) -> tuple[str, ...]:
        """Calls an objective on one training example, where its network creates its variables; names its figures."""
        images, labels = self.train.images[:1], self.train.labels[:1]
        return tuple(objective(images, labels, is_training=False, seed=tf.zeros([2], tf.int32)))

    @property
    def steps_per_epoch(self) -> int:
        """The steps an epoch takes, the short last one among them."""
        return -(-len(self.train) // self.batch_size)

    @contextlib.contextmanager
    def member(self, index: int) -> Iterator["Trainer"]:
        """Gives the trainer of one copy alone, its state loaded; what is changed in it is changed in the copy.

        Args:
          index: Which copy, in [0, count); 0 is the network itself where there is no count.
        """
        if self._copies is None:
            yield self
            return
        self._copies.load(tf.constant(index))
        yield self._single
        self._copies.store(tf.constant(index))

    def epoch(
        self, order: npt.NDArray[np.integer], learning_rates: npt.NDArray[np.floating], seed: Any
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Trains over the training split once.

        Args:
          order: A permutation of its indices; of each copy, `[count, examples]`, where there is a count.
          learning_rates: The rate of each step, `[steps_per_epoch]`.
          seed: The epoch's seed for what is random in the network, two integers; `[count, 2]` where there is a count.

        Returns:
          Each figure of the objective (averaged over its batch) and `gradient_norm` (of what the step descends along),
          a value a step, `[count, steps_per_epoch]` where there is a count; and `batch_size`, `[steps_per_epoch]`.
        """
        arguments = (
            self.train.images,
            self.train.labels,
            tf.constant(np.asarray(order).T, tf.int32),
            tf.constant(learning_rates, tf.float32),
            tf.constant(seed, tf.int32),
        )
        if self._copies is not None:
            self._copies.check(self._compiled_epoch.captured(*arguments))
        figures = self._compiled_epoch(*arguments).numpy()
        sizes = batch_sizes(len(self.train), self.batch_size)
        return dict(zip((*self.figures, "gradient_norm"), figures.T, strict=True)) | {"batch_size": sizes}

    def evaluate(self, data: Resident) -> dict[str, Any]:
        """Averages each figure of the objective over a whole split, the network not in training.

        Returns:
          A number for each figure; a list of one for each copy where there is a count.
        """
        sums = self._compiled_evaluation(data.images, data.labels).numpy().astype(np.float64).sum(axis=0)
        return dict(zip(self.figures, (sums / len(data)).T.tolist(), strict=True))

    def _descent(
        self,
        objective: Objective,
        parameters: Sequence[tf.Variable],
        images: tf.Tensor,
        labels: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Gives a step's figures, its gradient norm the last, and what it descends along."""
        # A direction may ask for several gradients; in the graph, a tape for one and a tape for several are the same.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            figures = objective(images, labels, is_training=True, seed=seed)
            means = {name: tf.reduce_mean(figure) for name, figure in figures.items()}

        def gradient(figure: str) -> list[tf.Tensor]:
            if figure not in means:
                raise ValueError(f"figure (={figure!r}) must be one of the objective's: {', '.join(means)}.")
            return tape.gradient(means[figure], parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        gradients = self._direction(gradient)
        return tf.stack([*means.values(), gradient_norm(gradients)]), gradients

    def _step(self, images: tf.Tensor, labels: tf.Tensor, learning_rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self._copies is None:
            parameters = self.network.trainable_variables
            figures, gradients = self._descent(self._objective, parameters, images, labels, seed)
            self.state.optimizer.apply(gradients, parameters, learning_rate)
            return figures

        def one(network: Any, parameters: Sequence[tf.Tensor], *batch: tf.Tensor) -> Any:
            # The gradient is taken in here: from outside, the layers' own gradients would be lost in vectorising.
            return self._descent(self._make_objective(network), parameters, *batch)

        figures, gradients = self._copies.call(one, images, labels, seed)
        self._copies.optimizer.apply(gradients, self._copies.parameters, learning_rate)
        return figures

    def _epoch(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, learning_rates: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            def folded(seed: tf.Tensor) -> tf.Tensor:
                return tf.random.experimental.stateless_fold_in(seed, index, alg="philox")

            if self.count is None:
                step_seed = folded(seed)
            else:
                # Not transposed: TensorFlow's kernel for integers prints an error on some processors.
                batch = tf.stack(tf.unstack(batch, axis=1))
                step_seed = tf.stack([folded(each) for each in tf.unstack(seed)])
            return self._step(tf.gather(images, batch), tf.gather(labels, batch), learning_rates[index], step_seed)

        return over_batches(step, order, self.batch_size, [*self._axis, len(self.figures) + 1])

    def _evaluation(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            del index
            own_images, own_labels = tf.gather(images, batch), tf.gather(labels, batch)

            def sums(objective: Objective) -> tf.Tensor:
                figures = objective(own_images, own_labels, is_training=False, seed=tf.zeros([2], tf.int32))
                return tf.stack([tf.reduce_sum(figure * tf.ones([batch.shape[0]])) for figure in figures.values()])

            if self._copies is None:
                return sums(self._objective)
            return self._copies.call(lambda network, _: sums(self._make_objective(network)))

        examples = labels.shape[0]
        size = min(self.batch_size_test, examples)
        return over_batches(step, tf.range(examples), size, [*self._axis, len(self.figures)])

    @property
    def _axis(self) -> list[int]:
        return [] if self.count is None else [self.count]


def gradient_norm(tensors: list[tf.Tensor]) -> tf.Tensor:
    """Measures the joint Euclidean norm."""
    return tf.sqrt(inner_product(tensors, tensors))


def inner_product(one: Sequence[tf.Tensor], other: Sequence[tf.Tensor]) -> tf.Tensor:
    """Multiplies two lists of tensors of the same shapes, each taken as one vector.

    A product with ones sums rows in the vectorised matrix kernel; a plain reduction costs XLA on a CPU a fifth of the
    whole step.
    """
    products = []
    for a, b in zip(one, other, strict=True):
        rows = tf.reshape(tf.multiply(a, b), [-1, a.shape[-1] if a.shape.rank else 1])
        products.append(tf.reduce_sum(tf.linalg.matvec(rows, tf.ones([rows.shape[-1]], rows.dtype))))
    return tf.add_n(products)


def batch_sizes(examples: int, batch_size: int) -> npt.NDArray[np.float32]:
    """Lists the sizes of an epoch's batches, the short last one among them.

    >>> batch_sizes(10, 4).tolist()
    [4.0, 4.0, 2.0]
    """
    return np.diff([*range(0, examples, batch_size), examples]).astype(np.float32)


def over_batches(
    step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], order: tf.Tensor, batch_size: int, shape: Sequence[int]
) -> tf.Tensor:
    """Calls `step(index, batch of order)` over the full batches in a loop in the graph, then over the rest.

    Returns:
      The steps' results, each of the given shape, stacked `[steps, ...]`.
    """
    full, rest = divmod(order.shape[0], batch_size)
    rest_begin = [0] * (order.shape.rank - 1)
    collected = tf.TensorArray(tf.float32, size=full, element_shape=shape)

    def body(index: tf.Tensor, collected: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        # `order[a:b]` in a loop has no static shape under XLA; `tf.slice` has.
        batch = tf.slice(order, [index * batch_size, *rest_begin], [batch_size, *order.shape[1:]])
        return index + 1, collected.write(index, step(index, batch))

    _, collected = tf.while_loop(lambda index, _: index < full, body, (tf.constant(0), collected))
    outputs = collected.stack()
    if rest:
        outputs = tf.concat([outputs, step(tf.constant(full), order[full * batch_size :])[tf.newaxis]], axis=0)
    return outputs
