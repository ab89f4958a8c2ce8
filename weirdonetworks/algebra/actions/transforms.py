"""Affine image transformations as sparse linear maps: rotation, zoom, shear and shift, with interpolation.

These maps do not form a group: with interpolation, the composition of two is in general not one of them. Two rotations
by 45 degrees blur twice and lose the corners, one by 90 degrees does neither. So networks that average over them are
only approximately invariant. The exceptions are maps that permute the pixels, such as rotations of square images by 90
degrees; `image_groups` has exact groups of these.

Points are (x, y) in pixels, x to the right, y upwards, with the origin at the centre of the image.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from weirdonetworks.algebra.arrays import Ints, at_least, finite, reals, weighted
from weirdonetworks.algebra.groups.permutations import POINTS

Floats: TypeAlias = npt.NDArray[np.float64]
Row: TypeAlias = tuple[float, float, float]
Method: TypeAlias = Literal["nearest", "bilinear"]


# The velocities, [2, 3], of points (x, y, 1) under flows: 1 radian counter-clockwise, a shift by 1, factors of e, and
# shears by 1 per 1 from the centre, in any unit of length.
AFFINE_GENERATORS: Mapping[str, tuple[Row, Row]] = {
    "rotation": ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
    "shift right": ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0)),
    "shift up": ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "zoom": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "stretch": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    "shear": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "horizontal shear": ((0.0, 1.0, 0.0), (0.0, 0.0, 0.0)),
    "vertical shear": ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTransform:
    """A sparse affine map of images,

        y[p] = sum_t weights[p, t] x[indices[p, t]] + offset[p],    pixels p = row * width + column,

    for each channel. The offset is the fill value where pixels come from outside the image.

    >>> shift(1, 3, right=1, fill=9.0).apply(np.arange(3.0).reshape(1, 1, 3, 1)).ravel().tolist()
    [9.0, 0.0, 1.0]

    Attributes:
      height: The height of the images in pixels.
      width: Their width in pixels.
      indices: The input pixels of each output pixel, `[pixels, taps]`: one tap for nearest-neighbour interpolation,
        four for bilinear. Taps outside the image have index 0 and weight 0.
      weights: The weights of the taps, `[pixels, taps]`, at least 0, with sums at most 1.
      offset: The fill value times the weight of the taps outside the image, `[pixels]`.
    """

    height: int
    width: int
    indices: Ints
    weights: Floats
    offset: Floats

    def apply(self, images: npt.ArrayLike) -> npt.NDArray[Any]:
        """Transforms images.

        Args:
          images: Images, `[..., height, width, channels]`.

        Returns:
          The transformed images, of the same shape; of the same dtype if it is floating, else float64.

        Raises:
          ValueError: If the images have another size.
        """
        given = np.asarray(images)
        if given.ndim < 3 or given.shape[-3:-1] != (self.height, self.width):
            raise ValueError(
                f"images (of shape {given.shape}) must have the shape [..., {self.height}, {self.width}, channels]."
            )
        dtype = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
        pixels = given.reshape(*given.shape[:-3], -1, given.shape[-1])
        result = np.broadcast_to(self.offset.astype(dtype)[:, None], pixels.shape).copy()
        for tap in range(self.indices.shape[1]):
            result += weighted(
                pixels[..., self.indices[:, tap], :].astype(dtype), self.weights[:, tap, None].astype(dtype)
            )
        return result.reshape(given.shape)

    def to_dense(self) -> Floats:
        """Returns the linear part as a dense matrix `[pixels, pixels]`, for tests and small images."""
        pixels = self.height * self.width
        matrix = np.zeros((pixels, pixels))
        np.add.at(matrix, (np.arange(pixels)[:, None], self.indices), self.weights)
        return matrix


def affine(
    height: int,
    width: int,
    matrix: npt.ArrayLike,
    move: Sequence[float] = (0.0, 0.0),
    *,
    method: Method = "bilinear",
    fill: float = 0.0,
) -> ImageTransform:
    """Makes the affine transformation that moves the point p to `matrix @ p + move`.

    >>> mirrored = affine(2, 2, [[-1, 0], [0, 1]], method="nearest")
    >>> mirrored.indices.ravel().tolist()
    [1, 0, 3, 2]

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, at least 1.
      matrix: The linear part, `[2, 2]`, invertible; acts on (x, y) from the centre of the image.
      move: The translation that follows, (right, up), in pixels.
      method: The interpolation, `bilinear` or `nearest` (ties go right and down). Source points are rounded to 1e-9
        pixels, so that rounding errors do not decide ties.
      fill: The value of pixels outside the image.

    Raises:
      ValueError: If a size is below 1, a number is not finite, the matrix is not `[2, 2]` or singular, or the method is
        unknown.
    """
    height, width = at_least("height", height, 1), at_least("width", width, 1)
    at_least("height * width", height * width, 1, POINTS)
    linear, moved, fill = reals("matrix", matrix), reals("move", move), finite("fill", fill)
    if linear.shape != (2, 2) or moved.shape != (2,):
        raise ValueError(f"matrix (of shape {linear.shape}) must be [2, 2], and move (of shape {moved.shape}) [2].")
    if not (np.all(np.isfinite(linear)) and np.all(np.isfinite(moved))):
        raise ValueError(f"matrix (={linear.tolist()}) and move (={moved.tolist()}) must be finite.")
    (a, b), (c, d) = linear.tolist()
    determinant = a * d - b * c
    if abs(determinant) < 1e-12 * max(1.0, np.abs(linear).max() ** 2):
        raise ValueError(f"matrix (={linear.tolist()}) must be invertible.")
    if not isinstance(method, str) or method not in ("nearest", "bilinear"):
        raise ValueError(f"method (={method!r}) must be nearest or bilinear.")

    rows, columns = np.divmod(np.arange(height * width), width)
    x, y = columns - (width - 1) / 2 - moved[0], (height - 1) / 2 - rows - moved[1]
    from_x, from_y = (d * x - b * y) / determinant, (a * y - c * x) / determinant
    row = np.round((height - 1) / 2 - from_y, 9)
    column = np.round(from_x + (width - 1) / 2, 9)
    if method == "nearest":
        taps = [(np.floor(row + 0.5), np.floor(column + 0.5), np.ones(len(row)))]
    else:
        top, left = np.floor(row), np.floor(column)
        down, right = row - top, column - left
        taps = [
            (top, left, (1 - down) * (1 - right)),
            (top, left + 1, (1 - down) * right),
            (top + 1, left, down * (1 - right)),
            (top + 1, left + 1, down * right),
        ]
    indices, weights, outside = [], [], np.zeros(height * width)
    for tap_row, tap_column, weight in taps:
        inside = (tap_row >= 0) & (tap_row < height) & (tap_column >= 0) & (tap_column < width)
        indices.append(np.where(inside, tap_row * width + tap_column, 0).astype(np.intp))
        weights.append(np.where(inside, weight, 0.0))
        outside += np.where(inside, 0.0, weight)
    return ImageTransform(height, width, np.stack(indices, axis=1), np.stack(weights, axis=1), fill * outside)


def rotation(
    height: int, width: int, degrees: float, *, method: Method = "bilinear", fill: float = 0.0
) -> ImageTransform:
    """Makes the counter-clockwise rotation about the centre of the image by an angle.

    Rotations of square images by multiples of 90 degrees are exact, the elements of `image_rotations`. Others
    interpolate and form no group: the composition of those by a and b degrees is not the one by a + b.

    >>> rotation(2, 2, 90).apply([[[1.0], [2.0]], [[3.0], [4.0]]]).ravel().tolist()
    [2.0, 4.0, 1.0, 3.0]

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, at least 1.
      degrees: The angle in degrees.
      method: `bilinear` or `nearest`, as for `affine`.
      fill: The value of pixels outside the image.

    Raises:
      ValueError: As for `affine`.
    """
    quarters, rest = divmod(finite("degrees", degrees), 90)
    cosine, sine = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(int(quarters) % 4):  # So that multiples of 90 degrees are exact.
        cosine, sine = -sine, cosine
    return affine(height, width, [[cosine, -sine], [sine, cosine]], method=method, fill=fill)


def zoom(
    height: int, width: int, factor: float | Sequence[float], *, method: Method = "bilinear", fill: float = 0.0
) -> ImageTransform:
    """Makes the scaling by a factor about the centre of the image: above 1 enlarges, below 1 shrinks.

    Scalings interpolate and form no group: zooming in and out again does not restore the image.

    >>> image = np.pad([[[7.0]]], [(1, 1), (1, 1), (0, 0)])  # 3 x 3 pixels, the middle one not 0.
    >>> zoom(3, 3, 3, method="nearest").apply(image)[..., 0].tolist()
    [[7.0, 7.0, 7.0], [7.0, 7.0, 7.0], [7.0, 7.0, 7.0]]

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, at least 1.
      factor: The factor, above 0, or a pair (horizontal, vertical).
      method: `bilinear` or `nearest`, as for `affine`; shrinking does not average over skipped pixels.
      fill: The value of pixels outside the image.

    Raises:
      ValueError: If a factor is not above 0, and as for `affine`.
    """
    given = reals("factor", factor)
    factors = np.broadcast_to(given, (2,)) if given.ndim == 0 else given
    if factors.shape != (2,) or not np.all((factors > 0) & np.isfinite(factors)):
        raise ValueError(f"factor (={factor}) must be above 0 and finite, or a pair of such.")
    return affine(height, width, np.diag(factors), method=method, fill=fill)


def shear(
    height: int,
    width: int,
    horizontal: float = 0.0,
    vertical: float = 0.0,
    *,
    method: Method = "bilinear",
    fill: float = 0.0,
) -> ImageTransform:
    """Makes the shear (x, y) to (x + horizontal y, y + vertical x).

    Shears interpolate and form no group.

    >>> line = np.array([[0.0, 1.0, 0.0]] * 3)[..., None]  # An upright line.
    >>> shear(3, 3, horizontal=1).apply(line)[..., 0].tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, at least 1.
      horizontal: The shift to the right per row above the centre, in pixels.
      vertical: The shift upwards per column right of the centre, in pixels.
      method: `bilinear` or `nearest`, as for `affine`.
      fill: The value of pixels outside the image.

    Raises:
      ValueError: If horizontal * vertical is 1, so that the map is singular, and as for `affine`.
    """
    horizontal, vertical = finite("horizontal", horizontal), finite("vertical", vertical)
    if abs(1 - horizontal * vertical) < 1e-12 * max(1.0, horizontal**2, vertical**2):
        raise ValueError(
            f"horizontal (={horizontal}) and vertical (={vertical}) must be invertible: their product must not be 1."
        )
    return affine(height, width, [[1.0, horizontal], [vertical, 1.0]], method=method, fill=fill)


def shift(
    height: int, width: int, right: float = 0.0, up: float = 0.0, *, method: Method = "bilinear", fill: float = 0.0
) -> ImageTransform:
    """Makes the translation by any distance; pixels that leave the image are lost.

    So even translations by whole pixels form no group; cyclic shifts, `image_translations`, do.

    >>> shift(1, 3, right=1).apply([[[1.0], [2.0], [3.0]]]).ravel().tolist()
    [0.0, 1.0, 2.0]

    Args:
      height: The height of the images in pixels, at least 1.
      width: Their width in pixels, at least 1.
      right: The distance to the right, in pixels.
      up: The distance upwards, in pixels.
      method: `bilinear` or `nearest`, as for `affine`.
      fill: The value of pixels outside the image.

    Raises:
      ValueError: As for `affine`.
    """
    right, up = finite("right", right), finite("up", up)
    return affine(height, width, np.eye(2), (right, up), method=method, fill=fill)
