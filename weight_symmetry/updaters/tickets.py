"""Lottery tickets and their controls, which change a ticket's masks or weights.

The controls are those of the literature (Frankle & Carbin 2019; Su et al. 2020), and two of this project's own. Each is
called with the masks of a model whose weights are rewound and not masked yet, the masks proposed for it, and the number
of finished epochs, so that each ticket of a training has a control of its own; it leaves the model masked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry import symmetry
from weight_symmetry.alignment.matching import match_values
from weight_symmetry.masks import Mask, Masks
from weight_symmetry.masks.generators import checked_generator
from weight_symmetry.models import initialise
from weight_symmetry.symmetry import masked_units
from weirdonetworks.algebra.arrays import at_least
from weirdonetworks.lab import seeds
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import UnitLayout

Permutation = npt.NDArray[np.intp]
TRIES = 10_000  # The most draws of a permutation: some seconds.
MATCHED, BATCH = 5000, 500  # Images on which networks are matched: at most, and at a time.


class Ticket:
    """The lottery ticket itself: the proposed masks on the early weights.

    >>> weight = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> Ticket()(Masks([weight]), [np.eye(2, dtype=bool)], epoch=1)
    >>> weight.numpy().tolist()
    [[1.0, 0.0], [0.0, 4.0]]
    """

    def __init__(self, seed: int = 0):
        """Takes the base seed of what a control draws; the ticket draws nothing."""
        self._seed = seed

    def __call__(self, masks: Masks, proposed: Sequence[Mask], epoch: int) -> None:
        """Sets the masks."""
        masks.set(proposed)

    def before_rewinding(self) -> None:
        """Is called while the model still has its trained weights."""

    def _generator(self, *purpose: str | int) -> np.random.Generator:
        return seeds.generator(self._seed, *purpose)


class ShuffledMask(Ticket):
    """The ticket's weights and sparsities, the mask of each weight shuffled.

    >>> masks = Masks([tf.Variable(tf.ones([4, 4]))])
    >>> ShuffledMask(seed=1)(masks, [np.eye(4, dtype=bool)], epoch=1)
    >>> int(masks.arrays[0].sum()), bool((masks.arrays[0] == np.eye(4)).all())
    (4, False)
    """

    def __call__(self, masks: Masks, proposed: Sequence[Mask], epoch: int) -> None:
        """Shuffles the masks, and sets them."""
        rngs = (self._generator("shuffle_mask", layer, epoch) for layer in range(len(proposed)))
        masks.set([rng.permutation(m.ravel()).reshape(m.shape) for rng, m in zip(rngs, proposed, strict=True)])


class ShuffledWeights(Ticket):
    """The ticket's masks, its weights shuffled among the kept connections of each.

    >>> weight = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> ShuffledWeights(seed=1)(Masks([weight]), [np.array([[True, True], [True, False]])], epoch=1)
    >>> sorted(weight.numpy().ravel().tolist())
    [0.0, 1.0, 2.0, 3.0]
    """

    def __call__(self, masks: Masks, proposed: Sequence[Mask], epoch: int) -> None:
        """Sets the masks, and shuffles the weights."""
        masks.set(proposed)
        for index, (variable, mask) in enumerate(zip(masks.weights, proposed, strict=True)):
            weight = variable.numpy()
            weight[mask] = self._generator("shuffle_weights", index, epoch).permutation(weight[mask])
            variable.assign(weight)


class NewWeights(Ticket):
    """The ticket's masks, with newly drawn weights.

    >>> weight = tf.Variable(tf.ones([3, 2]), name="w")
    >>> NewWeights(seed=1)(Masks([weight]), [np.eye(3, 2, dtype=bool)], epoch=1)
    >>> (weight.numpy() != 0).astype(int).tolist()
    [[1, 0], [0, 1], [0, 0]]
    """

    def __init__(self, seed: int, scheme: str = "he_normal", begin: Callable[[int], None] | None = None):
        """Makes the control.

        Args:
          seed: The base seed.
          scheme: As of `models.initialise`; `own` for the weights that `begin` sets.
          begin: Sets all variables of the model to initial values, given a seed; None leaves those not masked as they
            are.
        """
        super().__init__(seed)
        self._scheme = scheme
        self._begin = begin

    def __call__(self, masks: Masks, proposed: Sequence[Mask], epoch: int) -> None:
        """Sets the masks, and draws weights under them."""
        seed = seeds.derive(self._seed, "reinit", epoch)[0]
        if self._begin is not None:
            self._begin(seed)
        masks.set(proposed)
        initialise(masks, seed, scheme=self._scheme)


class MovedUnits(Ticket):
    """The ticket's masks, the weights moved by a permutation of hidden units, before they are masked.

    Every connection that the masks keep has an early weight, whichever permutation it is. A permutation that leaves the
    masks as they are gives a network that computes the same before training, and training should not care; with any
    other, the masks cut other weights than they did.

    >>> moves = []
    >>> masks = Masks([tf.Variable(tf.ones([2, 4])), tf.Variable(tf.ones([4, 1]))])
    >>> proposed = [np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool), np.ones((4, 1), bool)]
    >>> MovedUnits(seed=1, symmetric=True, move=moves.append)(masks, proposed, epoch=1)
    >>> (order,) = moves[0].values()
    >>> bool((proposed[0][:, order] == proposed[0]).all())
    True
    """

    def __init__(
        self,
        seed: int,
        symmetric: bool,
        move: Callable[[dict[Any, Permutation]], Any],
        units: UnitGraph | None = None,
    ):
        """Makes the control.

        Args:
          seed: The base seed.
          symmetric: Whether the permutation leaves the masks as they are, or changes some.
          move: Permutes the hidden units of the model, given a permutation for each layer by index, or space by name.
          units: The units of a model that is no chain of layers.
        """
        super().__init__(seed)
        self._symmetric = symmetric
        self._move = move
        self._units = units

    def __call__(self, masks: Masks, proposed: Sequence[Mask], epoch: int) -> None:
        """Moves the units, and sets the masks.

        Raises:
          UsageError: If every permutation leaves the masks as they are, and another one is wanted.
        """
        rng = self._generator("symmetric_shuffle" if self._symmetric else "asymmetric_shuffle", epoch)
        draw = random_symmetry if self._symmetric else random_asymmetry
        given: Sequence[Mask | None] = proposed
        if self._units is not None:
            by_weight = {id(weight): mask for weight, mask in zip(masks.weights, proposed, strict=True)}
            given = [by_weight.get(id(variable)) for variable in self._units.variables]
        self._move(draw(given, rng, self._units))
        masks.set(proposed)


class CarriedMask(Ticket):
    """The ticket's masks, carried over to the early weights of another network (Adnan et al. 2025).

    The other network is trained as long as the ticket's was; the permutation of hidden units by which the activations
    of the ticket's network correlate most with those of the other one permutes the masks.

    >>> import sonnet as snt
    >>> from weight_symmetry import symmetry
    >>> model, images = snt.nets.MLP([3, 2]), np.random.default_rng(0).normal(size=(64, 4)).astype("f")
    >>> _ = model(images)
    >>> other = symmetry.apply({0: [1, 2, 0]}, model, images)  # Its unit 1 does what unit 0 of the model does.
    >>> values = [variable.numpy() for variable in other.variables]
    >>> carried = CarriedMask(model, lambda epochs: (values, values), lambda most: images, {})
    >>> carried.before_rewinding()
    >>> masks = Masks(model)
    >>> carried(masks, [np.eye(1, 3, dtype=bool).repeat(4, axis=0), np.ones((3, 2), bool)], epoch=1)
    >>> masks.arrays[0].sum(axis=0).tolist()
    [0, 4, 0]
    """

    def __init__(
        self,
        network: Any,
        other: Callable[[int], tuple[Sequence[Any], Sequence[Any]]],
        images: Callable[[int], npt.NDArray[Any]],
        options: Mapping[str, Any],
    ):
        """Makes the control.

        Args:
          network: The ticket's network.
          other: Trains the other network for a number of epochs; returns the values of its variables to begin with, and
            its trained ones, in the order of `network.variables`.
          images: Returns images to match the two on, at most a number of them.
          options: Keyword arguments of the network's call.
        """
        super().__init__()
        self._network = network
        self._other = other
        self._images = images
        self._options = options
        self._trained: list[Any] = []

    def before_rewinding(self) -> None:
        """Copies the trained weights, to match them."""
        self._trained = [variable.numpy() for variable in self._network.variables]

    def __call__(self, masks: Masks, proposed: Sequence[Mask], epoch: int) -> None:
        """Sets the other network's early weights, and the masks as its units are ordered."""
        early, trained = self._other(epoch)
        images = self._images(MATCHED)
        graph = UnitGraph.trace(self._network, images[:BATCH], **self._options)
        read = {id(variable): index for index, variable in enumerate(self._network.variables)}
        ours, theirs = (
            [values[read[id(variable)]] for variable in graph.variables] for values in (self._trained, trained)
        )
        permutations = match_values(graph, theirs, ours, [images])
        for variable, value in zip(self._network.variables, early, strict=True):
            variable.assign(value)
        masks.set(permuted_masks(masks, proposed, permutations, graph))


def random_asymmetry(
    masks: Sequence[Mask | None], rng: np.random.Generator, layout: UnitLayout | None = None, tries: int = 100
) -> dict[Any, Permutation]:
    """Draws a joint permutation of hidden units that changes some mask.

    >>> masks = [np.eye(3, dtype=bool), np.ones((3, 1), bool)]
    >>> (order,) = random_asymmetry(masks, np.random.default_rng(0)).values()
    >>> sorted(order.tolist()), order.tolist() == [0, 1, 2]
    ([0, 1, 2], False)

    Args:
      masks: The masks of a chain, or those of a layout's variables, None for those not masked.
      rng: The random generator.
      layout: The layout of a model that is no chain.
      tries: The number of draws, at most 10,000.

    Raises:
      TypeError, ValueError: If the number of draws is no integer, or out of range.
      UsageError: If none of many draws changes a mask, as where every unit permutation preserves the masks.
    """
    sizes, rng = _sizes(masks, layout), checked_generator(rng)
    for _ in range(at_least("tries", tries, 1, TRIES)):
        drawn = {key: rng.permutation(size) for key, size in sizes.items()}
        moved = symmetry.permute(masks, drawn, layout)
        pairs = zip(masks, moved, strict=True)
        if any(before is not None and (before != after).any() for before, after in pairs):
            return drawn
    raise UsageError("ablation (=asymmetric_shuffle) has nothing to draw: every unit permutation preserves this mask.")


def random_symmetry(
    masks: Sequence[Mask | None], rng: np.random.Generator, layout: UnitLayout | None = None
) -> dict[Any, Permutation]:
    """Draws a joint permutation of hidden units that leaves masks as they are: a long random product of generators.

    >>> masks = [np.ones((2, 5), bool), np.ones((5, 1), bool)]
    >>> sorted(random_symmetry(masks, np.random.default_rng(0))[0].tolist())
    [0, 1, 2, 3, 4]

    Args: as for `random_asymmetry`.
    """
    product = {key: np.arange(size) for key, size in _sizes(masks, layout).items()}
    generators = symmetry.automorphisms(masks, layout).generators
    # A random walk on n units by a transposition and a cycle needs of the order of n^3 log n steps to be even, but a
    # few times n already take nearly every unit away from where it was.
    length = 20 * sum(len(images) for images in product.values()) if generators else 0
    for choice in checked_generator(rng).integers(max(len(generators), 1), size=length):
        for key, images in generators[choice].items():
            product[key] = images[product[key]]
    return product


def permuted_masks(
    masks: Masks, arrays: Sequence[Mask], permutations: Mapping[str, Permutation], graph: UnitGraph
) -> list[Mask]:
    """Permutes masks as the units of a model.

    Args:
      masks: The masks of the model's weights, for their order.
      arrays: A mask for each of these weights.
      permutations: A permutation for each space by name.
      graph: The units of the model.
    """
    by_weight = {id(weight): array for weight, array in zip(masks.weights, arrays, strict=True)}
    given = [by_weight.get(id(variable)) for variable in graph.variables]
    moved = dict(zip(map(id, graph.variables), symmetry.permute(given, permutations, graph), strict=True))
    return [moved.get(id(weight), array) for weight, array in zip(masks.weights, arrays, strict=True)]


def _sizes(masks: Sequence[Mask | None], layout: UnitLayout | None) -> dict[Any, int]:
    """The number of units of each hidden layer by index, or of each free space by name."""
    masked_units.read(masks, layout)  # Checks them.
    if layout is not None:
        return {space.name: space.size for space in layout.free}
    return {index: mask.shape[-1] for index, mask in enumerate(masks[:-1]) if mask is not None}
