"""Plots of stability under rotation: models side by side, and one model input by input."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from weirdonetworks.lab import plots
from weirdonetworks.measure.stability import Stability, transformation_difference, transformation_variance

LEAST = 1e-16  # Smaller variances, which are rounding, are drawn as this: 0 has no logarithm.
MARKED = 24  # Curves over more angles have no markers.
STYLES = ("-", "--", ":", "-.")
SWEEP = "rotation (degrees)"


def compared(
    models: Mapping[str, Stability], angles: Sequence[float], constant: tuple[str, float] | None = None
) -> plots.Figure:
    """Draws models side by side: accuracy by angle, and the distribution of variances over inputs.

    Args:
      models: Name -> measured stability, with the accuracy at each angle; at least one.
      angles: The angles.
      constant: Name and accuracy of a constant prediction, to compare with.
    """
    figure, (accuracy, variance) = plots.grid(2, heights=3.4)
    curves = {name: np.sort(np.maximum(each.variance, LEAST)) for name, each in models.items()}
    for index, (name, rising) in enumerate(curves.items()):
        # Dashes keep a line visible that coincides with one before it.
        style: Any = {"color": plots.COLOURS[index % len(plots.COLOURS)], "linestyle": STYLES[index % len(STYLES)]}
        marker = "." if len(angles) <= MARKED else None
        accuracy.plot(angles, 100 * np.asarray(models[name].accuracy), marker=marker, **style)
        shares = 100 * np.arange(len(rising) + 1) / len(rising)
        variance.step(np.concatenate([rising[:1], rising]), shares, where="post", label=name, **style)
    if constant is not None:
        name, share = constant
        accuracy.axhline(100 * share, color="0.5", linestyle=":", zorder=0)
        variance.plot([], [], color="0.5", linestyle=":", label=name)
    accuracy.set(title="accuracy by angle", ylabel="accuracy (%)", xlabel=SWEEP)
    _mark_angles(accuracy)
    variance.set(title="how stable the images are", ylabel="share of images with\nat most this variance (%)")
    variance.set(xlabel="variance of class probabilities over the turn", xscale="log")
    # A few outliers to the left would take most of the axis.
    variance.set_xlim(left=min(np.quantile(rising, 0.01) for rising in curves.values()) / 2)
    plots.legend(variance)
    return figure


def input_by_input(
    name: str, outputs: npt.NDArray[Any], labels: npt.NDArray[np.integer], angles: Sequence[float]
) -> plots.Figure:
    """Draws one classifier: error by angle, probability of the true class of each input, and its variation.

    Args:
      name: The classifier's name.
      outputs: Probabilities, `[angles, inputs, classes]`.
      labels: The true class of each input, `[inputs]`.
      angles: The angles.
    """
    right = outputs[:, np.arange(len(labels)), labels]
    wrong = outputs.argmax(axis=2) != labels
    figure, (error, by_input, variation) = plots.grid(1, 2, heights=(2.4, 3.2))
    by_angle, chance = wrong.mean(axis=1), 1 - 1 / outputs.shape[2]
    error.plot(angles, 100 * by_angle, color=plots.COLOURS[0])
    error.set(title=f"{name}: error by angle", xlabel=SWEEP, ylabel="images classified wrongly (%)")
    error.set_ylim(0, 102 * max(chance, by_angle.max()))
    rows = right[:, np.argsort(right.mean(axis=0))].T
    image = by_input.pcolormesh(angles, np.arange(len(labels)), rows, cmap="RdBu", vmin=0, vmax=1, rasterized=True)
    by_input.set(title="probability of the true class", xlabel=SWEEP, ylabel="image, sorted by its mean")
    for each in (error, by_input):
        _mark_angles(each)
    figure.colorbar(image, ax=by_input, label="probability")
    across, along = transformation_variance(outputs), transformation_difference(outputs, cyclic=True)
    percent: Any = {"c": 100 * wrong.mean(axis=0), "cmap": "viridis_r", "vmin": 0, "vmax": 100}
    points = variation.scatter(across, along, s=10, **percent)
    variation.xaxis.set_major_locator(MaxNLocator(5))
    variation.set(title="each image", xlabel="variance over all angles", ylabel="difference of neighbouring angles")
    figure.colorbar(points, ax=variation, label="angles at which it is wrong (%)")
    return figure


def _mark_angles(axes: plots.Axes) -> None:
    """Places the ticks of an axis of angles at divisors of a quarter turn."""
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 1.5, 3, 4.5, 9, 10]))
