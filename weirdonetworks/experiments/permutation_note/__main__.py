"""Runs the experiment: settings in the package, steps in `study`."""

from weirdonetworks.experiments.permutation_note import NoteConfig
from weirdonetworks.lab import flags


def main(config: NoteConfig) -> None:
    """Counts, and prints what was counted; there is nothing to train, so no study is opened."""
    from weirdonetworks.experiments.permutation_note import study

    study.run(config)


if __name__ == "__main__":
    flags.run(main, NoteConfig)
