"""Every public Sonnet module of the project, once: how to construct it, what it takes, and which symmetry it has.

A new module needs one entry here and a golden file (`python -m tests.conformance.update_goldens`); the suites in
`tests/conformance` then run over it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weight_symmetry.models import CIFAR10_CNN, MNIST_CNN, MNIST_FC, AsymmetricLinear
from weight_symmetry.sparse import CondensedLinear
from weirdonetworks.algebra import (
    Action,
    PermutationGroup,
    cyclic_group,
    image_dihedral,
    image_rotations,
    image_translations,
    independent,
    items,
    pixels,
    points,
    regular,
    symmetric_group,
    trivial,
)
from weirdonetworks.algebra.arrays import Ints
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.nets.averaged import Averaged, Canonicalise, FrameAverage, LocalPool, OrbitAverage, Symmetrized
from weirdonetworks.nets.frames import TurnFrame
from weirdonetworks.nets.group_convolution import GroupConv2D, GroupPool, LiftingConv2D
from weirdonetworks.nets.learned_augmentation import LearnedAugmentation
from weirdonetworks.nets.polynomial.invariant import InvariantMLP
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialLinear, PolynomialMLP, QuadraticMLP
from weirdonetworks.nets.polynomial.quadratic import ConstrainedQuadratic, QuadraticLayer
from weirdonetworks.nets.sets.fourier_set import FourierSetEncoder
from weirdonetworks.nets.sets.free_abelian import FreeAbelianEncoder
from weirdonetworks.nets.sets.permutation import (
    PermutationEquivariantLinear,
    PermutationEquivariantPolynomial,
    PermutationEquivariantQuadratic,
    PermutationInvariantLinear,
    PermutationInvariantPolynomial,
    PermutationInvariantQuadratic,
)
from weirdonetworks.nets.sets.pooled_sets import DeepSets, PointNet, RelationNetwork
from weirdonetworks.nets.sets.set_attention import SetAttention, SetTransformer
from weirdonetworks.nets.shared import EquivariantLinear
from weirdonetworks.nets.small.activation_mlp import AllActivations
from weirdonetworks.nets.small.activations import GroupedSoftmax, ScaledTanh, UnitConvolution, unit_order
from weirdonetworks.nets.small.comparative_mlp import ComparativeMLP
from weirdonetworks.nets.small.convolution_networks import ConvolutionNetwork, LeNet
from weirdonetworks.nets.small.image_autoencoder import Autoencoder
from weirdonetworks.nets.small.parallel import Parallel
from weirdonetworks.nets.small.pixel_attention import PixelAttention, PixelTransformer
from weirdonetworks.nets.small.quantised import QuantisedMLP
from weirdonetworks.nets.small.soft_floor import SoftFloor
from weirdonetworks.nets.small.staged_networks import ExpansionParallel, ExpansionSerial, RandomSample, Residual
from weirdonetworks.nets.small.variational_bottleneck import VariationalBottleneck
from weirdonetworks.nets.soft_equivariant import SoftEquivariant
from weirdonetworks.nets.synchronous import SynchronousMLP


@dataclasses.dataclass(frozen=True)
class Network:
    """A module that maps a batch of one tensor to another.

    Attributes:
      module: Its class.
      shape: The shape of its inputs, batch first.
      options: The constructor's arguments; small sizes make fast tests.
      randomness: Further arguments, or others in their place, with which it is random in training.
      dtype: The type of its inputs.
      takes: Which of `is_training` and `seed` its call takes beside the inputs, as keywords.
      free_axes: The axes after the first whose size it need not know.
      flattens: Whether it takes inputs of every rank from 2 on.
      elementwise: Whether it takes inputs of every shape.
      float64: Whether it computes in float64 too.
      wraps: Makes the network, new each time, that the constructor takes first.
      action_in: How a group acts on its inputs, such that `F(g x) = g F(x)` whatever the weights; None if it has no
        such symmetry, for which there is a `reason`.
      action_out: How the group acts on its outputs: `trivial()` for an invariant network.
      reason: Why it has no symmetry, in a word.
    """

    module: type[Any]
    shape: tuple[int, ...]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    randomness: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dtype: tf.DType = tf.float32
    takes: tuple[str, ...] = ()
    free_axes: tuple[int, ...] = ()
    flattens: bool = False
    elementwise: bool = False
    float64: bool = True
    wraps: Callable[[], Any] | None = None
    action_in: Action | None = None
    action_out: Action | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """The class's name; unique in the registry."""
        return self.module.__name__

    def construct(self, is_random: bool = False) -> snt.Module:
        """Constructs the module; it has no variables before its first call."""
        wrapped = () if self.wraps is None else (self.wraps(),)
        return self.module(*wrapped, **{**self.options, **(self.randomness if is_random else {})})

    def build(self, is_random: bool = False) -> snt.Module:
        """Constructs the module and creates its variables."""
        module = self.construct(is_random)
        self.call(module, self.inputs())
        return module

    def inputs(self, batch: int | None = None, seed: int = 0) -> tf.Tensor:
        """Draws inputs, the number in `shape` unless `batch` says otherwise."""
        shape = (self.shape[0] if batch is None else batch, *self.shape[1:])
        rng = np.random.default_rng(seed)
        values = rng.normal(size=shape) if self.dtype.is_floating else rng.integers(0, 2, shape)
        return tf.constant(values, self.dtype)

    def call(
        self, module: Any, inputs: tf.Tensor, is_training: bool = False, seed: tf.Tensor | tuple[int, int] = (1, 2)
    ) -> tf.Tensor:
        """Calls a module of this entry."""
        keywords = {"is_training": is_training, "seed": tf.convert_to_tensor(seed, tf.int32)}
        return module(inputs, **{name: keywords[name] for name in self.takes})


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A module that moves variables: `initialize(parameters)`, then `apply(updates, parameters, learning_rate)`."""

    module: type[Any]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The class's name; unique in the registry."""
        return self.module.__name__

    def build(self, parameters: list[tf.Variable]) -> Any:
        """Constructs the optimizer and creates its slots."""
        optimizer = self.module(**self.options)
        optimizer.initialize(parameters)
        return optimizer

    @staticmethod
    def parameters() -> list[tf.Variable]:
        """Makes a matrix and a vector to optimize."""
        return [
            tf.Variable([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]], name="w"),
            tf.Variable([0.1, -0.2], name="b"),
        ]

    @staticmethod
    def updates(seed: int) -> list[tf.Tensor]:
        """Draws gradients of `parameters`."""
        rng = np.random.default_rng(seed)
        return [tf.constant(rng.normal(size=shape), tf.float32) for shape in ((3, 2), (2,))]


def within_groups(order: npt.ArrayLike, size: int) -> PermutationGroup:
    """The permutations of units, taken in an order, that take groups of so many neighbours to groups."""
    places = np.asarray(order)
    exchange, turn, shift = (np.arange(len(places)) for _ in range(3))
    exchange[:2], turn[:size] = [1, 0], np.roll(turn[:size], -1)
    return conjugate(order, [exchange, turn, np.roll(shift, -size)])


def conjugate(order: npt.ArrayLike, permutations: list[Ints]) -> PermutationGroup:
    """The group of permutations of units that move their places in an order as some permutations do."""
    places = np.asarray(order)
    generators = np.empty((len(permutations), len(places)), np.intp)
    generators[:, places] = places[np.stack(permutations)]
    return PermutationGroup(generators)


MODEL = ("is_training", "seed")
DENSE = {"reason": "dense"}
SETS = {"action_in": items(5), "action_out": items(5)}
POOLED_SETS = {"action_in": items(5), "action_out": trivial()}
SINGLY = {"action_in": points(symmetric_group(3)), "action_out": points(symmetric_group(3))}
TURNED = {"action_in": points(image_rotations(3, 3)), "action_out": trivial()}
TURNS, SQUARE = image_rotations(2, 2), image_dihedral(2, 2)
MIRRORED = independent(items(PermutationGroup([[3, 2, 1, 0]])), items(PermutationGroup([[2, 1, 0]])))
RING = points(conjugate(unit_order(6, 1), [np.roll(np.arange(6), -1)]))
GROUPED, SCATTERED = (points(within_groups(unit_order(6, seed), 3)) for seed in (None, 1))


DROPOUT = {"dropout_rate": 0.4}
NETWORKS = (
    Network(MNIST_FC, (4, 6, 6, 1), {"features": (8, 5)}, DROPOUT, takes=MODEL, flattens=True, **DENSE),
    Network(
        MNIST_CNN,
        (4, 8, 8, 1),
        {"filters": (3, 4), "dense_size": 6, "kernel_size": 3},
        DROPOUT,
        takes=MODEL,
        float64=False,  # Sonnet's batch norm of images is a kernel for float32.
        **DENSE,
    ),
    Network(AsymmetricLinear, (4, 3, 2, 1), {"output_size": 3, "fixed_share": 0.3}, flattens=True, **DENSE),
    Network(CondensedLinear, (4, 3), {"mask": [[1, 0], [1, 1], [0, 1]], "kernels": False}, **DENSE),
    Network(PolynomialLinear, (4, 3, 3, 1), {"output_size": 3, "degree": 3}, flattens=True, **DENSE),
    Network(PolynomialMLP, (4, 3, 2, 1), {"output_sizes": (5, 2), "degree": 4}, flattens=True, **DENSE),
    Network(QuadraticMLP, (4, 8), {"output_sizes": (5, 2)}, flattens=True, **DENSE),
    Network(
        InvariantMLP,
        (4, 3, 3, 1),
        {"action": image_rotations(3, 3), "degree": 2, "output_sizes": (5, 2)},
        flattens=True,
        **TURNED,
    ),
    Network(
        ConvolutionNetwork,
        (4, 8, 7, 2),
        {"num_classes": 3, "filters": (2, 3), "dense_size": 5, "dropout_rates": (0.0, 0.0)},
        {"dropout_rates": (0.4, 0.3)},
        takes=MODEL,
        **DENSE,
    ),
    Network(Autoencoder, (4, 8, 5, 2), {"code_size": 3}, **DENSE),
    Network(LeNet, (4, 12, 13, 2), {"num_classes": 3}, **DENSE),
    Network(PixelAttention, (3, 4, 3, 2), {"size": 4, "window": 1}, action_in=MIRRORED, action_out=MIRRORED),
    Network(PixelTransformer, (3, 4, 3, 2), {"num_classes": 3, "size": 4}, reason="positions"),
    Network(ScaledTanh, (4, 3), elementwise=True, **SINGLY),
    Network(SoftFloor, (4, 3), {"factor": 0.3}, elementwise=True, **SINGLY),
    Network(
        QuantisedMLP,
        (4, 3, 2, 1),
        {"output_sizes": (5, 4, 2), "levels": 3},
        takes=("is_training",),
        flattens=True,
        **DENSE,
    ),
    Network(
        VariationalBottleneck,
        (4, 3, 2),
        {"output_size": 3, "with_noise": False},
        {"with_noise": True},
        takes=MODEL,
        flattens=True,
        **DENSE,
    ),
    Network(
        ComparativeMLP,
        (4, 2, 3, 3, 1),
        {"code_sizes": (6, 5), "head_sizes": (4,)},
        flattens=True,
        action_in=items(2),
        action_out=trivial(),
    ),
    Network(GroupedSoftmax, (4, 6), {"group_size": 3, "seed": 1}, action_in=SCATTERED, action_out=SCATTERED),
    Network(UnitConvolution, (4, 6), {"width": 3, "seed": 1}, action_in=RING, action_out=RING),
    Network(
        Parallel,
        (4, 6),
        {"branches": {"same": tf.identity, "softmax": GroupedSoftmax(3)}, "reduce": "sum"},
        action_in=GROUPED,
        action_out=GROUPED,
    ),
    Network(AllActivations, (4, 3, 2, 1), {"hidden_sizes": (8, 16), "num_classes": 3}, flattens=True, **DENSE),
    *(
        Network(
            module,
            (4, 5, 4, 1),
            {"num_classes": 3, "stages": 2, "size": 5, "dropout_rate": 0.0, **sampling},
            {"dropout_rate": 0.4},
            takes=MODEL,
            flattens=True,
            **DENSE,
        )
        for module, sampling in (
            (ExpansionSerial, {}),
            (ExpansionParallel, {}),
            (Residual, {}),
            (RandomSample, {"branches": 2, "sample_size": 7}),
        )
    ),
    Network(PermutationEquivariantLinear, (4, 5, 3), {"output_size": 2}, free_axes=(1,), **SETS),
    Network(PermutationEquivariantQuadratic, (4, 5, 3), {"output_size": 2}, free_axes=(1,), **SETS),
    Network(PermutationEquivariantPolynomial, (4, 5, 3), {"output_size": 2, "degree": 4}, free_axes=(1,), **SETS),
    Network(PermutationInvariantLinear, (4, 5, 3), {"output_size": 2}, free_axes=(1,), **POOLED_SETS),
    Network(PermutationInvariantQuadratic, (4, 5, 3), {"output_size": 2}, free_axes=(1,), **POOLED_SETS),
    Network(PermutationInvariantPolynomial, (4, 5, 3), {"output_size": 2, "degree": 4}, free_axes=(1,), **POOLED_SETS),
    Network(QuadraticLayer, (4, 2, 2), {"output_size": 3}, flattens=True, **DENSE),
    Network(
        ConstrainedQuadratic,
        (4, 2),
        {"output_size": 2, "constraints": [[1, 0, 0, 0, 1, 1]]},
        flattens=True,
        reason="constraints",
    ),
    Network(DeepSets, (4, 5, 3), {"item_sizes": (6, 5), "head_sizes": (4, 2)}, free_axes=(1,), **POOLED_SETS),
    Network(
        PointNet,
        (4, 5, 3),
        {
            "item_sizes": (4,),
            "feature_sizes": (6,),
            "head_sizes": (4, 2),
            "input_transform": True,
            "feature_transform": True,
            "transform_item_sizes": (5,),
            "transform_head_sizes": (4,),
        },
        free_axes=(1,),
        **POOLED_SETS,
    ),
    Network(RelationNetwork, (4, 5, 3), {"pair_sizes": (6, 5), "head_sizes": (4, 2)}, free_axes=(1,), **POOLED_SETS),
    Network(
        SetAttention,
        (4, 5, 3),
        # After a norm the outputs' mean square is a constant, whose gradient is rounding alone.
        {"size": 6, "num_heads": 2, "num_inducing": 2, "with_norm": False},
        free_axes=(1,),
        **SETS,
    ),
    Network(
        SetTransformer,
        (4, 5, 3),
        {"size": 6, "head_sizes": (4, 2), "num_blocks": 2, "num_heads": 2},
        free_axes=(1,),
        **POOLED_SETS,
    ),
    Network(
        Symmetrized,
        (4, 3, 2),
        wraps=lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 2])]),
        action_in=items(3),
        action_out=trivial(),
    ),
    Network(
        FourierSetEncoder,
        (4, 5, 2),
        {"num_frequencies": 6, "input_size": 2, "kind": "wavelet"},
        free_axes=(1,),
        **POOLED_SETS,
    ),
    Network(FreeAbelianEncoder, (4, 5, 2), {"generators": 4, "output_size": 3}, free_axes=(1,), **POOLED_SETS),
    Network(
        Averaged,
        (4, 3, 3, 1),
        {"elements": image_rotations(3, 3), "output": "equivariant"},
        flattens=True,
        wraps=lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 2])]),
        action_in=pixels(),
        action_out=regular(TURNS, right=True),
    ),
    Network(
        OrbitAverage,
        (4, 3, 3, 1),
        {"action": image_rotations(3, 3), "pooling": "moments"},
        {"limit": 2, "samples": 2, "resample": True},
        takes=MODEL,
        flattens=True,
        wraps=lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 2])]),
        **TURNED,
    ),
    Network(
        SynchronousMLP,
        (4, 3, 3, 1),
        {"action": image_rotations(3, 3), "shared_sizes": (4, 3), "head_sizes": (5, 2)},
        {"limit": 2, "samples": 2, "resample": True},
        takes=MODEL,
        flattens=True,
        **TURNED,
    ),
    Network(
        EquivariantLinear,
        (4, 6, 2),
        {"action_in": items(cyclic_group(6)), "channels": 3},
        flattens=True,
        action_in=items(cyclic_group(6)),
        action_out=items(cyclic_group(6)),
    ),
    Network(
        LiftingConv2D,
        (2, 5, 5, 2),
        {"filters": 2, "kernel_size": 3, "group": SQUARE, "stride": 2},
        action_in=pixels(SQUARE),
        action_out=pixels(SQUARE) * regular(SQUARE),
    ),
    Network(
        GroupConv2D,
        (2, 5, 5, 4, 2),
        {"filters": 2, "kernel_size": 3},
        action_in=pixels(TURNS) * regular(TURNS),
        action_out=pixels(TURNS) * regular(TURNS),
    ),
    Network(
        GroupPool, (2, 3, 3, 4, 2), {"over": "all"}, action_in=pixels(TURNS) * regular(TURNS), action_out=trivial()
    ),
    Network(
        SoftEquivariant,
        (4, 3, 3, 1),
        {"strength": 0.1},
        flattens=True,
        wraps=lambda: EquivariantLinear(image_rotations(3, 3), channels=2),
        reason="soft",
    ),
    Network(
        LearnedAugmentation,
        (4, 4, 5, 2),
        {"strength": 0.1, "generators": ("up", "rotation", "zoom"), "width": 0.3, "samples": 3, "resample": False},
        {"resample": True},
        takes=MODEL,
        wraps=lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 2])]),
        reason="sampled",
    ),
    Network(
        LocalPool,
        (4, 3, 3, 1),
        {"action": image_translations(3, 3), "radius": 1},
        flattens=True,
        wraps=lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 2])]),
        reason="neighbourhood",
    ),
    *(
        Network(
            module,
            (4, 4, 4, 1),
            {"frame": TurnFrame(SQUARE)},
            wraps=lambda: snt.Sequential([snt.Flatten(), snt.nets.MLP([6, 2])]),
            action_in=pixels(SQUARE),
            action_out=trivial(),
        )
        for module in (Canonicalise, FrameAverage)
    ),
    Network(CIFAR10_CNN, (4, 8, 8, 3), {"filters": (3, 4, 5, 6)}, DROPOUT, takes=MODEL, **DENSE),
)
OPTIMIZERS = (
    Optimizer(Adam, {"weight_decay": 0.1}),
    Optimizer(Momentum, {"weight_decay": 0.1}),
)


def name(entry: Network | Optimizer) -> str:
    """Names an entry in the ids of tests."""
    return entry.name
