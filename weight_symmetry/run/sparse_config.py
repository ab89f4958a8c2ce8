"""Settings of the driver that trains sparse from the start."""

from collections.abc import Sequence

from weight_symmetry.run.mask_config import MASK_TYPES, FixedMaskConfig
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError

UPDATERS = ("set", "rigl", "srigl", "static", "gmp")
CONSTANT_FAN_IN = "per-neuron"


class SparseTrainConfig(FixedMaskConfig):
    """A training configuration with masks that change at an interval of steps.

    >>> SparseTrainConfig(updater="srigl").mask_type, SparseTrainConfig(epochs=20).change_end(steps_per_epoch=430)
    ('per-neuron', 6450)
    """

    updater: str = setting(
        "rigl",
        "What changes the masks: set (random growth), rigl (growth by gradient), srigl (constant fan-in), static "
        "(nothing), or gmp (gradual magnitude pruning of a dense network, once an epoch).",
        choices=UPDATERS,
    )
    sparsity: float = setting(0.9, "The fraction of connections to cut.", minimum=0.0, maximum=1.0)
    layer_sparsities: tuple[float, ...] = setting(
        (), "The sparsity of each masked layer, in place of --sparsity.", minimum=0.0, maximum=1.0
    )
    mask_type: str = setting(
        "",
        f"The kind of mask to start from: {', '.join(MASK_TYPES)}; default: random, and per-neuron for srigl. gmp "
        "starts dense.",
    )
    update_interval: int = setting(100, "The number of steps between changes of the masks.", minimum=1)
    update_end: float = setting(
        0.75, "The fraction of the training after which the masks stay.", minimum=0.0, maximum=1.0
    )
    drop_fraction: float = setting(
        0.3, "The fraction of connections exchanged at first; it falls to 0 with a cosine.", minimum=0.0, maximum=1.0
    )
    min_salient: float = setting(
        0.3, "srigl ablates hidden neurons with a smaller fraction of salient connections.", minimum=0.0, maximum=1.0
    )
    correct_fan_in: bool = setting(
        False, "Scale each neuron's gradients by the root of its fan-in over the layer's mean (for batch norm)."
    )

    def __post_init__(self) -> None:
        if not self.mask_type:
            object.__setattr__(self, "mask_type", CONSTANT_FAN_IN if self.updater == "srigl" else "random")
        elif self.updater == "gmp" and self.mask_type != "random":
            raise UsageError(
                f"mask_type (={self.mask_type}) is for the other updaters: gmp starts from a dense network."
            )
        if self.layer_sparsities:  # So that the record says what is reached, and an overruled value changes no id.
            object.__setattr__(self, "sparsity", max(self.layer_sparsities))
        super().__post_init__()
        if self.updater == "srigl" and self.mask_type != CONSTANT_FAN_IN:
            raise UsageError(f"mask_type (={self.mask_type}) must be {CONSTANT_FAN_IN} for --updater=srigl.")
        self.check_highest(self.sparsity)
        if self.layer_sparsities and self.sparsity_distribution != "uniform":
            raise UsageError(
                f"sparsity_distribution (={self.sparsity_distribution}) must be uniform with --layer_sparsities, which "
                "give the distribution."
            )
        if self.layer_sparsities and self.masked_layers is not None:
            self.check_layer_count(len(self.masked_layers))
        if self.exchanges and not self.sparsity:
            raise UsageError(f"{self.given_sparsity} must be above 0 for --updater={self.updater}.")
        if self.exchanges and not self.update_end:
            raise UsageError(
                f"update_end (={self.update_end}) must be above 0 for --updater={self.updater}: pass --updater=static "
                "to train masks that stay."
            )
        if self.updater == "gmp" and self.pruning_end >= self.epochs:
            raise UsageError(
                f"update_end (={self.update_end}) must leave an epoch after the last pruning: lower it, or raise "
                f"--epochs (={self.epochs})."
            )
        if self.correct_fan_in and self.optimizer == "Adam":
            raise UsageError(
                "correct_fan_in must come with --optimizer=Momentum: Adam divides by the size of the gradients."
            )

    @property
    def sparsity_setting(self) -> str:
        """The name `sparsity`, or `layer_sparsities` where they are given."""
        return "layer_sparsities" if self.layer_sparsities else "sparsity"

    @property
    def exchanges(self) -> bool:
        """Whether connections are dropped and others grown."""
        return self.updater in ("set", "rigl", "srigl")

    @property
    def corrects_fan_in(self) -> bool:
        """Whether gradients are scaled as `Masks.wrap` does."""
        return self.correct_fan_in

    @property
    def pruning_end(self) -> int:
        """The number of epochs after which gradual pruning is done."""
        return max(1, round(self.update_end * self.epochs))

    def change_end(self, steps_per_epoch: int) -> int:
        """Returns the number of steps from which on the masks stay."""
        return max(1, round(self.update_end * self.epochs * steps_per_epoch))

    def check_model(self, shapes: Sequence[tuple[str, tuple[int, ...]]], steps_per_epoch: int) -> None:
        """Raises UsageError also if the masks would never change, or a neuron that needs a connection would have none.

        Args: as for `ModelConfig.check_model`.
        """
        super().check_model(shapes, steps_per_epoch)
        masked = [shapes[layer] for layer in self.masked_layers or range(len(shapes))]
        self.check_layer_count(len(masked))
        end = self.change_end(steps_per_epoch)
        if self.exchanges and self.update_interval >= end:
            raise UsageError(
                f"update_interval (={self.update_interval}) must be below {end}, the steps until update_end "
                f"(={self.update_end}), for --updater={self.updater}: lower it, or pass --updater=static to train "
                "masks that stay."
            )
        if self.updater == "srigl":
            self._check_fan_in(masked)

    def _check_fan_in(self, shapes: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """Raises UsageError unless each neuron of some weights keeps a connection at a constant fan-in."""
        from weight_symmetry.masks.distributions import fan_in_of, kept_of, layer_sparsities

        sparsities = layer_sparsities([shape for _, shape in shapes], self.drawn_sparsity, self.sparsity_distribution)
        for (name, shape), sparsity in zip(shapes, sparsities, strict=True):
            if not kept_of(fan_in_of(shape), sparsity):
                raise UsageError(
                    f"{self.given_sparsity} must leave each neuron of {name} ({'x'.join(map(str, shape))}) a "
                    "connection: lower it, or leave the layer dense by --masked_layer_indices."
                )

    def check_layer_count(self, count: int) -> None:
        """Raises UsageError unless the sparsities are those of `count` masked layers."""
        if self.layer_sparsities and len(self.layer_sparsities) != count:
            raise UsageError(
                f"layer_sparsities (={self.layer_sparsities}) must be {count} numbers, one for each masked layer."
            )
