"""Steps of the experiment `staged`: train, measure, draw, table."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import weirdonetworks
from weirdonetworks import lab
from weirdonetworks.experiments.staged import NETWORKS, StagedConfig


def run(study: lab.Study[StagedConfig]) -> None:
    """Trains the networks and measures them."""
    config, data, found = study.config, study.load(), {}
    for name in NETWORKS if config.network == "all" else (config.network,):
        stages: list[list[lab.Trained]] = []
        for number in range(1, config.stages + 1):
            bases = [each.network for each in stages[-1]] if stages else ()
            stages.append(train(study, f"{name}_stage_{number}", name, data, bases))
        at_once = train(study, f"{name}_at_once", name, data, stages=config.stages)
        found[name] = {
            "parameters": at_once[0].parameters,
            "trained": [trials[0].parameters for trials in stages],
            "stages": [lab.final(trials, "test_accuracy") for trials in stages],
            "at_once": lab.final(at_once, "test_accuracy"),
            "curves": {
                "stages": [accuracy for trials in stages for accuracy in trials[0].by_epoch("test_accuracy")],
                "at_once": at_once[0].by_epoch("test_accuracy"),
            },
        }
    study.finish(found, draw)


def train(
    study: lab.Study[StagedConfig],
    training_name: str,
    name: str,
    data: lab.Dataset,
    bases: Sequence[Any] = (),
    stages: int = 1,
) -> list[lab.Trained]:
    """Trains `stages` stages together, for as many epochs as they would take one after the other.

    Args:
      study: The study.
      training_name: The training's name.
      name: One of `NETWORKS`.
      data: The data set.
      bases: The network of each trial to build on; none for the first stage.
      stages: The number of stages.
    """

    make = getattr(weirdonetworks, name)

    def training(trial: StagedConfig, base: Any) -> lab.Training:
        sampling = {"seed": trial.random_seed} if name == "RandomSample" else {}
        return lab.Training(
            training_name,
            # Each network has a base of its own: trials in one program pass theirs through one network.
            lambda: make(len(data.classes), stages=stages, base=copy.deepcopy(base), **sampling),
            lab.classifier(data, ("is_training", "seed")),
            data.residents,
            dataclasses.replace(trial, epochs=trial.epochs * stages),
            {"stages": stages},
        )

    return study.trials(list(map(training, study.config.trials(), bases or [None] * study.config.num_trials)))


# What the blocks of each network take, and what becomes of their outputs.
BLOCKS = {
    "ExpansionSerial": "blocks read frozen features",
    "ExpansionParallel": "blocks read the pixels",
    "RandomSample": "blocks read random pixels",
    "Residual": "blocks add to frozen features",
}


def draw(found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the test accuracy by epoch, stage by stage and at once, of the first seed."""
    figure, every = lab.plots.pairs(len(found), height=3.0)
    for axes in every[1:]:
        axes.sharey(every[0])
    for axes, (name, each) in zip(every, found.items(), strict=True):
        epochs = range(1, len(each["curves"]["at_once"]) + 1)
        for key, label in (("stages", "stage by stage"), ("at_once", "at once")):
            axes.plot(epochs, [100 * accuracy for accuracy in each["curves"][key]], marker=".", label=label)
        for number in range(1, len(each["stages"])):
            place = number * len(epochs) / len(each["stages"]) + 0.5
            axes.axvline(place, color="0.8", linewidth=1, zorder=0, label="new stage" if number == 1 else None)
        axes.set(title=f"{BLOCKS[name]}\n({name})", xlabel="epoch, over all stages", ylabel="test accuracy (%)")
    lab.plots.legend(every[0])
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = [
        [name, f"{each['parameters']:,}", *map(lab.percent, (*each["stages"], each["at_once"]))]
        for name, each in found.items()
    ]
    stages = len(next(iter(found.values()))["stages"])
    header = ["test accuracy", "parameters", *(f"stage {number + 1}" for number in range(stages)), "at once"]
    yield lab.table(header, rows)
