"""Steps of the experiment `jacobian_penalty`: train, measure, draw, table."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from weirdonetworks import lab
from weirdonetworks.experiments.jacobian_penalty import JacobianPenaltyConfig
from weirdonetworks.experiments.jacobian_penalty.penalty import JacobianPenalty
from weirdonetworks.experiments.shared import digits
from weirdonetworks.measure import stability
from weirdonetworks.measure.lie_derivatives import IMAGE_GENERATORS, lie_derivative, local_equivariance_error

NEAR = range(-30, 31, 5)  # Degrees.
WHOLE = range(-180, 180, 15)
MEAN = "{0[mean]:.1e}".format  # Of a spread, in tables.


def run(study: lab.Study[JacobianPenaltyConfig]) -> None:
    """Trains the networks and measures them."""
    config, data = study.config, digits.load(study)
    turned = lab.transformed.turned(data, 1, config.data_seed).residents["test"]
    make = functools.partial(digits.network, "plain", data.side, 1, [config.width, 100, len(data.classes)])
    networks = {}
    augments = {"upright": None, "turned": digits.any_turns(data)}
    for (sort, augment), strength in itertools.product(augments.items(), (0.0, *config.strengths)):
        name = f"{sort}, penalty {strength:g}" if strength else sort
        objective = penalised(data, strength, augment)
        trained = study.repeat(name.replace(",", ""), make, data, objective, entry={"strength": strength})
        networks[name] = lab.spreads([measure(each, data, turned, config.examined) for each in trained])
    study.finish({"networks": networks}, draw)


def penalised(data: lab.Dataset, strength: float, augment: Any) -> Callable[[Any], Any]:
    """Returns a function that makes a network's objective: classification, and a penalty on the rotation derivative."""
    if not strength:
        return lab.classifier(data, augment=augment)

    def make(network: Any) -> Any:
        def logits(images: Any) -> Any:
            return network(data.standardisation(images))

        classify = lab.classifier(data)(network)
        return JacobianPenalty(classify, logits, [IMAGE_GENERATORS["rotation"]], strength, augment)

    return make


def measure(trained: lab.Trained, data: lab.Dataset, turned: Any, examined: int) -> dict[str, dict[str, float]]:
    """Measures one trained network."""
    probabilities = digits.probabilities(trained.network, data)
    few = data.test[:examined]
    outputs = stability.outputs_over(probabilities, few.images, digits.rotations(data, (*NEAR, *WHOLE)))
    near, whole = outputs[: len(NEAR)], outputs[len(NEAR) :]
    by_angle = stability.accuracy_over(whole, few.labels)
    errors = local_equivariance_error(lie_derivative(probabilities, few.images)).mean(axis=1)
    return {
        "accuracy": {
            "upright": trained.final["test_accuracy"],
            "within 30 degrees": float(stability.accuracy_over(near, few.labels).mean()),
            "any angle": trained.trainer.evaluate(turned)["accuracy"],
        },
        "variance": {
            name: float(stability.transformation_variance(each).mean())
            for name, each in (("within 30 degrees", near), ("any angle", whole))
        },
        "lie_derivative": dict(zip(IMAGE_GENERATORS, errors.tolist(), strict=True)),
        "accuracy_by_angle": dict(zip(map(str, WHOLE), by_angle.tolist(), strict=True)),
    }


def draw(found: Any) -> lab.plots.Figure:
    """Draws the accuracy by angle, and the Lie derivatives, as squares for networks trained on rotated digits."""
    figure, (accuracy, derivative) = lab.plots.grid(2, heights=4.2)
    networks = found["networks"]
    half = len(networks) // 2  # Those trained upright come first; the same strengths have the same colour.
    for index, (name, each) in enumerate(networks.items()):
        colour, is_turned = lab.plots.COLOURS[index % half % len(lab.plots.COLOURS)], index >= half
        by_angle = {int(angle): 100 * spread["mean"] for angle, spread in each["accuracy_by_angle"].items()}
        line = ":" if is_turned else "-"
        accuracy.plot(list(by_angle), list(by_angle.values()), color=colour, linestyle=line, label=name)
        errors = [spread["mean"] for spread in each["lie_derivative"].values()]
        marker = "s" if is_turned else "o"
        derivative.plot(errors, range(len(errors)), marker, color=colour, fillstyle="none", label=name)
    accuracy.set(xlabel="rotation of the test digits (degrees)", ylabel="test accuracy (%)", ylim=(0, 102))
    accuracy.set_xticks(range(-180, 181, 90))
    lab.plots.name_rows(derivative, next(iter(networks.values()))["lie_derivative"])
    derivative.set(xscale="log", xlabel="squared Lie derivative\nof class probabilities")
    title = "training digits, and penalty (lines: left; circles and squares: right)"
    lab.plots.legend(accuracy, derivative, ncols=2, title=title)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    networks = found["networks"]
    some = next(iter(networks.values()))
    header = ["network", *(f"{kind}, {turns}" for kind in ("accuracy", "variance") for turns in some[kind])]
    rows = [
        [name, *map(lab.percent, each["accuracy"].values()), *map(MEAN, each["variance"].values())]
        for name, each in networks.items()
    ]
    yield lab.table(header, rows)
    rows = [[name, *map(MEAN, each["lie_derivative"].values())] for name, each in networks.items()]
    yield lab.table(["squared Lie derivative", *some["lie_derivative"]], rows)
