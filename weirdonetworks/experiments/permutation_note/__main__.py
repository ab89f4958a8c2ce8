"""Runs the experiment: settings in the package, steps in `study`."""

from weirdonetworks.experiments.permutation_note import NoteConfig
from weirdonetworks.lab import flags


def main(config: NoteConfig) -> None:
    """Counts, and prints the tables; there is no training, so no study."""
    from weirdonetworks.experiments.permutation_note import study

    study.run(config)


if __name__ == "__main__":
    flags.run(main, NoteConfig)
