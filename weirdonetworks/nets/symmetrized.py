"""Any network made symmetric: combined over the orders of its items."""

import math
from collections.abc import Callable

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import PermutationGroup, inverse, symmetric_group
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.nets.inputs import checked_set
from weirdonetworks.nets.sets.set_network import sizes

COMBINE = {"mean": tf.reduce_mean, "sum": tf.reduce_sum, "product": tf.reduce_prod}
METHODS = ("exact", "sampled", "canonical", "adjacent")


@snt.allow_empty_variables
class Symmetrized(snt.Module):
    """A network combined over the orders of its items, so that their order does not matter.

        f(x) = mean of network(s.x) over s in G,    (s.x)[s(i)] = x[i],    x of shape [batch, k, features]

    G is the symmetric group of the k items, or any other; instead of the mean the sum or the product. All orders are
    one batch, in one call of the network. Four methods, and what becomes of the law f(g.x) = f(x) for g in G:

    - `exact`: over all of G. Invariant, and continuous if the network is. Costs |G| calls, k! for all orders.
    - `sampled`: over elements drawn once, from the seed. Not invariant; an unbiased estimate of the mean over G.
    - `canonical`: the network on the items sorted (by the first feature, among equals by the second, ...). Invariant
      under all orders for the price of one call, but not continuous: where two items swap places, f may jump.
    - `adjacent`: over the identity and the k - 1 swaps of neighbours. Not invariant; a cheap approximation.

    The network sees k items as they are, so their number is that of the first call, and there is no mask.

    >>> network = snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 1])])
    >>> one, other = Symmetrized(network)(tf.constant([[[1.0], [2.0], [4.0]], [[4.0], [1.0], [2.0]]]))
    >>> bool(tf.abs(one - other) < 1e-6)
    True

    The mean over a group is its Reynolds operator. Sampled and canonical orders: Murphy, Srinivasan, Rao & Ribeiro,
    Janossy pooling, 2019.
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        combine: str = "mean",
        group: PermutationGroup | None = None,
        method: str = "exact",
        limit: int = 5040,
        samples: int = 64,
        seed: int = 0,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          network: Maps `[batch, k, features]` to a tensor, batch first.
          combine: `mean`, `sum` or `product` over the orders. A product of many soon overflows or underflows.
          group: Acts on the items; None for all orders.
          method: `exact`, `sampled`, or without a group `canonical` or `adjacent`.
          limit: The most orders of the exact method.
          samples: How many elements `sampled` draws.
          seed: What they are drawn from.
          name: The module's name.

        Raises:
          TypeError: If the network cannot be called, the group is none, or a number no integer.
          ValueError: If a choice is unknown, a number too small, a method needs all orders and a group is given, or the
            group is above the limit.
        """
        super().__init__(name=name)
        if not callable(network):
            raise TypeError(f"network (={network!r}) must be a module or a function.")
        if combine not in COMBINE:
            raise ValueError(f"combine (={combine!r}) must be one of {', '.join(COMBINE)}.")
        if method not in METHODS:
            raise ValueError(f"method (={method!r}) must be one of {', '.join(METHODS)}.")
        if group is not None and not isinstance(group, PermutationGroup):
            raise TypeError(f"group (={group!r}) must be a PermutationGroup, or None for all orders.")
        if group is not None and method in ("canonical", "adjacent"):
            raise ValueError(f"method (={method!r}) is for all orders only; with a group use exact or sampled.")
        self.network = network
        self.combine = combine
        self.group = group
        self.method = method
        self.limit = at_least("limit", limit, 1)
        self.samples = at_least("samples", samples, 1)
        self.seed = at_least("seed", seed, 0)
        if group is not None and method == "exact":
            self._check_order(group.order)

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        k = inputs.shape[1]
        if self.group is not None and self.group.degree != k:
            raise ValueError(
                f"inputs of shape {inputs.shape} must have {self.group.degree} items, on which the group acts."
            )
        if self.method != "canonical":
            self._gathers = inverse(self._orders(k))
        self.num_items = k

    def _orders(self, k: int) -> Ints:
        if self.method == "adjacent":
            orders = np.tile(np.arange(k), (k, 1))
            swapped = np.arange(1, k)
            orders[swapped, swapped], orders[swapped, swapped - 1] = swapped - 1, swapped
            return orders
        if self.group is None and self.method == "exact":
            self._check_order(math.factorial(k))
        group = symmetric_group(k) if self.group is None else self.group
        return group.sample(self.samples, self.seed) if self.method == "sampled" else group.elements(self.limit)

    def _check_order(self, order: int) -> None:
        if order > self.limit:
            cheaper = "method='sampled' (not exactly invariant)"
            if self.group is None:
                cheaper += ", 'canonical' (sorted items: invariant, not continuous) or 'adjacent' (not invariant)"
            raise ValueError(
                f"limit (={self.limit}) must be at least the number of orders (={written(order)}): raise it, or use "
                f"{cheaper}."
            )

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, k, features]` to what the network gives.

        Raises:
          ValueError: If the inputs are no sets with a known number of items, that of the group or of the first call, or
            have more orders than the limit.
        """
        inputs, _ = checked_set(inputs)
        if inputs.shape[1] is None:
            raise ValueError(f"inputs of shape {inputs.shape} must have a known number of items.")
        self._initialize(inputs)
        if inputs.shape[1] != self.num_items:
            raise ValueError(f"inputs of shape {inputs.shape} must have {self.num_items} items, as at the first call.")
        if self.method == "canonical":
            return self.network(sorted_lexicographically(inputs))
        orbit = tf.gather(inputs, self._gathers, axis=1)  # [batch, orders, k, features]
        outputs = self.network(tf.reshape(orbit, [-1, *inputs.shape[1:]]))
        by_order = tf.reshape(outputs, [sizes(inputs)[0], len(self._gathers), *outputs.shape[1:]])
        return COMBINE[self.combine](by_order, axis=1)


def sorted_lexicographically(items: tf.Tensor) -> tf.Tensor:
    """Sorts the items of each set by the first feature, among equals by the second, and so on.

    >>> sorted_lexicographically(tf.constant([[[2.0, 1.0], [1.0, 5.0], [2.0, 0.0]]])).numpy().tolist()
    [[[1.0, 5.0], [2.0, 0.0], [2.0, 1.0]]]

    Args:
      items: Sets, `[batch, items, features]`.

    Returns:
      The sets sorted, of the same shape.

    Raises:
      ValueError: If they are no sets, or the number of features is not known.
    """
    if items.shape.rank != 3 or items.shape[2] is None:
        raise ValueError(f"items of shape {items.shape} must be [batch, items, features], the features known.")
    # Stable sorts, the last feature first: the smallest by `top_k`, which gives equal entries in their order.
    for feature in reversed(range(items.shape[2])):
        order = tf.math.top_k(-items[:, :, feature], tf.shape(items)[1]).indices
        items = tf.gather(items, order, batch_dims=1)
    return items
