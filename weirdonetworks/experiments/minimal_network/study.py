"""Steps of the experiment `minimal_network`: train, measure, draw, table."""

import functools
from collections.abc import Iterator
from typing import Any

from weirdonetworks import lab
from weirdonetworks.experiments.minimal_network import MinimalNetworkConfig
from weirdonetworks.experiments.shared import digits


def run(study: lab.Study[MinimalNetworkConfig]) -> None:
    """Trains networks until the smallest are found."""
    config = study.config
    data = lab.transformed.turned(digits.load(study), config.turn, config.data_seed)
    networks, tried = [], []
    for kind in digits.KINDS:
        found: dict[int, Any] = {}

        def reaches(width: int, target: float, kind: str = kind, found: dict[int, Any] = found) -> bool:
            if width not in found:
                sizes = [width, len(data.classes)]
                make = functools.partial(digits.network, kind, data.side, config.degree, sizes)
                found[width] = digits.accuracies(study.repeat(f"{kind}_{width}", make, data))
            return found[width]["validation_accuracy"]["mean"] >= target

        for target in config.targets:
            width = digits.least(functools.partial(reaches, target=target), config.max_width)
            best = max(each["validation_accuracy"]["mean"] for each in found.values())
            search = {"kind": kind, "target": target, "width": width, "best": best}
            networks.append(search | found[width] if width else search)
        tried += [{"kind": kind, "width": width, **found[width]} for width in sorted(found)]
    study.finish({"networks": networks, "tried": tried}, draw)


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracy of all networks tried, by their number of weights, from just below the lowest target."""
    figure, (axes,) = lab.plots.grid(1, heights=4.0)
    for kind in digits.KINDS:
        tried = sorted((each for each in found["tried"] if each["kind"] == kind), key=lambda each: each["parameters"])
        accuracies = [100 * each["validation_accuracy"]["mean"] for each in tried]
        axes.plot([each["parameters"] for each in tried], accuracies, marker=".", label=kind)
    targets = {each["target"] for each in found["networks"]}
    for target in targets:
        axes.axhline(100 * target, color="0.5", linestyle=":")
        place = axes.get_yaxis_transform()  # Shares of the width across, accuracies up.
        axes.text(0.01, 100 * target, f"target {target:.0%}", transform=place, va="bottom", color="0.3")
    lowest = 3 * min(targets) - 2
    seen = [each["parameters"] for each in found["tried"] if each["validation_accuracy"]["mean"] >= lowest]
    axes.set(title="accuracy by size", xlabel="weights", ylabel="validation accuracy (%)", xscale="log")
    axes.set_ylim(100 * lowest, 100)
    if seen:
        axes.set_xlim(min(seen) / 2, max(seen) * 2)
    axes.legend(loc="lower right")
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = []
    for each in found["networks"]:
        row = [each["kind"], f"{each['target']:.1%}"]
        if each["width"] is None:
            rows.append([*row, "-", "-", f"{each['best']:.2%} at most"])
        else:
            rows.append([*row, str(each["width"]), f"{each['parameters']:,}", lab.percent(each["test_accuracy"])])
    yield lab.table(["network", "target", "width", "parameters", "test accuracy"], rows)
