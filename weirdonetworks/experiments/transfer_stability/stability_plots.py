"""Plots of stability under transformations: models side by side, and one model input by input."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from weirdonetworks import lab

if TYPE_CHECKING:
    from weirdonetworks.measure.stability import Stability

LEAST = 1e-16  # Smaller variances, which are rounding, are drawn as this: 0 has no logarithm.
MARKED = 24  # Curves over more transformations have no markers.
STYLES = ("-", "--", ":", "-.")


def compared(
    models: Mapping[str, "Stability"], at: npt.ArrayLike | None = None, sweep: str = "transformation"
) -> lab.plots.Figure:
    """Draws models side by side: accuracy by transformation, and the distribution of variances over inputs.

    Args:
      models: Name -> measured stability; at least one.
      at: The coordinate of each transformation, such as its angle; 0, 1, ... if None.
      sweep: The label of that axis, such as `rotation (degrees)`.

    Raises:
      ValueError: If there is no model, or a model's accuracy is not of as many transformations as `at`.
    """
    if not models:
        raise ValueError("models must hold at least one.")
    places = None if at is None else np.asarray(at, np.float64)
    with_accuracy = any(each.accuracy is not None for each in models.values())
    figure, axes = lab.plots.row(2, widths=(1.4, 1.2)) if with_accuracy else lab.plots.row(1, widths=(1.5,))
    if with_accuracy:
        _draw_accuracy(axes[0], models, places)
        axes[0].set(xlabel=sweep)
    _draw_variance(axes[-1], models)
    handles, names = axes[-1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 4), frameon=False)
    return figure


def input_by_input(
    outputs: npt.NDArray[Any], labels: npt.NDArray[np.integer], at: npt.ArrayLike, sweep: str
) -> lab.plots.Figure:
    """Draws one classifier: error by transformation, probability of the true class of each input, and its variation.

    Args:
      outputs: Probabilities, `[transforms, inputs, classes]`.
      labels: The true class of each input, `[inputs]`.
      at: The coordinate of each transformation, such as its angle.
      sweep: The label of that axis, such as `rotation (degrees)`.
    """
    from weirdonetworks.measure.stability import transformation_difference, transformation_variance

    places = np.asarray(at, np.float64)
    right = outputs[:, np.arange(len(labels)), labels]
    wrong = outputs.argmax(axis=2) != labels
    figure, axes = lab.plots.row(3, widths=(1.2, 1.4, 1.4))
    axes[0].plot(places, 100 * wrong.mean(axis=1), color=lab.plots.COLOURS[0])
    chance = 1 - 1 / outputs.shape[2]
    axes[0].set(title="error", xlabel=sweep, ylabel="%", ylim=(0, 102 * max(chance, wrong.mean(axis=1).max())))
    rows = right[:, np.argsort(right.mean(axis=0))].T
    image = axes[1].pcolormesh(places, np.arange(len(labels)), rows, cmap="RdBu", vmin=0, vmax=1, rasterized=True)
    axes[1].set(title="probability of the true class", xlabel=sweep, ylabel="image, by mean probability")
    for each in axes[:2]:
        _mark_angles(each)
    figure.colorbar(image, ax=axes[1])
    points = axes[2].scatter(
        transformation_variance(outputs),
        transformation_difference(outputs, cyclic=True),
        c=100 * wrong.mean(axis=0),
        cmap="viridis_r",
        vmin=0,
        vmax=100,
        s=10,
    )
    axes[2].xaxis.set_major_locator(MaxNLocator(5))
    axes[2].set(title="each image", xlabel="transformation variance", ylabel="transformation difference")
    figure.colorbar(points, ax=axes[2], label="error over the sweep, %")
    figure.set_layout_engine("constrained", wspace=0.05)
    return figure


def _draw_accuracy(axes: lab.plots.Axes, models: Mapping[str, "Stability"], places: npt.NDArray[Any] | None) -> None:
    for index, (name, each) in enumerate(models.items()):
        if each.accuracy is None:
            continue
        across = np.arange(len(each.accuracy)) if places is None else places
        if across.shape != each.accuracy.shape:
            raise ValueError(
                f"at of shape {across.shape} must have a coordinate for each of the {len(each.accuracy)} "
                f"transformations of {name}."
            )
        axes.plot(across, 100 * each.accuracy, marker="." if len(across) <= MARKED else None, **_style(index))
    axes.set(title="accuracy", ylabel="%")
    if places is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        _mark_angles(axes)


def _mark_angles(axes: lab.plots.Axes) -> None:
    """Places the ticks of an axis of angles at divisors of a quarter turn."""
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 1.5, 3, 4.5, 9, 10]))


def _draw_variance(axes: lab.plots.Axes, models: Mapping[str, "Stability"]) -> None:
    curves = {name: np.sort(np.maximum(each.variance, LEAST)) for name, each in models.items()}
    for index, (name, rising) in enumerate(curves.items()):
        shares = 100 * np.arange(len(rising) + 1) / len(rising)
        axes.step(np.concatenate([rising[:1], rising]), shares, where="post", label=name, **_style(index))
    axes.set(title="transformation variance", xlabel="variance", ylabel="% of inputs with at most this", xscale="log")
    # A few outliers to the left would take most of the axis.
    axes.set_xlim(left=min(np.quantile(rising, 0.01) for rising in curves.values()) / 2)


def _style(index: int) -> dict[str, Any]:
    """Returns a distinct style for each index: colours first, then dashes too."""
    return {
        "color": lab.plots.COLOURS[index % len(lab.plots.COLOURS)],
        "linestyle": STYLES[index // len(lab.plots.COLOURS) % len(STYLES)],
    }
