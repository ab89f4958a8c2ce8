"""Steps of the experiment `autoencoder`: train, measure, draw, table."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks import Autoencoder, extras, lab
from weirdonetworks.experiments.autoencoder import AutoencoderConfig
from weirdonetworks.measure.neighbours import nearest_labels
from weirdonetworks.measure.principal import PrincipalComponents

NEIGHBOURS = 5  # Nearest neighbours that vote for a class,
STORED = 5000  # among the first training images.
BATCH = 1000  # Images encoded at a time.
Encoder: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating]]


def run(study: lab.Study[AutoencoderConfig]) -> None:
    """Trains the networks and measures them."""
    if study.options.dump_json:
        import_manifold()
    config, data = study.config, study.load()
    trained = study.repeat(
        "autoencoder",
        lambda: Autoencoder(config.code_size),
        data,
        lambda made: reconstruction(made, data.standardisation),
    )
    errors = [each.final["test_avg_loss"] for each in trained]
    accuracies = [neighbours(encoder(each.network, data), data) for each in trained]
    codes = {"autoencoder": measured(config.code_size, errors, accuracies)}
    results = {
        "parameters": trained[0].parameters,
        "seconds": lab.spread([each.seconds for each in trained]),
        "codes": codes | linear_codes(config.code_size, data),
        "epochs": trained[0].curves,
    }
    study.finish(results, functools.partial(draw, trained[0].network, data, config.random_seed))


def reconstruction(network: Any, preprocess: Callable[[tf.Tensor], tf.Tensor]) -> lab.Objective:
    """Makes the objective of an autoencoder: `loss`, the mean squared error of an image."""

    def objective(images: tf.Tensor, labels: tf.Tensor, *, is_training: bool, seed: tf.Tensor) -> lab.Metrics:
        inputs = preprocess(images)
        return {"loss": tf.reduce_mean(tf.square(network(inputs) - inputs), axis=[1, 2, 3])}

    return objective


def encoder(network: Autoencoder, data: lab.Dataset) -> Encoder:
    """Returns the function from images to a network's codes."""

    def encode(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.floating]:
        parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([network.encode(data.standardisation(part)) for part in parts])

    return encode


def neighbours(encode: Encoder, data: lab.Dataset) -> float:
    """Computes the accuracy of nearest-neighbour classification of the test images by their codes."""
    stored = data.train[:STORED]
    codes, asked = encode(stored.images), encode(data.test.images)
    return float(np.mean(nearest_labels(codes, stored.labels, asked, min(NEIGHBOURS, len(stored))) == data.test.labels))


def measured(numbers: int, errors: Sequence[float], accuracies: Sequence[float]) -> dict[str, Any]:
    """Records the numbers of a code, the error of its reconstructions, and the accuracy of its neighbours."""
    return {"numbers": numbers, "test_error": lab.spread(errors), "neighbours": lab.spread(accuracies)}


def linear_codes(size: int, data: lab.Dataset) -> dict[str, Any]:
    """Measures the same of codes without training: as many principal components, and the pixels themselves."""

    def inputs(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return data.standardisation(images).numpy().reshape(len(images), -1)

    train, test = inputs(data.train.images), inputs(data.test.images)
    size = min(size, train.shape[1])
    components = PrincipalComponents.of(train, size)
    missed = float(np.mean(np.square(components.decode(components.encode(test)) - test)))
    by_components = neighbours(lambda images: components.encode(inputs(images)), data)
    return {
        "principal components": measured(size, [missed], [by_components]),
        "pixels": measured(train.shape[1], [0.0], [neighbours(inputs, data)]),
    }


def import_manifold() -> Any:
    """Imports scikit-learn's manifold learning.

    Raises:
      ImportError: If scikit-learn is not installed.
    """
    with extras.needed("experiments", "the map of the codes needs it", "scikit-learn"):
        from sklearn import manifold
    return manifold


def draw(network: Autoencoder, data: lab.Dataset, seed: int, found: Mapping[str, Any]) -> lab.plots.Figure:
    """Draws the first test image of each class beside its reconstruction, and the t-SNE of codes coloured by class."""
    del found
    codes = encoder(network, data)(data.test.images)
    perplexity = min(30.0, (len(codes) - 1) / 3)
    plane = import_manifold().TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes)
    figure, (left, right) = lab.plots.row(2, widths=(0.75, 1.1), height=3.75)
    classes, firsts = np.unique(data.test.labels, return_index=True)
    images = data.standardisation(data.test.images[firsts])
    # Two columns of pairs: an image, its reconstruction.
    pairs = np.concatenate([images, network(images)], axis=2)[..., 0]
    if len(pairs) % 2:
        pairs = np.concatenate([pairs, np.full_like(pairs[:1], pairs.min())])
    columns = [np.concatenate(list(half)) for half in np.split(pairs, 2)]
    left.imshow(np.concatenate(columns, axis=1), cmap="gray_r", vmin=np.min(images), vmax=np.max(images))
    left.set(title="test images and reconstructions", xticks=[], yticks=[])
    colours = mpl.colormaps["tab10"]
    for label in classes:
        here = plane[data.test.labels == label]
        right.scatter(here[:, 0], here[:, 1], s=2, color=colours(int(label) % 10), linewidths=0)
        right.annotate(str(label), np.median(here, axis=0), ha="center", va="center", weight="bold")
    right.set(title="t-SNE of the codes of test images", xticks=[], yticks=[])
    for axes in (left, right):
        axes.spines[:].set_visible(False)
    return figure


def table(found: Any) -> Iterator[str]:
    """Formats the results as tables."""
    rows = [
        [name, str(code["numbers"]), f"{code['test_error']['mean']:.4f}", lab.percent(code["neighbours"])]
        for name, code in found["codes"].items()
    ]
    yield lab.table(["code", "numbers", "error on test images", f"{NEIGHBOURS} nearest neighbours"], rows)
