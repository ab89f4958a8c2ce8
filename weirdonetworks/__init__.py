"""Neural networks that know a group acts on their data.

All that is public is here by name, and imported, TensorFlow with it, when it is asked for first.
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weirdonetworks.algebra.actions import (
        Action as Action,
        coordinates as coordinates,
        flow as flow,
        image_transforms as image_transforms,
        independent as independent,
        items as items,
        paired as paired,
        pixels as pixels,
        points as points,
        regular as regular,
        trivial as trivial,
    )
    from weirdonetworks.nets import pooling as pooling
    from weirdonetworks.nets.averaged import (
        Averaged as Averaged,
        Canonicalise as Canonicalise,
        FrameAverage as FrameAverage,
        LocalPool as LocalPool,
        OrbitAverage as OrbitAverage,
        Symmetrized as Symmetrized,
    )
    from weirdonetworks.nets.base_module import BaseModule as BaseModule
    from weirdonetworks.nets.frames import (
        SortFrame as SortFrame,
        Standard as Standard,
        TurnFrame as TurnFrame,
        sorted_lexicographically as sorted_lexicographically,
    )
    from weirdonetworks.nets.group_convolution import (
        GroupConv2D as GroupConv2D,
        GroupPool as GroupPool,
        LiftingConv2D as LiftingConv2D,
    )
    from weirdonetworks.nets.learned_augmentation import (
        LearnedAugmentation as LearnedAugmentation,
        LearnedRange as LearnedRange,
    )
    from weirdonetworks.nets.orbits import ListedElements as ListedElements, Orbit as Orbit
    from weirdonetworks.nets.polynomial.invariant import InvariantMLP as InvariantMLP
    from weirdonetworks.nets.polynomial.polynomial_layers import (
        PolynomialLinear as PolynomialLinear,
        PolynomialMLP as PolynomialMLP,
        QuadraticMLP as QuadraticMLP,
    )
    from weirdonetworks.nets.polynomial.quadratic import (
        ConstrainedQuadratic as ConstrainedQuadratic,
        QuadraticLayer as QuadraticLayer,
        tie as tie,
    )
    from weirdonetworks.nets.sets.fourier_set import FourierSetEncoder as FourierSetEncoder
    from weirdonetworks.nets.sets.free_abelian import (
        FreeAbelianEncoder as FreeAbelianEncoder,
        word_distance as word_distance,
    )
    from weirdonetworks.nets.sets.permutation import (
        PermutationEquivariantLinear as PermutationEquivariantLinear,
        PermutationEquivariantPolynomial as PermutationEquivariantPolynomial,
        PermutationEquivariantQuadratic as PermutationEquivariantQuadratic,
        PermutationInvariantLinear as PermutationInvariantLinear,
        PermutationInvariantPolynomial as PermutationInvariantPolynomial,
        PermutationInvariantQuadratic as PermutationInvariantQuadratic,
    )
    from weirdonetworks.nets.sets.pooled_sets import (
        DeepSets as DeepSets,
        PointNet as PointNet,
        RelationNetwork as RelationNetwork,
        orthogonality_loss as orthogonality_loss,
    )
    from weirdonetworks.nets.sets.set_attention import SetAttention as SetAttention, SetTransformer as SetTransformer
    from weirdonetworks.nets.shared import EquivariantLinear as EquivariantLinear
    from weirdonetworks.nets.small.activation_mlp import AllActivations as AllActivations
    from weirdonetworks.nets.small.activations import (
        GroupedSoftmax as GroupedSoftmax,
        ScaledTanh as ScaledTanh,
        UnitConvolution as UnitConvolution,
    )
    from weirdonetworks.nets.small.comparative_mlp import ComparativeMLP as ComparativeMLP
    from weirdonetworks.nets.small.convolution_networks import ConvolutionNetwork as ConvolutionNetwork, LeNet as LeNet
    from weirdonetworks.nets.small.image_autoencoder import Autoencoder as Autoencoder
    from weirdonetworks.nets.small.parallel import Parallel as Parallel
    from weirdonetworks.nets.small.pixel_attention import (
        PixelAttention as PixelAttention,
        PixelTransformer as PixelTransformer,
    )
    from weirdonetworks.nets.small.quantised import QuantisedMLP as QuantisedMLP
    from weirdonetworks.nets.small.soft_floor import SoftFloor as SoftFloor, softfloor as softfloor
    from weirdonetworks.nets.small.staged_networks import (
        ExpansionParallel as ExpansionParallel,
        ExpansionSerial as ExpansionSerial,
        RandomSample as RandomSample,
        Residual as Residual,
    )
    from weirdonetworks.nets.small.variational_bottleneck import VariationalBottleneck as VariationalBottleneck
    from weirdonetworks.nets.soft_equivariant import SoftEquivariant as SoftEquivariant
    from weirdonetworks.nets.synchronous import SynchronousMLP as SynchronousMLP


if not TYPE_CHECKING:  # A type checker that saw this would take every name for one that exists.
    __getattr__, __dir__ = lazy.names(__name__)
