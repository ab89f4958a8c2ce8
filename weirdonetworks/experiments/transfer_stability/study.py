"""Steps of the experiment `transfer_stability`: train, measure, draw, table."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weirdonetworks import extras, lab
from weirdonetworks.experiments.transfer_stability import (
    TransferStabilityConfig,
    backbones,
    pet_networks,
    pets,
    stability_plots,
)
from weirdonetworks.experiments.transfer_stability.backbones import Backbone
from weirdonetworks.measure.stability import (
    Stability,
    accuracy_over,
    transformation_difference,
    transformation_variance,
)

with extras.needed("experiments", "the report page needs it"):
    from weirdonetworks.lab.records import page

MEASURES = ("error", "transformation_variance", "transformation_difference")


def run(study: lab.Study[TransferStabilityConfig]) -> None:
    """Trains the networks and measures them."""
    config = study.config
    loaded = load_backbones(config)
    data = study.recorded(pets.load(config.dataset, study.options.data_dir, config.image_size, config.examples))
    data = data.with_validation(config.validation_size, config.data_seed)
    examined = data.test[: config.examined]
    turned = {each.name: pet_networks.transferred(study, each, data, examined) for each in loaded}
    if config.cnn_size:
        greatest = {"cnn, undeformed": None, "cnn, deformed": config.max_turn, "cnn, any turn": 180.0}
        for name, max_turn in greatest.items():
            turned[name] = pet_networks.from_scratch(study, name, max_turn, data, examined)
    images = {name: by_image(each.outputs, examined.labels) for name, each in turned.items()}
    name, constant = pet_networks.constant(data, examined, config)
    results = {
        "dataset": config.dataset,
        "images": {"train": len(data.train), "test": len(data.test), "turned": len(examined)},
        "classes": {kind: int((examined.labels == index).sum()) for index, kind in enumerate(data.classes)},
        "angles": config.angles(),
        "baseline": {name: summary(constant, by_image(constant.outputs, examined.labels), examined.labels)},
        "networks": {name: summary(each, images[name], examined.labels) for name, each in turned.items()},
    }
    if study.options.dump_json:
        means = {name: {key: values.mean(axis=0) for key, values in each.items()} for name, each in images.items()}
        lab.files.write_json(study.directory / "images.json", {"labels": examined.labels, "networks": means})
        outputs = {name: each.outputs[0] for name, each in turned.items()}
        publish(study.directory, results, means, outputs, examined.labels)
    study.finish(results)


def load_backbones(config: TransferStabilityConfig) -> list[Backbone]:
    """Loads all backbones that a configuration names, before any training.

    Raises:
      UsageError: If two are of one name, there are not as many weights or preprocessings as they are for, or as
        `backbones.by_name` and `backbones.by_path`.
      OSError: As these.
    """
    names = _expanded("backbones", config.backbones)
    saved = [name for name in names if backbones.is_path(name)]
    named = [name for name in names if name not in saved]
    weights = _for_each("weights", config.weights, named, "named backbone")
    preprocess = _for_each("preprocess", config.preprocess, saved, "saved model")
    if len({backbones.title(name) for name in names}) < len(names):
        raise lab.UsageError(f"backbones (={config.backbones}) must be of different names; rename a file.")
    return [
        backbones.by_path(name, config.image_size, preprocess[name])
        if name in preprocess
        else backbones.by_name(name, config.image_size, weights[name])
        for name in names
    ]


def _expanded(flag: str, text: str) -> list[str]:
    return [lab.literals.text(flag, os.path.expanduser(name)) for name in lab.literals.names(text)]


def _for_each(flag: str, text: str, owners: Sequence[str], kind: str) -> dict[str, str]:
    """Parses a flag that gives one value for all, or one for each."""
    values = _expanded(flag, text)
    if len(values) == 1:
        values *= len(owners)
    if len(values) != len(owners):
        raise lab.UsageError(
            f"{flag} (={text}) must be one for all or one for each {kind}, of which there are {len(owners)}."
        )
    return dict(zip(owners, values, strict=True))


def by_image(
    outputs: Sequence[npt.NDArray[np.floating]], labels: npt.NDArray[np.integer]
) -> dict[str, npt.NDArray[np.float64]]:
    """Computes `MEASURES`, each `[seeds, images]`, from probabilities `[angles, images, classes]` of each seed."""
    return {
        "error": np.stack([(each.argmax(axis=2) != labels).mean(axis=0) for each in outputs]),
        "transformation_variance": np.stack([transformation_variance(each) for each in outputs]),
        "transformation_difference": np.stack([transformation_difference(each, cyclic=True) for each in outputs]),
    }


def summary(
    turned: pet_networks.Turned, images: Mapping[str, npt.NDArray[np.float64]], labels: npt.NDArray[np.integer]
) -> dict[str, Any]:
    """Summarises a network: a `spread` over seeds of each metric, and the error by angle, averaged over seeds.

    `class_changes` is the share of images whose predicted class depends on the angle.
    """
    classes = [each.argmax(axis=2) for each in turned.outputs]
    return {
        "image_size": turned.side,
        "parameters": turned.parameters,
        "trained_parameters": turned.trained,
        "test_accuracy": lab.spread(turned.test_accuracy),
        **{key: lab.spread(values.mean(axis=1)) for key, values in images.items()},
        "class_changes": lab.spread([float((each != each[0]).any(axis=0).mean()) for each in classes]),
        "error_by_angle": np.mean([1 - accuracy_over(each, labels) for each in turned.outputs], axis=0).tolist(),
    }


def images_by_class(classes: Mapping[str, int]) -> str:
    """Formats the number of images of each class.

    >>> images_by_class({"cat": 3, "dog": 2})
    '3 cat, 2 dog'
    """
    return ", ".join(f"{count:,} {kind}" for kind, count in classes.items())


def comparison(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Formats the results as header and rows of a table, a row for the constant prediction and for each network."""
    images = results["images"]
    # The number of images stands in the header: accuracy is that on all of the test images, errors may be of fewer.
    header = ["network", "pixels", "weights", f"accuracy, upright ({lab.counted(images['test'], 'image')})"]
    header += [f"error over the turn ({lab.counted(images['turned'], 'image')})", "at the worst angle"]
    header += ["class changes", "variance", "difference"]
    rows = []
    for name, each in (results["baseline"] | results["networks"]).items():
        accuracy, error, changes = (lab.percent(each[key]) for key in ("test_accuracy", "error", "class_changes"))
        sizes = [str(each["image_size"]), f"{each['parameters']:,}"]
        means = [f"{each[key]['mean']:.2g}" for key in MEASURES[1:]]
        rows.append([name, *sizes, accuracy, error, f"{max(each['error_by_angle']):.2%}", changes, *means])
    return header, rows


def publish(
    directory: pathlib.Path,
    results: Mapping[str, Any],
    images: Mapping[str, Mapping[str, npt.NDArray[np.float64]]],
    outputs: Mapping[str, npt.NDArray[np.floating]],
    labels: npt.NDArray[np.integer],
) -> None:
    """Writes the plots as PNG files, and all of them with the table on one page, `report.html`.

    Args:
      directory: The study's folder.
      results: The results.
      images: `MEASURES` of each image, by network.
      outputs: The probabilities `[angles, images, classes]` of the first seed, by network.
      labels: The right class of each image.
    """
    angles = results["angles"]
    titles = _titles(list(outputs))
    stabilities = {}
    for name, found in results["networks"].items():
        variance, difference = (images[name][key] for key in MEASURES[1:])
        stabilities[titles[name]] = Stability(variance, difference, 1 - np.asarray(found["error_by_angle"]))
    words = "Right: for each variance the share of images whose variance is at most that."
    ((name, baseline),) = results["baseline"].items()
    constant = name, 1 - baseline["error"]["mean"]
    drawn = [("transfer_stability", "Side by side", words, stability_plots.compared(stabilities, angles, constant))]
    words = "Of the first seed. Each row in the middle, and each point on the right, is an image."
    for name, each in outputs.items():
        figure = stability_plots.input_by_input(titles[name], each, labels, angles)
        drawn.append((pet_networks.file_name(name), name, words, figure))
    for stem, _, _, figure in drawn:
        lab.plots.save(figure, directory / f"{stem}.png")
    caption = (
        "The first row is the constant answer that is right most often: an error that is no smaller shows nothing "
        "learned. Error, variance and difference are means over the test images that were turned. Class changes: the "
        "share of them that are not of one class at every angle. Variance and difference are those of the "
        "probabilities: over all angles, and between neighbouring ones. Means over seeds, with the standard deviation "
        "in parentheses."
    )
    sections: list[page.Picture | page.Table] = [page.Table("Networks", caption, *comparison(results))]
    sections += [page.picture(figure, stem, title, words) for stem, title, words, figure in drawn]
    seeds = len(next(iter(results["networks"].values()))["error"]["values"])
    facts = {"cats and dogs of": results["dataset"]}
    facts |= {f"{name} images": f"{count:,}" for name, count in results["images"].items()}
    facts |= {"turned, by class": images_by_class(results["classes"]), "angles": f"{len(angles)}", "seeds": f"{seeds}"}
    lab.files.write_text(directory / "report.html", page.render("Stability of pretrained models", facts, sections))


def _titles(names: Sequence[str]) -> dict[str, str]:
    """Names networks in plots: without what ends the names of files with Keras's weights, unless two become the same.

    >>> _titles(["squeezenet_imagenet_notop", "cnn, any turn"])
    {'squeezenet_imagenet_notop': 'squeezenet', 'cnn, any turn': 'cnn, any turn'}
    """
    titles = [name.removesuffix("_notop").removesuffix("_imagenet") for name in names]
    return dict(zip(names, titles if len(set(titles)) == len(titles) else names, strict=True))


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    turned, classes = found["images"]["turned"], images_by_class(found["classes"])
    yield f"Of the {lab.counted(turned, 'image')} turned: {classes}.\n\n{lab.table(*comparison(found))}"
