"""Out-of-distribution images: letters of a font under random affine maps, and noise."""

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weirdonetworks import lab
from weirdonetworks.algebra.actions.transforms import affine

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letters(number: int, side: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draws capital letters, white on black, each moved by a random affine map.

    A map turns by up to 15 degrees, zooms by 0.8 to 1.2, shears by up to 0.2 and shifts by up to a fourteenth of the
    side.

    Args:
      number: The number of images, which cycle through the alphabet.
      side: Pixels a side; below some ten a letter is hard to make out.
      seed: The seed of the maps.

    Returns:
      uint8 `[number, side, side, 1]`.
    """
    plain = [_drawn(letter, side) for letter in ALPHABET]
    draw = lab.seeds.generator(seed, "letters")
    images = np.empty((number, side, side, 1), np.uint8)
    for index in range(number):
        angle, factor = np.radians(draw.uniform(-15, 15)), draw.uniform(0.8, 1.2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = factor * turn @ np.array([[1, draw.uniform(-0.2, 0.2)], [0, 1]])
        move = affine(side, side, matrix, draw.uniform(-side / 14, side / 14, size=2).tolist())
        images[index] = np.rint(move.apply(plain[index % len(plain)])).clip(0, 255)
    return images


def noise(number: int, side: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draws images whose bytes are independent and uniform, `[number, side, side, 1]`."""
    return lab.seeds.generator(seed, "noise").integers(0, 256, (number, side, side, 1), np.uint8)


def _drawn(letter: str, side: int) -> npt.NDArray[np.float64]:
    """Draws one letter as high as six tenths of the image, `[side, side, 1]`, from 0 to 255."""
    figure = Figure(figsize=(1, 1), dpi=side, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    # Points are 1/72 inch and the image is one inch; a capital of this font is 0.73 of its size high.
    figure.text(0.5, 0.5, letter, color="white", size=72 * 0.6 / 0.73, ha="center", va="center_baseline")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :1].astype(np.float64)
