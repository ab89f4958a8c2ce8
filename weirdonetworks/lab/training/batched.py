"""Many networks of one architecture trained as one: every variable with a leading axis of networks."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.optimizers import Optimizer
from weirdonetworks.lab.training.trainer import Resident, batch_sizes, gradient_norm, over_batches


class BatchedTrainer:
    """Trains `count` copies of a network side by side, each on its own order of the same data, in one program.

    It is what `training.Trainer` does, vectorised over the networks; single steps agree to rounding. On an accelerator
    this fills the device; on a processor the networks' weights push each other out of the cache, and one network a
    core is faster.

    The network must not change a variable in its call (as batch norm does in training): the copies are tensors there.
    """

    def __init__(
        self,
        network: snt.Module,
        optimizer: Optimizer,
        objective: Objective,
        train: Resident,
        count: int,
        *,
        batch_size: int = 128,
        batch_size_test: int = 1000,
    ):
        """Makes the stacked variables and the compiled functions.

        Args:
          network: A built network, the pattern of all copies. It is not trained itself.
          optimizer: An optimizer not used before.
          objective: What the network is trained for, calling `network`.
          train: The training split.
          count: How many copies.
          batch_size: Examples a step, for each copy.
          batch_size_test: Examples an evaluation step.
        """
        self.train = train
        self.count = count
        self.batch_size = batch_size
        self.batch_size_test = batch_size_test
        self._objective = objective
        no_seed = tf.zeros([2], tf.int32)
        self.figures = tuple(objective(train.images[:1], train.labels[:1], is_training=False, seed=no_seed))
        self._places = list(_variables(network))
        self.stacked = [
            tf.Variable(tf.stack([variable] * count), trainable=variable.trainable) for _, _, variable in self._places
        ]
        self._trained = [index for index, (_, _, variable) in enumerate(self._places) if variable.trainable]
        self._optimizer = optimizer
        ranks = [self._places[index][2].shape.rank for index in self._trained]
        optimizer.initialize([self.stacked[index] for index in self._trained], decays=[rank >= 2 for rank in ranks])
        self._compiled_epoch = tf.function(self._epoch, jit_compile=True, autograph=False)
        self._compiled_evaluation = tf.function(self._evaluation, jit_compile=True, autograph=False)

    @property
    def steps_per_epoch(self) -> int:
        """The steps an epoch takes, the short last one among them."""
        return -(-len(self.train) // self.batch_size)

    def load(self, index: int) -> None:
        """Makes one copy the present state of the pattern network."""
        for stacked, (_, _, variable) in zip(self.stacked, self._places, strict=True):
            stacked[index].assign(variable)

    def weights(self, index: int) -> list[np.ndarray]:
        """Returns the trainable weights of one copy."""
        return [self.stacked[place][index].numpy() for place in self._trained]

    def epoch(
        self,
        orders: npt.NDArray[np.integer],
        learning_rates: npt.NDArray[np.floating],
        seeds: Sequence[tuple[int, int]],
    ) -> list[dict[str, npt.NDArray[np.float32]]]:
        """Trains every copy over the training split once.

        Args:
          orders: A permutation of its indices for each copy, `[count, examples]`.
          learning_rates: The rate of each step, `[steps_per_epoch]`.
          seeds: Each copy's seed of the epoch.

        Returns:
          For each copy what `Trainer.epoch` returns.
        """
        figures = self._compiled_epoch(
            self.train.images,
            self.train.labels,
            tf.constant(orders.T, tf.int32),
            tf.constant(learning_rates, tf.float32),
            tf.constant(seeds, tf.int32),
        ).numpy()
        sizes = batch_sizes(len(self.train), self.batch_size)
        names = (*self.figures, "gradient_norm")
        return [dict(zip(names, own.T, strict=True)) | {"batch_size": sizes} for own in figures.transpose(1, 0, 2)]

    def evaluate(self, data: Resident) -> list[dict[str, float]]:
        """Averages the objective's figures over a whole split, for each copy."""
        means = self._compiled_evaluation(data.images, data.labels).numpy().astype(np.float64).sum(axis=0) / len(data)
        return [dict(zip(self.figures, own.tolist(), strict=True)) for own in means]

    @contextlib.contextmanager
    def _standing_in(self, values: Sequence[tf.Tensor]) -> Iterator[None]:
        """Puts tensors in the place of the pattern network's variables."""
        for (module, name, _), value in zip(self._places, values, strict=True):
            setattr(module, name, value)
        try:
            yield
        finally:
            for module, name, variable in self._places:
                setattr(module, name, variable)

    def _step(self, images: tf.Tensor, labels: tf.Tensor, learning_rate: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        def one(
            arguments: tuple[list[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor],
        ) -> tuple[tf.Tensor, list[tf.Tensor]]:
            values, own_images, own_labels, seed = arguments
            trained = [values[index] for index in self._trained]
            # The gradient is taken in here: from outside, the layers' own gradients would be lost in vectorising.
            with tf.GradientTape(watch_accessed_variables=False) as tape, self._standing_in(values):
                tape.watch(trained)
                figures = self._objective(own_images, own_labels, is_training=True, seed=seed)
                means = {name: tf.reduce_mean(figure) for name, figure in figures.items()}
            gradients = tape.gradient(means["loss"], trained, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return tf.stack([*means.values(), gradient_norm(gradients)]), gradients

        values = [tf.convert_to_tensor(variable) for variable in self.stacked]
        figures, gradients = tf.vectorized_map(one, (values, images, labels, seeds), fallback_to_while_loop=False)
        self._optimizer.apply(gradients, [self.stacked[index] for index in self._trained], learning_rate)
        return figures

    def _epoch(
        self, images: tf.Tensor, labels: tf.Tensor, orders: tf.Tensor, learning_rates: tf.Tensor, seeds: tf.Tensor
    ) -> tf.Tensor:
        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            batch = tf.transpose(batch)
            step_seeds = tf.stack(
                [tf.random.experimental.stateless_fold_in(seed, index, alg="philox") for seed in tf.unstack(seeds)]
            )
            return self._step(tf.gather(images, batch), tf.gather(labels, batch), learning_rates[index], step_seeds)

        return over_batches(step, orders, self.batch_size, [self.count, len(self.figures) + 1])

    def _evaluation(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        def step(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            del index
            own_images, own_labels = tf.gather(images, batch), tf.gather(labels, batch)

            def one(values: list[tf.Tensor]) -> tf.Tensor:
                with self._standing_in(values):
                    no_seed = tf.zeros([2], tf.int32)
                    figures = self._objective(own_images, own_labels, is_training=False, seed=no_seed)
                return tf.stack([tf.reduce_sum(figure * tf.ones([batch.shape[0]])) for figure in figures.values()])

            values = [tf.convert_to_tensor(variable) for variable in self.stacked]
            return tf.vectorized_map(one, values, fallback_to_while_loop=False)

        size = min(self.batch_size_test, labels.shape[0])
        return over_batches(step, tf.range(labels.shape[0]), size, [self.count, len(self.figures)])


def _variables(network: snt.Module) -> Iterator[tuple[tf.Module, str, tf.Variable]]:
    """Finds every variable of a network by the module and attribute that hold it."""
    for module in (network, *network.submodules):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, tf.Variable):
                yield module, name, value
