"""Summary tables of finished runs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from weight_symmetry.run.grid import Cell
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.records.tables import counted, table


def print_summary(runs: Sequence[Run]) -> None:
    """Prints a table and the folder of finished runs: one run stage by stage, several with a line each and the mean."""
    before = sum(run.found_finished for run in runs)
    if before:
        which = "This run was" if len(runs) == 1 else f"{before} of these runs were"
        print(f"{which} finished before; nothing was trained there (--overwrite starts again).")
    print(f"\n{format_stages(runs[0].records) if len(runs) == 1 else format_trials(runs)}\n")
    if any(record.get("ablation/weights_changed") == 0 for run in runs for record in run.records):
        print("The ablation changed no weight: no permutation of living neurons preserves the mask.")
    last = runs[0].records[-1]
    if "mask/automorphisms_log10" not in last:
        print("The exact symmetry group was not computed: pip install weirdonetworks[symmetry]")
    seconds = sum(record["wallclock_time"] for run in runs for record in run.records)
    where = runs[0].directory if len(runs) == 1 else runs[0].directory.parent
    print(f"{counted(sum(len(run.records) for run in runs), 'epoch')} in {seconds:.1f} s. Everything is in {where}")


def format_stages(records: Sequence[Mapping[str, Any]]) -> str:
    """Formats a table of a run: for each stage with the same masks, accuracies, sparsity and symmetries."""
    starts = sorted({0, *(index for index, record in enumerate(records) if "masked_test_accuracy" in record)})
    rows = []
    for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
        first, last = records[start], records[end - 1]
        epochs = f"{first['epoch']}-{last['epoch']}" if end - start > 1 else f"{first['epoch']}"
        rows.append([epochs, _percent(first, "masked_test_accuracy"), *_columns(last)])
    return table(["epochs", "test at start", *_HEADER], rows)


def format_trials(runs: Sequence[Run]) -> str:
    """Formats a table of trials, ending with the mean and standard deviation of the accuracies."""
    rows = [[run.id, *_columns(run.records[-1])] for run in runs]
    spread = ["mean (deviation)", *[""] * len(_HEADER)]
    for column, key in enumerate(_ACCURACIES, start=1):
        mean, deviation = _spread([run.records[-1] for run in runs], key)
        spread[column] = f"{mean} ({deviation})" if deviation else mean
    return table(["run", *_HEADER], [*rows, spread])


def format_combinations(cells: Sequence[Cell], records: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Formats a table of a sweep: for each combination its varying flags and the means over its trials.

    Args:
      cells: The combinations of one grid.
      records: The run summaries of each cell; a missing value is printed as a dash.
    """
    rows = []
    for cell, trials in zip(cells, records, strict=True):
        means = (_spread(trials, key)[0] for key in ("final/validation_accuracy", "mask/sparsity"))
        count = str(len(trials)) if trials else "-"
        rows.append([*(value for _, value in cell.values), count, *_spread(trials, "final/test_accuracy"), *means])
    flags = [name for name, _ in cells[0].values]
    return table([*flags, "trials", "test at end", "deviation", "validation", "sparsity"], rows)


_ACCURACIES = ("test_accuracy", "validation_accuracy")
_HEADER = ("test at end", "validation", "sparsity", "dead neurons", "permutations", "joint, living")


def _columns(record: Mapping[str, Any]) -> list[str]:
    return [
        *(_percent(record, key) for key in _ACCURACIES),
        f"{record['mask/sparsity']:.2%}",
        str(record.get("mask/zeroed_neurons", "-")),
        *(_power(record, key) for key in ("mask/permutation_log10", "mask/live_automorphisms_log10")),
    ]


def _spread(records: Sequence[Mapping[str, Any]], key: str) -> tuple[str, str]:
    """Formats the mean and, of more than one number, the standard deviation, in percent."""
    values = [record[key] for record in records if record.get(key) is not None]
    mean = f"{statistics.fmean(values):.2%}" if values else "-"
    return mean, f"{statistics.stdev(values):.2%}" if len(values) > 1 else ""


def _percent(record: Mapping[str, Any], key: str) -> str:
    return _spread([record], key)[0]


def _power(record: Mapping[str, Any], key: str) -> str:
    return f"10^{record[key]:.1f}" if key in record else "-"
