"""Measures of trained networks: invariance, Jacobians, conserved quantities, weight symmetry; results as arrays."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weirdonetworks.measure.conserved import (
        Conserved as Conserved,
        ConservedQuantities as ConservedQuantities,
        LawCount as LawCount,
        conserved_quantities as conserved_quantities,
        count_laws as count_laws,
        count_model_laws as count_model_laws,
        drift as drift,
    )
    from weirdonetworks.measure.discovery import (
        Graph as Graph,
        discover_symmetries as discover_symmetries,
        kept_shares as kept_shares,
    )
    from weirdonetworks.measure.distortion import (
        Distortion as Distortion,
        cayley_distortion as cayley_distortion,
        distortion_by_dimension as distortion_by_dimension,
    )
    from weirdonetworks.measure.invariant_weights import invariant_share as invariant_share
    from weirdonetworks.measure.jacobian import (
        InvariantDirections as InvariantDirections,
        invariant_directions as invariant_directions,
        jacobian_along as jacobian_along,
        spectrum as spectrum,
    )
    from weirdonetworks.measure.lie_derivatives import (
        IMAGE_GENERATORS as IMAGE_GENERATORS,
        ImageGenerator as ImageGenerator,
        lie_derivative as lie_derivative,
        lie_derivative_by_layer as lie_derivative_by_layer,
        local_equivariance_error as local_equivariance_error,
    )
    from weirdonetworks.measure.stability import (
        Deviation as Deviation,
        Stability as Stability,
        accuracy_over as accuracy_over,
        equivariance_error as equivariance_error,
        invariance_error as invariance_error,
        measure_stability as measure_stability,
        outputs_over as outputs_over,
        transformation_difference as transformation_difference,
        transformation_variance as transformation_variance,
    )
    from weirdonetworks.measure.topology import (
        denoiser as denoiser,
        grid_edges as grid_edges,
        partial_correlations as partial_correlations,
        recovered_edges as recovered_edges,
        recovery as recovery,
    )
    from weirdonetworks.measure.unit_graph import UnitGraph as UnitGraph
    from weirdonetworks.measure.unit_layout import UnitLayout as UnitLayout

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
