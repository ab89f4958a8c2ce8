"""What the drivers are told, beyond what every training experiment is."""

import dataclasses

from weirdonetworks.lab import literals
from weirdonetworks.lab.config import TrainingConfig, setting
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.schedules import CubicSparsity, Sparsity, SteppedSparsity

SCOPES = ("layer", "global")
DEFAULT_FILTERS = {"MNIST_CNN": (16, 32), "CIFAR10_CNN": (32, 32, 64, 64, 128, 128)}


@dataclasses.dataclass(frozen=True)
class ModelConfig(TrainingConfig):
    """A training configuration of one of the three models.

    Raises:
      UsageError: If a layer index is out of range, or widths are given to a model that has none.
    """

    model: str = setting("MNIST_FC", "The model.", choices=("MNIST_FC", "MNIST_CNN", "CIFAR10_CNN"))
    features: tuple[int, ...] = setting((300, 100), "Widths of the hidden layers of MNIST_FC.", minimum=1)
    filters: tuple[int, ...] = setting((), "Filters of each convolution; none for the model's own.", minimum=1)
    dropout_rate: float = setting(0.0, "The share of units dropped in training.", minimum=0.0, maximum=0.99)
    masked_layer_indices: tuple[int, ...] = setting((), "The layers to mask, from 0; none for all.", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters and self.model == "MNIST_FC":
            raise UsageError(f"filters (={self.filters}) are for a convolutional model; MNIST_FC has --features.")
        for index in self.masked_layer_indices:
            self.check_layer("masked_layer_indices", index)

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        if self.model == "MNIST_FC":
            return len(self.features) + 1
        dense = {"MNIST_CNN": 2, "CIFAR10_CNN": 1}[self.model]
        return len(self.filters or DEFAULT_FILTERS[self.model]) + dense

    @property
    def masked_layers(self) -> tuple[int, ...]:
        """The indices of the layers to mask."""
        return self.masked_layer_indices or tuple(range(self.depth))

    def check_layer(self, name: str, index: int) -> None:
        """Raises UsageError unless the model has a layer of that index."""
        if not 0 <= index < self.depth:
            raise UsageError(f"{name}: layer {index} must be in [0, {self.depth}), the layers of {self.model}.")

    def model_options(self) -> dict[str, object]:
        """The model's constructor arguments."""
        widths = {"features": self.features} if self.model == "MNIST_FC" else {}
        filters = {"filters": self.filters} if self.filters else {}
        return {"dropout_rate": self.dropout_rate, **widths, **filters}


@dataclasses.dataclass(frozen=True)
class PruneConfig(ModelConfig):
    """A training configuration with a pruning schedule.

    >>> PruneConfig(epochs=10, pruning_schedule="{'1': [(2, 0.3), (5, 0.6)]}").schedules[1](5)
    0.6
    """

    sparsity: float = setting(
        0.9,
        "The share of weights to cut, once, after half of the epochs.",
        minimum=0.0,
        maximum=1.0,
        alias="pruning_rate",
    )
    pruning_schedule: str = setting(
        "",
        "When to cut, in place of that: a rising list of (finished epochs, total sparsity reached there), "
        "'[(2, 0.3), (5, 0.6), (8, 0.95)]', for all layers, or for some, \"{'1': [(5, 0.9)]}\"; "
        "or 'cubic(2, 8)': from epoch 2 to 8 up to --sparsity, as in Zhu & Gupta (2017).",
    )
    pruning_scope: str = setting("layer", "Rank weights in each layer or over all of them.", choices=SCOPES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.schedules.values())) > 1 and self.pruning_scope == "global":
            raise UsageError("pruning_scope (=global) must have one schedule for all layers.")

    @property
    def schedules(self) -> dict[int, Sparsity]:
        """The schedule of each layer that is pruned.

        Raises:
          UsageError: If the schedule is malformed, names a missing layer, or ends after the training does.
        """
        text = self.pruning_schedule.strip()
        if not text:
            once: Sparsity = SteppedSparsity((self.epochs // 2,), (self.sparsity,))
            return self._bounded(dict.fromkeys(self.masked_layers, once))
        if text.startswith("cubic"):
            span = literals.parse("pruning_schedule", text.removeprefix("cubic"))
            if not isinstance(span, tuple) or len(span) != 2 or not all(isinstance(epoch, int) for epoch in span):
                raise UsageError(f"pruning_schedule (={text}) must be cubic(begin, end) with two epochs.")
            cubic: Sparsity = CubicSparsity(self.sparsity, *span)
            return self._bounded(dict.fromkeys(self.masked_layers, cubic))
        value = literals.parse("pruning_schedule", text)
        if isinstance(value, dict):
            if not value:
                raise UsageError("pruning_schedule (={}) must name at least one layer.")
            return self._bounded({self._layer(key): _stepped(steps) for key, steps in value.items()})
        return self._bounded(dict.fromkeys(self.masked_layers, _stepped(value)))

    def _layer(self, key: object) -> int:
        try:
            index = int(str(key))
        except ValueError:
            raise UsageError(f"pruning_schedule: layer {key!r} must be a number.") from None
        self.check_layer("pruning_schedule", index)
        if index not in self.masked_layers:
            raise UsageError(f"pruning_schedule: layer {index} must be in masked_layer_indices {self.masked_layers}.")
        return index

    def _bounded(self, chosen: dict[int, Sparsity]) -> dict[int, Sparsity]:
        for schedule in chosen.values():
            if schedule.last_change >= self.epochs:
                raise UsageError(
                    f"pruning_schedule: epoch {schedule.last_change} must be below epochs (={self.epochs}): "
                    "it counts the epochs finished before."
                )
        return chosen


def _stepped(value: object) -> SteppedSparsity:
    steps = literals.as_pairs("pruning_schedule", value)
    if any(not isinstance(epoch, int) for epoch, _ in steps):
        raise UsageError(f"pruning_schedule (={value}) must name whole epochs.")
    return SteppedSparsity(tuple(int(epoch) for epoch, _ in steps), tuple(level for _, level in steps))
