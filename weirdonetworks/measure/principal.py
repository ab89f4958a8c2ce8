"""Principal component analysis: the linear code of a given size with the least squared reconstruction error."""

import dataclasses

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import at_least

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class PrincipalComponents:
    """Principal components of examples: the linear encoder and decoder of least mean squared reconstruction error.

    >>> examples = np.array([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]])
    >>> components = PrincipalComponents.of(examples, 1)
    >>> bool(np.allclose(components.decode(components.encode(examples)), examples))
    True

    Attributes:
      mean: The mean of the examples, `[n]`.
      axes: The principal axes, orthonormal rows `[size, n]` in descending order of variance.
    """

    mean: Floats
    axes: Floats

    @staticmethod
    def of(examples: npt.ArrayLike, size: int) -> "PrincipalComponents":
        """Computes the first `size` principal components of examples `[examples, ...]`, flattened to `[examples, n]`.

        Raises:
          TypeError: If the size is not an integer.
          ValueError: If it is not in [1, n].
        """
        flat = _flat(examples)
        if at_least("size", size, 1) > flat.shape[1]:
            raise ValueError(f"size (={size}) must be at most the {flat.shape[1]} numbers of an example.")
        mean = flat.mean(axis=0)
        centred = flat - mean
        _, vectors = np.linalg.eigh(centred.T @ centred)
        return PrincipalComponents(mean, vectors.T[::-1][:size])

    def encode(self, examples: npt.ArrayLike) -> Floats:
        """Maps `[examples, ...]`, flattened, to codes `[examples, size]`."""
        return (_flat(examples) - self.mean) @ self.axes.T

    def decode(self, codes: npt.ArrayLike) -> Floats:
        """Maps codes `[examples, size]` to `[examples, n]`."""
        return np.asarray(codes, np.float64) @ self.axes + self.mean


def _flat(examples: npt.ArrayLike) -> Floats:
    values = np.asarray(examples, np.float64)
    return values.reshape(len(values), -1)
