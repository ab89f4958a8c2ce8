"""What is recorded of masks."""

import math

import numpy as np
import pytest

from weight_symmetry.run import mask_records
from weirdonetworks.lab.records import files
from weirdonetworks.measure.unit_layout import UnitLayout
from weirdonetworks.measure.unit_tracing.axes import Units


def test_counts_are_strings_of_digits_whatever_their_size() -> None:
    for units, dead in ((3, 0), (30, 0), (4, 2)):
        mask = np.ones((2, units), bool)
        mask[:, :dead] = False
        described = mask_records.describe([mask, np.ones((units, 1), bool)])
        assert files.to_json(described) == described
        live = str(math.factorial(units - dead))
        assert described["permutations"] == described["layers"][0]["permutations"] == described["live_automorphisms"]
        assert described["live_automorphisms"] == live
        assert described["automorphisms"] == str(math.factorial(units - dead) * math.factorial(dead))
        tracked = mask_records.tracked(described)
        assert tracked["mask/permutations"] == live
        assert math.isclose(tracked["mask/permutation_log10"], math.log10(int(live)))


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("", False),
        ("inputs", False),
        ("outputs", False),
        ("the places of a filter", False),
        ("padding", False),
        ("TopKV2 (replaced/TopKV2) is not followed", True),
        ("a constant differs from unit to unit", True),
    ],
)
def test_units_fixed_otherwise_than_as_data_or_places_are_told(reason: str, told: bool) -> None:
    layout = UnitLayout(
        ["read", "w"], [[Units(2, "Sort (s) is not followed"), Units(1)], [Units(3), Units(4, reason)]], []
    )
    line = f"Counted as fixed: 4 units of w ({reason})." if told else ""
    assert mask_records.fixed_line(layout) == line and len(mask_records.fixed_spaces(layout)) == told
