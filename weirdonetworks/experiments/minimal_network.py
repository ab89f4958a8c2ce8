"""How small can a network of each kind be?

usage: python -m weirdonetworks.experiments.minimal_network [--flag=value ...]

Searches, for each kind of network, the least width of its one hidden layer at which it reaches an accuracy:

    python -m weirdonetworks.experiments.minimal_network
    python -m weirdonetworks.experiments.minimal_network --turn=90 --targets=0.9,0.95

The width is doubled until the mean validation accuracy reaches the target, then halved in on. Accuracy is noisy and
need not rise with the width, so a smaller network may reach the target all the same, the less likely the more
`--num_trials`. The test accuracy is of the one that was found. Images are 14 x 14 unless `--shrink=1`.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weirdonetworks.experiments import digits
from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import RunOptions, setting
from weirdonetworks.lab.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class MinimalNetworkConfig(digits.MonomialsConfig):
    """What the experiment is told."""

    targets: tuple[float, ...] = setting((0.97, 0.98), "Validation accuracies to reach.", minimum=0.0, maximum=1.0)
    max_width: int = setting(1024, "Give up at this width.", minimum=1)
    turn: int = digits.turn(digits.UPRIGHT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_size == 0:
            raise UsageError(
                "validation_size (=0) must be at least 1: the least width is sought by validation accuracy."
            )


def main(config: MinimalNetworkConfig, options: RunOptions) -> None:
    """Runs the experiment, and prints what it found."""
    startup.import_tensorflow()
    from weirdonetworks.lab.records import tables
    from weirdonetworks.lab.training import study

    with study.opened("minimal_network", config, options) as opened:
        if not opened.is_finished:
            opened.finish(find(opened, config, options), draw)
        rows = []
        for each in opened.results["networks"]:
            row = [each["kind"], f"{each['target']:.1%}"]
            if each["width"] is None:
                rows.append([*row, "-", "-", f"{each['best']:.2%} at most"])
            else:
                rows.append([*row, str(each["width"]), f"{each['parameters']:,}", study.percent(each["test_accuracy"])])
        print(f"\n{tables.table(['network', 'target', 'width', 'parameters', 'test accuracy'], rows)}")


def find(opened: Any, config: MinimalNetworkConfig, options: RunOptions) -> dict[str, Any]:
    """Trains networks until the least are found."""
    from weirdonetworks.lab.data import transformed
    from weirdonetworks.lab.training import loop

    data = transformed.turned(digits.load(config, options), config.turn, config.data_seed)
    side = data.train.images.shape[1]
    splits = loop.residents(data)
    networks, tried = [], []
    for kind in digits.KINDS:
        found: dict[int, Any] = {}

        def at(width: int, kind: str = kind, found: dict[int, Any] = found) -> dict[str, Any]:
            if width not in found:
                make = digits.maker(kind, side, config.degree, [width, len(data.classes)])
                objective = digits.classifier(data)
                name = f"{kind}_{width}"
                trained = [opened.train(name, make, objective, splits, trial) for trial in config.trials()]
                found[width] = digits.accuracies(trained)
            return found[width]

        for target in config.targets:
            width = least(lambda width: at(width)["validation_accuracy"]["mean"], target, config.max_width)
            best = max(each["validation_accuracy"]["mean"] for each in found.values())
            networks.append(
                {"kind": kind, "target": target, "width": width, "best": best, **(found[width] if width else {})}
            )
        tried += [{"kind": kind, "width": width, **found[width]} for width in sorted(found)]
    return {"networks": networks, "tried": tried}


def least(reached: Callable[[int], float], target: float, limit: int) -> int | None:
    """Finds a width that reaches a target while the next smaller one that was tried does not; None up to the limit.

    >>> least(lambda width: width / 100, target=0.11, limit=64)
    11
    >>> least(lambda width: width / 100, target=0.9, limit=64) is None
    True
    """
    low, high = 0, 1
    while reached(high) < target:
        if high >= limit:
            return None
        low, high = high, min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= target else (middle, high)
    return high


def draw(found: Any) -> "Figure":
    """Draws the accuracy of all networks that were tried against their parameters."""
    from weirdonetworks.lab import plots

    figure, (axes,) = plots.row(1, widths=(1.7,))
    for kind in digits.KINDS:
        tried = sorted((each for each in found["tried"] if each["kind"] == kind), key=lambda each: each["parameters"])
        axes.plot(
            [each["parameters"] for each in tried],
            [100 * each["validation_accuracy"]["mean"] for each in tried],
            marker=".",
            label=kind,
        )
    for target in sorted({each["target"] for each in found["networks"]}):
        axes.axhline(100 * target, color="0.5", linestyle=":")
    lowest = min(each["target"] for each in found["networks"])
    axes.set(title="accuracy against size", xlabel="parameters", ylabel="validation accuracy, %", xscale="log")
    axes.set_ylim(bottom=100 * (3 * lowest - 2))
    axes.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    flags.run(main, MinimalNetworkConfig, RunOptions)
