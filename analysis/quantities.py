"""Quantities that can be plotted: values of the runs, with an axis label and a scale."""

import dataclasses

import pandas as pd

from analysis import records, scales, summaries

# Labels of where a measurement was taken; empty for the default.
_PLACES = {"mask": "", "final": "after the last epoch"}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One number per run, with an axis label and a scale.

    Attributes:
      name: The name that it was requested by.
      label: The axis label.
      values: The numbers; NaN where a run has none.
      scale: One of `scales.SCALES`.
      needs: The record keys that it is computed from, as a text.
    """

    name: str
    label: str
    values: pd.Series
    scale: str
    needs: str


def quantity(frame: pd.DataFrame, name: str) -> Quantity:
    """Returns a quantity of runs by name.

    Args:
      frame: The runs.
      name: `accuracy`, `sparsity`, or the name of a column, such as `mask/permutation_log10`. Counts
        that exceed the range of floats (`mask/permutations`) are replaced by their logarithms.
    """
    if name == "accuracy":
        epoch = summaries.accuracy_epoch(frame)
        label = f"test accuracy\n({epoch})" if epoch else "test accuracy"
        return Quantity(name, label, summaries.accuracy(frame), scales.ACCURACY, " or ".join(summaries.ACCURACIES))
    if name == "sparsity":
        needs = "mask_sparsity, sparsity or mask/sparsity"
        return Quantity(name, "sparsity (fraction removed)", summaries.sparsity(frame), scales.SPARSITY, needs)
    within, slash, last = name.rpartition("/")
    column = f"{within}{slash}{records.COUNTS.get(last, last)}" if slash else name
    return Quantity(name, label_of(column), summaries.numbers(frame, column), scale_of(column), column)


def label_of(column: str) -> str:
    """Returns the axis label of a column.

    >>> label_of("best_train_loss/test_avg_loss")
    'test avg loss\\n(at the best train loss)'
    >>> label_of("propagated_mask/permutation_log10")
    'mask symmetries\\n(propagated mask, permutations within layers)'
    """
    *within, last = column.split("/")
    if last in summaries.SYMMETRIES:
        words, within = "mask symmetries", [*within, summaries.SYMMETRIES[last]]
    else:
        words = "sparsity (fraction removed)" if last == "sparsity" else last.replace("_", " ")
    places = [_PLACES.get(part, part.replace("best_", "at the best ")).replace("_", " ") for part in within]
    details = ", ".join(filter(None, places))
    return f"{words}\n({details})" if details else words


def scale_of(column: str) -> str:
    """Chooses the axis scale of a column by its name, one of `scales.SCALES`."""
    last = column.rpartition("/")[2]
    if last in summaries.SYMMETRIES:
        return scales.POWER
    endings = {"accuracy": scales.ACCURACY, "sparsity": scales.SPARSITY, "loss": scales.LOG, "norm": scales.LOG}
    return endings.get(last.rpartition("_")[2], scales.PLAIN)
