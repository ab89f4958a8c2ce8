"""Steps of the driver `align`: train, match, measure the line, draw, table."""

import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from weight_symmetry import alignment
from weight_symmetry.align import AlignConfig
from weight_symmetry.run.model_trials import FIXED_CALL
from weight_symmetry.run.trained import TrainedNetworks, Values
from weirdonetworks.lab import plots
from weirdonetworks.lab.data.datasets import Dataset, Resident
from weirdonetworks.lab.records import tables
from weirdonetworks.lab.records.tables import words
from weirdonetworks.lab.training.study import Study, formatted, spread, spreads
from weirdonetworks.measure.unit_graph import UnitGraph

NAIVE = "not_aligned"
REPAIRED = "_repaired"


def run(study: Study[AlignConfig]) -> None:
    """Trains the pairs of each width, and measures them."""
    config, data, widths = study.config, study.load(), {}
    for factor in config.width_factors:
        trained = TrainedNetworks(config.widened(factor), study.options, study.directory, data)
        values = [each.values for each in trained.train(range(2 * config.num_trials))]
        pairs = zip(values[::2], values[1::2], strict=True)
        found = [measured(config, trained, data, pair) for pair in pairs]
        widths[f"{factor:g}"] = {name: spreads([each[name] for each in found]) for name in found[0]}
    study.finish({"points": config.points, "widths": widths}, functools.partial(draw, config))


def measured(
    config: AlignConfig, trained: TrainedNetworks, data: Dataset, pair: tuple[Values, Values]
) -> dict[str, dict[str, Any]]:
    """Measures the line between two networks for each method.

    Returns:
      For each method the barriers, the losses and accuracies on the line, the cosine of the angle between the weights,
      and the seconds of matching.
    """
    part = data.train[: config.line_images]
    images = data.standardisation(part.images).numpy()
    size = min(config.match_batch, len(part))
    splits = {"train": Resident(part), "test": data.residents["test"]}
    if config.normalise:
        networks = trained.holding(*pair)
        for network in networks:
            alignment.normalise(network, images[:1], **FIXED_CALL)
        a, b = ([variable.numpy() for variable in network.variables] for network in networks)
        pair = a, b

    def measure(model: Any) -> dict[str, float]:
        del model  # The networks' trainer evaluates the first, which holds the interpolated values.
        return {
            f"{split}_{name}": value
            for split, resident in splits.items()
            for name, value in trained.trainers[0].evaluate(resident).items()
        }

    def repair(model: Any) -> None:
        alignment.repair(model, images[:size], is_training=True, seed=tf.zeros([2], tf.int32))

    found: dict[str, dict[str, Any]] = {}
    for method in (NAIVE, *alignment.METHODS[: 4 if config.match_steps else 2]):
        model_a, model_b = trained.holding(*pair)
        started = time.perf_counter()
        if method != NAIVE:
            matched = alignment.match(
                model_a,
                model_b,
                images[:size],
                method=method,
                seed=config.random_seed,
                steps=config.match_steps,
                is_training=False,
                data=None if method == "weights" else [images, part.labels],
            )
            UnitGraph.trace(model_b, images[:1], **FIXED_CALL).permute(matched.by_space)
        seconds = time.perf_counter() - started
        for name, correct in (method, None), (method + REPAIRED, repair):
            if correct is None or any(not variable.trainable for variable in model_a.variables):
                path = alignment.linear_path(model_a, model_b, measure, config.points, correct)
                found[name] = described(path) | {"similarity": cosine(model_a, model_b), "seconds": seconds}
    return found


def described(path: alignment.Path) -> dict[str, Any]:
    """Returns a path's metrics, and its barriers of loss and accuracy on both splits."""
    barriers = {
        f"{split}_{metric}_barrier": path.barrier(f"{'-' if metric == 'accuracy' else ''}{split}_{metric}")
        for split in ("train", "test")
        for metric in ("loss", "accuracy")
    }
    return barriers | {name: values.tolist() for name, values in path.metrics.items()}


def cosine(one: Any, other: Any) -> float:
    """Computes the cosine of the angle between the trainable weights of two networks."""
    a, b = (np.concatenate([np.ravel(v) for v in each.trainable_variables]) for each in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def draw(config: AlignConfig, found: Any) -> plots.Figure:
    """Draws loss and accuracy on the line at the greatest width, and the barrier against width if there are several."""
    widths = found["widths"]
    largest = widths[max(widths, key=float)]
    figure, panels = plots.pairs(3 if len(widths) > 1 else 2, height=3.0)
    shares = np.linspace(0, 1, found["points"])
    for name, each in largest.items():
        for axes, metric, scale in ((panels[0], "loss", 1), (panels[1], "accuracy", 100)):
            axes.plot(shares, scale * np.array(each[f"test_{metric}"]), label=_label(name), **_style(name))
    panels[0].set(title="loss between two networks", ylabel="test loss (nats)", xlabel="share of the second network")
    panels[1].set(title="accuracy between them", ylabel="test accuracy (%)", xlabel="share of the second network")
    if len(widths) > 1:
        places = sorted(map(float, widths))
        for name in largest:
            barriers = [widths[f"{place:g}"][name]["test_loss_barrier"] for place in places]
            plots.error_bars(panels[2], places, barriers, scale=1, marker=".", **_style(name))
        panels[2].set(title="barrier by width", xlabel="units per hidden layer")
        panels[2].set_ylabel("barrier of the test loss (nats)")
        panels[2].set_xscale("log")
        hidden = [config.hidden(place) for place in places]
        names = ["-".join(map(str, sizes[:1] if len(set(sizes)) == 1 else sizes)) for sizes in hidden]
        panels[2].set_xticks(places, names)
        panels[2].minorticks_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="aligned by", loc="outside lower center", ncols=3)
    return figure


_NAMES = {NAIVE: "nothing", "straight_through": "straight-through gradients", "sinkhorn": "Sinkhorn's matrices"}


def _label(name: str) -> str:
    method = name.removesuffix(REPAIRED)
    text = _NAMES.get(method, words(method))
    return text if method == name else f"{text}, norms measured anew"


def _style(name: str) -> dict[str, Any]:
    index = (NAIVE, *alignment.METHODS).index(name.removesuffix(REPAIRED))
    # Dashes keep a line visible that coincides with one before it.
    line = ":" if name.endswith(REPAIRED) else ("-", "--")[index == len(alignment.METHODS)]
    return {"color": plots.COLOURS[index], "linestyle": line}


def table(found: Any) -> Iterator[str]:
    """Formats the results as a table."""
    for factor, methods in found["widths"].items():
        if len(found["widths"]) > 1:
            yield f"width x {factor}"
        rows = [[words(name), *_row(each)] for name, each in methods.items()]
        header = [
            "",
            "barrier of the loss, train",
            "test",
            "of the accuracy (points), train",
            "test",
            "cosine",
            "seconds",
        ]
        yield tables.table(header, rows)


def _row(each: Mapping[str, Any]) -> list[str]:
    def points(barrier: Mapping[str, Any]) -> str:
        return formatted(spread([100 * value for value in barrier["values"]]), ".2f")

    return [
        formatted(each["train_loss_barrier"], ".3f"),
        formatted(each["test_loss_barrier"], ".3f"),
        points(each["train_accuracy_barrier"]),
        points(each["test_accuracy_barrier"]),
        formatted(each["similarity"], ".3f"),
        f"{each['seconds']['mean']:.1f}",
    ]
