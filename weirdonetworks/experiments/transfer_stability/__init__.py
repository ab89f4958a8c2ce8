"""How stable are pretrained vision models under rotation after transfer learning?

usage: python -m weirdonetworks.experiments.transfer_stability [--flag=value ...]

A head with 512 hidden units is trained on the features of cats and dogs, with random deformations, under a frozen
backbone with ImageNet weights. Then each test image is rotated through 360 degrees, and the variance of the
probabilities and the error are measured; the same for a small network trained from scratch, and for the constant
prediction of the most frequent class:

    python -m weirdonetworks.experiments.transfer_stability --backbones=VGG16,ResNet50,MobileNetV3Large,EfficientNetB7
    python -m weirdonetworks.experiments.transfer_stability --backbones=saved.keras --preprocess=caffe --dataset=CIFAR10

It writes a plot of each network, one that compares them, the metrics of each image in images.json, and all of it on one
page, report.html. Features are computed once and saved: with --resume, those of a killed run are not computed again.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import StudyConfig, UsageError, literals, setting


class TransferStabilityConfig(settings.AnglesConfig, StudyConfig, step=10):
    """Settings of the experiment."""

    backbones: str = setting(
        "VGG16,ResNet50,MobileNetV3Large,EfficientNetB7",
        "Names of keras.applications, or paths of saved Keras models, separated by commas.",
        affects="measuring",
    )
    weights: str = setting(
        "imagenet",
        "Weights of the named backbones: imagenet, none for random ones, or a file; one for all or for each.",
        affects="measuring",
    )
    preprocess: str = setting(
        "none",
        "Preprocessing of saved models: caffe (BGR minus ImageNet's means), tf ([-1, 1]), torch (ImageNet's mean "
        "0 and deviation 1) or none ([0, 255]); one for all or for each. Named backbones have their own.",
        affects="measuring",
    )
    dataset: str = setting(
        "cats_vs_dogs", "Source of the photographs of cats and dogs.", choices=("cats_vs_dogs", "CIFAR10")
    )
    epochs: int = setting(20, "Passes over the training data of the heads.", minimum=1)
    image_size: int = setting(
        96, "Side of the backbones' images in pixels, except for saved models of fixed size.", minimum=1
    )
    copies: int = setting(4, "Deformed copies of each training image, beside the image itself.", minimum=0)
    max_turn: float = setting(30, "Largest rotation of a deformation, either way, in degrees.", minimum=0, maximum=180)
    examined: int = setting(200, "Test images on which stability is measured.", minimum=1, affects="measuring")
    cnn_size: int = setting(32, "Side of the images of networks from scratch in pixels; 0 leaves them out.", minimum=0)
    cnn_epochs: int = setting(60, "Passes over the training data of networks from scratch.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.cnn_size < 6:
            raise UsageError(f"cnn_size (={self.cnn_size}) must be 0 or at least 6.")
        if not self.cnn_size and not literals.names(self.backbones):
            raise UsageError("backbones must name one at least where cnn_size is 0.")
