"""Networks that see all images g x of an input under a group, and pool what they make of them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.actions import ActionLike
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.inputs import checked_sizes, flattened
from weirdonetworks.nets.orbits import Orbit

POSITIONS = ("inside", "first")
OUTPUTS = ("invariant", "equivariant")
PURPOSE = 0x0B17  # Tells the seed of a sample from those that the network derives from the same one.


class OrbitAverage(snt.Module):
    """Any network, averaged over the orbit of its input: invariant whatever the network is.

        f(x) = pool_g network(g x),    f(h x) = f(x)
        or, equivariant, f(x)[g] = network(g x),    f(h x)[g] = f(x)[g h]

    The network is called once, on `[elements * batch, ...]`. Over a sample, or over transformations that form no group,
    f is not invariant exactly: see `Orbit`.

    >>> from weirdonetworks.algebra import image_rotations
    >>> network = OrbitAverage(snt.nets.MLP([8, 3]), image_rotations(4, 4))
    >>> images = tf.reshape(tf.range(32.0), [2, 16]) / 32
    >>> turned = tf.reshape(tf.image.rot90(tf.reshape(images, [2, 4, 4, 1])), [2, 16])
    >>> bool(tf.reduce_max(tf.abs(network(images) - network(turned))) < 1e-5)
    True

    Averaging a network over a group: Yarotsky, Universal approximations of invariant maps by neural networks, 2018.
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        action: ActionLike,
        pooling: str | poolings.Pooling = "mean",
        output: str = "invariant",
        takes: Collection[str] = (),
        name: str | None = None,
        **orbit_options: Any,
    ):
        """Wraps a network.

        Args:
          network: A module or function from `[batch, ...]` to `[batch, ..., features]`.
          action: What acts on the inputs; see `Orbit`.
          pooling: A symmetric function of the values at the elements, or its name; see `nets.pooling`.
          output: `invariant`, pooled; or `equivariant`, the value at each element.
          takes: Which of `is_training` and `seed` the network takes beside the inputs, as keywords.
          name: The module's name.
          **orbit_options: `limit`, `samples`, `resample` and `seed` of `Orbit`.

        Raises:
          TypeError: If the network cannot be called, or as in `Orbit`.
          ValueError: If a choice is unknown, or as in `Orbit`.
        """
        super().__init__(name=name)
        if not callable(network):
            raise TypeError(f"network (={network!r}) must be a module or a function.")
        if not set(takes) <= {"is_training", "seed"}:
            raise ValueError(f"takes (={tuple(takes)}) must hold is_training and seed only.")
        _check_choice("output", output, OUTPUTS)
        self.network = network
        self.orbit = Orbit(action, **orbit_options)
        self._pooling = poolings.named(pooling)
        self._is_pooled = output == "invariant"
        self._takes = tuple(takes)

    def __call__(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, ...]` to what the network gives, pooled, or to `[batch, elements, ...]`.

        Args:
          inputs: What the group acts on.
          is_training: Whether a sample that is drawn anew at each call is to be, and for the network if it takes it;
            needed for these two alone.
          seed: Two integers for both, new at each step.

        Raises:
          ValueError: If the network's outputs are no `[batch, ..., features]` of known sizes, `is_training` or a seed
            is missing, or as in `Orbit`.
        """
        if is_training is None and "is_training" in self._takes:
            raise ValueError("is_training (=None) must be given to the network, which takes it: True or False.")
        inputs = tf.convert_to_tensor(inputs)
        images = self.orbit(inputs, _sample_seed(self.orbit, is_training, seed))
        given = {"is_training": is_training, "seed": seed}
        outputs = self.network(
            tf.reshape(images, [-1, *inputs.shape[1:]]), **{name: given[name] for name in self._takes}
        )
        shape = outputs.shape
        if shape.rank is None or shape.rank < 2 or not shape[1:].is_fully_defined():
            raise ValueError(f"network gives outputs of shape {shape}, which must be [batch, ..., features], known.")
        by_element = tf.reshape(outputs, [len(self.orbit), -1, *shape[1:]])
        axes = list(range(1, shape.rank + 1))
        if not self._is_pooled:
            return tf.transpose(by_element, [1, 0, *axes[1:]])
        return self._pooling(tf.transpose(by_element, [*axes[:-1], 0, axes[-1]]))


class SynchronousMLP(snt.Module):
    """Dense layers shared by all images g x of an input, pooled, then dense layers.

        f(x) = head(pool_g shared(g x))             position inside,
        f(x) = head(shared(pool_g g x))             position first,
        f(x)[g] = head(shared(g x))                 output equivariant; all with x of shape [batch, n],

    so `f(h x) = f(x)`, and for the last `f(h x)[g] = f(x)[g h]`, exactly if all elements of a group are there; see
    `Orbit` for samples and transformations. Pooled first, f sees of x only the symmetric functions of the numbers that
    come to each place, one place at a time: cheaper, and weaker.

    The first layer moves the inputs or its weights, `W (g x) = (W g) x`, whichever is less work.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> network = SynchronousMLP(cyclic_group(3), shared_sizes=[8], head_sizes=[8, 2])
    >>> one, other = network(tf.constant([[1.0, 2.0, 4.0], [4.0, 1.0, 2.0]]))
    >>> bool(tf.reduce_max(tf.abs(one - other)) < 1e-6)
    True
    """

    def __init__(
        self,
        action: ActionLike,
        shared_sizes: Iterable[int],
        head_sizes: Iterable[int],
        pooling: str | poolings.Pooling = "mean",
        position: str = "inside",
        output: str = "invariant",
        activation: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu,
        with_bias: bool = True,
        name: str | None = None,
        **orbit_options: Any,
    ):
        """Constructs the network.

        Args:
          action: What acts on the inputs; see `Orbit`.
          shared_sizes: The width of each shared layer, at least one.
          head_sizes: The width of each layer after those, at least one.
          pooling: A symmetric function of the values at the elements, or its name; see `nets.pooling`.
          position: `inside`, pooled after the shared layers; or `first`, before them.
          output: `invariant`, pooled; or `equivariant`, no pooling, the value at each element.
          activation: Applied after each layer but the last.
          with_bias: Whether the layers add a bias.
          name: The module's name.
          **orbit_options: `limit`, `samples`, `resample` and `seed` of `Orbit`.

        Raises:
          TypeError: If widths are no list of integers, or as in `Orbit`.
          ValueError: If there is no layer, a choice is unknown, an equivariant output is to be pooled first, or as in
            `Orbit`.
        """
        super().__init__(name=name)
        _check_choice("position", position, POSITIONS)
        _check_choice("output", output, OUTPUTS)
        if output == "equivariant" and position == "first":
            raise ValueError("position (='first') must be inside for an equivariant output, which is not pooled.")
        self.orbit = Orbit(action, **orbit_options)
        self._pooling = poolings.named(pooling)
        self._is_pooled = output == "invariant"
        self._position = position
        self._activation = activation
        shared, head = checked_sizes("shared_sizes", shared_sizes), checked_sizes("head_sizes", head_sizes)
        self.layers = [snt.Linear(size, with_bias, name=f"linear_{i}") for i, size in enumerate([*shared, *head])]
        # How many of them come before the pooling.
        self._num_shared = 0 if position == "first" else len(shared if output == "invariant" else self.layers)

    def __call__(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, head_sizes[-1]]`, or to `[batch, elements, head_sizes[-1]]`.

        Args:
          inputs: What the group acts on.
          is_training: Whether the call draws a sample of its own; needed where the orbit is sampled anew alone.
          seed: Two integers for it, new at each step.

        Raises:
          ValueError: If `is_training` or a seed is missing, or as in `Orbit`.
        """
        inputs = tf.convert_to_tensor(inputs)
        seed = _sample_seed(self.orbit, is_training, seed)
        if self._num_shared:
            values = self._shared_layers(inputs, seed)
            if not self._is_pooled:
                return values
            items = self._activation(values)
        else:
            images = self.orbit(inputs, seed)
            by_element = tf.reshape(images, [len(self.orbit), -1, inputs.shape[1:].num_elements()])
            items = tf.transpose(by_element, [1, 0, 2])
        hidden = self._pooling(items)
        for index, layer in enumerate(self.layers[self._num_shared :]):
            hidden = layer(self._activation(hidden) if index else hidden)
        return hidden

    def _shared_layers(self, inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Applies those layers to each element, `[batch, elements, outputs]`; the last without an activation."""
        first, *rest = self.layers[: self._num_shared]
        if not hasattr(first, "w"):
            flat = flattened(inputs)
            self.orbit.check(inputs.shape)  # Before a wrong width is that of the layer for good.
            first(flat)  # Makes its variables; its outputs are of no use.
        hidden = self.orbit.linear(inputs, first.w, seed)
        if first.with_bias:
            hidden += first.b
        hidden = tf.reshape(hidden, [-1, first.output_size])
        for layer in rest:
            hidden = layer(self._activation(hidden))
        return tf.reshape(hidden, [-1, len(self.orbit), hidden.shape[-1]])


def _check_choice(name: str, choice: str, choices: tuple[str, ...]) -> None:
    if choice not in choices:
        raise ValueError(f"{name} (={choice!r}) must be one of {', '.join(choices)}.")


def _sample_seed(orbit: Orbit, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor | None:
    """Gives the seed of a sample for one call; None where the orbit's fixed elements are used."""
    if is_training is None and orbit.is_resampled:
        raise ValueError(
            "is_training (=None) must be given with resample: True or False; "
            "an objective gives it and the seed with takes=('is_training', 'seed')."
        )
    if not (is_training and orbit.is_resampled):
        return None
    if seed is None:
        raise ValueError("seed (=None) must be given in training with resample: int32 [2], new at each step.")
    return tf.random.experimental.stateless_fold_in(seed, PURPOSE, alg="philox")
