"""A network pooled over a neighbourhood of the identity of a group: nearly invariant to small moves."""

from collections.abc import Callable

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import Ints, at_least
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.algebra.permutations import inverse
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.inputs import flattened


@snt.allow_empty_variables
class LocalPool(snt.Module):
    """A network pooled over the images of its input under all elements near the identity.

        f(x) = pool_u network(u x),    u in U, the products of at most `radius` generators and their inverses

    Between radius 0, the network itself, and a radius at which U is the group, where f is invariant exactly, f is so
    approximately. Pooled by the mean, a move by g exchanges only the elements that are in U or in U g, not in both:

        |f(g x) - f(x)| <= |U g without U| / |U| * (largest - smallest value of the network on the orbit of x).

    For shifts by one pixel down and right that share falls as 1 / radius, while what tells distant shifts apart stays.
    U acts on inputs of n numbers, flattened, as in `Orbit`; for rotations by angles, which are no group of
    permutations, use `OrbitAverage` over a list of those near 0.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> pooled = LocalPool(lambda x: x[:, :1], cyclic_group(8), radius=1)
    >>> pooled(tf.constant([[3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]])).numpy().tolist()
    [[2.0]]
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        group: PermutationGroup,
        radius: int,
        pooling: str | poolings.Pooling = "mean",
        limit: int = 1024,
        name: str | None = None,
    ):
        """Wraps a network.

        Args:
          network: A module or function from `[batch, ...]` to `[batch, ..., features]`, all sizes after the batch
            known.
          group: Acts on the inputs; its generators are the steps.
          radius: The most steps, at least 0.
          pooling: A symmetric function of the values at the elements, or its name; see `nets.pooling`.
          limit: The most elements.
          name: The module's name.

        Raises:
          TypeError: If the network cannot be called, or the group is none.
          ValueError: If a number is too small, the pooling is unknown, or there are more elements than the limit.
        """
        super().__init__(name=name)
        if not callable(network):
            raise TypeError(f"network (={network!r}) must be a module or a function.")
        if not isinstance(group, PermutationGroup):
            raise TypeError(f"group (={group!r}) must be a PermutationGroup.")
        self.network = network
        self.elements = ball(group, at_least("radius", radius, 0), at_least("limit", limit, 1))
        self._gathers = inverse(self.elements).astype(np.int32)
        self._pooling = poolings.named(pooling)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]` to what the network gives, pooled.

        Raises:
          ValueError: If the inputs are not what the group acts on, or the network gives no `[batch, ..., features]` of
            known sizes.
        """
        inputs = tf.convert_to_tensor(inputs)
        flat, (elements, points) = flattened(inputs), self._gathers.shape
        if flat.shape[1] != points:
            raise ValueError(f"inputs of shape {inputs.shape} must have width {points}, on which the group acts.")
        # From the transposed batch, so that rows are gathered.
        images = tf.transpose(tf.gather(tf.transpose(flat), self._gathers), [2, 0, 1])
        outputs = self.network(tf.reshape(images, [-1, *inputs.shape[1:]]))
        if outputs.shape.rank is None or outputs.shape.rank < 2 or not outputs.shape[1:].is_fully_defined():
            raise ValueError(
                f"network gives outputs of shape {outputs.shape}, which must be [batch, ..., features], known."
            )
        *between, features = outputs.shape[1:]
        values = tf.reshape(outputs, [-1, elements, *between, features])
        axes = range(2, 2 + len(between))
        return self._pooling(tf.transpose(values, [0, *axes, 1, 2 + len(between)]))


def ball(group: PermutationGroup, radius: int, limit: int) -> Ints:
    """Lists the products of at most so many generators and their inverses, the identity first.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> ball(cyclic_group(5), radius=1, limit=3).tolist()
    [[0, 1, 2, 3, 4], [1, 2, 3, 4, 0], [4, 0, 1, 2, 3]]

    Raises:
      ValueError: If there are more than `limit`.
    """
    steps = np.concatenate([group.generators, inverse(group.generators)])
    newest = [np.arange(group.degree)]
    found = {newest[0].tobytes(): newest[0]}
    for _ in range(radius):
        products = {image.tobytes(): image for element in newest for image in steps[:, element]}
        newest = [image for key, image in products.items() if key not in found]
        found |= {image.tobytes(): image for image in newest}
        if len(found) > limit:
            raise ValueError(
                f"limit (={limit}) must be at least the number of elements within radius (={radius}), and there are "
                f"{len(found)} or more. Take a smaller radius, or raise limit."
            )
        if not newest:
            break
    return np.stack(list(found.values()))
