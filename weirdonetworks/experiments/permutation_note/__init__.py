"""Counts the free parameters of layers equivariant under permutations, beside the counts of the 2019 note.

usage: python -m weirdonetworks.experiments.permutation_note [--flag=value ...]

    python -m weirdonetworks.experiments.permutation_note --max_n=8

The note is "Permutation-invariant neural networks" (YKY, 2019); its equations are in `algebra.weights.note_equations`.
"""

from weirdonetworks.lab import Config, setting


class NoteConfig(Config):
    """Settings of the experiment."""

    max_n: int = setting(8, "Largest number of inputs.", minimum=2, maximum=12)
    json: str | None = setting(None, "File to write the counts to, as JSON.", path=True)
