"""A comparison of networks of equal size under rotation, for `polynomial_mnist` and `synchronous_mnist`.

They are trained on upright and on rotated digits; their accuracy and stability are measured on rotated test digits and
on images that are no digits. Every network has the greatest width that the budget of parameters allows.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks import lab
from weirdonetworks.algebra import image_rotations
from weirdonetworks.experiments.shared import digits, letters, settings
from weirdonetworks.measure.stability import invariance_error, measure_stability

# Sorts of training and test data: digits rotated by random multiples of so many degrees.
TURNS = {"upright": settings.UPRIGHT, "quarter turns": 90, "any angle": 1}
C = TypeVar("C", bound=settings.ComparisonConfig)


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A network to compare.

    Attributes:
      name: Its name in tables and plots.
      of_width: Makes the network, given the width of its first layer.
      augment: The `augment` of `objectives.classification`; None for no augmentation.
    """

    name: str
    of_width: Callable[[int], Any]
    augment: Any = None


def of_kind(kind: str, data: lab.Dataset, degree: int = 1, name: str = "", augment: Any = None) -> Contestant:
    """Makes the contestant of one of `digits.KINDS`, named after its kind unless a name is given."""
    after = [64, len(data.classes)]
    return Contestant(name or kind, lambda width: digits.network(kind, data.side, degree, [width, *after]), augment)


def plain(data: lab.Dataset) -> list[Contestant]:
    """Lists the plain networks to compare with: without augmentation, with quarter turns, with turns by any angle."""
    return [
        of_kind("plain", data),
        of_kind("plain", data, name="plain + quarter turns", augment=digits.quarter_turns(data)),
        of_kind("plain", data, name="plain + any turns", augment=digits.any_turns(data)),
    ]


def run(study: lab.Study[C], contestants: Callable[[lab.Dataset, C], Sequence[Contestant]]) -> None:
    """Trains the networks on each sort of data, and measures them.

    Args:
      study: The study.
      contestants: Lists the networks to compare on a data set.
    """
    config, upright = study.config, digits.load(study)
    sorts = {turns: lab.transformed.turned(upright, step, config.data_seed) for turns, step in TURNS.items()}
    unlike = _unlike(study, upright.side)
    trained_on: dict[str, dict[str, Any]] = {turns: {} for turns in TURNS}
    for contestant in contestants(upright, config):
        width = digits.fitting_width(contestant.of_width, upright, config.parameters)
        for turns, data in sorts.items():
            make = functools.partial(contestant.of_width, width)
            objective = lab.classifier(data, augment=contestant.augment)
            trained = study.repeat(f"{contestant.name}_{turns}", make, data, objective)
            measured = lab.spreads([measure(each, upright, sorts, unlike, config) for each in trained])
            size = {"width": width, "parameters": trained[0].parameters}
            trained_on[turns][contestant.name] = size | measured
    study.finish({"angles": config.angles(), "trained_on": trained_on}, draw)


def _unlike(study: lab.Study[settings.ComparisonConfig], side: int) -> dict[str, npt.NDArray[np.uint8]]:
    """Makes or loads the out-of-distribution images; a data set that cannot be loaded is left out."""
    found, config = {}, study.config
    for sort in lab.literals.names(config.unlike):
        if sort in ("noise", "letters"):
            found[sort] = getattr(letters, sort)(config.examined, side, config.data_seed)
            continue
        try:
            other = digits.load(study, sort)
        except OSError as error:
            print(f"{sort} is left out: {error}")
            continue
        if other.side != side:
            raise lab.UsageError(f"unlike: the images of {sort} must be of the size of those of {config.dataset}.")
        found[sort] = other.test.images[: config.examined]
    return found


def measure(
    trained: lab.Trained,
    upright: lab.Dataset,
    sorts: Mapping[str, lab.Dataset],
    unlike: Mapping[str, npt.NDArray[np.uint8]],
    config: settings.ComparisonConfig,
) -> dict[str, Any]:
    """Measures one trained network."""
    # Traced once, for all measures.
    probabilities = tf.function(
        digits.probabilities(trained.network, upright),
        input_signature=[tf.TensorSpec([None, *upright.test.images.shape[1:]])],
        autograph=False,
    )
    few, quarters = upright.test[: config.examined], image_rotations(upright.side, upright.side)
    images, labels = {"digits": few.images, **unlike}, {"digits": few.labels}
    swept, turned = (
        {sort: measure_stability(probabilities, images[sort], turns, labels.get(sort), cyclic=True) for sort in images}
        for turns in (digits.rotations(upright, config.angles()), quarters)
    )
    return {
        "accuracy": {
            turns: trained.trainer.evaluate(data.residents["test"])["accuracy"] for turns, data in sorts.items()
        },
        "accuracy_by_angle": np.asarray(swept["digits"].accuracy).tolist(),
        "invariance_error": invariance_error(probabilities, few.images, quarters).overall_relative,
        "variance": {sort: float(each.variance.mean()) for sort, each in swept.items()},
        "variance_over_quarter_turns": {sort: float(each.variance.mean()) for sort, each in turned.items()},
        "difference": {sort: float(each.difference.mean()) for sort, each in swept.items()},
    }


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracy by angle for each sort of training data, and the variance of networks trained upright."""
    trained_on = found["trained_on"]
    figure, panels = lab.plots.pairs(len(trained_on) + 1, height=3.0)
    for axes, (turns, networks) in zip(panels, trained_on.items(), strict=False):
        for index, (name, each) in enumerate(networks.items()):
            # Dashes keep a line visible that coincides with one before it.
            curve = [100 * accuracy for accuracy in each["accuracy_by_angle"]]
            axes.plot(found["angles"], curve, ("-", "--", ":")[index % 3], label=name)
        axes.set(title=f"training digits: {turns}", xlabel="rotation of the test digits (degrees)")
        axes.set_ylabel("test accuracy (%)")
        axes.set_xticks(range(0, 361, 90))
    networks = trained_on["upright"]
    sorts = list(next(iter(networks.values()))["variance"])
    height = 0.8 / len(networks)
    for index, (name, each) in enumerate(networks.items()):
        places = np.arange(len(sorts)) + (index + 0.5) * height - 0.4
        panels[-1].plot([each["variance"][sort]["mean"] for sort in sorts], places, "o", markersize=5, label=name)
    for place in np.arange(1, len(sorts)) - 0.5:
        panels[-1].axhline(place, color="0.85", linewidth=0.8, zorder=0)
    lab.plots.name_rows(panels[-1], sorts)
    panels[-1].set(title="change of outputs under rotation", ylabel="test images", xscale="log")
    panels[-1].set_xlabel("variance of class probabilities\n(networks trained on upright digits)")
    lab.plots.legend(panels[0], panels[-1])
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results, a table for each sort of training data."""
    for turns, networks in found["trained_on"].items():
        some = next(iter(networks.values()))
        header = ["network", "parameters", *(f"accuracy, {turns}" for turns in some["accuracy"]), "invariance error"]
        header += [f"variance on {sort}" for sort in some["variance"]]
        rows = []
        for name, each in networks.items():
            error, *variances = map("{0[mean]:.1e}".format, (each["invariance_error"], *each["variance"].values()))
            accuracies = map(lab.percent, each["accuracy"].values())
            rows.append([name, f"{each['parameters']:,}", *accuracies, error, *variances])
        how = turns if turns == "upright" else f"turned by {turns}"
        yield f"trained on digits {how}\n{lab.table(header, rows)}"
