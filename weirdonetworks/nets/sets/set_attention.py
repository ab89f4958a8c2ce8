"""The set transformer: self-attention blocks on sets, and the network made of them."""

import functools
import math
from collections.abc import Callable, Iterable

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.base_module import Activation, Initializer
from weirdonetworks.nets.inputs import DEPTH, WIDTH, masked, sizes
from weirdonetworks.nets.sets.set_network import MaskedSetNetwork, dense, on_items


class SetAttention(MaskedSetNetwork):
    """A set-transformer block, self-attention among the items of a set: SetAttention(s.x) = s.SetAttention(x).

        Y = MAB(X, X), or with m inducing points I, Y = MAB(X, MAB(I, X)),
        MAB(X, Z) = LN(H + s(H W + b)),    H = LN(Q + attention(Q, Z)),    Q = X W_Q

    with X of shape [batch, items, features], Y [batch, items, size], attention the multihead softmax attention of the
    queries Q to the items of Z, LN the layer norm of each item. The first form costs items^2, the second m * items.
    Masked items are not attended to, and have output 0.

    >>> block = SetAttention(8, num_heads=2)
    >>> block(tf.ones([4, 5, 3]), mask=[[True] * 5] * 3 + [[True] + [False] * 4]).shape.as_list()
    [4, 5, 8]

    Lee, Lee, Kim, Kosiorek, Choi & Teh, Set transformer, 2019: SAB and ISAB, equations 6 to 10; the residual adds the
    projected queries, as in the authors' code, so that the width may change.
    """

    def __init__(
        self,
        size: int,
        num_heads: int = 4,
        num_inducing: int | None = None,
        with_norm: bool = True,
        activation: Activation = tf.nn.relu,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the block.

        Args:
          size: The number of output features, a multiple of the number of heads.
          num_heads: The number of attention heads.
          num_inducing: The number m of inducing points; None for attention among the items directly.
          with_norm: Whether to apply the layer norm LN. Initially it gives each output item the same mean square.
          activation: The activation s.
          w_init, b_init, name: As in `BaseModule`; `w_init` draws the learned points too, by default from N(0, 1).
        """
        super().__init__(name=name)
        block = functools.partial(_Attention, size, num_heads, with_norm, activation, w_init, b_init)
        self.points = None
        if num_inducing is not None:
            self.points = _Queries(at_least("num_inducing", num_inducing, 1, WIDTH), block, w_init, "points")
        self.attention = block("attention")

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        if self.points is None:
            return masked(self.attention(items, items, present), present)
        return masked(self.attention(items, self.points(items, present)), present)


class SetTransformer(MaskedSetNetwork):
    """A set transformer: blocks of `SetAttention`, pooling by a learned query, and a dense head: f(s.x) = f(x).

        f(X) = g(MAB(q, B_k(... B_1(X)))),    X of shape [batch, items, features], f [batch, head_sizes[-1]]

    >>> SetTransformer(8, [10], num_blocks=2)(tf.ones([4, 5, 3])).shape.as_list()
    [4, 10]

    Lee et al., Set transformer, 2019, with one seed vector and dense layers as the decoder.
    """

    def __init__(
        self,
        size: int,
        head_sizes: Iterable[int],
        num_blocks: int = 2,
        num_heads: int = 4,
        num_inducing: int | None = None,
        with_norm: bool = True,
        activation: Activation = tf.nn.relu,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network; `num_heads`, `num_inducing`, `with_norm` and initializers as in `SetAttention`.

        Args:
          size: The number of hidden features of an item, a multiple of the number of heads.
          head_sizes: The width of each dense layer g, at least one.
          num_blocks: The number k of blocks, at least 1.
          activation: As in `SetAttention`; also after each dense layer but the last.
        """
        super().__init__(name=name)
        self.blocks = [
            SetAttention(size, num_heads, num_inducing, with_norm, activation, w_init, b_init, name=f"block_{index}")
            for index in range(at_least("num_blocks", num_blocks, 1, DEPTH))
        ]
        pool = functools.partial(_Attention, size, num_heads, with_norm, activation, w_init, b_init)
        self.query = _Queries(1, pool, w_init, "query")
        self.head = dense("head_sizes", head_sizes, activation, w_init, b_init, "head", is_last=True)

    def _outputs(self, items: tf.Tensor, present: tf.Tensor | None) -> tf.Tensor:
        for block in self.blocks:
            items = block(items, present)
        return self.head(self.query(items, present)[:, 0])


class _Attention(snt.Module):
    """The multihead attention block MAB: queries `[batch, n, a]` and items `[batch, m, b]` to `[batch, n, size]`."""

    def __init__(
        self,
        size: int,
        num_heads: int,
        with_norm: bool,
        activation: Activation,
        w_init: Initializer,
        b_init: Initializer,
        name: str,
    ):
        super().__init__(name=name)
        self.size = at_least("size", size, 1, WIDTH)
        self.num_heads = at_least("num_heads", num_heads, 1, WIDTH)
        if size % num_heads:
            raise ValueError(f"size (={size}) must be divisible by num_heads (={num_heads}).")
        self.activation = activation
        self.to_queries, self.to_values, self.dense = (
            snt.Linear(size, True, w_init, b_init, name=each) for each in ("queries", "values", "dense")
        )
        self.to_keys = snt.Linear(size, False, w_init, name="keys")  # The softmax is invariant to a bias of the keys.
        self.norms: list[Activation] = [tf.identity, tf.identity]
        if with_norm:
            self.norms = [snt.LayerNorm(-1, create_scale=True, create_offset=True, name=f"norm_{i}") for i in range(2)]

    def __call__(self, queries: tf.Tensor, items: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        asked = on_items(self.to_queries, queries)
        attended = self._attend(asked, on_items(self.to_keys, items), on_items(self.to_values, items), mask)
        hidden = self.norms[0](asked + attended)
        return self.norms[1](hidden + self.activation(on_items(self.dense, hidden)))

    def _split(self, values: tf.Tensor) -> tf.Tensor:
        """Moves the heads forward: `[batch, n, size]` to `[batch, heads, n, size / heads]`."""
        shape = [*sizes(values)[:2], self.num_heads, self.size // self.num_heads]
        return tf.transpose(tf.reshape(values, shape), [0, 2, 1, 3])

    def _attend(self, queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
        queries, keys, values = map(self._split, (queries, keys, values))
        logits = tf.matmul(queries, keys, transpose_b=True) / math.sqrt(self.size // self.num_heads)
        if mask is not None:
            # The lowest finite number: its exponential is 0, and a fully masked row gives no NaN.
            logits = tf.where(mask[:, None, None, :], logits, tf.constant(logits.dtype.min, logits.dtype))
        attended = tf.matmul(tf.nn.softmax(logits), values)
        shape = sizes(attended)
        return tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [shape[0], shape[2], self.size])


class _Queries(snt.Module):
    """Learned queries that attend to the items: `[batch, items, features]` to `[batch, number, size]`."""

    def __init__(self, number: int, block: Callable[[str], _Attention], w_init: Initializer, name: str):
        super().__init__(name=name)
        self.number = number
        self.attention = block("attention")
        self.w_init = w_init or snt.initializers.RandomNormal()

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        drawn = self.w_init([self.number, self.attention.size], inputs.dtype)
        self.queries = tf.Variable(drawn, name="queries")

    def __call__(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        self._initialize(inputs)
        queries = tf.tile(tf.convert_to_tensor(self.queries)[None], [sizes(inputs)[0], 1, 1])
        return self.attention(queries, inputs, mask)
