"""What is recorded of masks."""

import math

import numpy as np

from weight_symmetry.run import mask_records
from weirdonetworks.lab.records import files


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
