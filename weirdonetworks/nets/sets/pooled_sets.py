"""Permutation-invariant networks on sets of vectors, `[batch, items, features]`: DeepSets, PointNet, relation networks.

With a mask `[batch, items]`, True where an item is present, the result is that of the set without the others. The same
weights apply to every number of items, with every pooling except `sort`.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import listed
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.base_module import Activation, Initializer
from weirdonetworks.nets.inputs import checked_floats, checked_sizes, checked_tensor, sizes
from weirdonetworks.nets.sets.set_network import MaskedSetNetwork, dense, on_items


class DeepSets(MaskedSetNetwork):
    """A DeepSets network: dense layers on each item, a symmetric pooling, and a dense head: f(s.x) = f(x).

        f(x) = g(pool_j h(x_j)),    x of shape [batch, items, features], f [batch, head_sizes[-1]]

    >>> network = DeepSets([16, 8], [8, 1])
    >>> one, other = network(tf.constant([[[1.0], [2.0], [4.0]], [[4.0], [1.0], [2.0]]]))
    >>> bool(tf.abs(one - other) < 1e-6)
    True

    Zaheer, Kottur, Ravanbakhsh, Poczos, Salakhutdinov & Smola, Deep sets, 2017, where the pooling is the sum.
    """

    def __init__(
        self,
        item_sizes: Iterable[int],
        head_sizes: Iterable[int],
        pooling: str | poolings.Pooling = "mean",
        activation: Activation = tf.nn.relu,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          item_sizes: The width of each dense layer of h, at least one.
          head_sizes: The width of each dense layer of g, at least one.
          pooling: A symmetric function of the items, or its name; see `nets.pooling`. The scale of the mean does not
            depend on the number of items; `sort` is restricted to the number of items of the first call.
          activation: Applied after each layer but the last of g.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        self._pooling = poolings.named(pooling)
        self.head = dense("head_sizes", head_sizes, activation, w_init, b_init, "head", is_last=True)
        self.item = dense("item_sizes", item_sizes, activation, w_init, b_init, "item")

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        return self.head(self._pooling(on_items(self.item, items), present))


class PointNet(MaskedSetNetwork):
    """A PointNet: DeepSets with max pooling and optional learned linear transforms of items and features.

        f(x) = g(max_j h_2(B h_1(A x_j))),    x of shape [batch, items, features], f [batch, head_sizes[-1]]

    The matrices A (the input transform) and B (the feature transform) are predicted from the whole set, by DeepSets
    with the maximum, so f(s.x) = f(x). They start as the identity. The paper adds `orthogonality_loss([B])` times 0.001
    to the loss: a B far from orthogonal loses information. Its batch norm is left out.

    >>> network = PointNet([16], [32], [8, 3], input_transform=True, feature_transform=True)
    >>> outputs, transforms = network.with_transforms(tf.ones([4, 20, 2]))
    >>> [each.shape.as_list() for each in (outputs, *transforms)]
    [[4, 3], [4, 2, 2], [4, 16, 16]]

    Qi, Su, Mo & Guibas, PointNet, 2017: there item_sizes (64, 64), feature_sizes (64, 128, 1024) and head_sizes (512,
    256, classes), with both transforms.
    """

    def __init__(
        self,
        item_sizes: Iterable[int],
        feature_sizes: Iterable[int],
        head_sizes: Iterable[int],
        input_transform: bool = False,
        feature_transform: bool = False,
        pooling: str | poolings.Pooling = "max",
        activation: Activation = tf.nn.relu,
        transform_item_sizes: Iterable[int] = (64, 128, 1024),
        transform_head_sizes: Iterable[int] = (512, 256),
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network; `head_sizes`, `pooling` and `activation` as in `DeepSets`.

        Args:
          item_sizes: The width of each dense layer of h_1, at least one.
          feature_sizes: The width of each dense layer of h_2, at least one.
          input_transform: Whether there is a matrix A.
          feature_transform: Whether there is a matrix B.
          transform_item_sizes: The widths of the dense layers on each item from which a matrix is predicted.
          transform_head_sizes: The widths of the dense layers after the maximum over items, which predict the matrix.
          w_init, b_init, name: As in `BaseModule`, for each layer but the last of each matrix, which starts at 0.
        """
        super().__init__(name=name)
        self._pooling = poolings.named(pooling)
        self.head = dense("head_sizes", head_sizes, activation, w_init, b_init, "head", is_last=True)
        widths = (
            checked_sizes("transform_item_sizes", transform_item_sizes),
            checked_sizes("transform_head_sizes", transform_head_sizes),
        )
        trunk = functools.partial(DeepSets, *widths, "max", activation, w_init, b_init)
        self.input_transform, self.feature_transform = (
            _Transform(trunk, activation, each) if wanted else None
            for each, wanted in (("input_transform", input_transform), ("feature_transform", feature_transform))
        )
        self.item = dense("item_sizes", item_sizes, activation, w_init, b_init, "item")
        self.feature = dense("feature_sizes", feature_sizes, activation, w_init, b_init, "feature")

    def with_transforms(self, inputs: tf.Tensor, mask: Any = None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the outputs and the list of transforms in use, A `[batch, features, features]` and B."""
        return self._both(*self._checked(inputs, mask))

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        return self._both(items, present)[0]

    def _both(self, items: tf.Tensor, present: tf.Tensor | None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        transforms = []
        for transform, network in ((self.input_transform, self.item), (self.feature_transform, self.feature)):
            if transform is not None:
                transforms.append(transform(items, present))
                items = tf.matmul(items, transforms[-1], transpose_b=True)
            items = on_items(network, items)
        return self.head(self._pooling(items, present)), transforms


class RelationNetwork(MaskedSetNetwork):
    """A relation network: dense layers on each ordered pair of items, a pooling, and a dense head: f(s.x) = f(x).

        f(x) = g(pool over i, j of h(x_i, x_j)),    x of shape [batch, items, features], f [batch, head_sizes[-1]]

    including i = j. The first layer of h, W (x_i, x_j) = W_1 x_i + W_2 x_j, is computed per item, not per pair; the
    later layers hold `[batch, items^2, pair_sizes]`.

    >>> network = RelationNetwork([16, 8], [8, 1])
    >>> one, other = network(tf.constant([[[1.0], [2.0], [4.0]], [[4.0], [1.0], [2.0]]]))
    >>> bool(tf.abs(one - other) < 1e-6)
    True

    Santoro, Raposo, Barrett, Malinowski, Pascanu, Battaglia & Lillicrap, A simple neural network module for relational
    reasoning, 2017, where the pooling is the sum.
    """

    def __init__(
        self,
        pair_sizes: Iterable[int],
        head_sizes: Iterable[int],
        pooling: str | poolings.Pooling = "mean",
        activation: Activation = tf.nn.relu,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network; as `DeepSets`, with `pair_sizes` the width of each dense layer of h on a pair."""
        super().__init__(name=name)
        self._pooling = poolings.named(pooling)
        self.head = dense("head_sizes", head_sizes, activation, w_init, b_init, "head", is_last=True)
        self._first, *rest = checked_sizes("pair_sizes", pair_sizes)
        self.pair = snt.nets.MLP(rest, w_init, b_init, activation=activation, activate_final=True, name="pair")
        self.activation = activation
        self.w_init, self.b_init = w_init, b_init

    @snt.once
    def _initialize(self, items: tf.Tensor) -> None:
        # With the standard deviation that Sonnet gives the undivided matrix.
        w_init = self.w_init or snt.initializers.TruncatedNormal(stddev=1 / math.sqrt(2 * items.shape[2]))
        self.left = snt.Linear(self._first, True, w_init, self.b_init, name="left")
        self.right = snt.Linear(self._first, with_bias=False, w_init=w_init, name="right")

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        left, right = on_items(self.left, items), on_items(self.right, items)
        batch, number, width = sizes(left)
        pairs = tf.reshape(left[:, :, None] + right[:, None], [batch, number * number, width])
        if present is not None:
            present = tf.reshape(present[:, :, None] & present[:, None], [batch, number * number])
        return self.head(self._pooling(on_items(self.pair, self.activation(pairs)), present))


def orthogonality_loss(transforms: Iterable[tf.Tensor]) -> tf.Tensor:
    """Computes the sum over matrices of the squared Frobenius norm |A A^T - 1|^2, averaged over the batch.

    >>> orthogonality_loss([tf.constant([[[0.0, -1.0], [1.0, 0.0]]]), tf.constant([[[2.0]]])]).numpy().item()
    9.0

    Args:
      transforms: Each `[batch, n, n]`, at least one, as `PointNet.with_transforms` gives them.
    """
    losses = []
    for given in listed("transforms", transforms, "matrices"):
        each = checked_floats(checked_tensor(given, "transforms"), "transforms")
        if each.shape.rank != 3 or each.shape[1] != each.shape[2]:
            raise ValueError(f"transforms of shape {each.shape} must each be [batch, n, n].")
        distances = tf.matmul(each, each, transpose_b=True) - tf.eye(each.shape[-1], dtype=each.dtype)
        losses.append(tf.reduce_mean(tf.reduce_sum(distances**2, axis=[1, 2])))
    if not losses:
        raise ValueError("transforms must hold at least one matrix: PointNet has those that it is asked for.")
    return tf.add_n(losses)


class _Transform(snt.Module):
    """A matrix predicted from each set: `[batch, items, n]` to `[batch, n, n]`; initially the identity."""

    def __init__(self, trunk: Callable[..., DeepSets], activation: Activation, name: str):
        super().__init__(name=name)
        self.activation = activation
        self.trunk = trunk(name="trunk")

    @snt.once
    def _initialize(self, items: tf.Tensor) -> None:
        self.last = snt.Linear(items.shape[2] ** 2, w_init=snt.initializers.Zeros(), name="last")

    def __call__(self, items: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        self._initialize(items)
        n = items.shape[2]
        entries = self.last(self.activation(self.trunk(items, mask)))
        return tf.reshape(entries, [-1, n, n]) + tf.eye(n, dtype=items.dtype)
