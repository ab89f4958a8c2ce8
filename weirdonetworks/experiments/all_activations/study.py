"""Steps of the experiment `all_activations`: train, measure, draw, table."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from weirdonetworks import AllActivations, lab
from weirdonetworks.experiments.all_activations import GROUP, AllActivationsConfig

ALL = {"concat": "all_concat", "sum": "all_sum"}  # The networks that have all activations, by reduction.
MEASURED = 10_000  # The training images over which an activation's mean is taken.


def run(study: lab.Study[AllActivationsConfig]) -> None:
    """Trains the networks and measures them."""
    config, data = study.config, study.load()
    hidden_sizes = _hidden_sizes(config, data.train.images[0].size, len(data.classes))
    trained = {name: train(study, name, sizes, data) for name, sizes in hidden_sizes.items()}
    some, test = data.standardisation(data.residents["train"].images[:MEASURED]), data.residents["test"]

    def without(name: str, trials: Sequence[lab.Trained]) -> dict[str, Any]:
        return lab.spread([_accuracy_without(name, each, some, test) for each in trials])

    lost = {reduce: {each: without(each, trained[name]) for each in config.activations} for reduce, name in ALL.items()}
    results = {
        "parameters": {name: each[0].parameters for name, each in trained.items()},
        "hidden_sizes": hidden_sizes,
        "test_accuracy": {name: lab.final(each, "test_accuracy") for name, each in trained.items()},
        "weights": {reduce: _weights(trained[name][0]) for reduce, name in ALL.items()},
        "without": lost,
    }
    study.finish(results, draw)


def train(
    study: lab.Study[AllActivationsConfig], name: str, hidden_sizes: Sequence[int], data: lab.Dataset
) -> list[lab.Trained]:
    """Trains one of the networks, with all activations or with the one it is named after."""
    names = study.config.activations if name in ALL.values() else (name,)
    reduce = "sum" if name == ALL["sum"] else "concat"

    def hooks(made: AllActivations) -> list[lab.Hook]:
        return [lab.Following(lambda: {f"weight/{key}": size for key, size in made.given_weights().items()})]

    entry, trainings = {"activations": names, "hidden_sizes": hidden_sizes}, []
    for trial in study.config.trials():
        make = functools.partial(AllActivations, hidden_sizes, len(data.classes), names, reduce, trial.random_seed)
        trainings.append(lab.Training(name, make, lab.classifier(data), data.residents, trial, entry, hooks))
    return study.trials(trainings)


def _weights(trained: lab.Trained) -> list[dict[str, float]]:
    """Lists the weights of the activations at the start and after each epoch."""
    end = trained.network.given_weights()
    return [*({key: record[f"weight/{key}"] for key in end} for record in trained.records), end]


def _accuracy_without(name: str, trained: lab.Trained, images: tf.Tensor, test: lab.datasets.Resident) -> float:
    """Measures the test accuracy with an activation replaced by its mean; the network is then restored."""
    variables = trained.network.trainable_variables
    saved = [variable.numpy() for variable in variables]
    trained.network.silence(name, images)
    accuracy = trained.trainer.evaluate(test)["accuracy"]
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(value)
    return accuracy


def _hidden_sizes(config: AllActivationsConfig, inputs: int, classes: int) -> dict[str, tuple[int, int]]:
    """Chooses the hidden sizes of each network, all with about the same number of weights."""
    both = (config.units, config.units)
    matching = matching_sizes(parameters(inputs, both, classes, len(config.activations)), inputs, classes)
    return {ALL["concat"]: both, ALL["sum"]: matching, **dict.fromkeys(config.activations, matching)}


def parameters(inputs: int, hidden_sizes: tuple[int, int], classes: int, activations: int = 1) -> int:
    """Counts the weights of the dense layers, each of which after the first reads several activations of each unit.

    Those of the activations themselves are left out, some dozens at most.

    >>> parameters(784, (64, 64), 10, activations=10)
    97674
    """
    first, second = hidden_sizes
    return (inputs + 1) * first + (activations * first + 1) * second + (activations * second + 1) * classes


def matching_sizes(wanted: int, inputs: int, classes: int) -> tuple[int, int]:
    """Finds two hidden sizes, multiples of `GROUP`, with the wanted number of weights up to half a percent.

    Of several, the two that differ least.

    >>> matching_sizes(97674, 784, 10)
    (104, 136)

    Raises:
      UsageError: If there are no such sizes.
    """
    matching = []
    for first in range(GROUP, wanted // inputs, GROUP):
        second = GROUP * round((wanted - (inputs + 1) * first - classes) / ((first + 1 + classes) * GROUP))
        if second >= GROUP and abs(parameters(inputs, (first, second), classes) / wanted - 1) < 0.005:
            matching.append((first, second))
    if not matching:
        raise lab.UsageError(
            f"no network with one activation function has {lab.counted(wanted, 'weight')}: raise --units."
        )
    return min(matching, key=lambda sizes: abs(sizes[0] - sizes[1]))


def draw(found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the accuracies, the weights of activations by epoch (first seed), and the accuracy lost without each."""
    figure, (accuracies, losses, *weights) = lab.plots.grid(2, 2, heights=3.4)
    networks = list(found["test_accuracy"])
    names = [name for name in networks if name not in ALL.values()]
    values = [found["test_accuracy"][name] for name in networks]
    lab.plots.error_bars(accuracies, range(len(networks)), values, horizontal=True, fmt="o")
    accuracies.set(title="Accuracy of each network", xlabel="test accuracy (%)")
    lab.plots.name_rows(accuracies, map(lab.words, networks))
    for axes, (reduce, records) in zip(weights, found["weights"].items(), strict=True):
        kinds = list(dict.fromkeys(map(_kind, names)))
        for index, name in enumerate(names):
            given = [(record[f"layer_0/{name}"] + record[f"layer_1/{name}"]) / 2 for record in records]
            colour = lab.plots.COLOURS[kinds.index(_kind(name)) % len(lab.plots.COLOURS)]
            line = "--" if _kind(name) in map(_kind, names[:index]) else "-"
            axes.plot(given, color=colour, linestyle=line, label=lab.words(name))
        axes.set(title=f"Weight given: {lab.words(ALL[reduce])}", xlabel="epoch", ylim=(0, None))
        axes.set_ylabel({"concat": "norm of the weights read", "sum": "size of the gate"}[reduce])
        lab.plots.label_lines(axes)
    for reduce, shift in zip(ALL, (-0.15, 0.15), strict=True):
        whole, without = found["test_accuracy"][ALL[reduce]]["mean"], found["without"][reduce]
        lost = [100 * (whole - without[name]["mean"]) for name in names]
        losses.barh([index + shift for index in range(len(names))], lost, height=0.3, label=lab.words(ALL[reduce]))
    losses.set(title="Accuracy lost without a function", xlabel="test accuracy lost (percentage points)")
    lab.plots.name_rows(losses, map(lab.words, names))
    losses.legend(loc="lower right")
    return figure


def _kind(name: str) -> str:
    """Returns what functions of several sizes share, and a colour is for: `softmax` of `softmax_4`."""
    return name.rstrip("0123456789").rstrip("_")


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = []
    for name, accuracy in found["test_accuracy"].items():
        widths = "-".join(map(str, found["hidden_sizes"][name]))
        without = [lab.percent(lost[name]) if name in lost else "" for lost in found["without"].values()]
        rows.append([name, widths, f"{found['parameters'][name]:,}", lab.percent(accuracy), *without])
    header = ["network", "hidden units", "parameters", "test accuracy", *(f"{ALL[each]} without" for each in ALL)]
    yield lab.table(header, rows)
