"""Networks that flatten their inputs, and those on sets, take NumPy arrays and lists in the place of tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import registry
from weirdonetworks.nets.set_inputs import SetNetwork
from weirdonetworks.nets.symmetrized import Symmetrized

ENTRIES = [
    entry
    for entry in registry.NETWORKS
    if issubclass(entry.module, SetNetwork | Symmetrized)
    or (entry.flattens and entry.module.__module__.startswith("weirdonetworks."))
]


@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist], ids=["NumPy", "list"])
@pytest.mark.parametrize("entry", ENTRIES, ids=registry.name)
def test_inputs_need_not_be_tensors(entry: registry.Network, convert: Callable[[np.ndarray], Any]) -> None:
    module, inputs = entry.build(), entry.inputs()
    np.testing.assert_array_equal(entry.call(module, convert(inputs.numpy())), entry.call(module, inputs))
