"""Training over resident data: one compiled function an epoch, one an evaluation."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab import machine
from weirdonetworks.lab.data.datasets import Examples, Split
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.optimizers import Optimizer

EXECUTIONS = ("auto", "xla", "graph")

# Makes what a step descends along from the gradients of the objective's figures, each averaged over the batch, by name.
Direction: TypeAlias = Callable[[Callable[[str], list[tf.Tensor]]], list[tf.Tensor]]


def of_loss(gradient: Callable[[str], list[tf.Tensor]]) -> list[tf.Tensor]:
    """Takes the gradient of the loss as it is: the direction of ordinary training."""
    return gradient("loss")


def resolve_execution(execution: str, network: snt.Module) -> str:
    """Says which way an epoch of a built network is compiled: `xla`, or `graph` (TensorFlow's own executor).

    `auto` is the one measured faster on the device at hand: XLA on an accelerator; on a processor XLA if there are two
    cores and more and no convolution, whose gradient XLA computes some fifty times slower there, else the graph. The
    two round differently, so a record states which it was.
    """
    if execution not in EXECUTIONS:
        raise UsageError(f"execution (={execution}) must be one of {', '.join(EXECUTIONS)}.")
    if execution != "auto":
        return execution
    if tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"):
        return "xla"
    convolves = any(weight.shape.rank > 2 for weight in network.trainable_variables)
    return "xla" if len(machine.cores()) > 1 and not convolves else "graph"


class Resident:
    """A split on the device, whole."""

    def __init__(self, split: Split | Examples):
        self.images = tf.constant(split.images)
        self.labels = tf.constant(split.labels)

    def __len__(self) -> int:
        return int(self.labels.shape[0])


class TrainState(tf.Module):
    """What a checkpoint holds: the network, the optimizer's slots, the initial weights, and the counts.

    Attributes:
      network: The network, built (its variables exist).
      optimizer: Its optimizer.
      initial: The trainable weights as they were at the start, in the network's order.
      epoch: Finished epochs.
      step: Finished steps.
      cumulative_gradient_norm: The gradient norm summed over all steps.
    """

    def __init__(self, network: snt.Module, optimizer: Optimizer):
        super().__init__(name="train_state")
        self.network = network
        self.optimizer = optimizer
        optimizer.initialize(network.trainable_variables)
        self.initial = [tf.Variable(weight, trainable=False) for weight in network.trainable_variables]
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.cumulative_gradient_norm = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    def restart(self) -> None:
        """Makes the network's present weights the initial ones, and forgets all training."""
        for start, weight in zip(self.initial, self.network.trainable_variables, strict=True):
            start.assign(weight)
        for variable in (*self.optimizer.variables, self.epoch, self.step, self.cumulative_gradient_norm):
            variable.assign(tf.zeros_like(variable))

    def distance_from_start(self) -> dict[str, float]:
        """Measures how far the weights have moved; see `movement`."""
        now, start = (
            [weight.numpy() for weight in weights] for weights in (self.network.trainable_variables, self.initial)
        )
        return movement(now, start)


def movement(now: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> dict[str, float]:
    """Compares weights, taken as one vector, with what they were.

    >>> movement([np.array([3.0, 4.0])], [np.array([3.0, 0.0])])
    {'cosine_similarity': 0.6, 'vector_difference_norm': 4.0}
    """
    here, there = (np.concatenate([part.ravel() for part in parts]).astype(np.float64) for parts in (now, start))
    lengths = np.linalg.norm(here) * np.linalg.norm(there)
    return {
        "cosine_similarity": float(here @ there / lengths) if lengths else 0.0,
        "vector_difference_norm": float(np.linalg.norm(here - there)),
    }


class Trainer:
    """Trains and evaluates a network on data held on the device.

    The loop over an epoch's batches runs inside one compiled function: shuffled indices come in, every step's figures
    come out, and Python is entered once an epoch. The last, short batch of an epoch is a step of its own; nothing is
    dropped.

    Attributes:
      state: The network, its optimizer and the counts: what a checkpoint holds.
      figures: The names of the objective's figures.
      execution: How the functions are compiled, `xla` or `graph`.
    """

    def __init__(
        self,
        network: snt.Module,
        optimizer: Optimizer,
        objective: Objective,
        train: Resident,
        *,
        batch_size: int = 128,
        batch_size_test: int = 1000,
        execution: str = "auto",
        direction: Direction = of_loss,
    ):
        """Builds the network on one example and prepares the compiled functions.

        Args:
          network: The network; its variables are created here unless they exist.
          optimizer: An optimizer not used before.
          objective: What the network is trained for.
          train: The training split.
          batch_size: Examples a step, at most as many as there are.
          batch_size_test: Examples an evaluation step; changes speed and memory, not the result.
          execution: See `resolve_execution`.
          direction: What a step descends along, of the parameters' shapes, e.g. `projection.keeping(figure)`.

        Raises:
          UsageError: If the batch is larger than the data.
        """
        if not 1 <= batch_size <= len(train):
            raise UsageError(f"batch_size (={batch_size}) must be in [1, {len(train)}], the training examples.")
        if batch_size_test < 1:
            raise UsageError(f"batch_size_test (={batch_size_test}) must be at least 1.")
        self.objective = objective
        self.train = train
        self.batch_size = batch_size
        self.batch_size_test = batch_size_test
        no_seed = tf.zeros([2], tf.int32)
        self.figures = tuple(objective(train.images[:1], train.labels[:1], is_training=False, seed=no_seed))
        self.state = TrainState(network, optimizer)
        self.execution = resolve_execution(execution, network)
        self._direction = direction
        compiled = {"jit_compile": self.execution == "xla", "autograph": False}
        self._compiled_epoch = tf.function(self._epoch, **compiled)
        self._compiled_evaluation = tf.function(self._evaluation, **compiled)
        self._traced: dict[tuple[int, ...], Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """The steps an epoch takes, the short last one among them."""
        return -(-len(self.train) // self.batch_size)

    def epoch(
        self, order: npt.NDArray[np.integer], learning_rates: npt.NDArray[np.floating], seed: tuple[int, int]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Trains over the training split once.

        Args:
          order: A permutation of its indices.
          learning_rates: The rate of each step, `[steps_per_epoch]`.
          seed: The epoch's seed for what is random in the network.

        Returns:
          Each figure of the objective (averaged over its batch), `gradient_norm` (of what the step descends along) and
          `batch_size`, a value a step.
        """
        figures = self._compiled_epoch(
            self.train.images,
            self.train.labels,
            tf.constant(order, tf.int32),
            tf.constant(learning_rates, tf.float32),
            tf.constant(seed, tf.int32),
        ).numpy()
        sizes = batch_sizes(len(self.train), self.batch_size)
        return dict(zip((*self.figures, "gradient_norm"), figures.T, strict=True)) | {"batch_size": sizes}

    def evaluate(self, data: Resident) -> dict[str, float]:
        """Averages each figure of the objective over a whole split, the network not in training."""
        sums = self._evaluation_of(data)(data.images, data.labels).numpy().astype(np.float64).sum(axis=0)
        return dict(zip(self.figures, (sums / len(data)).tolist(), strict=True))

    def _evaluation_of(self, data: Resident) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Traces the evaluation of a split, once for each shape: TensorFlow warns of a function with so many traces."""
        shape = tuple(data.images.shape)
        if shape not in self._traced:
            self._traced[shape] = self._compiled_evaluation.get_concrete_function(data.images, data.labels)
        return self._traced[shape]

    def _step(self, images: tf.Tensor, labels: tf.Tensor, learning_rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        parameters = self.state.network.trainable_variables
        # A direction may ask for several gradients; in the graph, a tape for one and a tape for several are the same.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            figures = self.objective(images, labels, is_training=True, seed=seed)
            means = {name: tf.reduce_mean(figure) for name, figure in figures.items()}

        def gradient(figure: str) -> list[tf.Tensor]:
            if figure not in means:
                raise ValueError(f"figure (={figure!r}) must be one of the objective's: {', '.join(means)}.")
            return tape.gradient(means[figure], parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        gradients = self._direction(gradient)
        self.state.optimizer.apply(gradients, parameters, learning_rate)
        return tf.stack([*means.values(), gradient_norm(gradients)])

    def _epoch(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, learning_rates: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            step_seed = tf.random.experimental.stateless_fold_in(seed, index, alg="philox")
            return self._step(tf.gather(images, batch), tf.gather(labels, batch), learning_rates[index], step_seed)

        return over_batches(step, order, self.batch_size, [len(self.figures) + 1])

    def _evaluation(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            del index
            no_seed = tf.zeros([2], tf.int32)
            figures = self.objective(
                tf.gather(images, batch), tf.gather(labels, batch), is_training=False, seed=no_seed
            )
            return tf.stack([tf.reduce_sum(figure * tf.ones([batch.shape[0]])) for figure in figures.values()])

        examples = labels.shape[0]
        return over_batches(step, tf.range(examples), min(self.batch_size_test, examples), [len(self.figures)])


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
