"""What `weight_symmetry` offers by name."""

import subprocess
import sys

import pytest

import weight_symmetry
from tests import packages


def test_each_name_is_found_and_listed_once() -> None:
    names = weight_symmetry.__all__
    assert names == sorted(set(names)) and set(names) < set(dir(weight_symmetry))
    assert {"Masks", "MagnitudePruning", "mask_statistics", "automorphisms", "compact", "MNIST_FC"} <= set(names)
    assert all(getattr(weight_symmetry, name).__name__ == name for name in names)
    with pytest.raises(AttributeError, match="no attribute 'MaskedLinear'"):
        _ = weight_symmetry.MaskedLinear  # type: ignore[attr-defined]


def test_masks_of_arrays_need_no_tensorflow() -> None:
    program = (
        "import sys; from weight_symmetry import masks, mask_statistics; "
        "drawn = masks.create('random', [(4, 3), (3, 2)], 0.5, 1); "
        "assert mask_statistics(drawn)['sparsity'] == 0.5; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=packages.ROOT, check=True)
