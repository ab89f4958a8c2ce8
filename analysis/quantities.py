"""What a plot can show on an axis: values of the runs, with a label and a scale."""

import dataclasses

import pandas as pd

from analysis import records, scales, summaries

# Where a measurement was taken, in words; what goes without saying is empty.
_PLACES = {"mask": "", "final": "after the last epoch"}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """Numbers, one a run, and how to draw them.

    Attributes:
      name: What it was asked for by.
      label: What an axis says.
      values: The numbers; NaN where a run has none.
      scale: One of `scales.SCALES`.
      needs: What a record must have for it.
    """

    name: str
    label: str
    values: pd.Series
    scale: str
    needs: str


def quantity(frame: pd.DataFrame, name: str) -> Quantity:
    """Finds a quantity of runs.

    Args:
      frame: The runs.
      name: `accuracy`, `sparsity`, or the name of a column, such as `mask/permutation_log10`. A count that outgrows
        floats (`mask/permutations`) stands for its logarithm.
    """
    if name == "accuracy":
        epoch = summaries.accuracy_epoch(frame)
        label = f"test accuracy\n({epoch})" if epoch else "test accuracy"
        return Quantity(name, label, summaries.accuracy(frame), scales.ACCURACY, " or ".join(summaries.ACCURACIES))
    if name == "sparsity":
        needs = "mask_sparsity, sparsity or mask/sparsity"
        return Quantity(name, "sparsity (connections cut)", summaries.sparsity(frame), scales.SPARSITY, needs)
    within, slash, last = name.rpartition("/")
    column = f"{within}{slash}{records.COUNTS.get(last, last)}" if slash else name
    return Quantity(name, label_of(column), summaries.numbers(frame, column), scale_of(column), column)


def label_of(column: str) -> str:
    """Writes a column's name as words.

    >>> label_of("best_train_loss/test_avg_loss")
    'test avg loss\\n(at the best train loss)'
    >>> label_of("propagated_mask/permutation_log10")
    'symmetries left\\n(propagated mask, permutations, layer by layer)'
    """
    *within, last = column.split("/")
    if last in summaries.SYMMETRIES:
        words, within = "symmetries left", [*within, summaries.SYMMETRIES[last]]
    else:
        words = "sparsity (connections cut)" if last == "sparsity" else last.replace("_", " ")
    places = [_PLACES.get(part, part.replace("best_", "at the best ")).replace("_", " ") for part in within]
    told = ", ".join(filter(None, places))
    return f"{words}\n({told})" if told else words


def scale_of(column: str) -> str:
    """Finds the scale for a column by its name; one of `scales.SCALES`."""
    last = column.rpartition("/")[2]
    if last in summaries.SYMMETRIES:
        return scales.POWER
    endings = {"accuracy": scales.ACCURACY, "sparsity": scales.SPARSITY, "loss": scales.LOG, "norm": scales.LOG}
    return endings.get(last.rpartition("_")[2], scales.PLAIN)
