"""Self-attention over the pixels of images, and a transformer classifier made of it."""

import functools
import math
from collections.abc import Callable

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import DEPTH, WIDTH, checked_images
from weirdonetworks.nets.pooling import accumulator
from weirdonetworks.nets.sets.set_network import on_items
from weirdonetworks.nets.small.chunked_attention import attend, attention_map


class PixelAttention(BaseModule):
    """Multihead self-attention over pixels: every pixel attends to all, or to those in a window around it.

        y = concat_h(softmax(Q_h K_h^T / sqrt(size / num_heads)) V_h) W + b,    Q, K, V linear in each pixel

    from images `[batch, height, width, channels]` to `[batch, height, width, size]`. Without a window it is equivariant
    under all permutations s of the pixels, F(s.x) = s.F(x). The attention map is computed for at most `rows` rows of
    the image at a time; see `chunked_attention`.

    >>> PixelAttention(8, num_heads=2)(tf.ones([2, 5, 4, 3])).shape.as_list()
    [2, 5, 4, 8]

    Vaswani et al., Attention is all you need, 2017, equation 1 and section 3.2.2.
    """

    def __init__(
        self,
        size: int,
        num_heads: int = 2,
        window: int | None = None,
        rows: int = 2,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the layer.

        Args:
          size: The number of output channels, a multiple of the number of heads.
          num_heads: The number of attention heads.
          window: The largest distance in rows and in columns of pixels attended to; None for all pixels.
          rows: The maximum number of rows whose attention maps are in memory at a time.
          w_init, b_init, name: As in `BaseModule`.
        """
        super().__init__(name=name)
        self.size = at_least("size", size, 1, WIDTH)
        self.num_heads = at_least("num_heads", num_heads, 1, WIDTH)
        if size % num_heads:
            raise ValueError(f"size (={size}) must be divisible by num_heads (={num_heads}).")
        self.window = None if window is None else at_least("window", window, 0)
        self.rows = at_least("rows", rows, 1)
        # Keys have no bias: it would shift all logits of a query alike, to which the softmax is invariant.
        self.queries, self.keys, self.values, self.output = (
            snt.Linear(size, each != "keys", w_init, None if each == "keys" else b_init, name=each)
            for each in ("queries", "keys", "values", "output")
        )

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, channels]` to `[batch, height, width, size]`."""
        queries, keys, values = (self._heads(layer, images) for layer in (self.queries, self.keys, self.values))
        attended = tf.transpose(attend(queries, keys, values, self.window, self.rows), [0, 2, 3, 1, 4])
        return on_items(self.output, tf.reshape(attended, [-1, *attended.shape[1:3], self.size]))

    def map_of(self, images: tf.Tensor, pixel: tuple[int, int]) -> tf.Tensor:
        """Computes the attention weights of the pixel at a row and column, `[batch, heads, height, width]`."""
        queries, keys = self._heads(self.queries, images), self._heads(self.keys, images)
        return attention_map(queries, keys, pixel, self.window)

    def _heads(self, layer: snt.Linear, images: tf.Tensor) -> tf.Tensor:
        """Applies a linear layer and splits the heads, to `[batch, heads, height, width, size / heads]`."""
        images = checked_images(images)
        projected = on_items(layer, images)
        shape = [-1, *images.shape[1:3], self.num_heads, self.size // self.num_heads]
        return tf.transpose(tf.reshape(projected, shape), [0, 3, 1, 2, 4])


class PixelTransformer(BaseModule):
    """A transformer classifier whose tokens are single pixels with position embeddings.

        h = value embedding + position embedding
        h <- h + attention(LN(h)),    h <- h + W_2 relu(W_1 LN(h)),    `num_blocks` times
        f = W mean over pixels(LN(h)) + b

    with images `[batch, height, width, channels]`, h `[batch, height, width, size]`, f `[batch, num_classes]`; LN is
    the layer norm of each pixel, W_1 doubles the size. Without position embedding and window it is invariant under
    all permutations of the pixels, f(s.x) = f(x).

    >>> network = PixelTransformer(10, size=8)
    >>> network(tf.ones([2, 6, 6, 1])).shape.as_list()
    [2, 10]
    >>> network.attention_maps(tf.ones([2, 6, 6, 1]), (3, 2)).shape.as_list()  # image, block, head, row, column
    [2, 2, 2, 6, 6]

    The blocks: Xiong et al., On layer normalization in the transformer architecture, 2020. On single pixels: Nguyen et
    al., An image is worth more than 16 x 16 patches, 2024.
    """

    def __init__(
        self,
        num_classes: int = 10,
        size: int = 16,
        num_blocks: int = 2,
        num_heads: int = 2,
        window: int | None = None,
        with_positions: bool = True,
        rows: int = 2,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network; `num_heads`, `window`, `rows` and initializers as in `PixelAttention`.

        Args:
          num_classes: The width of the last layer.
          size: The number of hidden channels of a pixel, a multiple of the number of heads.
          num_blocks: The number of blocks.
          with_positions: Whether to add a learned position embedding, initially smooth in the position.
        """
        super().__init__(name=name)
        self.with_positions = with_positions
        self.embedding = snt.Linear(size, True, w_init, b_init, name="embedding")
        attention = functools.partial(PixelAttention, size, num_heads, window, rows, w_init, b_init)
        numbers = range(at_least("num_blocks", num_blocks, 1, DEPTH))
        self.blocks = [_Block(attention, w_init, b_init, f"block_{number}") for number in numbers]
        self.norm = _layer_norm("norm")
        self.output = snt.Linear(at_least("num_classes", num_classes, 1, WIDTH), True, w_init, b_init, name="output")

    @snt.once
    def _initialize(self, images: tf.Tensor) -> None:
        if self.with_positions:
            self.places = images.shape[1:3]
            height, width = self.places
            drawn = _smooth_positions(height, width, self.embedding.output_size, images.dtype)
            self.positions = tf.Variable(drawn, name="positions")

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, height, width, channels]` to `[batch, num_classes]`; with positions, of one size only."""
        hidden = self._embedded(images)
        for block in self.blocks:
            hidden = block(hidden)
        normed = self.norm(hidden)
        mean = tf.reduce_mean(tf.cast(normed, accumulator(normed.dtype)), axis=[1, 2])
        return self.output(tf.cast(mean, normed.dtype))

    def attention_maps(self, images: tf.Tensor, pixel: tuple[int, int]) -> tf.Tensor:
        """Computes the attention weights of the pixel at a row and column in each block and head.

        Returns:
          The weights, `[batch, blocks, heads, height, width]`; each map sums to 1.
        """
        hidden, maps = self._embedded(images), []
        for block in self.blocks:
            maps.append(block.attention.map_of(block.norms[0](hidden), pixel))
            hidden = block(hidden)
        return tf.stack(maps, axis=1)

    def _embedded(self, images: tf.Tensor) -> tf.Tensor:
        images = checked_images(images)
        hidden = on_items(self.embedding, images)
        self._initialize(images)
        if not self.with_positions:
            return hidden
        if images.shape[1:3] != self.places:
            raise ValueError(f"images of shape {images.shape} must have {self.places} pixels, as at the first call.")
        return hidden + tf.reshape(self.positions, [*self.places, -1])


class _Block(snt.Module):
    """A pre-norm transformer block: attention, then a perceptron on each pixel, with residual connections."""

    def __init__(self, attention: Callable[..., PixelAttention], w_init: Initializer, b_init: Initializer, name: str):
        super().__init__(name=name)
        self.attention = attention(name="attention")
        size = self.attention.size
        self.norms = [_layer_norm(f"norm_{index}") for index in range(2)]
        self.perceptron = snt.nets.MLP([2 * size, size], w_init, b_init, name="perceptron")

    def __call__(self, hidden: tf.Tensor) -> tf.Tensor:
        hidden += self.attention(self.norms[0](hidden))
        return hidden + on_items(self.perceptron, self.norms[1](hidden))


def _smooth_positions(height: int, width: int, size: int, dtype: tf.DType) -> tf.Tensor:
    """Draws smooth position embeddings `[height * width, size]` of variance 1: random plane waves.

    Their inner products are about those of a Gaussian kernel (Rahimi & Recht, Random features for large-scale kernel
    machines, 2007). Training is slower from independent vectors, which do not encode distances.
    """
    rows, columns = np.mgrid[:height, :width]
    places = tf.constant(np.stack([rows.ravel() / height, columns.ravel() / width], axis=1), dtype)
    waves = tf.random.normal([2, size], dtype=dtype)  # Along each axis, over the image.
    phases = tf.random.uniform([size], dtype=dtype)
    return tf.sqrt(tf.constant(2, dtype)) * tf.cos(2 * math.pi * (places @ waves + phases))


def _layer_norm(name: str) -> snt.LayerNorm:
    return snt.LayerNorm(axis=-1, create_scale=True, create_offset=True, name=name)
