"""Training of a masked chain of dense layers, in which cut weights cost nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weight_symmetry.masks.fan_in import fan_in_scale
from weight_symmetry.masks.generators import Mask
from weight_symmetry.sparse.chain import Dense, dense_layers
from weirdonetworks import extras
from weirdonetworks.lab.data.datasets import Resident, Standardisation
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training.batches import batch_sizes
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.optimizers import Adam, Momentum, Optimizer
from weirdonetworks.lab.training.trainer import Trainer

with extras.needed("sparse", "--execution=sparse needs it", "numba"):
    from weight_symmetry.sparse import kernels
from weight_symmetry.sparse.vectors import blocks
from weight_symmetry.sparse.wiring import Images, Wiring

# The share of weights kept from which on dense products are taken to be faster.
DENSE = 0.25
METRICS = ("loss", "accuracy")


class SparseTrainer(Trainer):
    """A `Trainer` of a masked chain of dense layers that reads and writes unmasked weights only, on a processor.

    For layers `x <- relu(x (m * w) + b)`, logits last, with the cross-entropy of their softmax, it computes what
    `Trainer` does, to rounding, by kernels that Numba compiles; one network on one core. From a quarter of the weights
    on, where dense products are faster, it is the trainer with `execution="graph"`.

    The variables of network, masks and optimizer hold the state between epochs, and between parts of an epoch: masks
    may change there.

    >>> from weight_symmetry import models, Masks
    >>> from weirdonetworks.lab.data import datasets
    >>> from weirdonetworks.lab.training import objectives
    >>> data = datasets.load("MNIST").cut(200)
    >>> network = models.MNIST_FC(features=(20,))
    >>> _ = network(tf.ones([1, 28, 28, 1]), is_training=False)
    >>> optimizer = Masks.create(network, "random", sparsity=0.9).wrap(Adam())
    >>> objective = objectives.classifier(data, takes=("is_training", "seed"))
    >>> trainer = SparseTrainer(network, optimizer, objective, Resident(data.train), data.standardisation)
    >>> trainer.metrics, trainer.execution
    (('loss', 'accuracy'), 'sparse')
    """

    def __init__(
        self,
        network: Any,
        optimizer: Optimizer,
        objective: Callable[[Any], Objective],
        train: Resident,
        standardisation: Standardisation,
        *,
        batch_size: int = 128,
        batch_size_test: int = 1000,
    ):
        """Finds the layers of the network and prepares the data.

        Args:
          network: The network, called as `network(images, is_training=..., seed=...)`.
          optimizer: A new `Adam` or `Momentum`, wrapped by the masks of the network.
          objective: Makes the objective, `objectives.classification` with that standardisation.
          train: The training split, uint8.
          standardisation: Maps bytes to the inputs of the network.
          batch_size: Batch size in training, at most the number of examples.
          batch_size_test: Batch size in evaluation where this is dense.

        Raises:
          UsageError: If the network is no chain of dense layers with ReLU, in training and out of it, the objective
            another one, the images are not uint8, a label is none of the classes, or as `Trainer`.
          ImportError: If Numba is not installed.
        """
        super().__init__(
            network,
            optimizer,
            objective,
            train,
            batch_size=batch_size,
            batch_size_test=batch_size_test,
            execution="graph",
        )
        self.execution = "sparse"
        if not isinstance(optimizer, Adam | Momentum) or not hasattr(optimizer, "masks"):
            raise UsageError(f"optimizer (a {type(optimizer).__name__}) must be Adam or Momentum, wrapped by masks.")
        self._optimizer: Any = optimizer
        inputs = standardisation(train.images[:2])
        seed = tf.zeros([2], tf.int32)
        try:
            layers, others = (
                dense_layers(network, inputs, {"is_training": is_training, "seed": seed})
                for is_training in (True, False)
            )
            if [_identities(each) for each in layers] != [_identities(each) for each in others]:
                raise ValueError("it computes something else in training")
        except (TypeError, ValueError) as error:
            raise UsageError(
                "execution (=sparse) must have a model that is a chain of dense layers with ReLU, without dropout, and "
                f"this one is not: {error}. Pass --execution=auto."
            ) from error
        places = {id(variable.handle): place for place, variable in enumerate(network.trainable_variables)}
        found = {id(variable.handle) for layer in layers for variable in layer if variable is not None}
        if found != places.keys():
            raise UsageError("execution (=sparse) must have a model that trains all of its layers, and them alone.")
        self._weights = [places[id(layer.weight.handle)] for layer in layers]
        self._biases = [None if layer.bias is None else places[id(layer.bias.handle)] for layer in layers]
        masked = {id(weight.handle): place for place, weight in enumerate(self._optimizer.masks.weights)}
        self._masks = [masked.get(id(layer.weight.handle)) for layer in layers]
        self._images = Images(inputs.shape[1:], standardisation, layers[-1].weight.shape[-1])
        self._wiring: Wiring | None = None
        self._images.of(train)
        self._check_objective(layers, inputs)

    def _check_objective(self, layers: Sequence[Dense], inputs: tf.Tensor) -> None:
        """Raises UsageError unless the objective of some examples is the cross-entropy of the layers' outputs."""
        rows = tf.reshape(inputs, [len(inputs), -1])
        for place, layer in enumerate(layers):
            rows = tf.matmul(tf.nn.relu(rows) if place else rows, layer.weight)
            rows = rows if layer.bias is None else rows + layer.bias
        images, labels = self.train.images[: len(inputs)], self.train.labels[: len(inputs)]
        expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, rows).numpy()
        for is_training in (True, False):
            found = self.objective(images, labels, is_training=is_training, seed=tf.zeros([2], tf.int32))
            loss = np.broadcast_to(np.asarray(found["loss"]), expected.shape)
            if self.metrics != METRICS or not np.allclose(loss, expected, rtol=1e-3, atol=1e-4, equal_nan=True):
                raise UsageError(
                    f"objective (with {', '.join(self.metrics)}; loss {loss[0]:.4g} of the first image) must be "
                    f"objectives.classification ({', '.join(METRICS)}; loss {expected[0]:.4g}) without augmentation "
                    "for execution (=sparse). Pass --execution=auto."
                )

    def epoch(
        self, order: npt.NDArray[np.integer], learning_rates: npt.NDArray[np.floating], seed: Any, first: int = 0
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Trains over the training split once, or over a part of an epoch, as `Trainer.epoch`; no seed is used.

        Raises:
          ValueError: If an index is none of a training example, or the rates are not one for each batch.
        """
        self._check_indices("order", order)
        if len(learning_rates) != -(-len(order) // self.batch_size):
            raise ValueError(
                f"learning_rates (of length {len(learning_rates)}) must hold one for each batch of {self.batch_size} "
                f"of the {len(order)} examples."
            )
        wiring = self._current_wiring()
        if wiring.share >= DENSE:
            return super().epoch(order, learning_rates, seed, first)
        steps, optimizer = len(learning_rates), self._optimizer
        is_adam = isinstance(optimizer, Adam)
        parameters = self.network.trainable_variables
        slots = [getattr(optimizer, name) for name in optimizer.slot_names]
        numbers, *states = (self._gather(wiring, variables) for variables in (parameters, *slots))
        records = kernels.train(
            self._registers(wiring, self.batch_size),
            self.batch_size,
            wiring.read(self._images, self.train),
            np.asarray(order, np.int32),
            wiring.connections,
            numbers,
            (states[0], states[-1]),
            self._biased(wiring),
            self._scales(wiring),
            _rule(optimizer),
            np.asarray(learning_rates, np.float32),
            int(optimizer.step) if is_adam else 0,
        )
        for state, variables in zip((numbers, *states), (parameters, *slots), strict=True):
            self._scatter(wiring, state, variables)
        if is_adam:
            optimizer.step.assign_add(steps)
        loss, accuracy, norm = records.T
        sizes = batch_sizes(len(order), self.batch_size)
        return {"loss": loss, "accuracy": accuracy, "gradient_norm": norm, "batch_size": sizes}

    def evaluate(self, data: Resident) -> dict[str, Any]:
        """Averages loss and accuracy over a whole split.

        Raises:
          UsageError: If its images are not uint8 of the training images' shape, or a label is none of the classes.
        """
        self._images.of(data)
        wiring = self._current_wiring()
        if wiring.share >= DENSE:
            return super().evaluate(data)
        numbers = self._gather(wiring, self.network.trainable_variables)
        registers = self._registers(wiring, self.batch_size)
        sums = kernels.evaluate(registers, wiring.read(self._images, data), wiring.connections, numbers)
        return {name: total / len(data) for name, total in zip(self.metrics, sums, strict=True)}

    def gradients(self, indices: npt.NDArray[np.integer], seed: Any) -> list[npt.NDArray[np.float32]]:
        """Computes the gradient of the mean loss over some training examples by the weights, cut ones too.

        Args:
          indices: The examples.
          seed: Is not used.

        Returns:
          An array for each masked weight, of its shape, in the order of the masks.

        Raises:
          ValueError: If there are no indices, or one is none of a training example.
        """
        self._check_indices("indices", indices)
        wiring = self._current_wiring()
        numbers, net = self._gather(wiring, self.network.trainable_variables), wiring.connections
        registers = self._registers(wiring, self.batch_size)
        width = len(registers) * kernels.LANES
        # Inputs that no connection leaves have a gradient, too.
        examples = wiring.read(self._images, self.train)._replace(blocks=blocks(net.inputs))
        turned, ignored = np.zeros_like(numbers.weights), kernels.Numbers(*map(np.zeros_like, numbers))
        kernels.turn(net, numbers, turned)
        rows, errors = (np.zeros((wiring.units, width), np.float32) for _ in range(2))
        shapes = [mask.shape for mask in wiring.masks]
        found = [np.zeros(shape, np.float32) for shape in shapes]
        share = np.float32(1 / len(indices))
        spans = [slice(0, net.inputs), *wiring.spans]
        for first in range(0, len(indices), width):
            tile = np.asarray(indices[first : first + width], np.int32)
            kernels.differentiate(
                registers, examples, tile, share, net, numbers, turned, rows.reshape(-1), errors.reshape(-1), ignored
            )
            for total, before, after in zip(found, spans, spans[1:], strict=False):
                total += rows[before] @ errors[after].T
        by_mask = dict(zip(self._masks, found, strict=True))
        by_mask[self._masks[0]] = found[0][: len(found[0]) - self._images.missing]
        return [by_mask[place] for place in range(len(self._optimizer.masks.weights))]

    def _check_indices(self, name: str, indices: npt.NDArray[np.integer]) -> None:
        """Raises a `ValueError` unless there are indices, all of training examples: kernels check no bounds."""
        array = np.asarray(indices)
        if not array.size or not 0 <= array.min() <= array.max() < len(self.train):
            shown = f"{array.min()} to {array.max()}" if array.size else "empty"
            raise ValueError(f"{name} (={shown}) must hold indices of the {len(self.train)} training examples.")

    def _current_wiring(self) -> Wiring:
        """Lists the connections; again only where the masks have changed."""
        arrays = self._optimizer.masks.arrays
        masks: list[Mask] = [
            np.ones(self.network.trainable_variables[weight].shape, bool) if place is None else arrays[place]
            for place, weight in zip(self._masks, self._weights, strict=True)
        ]
        masks[0] = np.pad(masks[0], ((0, self._images.missing), (0, 0)))
        known = self._wiring
        if known is None or not all(map(np.array_equal, known.masks, masks)):
            self._wiring = known = Wiring(masks)
        return known

    def _registers(self, wiring: Wiring, batch: int) -> tuple[int, ...]:
        """Returns a tuple as long as a row of activations has vectors."""
        registers, _ = kernels.tiling(batch, max(map(max, (mask.shape for mask in wiring.masks))))
        return (0,) * registers

    def _gather(self, wiring: Wiring, variables: Sequence[tf.Variable]) -> kernels.Numbers:
        arrays = [variable.numpy() for variable in variables]
        biases = [None if place is None else arrays[place] for place in self._biases]
        return wiring.gather([arrays[place] for place in self._weights], biases)

    def _scatter(self, wiring: Wiring, numbers: kernels.Numbers, variables: Sequence[tf.Variable]) -> None:
        """Stores numbers in variables, with zeros for cut weights, as weights and moments have there."""
        weights = [variables[place] for place in self._weights]
        arrays = [np.zeros(variable.shape, np.float32) for variable in weights]
        wiring.scatter(numbers, arrays)
        for variable, array in zip(weights, arrays, strict=True):
            variable.assign(array)
        for place, units in zip(self._biases, wiring.spans, strict=True):
            if place is not None:
                variables[place].assign(numbers.biases[units])

    def _scales(self, wiring: Wiring) -> npt.NDArray[np.float32]:
        """Returns what the gradients of each unit's weights are multiplied by; nothing if that is one."""
        if not self._optimizer.corrects_fan_in:
            return np.zeros(0, np.float32)
        scales = np.ones(wiring.units, np.float32)
        for mask, units in zip(wiring.masks, wiring.spans, strict=True):
            scales[units] = fan_in_scale(mask, tf.float32)
        return scales

    def _biased(self, wiring: Wiring) -> npt.NDArray[np.float32]:
        """Returns 1 for each unit that has a bias, and 0 for others."""
        biased = np.zeros(wiring.units, np.float32)
        for place, units in zip(self._biases, wiring.spans, strict=True):
            biased[units] = place is not None
        return biased


def _identities(layer: Dense) -> list[int | None]:
    """Tells the variables of a layer from others."""
    return [None if variable is None else id(variable.handle) for variable in layer]


def _rule(optimizer: Any) -> kernels.Rule:
    """Returns the constants of an optimizer."""
    if isinstance(optimizer, Adam):
        own, nesterov = (optimizer.beta1, optimizer.beta2, optimizer.epsilon, 0.0), False
    else:
        own, nesterov = (0.0, 0.0, 0.0, optimizer.momentum), optimizer.nesterov
    return kernels.Rule(isinstance(optimizer, Adam), nesterov, *map(np.float32, (*own, optimizer.weight_decay)))
