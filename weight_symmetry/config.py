"""Settings of all drivers: the model, its initialisation and the layers to mask."""

import dataclasses
from typing import Self

from weirdonetworks.lab.config import RunOptions, TrainingConfig, TrialSettings, setting
from weirdonetworks.lab.errors import UsageError

SCHEMES = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform")
DEFAULT_FILTERS = {"MNIST_CNN": (16, 32), "CIFAR10_CNN": (32, 32, 64, 64, 128, 128)}


@dataclasses.dataclass(frozen=True)
class ModelConfig(TrainingConfig):
    """A training configuration of one of the three models.

    Raises:
      UsageError: If a layer index is out of range or repeated, or `filters` is given for MNIST_FC.
    """

    model: str = setting("MNIST_FC", "The model.", choices=("MNIST_FC", "MNIST_CNN", "CIFAR10_CNN"))
    features: tuple[int, ...] = setting((300, 100), "Widths of the hidden layers of MNIST_FC.", minimum=1)
    filters: tuple[int, ...] = setting((), "Filters of each convolution; empty: the model's default.", minimum=1)
    init: str = setting("he_normal", "The initialiser; fans count the unmasked connections.", choices=SCHEMES)
    dropout_rate: float = setting(0.0, "The probability of dropping a unit in training.", minimum=0.0, maximum=0.99)
    masked_layer_indices: tuple[int, ...] = setting((), "Indices of the layers to mask, from 0; empty: all.", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters and self.model == "MNIST_FC":
            raise UsageError(f"filters (={self.filters}) are for a convolutional model; MNIST_FC has --features.")
        for index in self.masked_layer_indices:
            self.check_layer("masked_layer_indices", index)
        if len(set(self.masked_layer_indices)) < len(self.masked_layer_indices):
            raise UsageError(f"masked_layer_indices (={self.masked_layer_indices}) must name each layer once.")
        object.__setattr__(self, "masked_layer_indices", tuple(sorted(self.masked_layer_indices)))

    @property
    def num_layers(self) -> int:
        """The number of layers with weights."""
        if self.model == "MNIST_FC":
            return len(self.features) + 1
        dense = {"MNIST_CNN": 2, "CIFAR10_CNN": 1}[self.model]
        return len(self.filters or DEFAULT_FILTERS[self.model]) + dense

    @property
    def masked_layers(self) -> tuple[int, ...]:
        """The indices of the layers to mask."""
        return self.masked_layer_indices or tuple(range(self.num_layers))

    @property
    def warning(self) -> str:
        """One line on a setting that is probably a mistake, with the remedy; empty if there is none."""
        return ""

    def check_layer(self, name: str, index: int) -> None:
        """Raises UsageError unless the model has a layer of that index."""
        if not 0 <= index < self.num_layers:
            raise UsageError(f"{name}: layer {index} must be in [0, {self.num_layers}), the layers of {self.model}.")

    def trial(self, number: int) -> Self:
        """Returns the configuration of a trial: every seed raised by the trial's number."""
        return dataclasses.replace(self, random_seed=self.random_seed + number)

    def fitted(self, image_size: int, classes: int) -> Self:
        """Returns the configuration with the settings that depend on the data filled in; here unchanged."""
        del image_size, classes
        return self

    def position(self, epoch: int) -> tuple[int, int]:
        """Returns the epoch of the learning-rate schedule after `epoch` finished ones, and the schedule's length."""
        return epoch, self.epochs

    def model_options(self) -> dict[str, object]:
        """Returns the model's constructor arguments."""
        widths = {"features": self.features} if self.model == "MNIST_FC" else {}
        filters = {"filters": self.filters} if self.filters else {}
        return {"dropout_rate": self.dropout_rate, **widths, **filters}


@dataclasses.dataclass(frozen=True)
class TrialOptions(RunOptions, TrialSettings):
    """Run options of a driver that can train several masks and seeds in one process."""
