"""When two results count as equal."""

import numpy as np
import numpy.typing as npt


def assert_close(actual: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float = 1e-5) -> None:
    """Asserts that arrays agree up to an error scaled by the size of what is expected."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    assert np.isfinite(actual).all() and np.isfinite(expected).all()
    error = np.abs(actual - expected).max(initial=0.0) / max(np.abs(expected).max(initial=0.0), 1e-30)
    assert error <= tolerance, f"the scaled error is {error:.3g}, above {tolerance:g}"
