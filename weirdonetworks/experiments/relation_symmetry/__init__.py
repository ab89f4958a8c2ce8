"""Which invariances of a relation network are by construction, and which are learned?

usage: python -m weirdonetworks.experiments.relation_symmetry [--flag=value ...]

Networks learn the largest distance between two points of a set in the plane. No permutation, translation, rotation or
mirror image changes it; zoom does, in proportion:

    python -m weirdonetworks.experiments.relation_symmetry --num_trials=3

For the label and for each network, before and after training, it measures the change of the output under permutations
and reflections of the points, and its derivatives along translation, rotation and zoom, relative to those along random
directions of the same length; also on test sets far from the training sets. Networks have the greatest width that the
budget of parameters allows.

    plain                    dense on the coordinates of all points
    deep_sets                g(mean h(x_i))
    relation                 g(mean h(x_i, x_j))
    relation_of_differences  g(mean h(x_i - x_j))
    relation_of_distances    g(mean h(|x_i - x_j|^2))
"""

from weirdonetworks.lab import StudyConfig, setting


# So many short trainings: XLA would compile for longer than it trains.
class RelationSymmetryConfig(StudyConfig, learning_rate=0.005, weight_decay=0.0, execution="graph"):
    """Settings of the experiment."""

    dataset: str = setting("points", "Sets of points, drawn from --data_seed.", choices=("points",))
    examples: int = setting(20_000, "Training sets; the test sets are a tenth as many.", minimum=20)
    validation_size: int = setting(0, "Validation sets; none here.", minimum=0, maximum=0)
    epochs: int = setting(20, "Passes over the training sets.", minimum=1)
    parameters: int = setting(5_000, "Largest number of parameters of a network.", minimum=1)
    points: int = setting(6, "Points of a set, of standard deviation 1 around its centre.", minimum=2)
    centres: float = setting(2.0, "The standard deviation of the centres of sets.", minimum=0.0)
    distances: tuple[float, ...] = setting(
        (3.0, 10.0, 30.0), "Distances by which test sets are also translated.", minimum=1e-3, affects="measuring"
    )
    examined: int = setting(200, "Test sets on which the symmetries are measured.", minimum=2, affects="measuring")
