"""Neural networks that know a group acts on their data.

The networks are here by name, and TensorFlow is imported when the first of them is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weirdonetworks.nets.bottleneck import VariationalBottleneck
    from weirdonetworks.nets.invariant import InvariantMLP
    from weirdonetworks.nets.learned_augmentation import LearnedAugmentation
    from weirdonetworks.nets.permutation import (
        PermutationEquivariantLinear,
        PermutationEquivariantPolynomial,
        PermutationEquivariantQuadratic,
        PermutationInvariantLinear,
        PermutationInvariantPolynomial,
        PermutationInvariantQuadratic,
    )
    from weirdonetworks.nets.polynomial import PolynomialLinear, PolynomialMLP, QuadraticMLP
    from weirdonetworks.nets.quadratic import ConstrainedQuadratic, QuadraticLayer
    from weirdonetworks.nets.sets import (
        DeepSets,
        FourierSetEncoder,
        FreeAbelianEncoder,
        PointNet,
        RelationNetwork,
        SetAttention,
        SetTransformer,
        Symmetrized,
    )
    from weirdonetworks.nets.shared import (
        Canonicalise,
        EquivariantLinear,
        FrameAverage,
        GroupConv2D,
        GroupPool,
        LiftingConv2D,
        LocalPool,
        SoftEquivariant,
    )
    from weirdonetworks.nets.synchronous import OrbitAverage, SynchronousMLP

_NAMES = {
    "bottleneck": ("VariationalBottleneck",),
    "invariant": ("InvariantMLP",),
    "learned_augmentation": ("LearnedAugmentation",),
    "permutation": (
        *(f"PermutationEquivariant{kind}" for kind in ("Linear", "Polynomial", "Quadratic")),
        *(f"PermutationInvariant{kind}" for kind in ("Linear", "Polynomial", "Quadratic")),
    ),
    "polynomial": ("PolynomialLinear", "PolynomialMLP", "QuadraticMLP"),
    "quadratic": ("ConstrainedQuadratic", "QuadraticLayer"),
    "sets": (
        *("DeepSets", "FourierSetEncoder", "FreeAbelianEncoder", "PointNet"),
        *("RelationNetwork", "SetAttention", "SetTransformer", "Symmetrized"),
    ),
    "shared": (
        *("Canonicalise", "EquivariantLinear", "FrameAverage", "GroupConv2D"),
        *("GroupPool", "LiftingConv2D", "LocalPool", "SoftEquivariant"),
    ),
    "synchronous": ("OrbitAverage", "SynchronousMLP"),
}
_HOMES = {name: f"weirdonetworks.nets.{module}" for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
