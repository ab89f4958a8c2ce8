"""Finite groups, their actions and their invariant polynomials, exactly, on NumPy and SymPy without TensorFlow.

A permutation is an int array `s` with `s[i]` the image of point `i`; it acts by `(s.x)[s[i]] = x[i]`. Images are
flattened row by row with channels last. The functions of the modules `constraints`, `monomials` and `transforms` are
used through the module, as in `monomials.count(n, degree)`.
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weirdonetworks.algebra.actions import (
        Action as Action,
        PermutationAction as PermutationAction,
        coordinates as coordinates,
        flow as flow,
        image_transforms as image_transforms,
        independent as independent,
        items as items,
        paired as paired,
        pixels as pixels,
        points as points,
        regular as regular,
        transforms as transforms,
        trivial as trivial,
    )
    from weirdonetworks.algebra.actions.transforms import ImageTransform as ImageTransform
    from weirdonetworks.algebra.groups.image_groups import (
        image_dihedral as image_dihedral,
        image_rotations as image_rotations,
        image_translations as image_translations,
    )
    from weirdonetworks.algebra.groups.matrix_groups import MatrixGroup as MatrixGroup
    from weirdonetworks.algebra.groups.orbits import Orbits as Orbits
    from weirdonetworks.algebra.groups.permutation_groups import (
        PermutationGroup as PermutationGroup,
        alternating_group as alternating_group,
        cyclic_group as cyclic_group,
        dihedral_group as dihedral_group,
        direct_product as direct_product,
        symmetric_group as symmetric_group,
        trivial_group as trivial_group,
    )
    from weirdonetworks.algebra.groups.permutations import (
        act as act,
        as_permutations as as_permutations,
        compose as compose,
        inverse as inverse,
    )
    from weirdonetworks.algebra.groups.point_groups import (
        cyclic_rotations as cyclic_rotations,
        dihedral_rotations as dihedral_rotations,
        icosahedral_rotations as icosahedral_rotations,
        octahedral_rotations as octahedral_rotations,
        permutation_matrices as permutation_matrices,
        quaternion_group as quaternion_group,
        sign_changes as sign_changes,
        tetrahedral_rotations as tetrahedral_rotations,
        trivial_matrix_group as trivial_matrix_group,
    )
    from weirdonetworks.algebra.polynomials import monomials as monomials
    from weirdonetworks.algebra.polynomials.fundamental import fundamental_invariants as fundamental_invariants
    from weirdonetworks.algebra.polynomials.hironaka import (
        primary_invariants as primary_invariants,
        secondary_invariants as secondary_invariants,
    )
    from weirdonetworks.algebra.polynomials.invariants import (
        invariant_basis as invariant_basis,
        is_invariant as is_invariant,
        reynolds as reynolds,
    )
    from weirdonetworks.algebra.polynomials.molien import (
        cycle_index as cycle_index,
        cycle_types as cycle_types,
        molien_series as molien_series,
    )
    from weirdonetworks.algebra.polynomials.rings import (
        exponent_table as exponent_table,
        polynomial_ring as polynomial_ring,
    )
    from weirdonetworks.algebra.weights import constraints as constraints
    from weirdonetworks.algebra.weights.constraints import (
        PolynomialLayer as PolynomialLayer,
        PolynomialNetwork as PolynomialNetwork,
        WeightOrbits as WeightOrbits,
        equivariant_weight_orbits as equivariant_weight_orbits,
    )

if not TYPE_CHECKING:  # A type checker that saw this would take every name for one that exists.
    __getattr__, __dir__ = lazy.names(__name__)
