"""Networks pooled over the elements of an action: `Averaged`, and its named special cases such as `OrbitAverage`."""

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.actions import Action, ActionLike, PermutationAction, as_action, items
from weirdonetworks.algebra.arrays import Ints, at_least, written
from weirdonetworks.algebra.groups.permutation_groups import PermutationGroup
from weirdonetworks.nets import pooling as poolings
from weirdonetworks.nets.base_module import BaseModule, keras_layers, names_of_arguments
from weirdonetworks.nets.frames import Frame, Images, SortFrame, Standard, checked_frame
from weirdonetworks.nets.inputs import checked_choice, checked_function, checked_set, sizes
from weirdonetworks.nets.orbits import ListedElements, Orbit

OUTPUTS = ("invariant", "equivariant")
METHODS = ("exact", "sampled", "canonical", "adjacent")


@snt.allow_empty_variables
class Averaged(BaseModule):
    """A network pooled over the images of its input under some elements of an action.

        f(x) = pool_g network(g x),    g in the elements chosen for x
        or, equivariant, f(x)[g] = network(g x)

    The network is called once, on `[elements * batch, ...]`. How far the laws f(h x) = f(x) and f(h x)[g] = f(x)[g h]
    hold depends on the elements:

        an action, a bare group    the whole orbit: exact; of more than 1024 elements 64 drawn at random: not invariant
        Orbit(action, ...)         the same, with a limit and a number of one's own, and anew in training if wished
        ListedElements(action, e)  chosen elements; with e = action.ball(radius) approximately invariant to small moves
        TurnFrame(), SortFrame()   a frame, a few elements that depend on the input: invariant exactly
        Standard(frame)            the canonical form of the input, such as the sorted order: invariant exactly
        LearnedRange(...)          random affine maps of images, of learned magnitude

    >>> from weirdonetworks.algebra import items
    >>> network = Averaged(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 1])]), items(3))
    >>> one, other = network(tf.constant([[[1.0, 7.0], [2.0, 5.0], [4.0, 6.0]], [[4.0, 6.0], [1.0, 7.0], [2.0, 5.0]]]))
    >>> bool(tf.abs(one - other) < 1e-5)
    True

    Averaging a network over a group: Yarotsky, Universal approximations of invariant maps by neural networks, 2018.

    Attributes:
      network: The network.
      elements: The map from inputs to their images.
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
          elements: The elements to pool over; see the table above.
          pooling: A symmetric function of the values at the elements, or its name; see `nets.pooling`.
          output: `invariant`, pooled; or `equivariant`, the value at each element.
          takes: The keyword arguments of the network, out of `is_training` and `seed`, that are passed on to it; a
            Keras model or layer is given `is_training` as its `training`.
        """
        super().__init__(name=name)
        self.network = checked_function("network", network, takes=1)
        self._casts_itself = next(keras_layers(network), None) is not None
        if isinstance(elements, type):
            raise TypeError(f"elements (={elements!r}) must be an object: construct it, as in {elements.__name__}().")
        self.elements = elements if isinstance(elements, Images) else Orbit(as_action("elements", elements))
        self._pooling = poolings.named(pooling)
        self._is_pooled = checked_choice("output", output, OUTPUTS) == "invariant"
        self._takes = names_of_arguments(network, takes)

    def __call__(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps `[batch, ...]` to the network's outputs, pooled, or to `[batch, elements, ...]`.

        Args:
          inputs: The inputs, `[batch, ...]`.
          is_training: Whether to resample the elements; also passed on to the network if `takes` names it. Needed in
            these two cases only.
          seed: Two integers for both, new at each step.
        """
        values = self._values(inputs, is_training, seed)
        rank = values.shape.rank
        if not self._is_pooled:
            return values if rank < 4 else tf.transpose(values, [0, rank - 2, *range(1, rank - 2), rank - 1])
        if rank > 2:
            return self._pooling(values)
        pooled = self._pooling(values[:, :, None])
        return tf.squeeze(pooled, axis=1) if pooled.shape[1] == 1 else pooled

    def _weight_types(self) -> tuple[tf.DType, ...]:
        return () if self._casts_itself else super()._weight_types()

    def _values(self, inputs: tf.Tensor, is_training: bool | None, seed: tf.Tensor | None) -> tf.Tensor:
        """Calls the network on all images; returns `[batch, ..., elements, features]`, or `[batch, elements]`."""
        if is_training is None and "is_training" in self._takes:
            raise ValueError("is_training (=None) must be given to the network, which takes it: True or False.")
        images = self.elements.images(inputs, is_training, seed)
        given = {"is_training": is_training, "seed": seed}
        count, _, *shape = sizes(images)
        rows = tf.reshape(images, [-1, *shape])
        outputs = self.network(rows, **{own: given[name] for name, own in self._takes.items()})
        rank = (outputs.shape.rank or 0) if isinstance(outputs, tf.Tensor) else 0
        is_row_by_row = rank > 0 and outputs.shape[:1].is_compatible_with(rows.shape[:1])
        if not is_row_by_row or (rank > 1 and outputs.shape[-1] is None):
            raise ValueError(
                f"network gives {_told(outputs)} for inputs of shape {rows.shape}, and must give a tensor "
                "[batch, ..., features], the features known, or [batch], with a row for each input."
            )
        by_element = tf.reshape(outputs, [count, -1, *sizes(outputs)[1:]])
        return tf.transpose(by_element, [*range(1, rank), 0, rank] if rank > 1 else [1, 0])


def _told(outputs: Any) -> str:
    return f"outputs of shape {outputs.shape}" if isinstance(outputs, tf.Tensor) else f"a {type(outputs).__name__}"


class OrbitAverage(Averaged):
    """A network pooled over the orbit of its input: invariant, or equivariant, for any network.

        f(x) = pool_g network(g x),    f(h x) = f(x)
        or, equivariant, f(x)[g] = network(g x),    f(h x)[g] = f(x)[g h]

    The laws are exact over a whole group, approximate over a sample or over transformations that form no group; see
    `Orbit`.

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
    """A network pooled over a ball around the identity: approximately invariant to small moves.

        f(x) = pool_u network(u x),    u in U, the products of at most `radius` generators and their inverses

    It interpolates between the network itself at radius 0 and the orbit average, exactly invariant, where U is the
    group. Pooled by the mean, f changes under g by the elements that are in one of U and U g only:

        |f(g x) - f(x)| <= |U g without U| / |U| * (largest - smallest value of the network on the orbit of x).

    For shifts by one pixel down and right this share falls as 1 / radius, and distant shifts stay distinguishable. For
    rotations by arbitrary angles, which are not permutations, use `Averaged` over a list of those near 0.

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
        """Wraps a network; `network` and `pooling` as in `Averaged`.

        Args:
          action: The action of a group on the inputs, or a bare group; the steps are its generators.
          radius: The maximum number of steps, at least 0.
          limit: The maximum number of elements.
        """
        action = as_action("action", action)
        super().__init__(network, ListedElements(action, action.ball(radius, limit)), pooling, name=name)


class Canonicalise(Averaged):
    """A network applied to the canonical form of its input: invariant at the cost of one call.

        f(x) = network(c(x) x),    c(s.x) s.x = c(x) x, so f(s.x) = f(x)

    Exact for every input, but discontinuous where c(x) x is, unless the network has equal values on both sides, as an
    invariant one does; the frame documents where that is.

    >>> from weirdonetworks.algebra import image_dihedral
    >>> from weirdonetworks.nets.frames import TurnFrame
    >>> frame = TurnFrame(image_dihedral(2, 2))
    >>> network = Canonicalise(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 2])]), frame)
    >>> images = tf.random.stateless_normal([2, 5, 5, 1], seed=[0, 0])
    >>> bool(tf.reduce_max(tf.abs(network(images) - network(tf.image.flip_left_right(images)))) < 1e-5)
    True
    """

    def __init__(self, network: Callable[[tf.Tensor], tf.Tensor], frame: Frame, name: str | None = None):
        """Wraps a network of inputs `[batch, ...]`; `frame`, a `TurnFrame` or `SortFrame`, has the canonical form."""
        super().__init__(network, Standard(frame), name=name)


class FrameAverage(Averaged):
    """A network averaged over a frame, a few images of the input: invariant at the cost of as many calls.

        f(x) = mean of network(g x) over g in the frame of x,    f(s.x) = f(x)

    Exact for every input. Continuous except where the frame changes: for a `TurnFrame` a subset of the discontinuities
    of `Canonicalise`, for a `SortFrame` a superset; see these classes.

    >>> network = FrameAverage(snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 2])]), SortFrame())
    >>> one, other = network(tf.constant([[[1.0, 3.0], [2.0, 0.0]], [[2.0, 0.0], [1.0, 3.0]]]))
    >>> bool(tf.reduce_max(tf.abs(one - other)) < 1e-5)
    True

    Source: Puny et al., Frame averaging for invariant and equivariant network design, 2022.
    """

    def __init__(self, network: Callable[[tf.Tensor], tf.Tensor], frame: Frame, name: str | None = None):
        """Wraps a network of inputs `[batch, ...]`; `frame`, a `TurnFrame` or `SortFrame`, computes the images."""
        super().__init__(network, checked_frame(frame), name=name)


class Symmetrized(Averaged):
    """A network on sets, symmetrised over the orders of the items: exactly, by a sample, or by sorting.

        f(x) = mean of network(s.x) over s in G,    (s.x)[s(i)] = x[i],    x of shape [batch, k, features]

    G is the symmetric group of the k items or another permutation group; the mean may be replaced by another pooling.
    The four methods, and how far f(g.x) = f(x) holds for g in G:

    - `exact`: over all of G. Invariant, and continuous if the network is. Costs |G| calls, k! for all orders.
    - `sampled`: over elements drawn once, from the seed. Not invariant; an unbiased estimate of the mean over G.
    - `canonical`: the network on the items sorted lexicographically by their features. Invariant under all orders at
      the cost of one call, but discontinuous where two items exchange places.
    - `adjacent`: over the identity and the k - 1 swaps of neighbours. Not invariant; a cheap approximation.

    The number of items k is fixed at the first call, and masks are not supported.

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
        pooling: str | poolings.Pooling = "mean",
        action: PermutationGroup | PermutationAction | None = None,
        method: str = "exact",
        limit: int = 5040,
        samples: int = 64,
        seed: int = 0,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          network: As that of `Averaged`, from sets `[batch, k, features]`.
          pooling: The pooling over the orders: `mean`, `sum`, `product`, ...; see `nets.pooling`. A product of many
            values soon overflows or underflows.
          action: The action on the items, `items(group)`, or the group; None for the symmetric group.
          method: `exact`, `sampled`, or without a group `canonical` or `adjacent`.
          limit: The maximum number of orders for `exact`.
          samples: The number of elements that `sampled` draws.
          seed: Seed of the sample.
        """
        checked_choice("method", method, METHODS)
        group: object = action
        if isinstance(action, PermutationAction) and len(action.sizes) == 1 and not action.spans_example:
            group = action.position_group()
        if group is not None and not isinstance(group, PermutationGroup):
            raise TypeError(f"action (={action!r}) must be items(group), a PermutationGroup, or None for all orders.")
        if group is not None and method in ("canonical", "adjacent"):
            raise ValueError(f"method (={method!r}) is for all orders only; with an action use exact or sampled.")
        orders = _Orders(group, method, limit, samples, seed)
        super().__init__(network, Standard(SortFrame()) if method == "canonical" else orders, pooling, name=name)


class _Orders:
    """The orders of a set's items by a method of `Symmetrized`; the first call fixes the number of items."""

    def __init__(self, group: PermutationGroup | None, method: str, limit: int, samples: int, seed: int):
        self._group, self._method = group, method
        self._limit = at_least("limit", limit, 1)
        self._samples = at_least("samples", samples, 1)
        self._seed = at_least("seed", seed, 0)
        self._listed: ListedElements | None = None
        if group is not None and method == "exact":
            self._check_order(group.order)

    def images(self, inputs: tf.Tensor, is_training: bool | None = None, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Maps sets to their images; the number of items must be that of the group or of the first call."""
        inputs, _ = checked_set(inputs)
        k = inputs.shape[1]
        if k is None:
            raise ValueError(f"inputs of shape {inputs.shape} must have a known number of items.")
        if self._listed is None:
            if self._group is None and self._method == "exact":
                self._check_order(math.factorial(k))
            action = items(k if self._group is None else self._group)
            action.on(inputs.shape[1:])  # Checks the shape before it fixes the network's number of items.
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
