"""Trials that train a masked model: construction, updater, and the records at the end."""

import contextlib
import dataclasses
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weight_symmetry import models, symmetry
from weight_symmetry.masks import Masks
from weight_symmetry.models import user_models
from weight_symmetry.run import mask_records
from weight_symmetry.run.config import ModelConfig
from weight_symmetry.run.masking import Masking
from weight_symmetry.updaters import Updater
from weirdonetworks.lab import machine, seeds
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files, runs
from weirdonetworks.lab.records.tables import counted
from weirdonetworks.lab.training import loop, objectives, schedules
from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.lab.training.optimizers import Optimizer
from weirdonetworks.lab.training.state import assign
from weirdonetworks.lab.training.trainer import Trainer, of_loss
from weirdonetworks.lab.training.trials import Trial
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.axes import units_of
from weirdonetworks.nets.base_module import keras_layers

_PICTURE = threading.Lock()  # Matplotlib's settings are the process's, not the thread's.
# The call whose units are found: dropout would tell them apart.
FIXED_CALL = {"is_training": False, "seed": np.zeros(2, np.int32)}
_SEEDS = threading.Lock()  # And so are the seeds with which models draw their own values.


@dataclasses.dataclass(frozen=True)
class MaskedModel:
    """A model in training with its masks, as the updater of a driver may need it.

    Attributes:
      network: The model.
      masks: Its masks.
      begin: Sets all variables to the initial values of a seed.
      reset: Resets the optimizer.
      images: A few images.
      steps_per_epoch: The number of steps of an epoch.
      units: Its units, of a model of the user's own.
      other: Trains another network as this one, from another seed, for a number of epochs; returns the values of its
        variables after some earlier number of them, and at the end.
      sample: Returns the first training images, at most a number of them, standardised.
    """

    network: snt.Module
    masks: Masks
    begin: Callable[[int], None]
    reset: Callable[[], None]
    images: tf.Tensor
    steps_per_epoch: int
    units: UnitGraph | None = None
    other: Callable[[int, int], tuple[list[Any], list[Any]]] | None = None
    sample: Callable[[int], Any] | None = None

    @property
    def output_weights(self) -> list[int]:
        """The masked weights whose neurons are outputs of the model, by index."""
        weights = self.masks.weights
        if self.units is None:
            return [len(weights) - 1]
        held = {
            id(variable)
            for variable, axes in zip(self.units.variables, self.units.axes, strict=True)
            if axes and any(units.fixed == "outputs" for units in units_of(axes[-1]))
        }
        return [index for index, weight in enumerate(weights) if id(weight) in held]

    def move(self, permutations: Mapping[Any, npt.ArrayLike]) -> None:
        """Permutes the hidden units of the model, given a permutation for each layer by index, or space by name."""
        if self.units is not None:
            self.units.permute(permutations)
        else:
            moved = symmetry.apply(permutations, self.network, self.images, **FIXED_CALL)
            assign(self.network.variables, moved.variables)


MakeUpdater = Callable[[Any, MaskedModel], Updater]


@dataclasses.dataclass(eq=False, repr=False)
class ModelTrial(Trial):
    """A trial that trains a masked model, its masks changed by an updater.

    Attributes:
      name: The driver's name, the prefix of the run's id.
      config: The settings that training depends on.
      make_updater: Makes the updater from the settings and the model, and may draw its initial masks.
      options: The run directory, and whether to resume or overwrite.
      dataset: The data set.
      must_exist: Whether to raise an error if there is no run to resume.
    """

    name: str
    config: ModelConfig
    make_updater: MakeUpdater
    options: RunOptions
    dataset: datasets.Dataset
    must_exist: bool = False

    def __post_init__(self) -> None:
        self.folder = pathlib.Path(self.options.experiment_dir)
        self.data = self.dataset.residents
        self.direction = of_loss
        self.objective = objectives.classifier(self.dataset, takes=("is_training", "seed"))
        self._images = self.dataset.standardisation(self.dataset.train.images[:2])
        self._identity = object()
        self._announces = False
        # A model of the user's own may hold random states that are no variables, which the next trial would go on with.
        self.shared = not self.config.is_users

    def trainer(self, execution: str, count: int | None) -> Trainer:
        """Builds the model, and a trainer for it."""
        self._check_memory()
        network = self._built(self.config.random_seed)
        if count is not None and any(keras_layers(network)):
            raise UsageError(
                "trials_backend (=batched) must be threads for a Keras model, which cannot be copied: pass "
                "--trials_backend=threads."
            )
        masks = Masks(network)
        shapes = [tuple(weight.shape) for weight in masks.weights]
        steps = -(-len(self.data["train"]) // self.config.batch_size)
        self.config.check_model([*zip(masks.names, shapes, strict=True)], steps)
        optimizer = masks.wrap(loop.optimizer(self.config), corrects_fan_in=self.config.corrects_fan_in)
        if execution == "sparse":
            return self._sparse_trainer(network, optimizer)
        return self.trainer_of(network, execution, count, optimizer)

    def _sparse_trainer(self, network: snt.Module, optimizer: Optimizer) -> Trainer:
        from weight_symmetry.sparse.engine import SparseTrainer

        return SparseTrainer(
            network,
            optimizer,
            self.objective,
            self.data["train"],
            self.dataset.standardisation,
            batch_size=self.config.batch_size,
            batch_size_test=self.config.batch_size_test,
        )

    def _check_memory(self) -> None:
        """Raises UsageError if what the training of one of the three models holds exceeds the free memory."""
        if self.config.is_users:
            return
        image = self.dataset.train.images[0]
        weights = sum(self.config.layer_sizes(image.size, image.shape[-1], len(self.dataset.classes)))
        # Of each weight a float32, that of the start, the gradient, and the moments.
        held = 4 * (3 + (2 if self.config.optimizer == "Adam" else 1))
        needed, free = held * weights / 2**30, machine.free_memory(machine.devices()[0]) / 2**30
        if needed > free:
            raise UsageError(
                f"model (={self.config.model}) must fit into the memory, of which {free:.1f} GiB are free: its "
                f"{weights:,} weights take {needed:.1f} GiB with gradients and optimizer. Pass smaller widths."
            )

    def _traced(self, network: snt.Module) -> UnitGraph:
        """Finds the units of a model of the user's own."""
        try:
            return UnitGraph.trace(network, self._images, **FIXED_CALL)
        except (TypeError, ValueError) as error:
            raise UsageError(f"model (={self.config.model}) cannot be traced: {error}") from error

    def _built(self, seed: int) -> snt.Module:
        """Makes the model, with its variables; of the user's own, with the values of a seed."""
        config, classes = self.config, len(self.dataset.classes)
        with _SEEDS:
            if config.init == "own":
                tf.keras.utils.set_random_seed(seed % 2**32)
            if config.is_users:
                network = user_models.load(config.model, config.keywords())
                user_models.check(config.model, network, self._images, classes)
                user_models.claim(config.model, network, (self._identity, seed))
                return network
            try:
                network = models.MODELS[config.model](**{"num_classes": classes} | config.keywords())
            except TypeError as error:
                raise UsageError(
                    f"model_options (={config.model_options}) must be those of {config.model}: {error}"
                ) from error
            network(self._images, is_training=False)
            return network

    def open(self, executed: str) -> contextlib.AbstractContextManager[runs.Run]:
        """Opens the run; `auto` is recorded as the execution it resolved to, since executions round differently."""
        return runs.open_run(
            self.folder,
            self.name,
            self.settings(executed),
            unhashed=dataclasses.asdict(self.options) | self.config.affecting("measuring", "nothing"),
            resume=self.options.resume,
            overwrite=self.options.overwrite,
            must_exist=self.must_exist,
        )

    def settings(self, executed: str) -> dict[str, Any]:
        """Returns the settings that determine the run's id, with a hash of the source of a model of the user's own."""
        source = {"model_source": user_models.source_hash(self.config.model)} if self.config.is_users else {}
        return super().settings(executed) | source

    def is_finished(self, executed: str) -> bool:
        """Tells whether a run with this execution is finished and not to be overwritten."""
        return not self.options.overwrite and super().is_finished(executed)

    def start(self, trainer: Trainer, run: runs.Run) -> Sequence[Hook]:
        """Sets the initial masks, and draws the weights scaled by the unmasked connections."""
        if self.dataset.version:
            run.record_version(self.dataset.name, self.dataset.version)
        network, optimizer = trainer.network, trainer.state.optimizer
        masks: Masks = optimizer.masks  # type: ignore[attr-defined]
        masks.set([np.ones(mask.shape) for mask in masks.arrays])
        units = self._traced(network) if self.config.is_users else None
        if self._announces and (line := mask_records.fixed_line(units)):
            print(line)
        model = MaskedModel(
            network,
            masks,
            begin=lambda seed: assign(network.variables, self._built(seed).variables),
            reset=optimizer.reset,
            images=self._images,
            steps_per_epoch=trainer.steps_per_epoch,
            units=units,
            other=lambda epochs, early: self._other(trainer.execution, epochs, early),
            sample=lambda most: self.dataset.standardisation(self.dataset.train.images[:most]).numpy(),
        )
        updater = self.make_updater(self.config, model)
        self._begin(trainer, self.config.random_seed)
        self._masking = Masking(updater, trainer, self.data["test"], run if self.options.dump_json else None, units)
        return [self._masking]

    def _begin(self, trainer: Trainer, seed: int) -> None:
        """Sets a trainer to the initial weights of a seed, scaled by the unmasked connections."""
        assign(trainer.network.variables, self._built(seed).variables)
        models.initialise(trainer.state.optimizer.masks, seed, scheme=self.config.scheme)  # type: ignore[attr-defined]
        trainer.state.restart()

    def _other(self, execution: str, epochs: int, early: int) -> tuple[list[Any], list[Any]]:
        """Trains another network from a seed of its own; nothing is recorded, since the same flags train the same."""
        seed = seeds.derive(self.config.random_seed, "other_network")[0]
        trainer = self.trainer(execution, None)
        self._begin(trainer, seed)
        kept: list[Any] = []
        for epoch in range(epochs + 1):
            values = [variable.numpy() for variable in trainer.network.variables]
            kept = values if epoch == early else kept
            if epoch < epochs:
                rates = schedules.epoch_rates(self.config, epoch, trainer.steps_per_epoch)
                loop.train_epoch(trainer, rates, [loop.BaseSeeds(seed, seed)], epoch)
        return kept, values

    def end(self, trainer: Trainer, run: runs.Run) -> None:
        """Writes the final records; the best epochs are those among the epochs with the final masks."""
        described = self._masking.describe()
        best = loop.best_records(run.records, since=last_masking(run.records))
        run.scalars(loop.flatten(best), run.records[-1]["step"])
        if not self.options.dump_json:
            run.finish(None)
            return
        from weight_symmetry.run import pictures

        run.write_json("best_metrics.json", best)
        with _PICTURE:
            pictures.save(run.directory / "training.png", run.records, trainer.state.optimizer.masks.arrays)  # type: ignore[attr-defined]
        config = files.read_json(run.directory / "config.json")
        flat = {name: mask_records.flat(values) for name, values in described.items()}
        run.finish(loop.flatten({**_plain(config), **flat, "final": loop.reproducible(run.records[-1]), **best}))

    def announce(self, trainer: Trainer, run: runs.Run, manner: str) -> None:
        """Prints the model, the data and the run directory; `start` adds the units that are counted as fixed."""
        self._announces = True
        examples = f"{counted(len(self.dataset.train), 'image')} of {self.dataset.name}"
        where = self.options.experiment_dir if manner else run.directory
        length = counted(self.config.epochs, "epoch")
        masks = trainer.state.optimizer.masks  # type: ignore[attr-defined]
        print(f"Training {describe_model(self.config.model, masks)} on {examples} for {length}{manner}: {where}")


def describe_model(name: str, masks: Masks) -> str:
    """Returns a model's name with its widths and its number of weights."""
    widths = "-".join(str(mask.shape[-1]) for mask in masks.arrays)
    return f"{name} ({widths}, {sum(mask.size for mask in masks.arrays):,} weights)"


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's configuration without the run options and package versions."""
    options = {field.name for field in dataclasses.fields(RunOptions)}
    return {key: value for key, value in config.items() if key not in options and key != "versions"}


def last_masking(records: list[dict[str, Any]]) -> int:
    """Counts the epochs finished before the one in which the masks last changed; 0 if they never did."""
    changed = [each for each in records if "masked_test_accuracy" in each or each.get("mask/changes")]
    return max((record["epoch"] - 1 for record in changed), default=0)
