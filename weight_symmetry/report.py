"""Writes one HTML page on the runs of an experiment: the plots, the means, and every run.

usage: python -m weight_symmetry.report EXPERIMENT_DIR [--output=FILE]

    python -m weight_symmetry.report runs

The page holds its pictures and loads nothing, so it can be sent by mail or put on any server.
"""

import pathlib
import sys
import warnings

from weirdonetworks import extras
from weirdonetworks.lab import flags
from weirdonetworks.lab.config import REQUIRED, Config, setting
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import files
from weirdonetworks.lab.records.tables import counted


class ReportConfig(Config):
    """Settings of the report: the folder of the runs and the output file."""

    experiment_dir: str = setting(
        REQUIRED, "The folder of the runs, with a summary.json in it.", positional=True, path=True
    )
    output: str | None = setting(None, "The file to write; default: EXPERIMENT_DIR/report.html.", path=True)


def main(config: ReportConfig) -> None:
    """Writes the page, and prints its path."""
    folder = pathlib.Path(config.experiment_dir)
    if not folder.is_dir():
        raise UsageError(f"EXPERIMENT_DIR (={folder}) must be a folder of runs; there is none of that name.")
    output = pathlib.Path(config.output) if config.output is not None else folder / "report.html"
    if not output.parent.is_dir() or output.is_dir():
        raise UsageError(f"output (={output}) must be a file in a folder that exists.")
    with extras.needed("analysis", "reports need it"):
        # pandas and matplotlib take a second to import; so flags are checked before.
        from analysis import page, summaries
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", summaries.SkippedWarning)
        frame = summaries.load(folder)
        text = page.render(frame, title=files.readable(folder.resolve().name))
    # Each once, without its line of code.
    for line in dict.fromkeys(f"warning: {each.message}" for each in caught):
        print(line, file=sys.stderr)
    try:
        files.write_text(output, text)
    except OSError as error:
        raise OSError(f"output (={output}) cannot be written: {error.strerror}. Pass --output=FILE.") from error
    print(f"{counted(len(frame), 'run')}, plots and tables: {output}")


if __name__ == "__main__":
    flags.run(main, ReportConfig)
