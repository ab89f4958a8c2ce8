"""Settings of the pruning driver."""

from weight_symmetry.run.config import ModelConfig
from weight_symmetry.updaters.schedules import SCOPES, CubicSparsity, Sparsity, SteppedSparsity
from weirdonetworks.lab import literals
from weirdonetworks.lab.config import setting
from weirdonetworks.lab.errors import UsageError

ABLATIONS = ("none", "reinit", "shuffle_weights", "shuffle_mask", "symmetric_shuffle", "asymmetric_shuffle", "aligned")


class PruneConfig(ModelConfig):
    """A training configuration with a pruning schedule.

    >>> PruneConfig(epochs=10, pruning_schedule="{'1': [(2, 0.3), (5, 0.6)]}").schedules[1](5)
    0.6
    """

    sparsity: float = setting(
        0.9,
        "The fraction of weights to prune, once, after half of the epochs.",
        minimum=0.0,
        maximum=1.0,
        alias="pruning_rate",
    )
    pruning_schedule: str = setting(
        "",
        "Prune by this schedule instead: a rising list of (finished epochs, total sparsity), "
        "'[(2, 0.3), (5, 0.6), (8, 0.95)]', for all layers, or layer by layer, \"{'1': [(5, 0.9)]}\"; "
        "or 'cubic(2, 8)': from epoch 2 to 8 up to --sparsity (Zhu & Gupta 2017).",
    )
    pruning_scope: str = setting("layer", "Rank weights within each layer or over all layers.", choices=SCOPES)
    rewind_epoch: int = setting(
        -1,
        "After each pruning, rewind to the weights after this many epochs; -1: do not rewind.",
        minimum=-1,
    )
    ablation: str = setting(
        "none",
        "The control that changes a ticket's weights or mask (see docs/how-to/weight-symmetry.md).",
        choices=ABLATIONS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen = self._distinct()
        # So that the record says what the schedule reaches, and a sparsity that it overrules changes no id.
        object.__setattr__(self, "sparsity", max(schedule(self.epochs) for schedule in chosen))
        if self.ablation != "none" and self.rewind_epoch < 0:
            raise UsageError(
                f"ablation (={self.ablation}) must come with --rewind_epoch=0 or more: it changes a ticket."
            )
        if self.ablation == "aligned" and len(self.pruning_epochs) > 1:
            raise UsageError(
                f"ablation (=aligned) must come with one pruning, and the schedule has {len(self.pruning_epochs)}: the "
                "first carries the mask over to another network."
            )
        if self.rewind_epoch > 0 and any(schedule(self.rewind_epoch - 1) > 0 for schedule in chosen):
            raise UsageError(f"rewind_epoch (={self.rewind_epoch}) must not come after the first pruning.")
        if len(chosen) > 1 and self.pruning_scope == "global":
            raise UsageError("pruning_scope (=global) must have one schedule for all layers.")

    @property
    def schedules(self) -> dict[int, Sparsity] | Sparsity:
        """The schedule of each layer that is pruned; one for all layers of a model of the user's own.

        Raises:
          UsageError: If the schedule is malformed, names a missing layer, or ends after the training does.
        """
        text = self.pruning_schedule.strip()
        chosen: Sparsity
        if not text:
            chosen = SteppedSparsity((self.epochs // 2,), (self._wanted,))
        elif text.startswith("cubic"):
            try:
                span = literals.parse("pruning_schedule", text.removeprefix("cubic") or "()")
            except UsageError:
                span = None
            if not isinstance(span, tuple) or len(span) != 2 or not all(isinstance(epoch, int) for epoch in span):
                raise UsageError(f"pruning_schedule (={text}) must be cubic(begin, end) with two epochs.")
            chosen = CubicSparsity(self._wanted, *span)
        elif isinstance(value := literals.parse("pruning_schedule", text), dict):
            if not value:
                raise UsageError("pruning_schedule (={}) must name at least one layer.")
            layers = [self._layer(key) for key in value]
            if len(set(layers)) < len(layers):
                raise UsageError(f"pruning_schedule (={text}) must name each layer once.")
            own: dict[int, Sparsity] = dict(zip(layers, map(_stepped, value.values()), strict=True))
            for schedule in own.values():
                self._check_end(schedule)
            return own
        else:
            chosen = _stepped(value)
        self._check_end(chosen)
        return chosen if self.masked_layers is None else dict.fromkeys(self.masked_layers, chosen)

    @property
    def pruning_epochs(self) -> list[int]:
        """The numbers of finished epochs at which weights are pruned, rising."""
        chosen = self._distinct()
        return [
            epoch
            for epoch in range(self.epochs)
            if any(schedule(epoch) > (schedule(epoch - 1) if epoch else 0.0) for schedule in chosen)
        ]

    def position(self, epoch: int) -> tuple[int, int]:
        """Returns the epoch of the learning-rate schedule, which restarts where weights are rewound, and its length."""
        if self.rewind_epoch < 0:
            return super().position(epoch)
        bounds = [0, *self.pruning_epochs, self.epochs]
        start = max(bound for bound in bounds if bound <= epoch)
        end = min(bound for bound in bounds if bound > epoch)
        rewound = self.rewind_epoch if start in self.pruning_epochs else 0
        return epoch - start + rewound, end - start + rewound

    @property
    def warning(self) -> str:
        """One line if, without a schedule, weights are pruned before any training, as with one epoch; else empty."""
        if self.pruning_schedule.strip() or self.pruning_epochs != [0]:
            return ""
        return f"epochs (={self.epochs}) prunes before any training: raise --epochs, or set --pruning_schedule."

    @property
    def _wanted(self) -> float:
        """The sparsity as given, which must leave something to train."""
        if self.sparsity == 1:
            at = self.epochs // 2
            raise UsageError(
                f"sparsity (={self.sparsity}) must be below 1, since 1 leaves no weight to train; "
                f"--pruning_schedule='[({at}, 1.0)]' prunes all of them nonetheless."
            )
        return self.sparsity

    def _layer(self, key: object) -> int:
        try:
            index = int(str(key))
        except ValueError:
            raise UsageError(f"pruning_schedule: layer {key!r} must be a number.") from None
        self.check_layer("pruning_schedule", index)
        if self.masked_layers is not None and index not in self.masked_layers:
            raise UsageError(f"pruning_schedule: layer {index} must be in masked_layer_indices {self.masked_layers}.")
        return index

    def _distinct(self) -> set[Sparsity]:
        """The different schedules."""
        chosen = self.schedules
        return set(chosen.values()) if isinstance(chosen, dict) else {chosen}

    def _check_end(self, schedule: Sparsity) -> None:
        if schedule.last_change >= self.epochs:
            raise UsageError(
                f"pruning_schedule: epoch {schedule.last_change} must be below epochs (={self.epochs}): "
                "it counts the epochs finished before."
            )


def _stepped(value: object) -> SteppedSparsity:
    steps = literals.as_pairs("pruning_schedule", value)
    if any(not isinstance(epoch, int) for epoch, _ in steps):
        raise UsageError(f"pruning_schedule (={value}) must name whole epochs.")
    return SteppedSparsity(tuple(int(epoch) for epoch, _ in steps), tuple(level for _, level in steps))
