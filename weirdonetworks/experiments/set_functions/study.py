"""Steps of the experiment `set_functions`: train, measure, draw, table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks import DeepSets, lab
from weirdonetworks.algebra import items
from weirdonetworks.experiments.set_functions import SetFunctionsConfig
from weirdonetworks.experiments.shared import digits, set_networks
from weirdonetworks.measure.stability import invariance_error

POOLINGS = ("mean", "max")
INNER = 64  # The width of h before its last layer, and of g.


def run(study: lab.Study[SetFunctionsConfig]) -> None:
    """Trains the networks and measures them."""
    config = study.config
    names = lab.literals.chosen("tasks", config.tasks, lab.set_tasks.TASKS)
    networks = lab.literals.chosen("networks", config.networks, set_networks.MAKERS)
    images = small = None
    if set(names) & set(lab.set_tasks.OF_IMAGES):
        images = study.load()
        small = lab.transformed.shrunk(images, config.shrink) if config.shrink > 1 else images
    times = {network: measure_times(network, config) for network in networks} if config.sizes else {}
    tasks: dict[str, Any] = {}
    widths: dict[str, Any] = {}
    for name in names:
        source = small if name == "digit_sum" else images
        task = lab.set_tasks.make(name, source, config.sets, config.items, config.points, config.data_seed)
        tasks[name] = {network: train_network(study, network, task) for network in networks}
        if name in lab.set_tasks.STATISTICS and config.widths:
            widths[name] = train_widths(study, task)
    results = {"items": config.items, "tasks": tasks, "widths": widths, "times": times}
    if study.options.dump_json:
        for part, draw_part in (("widths", draw_widths), ("times", draw_times)):
            if results[part]:
                lab.plots.save(draw_part(results), study.directory / f"{study.name}_{part}.png")
    study.finish(results, draw)


def measure_times(name: str, config: SetFunctionsConfig) -> dict[str, Any]:
    """Times a training step of a network, of one width, on sets of each size."""
    width = None
    found: dict[str, Any] = {}
    for size in sorted(set(config.sizes)):
        task = set_networks.random_task(size, config.data_seed)
        if reason := set_networks.left_out(name, task):
            found[str(size)] = {"left_out": reason}
            continue
        width = width or _widest(name, task, config.parameters)
        found[str(size)] = {"milliseconds": set_networks.step_milliseconds(name, width, task)}
    return {"width": width, "sizes": found}


def train_network(study: lab.Study[SetFunctionsConfig], name: str, task: lab.Task) -> dict[str, Any]:
    """Trains a network for a task, and measures it."""
    if reason := set_networks.left_out(name, task):
        return {"left_out": reason}

    width = _widest(name, task, study.config.parameters)
    trained = train(study, f"{task.name}_{name}", lambda: set_networks.make(name, width, task), task)
    return {
        "width": width,
        "parameters": trained[0].parameters,
        **_errors(trained),
        "invariance_error": lab.spread([_invariance_error(each.network, task, study.config) for each in trained]),
        "seconds": lab.spread([each.seconds for each in trained]),
    }


def train_widths(study: lab.Study[SetFunctionsConfig], task: lab.Task) -> dict[str, Any]:
    """Trains g(pool h(x_i)) for each pooling and width of h."""

    def errors(pooling: str, width: int) -> dict[str, Any]:
        def make() -> Any:
            return DeepSets([INNER, width], [INNER, task.outputs], pooling, tf.nn.leaky_relu)

        return _errors(train(study, f"{task.name}_{pooling}_of_width_{width}", make, task))

    return {pooling: {str(width): errors(pooling, width) for width in study.config.widths} for pooling in POOLINGS}


def train(study: lab.Study, name: str, make: Callable[[], Any], task: lab.Task) -> list[lab.Trained]:
    """Trains a network for a task."""
    objective = {
        "number": lambda network: lab.objectives.regression(network, task.tolerance),
        "class": lab.objectives.classification,
        "propositions": lab.objectives.propositions,
    }[task.kind]
    return study.repeat(name, make, task, objective)


def _errors(trained: Sequence[lab.Trained]) -> dict[str, Any]:
    """Gives the test accuracy, and the root of the loss: of numbers the error in standard deviations."""
    return {
        "accuracy": lab.final(trained, "test_accuracy"),
        "root_loss": lab.spread([each.final["test_avg_loss"] ** 0.5 for each in trained]),
    }


def _widest(name: str, task: lab.Task, budget: int) -> int:
    """Finds the greatest width at which a network has no more parameters than the budget."""
    return digits.fitting_width(lambda width: set_networks.make(name, width, task), task, budget)


def _invariance_error(network: Any, task: lab.Task, config: SetFunctionsConfig) -> float:
    """Measures in float64 the largest change of outputs under permutations of the items, over the largest output."""
    sets = task.test.images[: config.examined]
    return invariance_error(network, sets, items(task.items), dtype=tf.float64).overall_relative


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracies and the invariance errors."""
    networks = list(next(iter(found["tasks"].values())))
    figure, (accuracies, errors) = lab.plots.grid(2, heights=1.6 + 0.25 * len(networks))
    _draw_accuracies(accuracies, found["tasks"], networks)
    _draw_invariance(errors, found["tasks"], networks)
    return figure


def _draw_accuracies(axes: lab.plots.Axes, tasks: Any, networks: Sequence[str]) -> None:
    missing = {"mean": np.nan}
    shares = np.array([[each[name].get("accuracy", missing)["mean"] for each in tasks.values()] for name in networks])
    axes.imshow(100 * shares, cmap="YlGn", vmin=0, vmax=130, aspect="auto")  # Dark text is to be read on all of it.
    for (row, column), share in np.ndenumerate(shares):
        text = "-" if np.isnan(share) else f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", size=8)
    axes.set_yticks(range(len(networks)), map(lab.words, networks))
    axes.set_xticks(range(len(tasks)), map(lab.words, tasks), rotation=45, ha="right", rotation_mode="anchor")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("Test accuracy (%)")


def _draw_invariance(axes: lab.plots.Axes, tasks: Any, networks: Sequence[str]) -> None:
    for name, each in tasks.items():
        trained = [(row, each[network]) for row, network in enumerate(networks) if "left_out" not in each[network]]
        # An error of 0 has no logarithm.
        errors = [max(*cell["invariance_error"]["values"], 1e-17) for _, cell in trained]
        axes.plot(errors, [row for row, _ in trained], "o", markersize=4, alpha=0.8, label=lab.words(name))
    axes.set(xscale="log", xlim=(5e-18, 10), ylim=(len(networks) - 0.5, -0.5), yticks=range(len(networks)))
    axes.set_yticklabels([])
    axes.grid(axis="y", color="0.9")
    axes.set(title="Change under permutations", xlabel="largest change / largest output")
    axes.legend(fontsize=8, loc="center")


def draw_widths(found: Any) -> lab.plots.Figure:
    """Draws the error of deep sets by the width of h, for each answer and pooling."""
    figure, (axes,) = lab.plots.grid(1, heights=3.6)
    for index, (name, poolings) in enumerate(found["widths"].items()):
        for style, (pooling, by_width) in zip(("o-", "s--"), poolings.items(), strict=True):
            errors = [cell["root_loss"]["mean"] for cell in by_width.values()]
            look: Any = {"color": lab.plots.COLOURS[index], "markersize": 4, "label": f"{name}, pooled by {pooling}"}
            axes.plot(list(map(int, by_width)), errors, style, **look)
    axes.axvline(found["items"], color="0.8", linewidth=1, zorder=0)
    beside: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "color": "0.4"}
    axes.annotate(f"sets have {lab.counted(found['items'], 'item')}", (found["items"], 1), xytext=(4, -9), **beside)
    axes.set(xscale="log", yscale="log", title=r"Error of g(pool h($x_i$)) by the width of h", xlabel="width of h")
    axes.set(ylabel="error (standard deviations)")
    widths = list(map(int, next(iter(next(iter(found["widths"].values())).values()))))
    lab.plots.label_ticks(axes, widths)
    lab.plots.label_lines(axes)
    return figure


def draw_times(found: Any) -> lab.plots.Figure:
    """Draws the time of a training step by the items of a set, a panel for the networks of each first word."""
    timed = {
        network: {int(size): cell["milliseconds"] for size, cell in each["sizes"].items() if "milliseconds" in cell}
        for network, each in found["times"].items()
    }
    words = [network.partition("_")[0] for network in timed]
    families: dict[str, list[str]] = {}
    for network, word in zip(timed, words, strict=True):
        families.setdefault(word if words.count(word) > 1 else "", []).append(network)
    figure, panels = lab.plots.pairs(len(families), height=2.4)
    sizes = list(map(int, next(iter(found["times"].values()))["sizes"]))
    for axes, family in zip(panels, families.values(), strict=True):
        for network, times in timed.items():
            if times and network not in family:
                axes.plot(list(times), list(times.values()), color="0.85", linewidth=0.8, zorder=0)
        for network in family:
            if times := timed[network]:
                axes.plot(list(times), list(times.values()), "o-", markersize=4, label=lab.words(network))
        axes.set(xscale="log", yscale="log", xlabel="items of a set", ylabel="milliseconds")
        lab.plots.label_ticks(axes, sizes)
        lab.plots.label_lines(axes)
    figure.suptitle("Time of a training step (grey: that of the other networks)")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables, and lists what was left out."""
    tasks = found["tasks"]
    header, rows = ["network", *map(lab.words, tasks), "invariance error"], []
    for network in next(iter(tasks.values())):
        cells = [each[network] for each in tasks.values()]
        accuracies = ["-" if "left_out" in cell else lab.percent(cell["accuracy"]) for cell in cells]
        errors = [max(cell["invariance_error"]["values"]) for cell in cells if "left_out" not in cell]
        rows.append([lab.words(network), *accuracies, f"{max(errors):.0e}" if errors else "-"])
    named = {
        f"{lab.words(name)}, {lab.words(network)}": each[network] for name, each in tasks.items() for network in each
    }
    title = "accuracy on test sets, and the largest invariance error"
    yield f"{title}\n{lab.table(header, rows)}{_left_out(named)}"
    for name, poolings in found["widths"].items():
        header = ["pooling", *(f"h of width {width}" for width in next(iter(poolings.values())))]
        rows = [[pooling, *map("{0[root_loss][mean]:.3f}".format, each.values())] for pooling, each in poolings.items()]
        yield f"error in standard deviations, {name}\n{lab.table(header, rows)}"
    if found["times"]:
        yield _times_table(found["times"])


def _times_table(times: Any) -> str:
    sizes = list(next(iter(times.values()))["sizes"])
    rows = []
    for network, each in times.items():
        cells = [f"{cell['milliseconds']:.1f}" if "milliseconds" in cell else "-" for cell in each["sizes"].values()]
        rows.append([lab.words(network), str(each["width"] or "-"), *cells])
    counts = {size: lab.counted(int(size), "item") for size in sizes}
    named = {
        f"{counts[size]}, {lab.words(name)}": each["sizes"][size] for name, each in times.items() for size in sizes
    }
    table = lab.table(["network", "width", *counts.values()], rows)
    return f"milliseconds of a training step\n{table}{_left_out(named)}"


def _left_out(cells: Mapping[str, Any]) -> str:
    """Lists the cells of a table that were left out, and why."""
    reasons = {name: cell["left_out"] for name, cell in cells.items() if "left_out" in cell}
    return "".join(f"\n- {name}: left out, as {reason}." for name, reason in reasons.items())
