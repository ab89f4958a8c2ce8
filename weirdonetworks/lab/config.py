"""Configurations: frozen dataclasses whose fields carry their own flag, help text and rule.

A driver's flags, the checks on them, the run's id and `config.json` all come from one such class.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

from weirdonetworks.lab import literals
from weirdonetworks.lab.errors import UsageError

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
    affects: str = "training",
) -> Any:
    """Declares one field of a configuration.

    Args:
      default: Its default value.
      help_text: What `--help` says of it.
      choices: The values it may have; any if empty.
      minimum: The least value, of each item where it is a tuple.
      maximum: The greatest value, likewise.
      may_be_empty: Whether a tuple may have no item.
      short: A short name for the flag.
      alias: Another name for the flag.
      positional: Whether it is given by its place on the command line, not by a flag; a string, and `REQUIRED`.
      affects: What it can change: the `training`, and so the run's id; what is measured of a training (`measuring`); or
        `nothing` that is recorded, as where a run is kept.
    """
    metadata: dict[str, Any] = {"help": help_text, "choices": choices, "range": (minimum, maximum)}
    metadata |= {
        "may_be_empty": may_be_empty,
        "short": short,
        "alias": alias,
        "positional": positional,
        "affects": affects,
    }
    return dataclasses.field(default=default, metadata=metadata)


# What suits one optimizer's decay ruins the other's training: Adam's is scaled by its small learning rate.
DEFAULT_WEIGHT_DECAY = {"Adam": 0.2, "Momentum": 0.0}


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration that checks its fields against their declared choices and ranges.

    Raises:
      UsageError: If a field breaks its rule.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.metadata)

    def resolved(self) -> Self:
        """Returns the configuration with defaults filled in that take heavy modules to know; here, as it is."""
        return self

    def affecting(self, *what: str) -> dict[str, Any]:
        """Gives the fields that affect `training`, `measuring` or `nothing`, as `setting` declares them.

        >>> TrainingConfig().affecting("measuring")
        {'batch_size_test': 1000, 'update_epoch': 10, 'update_iterations': 100}
        """
        fields = dataclasses.fields(self)
        return {each.name: getattr(self, each.name) for each in fields if each.metadata["affects"] in what}


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Config):
    """What every training experiment is told: the data, the optimizer, the length, the seed.

    >>> TrainingConfig(epochs=0)
    Traceback (most recent call last):
    ...
    weirdonetworks.lab.errors.UsageError: epochs (=0) must be at least 1.
    """

    dataset: str = setting("MNIST", "MNIST, CIFAR10, or the name of a TensorFlow Datasets image data set.")
    validation_size: int | None = setting(
        None, "Images cut from the training data to choose by; none for a twelfth of them.", minimum=0
    )
    examples: int | None = setting(None, "Take only the first so many images of train and of test.", minimum=1)
    epochs: int = setting(20, "Passes over the training data.", minimum=1)
    batch_size: int = setting(128, "Images a training step.", minimum=1)
    batch_size_test: int = setting(1000, "Images an evaluation step.", minimum=1, affects="measuring")
    optimizer: str = setting("Adam", "The optimizer.", choices=("Adam", "Momentum"))
    learning_rate: float = setting(0.002, "The learning rate at the start.", minimum=0.0, short="lr")
    weight_decay: float | None = setting(
        None, "Weight decay; none for 0.2, decoupled, with Adam and 0 (of L2) with Momentum.", minimum=0.0, short="wd"
    )
    momentum: float = setting(0.9, "Momentum, for --optimizer=Momentum.", minimum=0.0, maximum=1.0)
    lr_schedule: str = setting("cosine", "How the learning rate falls.", choices=("constant", "stepped", "cosine"))
    lr_schedule_steps: str = setting(
        "[(10, 0.1), (15, 0.01)]", "For --lr_schedule=stepped: a list of (epoch, scale of the learning rate)."
    )
    random_seed: int = setting(42, "The base of the seeds of the weights, the order of the images, and dropout.")
    data_seed: int = setting(0, "The seed that draws the validation images, and whatever else is done to the data.")
    execution: str = setting("auto", "How an epoch is compiled; auto is the fastest.", choices=("auto", "xla", "graph"))
    update_epoch: int = setting(
        10, "Evaluate on the whole training data every so many epochs.", minimum=1, affects="measuring"
    )
    update_iterations: int = setting(
        100, "Log batch loss and gradient norm every so many steps.", minimum=1, affects="measuring"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr_schedule == "stepped":
            self.learning_rate_steps()

    @property
    def decay(self) -> float:
        """The weight decay, where none is given the optimizer's own."""
        return DEFAULT_WEIGHT_DECAY[self.optimizer] if self.weight_decay is None else self.weight_decay

    def learning_rate_steps(self) -> list[tuple[float, float]]:
        """Reads `lr_schedule_steps`.

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


@dataclasses.dataclass(frozen=True)
class TrialSettings(Config):
    """How often a training is repeated, and how the repetitions share the machine."""

    num_trials: int = setting(
        1, "Train so many times, raising the seeds by one for each.", minimum=1, affects="measuring"
    )
    trials_backend: str = setting(
        "auto",
        "How trials share the machine: one a core, or all in one program; auto chooses by the device.",
        choices=("auto", "threads", "batched"),
        affects="nothing",
    )


@dataclasses.dataclass(frozen=True)
class StudyConfig(TrainingConfig, TrialSettings):
    """A training configuration of a study, which can repeat each of its trainings with other seeds."""

    def trials(self) -> list[Self]:
        """Lists the configurations of the repetitions.

        >>> [trial.random_seed for trial in StudyConfig(num_trials=3).trials()]
        [42, 43, 44]
        """
        return [dataclasses.replace(self, random_seed=self.random_seed + number) for number in range(self.num_trials)]


@dataclasses.dataclass(frozen=True)
class RunOptions(Config):
    """Where a run is kept and how it starts: nothing that changes its result, so nothing that changes its id."""

    experiment_dir: str = setting("runs", "The folder of all runs.")
    data_dir: str | None = setting(None, "Where data sets other than MNIST are kept.")
    resume: bool = setting(False, "Go on with the unfinished run of these flags.")
    start_missing: bool = setting(
        False, "With --resume, start the run if there is none, rather than refuse; of several trials it always is."
    )
    overwrite: bool = setting(False, "Start again, deleting the run of these flags.")
    dump_json: bool = setting(True, "Write the JSON records and the picture beside metrics.jsonl.")


def _check(name: str, value: Any, rule: Any) -> None:
    if rule["choices"] and value not in rule["choices"]:
        raise UsageError(f"{name} (={value}) must be one of {', '.join(rule['choices'])}.")
    if value == () and not rule["may_be_empty"]:
        raise UsageError(f"{name} must hold at least one number.")
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
