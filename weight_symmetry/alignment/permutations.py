"""Permutations of the units of a model that align it with another one."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from weight_symmetry import symmetry
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.measure.unit_graph import UnitGraph

Model = TypeVar("Model", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, eq=False)
class Permutations:
    """Permutations of the units of a model's free spaces.

    >>> import sonnet as snt
    >>> from weight_symmetry import alignment, symmetry
    >>> model, inputs = snt.nets.MLP([3, 2]), tf.ones([1, 4])
    >>> _ = model(inputs)
    >>> other = symmetry.apply({0: [1, 2, 0]}, model, inputs)
    >>> found = alignment.match(model, other, inputs)
    >>> found.by_space, round(found.similarity, 3)
    ({'mlp/linear_0/w': array([2, 0, 1])}, 1.0)
    >>> print(found)
    3 of 3 units permuted, cosine of the weights 1.000 afterwards
    >>> aligned = found.apply(other)
    >>> bool(np.allclose(aligned.trainable_variables[1], model.trainable_variables[1]))
    True

    Attributes:
      by_space: Maps each free space of the model to `s` with `s[i]` the place of its unit i in the order that fits the
        other model.
      similarity: The cosine of the angle between the weights of the other model and those of this one, permuted.
      example_inputs: The arguments of the traced call.
      options: Its keyword arguments.
    """

    by_space: Mapping[str, Ints]
    similarity: float
    example_inputs: tuple[Any, ...] = dataclasses.field(repr=False)
    options: Mapping[str, Any] = dataclasses.field(repr=False)

    def apply(self, model: Model) -> Model:
        """Permutes the units of a copy of a model; its function stays the same.

        Args:
          model: The matched model, or another one of its architecture.

        Raises:
          TypeError, ValueError: As `symmetry.apply`, or if the model is of another architecture.
        """
        graph = UnitGraph.trace(model, *self.example_inputs, **self.options)
        return symmetry.apply(self.named(graph), model, *self.example_inputs, **self.options)

    def named(self, graph: UnitGraph) -> dict[str, Ints]:
        """Returns the permutations by the names that the spaces have in a graph of the same architecture.

        Raises:
          ValueError: If the graph's free spaces are of other sizes.
        """
        sizes, own = [space.size for space in graph.free], [len(order) for order in self.by_space.values()]
        if sizes != own:
            raise ValueError(
                f"model (sets of {sizes} interchangeable units) must be of the architecture of the matched one: {own}."
            )
        return {space.name: order for space, order in zip(graph.free, self.by_space.values(), strict=True)}

    def __str__(self) -> str:
        units = sum(map(len, self.by_space.values()))
        return (
            f"{self.moved} of {counted(units, 'unit')} permuted, cosine of the weights {self.similarity:.3f} afterwards"
        )

    @property
    def moved(self) -> int:
        """The number of units that do not stay in place."""
        return sum(int(np.count_nonzero(order != np.arange(len(order)))) for order in self.by_space.values())
