"""What gradient flow conserves: quantities found by the symmetries of a loss, and a count of all there can be."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weirdonetworks.measure.conserved.laws import (
        LawCount as LawCount,
        count_laws as count_laws,
        count_model_laws as count_model_laws,
    )
    from weirdonetworks.measure.conserved.quantities import (
        MIXING as MIXING,
        PERMUTATION as PERMUTATION,
        RESCALING as RESCALING,
        SCALE as SCALE,
        TRANSLATION as TRANSLATION,
        Conserved as Conserved,
        ConservedQuantities as ConservedQuantities,
        Value as Value,
        conserved_quantities as conserved_quantities,
        drift as drift,
    )

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
