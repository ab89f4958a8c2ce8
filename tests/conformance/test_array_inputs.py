"""Networks take NumPy arrays and lists in the place of tensors."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests import registry
from weirdonetworks.nets.frames import SortFrame
from weirdonetworks.nets.polynomial.polynomial_layers import PolynomialLinear


@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_inputs_need_not_be_tensors(entry: registry.Network) -> None:
    module, inputs = entry.construct(), entry.inputs()
    created = entry.call(module, inputs.numpy())  # An array may create the weights.
    expected = entry.call(module, inputs)
    assert created.shape == expected.shape
    for given in (inputs.numpy(), inputs.numpy().tolist()):
        np.testing.assert_array_equal(entry.call(module, given), expected)


def test_an_array_of_float64_creates_weights_of_float64_and_later_inputs_must_agree() -> None:
    inputs = np.ones([2, 3])  # NumPy's own default.
    layer = PolynomialLinear(2, degree=2)
    layer(inputs)
    assert {weight.dtype for weight in layer.weights} == {tf.float64}
    with pytest.raises(ValueError, match="inputs of type float32 must be float64, as the weights are"):
        layer(inputs.astype(np.float32))


@pytest.mark.parametrize("inputs", [[[1.0], [1.0, 2.0]], np.array([[None, 1.0]])], ids=["lengths", "objects"])
def test_what_is_no_array_of_numbers_is_refused(inputs: Any) -> None:
    with pytest.raises(TypeError, match=r"^inputs \(=.*\) must be a tensor, or an array or list of numbers") as caught:
        PolynomialLinear(2, degree=2)(inputs)
    assert "\n" not in str(caught.value)


def test_sets_that_a_frame_sorts_need_not_be_tensors() -> None:
    items, frame = [[[2.0, 1.0], [1.0, 5.0]]], SortFrame()
    for inputs in (items, np.array(items)):
        assert frame.canonical(inputs).numpy().tolist() == [[[1.0, 5.0], [2.0, 1.0]]]
        assert frame.images(inputs).shape == [2, 1, 2, 2]
