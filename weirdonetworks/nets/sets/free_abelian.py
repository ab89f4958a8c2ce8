"""Encoding of sets of vectors as elements of a free abelian group, embedded by a homomorphism."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import array, at_least, finite, reals
from weirdonetworks.nets import pooling
from weirdonetworks.nets.base_module import Initializer
from weirdonetworks.nets.gradients import custom_gradient
from weirdonetworks.nets.inputs import WIDTH, checked_tensor, masked, sizes
from weirdonetworks.nets.sets.set_network import SetNetwork, checked_per_item

LARGEST = 1e150  # Whose square is finite.
SOFT = 1e-6  # The largest rounding of distances, in temperatures, that the soft assignment may have.


class FreeAbelianEncoder(SetNetwork):
    """An encoder of a set of vectors as an element of the free abelian group on codewords, embedded by a homomorphism.

        z_i = sum of m_j over the x_j to which codeword i is nearest,    encode(x) = z E

    with x of shape [batch, items, features], the counts z in Z^n, and E [n, output_size] the embeddings of the n
    generators. The multiplicities m_j are integers, by default 1; -1 removes a vector. So for the sum of two multisets
    encode(A + B) = encode(A) + encode(B), exactly:

    - the counts are integers, held exactly up to 2^11 in float16, 2^24 in float32 and 2^53 in float64;
    - embeddings are rounded to multiples of a unit, 2^-12 in float32 and 2^-27 in float64, so sums of them are exact
      while their sizes add up to less than 2^12 or 2^26, on hardware that multiplies in full precision.

    A vector with NaN, infinity or a number above 1e150 in size has no nearest codeword: the counts of its set are NaN.

    A vector equidistant from two codewords up to rounding may be assigned to one in A and to the other in A + B.
    Gradients are straight-through: for vectors and codewords those of the soft assignment
    softmax(-squared distance / temperature); for the embeddings those without rounding.

    >>> encoder = FreeAbelianEncoder([[0.0], [10.0]], output_size=3)
    >>> encoder.counts(tf.constant([[[1.0], [9.0], [-2.0]]])).numpy().tolist()
    [[2.0, 1.0]]
    >>> one, other, both = (encoder(tf.constant([each])) for each in ([[1.0]], [[9.0], [2.0]], [[1.0], [9.0], [2.0]]))
    >>> bool(tf.reduce_all(one + other == both))
    True

    Straight-through gradients: Bengio, Leonard & Courville, 2013; codewords: van den Oord, Vinyals & Kavukcuoglu,
    Neural discrete representation learning, 2017.
    """

    def __init__(
        self,
        generators: int | npt.ArrayLike,
        output_size: int,
        temperature: float = 1.0,
        w_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the encoder.

        Args:
          generators: The number of codewords, which are then learned; or fixed codewords, `[n, features]`.
          output_size: The dimension of the embedding.
          temperature: The temperature of the soft assignment in the gradient, in squared distance, positive.
          w_init: Draws the codewords that are learned, `[n, features]`, then the embeddings, `[n, output_size]`; None
            for N(0, 1) and N(0, 1 / output_size).
        """
        super().__init__(name=name)
        self._given = None if array("generators", generators).ndim == 0 else reals("generators", generators)
        if self._given is None:
            self.num_generators = at_least("generators", generators, 1, WIDTH)
        else:
            if self._given.ndim != 2 or not self._given.size or not np.isfinite(self._given).all():
                raise ValueError(
                    f"generators of shape {self._given.shape} must be [n, features], at least one, all finite."
                )
            self.num_generators, self.input_size = self._given.shape
        self.output_size = at_least("output_size", output_size, 1, WIDTH)
        if not finite("temperature", temperature) > 0:
            raise ValueError(f"temperature (={temperature}) must be positive.")
        self.temperature = temperature
        self.w_init = w_init

    @snt.once
    def _initialize(self, inputs: tf.Tensor) -> None:
        n, dtype = self.num_generators, inputs.dtype
        if self._given is None:
            codewords = (self.w_init or snt.initializers.RandomNormal())([n, inputs.shape[2]], dtype)
        else:
            codewords = tf.constant(self._given, dtype)
        self.codewords = tf.Variable(codewords, trainable=self._given is None, name="codewords")
        # So that an embedded generator has norm about 1.
        w_init = self.w_init or snt.initializers.RandomNormal(stddev=1 / math.sqrt(self.output_size))
        self.embeddings = tf.Variable(w_init([n, self.output_size], dtype), name="embeddings")

    def __call__(self, inputs: tf.Tensor, mask: Any = None, multiplicities: Any = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to `[batch, output_size]`; arguments as in `counts`."""
        return self.embed(self.counts(inputs, mask, multiplicities))

    def counts(self, inputs: tf.Tensor, mask: Any = None, multiplicities: Any = None) -> tf.Tensor:
        """Maps `[batch, items, features]` to the elements of Z^n, `[batch, n]`, integers in the inputs' type.

        Args:
          inputs: The sets.
          mask: Which items are present, boolean, `[batch, items]`; None for all.
          multiplicities: The multiplicity of each item, integers, `[batch, items]`; None for 1.
        """
        items, present = self._checked(inputs, mask)
        if items.dtype == tf.bfloat16:
            raise ValueError("inputs of type bfloat16 must be float16, float32 or float64, in which counts are exact.")
        vectors = tf.reshape(items, [-1, items.shape[2]])
        flat, codewords = (tf.cast(each, tf.float64) for each in (vectors, self.codewords))
        distances = _distances(flat, codewords, self.temperature)
        nearest = tf.one_hot(tf.argmin(distances, axis=1), self.num_generators, dtype=items.dtype)
        chosen = _straight_through(nearest, tf.cast(tf.nn.softmax(distances / -self.temperature), items.dtype))
        chosen = tf.reshape(chosen, [*sizes(items)[:2], self.num_generators])
        if multiplicities is not None:
            given = tf.convert_to_tensor(multiplicities)
            if not given.dtype.is_integer:
                raise TypeError(f"multiplicities of type {given.dtype.name} must be integers.")
            chosen *= checked_per_item("multiplicities", given, items)
        known = tf.reduce_all(tf.abs(items) <= min(float(items.dtype.max), LARGEST), axis=[1, 2])
        return tf.where(known[:, None], pooling.sum_(masked(chosen, present)), tf.constant(math.nan, items.dtype))

    def embed(self, counts: Any) -> tf.Tensor:
        """Maps elements of Z^n, `[batch, n]`, of any type of number, to `[batch, output_size]`, a homomorphism."""
        if not hasattr(self, "embeddings"):
            raise ValueError("The encoder must be called once before it has embeddings.")
        counts = tf.cast(tf.convert_to_tensor(counts), self.embeddings.dtype)
        if counts.shape.rank != 2 or counts.shape[1] != self.num_generators:
            raise ValueError(f"counts of shape {counts.shape} must be [batch, {self.num_generators}].")
        embeddings = tf.convert_to_tensor(self.embeddings)
        unit = 2.0 ** -(np.finfo(embeddings.dtype.as_numpy_dtype).nmant // 2 + 1)
        return tf.matmul(counts, _straight_through(tf.round(embeddings / unit) * unit, embeddings))


def word_distance(counts: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Computes the word metric of Z^n: the fewest generators or inverses that lead from one element to the other.

    >>> word_distance(tf.constant([[2.0, 1.0]]), tf.constant([[0.0, 2.0]])).numpy().tolist()
    [3.0]

    Args:
      counts: Elements, `[..., n]`.
      others: Elements, `[..., n]`; leading axes broadcast.

    Returns:
      The sums of the absolute differences, `[...]`: of integers in int64, or uint64 if they are; of floats in theirs.

    Raises:
      TypeError: If the elements are not numbers, or not both of one type.
      ValueError: If the shapes do not match.
    """
    left, right = checked_tensor(counts, "counts"), checked_tensor(others, "others")
    if left.dtype != right.dtype or not (left.dtype.is_integer or left.dtype.is_floating):
        raise TypeError(
            f"counts of type {left.dtype.name} and others of type {right.dtype.name} must be real numbers of one type."
        )
    if left.shape.rank == 0 or not left.shape[-1:].is_compatible_with(right.shape[-1:]):
        raise ValueError(f"counts of shape {left.shape} and others of shape {right.shape} must both be [..., n].")
    wide = pooling.accumulator(left.dtype)
    if wide.is_integer and wide != tf.uint64:
        wide = tf.int64  # Which holds differences, too.
    larger, smaller = (each(tf.cast(left, wide), tf.cast(right, wide)) for each in (tf.maximum, tf.minimum))
    total = tf.reduce_sum(larger - smaller, axis=-1)
    return tf.cast(total, left.dtype) if left.dtype.is_floating else total


def _distances(vectors: tf.Tensor, codewords: tf.Tensor, temperature: float) -> tf.Tensor:
    """Computes squared distances of float64 vectors to codewords, `[vectors, codewords]`, but for a constant each."""
    # By products, without the squared norm of a vector, which is the same for all codewords. An origin amid the
    # codewords makes the bound of the rounding small.
    origin = tf.stop_gradient(tf.reduce_mean(codewords, axis=0))
    of, around = vectors - origin, codewords - origin
    squares = tf.reduce_sum(around**2, axis=1)
    products = squares - 2 * tf.matmul(of, around, transpose_b=True)
    if codewords.shape[0] == 1:
        return products
    norms, epsilon = tf.norm(tf.stop_gradient(of), axis=1), np.finfo(np.float64).eps
    largest = tf.stop_gradient(tf.sqrt(tf.reduce_max(squares)))
    rounding = (codewords.shape[1] + 8) * epsilon * largest * (largest + 2 * norms)
    values = tf.stop_gradient(products)
    near = values <= tf.reduce_min(values, axis=1, keepdims=True) + 2 * rounding[:, None]
    unsure = (tf.math.count_nonzero(near, axis=1) > 1) | (rounding > SOFT * temperature)

    def subtracted() -> tf.Tensor:
        of, others = tf.stop_gradient(vectors), tf.stop_gradient(codewords)
        return tf.transpose(tf.map_fn(lambda each: tf.reduce_sum((of - each) ** 2, axis=1), others))

    # The gradient of the products has no cancellation.
    return _straight_through(tf.cond(tf.reduce_any(unsure), subtracted, lambda: values), products)


@custom_gradient
def _straight_through(value: tf.Tensor, smooth: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Returns `value`, with the gradient of `smooth`."""
    return tf.identity(value), lambda upstream: (None, upstream)
