"""Networks take NumPy arrays and lists in the place of tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import registry
from weirdonetworks.nets.frames import SortFrame

ENTRIES = [
    entry
    for entry in registry.NETWORKS
    if entry.module.__module__.startswith("weirdonetworks.") and not entry.elementwise
]


@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist], ids=["NumPy", "list"])
@pytest.mark.parametrize("entry", ENTRIES, ids=registry.name)
def test_inputs_need_not_be_tensors(entry: registry.Network, convert: Callable[[np.ndarray], Any]) -> None:
    module, inputs = entry.build(), entry.inputs()
    np.testing.assert_array_equal(entry.call(module, convert(inputs.numpy())), entry.call(module, inputs))


def test_sets_that_a_frame_sorts_need_not_be_tensors() -> None:
    items, frame = [[[2.0, 1.0], [1.0, 5.0]]], SortFrame()
    for inputs in (items, np.array(items)):
        assert frame.canonical(inputs).numpy().tolist() == [[[1.0, 5.0], [2.0, 1.0]]]
        assert frame.images(inputs).shape == [2, 1, 2, 2]
