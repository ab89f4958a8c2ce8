"""Axes on which what matters can be told apart: shares close to one, and powers of ten from none to thousands."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

PLAIN, LOG, ACCURACY, SPARSITY, POWER = SCALES = ("plain", "log", "accuracy", "sparsity", "power")

# A share s is drawn at -log10(1 - s): 0.9, 0.99 and 0.999 are equally far apart. No share is told from one beyond this.
_LEAST_REST = 1e-5
_SHARES = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
_POWERS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
# Losses and error rates further apart than this factor are drawn on a logarithmic scale, and exponents above this.
_WIDE = 8.0
_LARGE_POWER = 20.0
_MARGIN = 0.05
# The least distance between ticks, as a share of the axis: their labels lie along x and across y.
_LEAST_GAP = {"x": 0.13, "y": 0.06}


def apply(axes: Axes, which: str, scale: str, values: npt.ArrayLike) -> None:
    """Sets the scale of an axis, its limits, ticks and their labels; call it when everything is drawn.

    Args:
      axes: The axes, one of those that share the axis.
      which: `x` or `y`.
      scale: One of `SCALES`.
      values: The runs' values along it. The limits hold them and what else is drawn, such as bands.
    """
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return
    axis = getattr(axes, f"{which}axis")
    set_scale = getattr(axes, f"set_{which}scale")
    low, high = numbers.min(), numbers.max()
    ticks: Sequence[float] | npt.NDArray[np.floating] = ()
    if scale == LOG and low > 0 and high > _WIDE * low:
        set_scale("log")
        ticks = [digit * 10.0**power for power in _decades(low, high) for digit in (1, 2, 5)]
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif scale == POWER:
        if high > _LARGE_POWER:
            set_scale("symlog", linthresh=1, linscale=0.4)
            ticks = _POWERS
        axis.set_major_formatter(FuncFormatter(_power))
    elif scale in (ACCURACY, SPARSITY):
        if scale == SPARSITY or 1 - low > _WIDE * max(1 - high, _LEAST_REST):
            set_scale("function", functions=(by_rest, from_rest))
            levels = np.unique(numbers.round(4))
            ticks = levels if scale == SPARSITY and len(levels) <= len(_SHARES) else _SHARES
        axis.set_major_formatter(FuncFormatter(percent))
    _set_limits(axes, which, numbers)
    if len(ticks):
        _place_ticks(axes, which, ticks)


def by_rest(share: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Places a share by the decimal logarithm of what is left of the whole."""
    return -np.log10(np.maximum(1 - np.asarray(share, float), _LEAST_REST))


def from_rest(place: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Undoes `by_rest`."""
    return 1 - 10 ** -np.asarray(place, float)


def _set_limits(axes: Axes, which: str, numbers: npt.NDArray[np.floating]) -> None:
    """Sets the limits to what is drawn, and a margin as wide to the eye on either side."""
    axis = getattr(axes, f"{which}axis")
    siblings = getattr(axes, f"get_shared_{which}_axes")().get_siblings(axes)
    ends = np.asarray([getattr(sibling.dataLim, f"interval{which}") for sibling in siblings])
    low = min(numbers.min(), ends[np.isfinite(ends)].min(initial=np.inf))
    high = max(numbers.max(), ends[np.isfinite(ends)].max(initial=-np.inf))
    if axis.get_scale() == "function":
        high = numbers.max()  # A band may reach beyond one, where there is no end to the axis.
    if axis.get_scale() == "log":
        low = numbers.min()  # Likewise below zero.
    transform = axis.get_transform()
    start, end = transform.transform(np.asarray([low, high]))
    margin = _MARGIN * (end - start) or _MARGIN
    limits = transform.inverted().transform(np.asarray([start - margin, end + margin]))
    getattr(axes, f"set_{which}lim")(*limits)


def _place_ticks(axes: Axes, which: str, candidates: Sequence[float] | npt.NDArray[np.floating]) -> None:
    """Puts ticks at those candidates that the axis shows, left out where they would run into each other."""
    axis = getattr(axes, f"{which}axis")
    place = axis.get_transform().transform
    low, high = place(np.asarray(axis.get_view_interval()))
    kept: dict[float, float] = {}
    for tick, here in zip(candidates, place(np.asarray(candidates, float)), strict=True):
        apart = all(abs(here - other) >= _LEAST_GAP[which] * (high - low) for other in kept.values())
        if low <= here <= high and apart:
            kept[float(tick)] = here
    axis.set_ticks(list(kept))
    axis.set_minor_locator(NullLocator())


def _decades(low: float, high: float) -> range:
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


def percent(share: float, _: object = None) -> str:
    """Writes a share as a tick's label.

    >>> percent(0.995)
    '99.5%'
    """
    return f"{100 * share:.6g}%"


def _power(value: float, _: object = None) -> str:
    return "1" if value == 0 else f"$10^{{{value:g}}}$"
