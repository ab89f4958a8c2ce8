"""Settings of the drivers that draw a mask before training."""

import abc
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Self

from weight_symmetry.run.config import ModelConfig
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records.tables import counted

KEEPS_INPUTS = "per-neuron-no-input-ablation"
MASK_TYPES = ("symmetric", "random", "per-neuron", KEEPS_INPUTS, "asymmetric", "grouped", "whole-neurons")
DISTRIBUTIONS = ("uniform", "erdos-renyi", "erdos-renyi-kernel")


class FixedMaskConfig(ModelConfig, abc.ABC):
    """A training configuration with a mask drawn before training."""

    mask_type: str = setting("random", f"The kind of mask: {', '.join(MASK_TYPES)}.")
    mask_randomseed: int = setting(42, "The seed of the mask.")
    sparsity_distribution: str = setting(
        "uniform", "How the sparsity is distributed over layers.", choices=DISTRIBUTIONS
    )
    group_size: int = setting(
        0,
        "For --mask_type=grouped: the greatest number of neurons that share their inputs; 0: as many as reach all "
        "inputs.",
        minimum=0,
        default_affects="nothing",
    )

    def __post_init__(self) -> None:
        for name in ("mask_type", "sparsity_distribution"):
            object.__setattr__(self, name, getattr(self, name).replace("_", "-"))
        super().__post_init__()
        if self.mask_type not in MASK_TYPES:
            raise UsageError(f"mask_type (={self.mask_type}) must be one of {', '.join(MASK_TYPES)}.")
        if self.group_size and self.mask_type != "grouped":
            raise UsageError(f"group_size (={self.group_size}) is for --mask_type=grouped: leave it out.")
        if self.mask_type == "whole-neurons" and not self.masked_layer_indices:
            # In the field itself, so that the record and the run's id say it.
            object.__setattr__(self, "masked_layer_indices", self._hidden_layers())

    def _hidden_layers(self) -> tuple[int, ...]:
        """The indices of all layers but the outputs', of which no neuron may be cut."""
        if self.num_layers is None:
            raise UsageError(
                f"mask_type (=whole-neurons) cuts neurons, also outputs of {self.model}: pass --masked_layer_indices "
                "with those of its hidden layers."
            )
        if self.num_layers == 1:
            raise UsageError(
                f"mask_type (=whole-neurons) cuts neurons, and this {self.model} has only outputs: choose another "
                "--mask_type."
            )
        return tuple(range(self.num_layers - 1))

    @property
    @abc.abstractmethod
    def sparsity_setting(self) -> str:
        """The name of the setting that gives the sparsity."""

    @property
    def drawn_sparsity(self) -> float | tuple[float, ...]:
        """The fraction of connections to mask, or that of each masked layer."""
        given: float | tuple[float, ...] = getattr(self, self.sparsity_setting)
        return given

    @property
    def given_sparsity(self) -> str:
        """The setting that gives the sparsity with its value, for messages."""
        return f"{self.sparsity_setting} (={getattr(self, self.sparsity_setting)})"

    def check_highest(self, highest: float) -> None:
        """Raises UsageError if no masks of the type can be drawn with the highest sparsity that a setting gives."""
        if not highest and self.mask_type == "asymmetric":
            raise UsageError(
                f"{self.given_sparsity} must be above 0 for --mask_type=asymmetric, in which neurons differ by the "
                "inputs that they keep."
            )
        if highest == 1 and self.mask_type != KEEPS_INPUTS:
            raise UsageError(
                f"{self.given_sparsity} must be below 1, since 1 leaves no weight to train: lower it, or pass "
                f"--mask_type={KEEPS_INPUTS}, which keeps a connection of every input."
            )

    def trial(self, number: int) -> Self:
        """Returns the configuration of a trial, with a mask and weights of its own."""
        return dataclasses.replace(super().trial(number), mask_randomseed=self.mask_randomseed + number)


class ShuffledMaskConfig(FixedMaskConfig):
    """A mask of a given sparsity."""

    mask_sparsity: float = setting(0.9, "The fraction of connections to mask.", minimum=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_highest(self.mask_sparsity)

    @property
    def sparsity_setting(self) -> str:
        """The name `mask_sparsity`."""
        return "mask_sparsity"


class RandomMaskConfig(FixedMaskConfig):
    """A mask of a sparsity drawn from a range."""

    sparsity_range: tuple[float, ...] = setting(
        (0.5, 0.99), "The sparsity is drawn uniformly between these two numbers.", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sparsity_range) != 2 or self.sparsity_range[0] > self.sparsity_range[1]:
            raise UsageError(f"sparsity_range (={self.sparsity_range}) must be two numbers, the lower one first.")
        self.check_highest(self.sparsity_range[1])

    @property
    def sparsity_setting(self) -> str:
        """The name `sparsity_range`."""
        return "sparsity_range"

    @property
    def drawn_sparsity(self) -> float:
        """The sparsity that the mask's seed draws from the range."""
        from weirdonetworks.lab import seeds

        low, high = self.sparsity_range
        return float(seeds.generator(self.mask_randomseed, "sparsity").uniform(low, high))


class FixedParamConfig(ShuffledMaskConfig):
    """A mask of a given sparsity on an MNIST_FC of a given depth and about a given number of weights.

    The hidden widths are l, l a, l a^2, ... for the depth multiplier a, and the first width l the one whose network's
    number of weights, those to the outputs counted and the masked ones too, comes nearest to `param_count`.
    """

    param_count: int = setting(100_000, "The approximate number of weights, masked ones included.", minimum=1)
    depth: int = setting(2, "The number of hidden layers.", minimum=1)
    depth_multiplier: float = setting(2.0, "The ratio of each hidden width to the one before.", minimum=0.0)
    features: tuple[int, ...] = setting((), "Leave out: the widths follow from --param_count.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model != "MNIST_FC":
            raise UsageError(f"model (={self.model}) must be MNIST_FC, whose widths can be chosen.")

    @property
    def num_layers(self) -> int:
        """The number of layers with weights: the hidden ones and the output."""
        return self.depth + 1

    def fitted(self, image_size: int, classes: int) -> Self:
        """Returns the configuration with `features` set to the chosen widths.

        Raises:
          UsageError: If other widths were given, or as `widths`.
        """
        chosen = self.widths(image_size, classes)
        if self.features not in ((), chosen):
            raise UsageError(
                f"features (={self.features}) must not be given, since param_count, depth and depth_multiplier choose "
                f"{chosen}: leave --features out, or use shuffled_mask, which accepts it."
            )
        return dataclasses.replace(self, features=chosen)

    def widths(self, image_size: int, classes: int) -> tuple[int, ...]:
        """Chooses the hidden widths whose number of weights is nearest to `param_count`.

        Raises:
          UsageError: If even the narrowest network has more than twice as many weights.
        """
        grown = [self._widths(first) for first in range(1, self._widest(image_size, classes) + 1)]
        chosen = min(grown, key=lambda widths: abs(count_weights((image_size, *widths, classes)) - self.param_count))
        count = count_weights((image_size, *chosen, classes))
        if count > 2 * self.param_count:
            raise UsageError(
                f"param_count (={self.param_count}) is too small: the narrowest network of depth (={self.depth}) "
                f"has {counted(count, 'weight')}."
            )
        return chosen

    def _widths(self, first: int) -> tuple[int, ...]:
        return tuple(max(1, int(first * self.depth_multiplier**layer)) for layer in range(self.depth))

    def _widest(self, image_size: int, classes: int) -> int:
        """The first width at which the network has too many weights."""
        first = 1
        while count_weights((image_size, *self._widths(first), classes)) < self.param_count:
            first *= 2
        return first


def count_weights(sizes: Sequence[int]) -> int:
    """Counts the weights of a dense network, from the sizes of its layers, the input's first.

    >>> count_weights((784, 300, 100, 10))
    266200
    """
    return sum(before * after for before, after in itertools.pairwise(sizes))
