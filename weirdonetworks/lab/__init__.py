"""Data, training, records and plots of experiments.

What experiments are written with is here by name, and imported when it is asked for first.
"""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weirdonetworks.lab import literals as literals, machine as machine, plots as plots, seeds as seeds
    from weirdonetworks.lab.config import Config as Config, StudyConfig as StudyConfig, setting as setting
    from weirdonetworks.lab.data import datasets as datasets, set_tasks as set_tasks, transformed as transformed
    from weirdonetworks.lab.data.augmentation import RandomTransform as RandomTransform
    from weirdonetworks.lab.data.datasets import Dataset as Dataset, Examples as Examples, Split as Split
    from weirdonetworks.lab.data.set_tasks import Task as Task
    from weirdonetworks.lab.errors import UsageError as UsageError
    from weirdonetworks.lab.records import files as files, runs as runs
    from weirdonetworks.lab.records.tables import counted as counted, table as table, words as words
    from weirdonetworks.lab.training import hooks as hooks, objectives as objectives, state as state, trainer as trainer
    from weirdonetworks.lab.training.hooks import Following as Following, Hook as Hook
    from weirdonetworks.lab.training.objectives import (
        Metrics as Metrics,
        Objective as Objective,
        classifier as classifier,
    )
    from weirdonetworks.lab.training.study import (
        Study as Study,
        Trained as Trained,
        Training as Training,
        final as final,
        formatted as formatted,
        percent as percent,
        spread as spread,
        spreads as spreads,
    )

if not TYPE_CHECKING:  # A type checker that saw this would take every name for one that exists.
    __getattr__, __dir__ = lazy.names(__name__)
