"""Networks trained stage by stage: trained stages are frozen, and the next stage is attached to them."""

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.dropout import checked_rate, dropout
from weirdonetworks.nets.inputs import DEPTH, WIDTH, flattened
from weirdonetworks.nets.small.parallel import Parallel

Block = Callable[[tf.Tensor], tf.Tensor]


class StagedNetwork(BaseModule, abc.ABC):
    """A classifier composed of stages, whose first ones may be the frozen stages of a trained network.

        h_1 = B_1(x),    h_k = attach(B_k, h_{k-1}, x),    f(x) = W h_K + b,    x flattened, of shape [batch, n]

    Each block B is a dense layer of `size` units, layer norm, ReLU and dropout; subclasses define `attach`. Frozen
    blocks pass no gradient, neither to their weights nor to the inputs, and apply no dropout; the read-out W is always
    new. Frozen blocks are shared with the network they come from.

    They are excluded from the network's `trainable_variables`, so weight decay does not change them. A module that
    contains the network lists them in its own `trainable_variables`; train such a module without weight decay.

    >>> first = ExpansionSerial()
    >>> first(tf.zeros([2, 28, 28, 1]), is_training=False).shape.as_list()
    [2, 10]
    >>> second = ExpansionSerial(base=first)  # to be trained once the first has been
    >>> _ = second(tf.zeros([2, 28, 28, 1]), is_training=False)
    >>> len(second.variables), len(second.trainable_variables)
    (10, 6)
    """

    def __init__(
        self,
        num_classes: int = 10,
        stages: int = 1,
        size: int = 16,
        dropout_rate: float = 0.5,
        base: Self | None = None,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          num_classes: The width of the read-out.
          stages: The number of stages to train, at least 1.
          size: The number of units of each block.
          dropout_rate: The dropout rate of a block, in [0, 1).
          base: A network of the same class whose stages come first, frozen; None for none.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        if base is not None and type(base) is not type(self):
            raise TypeError(f"base (={base!r}) must be of the class {type(self).__name__}.")
        self.w_init, self.b_init = w_init, b_init
        size = at_least("size", size, 1, WIDTH)
        self.dropout_rate = checked_rate("dropout_rate", dropout_rate)
        self.frozen: list[Any] = [] if base is None else [*base.frozen, *base.stages]
        first = len(self.frozen)
        stages, num_classes = at_least("stages", stages, 1, DEPTH), at_least("num_classes", num_classes, 1, WIDTH)
        self.stages: list[Any] = [self._block(size, first + index) for index in range(stages)]
        self.read_out = snt.Linear(num_classes, True, w_init, b_init, name="read_out")

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The variables of the stages that are not frozen, and of the read-out."""
        parts = (*self.stages, self.read_out)
        return tuple(variable for part in parts for variable in part.trainable_variables)

    def __call__(self, inputs: tf.Tensor, is_training: bool, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, num_classes]`; `seed` int32 `[2]` is for dropout."""
        flat = features = flattened(inputs)
        for index, stage in enumerate((*self.frozen, *self.stages)):
            if index == len(self.frozen):
                features = tf.stop_gradient(features)
            dropped = is_training and index >= len(self.frozen)
            block = functools.partial(self._run, stage, is_training=dropped, seed=seed, index=index)
            features = self._attach(block, features, flat) if index else block(flat)
        return self.read_out(features)

    @abc.abstractmethod
    def _attach(self, block: Block, features: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """Applies a block and combines its outputs with the features of the stages before it."""

    def _block(self, size: int, index: int) -> Block:
        return self._dense(size, f"stage_{index}")

    def _dense(self, size: int, name: str, *before: Block) -> Block:
        linear = snt.Linear(size, True, self.w_init, self.b_init, name=f"{name}_linear")
        norm = snt.LayerNorm(axis=-1, create_scale=True, create_offset=True, name=f"{name}_norm")
        return snt.Sequential([*before, linear, norm, tf.nn.relu], name=name)

    def _run(self, stage: Block, values: tf.Tensor, **noise: Any) -> tf.Tensor:
        return dropout(stage(values), self.dropout_rate, **noise)


class ExpansionSerial(StagedNetwork):
    """A staged network whose blocks take all earlier features and append their own: h_k = [h_{k-1}, B_k(h_{k-1})].

    Only the first block takes the inputs directly. See `StagedNetwork`.

    >>> ExpansionSerial(stages=2)(tf.zeros([2, 784]), is_training=False).shape.as_list()
    [2, 10]
    """

    def _attach(self, block: Block, features: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        del inputs
        return tf.concat([features, block(features)], axis=1)


class ExpansionParallel(StagedNetwork):
    """A staged network whose blocks take the inputs, in parallel: h_k = [h_{k-1}, B_k(x)].

    Stages are combined in the read-out only. See `StagedNetwork`.

    >>> ExpansionParallel(stages=2)(tf.zeros([2, 784]), is_training=False).shape.as_list()
    [2, 10]
    """

    def _attach(self, block: Block, features: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        return tf.concat([features, block(inputs)], axis=1)


class Residual(StagedNetwork):
    """A staged network with residual blocks: h_k = h_{k-1} + B_k(h_{k-1}).

    All blocks have the same size, so the read-out does not grow. See `StagedNetwork`.

    >>> Residual(stages=2)(tf.zeros([2, 784]), is_training=False).shape.as_list()
    [2, 10]
    """

    def _attach(self, block: Block, features: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        del inputs
        added = block(features)
        if added.shape[1] != features.shape[1]:
            raise ValueError(f"size (={added.shape[1]}) must be that of the base (={features.shape[1]}).")
        return features + added


class RandomSample(ExpansionParallel):
    """An `ExpansionParallel` whose blocks consist of several branches, each on a random subset of the inputs.

        B_k(x) = [D_k1(x restricted to S_k1), D_k2(x restricted to S_k2), ...],    D a block of `size` units

    >>> RandomSample(branches=3, sample_size=5)(tf.zeros([2, 784]), is_training=False).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        num_classes: int = 10,
        stages: int = 1,
        size: int = 16,
        dropout_rate: float = 0.5,
        base: Self | None = None,
        branches: int = 10,
        sample_size: int = 16,
        seed: int = 0,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network; the arguments are those of `StagedNetwork`, size and rate of each branch, and these.

        Args:
          branches: The number of branches per stage, at least 1.
          sample_size: The number of inputs of a branch, at most all.
          seed: Seed of the subsets, which are independent for each stage and branch.
        """
        # Set first, since the base constructor makes blocks from them.
        self.branches = at_least("branches", branches, 1, DEPTH)
        self.sample_size = at_least("sample_size", sample_size, 1, WIDTH)
        self.seed = at_least("seed", seed, 0)
        super().__init__(num_classes, stages, size, dropout_rate, base, w_init, b_init, name)

    def _block(self, size: int, index: int) -> Block:
        blocks = {}
        for branch in range(self.branches):
            name = f"stage_{index}_branch_{branch}"
            sample = functools.partial(_sampled, size=self.sample_size, seed=(self.seed, index, branch))
            blocks[name] = self._dense(size, name, sample)
        return Parallel(blocks, name=f"stage_{index}")


def _sampled(inputs: tf.Tensor, size: int, seed: Sequence[int]) -> tf.Tensor:
    """Selects a fixed random subset of the inputs."""
    width = inputs.shape[1]
    if size > width:
        raise ValueError(f"sample_size (={size}) must be at most the number of inputs (={width}).")
    drawn = np.random.default_rng(seed).choice(width, size, replace=False)
    return tf.gather(inputs, drawn, axis=1)
