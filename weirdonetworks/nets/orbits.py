"""The orbit of a batch: all images g x of its inputs under a group, or under a list of transformations, at once."""

import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.matrix_groups import MatrixGroup
from weirdonetworks.nets.inputs import flattened
from weirdonetworks.nets.orbit_elements import Action, Transforms, source_of


class Orbit:
    """The map from inputs x to g x, for each element g of a group or each of some transformations.

        orbit(x)[i] = g_i x,    x of shape [batch, ...], orbit(x) [elements, batch, ...]

    A permutation group on n points acts on inputs of n numbers, flattened: `(s.x)[s(i)] = x[i]`. A matrix group acts on
    vectors by `x -> g x`. An image transformation acts on images `[batch, height, width, channels]`, each channel the
    same way, flattened or not. The elements of a group come in the order of `group.elements()`.

    Of more than `limit` elements a sample is used, drawn with replacement: one for good, or a new one at each call with
    a seed. What is pooled over a sample is not invariant exactly, nor what is over transformations, which are no group.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> orbit = Orbit(cyclic_group(3))
    >>> orbit(tf.constant([[1.0, 2.0, 3.0]]))[:, 0].numpy().tolist()
    [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]]
    >>> len(orbit), orbit.is_exact
    (3, True)

    Attributes:
      is_exact: Whether all elements of a group are there, so that what is pooled over them is invariant exactly.
      is_resampled: Whether a call with a seed draws a sample of its own.
    """

    def __init__(
        self,
        group_or_transforms: Transforms,
        *,
        limit: int = 1024,
        samples: int = 64,
        resample: bool = False,
        seed: int = 0,
    ):
        """Lists the elements, or draws a sample.

        Args:
          group_or_transforms: A permutation group; a group of real matrices; or image transformations of one size, at
            least one.
          limit: The most elements to list; at least 1.
          samples: How many to draw where there are more, at least 1.
          resample: Whether a call with a seed draws anew. Of transformations, of a matrix group and of a permutation
            group of at most 1024 elements such a sample is uniform. In a larger permutation group an element so drawn
            is the product of two out of 1024 fixed uniform ones: about a million can occur.
          seed: Draws what is fixed, at least 0.

        Raises:
          TypeError: If there is neither a group nor transformations.
          ValueError: If a number is too small, there is no transformation, they differ in size, or a matrix is complex.
        """
        limit, samples, seed = at_least("limit", limit, 1), at_least("samples", samples, 1), at_least("seed", seed, 0)
        source = source_of(group_or_transforms)
        is_listed = source.order <= limit
        self.is_exact = is_listed and isinstance(group_or_transforms, PermutationGroup | MatrixGroup)
        self.is_resampled = resample and not is_listed
        self._length = source.order if is_listed else samples
        self._action = source.every() if is_listed else source.sample(samples, seed)
        self._draw = source.sampler(samples, seed) if self.is_resampled else None

    def __len__(self) -> int:
        """The number of elements used: all, or those of a sample."""
        return self._length

    def __call__(self, inputs: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs `[batch, ...]` to their images `[elements, batch, ...]`.

        Args:
          inputs: Numbers, as many an example as the group acts on, or images.
          seed: Two integers, for a sample of this call's own where `is_resampled`; None for the fixed one.

        Raises:
          ValueError: If the inputs' shape is not known after the batch, or is not what the group acts on.
        """
        inputs = tf.convert_to_tensor(inputs)
        flat = flattened(inputs)
        self.check(inputs.shape)
        return tf.reshape(self._at(seed).apply(flat), [len(self), -1, *inputs.shape[1:]])

    def check(self, shape: tf.TensorShape) -> None:
        """Raises a `ValueError` unless the elements act on inputs of a shape, `[batch, ...]`."""
        self._action.check(shape)

    def folded(self, weights: tf.Tensor, seed: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Moves the orbit from the inputs of a linear map into its weights: `W (g x) = (W g) x`.

            tf.matmul(x, folded) + offset = [W g_0 x, W g_1 x, ...], side by side

        Args:
          weights: W, `[n, outputs]`, inputs flattened.
          seed: As in a call; the same one draws the same elements.

        Returns:
          The weights, `[n, elements * outputs]`, and the offset, `[elements * outputs]`: what the transformations fill
          in from outside the image adds to the outputs; None where that is 0.

        Raises:
          ValueError: If the weights are not of the width that the group acts on.
        """
        self.check(tf.TensorShape([None, weights.shape[0]]))
        return self._at(seed).fold(weights)

    def linear(self, inputs: tf.Tensor, weights: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Computes `W (g x)` for each element g, moving the inputs or the weights, whichever is less work.

        The weights are moved where the batch is known to be as wide as the layer. For interpolated images it must be
        wider by as much as there are more taps in the transposed transformations.

        Args:
          inputs: Inputs, `[batch, ...]`, as in a call.
          weights: W, `[n, outputs]`.
          seed: As in a call.

        Returns:
          The images, `[batch, elements, outputs]`.

        Raises:
          ValueError: As in a call, or if the weights have another width than the inputs.
        """
        inputs = tf.convert_to_tensor(inputs)
        flat, outputs = flattened(inputs), weights.shape[1]
        if weights.shape[0] != flat.shape[1]:
            raise ValueError(f"weights of shape {weights.shape} must have the inputs' width (={flat.shape[1]}) first.")
        self.check(inputs.shape)
        action = self._at(seed)
        if flat.shape[0] is not None and flat.shape[0] * action.taps[0] >= outputs * action.taps[1]:
            folded, offset = action.fold(weights)
            values = tf.matmul(flat, folded)
            return tf.reshape(values if offset is None else values + offset, [-1, len(self), outputs])
        values = tf.matmul(tf.reshape(action.apply(flat), [-1, flat.shape[1]]), weights)
        return tf.transpose(tf.reshape(values, [len(self), -1, outputs]), [1, 0, 2])

    def _at(self, seed: tf.Tensor | None) -> Action:
        return self._action if seed is None or self._draw is None else self._draw(seed)
