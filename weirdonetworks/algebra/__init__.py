"""Finite groups, their actions and their invariant polynomials, exactly, on NumPy and SymPy without TensorFlow.

A permutation is an int array `s` with `s[i]` the image of point `i`; it acts by `(s.x)[s[i]] = x[i]`. Images are
flattened row by row with channels last. The functions of the modules `constraints`, `monomials` and `transforms` are
used through the module, as in `monomials.count(n, degree)`.
"""

from weirdonetworks.algebra import constraints, monomials, transforms
from weirdonetworks.algebra.actions import (
    Action,
    PermutationAction,
    coordinates,
    image_transforms,
    independent,
    items,
    paired,
    pixels,
    points,
    regular,
    trivial,
)
from weirdonetworks.algebra.constraints import (
    PolynomialLayer,
    PolynomialNetwork,
    WeightOrbits,
    equivariant_weight_orbits,
)
from weirdonetworks.algebra.fundamental import fundamental_invariants
from weirdonetworks.algebra.groups import (
    PermutationGroup,
    alternating_group,
    cyclic_group,
    dihedral_group,
    direct_product,
    symmetric_group,
    trivial_group,
)
from weirdonetworks.algebra.hironaka import primary_invariants, secondary_invariants
from weirdonetworks.algebra.image_groups import image_dihedral, image_rotations, image_translations
from weirdonetworks.algebra.invariants import invariant_basis, is_invariant, reynolds
from weirdonetworks.algebra.matrix_groups import MatrixGroup
from weirdonetworks.algebra.molien import cycle_index, cycle_types, molien_series
from weirdonetworks.algebra.orbits import Orbits
from weirdonetworks.algebra.permutations import act, as_permutations, compose, inverse
from weirdonetworks.algebra.point_groups import (
    cyclic_rotations,
    dihedral_rotations,
    icosahedral_rotations,
    octahedral_rotations,
    permutation_matrices,
    quaternion_group,
    sign_changes,
    tetrahedral_rotations,
    trivial_matrix_group,
)
from weirdonetworks.algebra.polynomials import exponent_table, polynomial_ring
from weirdonetworks.algebra.transforms import ImageTransform

__all__ = [
    "Action",
    "ImageTransform",
    "MatrixGroup",
    "Orbits",
    "PermutationAction",
    "PermutationGroup",
    "PolynomialLayer",
    "PolynomialNetwork",
    "WeightOrbits",
    "act",
    "alternating_group",
    "as_permutations",
    "compose",
    "constraints",
    "coordinates",
    "cycle_index",
    "cycle_types",
    "cyclic_group",
    "cyclic_rotations",
    "dihedral_group",
    "dihedral_rotations",
    "direct_product",
    "equivariant_weight_orbits",
    "exponent_table",
    "fundamental_invariants",
    "icosahedral_rotations",
    "image_dihedral",
    "image_rotations",
    "image_transforms",
    "image_translations",
    "independent",
    "invariant_basis",
    "inverse",
    "is_invariant",
    "items",
    "molien_series",
    "monomials",
    "octahedral_rotations",
    "paired",
    "permutation_matrices",
    "pixels",
    "points",
    "polynomial_ring",
    "primary_invariants",
    "quaternion_group",
    "regular",
    "reynolds",
    "secondary_invariants",
    "sign_changes",
    "symmetric_group",
    "tetrahedral_rotations",
    "transforms",
    "trivial",
    "trivial_group",
    "trivial_matrix_group",
]
