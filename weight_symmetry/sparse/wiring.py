"""The connections that masks leave in a chain of dense layers, and their numbers."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weight_symmetry.masks.generators import Mask
from weight_symmetry.sparse.kernels import Connections, Examples, Numbers
from weight_symmetry.sparse.vectors import LANES, blocks
from weirdonetworks.lab.data.datasets import Resident, Standardisation
from weirdonetworks.lab.errors import UsageError

Arrays = Sequence[npt.NDArray[np.float32]]


class Wiring:
    """The connections of a chain of dense layers, as kernels read them.

    >>> wiring = Wiring([np.array([[1, 0], [0, 1], [1, 0]]), np.array([[1], [0]])])
    >>> wiring.connections.source.tolist(), wiring.share
    ([0, 2, 1, 3], 0.5)

    Attributes:
      masks: The masks.
      connections: The connections.
      share: The share of weights that are connections.
    """

    def __init__(self, masks: Sequence[Mask]):
        """Lists the connections of masks, each `[inputs, outputs]`, inputs first."""
        self.masks = list(masks)
        sizes = [len(masks[0]), *(mask.shape[1] for mask in masks)]
        self._first = np.cumsum([0, *sizes])
        ends = [np.nonzero(mask.T) for mask in masks]
        self._places = [inputs * mask.shape[1] + outputs for (outputs, inputs), mask in zip(ends, masks, strict=True)]
        self._spans = np.cumsum([0, *map(len, self._places)])
        source = np.concatenate([inputs + start for (_, inputs), start in zip(ends, self._first, strict=False)])
        target = np.concatenate([outputs + start for (outputs, _), start in zip(ends, self._first[1:], strict=False)])
        place = np.argsort(source, kind="stable")
        self.connections = Connections(
            begin=_begins(target, self.units),
            source=source.astype(np.int32),
            after=_begins(source, self.units),
            target=target[place].astype(np.int32),
            place=place.astype(np.int64),
            inputs=sizes[0],
            outputs=sizes[-1],
        )
        self.share = len(source) / sum(mask.size for mask in masks)

    @property
    def units(self) -> int:
        """The number of units, inputs among them."""
        return int(self._first[-1])

    def gather(self, weights: Arrays, biases: Sequence[npt.NDArray[np.float32] | None]) -> Numbers:
        """Lists the numbers of connections and units; zeros for units of layers without bias, and for inputs."""
        live = [np.ravel(weight)[places] for weight, places in zip(weights, self._places, strict=True)]
        every = np.zeros(self.units, np.float32)
        for units, bias in zip(self.spans, biases, strict=True):
            every[units] = 0.0 if bias is None else bias
        return Numbers(np.concatenate(live), every)

    def scatter(self, numbers: Numbers, weights: Arrays) -> None:
        """Writes the numbers of connections into arrays of the weights' shapes."""
        for array, places, (begin, end) in zip(weights, self._places, itertools.pairwise(self._spans), strict=True):
            array.reshape(-1)[places] = numbers.weights[begin:end]

    @property
    def spans(self) -> list[slice]:
        """The units of each layer."""
        return [slice(begin, end) for begin, end in itertools.pairwise(self._first[1:])]

    def read(self, images: "Images", data: Resident) -> Examples:
        """Returns the examples of a split, of which neighbouring inputs that nothing is connected to are not read."""
        live: Mask = np.any(self.masks[0], axis=1)
        read = [begin for begin in blocks(len(live)) if live[begin : begin + LANES].any()]
        return Examples(*images.of(data), images.scale, images.offset, np.array(read, np.int64))


class Images:
    """How images become inputs: `byte * scale - offset`; narrow ones are filled up with zeros.

    Attributes:
      scale: float32 `[inputs]`.
      offset: float32 `[inputs]`.
      missing: The number of inputs that are filled up.
    """

    def __init__(self, shape: Sequence[int], standardisation: Standardisation, classes: int):
        """Takes the shape of an image, `[..., channels]`, what standardises each channel, and the number of classes."""
        self._shape, self._classes = tuple(shape), classes
        places = int(np.prod(shape[:-1]))
        self.missing = max(0, LANES - places * shape[-1])
        self.scale, self.offset = (np.pad(np.tile(each, places), (0, self.missing)) for each in standardisation.factors)
        self._seen: dict[int, Any] = {}

    def of(self, data: Resident) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        """Returns images `[examples, inputs]` and labels of a split; copied where they are filled up.

        Raises:
          UsageError: If the images are not bytes of the shape, or a label is none of the classes, since kernels check
            neither.
        """
        key = id(data)
        if key not in self._seen:
            if data.images.dtype != np.uint8 or data.images.shape[1:] != self._shape:
                raise UsageError(
                    f"images ({data.images.dtype.name} {data.images.shape[1:]}) must be uint8 {self._shape} for "
                    "execution (=sparse)."
                )
            labels = np.asarray(data.labels)
            if not 0 <= labels.min(initial=0) <= labels.max(initial=0) < self._classes:
                raise UsageError(
                    f"labels (={labels.min()} to {labels.max()}) must be in [0, {self._classes}), the outputs of the "
                    "model: give it an output for each class."
                )
            flat = np.asarray(data.images).reshape(len(data), -1)
            if self.missing:
                flat = np.pad(flat, ((0, 0), (0, self.missing)))
            self._seen[key] = (data, flat, labels)
        return self._seen[key][1:]


def _begins(ends: npt.NDArray[np.integer], units: int) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=units))]).astype(np.int64)
