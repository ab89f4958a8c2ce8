"""Alignment: networks modulo permutation of their hidden units, and what lies between two of them.

`match` finds the permutations that make one trained network fit another, `linear_path` measures loss and accuracy
between them.
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.alignment.matching import (
        METHODS as METHODS,
        cross_entropy as cross_entropy,
        match as match,
        match_many as match_many,
    )
    from weight_symmetry.alignment.paths import Path as Path, linear_path as linear_path, repair as repair
    from weight_symmetry.alignment.permutations import Permutations as Permutations
    from weight_symmetry.alignment.rescaling import normalise as normalise

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
