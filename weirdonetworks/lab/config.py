"""Configurations: frozen dataclasses whose fields declare flag, help text and range.

A driver's flags, their validation, the run's id and `config.json` all derive from one such class.
"""

import dataclasses
import itertools
import math
import os
import typing
from collections.abc import Sequence
from typing import Any, Self

from weirdonetworks.lab import literals
from weirdonetworks.lab.errors import UsageError

Training = typing.TypeVar("Training", bound="TrainingConfig")

# The default of a field that has none.
REQUIRED: Any = dataclasses.MISSING


def setting(
    default: Any,
    help_text: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    may_be_empty: bool = True,
    short: str | None = None,
    alias: str | None = None,
    positional: bool = False,
    path: bool = False,
    affects: str = "training",
    default_affects: str | None = None,
) -> Any:
    """Declares one field of a configuration.

    Args:
      default: Its default value.
      help_text: Its description in `--help`.
      choices: The allowed values; any if empty.
      minimum: The least value, of each item of a tuple.
      maximum: The greatest value, of each item of a tuple.
      may_be_empty: Whether a tuple may be empty.
      short: A short name for the flag.
      alias: Another name for the flag.
      positional: Whether it is a positional argument rather than a flag; then a string, and `REQUIRED`.
      path: Whether it is a path, in which `~` means the user's home.
      affects: `training`, and so the run's id; `measuring`, what is measured of a training, or which trainings a study
        has, such as a list with an entry for each; or `nothing` that is recorded, such as the folder of runs.
      default_affects: What its default affects, if not the same: `nothing` of a setting younger than runs that were
        trained as its default says, whose ids then stay.
    """
    metadata: dict[str, Any] = {"help": help_text, "choices": choices, "range": (minimum, maximum)}
    metadata |= {
        "may_be_empty": may_be_empty,
        "short": short,
        "alias": alias,
        "positional": positional,
        "path": path,
        "affects": affects,
        "default_affects": default_affects or affects,
    }
    return dataclasses.field(default=default, metadata=metadata)


# How the help of flags describes a path.
OWN_DATA = "the path of your own: an .npz file, a folder of images by class, or one of TensorFlow Datasets"

# The most epochs and trials: of more, a plan of them alone would fill the memory, and none would end.
EPOCHS, TRIALS = 10**6, 10**4

# Adam's decay is scaled by its small learning rate, so the two optimizers need different values.
DEFAULT_WEIGHT_DECAY = {"Adam": 0.2, "Momentum": 0.0}


@typing.dataclass_transform(frozen_default=True)
@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration, validated against the declared choices and ranges.

    Each subclass is a frozen dataclass. Its keywords are other defaults of settings that it inherits.

    >>> class Short(TrainingConfig, epochs=1):
    ...     pass
    >>> Short().epochs, Short(epochs=2).epochs
    (1, 2)

    Raises:
      UsageError: If a field is outside its range or choices.
    """

    def __init_subclass__(cls, **defaults: Any) -> None:
        inherited: dict[str, Any] = {}
        for base in reversed(cls.__bases__):
            inherited |= getattr(base, "__dataclass_fields__", {})
        for name, default in defaults.items():
            cls.__annotations__[name] = inherited[name].type
            setattr(cls, name, dataclasses.field(default=default, metadata=inherited[name].metadata))
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata["path"] and value is not None:
                value = os.path.expanduser(value)
                object.__setattr__(self, field.name, value)
            _check(field.name, value, field.metadata)

    def resolved(self) -> Self:
        """Returns the configuration with defaults filled in that need heavy imports; here unchanged."""
        return self

    def affecting(self, *what: str) -> dict[str, Any]:
        """Returns the fields that affect `training`, `measuring` or `nothing`, as `setting` declares them.

        >>> TrainingConfig().affecting("measuring")
        {'batch_size_test': 1000, 'update_epoch': 10, 'update_iterations': 100}
        """
        return {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if each.metadata["default_affects" if self._means_default(each.name) else "affects"] in what
        }

    def _means_default(self, name: str) -> bool:
        """Whether a field's value asks for what its default does."""
        return bool(getattr(self, name) == self.__dataclass_fields__[name].default)


class DataConfig(Config):
    """Settings of the data."""

    dataset: str = setting("MNIST", f"MNIST, CIFAR10, the name of a TensorFlow Datasets image data set, or {OWN_DATA}.")
    examples: int | None = setting(
        None, "Use only the first images of train and of test, this many of each.", minimum=1
    )

    def resolved(self) -> Self:
        """Returns the configuration with the user's own data, if these are its data set, named by their content too."""
        from weirdonetworks.lab.data import user_data

        return dataclasses.replace(self, dataset=user_data.identified(self.dataset))


class TrainingConfig(DataConfig):
    """Settings of a training: data, optimizer, number of epochs, seeds.

    >>> TrainingConfig(epochs=0)
    Traceback (most recent call last):
    ...
    weirdonetworks.lab.errors.UsageError: epochs (=0) must be at least 1.
    """

    validation_size: int | None = setting(
        None, "Validation images, split off the training data; a twelfth of them if not given.", minimum=0
    )
    epochs: int = setting(20, "Passes over the training data.", minimum=1)
    batch_size: int = setting(128, "Batch size in training.", minimum=1)
    batch_size_test: int = setting(1000, "Batch size in evaluation.", minimum=1, affects="measuring")
    optimizer: str = setting("Adam", "The optimizer.", choices=("Adam", "Momentum"))
    learning_rate: float = setting(0.002, "Initial learning rate.", minimum=0.0, short="lr")
    weight_decay: float | None = setting(
        None,
        "Weight decay; if not given, 0.2 with Adam, which decouples it, and 0 with Momentum, where it is L2.",
        minimum=0.0,
        short="wd",
    )
    momentum: float = setting(0.9, "Momentum, for --optimizer=Momentum.", minimum=0.0, maximum=1.0)
    nesterov: bool = setting(False, "Use Nesterov's momentum, for --optimizer=Momentum.", default_affects="nothing")
    lr_schedule: str = setting("cosine", "Schedule of the learning rate.", choices=("constant", "stepped", "cosine"))
    lr_schedule_steps: str = setting(
        "[(10, 0.1), (15, 0.01)]", "For --lr_schedule=stepped: a list of (epoch, factor of the learning rate)."
    )
    random_seed: int = setting(42, "Base seed of the initial weights, the order of the images, and dropout.")
    order_seed: int | None = setting(
        None,
        "Seed of the order of the images, then the same in all trials; default: each trial's --random_seed.",
        default_affects="nothing",
    )
    data_seed: int = setting(0, "Seed of the validation split and of random changes to the data.")
    execution: str = setting(
        "auto", "Compilation of an epoch; auto chooses the fastest.", choices=("auto", "xla", "graph")
    )
    precision: str = setting(
        "tf32",
        "Arithmetic of the network: highest, float32; tf32, the same, but GPUs round factors of products to TF32, as "
        "TensorFlow does by default; bfloat16, with weights and loss in float32.",
        choices=("highest", "tf32", "bfloat16"),
        default_affects="nothing",
    )
    update_epoch: int = setting(
        10, "Evaluate on the whole training data every this many epochs.", minimum=1, affects="measuring"
    )
    update_iterations: int = setting(
        100, "Log batch loss and gradient norm every this many steps.", minimum=1, affects="measuring"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs > EPOCHS:
            raise UsageError(f"epochs (={self.epochs}) must be at most {EPOCHS}.")
        if self.lr_schedule == "stepped":
            self.learning_rate_steps()
        if self.nesterov and self.optimizer != "Momentum":
            raise UsageError(
                f"nesterov (=True) must be False with --optimizer={self.optimizer}: pass --optimizer=Momentum."
            )

    def _means_default(self, name: str) -> bool:
        is_own_seed = name == "order_seed" and self.order_seed == self.random_seed
        return is_own_seed or super()._means_default(name)

    @property
    def decay(self) -> float:
        """The weight decay, by default `DEFAULT_WEIGHT_DECAY` of the optimizer."""
        return DEFAULT_WEIGHT_DECAY[self.optimizer] if self.weight_decay is None else self.weight_decay

    @property
    def standardises(self) -> bool:
        """Whether pixels have mean 0 and variance 1; if not, they are in [0, 1]."""
        return True

    def trial(self, number: int) -> Self:
        """Returns the configuration of a trial: every seed raised by the trial's number."""
        return dataclasses.replace(self, random_seed=self.random_seed + number)

    def position(self, epoch: int) -> tuple[int, int]:
        """Returns the epoch of the learning-rate schedule after `epoch` finished ones, and the schedule's length."""
        return epoch, self.epochs

    def learning_rate_steps(self) -> list[tuple[float, float]]:
        """Parses `lr_schedule_steps`.

        Raises:
          UsageError: If it is no rising list of (epoch, scale), the epochs above 0 and the scales 0 or more.
        """
        steps = literals.pairs("lr_schedule_steps", self.lr_schedule_steps)
        epochs = [0.0, *(epoch for epoch, _ in steps)]
        rising = all(early < late < math.inf for early, late in itertools.pairwise(epochs))
        if not steps or not rising or not all(0 <= scale < math.inf for _, scale in steps):
            raise UsageError(
                f"lr_schedule_steps (={self.lr_schedule_steps}) must be a rising list of (epoch, scale), "
                "epochs above 0 and scales at least 0."
            )
        return steps


class TrialSettings(Config):
    """Settings of repeated trials: their number, and how they share the machine."""

    num_trials: int = setting(1, "Number of trials, with consecutive seeds.", minimum=1, affects="measuring")
    trials_backend: str = setting(
        "auto",
        "Execution of trials: threads (one per core) or batched (all in one program); auto chooses by the device.",
        choices=("auto", "threads", "batched"),
        affects="nothing",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_trials > TRIALS:
            raise UsageError(f"num_trials (={self.num_trials}) must be at most {TRIALS}.")


class TrainingTrials(TrialSettings):
    """Settings of repeated trials that train networks."""

    trials_order: str = setting(
        "own",
        "Order of the images in trials: own, or shared, that of the first trial, in which one program reads each batch "
        "once for all.",
        choices=("own", "shared"),
        default_affects="nothing",
    )

    def ordered(self, first: Training) -> Training:
        """Returns the settings of the first trial, with the order that the others take from it if they do.

        >>> TrainingTrials(trials_order="shared").ordered(TrainingConfig(random_seed=7)).order_seed
        7
        """
        if self.trials_order == "own" or first.order_seed is not None:
            return first
        return dataclasses.replace(first, order_seed=first.random_seed)


class StudyConfig(TrainingConfig, TrainingTrials):
    """Settings of a study: of its trainings, and of their repeated trials."""

    def trials(self) -> list[Self]:
        """Lists the configurations of the trials.

        >>> [trial.random_seed for trial in StudyConfig(num_trials=3).trials()]
        [42, 43, 44]
        """
        first = self.ordered(self)
        return [first.trial(number) for number in range(self.num_trials)]


class RunOptions(Config):
    """Options of a run that do not affect its result, and so not its id: folders, resuming, files written."""

    experiment_dir: str = setting("runs", "Folder of all runs.", path=True)
    data_dir: str | None = setting(None, "Folder of data sets other than MNIST.", path=True)
    resume: bool = setting(False, "Resume the unfinished run with these flags.")
    start_missing: bool = setting(
        False, "With --resume, start the run if there is none (with several trials this is always so)."
    )
    overwrite: bool = setting(False, "Start again, replacing the run with these flags.")
    dump_json: bool = setting(True, "Write JSON summaries and plots beside metrics.jsonl.")


def _check(name: str, value: Any, rule: Any) -> None:
    if value is not None and rule["choices"] and value not in rule["choices"]:
        raise UsageError(f"{name} (={value}) must be one of {', '.join(rule['choices'])}.")
    if value == () and not rule["may_be_empty"]:
        raise UsageError(f"{name} must hold at least one number.")
    if isinstance(value, str):
        literals.text(name, value)
    minimum, maximum = rule["range"]
    for item in value if isinstance(value, tuple) else (value,):
        if item is None or not isinstance(item, int | float):
            continue
        if not math.isfinite(item):
            raise UsageError(f"{name} (={item}) must be finite.")
        if not ((minimum is None or item >= minimum) and (maximum is None or item <= maximum)):
            raise UsageError(f"{name} (={item}) must be {_bounds(minimum, maximum)}.")


def _bounds(minimum: float | None, maximum: float | None) -> str:
    if maximum is None:
        return f"at least {minimum}"
    return f"at most {maximum}" if minimum is None else f"in [{minimum:g}, {maximum:g}]"
