"""Assertions for tests that a network is equivariant or invariant under a group, up to rounding."""

import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import finite, shown
from weirdonetworks.measure.models import Model, named
from weirdonetworks.measure.moves import Moving
from weirdonetworks.measure.stability import Deviation, equivariance_error, invariance_error

TOLERANCE = 1e-10  # The relative rounding error in float64 is about 1e-15, some hundred times that in deep networks.


def assert_equivariant(
    module: Model,
    inputs: npt.ArrayLike,
    action_in: Moving,
    action_out: Moving | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> None:
    """Asserts that a network is equivariant in float64:

        |F(g x) - g F(x)| <= tolerance * max |F|    for each element g and each input x

    Of a group of more than 1024 elements 64 random ones are tested, the same at each call.

    >>> from weirdonetworks.algebra import cyclic_group, items, symmetric_group
    >>> from weirdonetworks import PermutationEquivariantLinear
    >>> sets = [[[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]]]
    >>> assert_equivariant(PermutationEquivariantLinear(4), sets, items(3))
    >>> assert_equivariant(lambda x: x * [[1.0], [1.0], [2.0]], sets, items(cyclic_group(3)))
    Traceback (most recent call last):
    ...
    AssertionError: <function <lambda> at ...> must be equivariant, F(g x) = g F(x): under element 1 of 3, [1, 2, 0], \
the two sides differ by 9, which is 0.5 of the largest output, where at most 1e-10 of it is rounding.

    Args:
      module: A Sonnet module, which is copied into float64; or a Keras model or function that computes in float64. It
        must treat its inputs independently.
      inputs: The inputs, `[inputs, ...]`, preferably random.
      action_in: The action on the inputs, such as `items(3)`; or a bare group, where only one action can be meant.
      action_out: The action of the same elements on the outputs; None for `action_in`. See `algebra.paired`.
      tolerance: The largest difference, relative to the largest output, that counts as rounding.

    Raises:
      AssertionError: If the network is not equivariant; it names the element with the largest difference.
      TypeError: As `measure.stability.equivariance_error`, or if the tolerance is not a number.
      ValueError: As `measure.stability.equivariance_error`, or if the elements form no group, the tolerance is
        negative, or all outputs are 0, which obey every law.
    """
    __tracebackhide__ = True
    error = equivariance_error(module, inputs, action_in, action_out, dtype=tf.float64)
    _check("equivariant, F(g x) = g F(x)", module, error, tolerance)


def assert_invariant(module: Model, inputs: npt.ArrayLike, action: Moving, *, tolerance: float = TOLERANCE) -> None:
    """Asserts that a network is invariant in float64:

        |F(g x) - F(x)| <= tolerance * max |F|    for each element g and each input x

    >>> from weirdonetworks.algebra import items
    >>> from weirdonetworks import DeepSets
    >>> sets = [[[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]]]
    >>> assert_invariant(DeepSets([8], [4]), sets, items(3))
    >>> assert_invariant(lambda x: x[:, 0], sets, items(3))
    Traceback (most recent call last):
    ...
    AssertionError: <function <lambda> at ...> must be invariant, F(g x) = F(x): under element 3 of 6, [1, 2, 0], \
the two sides differ by 7, which is 0.778 of the largest output, where at most 1e-10 of it is rounding.

    Args:
      module: As in `assert_equivariant`.
      inputs: As in `assert_equivariant`.
      action: The action on the inputs, as in `assert_equivariant`.
      tolerance: As in `assert_equivariant`.

    Raises:
      AssertionError: If the network is not invariant; it names the element with the largest difference.
      TypeError: As in `assert_equivariant`.
      ValueError: As in `assert_equivariant`.
    """
    __tracebackhide__ = True
    error = invariance_error(module, inputs, action, dtype=tf.float64)
    _check("invariant, F(g x) = F(x)", module, error, tolerance)


def _check(law: str, module: Model, error: Deviation, tolerance: float) -> None:
    __tracebackhide__ = True
    tolerance = finite("tolerance", tolerance, least=0)
    if not error.is_group:
        raise ValueError(
            f"action must be that of a group, and its {len(error.elements)} elements form none. Pass a group, or "
            "look at the error that measure.stability finds for these elements."
        )
    if not error.size.any():
        raise ValueError(f"module (={named(module)}) must give outputs other than 0, which obey every law.")
    if not error.overall_relative <= tolerance:  # Also fails for NaN.
        raise AssertionError(
            f"{named(module)} must be {law}: under element {error.number} of {len(error.elements)}, "
            f"{shown(error.element)}, the two sides differ by {error.overall_absolute:.3g}, which is "
            f"{error.overall_relative:.3g} of the largest output, where at most {tolerance:g} of it is rounding."
        )
