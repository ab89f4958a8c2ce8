"""What a finished run found, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from weirdonetworks.lab.runs import Run
from weirdonetworks.lab.tables import table


def show(run: Run) -> None:
    """Prints a finished run: a line for each stage between changes of the masks, and where the run is."""
    if run.found_finished:
        print("This run was finished before; nothing was trained (--overwrite starts it again).")
    print(f"\n{stages(run.records)}")
    seconds = sum(record["wallclock_time"] for record in run.records)
    print(f"\n{len(run.records)} epochs in {seconds:.1f} s. Everything is in {run.directory}")


def stages(records: Sequence[Mapping[str, Any]]) -> str:
    """Lays out, for each stage with the same masks, its sparsity, accuracies and permutations left."""
    starts = sorted({0, *(index for index, record in enumerate(records) if "masked_test_accuracy" in record)})
    rows = []
    for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
        first, last = records[start], records[end - 1]
        before = f"{first['masked_test_accuracy']:.2%}" if "masked_test_accuracy" in first else "-"
        rows.append(
            [
                f"{first['epoch']}-{last['epoch']}",
                f"{first['mask/sparsity']:.2%}",
                before,
                f"{last['test_accuracy']:.2%}",
                f"{last['validation_accuracy']:.2%}" if "validation_accuracy" in last else "-",
                str(first["mask/zeroed_neurons"]),
                f"10^{first['mask/permutation_log10']:.1f}",
            ]
        )
    header = ["epochs", "sparsity", "test at start", "test at end", "validation", "dead neurons", "permutations left"]
    return table(header, rows)
