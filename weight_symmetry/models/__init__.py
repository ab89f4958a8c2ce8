"""Models of the weight-symmetry experiments, and their sparse initialisation."""

from typing import TYPE_CHECKING

from weirdonetworks import lazy

if TYPE_CHECKING:
    from weight_symmetry.models.asymmetric import AsymmetricLinear as AsymmetricLinear
    from weight_symmetry.models.classifiers import (
        CIFAR10_CNN as CIFAR10_CNN,
        MNIST_CNN as MNIST_CNN,
        MNIST_FC as MNIST_FC,
        MODELS as MODELS,
        Classifier as Classifier,
        Layer as Layer,
    )
    from weight_symmetry.models.initialisation import (
        SCHEMES as SCHEMES,
        draw as draw,
        initialise as initialise,
    )

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.names(__name__)
