"""Counts of the experiment `permutation_note`: exact dimensions beside the counts of the 2019 note."""

import collections
import pathlib
import string
from collections.abc import Mapping, Sequence

from weirdonetworks import lab
from weirdonetworks.algebra import monomials, symmetric_group
from weirdonetworks.algebra.weights.constraints import (
    WeightOrbits,
    definition_equations,
    equivariant_weight_orbits,
    linear_equations,
    ordered_quadratic_equations,
    quadratic_equations,
)
from weirdonetworks.experiments.permutation_note import NoteConfig

NOTE_TABLE_22 = {2: 6, 3: 9, 4: 11, 5: 13, 6: 15}
CLASSES = """\
Classes. The note's table (22) counts classes of equal weights: those of the first seven families of (21), the quadratic
layer with all n^3 weights. The eighth, additive family is left out: it joins no classes, so these are not free
parameters.
"""
PARAMETERS = """
Parameters. Exact dimensions of the spaces of weights that satisfy the equations. From n = 3 on (21) asks for more than
equivariance, which by definition constrains w[k,i,j] + w[k,j,i] alone; no function is lost. With one weight a monomial,
(26) and (27), the note counts parameters: "4 for all n", which holds from n = 3 on.
"""


def counts(n: int) -> dict[str, int | None]:
    """Computes the counts for n inputs and n outputs, exactly.

    Returns:
      `n`: The number of inputs.
      `classes_21`: Classes of equal weights by the seven families of (21), the additive one apart.
      `note_22`: The note's table (22) for it; None for an n that it lacks.
      `linear_15`: Free parameters of (15).
      `quadratic_21`: Free parameters of all eight families of (21).
      `equivariant_weights`: Free parameters of all weights in redundant indices that give an equivariant function.
      `ordered_26_27`: Free parameters of (26) and (27).
      `equivariant_functions`: The dimension of the space of equivariant quadratic functions, by orbits.
    """
    quadratic, group = quadratic_equations(n), symmetric_group(n)
    return {
        "n": n,
        "classes_21": len(quadratic.classes),
        "note_22": NOTE_TABLE_22.get(n),
        "linear_15": linear_equations(n).dimension(),
        "quadratic_21": quadratic.dimension(),
        "equivariant_weights": definition_equations(n, 2, ordered=False).dimension(),
        "ordered_26_27": ordered_quadratic_equations(n).dimension(),
        "equivariant_functions": equivariant_weight_orbits(group, group, 2).dimension,
    }


def monomial_counts(n: int, degree: int) -> list[int]:
    """Counts the monomials in n variables of each degree, the greatest first.

    >>> monomial_counts(3, 8)  # Equation (30), which sums them.
    [45, 36, 28, 21, 15, 10, 6, 3, 1]
    """
    return [monomials.count(n, each) for each in range(degree, -1, -1)]


def written_layer(found: WeightOrbits) -> str:
    """Formats output k of the general S_n-equivariant layer of degree up to 2.

    >>> group = symmetric_group(2)
    >>> written_layer(equivariant_weight_orbits(group, group, 2))
    'y_k = a x_k^2 + b x_k sum_{j != k} x_j + c sum_{j != k} x_j^2'
    """
    classes = zip(string.ascii_lowercase, found.representatives(), strict=False)
    return "y_k = " + " + ".join(" ".join([letter, *_factors(*first)]) for letter, first in classes)


def _factors(output: int, monomial: Sequence[int]) -> list[str]:
    """Formats the sum of the monomials in one orbit.

    Permutations that fix k take its monomial to any with the same exponent of x_k and the same other exponents.
    """
    exponents = collections.Counter(monomial)
    factors = [_power("k", exponents.pop(output))] if output in exponents else []
    others = list(exponents.values())
    if others:
        indices = ["j"] if len(others) == 1 else ["i", "j"]
        unequal = "j != k" if len(others) == 1 else "i < j; i, j != k"
        factors += [f"sum_{{{unequal}}}", *map(_power, indices, others)]
    return factors


def _power(index: str, exponent: int) -> str:
    return f"x_{index}" if exponent == 1 else f"x_{index}^{exponent}"


def run(config: NoteConfig) -> None:
    """Counts, and prints the tables."""
    path = pathlib.Path(config.json) if config.json is not None else None
    if path is not None and (not path.parent.is_dir() or path.is_dir()):
        raise lab.UsageError(f"json (={path}) must be a file in a folder that exists.")
    rows = [counts(n) for n in range(2, config.max_n + 1)]
    group = symmetric_group(config.max_n)
    quadratic = written_layer(equivariant_weight_orbits(group, group, 2))
    lower = written_layer(equivariant_weight_orbits(group, group, 2, include_lower=True))

    print('"Permutation-invariant neural networks" (YKY, 2019), n inputs and n outputs\n')
    _print_counts(rows)
    terms = monomial_counts(3, 8)
    print(f"\n(30), the monomials in 3 variables of degree at most 8:\n  {' + '.join(map(str, terms))} = {sum(terms)}")
    print(f"\nThe equivariant quadratic layer, from the orbits at n = {config.max_n}:\n  {quadratic}")
    print(f"and with the lower degrees, by a constant input:\n  {lower}")
    if path is not None:
        written = {
            "counts": rows,
            "equation_30": {"terms": terms, "total": sum(terms)},
            "equivariant_quadratic": quadratic,
            "with_lower_degrees": lower,
        }
        lab.files.write_json(path, written)


def _print_counts(rows: Sequence[Mapping[str, int | None]]) -> None:
    print(CLASSES)
    classes = [[str(row["n"]), str(row["classes_21"]), str(row["note_22"] or "-")] for row in rows]
    print(lab.table(["n", "(21) without the eighth", "table (22)"], classes))
    print(PARAMETERS)
    header = ["n", "(15) linear", "(21) whole", "all n^3, by definition", "(26) + (27)", "functions, by orbits"]
    print(lab.table(header, [[str(row[key]) for key in row if key not in ("classes_21", "note_22")] for row in rows]))
