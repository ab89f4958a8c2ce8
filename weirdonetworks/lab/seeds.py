"""Stateless seeds, derived by name from one base seed.

Every use of randomness has its own name, so that no two share a stream or depend on the order of draws:

>>> derive(42, "init", 0) == derive(42, "init", 0)
True
>>> derive(42, "init", 0) == derive(42, "init", 1)
False
"""

import hashlib

import numpy as np

Part = int | str


def derive(base: int, *purpose: Part) -> tuple[int, int]:
    """Derives the seed of one use of randomness.

    The seed is the first eight bytes of SHA-256 over the written-out arguments, so it is the same on every machine and
    in every version of Python.

    Args:
      base: A base seed, such as the setting `random_seed`; any integer.
      *purpose: The name of the use, most general part first, e.g. `"mask", layer, trial`. `1` and `"1"` give different
        seeds.

    Returns:
      Two integers in [-2^31, 2^31): the form that TensorFlow's stateless random functions take.

    Raises:
      TypeError: If a part of the purpose is neither an integer nor a string.
    """
    for part in purpose:
        if isinstance(part, bool) or not isinstance(part, int | str | np.integer):
            raise TypeError(f"purpose (={purpose!r}) must hold integers and strings only.")
    written = repr((int(base), *(part if isinstance(part, str) else int(part) for part in purpose)))
    first, second = np.frombuffer(hashlib.sha256(written.encode()).digest()[:8], dtype="<i4").tolist()
    return first, second


def generator(base: int, *purpose: Part) -> np.random.Generator:
    """Makes the NumPy generator of one use of randomness, seeded as `derive` says.

    >>> generator(42, "shuffle", 3).permutation(4).shape
    (4,)
    """
    return np.random.default_rng([word % 2**32 for word in derive(base, *purpose)])
