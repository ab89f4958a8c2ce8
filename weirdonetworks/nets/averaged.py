"""Any network over some elements of an action, pooled: `Averaged`, and its choices that have names."""

import math
from collections.abc import Callable, Collection
from typing import Any, Protocol, runtime_checkable

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.actions import Action, ActionLike, as_action, items
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.groups import PermutationGroup
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.frames import Frame, SortFrame, Standard, checked_frame
from weirdonetworks.nets.inputs import checked_choice, checked_function, checked_set
from weirdonetworks.nets.orbits import ListedElements, Orbit
from weirdonetworks.nets.sets.set_network import sizes

OUTPUTS = ("invariant", "equivariant")
METHODS = ("exact", "sampled", "canonical", "adjacent")


@runtime_checkable
class Images(Protocol):
    """Which elements of an action a network is averaged over, and what they make of its inputs."""

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps inputs `[batch, ...]` to their images `[elements, batch, ...]`.

        Args:
          inputs: What the elements act on.
          is_training: Whether it is a training step; where that changes the elements, None is refused.
          seed: Two integers, new at each step; where elements are drawn anew.
        """


@snt.allow_empty_variables
class Averaged(snt.Module):
    """A network pooled over the images of its input under some elements of an action.

        f(x) = pool_g network(g x),    g in the elements chosen for x
        or, equivariant, f(x)[g] = network(g x)

    The network is called once, on `[elements * batch, ...]`. What becomes of the laws f(h x) = f(x) and
    f(h x)[g] = f(x)[g h] depends on the elements:

        an action, a bare group    the whole orbit: exact
        Orbit(action, ...)         of a large group a sample, fresh in training if asked for: exact on average only
        ListedElements(action, e)  some elements; with e = action.ball(radius) nearly invariant to small moves
        TurnFrame(), SortFrame()   a few elements that depend on the input: invariant exactly
        Standard(frame)            the input brought into a standard position, such as the sorted order: exact
        LearnedRange(...)          affine maps of images, of a learned width

    >>> from weirdonetworks.algebra import items
    >>> network = Averaged(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 1])]), items(3))
    >>> one, other = network(tf.constant([[[1.0, 7.0], [2.0, 5.0], [4.0, 6.0]], [[4.0, 6.0], [1.0, 7.0], [2.0, 5.0]]]))
    >>> bool(tf.abs(one - other) < 1e-5)
    True

    Averaging a network over a group: Yarotsky, Universal approximations of invariant maps by neural networks, 2018.

    Attributes:
      network: The network.
      elements: What gives the images.
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        elements: Images | ActionLike,
        pooling: str | poolings.Pooling = "mean",
        output: str = "invariant",
        takes: Collection[str] = (),
        name: str | None = None,
    ):
        """Wraps a network.

        Args:
          network: A module or function from `[batch, ...]` to `[batch, ..., features]`, or to one number each,
            `[batch]`.
          elements: See above.
          pooling: A symmetric function of the values at the elements, or its name; see `nets.pooling`.
          output: `invariant`, pooled; or `equivariant`, the value at each element.
          takes: Which of `is_training` and `seed` the network takes beside the inputs, as keywords.
          name: The module's name.

        Raises:
          TypeError: If the network cannot be called, or the elements are none.
          ValueError: If a choice is unknown.
        """
        super().__init__(name=name)
        if not set(takes) <= {"is_training", "seed"}:
            raise ValueError(f"takes (={tuple(takes)}) must hold is_training and seed only.")
        self.network = checked_function("network", network)
        self.elements = elements if isinstance(elements, Images) else Orbit(as_action("elements", elements))
        self._pooling = poolings.named(pooling)
        self._is_pooled = checked_choice("output", output, OUTPUTS) == "invariant"
        self._takes = tuple(takes)

    def __call__(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, ...]` to what the network gives, pooled, or to `[batch, elements, ...]`.

        Args:
          inputs: What the elements act on.
          is_training: Whether elements are to be drawn anew where they can be, and for the network if it takes it;
            needed for these two alone.
          seed: Two integers for both, new at each step.

        Raises:
          ValueError: If the elements do not act on the inputs, the network's outputs are no `[batch, ..., features]`,
            the features known, or `is_training` or a seed is missing.
        """
        values = self._values(tf.convert_to_tensor(inputs), is_training, seed)
        rank = values.shape.rank
        if not self._is_pooled:
            return values if rank < 4 else tf.transpose(values, [0, rank - 2, *range(1, rank - 2), rank - 1])
        if rank > 2:
            return self._pooling(values)
        pooled = self._pooling(values[:, :, None])
        return tf.squeeze(pooled, axis=1) if pooled.shape[1] == 1 else pooled

    def _values(self, inputs: tf.Tensor, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor:
        """Calls the network on all images; gives `[batch, ..., elements, features]`, of numbers `[batch, elements]`."""
        if is_training is None and "is_training" in self._takes:
            raise ValueError("is_training (=None) must be given to the network, which takes it: True or False.")
        images = self.elements.images(inputs, is_training, seed)
        given = {"is_training": is_training, "seed": seed}
        count, _, *shape = sizes(images)
        outputs = self.network(tf.reshape(images, [-1, *shape]), **{name: given[name] for name in self._takes})
        rank = outputs.shape.rank
        if not rank or (rank > 1 and outputs.shape[-1] is None):
            raise ValueError(
                f"network gives outputs of shape {outputs.shape}, which must be [batch, ..., features], the features "
                "known, or [batch]."
            )
        by_element = tf.reshape(outputs, [count, -1, *sizes(outputs)[1:]])
        return tf.transpose(by_element, [*range(1, rank), 0, rank] if rank > 1 else [1, 0])


class OrbitAverage(Averaged):
    """`Averaged` over the orbit of the input: invariant, or equivariant, whatever the network is.

        f(x) = pool_g network(g x),    f(h x) = f(x)
        or, equivariant, f(x)[g] = network(g x),    f(h x)[g] = f(x)[g h]

    Over a sample, or over transformations that form no group, the laws do not hold exactly: see `Orbit`.

    >>> from weirdonetworks.algebra import image_rotations
    >>> network = OrbitAverage(snt.nets.MLP([8, 3]), image_rotations(4, 4))
    >>> images = tf.reshape(tf.range(32.0), [2, 16]) / 32
    >>> turned = tf.reshape(tf.image.rot90(tf.reshape(images, [2, 4, 4, 1])), [2, 16])
    >>> bool(tf.reduce_max(tf.abs(network(images) - network(turned))) < 1e-5)
    True
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
        """Wraps a network; arguments as those of `Averaged`, and `limit`, `samples`, `resample`, `seed` of `Orbit`."""
        super().__init__(network, Orbit(action, **orbit_options), pooling, output, takes, name)


class LocalPool(Averaged):
    """`Averaged` over all elements near the identity: nearly invariant to small moves.

        f(x) = pool_u network(u x),    u in U, the products of at most `radius` generators and their inverses

    Between radius 0, the network itself, and a radius at which U is the group, where f is invariant exactly, f is so
    approximately. Pooled by the mean, a move by g exchanges only the elements that are in U or in U g, not in both:

        |f(g x) - f(x)| <= |U g without U| / |U| * (largest - smallest value of the network on the orbit of x).

    For shifts by one pixel down and right that share falls as 1 / radius, while what tells distant shifts apart stays.
    For rotations by angles, which are no group of permutations, use `Averaged` over a list of those near 0.

    >>> from weirdonetworks.algebra import cyclic_group
    >>> pooled = LocalPool(lambda x: x[:, :1], cyclic_group(8), radius=1)
    >>> pooled(tf.constant([[3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]])).numpy().tolist()
    [[2.0]]
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor], tf.Tensor],
        action: Action | PermutationGroup,
        radius: int,
        pooling: str | poolings.Pooling = "mean",
        limit: int = 1024,
        name: str | None = None,
    ):
        """Wraps a network.

        Args:
          network: As that of `Averaged`.
          action: Acts on the inputs, or a bare group; its generators are the steps.
          radius: The most steps, at least 0.
          pooling: As in `Averaged`.
          limit: The most elements.
          name: The module's name.

        Raises:
          TypeError: If the network cannot be called, or there is no action.
          ValueError: If a number is too small, the pooling is unknown, the elements form no group, or there are more of
            them than the limit.
        """
        action = as_action("action", action)
        super().__init__(network, ListedElements(action, action.ball(radius, limit)), pooling, name=name)


class Canonicalise(Averaged):
    """`Averaged` over a standard position alone: invariant for the price of one call.

        f(x) = network(c(x) x),    c(s.x) s.x = c(x) x, so f(s.x) = f(x)

    Exact for every input, but not continuous: where c(x) x jumps, so does f, unless the network gives the same on both
    sides, as an invariant one does; see the frame for where that is.

    >>> from weirdonetworks.algebra import image_dihedral
    >>> from weirdonetworks.nets.frames import TurnFrame
    >>> frame = TurnFrame(image_dihedral(2, 2))
    >>> network = Canonicalise(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 2])]), frame)
    >>> images = tf.random.stateless_normal([2, 5, 5, 1], seed=[0, 0])
    >>> bool(tf.reduce_max(tf.abs(network(images) - network(tf.image.flip_left_right(images)))) < 1e-5)
    True
    """

    def __init__(self, network: Callable[[tf.Tensor], tf.Tensor], frame: Frame, name: str | None = None):
        """Wraps a network of inputs `[batch, ...]`; the frame, a `TurnFrame` or `SortFrame`, finds the position."""
        super().__init__(network, Standard(frame), name=name)


class FrameAverage(Averaged):
    """`Averaged` over a frame, a few images of the input: invariant for the price of as many calls.

        f(x) = mean of network(g x) over g in the frame of x,    f(s.x) = f(x)

    Exact for every input. Continuous but where the frame changes: for a `TurnFrame` at fewer places than the standard
    position of `Canonicalise` does, for a `SortFrame` at more; see there.

    >>> network = FrameAverage(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 2])]), SortFrame())
    >>> one, other = network(tf.constant([[[1.0, 3.0], [2.0, 0.0]], [[2.0, 0.0], [1.0, 3.0]]]))
    >>> bool(tf.reduce_max(tf.abs(one - other)) < 1e-5)
    True

    Source: Puny et al., Frame averaging for invariant and equivariant network design, 2022.
    """

    def __init__(self, network: Callable[[tf.Tensor], tf.Tensor], frame: Frame, name: str | None = None):
        """Wraps a network of inputs `[batch, ...]`; the frame, a `TurnFrame` or `SortFrame`, gives the images."""
        super().__init__(network, checked_frame(frame), name=name)


class Symmetrized(Averaged):
    """`Averaged` over the orders of the items of a set, so that their order does not matter.

        f(x) = mean of network(s.x) over s in G,    (s.x)[s(i)] = x[i],    x of shape [batch, k, features]

    G is the symmetric group of the k items, or any other; instead of the mean any pooling. Four methods, and what
    becomes of the law f(g.x) = f(x) for g in G:

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
        combine: str | poolings.Pooling = "mean",
        group: PermutationGroup | None = None,
        method: str = "exact",
        limit: int = 5040,
        samples: int = 64,
        seed: int = 0,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          network: As that of `Averaged`, from sets `[batch, k, features]`.
          combine: The pooling over the orders: `mean`, `sum`, `product`, ...; see `nets.pooling`. A product of many
            soon overflows or underflows.
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
        checked_choice("method", method, METHODS)
        if group is not None and not isinstance(group, PermutationGroup):
            raise TypeError(f"group (={group!r}) must be a PermutationGroup, or None for all orders.")
        if group is not None and method in ("canonical", "adjacent"):
            raise ValueError(f"method (={method!r}) is for all orders only; with a group use exact or sampled.")
        orders = _Orders(group, method, limit, samples, seed)
        super().__init__(network, Standard(SortFrame()) if method == "canonical" else orders, combine, name=name)


class _Orders:
    """Orders of the items of sets, by a method of `Symmetrized`; how many items there are, the first call says."""

    def __init__(self, group: PermutationGroup | None, method: str, limit: int, samples: int, seed: int):
        self._group, self._method = group, method
        self._limit = at_least("limit", limit, 1)
        self._samples = at_least("samples", samples, 1)
        self._seed = at_least("seed", seed, 0)
        self._listed: ListedElements | None = None
        if group is not None and method == "exact":
            self._check_order(group.order)

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps sets to their images.

        Raises:
          ValueError: If the inputs are no sets with a known number of items, that of the group or of the first call, or
            have more orders than the limit.
        """
        inputs, _ = checked_set(inputs)
        k = inputs.shape[1]
        if k is None:
            raise ValueError(f"inputs of shape {inputs.shape} must have a known number of items.")
        if self._listed is None:
            if self._group is None and self._method == "exact":
                self._check_order(math.factorial(k))
            action = items(k if self._group is None else self._group)
            action.on(inputs.shape[1:])  # Before another number of items is that of the network for good.
            self._listed = ListedElements(action, self._orders(action, k))
        known = self._listed.elements.shape[1]
        if k != known:
            raise ValueError(f"inputs of shape {inputs.shape} must have {known} items, as at the first call.")
        return self._listed(inputs)

    def _orders(self, action: Action, k: int) -> Ints:
        if self._method == "adjacent":
            orders = np.tile(np.arange(k), (k, 1))
            swapped = np.arange(1, k)
            orders[swapped, swapped], orders[swapped, swapped - 1] = swapped - 1, swapped
            return orders
        return action.sample(self._samples, self._seed) if self._method == "sampled" else action.elements(self._limit)

    def _check_order(self, order: int) -> None:
        if order > self._limit:
            cheaper = "method='sampled' (not exactly invariant)"
            if self._group is None:
                cheaper += ", 'canonical' (sorted items: invariant, not continuous) or 'adjacent' (not invariant)"
            raise ValueError(
                f"limit (={self._limit}) must be at least the number of orders (={written(order)}): raise it, or use "
                f"{cheaper}."
            )
