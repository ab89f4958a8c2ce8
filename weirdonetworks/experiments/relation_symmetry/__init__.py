"""What is a relation network invariant to: by construction, and by what it has learned?

usage: python -m weirdonetworks.experiments.relation_symmetry [--flag=value ...]

Networks learn the largest distance between two points of a set in the plane. No permutation, translation, rotation or
mirror image changes it; zoom does, in proportion:

    python -m weirdonetworks.experiments.relation_symmetry --num_trials=3

Of each network, and of the label itself, before training and after, is measured how much the output changes when the
points are permuted or mirrored, and its derivative as they are moved, turned or zoomed, in proportion to that along a
random direction of the same length. The same far from where the training sets lie. Networks have as many weights as the
budget allows.

    plain                    dense on the points one after the other
    deep_sets                g(mean h(x_i))
    relation                 g(mean h(x_i, x_j))
    relation_of_differences  g(mean h(x_i - x_j))
    relation_of_distances    g(mean h(|x_i - x_j|^2))
"""

import dataclasses

from weirdonetworks.lab.config import StudyConfig, setting


@dataclasses.dataclass(frozen=True)
class RelationSymmetryConfig(StudyConfig):
    """Settings of the experiment."""

    dataset: str = setting("points", "Sets of points, drawn from --data_seed.", choices=("points",))
    examples: int = setting(20_000, "Training sets; a tenth as many are tested on.", minimum=20)
    validation_size: int = setting(0, "No sets are cut off to choose by.", minimum=0, maximum=0)
    epochs: int = setting(20, "Passes over the training sets.", minimum=1)
    learning_rate: float = setting(0.005, "The learning rate at the start.", minimum=0.0, short="lr")
    weight_decay: float | None = setting(0.0, "Weight decay.", minimum=0.0, short="wd")
    # So many short trainings: XLA would compile for longer than it trains.
    execution: str = setting("graph", "How an epoch is compiled.", choices=("auto", "xla", "graph"))
    parameters: int = setting(5_000, "The most weights a network may have.", minimum=1)
    points: int = setting(6, "Points of a set, of standard deviation 1 around its centre.", minimum=2)
    centres: float = setting(2.0, "The standard deviation of the centres of sets.", minimum=0.0)
    distances: tuple[float, ...] = setting(
        (3.0, 10.0, 30.0), "How far to move test sets, too.", minimum=1e-3, affects="measuring"
    )
    examined: int = setting(200, "Test sets on which the symmetries are measured.", minimum=2, affects="measuring")
