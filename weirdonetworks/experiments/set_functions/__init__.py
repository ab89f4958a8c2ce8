"""Compares networks on sets: accuracy, invariance error, width of h in g(pool h(x)), and time of a training step.

usage: python -m weirdonetworks.experiments.set_functions [--flag=value ...]

    python -m weirdonetworks.experiments.set_functions --num_trials=3
    python -m weirdonetworks.experiments.set_functions --tasks=median --networks=deep_sets,set_transformer --widths=

Every network has as many parameters as the budget allows; its width is the greatest that fits. The tasks are those of
`lab.data.set_tasks`, the networks those of `experiments.shared.set_networks`. Beside them g(h(x_1), ..., h(x_n)) is
trained with h of several widths, pooled by the mean and by the maximum. A step of training is timed on random sets of
several sizes, each network as wide as the budget allows for the least of them.
"""

from weirdonetworks.lab import StudyConfig, setting


# So many short trainings: XLA would compile for longer than it trains.
class SetFunctionsConfig(StudyConfig, learning_rate=0.005, weight_decay=0.0, execution="graph"):
    """Settings of the experiment."""

    epochs: int = setting(10, "Passes over the training sets.", minimum=1)
    tasks: str = setting("", "The tasks, separated by commas; all if empty.", affects="measuring")
    networks: str = setting("", "The networks, separated by commas; all if empty.", affects="measuring")
    parameters: int = setting(10_000, "Largest number of parameters of a network.", minimum=1)
    sets: int = setting(10_000, "Training sets of a task; the test sets are a fifth as many.", minimum=5)
    items: int = setting(5, "Items of a set, except for points.", minimum=2)
    points: int = setting(200, "Largest number of points of an image.", minimum=1)
    shrink: int = setting(4, "Factor by which images are reduced for sums of digits; 1 leaves them.", minimum=1)
    examined: int = setting(200, "Test sets on which invariance is measured.", minimum=1, affects="measuring")
    widths: tuple[int, ...] = setting(
        (1, 2, 3, 5, 8, 16, 32),
        "Widths of h, for maximum, median and variance.",
        minimum=1,
        affects="measuring",
    )
    sizes: tuple[int, ...] = setting(
        (10, 30, 100, 300), "Items of the sets on which a step is timed.", minimum=2, affects="measuring"
    )
