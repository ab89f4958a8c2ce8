"""What the experiment `staged` trains, measures, draws and prints."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

import weirdonetworks
from weirdonetworks.experiments.staged import NETWORKS, StagedConfig
from weirdonetworks.lab import plots
from weirdonetworks.lab.config import RunOptions
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.records import tables
from weirdonetworks.lab.training import loop, objectives, study
from weirdonetworks.lab.training.study import Study, Trained
from weirdonetworks.lab.training.study_trials import Training
from weirdonetworks.lab.training.trainer import Resident


def run(opened: Study, config: StagedConfig, options: RunOptions) -> None:
    """Trains the networks and measures them."""
    data = datasets.configured(config, options.data_dir)
    splits, found = loop.residents(data), {}
    for name in NETWORKS if config.network == "all" else (config.network,):
        staged = _stages(opened, name, data, splits, config)
        at_once = opened.trials(
            [training(f"{name}_at_once", name, data, splits, trial, stages=trial.stages) for trial in config.trials()]
        )
        found[name] = {
            "parameters": at_once[0].parameters,
            "trained": [stage.parameters for stage in staged[0]],
            "stages": [
                study.spread([stages[number].final["test_accuracy"] for stages in staged])
                for number in range(config.stages)
            ],
            "at_once": study.spread([each.final["test_accuracy"] for each in at_once]),
            "curves": {
                "stages": [record["test_accuracy"] for stage in staged[0] for record in stage.records],
                "at_once": [record["test_accuracy"] for record in at_once[0].records],
            },
        }
    opened.finish(found, draw)


def _stages(
    opened: Study, name: str, data: Dataset, splits: Mapping[str, Resident], config: StagedConfig
) -> list[list[Trained]]:
    """Trains the stages of each trial, each a training of its own on top of the network before it."""
    trained: list[list[Trained]] = []
    for number in range(1, config.stages + 1):
        bases = [each.network for each in trained[-1]] if trained else [None] * config.num_trials
        trained.append(
            opened.trials(
                [
                    training(f"{name}_stage_{number}", name, data, splits, trial, base=base)
                    for trial, base in zip(config.trials(), bases, strict=True)
                ]
            )
        )
    return list(map(list, zip(*trained, strict=True)))


def training(
    training_name: str,
    name: str,
    data: Dataset,
    splits: Mapping[str, Resident],
    config: StagedConfig,
    stages: int = 1,
    **options: Any,
) -> Training:
    """Describes the training of `stages` stages together, for as many epochs as they would take one after the other."""
    classes, sampling = len(data.classes), {"seed": config.random_seed} if name == "RandomSample" else {}
    return Training(
        training_name,
        lambda: getattr(weirdonetworks, name)(classes, stages=stages, **options, **sampling),
        lambda network: objectives.classification(network, data.standardisation, ("is_training", "seed")),
        splits,
        dataclasses.replace(config, epochs=config.epochs * stages),
    )


def draw(found: Mapping[str, Any]) -> Figure:
    """Draws the test accuracy over all epochs, stage by stage and at once, of the first seed."""
    figure, every = plots.row(len(found))
    for axes in every[1:]:
        axes.sharey(every[0])
    for axes, (name, each) in zip(every, found.items(), strict=True):
        epochs = range(1, len(each["curves"]["at_once"]) + 1)
        for key, label in (("stages", "stage by stage"), ("at_once", "at once")):
            axes.plot(epochs, [100 * accuracy for accuracy in each["curves"][key]], marker=".", label=label)
        for number in range(1, len(each["stages"])):
            axes.axvline(number * len(epochs) / len(each["stages"]) + 0.5, color="0.8", linewidth=1, zorder=0)
        axes.set(title=name, xlabel="epochs in all")
    every[0].set(ylabel="test accuracy, %")
    every[-1].legend(loc="lower right", frameon=False)
    return figure


def table(found: Any) -> Iterator[str]:
    """Lays out what was found, table by table."""
    rows = [
        [name, f"{each['parameters']:,}", *map(study.percent, (*each["stages"], each["at_once"]))]
        for name, each in found.items()
    ]
    stages = len(next(iter(found.values()))["stages"])
    header = ["test accuracy", "parameters", *(f"stage {number + 1}" for number in range(stages)), "at once"]
    yield tables.table(header, rows)
