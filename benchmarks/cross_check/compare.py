"""Compares the counts of weights of our layers with those of EMLP and escnn; see the package. Needs neither of ours."""

import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import emlp.reps
import escnn.group
import escnn.gspaces
import escnn.nn
import numpy as np
from emlp.groups import Group

C4, D4 = escnn.group.cyclic_group(4), escnn.group.dihedral_group(4)


class Generated(Group):
    """The group that matrices generate."""

    def __init__(self, matrices: np.ndarray) -> None:
        self.discrete_generators = matrices
        super().__init__()


class Block(emlp.reps.Rep):
    """A representation that is a block of the matrices on the diagonal; orthogonal, so its own dual."""

    def __init__(self, group: Group, start: int, stop: int) -> None:
        self.G, self.start, self.stop = group, start, stop
        self.is_permutation = False

    def __call__(self, group: Group) -> "Block":
        return Block(group, self.start, self.stop)

    def __str__(self) -> str:
        return f"Block({self.start}, {self.stop})"

    def __hash__(self) -> int:
        # EMLP keeps what it has solved by this, for all groups.
        return hash((np.asarray(self.G.discrete_generators).tobytes(), self.start, self.stop))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and hash(self) == hash(other)

    def size(self) -> int:
        return self.stop - self.start

    def rho(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[self.start : self.stop, self.start : self.stop]

    @property
    def T(self) -> "Block":  # noqa: N802, EMLP calls it so.
        return self


def by_emlp(inputs: list[list[int]], outputs: list[list[int]]) -> tuple[int, int]:
    """Counts equivariant matrices and biases: the dimensions of null spaces that EMLP finds numerically."""
    n, m = len(inputs[0]), len(outputs[0])
    matrices = np.zeros((len(inputs), n + m, n + m))
    for matrix, s, t in zip(matrices, inputs, outputs, strict=True):
        matrix[s, np.arange(n)] = 1  # (s.x)[s(i)] = x[i]
        matrix[n + np.array(t), n + np.arange(m)] = 1
    group = Generated(matrices)
    source, target = Block(group, 0, n), Block(group, n, n + m)
    return (source >> target).equivariant_basis().shape[1], target.equivariant_basis().shape[1]


def linear(source: list[Any], target: list[Any]) -> Callable[[], tuple[int, int]]:
    """Counts the weights and biases of escnn's linear layer between sums of representations of one group."""

    def count() -> tuple[int, int]:
        space = escnn.gspaces.no_base_space(source[0].group)
        types = escnn.nn.FieldType(space, source), escnn.nn.FieldType(space, target)
        layer = escnn.nn.Linear(*types)
        return layer.weights.numel(), layer.bias.numel()

    return count


def convolution(space: Any, source: list[Any], target: list[Any], side: int) -> Callable[[], tuple[int, int]]:
    """Counts the weights and biases of escnn's steerable convolution."""

    def count() -> tuple[int, int]:
        types = escnn.nn.FieldType(space, source), escnn.nn.FieldType(space, target)
        layer = escnn.nn.R2Conv(*types, kernel_size=side)
        return layer.weights.numel(), layer.bias.numel()

    return count


def cosets(element: tuple[int, int]) -> Any:
    """D4 on the cosets of the subgroup that a mirror image generates: on corners, or on the middles of edges."""
    return D4.quotient_representation((element[1], 1))


SQUARE_3 = [D4.trivial_representation, cosets((1, 0)), cosets((1, 1))]
SQUARE_4 = [cosets((1, 1)), cosets((1, 1)), D4.regular_representation]
C6, D5 = escnn.group.cyclic_group(6), escnn.group.dihedral_group(5)
BY_ESCNN: dict[str, Callable[[], tuple[int, int]]] = {
    "C6 on 6 points": linear([C6.regular_representation], [C6.regular_representation]),
    "D5 on 5 points": linear([D5.quotient_representation((0, 1))], [D5.quotient_representation((0, 1))]),
    "C4 on images 4 x 4": linear([C4.regular_representation] * 4, [C4.regular_representation] * 4),
    "D4 on images 3 x 3": linear(SQUARE_3, SQUARE_3),
    "D4, images 3 x 3 to 4 x 4": linear(SQUARE_3, SQUARE_4),
    "D4 on its 8 elements": linear([D4.regular_representation], [D4.regular_representation]),
}
for name, space in (("C4", escnn.gspaces.rot2dOnR2(4)), ("D4", escnn.gspaces.flipRot2dOnR2(4))):
    for side in (3, 5):
        maps, image = [space.regular_repr], [space.trivial_repr]
        BY_ESCNN[f"{name}, lifting convolution {side} x {side}"] = convolution(space, image, maps, side)
        BY_ESCNN[f"{name}, group convolution {side} x {side}"] = convolution(space, maps, maps, side)


def main() -> int:
    """Prints the table; returns 1 if a count differs that must not."""
    ours = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows, is_same = [], True
    for name, counts in ours.items():
        own = counts["weights"], counts["biases"]
        emlp_counts = by_emlp(counts["inputs"], counts["outputs"])
        escnn_counts = BY_ESCNN[name]() if name in BY_ESCNN else None
        is_same &= emlp_counts == own
        if escnn_counts and "convolution" not in name:  # escnn's filters there are of another space.
            is_same &= escnn_counts == own
        rows.append([name, *map(written, (own, emlp_counts, escnn_counts))])
    versions = [f"{each} {importlib.metadata.version(each)}" for each in ("emlp", "jax", "escnn", "torch", "numpy")]
    print(", ".join(versions))
    print("\n| layer | ours | EMLP | escnn |\n| --- | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 0 if is_same else 1


def written(counts: tuple[int, int] | None) -> str:
    """Writes weights and biases for the table."""
    return f"{counts[0]} + {counts[1]}" if counts else ""


if __name__ == "__main__":
    sys.exit(main())
