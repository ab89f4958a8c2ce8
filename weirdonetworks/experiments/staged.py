"""Trains networks stage by stage, each on top of the frozen ones before it, and beside them the same networks at once.

usage: python -m weirdonetworks.experiments.staged [--flag=value ...]

    python -m weirdonetworks.experiments.staged --num_trials=3
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, StudyConfig, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from weirdonetworks.lab.data.datasets import Dataset
    from weirdonetworks.lab.training.study import Study, Trained
    from weirdonetworks.lab.training.trainer import Resident

NETWORKS = ("ExpansionSerial", "ExpansionParallel", "RandomSample", "Residual")


@dataclasses.dataclass(frozen=True)
class StagedConfig(StudyConfig):
    """What the experiment is told."""

    network: str = setting("all", "Which networks are trained.", choices=("all", *NETWORKS))
    stages: int = setting(4, "The stages of each network.", minimum=1)
    epochs: int = setting(5, "Passes over the training data for each stage.", minimum=1)


def main(config: StagedConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.data import datasets
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import study

    with study.opened("staged", config, options) as opened:
        if not opened.is_finished:
            opened.finish(_results(opened, config, datasets.configured(config, options.data_dir)), draw)
        found = opened.results
        rows = [
            [name, f"{each['parameters']:,}", *map(study.percent, (*each["stages"], each["at_once"]))]
            for name, each in found.items()
        ]
        header = ["test accuracy", "parameters", *(f"stage {number + 1}" for number in range(config.stages)), "at once"]
        print()
        print(tables.table(header, rows))


def _results(opened: "Study", config: StagedConfig, data: "Dataset") -> dict[str, Any]:
    from weirdonetworks.lab.training import loop, study

    splits, found = loop.residents(data), {}
    for name in NETWORKS if config.network == "all" else (config.network,):
        staged = [_stages(opened, name, data, splits, trial) for trial in config.trials()]
        at_once = [
            _train(opened, f"{name}_at_once", name, data, splits, trial, stages=trial.stages)
            for trial in config.trials()
        ]
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
    return found


def _stages(
    opened: "Study", name: str, data: "Dataset", splits: "Mapping[str, Resident]", config: StagedConfig
) -> list["Trained"]:
    """Trains the stages, each a training of its own on top of the network before it."""
    trained: list[Trained] = []
    for number in range(1, config.stages + 1):
        base = trained[-1].network if trained else None
        trained.append(_train(opened, f"{name}_stage_{number}", name, data, splits, config, base=base))
    return trained


def _train(
    opened: "Study",
    training: str,
    name: str,
    data: "Dataset",
    splits: "Mapping[str, Resident]",
    config: StagedConfig,
    stages: int = 1,
    **options: Any,
) -> "Trained":
    """Trains `stages` stages together, for as many epochs as they would take one after the other."""
    import weirdonetworks
    from weirdonetworks.lab.training import objectives

    classes, sampling = len(data.classes), {"seed": config.random_seed} if name == "RandomSample" else {}
    return opened.train(
        training,
        lambda: getattr(weirdonetworks, name)(classes, stages=stages, **options, **sampling),
        lambda network: objectives.classification(network, data.standardisation, ("is_training", "seed")),
        splits,
        dataclasses.replace(config, epochs=config.epochs * stages),
    )


def draw(found: Mapping[str, Any]) -> "Figure":
    """Draws the test accuracy over all epochs, stage by stage and at once, of the first seed."""
    from weirdonetworks.lab import plots

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


if __name__ == "__main__":
    flags.run(main, StagedConfig, RunOptions)
