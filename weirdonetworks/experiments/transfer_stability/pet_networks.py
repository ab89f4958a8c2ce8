"""The networks of `transfer_stability` on cats and dogs: heads on frozen backbones, and networks from scratch."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sonnet as snt
import tensorflow as tf

from weirdonetworks import ConvolutionNetwork, lab
from weirdonetworks.algebra.actions.transforms import ImageTransform, rotation
from weirdonetworks.experiments.transfer_stability import TransferStabilityConfig, features
from weirdonetworks.experiments.transfer_stability.backbones import Backbone
from weirdonetworks.experiments.transfer_stability.deformations import RandomDeformation
from weirdonetworks.measure.stability import outputs_over

HIDDEN = 512  # Hidden units of a head.
FILTERS = (16, 32)  # Of the networks from scratch.


def file_name(network: str) -> str:
    """Returns the name of a network's files.

    >>> file_name("cnn, any turn")
    'cnn_any_turn'
    """
    return network.replace(",", "").replace(" ", "_")


@dataclasses.dataclass(frozen=True)
class Turned:
    """A network's probabilities for rotated images, for each seed.

    Attributes:
      side: Pixels a side of its images.
      parameters: The number of its weights.
      trained: How many of them were trained here.
      test_accuracy: The accuracy on all test images, upright, of each seed.
      outputs: Probabilities, `[angles, images, classes]`, of each seed.
    """

    side: int
    parameters: int
    trained: int
    test_accuracy: Sequence[float]
    outputs: Sequence[npt.NDArray[np.floating]]


def transferred(
    study: lab.Study[TransferStabilityConfig], backbone: Backbone, data: lab.Dataset, examined: lab.Split
) -> Turned:
    """Trains heads on a backbone's features of images as they are and deformed.

    Args:
      study: The study.
      backbone: The backbone; its features are computed once, and saved in the study's folder.
      data: The images to train and test on.
      examined: The images to rotate.
    """
    config = study.config
    digests = {"backbone": backbone.digest, "data": _digest(data)}
    splits, copies, turned = _features(study, backbone, data, examined, digests)
    name, scalings, trainings = lab.runs.run_id(f"head_{backbone.name}", digests), [], []
    make = functools.partial(snt.nets.MLP, [HIDDEN, len(data.classes)], name="head")
    for trial in config.trials():
        train = _joined(splits["train"], copies[trial.random_seed])
        residents = {split: lab.datasets.Resident(each) for split, each in (splits | {"train": train}).items()}
        scalings.append(_scaling(train.images))
        objective = functools.partial(lab.objectives.classification, preprocess=scalings[-1])
        trainings.append(lab.Training(name, make, objective, residents, trial))
    trained = study.trials(trainings)

    def probabilities(head: Any, scaled: Any) -> npt.NDArray[np.floating]:
        logits = head(scaled(turned.reshape(-1, turned.shape[-1])))
        return tf.nn.softmax(logits).numpy().reshape(*turned.shape[:2], -1)

    head = trained[0].parameters
    return Turned(
        backbone.side,
        backbone.parameters + head,
        head,
        [each.final["test_accuracy"] for each in trained],
        [probabilities(each.network, scaled) for each, scaled in zip(trained, scalings, strict=True)],
    )


def from_scratch(
    study: lab.Study[TransferStabilityConfig], name: str, max_turn: float | None, data: lab.Dataset, examined: lab.Split
) -> Turned:
    """Trains the basic convolution network.

    Args:
      study: The study.
      name: The network's name.
      max_turn: The greatest angle of the deformations of training images; None to leave the images as they are.
      data: The images to train and test on; they are resized.
      examined: The images to rotate.
    """
    config, side = study.config, study.config.cnn_size
    resized = lab.transformed.each_split(data, lambda _, images: _resized(images, side))
    augment = None if max_turn is None else RandomDeformation(max_turn, _grey(data))
    trained = study.repeat(
        lab.runs.run_id(file_name(name), {"data": _digest(data)}),
        lambda: ConvolutionNetwork(len(data.classes), FILTERS),
        resized,
        lab.classifier(data, ("is_training", "seed"), augment),
        dataclasses.replace(config, epochs=config.cnn_epochs),
    )

    def probabilities(each: Any, images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(each.network(data.standardisation(images), is_training=False))

    upright, turns = _resized(examined.images, side), _turns(data, side, config)
    return Turned(
        side,
        trained[0].parameters,
        trained[0].parameters,
        [each.final["test_accuracy"] for each in trained],
        [outputs_over(functools.partial(probabilities, each), upright, turns) for each in trained],
    )


def constant(data: lab.Dataset, examined: lab.Split, config: TransferStabilityConfig) -> tuple[str, Turned]:
    """Makes the constant prediction of the most frequent class, the baseline of all networks.

    Returns:
      Its name, such as `always cat`, and its outputs, as those of a network without weights.
    """
    answer = int(np.bincount(examined.labels).argmax())
    outputs = np.zeros((len(config.angles()), len(examined), len(data.classes)))
    outputs[..., answer] = 1
    accuracy = float((data.test.labels == answer).mean())
    return f"always {data.classes[answer]}", Turned(data.test.images.shape[1], 0, 0, [accuracy], [outputs])


def _features(
    study: lab.Study[TransferStabilityConfig],
    backbone: Backbone,
    data: lab.Dataset,
    examined: lab.Split,
    digests: Mapping[str, str],
) -> tuple[dict[str, lab.Examples], dict[int, list[npt.NDArray[np.float32]]], npt.NDArray[np.float32]]:
    """Computes, or reads, the features of each split, of deformed copies by seed, and of `examined` at each angle."""
    config = study.config
    deform = RandomDeformation(config.max_turn, _grey(data))
    identity = {"name": backbone.name, "image_size": backbone.side, **digests}
    with lab.runs.open_run(study.directory, "features", identity, unhashed={}, resume=True, must_exist=False) as run:

        def extracted(name: str, split: lab.Split, *deformed_by: Any) -> npt.NDArray[np.float32]:
            return features.saved(run, name, lambda: features.extract(backbone, split.images, *deformed_by))

        splits = {name: lab.Examples(extracted(name, split), split.labels) for name, split in data.splits.items()}
        numbers = range(config.copies)
        copies = {
            seed: [extracted(f"train_deformed_{seed}_{copy}", data.train, deform, seed, copy) for copy in numbers]
            for seed in (trial.random_seed for trial in config.trials())
        }
        turns = _turns(data, backbone.side, config)
        name = f"turned_{len(examined)}_by_{config.step}"
        turned = features.saved(run, name, functools.partial(features.over, backbone, examined.images, turns))
        run.finish(None)
    return splits, copies, turned


def _joined(split: lab.Examples, copies: Sequence[npt.NDArray[np.float32]]) -> lab.Examples:
    """Appends the features of deformed copies to those of a split."""
    return lab.Examples(np.concatenate([split.images, *copies]), np.tile(split.labels, 1 + len(copies)))


def _digest(data: lab.Dataset) -> str:
    """Hashes the data, so that features of other data under the same flags are not reused."""
    return lab.files.digest(array for split in data.splits.values() for array in (split.images, split.labels))


def _scaling(values: npt.NDArray[np.float32]) -> Any:
    """Returns the function that standardises features by their mean and deviation over examples."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    deviation[deviation == 0] = 1  # A feature that never varies carries nothing; dividing by one keeps it at zero.
    return lambda features: (features - mean) / deviation


def _resized(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    return np.rint(features.resized(images, side)).clip(0, 255).astype(np.uint8)


def _turns(data: lab.Dataset, side: int, config: TransferStabilityConfig) -> list[ImageTransform]:
    return [rotation(side, side, angle, fill=_grey(data)) for angle in config.angles()]


def _grey(data: lab.Dataset) -> float:
    """Returns the mean byte of the training images, the fill value outside an image."""
    return 255 * sum(data.standardisation.mean) / len(data.standardisation.mean)
