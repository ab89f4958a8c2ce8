"""Settings of all drivers: the model, its initialisation and the layers to mask."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Self

from weight_symmetry.models.widths import FEATURES, FILTERS, layer_sizes
from weirdonetworks.lab.config import RunOptions, StudyConfig, TrainingConfig, TrainingTrials, setting
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files

MODELS = ("MNIST_FC", "MNIST_CNN", "CIFAR10_CNN")
INITS = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "own")
LARGEST_LAYER = 2**31  # Weights: 8 GB, with their gradient and Adam's two moments 32 GB.
SIZES = ("features", "filters", "num_classes", "dense_size", "kernel_size")  # Options of the models that are sizes.


class ModelConfig(TrainingConfig):
    """A training configuration of one of the three models, or of the user's own.

    Raises:
      UsageError: If a layer index is out of range or repeated, or an option of a model is given to another.
    """

    model: str = setting(
        "MNIST_FC",
        f"The model: {', '.join(MODELS)}, or package.module:function, which returns a Sonnet or Keras model.",
    )
    model_options: str = setting(
        "", "Keyword arguments of the model or function, in JSON: '{\"depth\": 3}'.", default_affects="nothing"
    )
    features: tuple[int, ...] = setting(FEATURES, "Widths of the hidden layers of MNIST_FC.", minimum=1)
    filters: tuple[int, ...] = setting((), "Filters of each convolution; empty: the model's default.", minimum=1)
    init: str | None = setting(
        None,
        "The initialiser, whose fans count the unmasked connections, or own: the values that the model comes with; "
        "default: he_normal, and own for a model of your own.",
        choices=INITS,
    )
    standardise: bool = setting(
        True, "Standardise pixels to mean 0 and variance 1; if not, they are in [0, 1].", default_affects="nothing"
    )
    dropout_rate: float = setting(0.0, "The probability of dropping a unit in training.", minimum=0.0, maximum=0.99)
    execution: str = setting(
        "auto",
        "Compilation of an epoch; auto chooses the faster of xla and graph; sparse computes unmasked weights only, of "
        "fully connected models, on a CPU, and is graph while a quarter of the weights or more are kept.",
        choices=("auto", "xla", "graph", "sparse"),
    )
    masked_layer_indices: tuple[int, ...] = setting((), "Indices of the layers to mask, from 0; empty: all.", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model not in MODELS and not re.fullmatch(r"\w+(\.\w+)*:\w+", self.model):
            raise UsageError(
                f"model (={self.model}) must be one of {', '.join(MODELS)}, or package.module:function, a function "
                "that returns a model."
            )
        object.__setattr__(self, "init", self.scheme)
        self.keywords()  # Checks them.
        if self.filters and self.model == "MNIST_FC":
            raise UsageError(f"filters (={self.filters}) are for a convolutional model; MNIST_FC has --features.")
        if self.is_users:
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if field.name in ("features", "filters", "dropout_rate") and value not in (field.default, ()):
                    raise UsageError(
                        f"{field.name} (={value}) is for {', '.join(MODELS)}: options of a model of your own are given "
                        "in --model_options."
                    )
        else:
            self._check_sizes()
        if self.execution == "sparse" and (self.model in MODELS[1:] or self.dropout_rate):
            given = f"dropout_rate (={self.dropout_rate})" if self.dropout_rate else f"model (={self.model})"
            raise UsageError(
                f"execution (=sparse) is for fully connected models without dropout, and not for {given}: pass "
                "--execution=auto."
            )
        if self.execution == "sparse" and self.precision == "bfloat16":
            raise UsageError(
                "precision (=bfloat16) must be tf32 or highest with --execution=sparse, which computes in float32: "
                "pass --execution=auto or another --precision."
            )
        for index in self.masked_layer_indices:
            self.check_layer("masked_layer_indices", index)
        if len(set(self.masked_layer_indices)) < len(self.masked_layer_indices):
            raise UsageError(f"masked_layer_indices (={self.masked_layer_indices}) must name each layer once.")
        object.__setattr__(self, "masked_layer_indices", tuple(sorted(self.masked_layer_indices)))

    @property
    def is_users(self) -> bool:
        """Whether the model is the user's own."""
        return self.model not in MODELS

    @property
    def scheme(self) -> str:
        """The initialiser, by default that of the kind of model."""
        return self.init or ("own" if self.is_users else "he_normal")

    @property
    def num_layers(self) -> int | None:
        """The number of layers with weights; None for a model of the user's own, whose layers are not known yet."""
        if self.is_users:
            return None
        if self.model == "MNIST_FC":
            return len(self.features) + 1
        dense = {"MNIST_CNN": 2, "CIFAR10_CNN": 1}[self.model]
        return len(self.filters or FILTERS[self.model]) + dense

    @property
    def masked_layers(self) -> tuple[int, ...] | None:
        """The indices of the layers to mask; None for all of a model of the user's own."""
        if self.masked_layer_indices or self.num_layers is None:
            return self.masked_layer_indices or None
        return tuple(range(self.num_layers))

    @property
    def standardises(self) -> bool:
        """Whether pixels have mean 0 and variance 1; if not, they are in [0, 1]."""
        return self.standardise

    @property
    def corrects_fan_in(self) -> bool:
        """Whether gradients are scaled as `Masks.wrap` does."""
        return False

    @property
    def warning(self) -> str:
        """One line on a setting that is probably a mistake, with the remedy; empty if there is none."""
        return ""

    def check_model(self, shapes: Sequence[tuple[str, tuple[int, ...]]], steps_per_epoch: int) -> None:
        """Raises UsageError for settings that do not fit the model or the data, before anything is written.

        Args:
          shapes: The name and shape of each weight that can be masked, in layer order.
          steps_per_epoch: The number of steps of an epoch.
        """
        if any(index >= len(shapes) for index in self.masked_layers or ()):
            raise UsageError(
                f"masked_layer_indices (={self.masked_layer_indices}) must be in [0, {len(shapes)}), the weights of "
                f"{self.model}: {', '.join(name for name, _ in shapes)}."
            )

    def check_layer(self, name: str, index: int) -> None:
        """Raises UsageError unless the model has a layer of that index, as far as its layers are known."""
        if index < 0 or (self.num_layers is not None and index >= self.num_layers):
            raise UsageError(f"{name}: layer {index} must be in [0, {self.num_layers}), the layers of {self.model}.")

    def layer_sizes(self, image_size: int = 28 * 28, channels: int = 1, classes: int = 10) -> list[int]:
        """Counts the weights of each layer of one of the three models, for images of so many pixels and channels."""
        return layer_sizes(self.model, self.keywords(), image_size, channels, classes)

    def _check_sizes(self) -> None:
        """Raises UsageError unless the sizes of one of the three models are such, and its layers not too large."""
        given = {name: value for name, value in self._options().items() if name in SIZES}
        for name, value in given.items():
            is_list = isinstance(value, list)
            if is_list != (name in ("features", "filters")) or not all(
                type(size) is int and size >= 1 for size in (value if is_list else [value])
            ):
                rule = "a list of whole numbers" if name in ("features", "filters") else "a whole number"
                raise UsageError(f"model_options: {name} (={value}) must be {rule} of at least 1.")
        if max(self.layer_sizes()) > LARGEST_LAYER:
            name = "model_options" if given else "filters" if self.filters else "features"
            raise UsageError(
                f"{name} (={getattr(self, name)}) must give layers of at most {LARGEST_LAYER} weights each."
            )

    def fitted(self, image_size: int, classes: int) -> Self:
        """Returns the configuration with the settings that depend on the data filled in; here unchanged."""
        del image_size, classes
        return self

    def keywords(self) -> dict[str, Any]:
        """Returns the keyword arguments of the model, or of the function that makes it.

        Raises:
          UsageError: If `model_options` are no JSON object.
        """
        options = self._options()
        if self.is_users:
            return options
        widths = {"features": self.features} if self.model == "MNIST_FC" else {}
        filters = {"filters": self.filters} if self.filters else {}
        return {"dropout_rate": self.dropout_rate, **widths, **filters, **options}

    def _options(self) -> dict[str, Any]:
        try:
            options = files.parse_json((self.model_options or "{}").encode())
        except ValueError:
            options = None
        if not isinstance(options, dict):
            raise UsageError(
                f"model_options (={self.model_options}) must be a JSON object of keyword arguments, such as "
                "'{\"depth\": 3}'."
            )
        return options


class ModelStudyConfig(ModelConfig, StudyConfig):
    """Settings of a study that trains several networks of one model."""


class WidthStudyConfig(ModelStudyConfig):
    """Settings of a study that trains several networks of one model, at one or several widths."""

    width_factors: tuple[float, ...] = setting(
        (1.0,),
        "Factors of the hidden widths; networks of each are trained.",
        minimum=1e-6,
        affects="measuring",
        may_be_empty=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_users and self.width_factors != (1.0,):
            raise UsageError(f"width_factors (={self.width_factors}) must be 1 for a model of your own.")

    def hidden(self, factor: float) -> tuple[int, ...]:
        """Returns the multiplied width of each hidden layer.

        >>> WidthStudyConfig(features=(300, 100)).hidden(0.5)
        (150, 50)
        """
        widths = self.features if self.model == "MNIST_FC" else self.filters or FILTERS.get(self.model, ())
        return tuple(max(1, round(factor * width)) for width in widths)

    def widened(self, factor: float) -> Self:
        """Returns the configuration with all hidden widths multiplied.

        >>> WidthStudyConfig(features=(300, 100)).widened(0.5).features
        (150, 50)
        """
        wider = self.hidden(factor)
        if factor == 1:
            return self
        if self.model == "MNIST_FC":
            return dataclasses.replace(self, features=wider)
        return dataclasses.replace(self, filters=wider)


class TrialOptions(RunOptions, TrainingTrials):
    """Run options of a driver that can train several masks and seeds in one process."""
