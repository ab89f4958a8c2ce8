"""Siamese multilayer perceptrons, which score whether two inputs are of the same class."""

from collections.abc import Iterable

import sonnet as snt
import tensorflow as tf

from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import checked_sizes, flattened
from weirdonetworks.nets.sets.set_network import dense


class ComparativeMLP(BaseModule):
    """A siamese network: one multilayer perceptron encodes each input, another scores pairs of codes.

        f(x, y) = head(e(x), e(y)),    x and y of shape [batch, ...], f [batch], a logit: above 0 for "the same"

    The head reads |e(x) - e(y)| and e(x) e(y), so that f(x, y) = f(y, x) exactly, whatever the weights. Without that
    symmetry it reads e(x) and e(y) side by side.

    Each input is encoded once, so comparing m inputs with n others takes m + n encodings; see `encode` and `compare`.
    One network for both inputs: Bromley et al., Signature verification using a siamese time delay neural network, 1993.

    >>> network = ComparativeMLP([16, 8], [4])
    >>> one, other = tf.ones([3, 28, 28, 1]), tf.zeros([3, 28, 28, 1])
    >>> forth, back = network(tf.stack([one, other], axis=1)), network(tf.stack([other, one], axis=1))
    >>> forth.shape.as_list(), bool(tf.reduce_all(forth == back))
    ([3], True)
    """

    def __init__(
        self,
        code_sizes: Iterable[int],
        head_sizes: Iterable[int] = (),
        is_symmetric: bool = True,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          code_sizes: The width of each layer of the encoder, at least one; the last is the size of the code.
          head_sizes: The width of each hidden layer of the head.
          is_symmetric: Whether f(x, y) = f(y, x).
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        self.is_symmetric = is_symmetric
        hidden = checked_sizes("head_sizes", head_sizes, can_be_empty=True)
        self.encoder = dense("code_sizes", code_sizes, tf.nn.relu, w_init, b_init, "encoder")
        self.head = snt.nets.MLP([*hidden, 1], w_init=w_init, b_init=b_init, name="head")

    def encode(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps inputs `[batch, ...]`, flattened, to their codes `[batch, code_sizes[-1]]`."""
        return self.encoder(flattened(inputs))

    def compare(self, codes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Maps two tensors of codes `[..., code_sizes[-1]]`, whose shapes broadcast, to logits `[...]`."""
        if self.is_symmetric:
            features = tf.concat([tf.abs(codes - others), codes * others], axis=-1)
        else:
            blank = tf.zeros_like(codes * others)
            features = tf.concat([codes + blank, others + blank], axis=-1)
        return tf.squeeze(snt.BatchApply(self.head, features.shape.rank - 1)(features), axis=-1)

    def __call__(self, pairs: tf.Tensor) -> tf.Tensor:
        """Maps pairs `[batch, 2, ...]` to logits `[batch]`."""
        if pairs.shape.rank is None or pairs.shape.rank < 3 or pairs.shape[1] != 2:
            raise ValueError(f"pairs of shape {pairs.shape} must be [batch, 2, ...].")
        one, other = tf.unstack(pairs, axis=1)
        return self.compare(self.encode(one), self.encode(other))
