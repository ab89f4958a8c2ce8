"""Axis scales for fractions close to one and for powers of ten with exponents up to thousands."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

PLAIN, LOG, ACCURACY, SPARSITY, POWER = SCALES = ("plain", "log", "accuracy", "sparsity", "power")

# A fraction s is drawn at -log10(1 - s), so 0.9, 0.99 and 0.999 are evenly spaced. 1 - s is clipped to this minimum.
_LEAST_REST = 1e-5
_SHARES = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
_POWERS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
# The smallest ratio of values for a logarithmic scale, and the smallest exponent for a symmetric-log scale.
_WIDE = 8.0
_LARGE_POWER = 20.0
_MARGIN = 0.05
# The least distance between ticks, as a fraction of the axis; labels are wider than high.
_LEAST_GAP = {"x": 0.13, "y": 0.06}


def apply(axes: Axes, which: str, scale: str, values: npt.ArrayLike) -> None:
    """Sets the scale of an axis, its limits, ticks and tick labels, after everything is drawn.

    Args:
      axes: The axes, or one of several that share the axis.
      which: `x` or `y`.
      scale: One of `SCALES`.
      values: The plotted values. The limits include them and other artists, such as bands.
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
            set_scale("function", functions=(complement_log, from_complement_log))
            levels = np.unique(numbers.round(4))
            ticks = levels if scale == SPARSITY and len(levels) <= len(_SHARES) else _SHARES
        axis.set_major_formatter(FuncFormatter(percent))
    _set_limits(axes, which, numbers)
    if len(ticks):
        _place_ticks(axes, which, ticks)


def complement_log(share: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Maps a fraction s to -log10(1 - s)."""
    return -np.log10(np.maximum(1 - np.asarray(share, float), _LEAST_REST))


def from_complement_log(place: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Maps -log10(1 - s) to the fraction s, the inverse of `complement_log`."""
    return 1 - 10 ** -np.asarray(place, float)


def _set_limits(axes: Axes, which: str, numbers: npt.NDArray[np.floating]) -> None:
    """Sets the limits to the drawn data, with equal margins on both sides."""
    axis = getattr(axes, f"{which}axis")
    siblings = getattr(axes, f"get_shared_{which}_axes")().get_siblings(axes)
    ends = np.asarray([getattr(sibling.dataLim, f"interval{which}") for sibling in siblings])
    low = min(numbers.min(), ends[np.isfinite(ends)].min(initial=np.inf))
    high = max(numbers.max(), ends[np.isfinite(ends)].max(initial=-np.inf))
    if axis.get_scale() == "function":
        high = numbers.max()  # A band may extend beyond one, which maps to infinity.
    if axis.get_scale() == "log":
        low = numbers.min()  # Likewise below zero.
    transform = axis.get_transform()
    start, end = transform.transform(np.asarray([low, high]))
    margin = _MARGIN * (end - start) or _MARGIN
    limits = transform.inverted().transform(np.asarray([start - margin, end + margin]))
    getattr(axes, f"set_{which}lim")(*limits)


def _place_ticks(axes: Axes, which: str, candidates: Sequence[float] | npt.NDArray[np.floating]) -> None:
    """Sets ticks at the candidates within the limits, skipping those too close to the previous ones."""
    axis = getattr(axes, f"{which}axis")
    place = axis.get_transform().transform
    low, high = place(np.asarray(axis.get_view_interval()))
    chosen: dict[float, float] = {}
    for tick, here in zip(candidates, place(np.asarray(candidates, float)), strict=True):
        apart = all(abs(here - other) >= _LEAST_GAP[which] * (high - low) for other in chosen.values())
        if low <= here <= high and apart:
            chosen[float(tick)] = here
    axis.set_ticks(list(chosen))
    axis.set_minor_locator(NullLocator())


def _decades(low: float, high: float) -> range:
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


def percent(share: float, _: object = None) -> str:
    """Formats a fraction as a tick label in percent.

    >>> percent(0.995)
    '99.5%'
    """
    return f"{100 * share:.6g}%"


def _power(value: float, _: object = None) -> str:
    return "1" if value == 0 else f"$10^{{{value:g}}}$"
