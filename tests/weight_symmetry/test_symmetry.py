"""The per-layer statistics of masks: exact against brute force, and each convention by example."""

import itertools
import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st

from weight_symmetry import symmetry
from weight_symmetry.symmetry import permutation_counts
from weirdonetworks.lab.records import files

Bools = npt.NDArray[np.bool_]
KEYS = {
    "sparsity",
    "permutations",
    "permutation_log10",
    "permutation_num_digits",
    "unique_neurons",
    "zeroed_neurons",
    "total_neurons",
}


@st.composite
def two_layers(draw: st.DrawFn) -> tuple[Bools, Bools]:
    """A small layer and the one that reads it: dense, convolution or flattened convolution."""
    inputs, units, outputs = (draw(st.integers(1, size)) for size in (3, 5, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0]))
    kernel, next_kernel, flattened = draw(
        st.sampled_from([((), (), 1), ((2, 1), (1, 2), 1), ((2, 2), (), 1), ((1, 2), (), 2), ((1, 1), (), 3)])
    )
    return (
        rng.random((*kernel, inputs, units)) < density,
        rng.random((*next_kernel, flattened * units, outputs)) < density,
    )


def connections(mask: Bools, next_mask: Bools, unit: int) -> tuple[list[bool], list[bool]]:
    """Every connection of one unit, incoming and outgoing, read off index by index."""
    units = mask.shape[-1]
    incoming = [bool(mask[index]) for index in np.ndindex(mask.shape) if index[-1] == unit]
    outgoing = [bool(next_mask[index]) for index in np.ndindex(next_mask.shape) if index[-2] % units == unit]
    return incoming, outgoing


@pytest.mark.slow
@given(two_layers())
def test_counts_match_brute_force(layers: tuple[Bools, Bools]) -> None:
    mask, next_mask = layers
    units = [connections(mask, next_mask, unit) for unit in range(mask.shape[-1])]
    live = [unit for unit in units if any(unit[0]) and any(unit[1])]
    fixing = sum(list(order) == live for order in itertools.permutations(live))
    statistics = symmetry.layer_statistics(mask, next_mask)
    assert statistics["permutations"] == fixing
    assert statistics["unique_neurons"] == len({str(unit) for unit in live})
    assert statistics["zeroed_neurons"] == len(units) - len(live)
    assert statistics["total_neurons"] == len(units)
    assert statistics["sparsity"] == pytest.approx(1 - mask.mean())


@pytest.mark.slow
@given(two_layers(), st.integers(0, 2**32 - 1))
def test_relabelling_units_changes_no_figure(layers: tuple[Bools, Bools], seed: int) -> None:
    mask, next_mask = layers
    units = mask.shape[-1]
    order = np.random.default_rng(seed).permutation(units)
    taps = next_mask.reshape(*next_mask.shape[:-2], -1, units, next_mask.shape[-1])
    relabelled = taps[..., order, :].reshape(next_mask.shape)
    assert symmetry.mask_statistics([mask, next_mask]) == symmetry.mask_statistics([mask[..., order], relabelled])


def test_relabelling_one_side_only_is_noticed() -> None:
    mask, next_mask = np.array([[1, 1, 0], [0, 0, 1]]), np.array([[1, 0], [1, 0], [0, 1]])
    assert symmetry.layer_statistics(mask, next_mask)["permutations"] == 2
    assert symmetry.layer_statistics(mask[:, [0, 2, 1]], next_mask)["permutations"] == 1


@pytest.mark.slow
@given(two_layers())
def test_model_multiplies_and_adds_its_layers(layers: tuple[Bools, Bools]) -> None:
    for permute_outputs in (False, True):
        statistics = symmetry.mask_statistics(layers, permute_outputs=permute_outputs)
        rows = statistics["layers"]
        assert set(statistics) == KEYS | {"layers"}
        assert all(set(row) == KEYS | {"index", "name", "shape"} for row in rows)
        assert statistics["permutations"] == math.prod(row["permutations"] for row in rows)
        for key in ("unique_neurons", "zeroed_neurons", "total_neurons"):
            assert statistics[key] == sum(row[key] for row in rows)
        size = sum(mask.size for mask in layers)
        assert statistics["sparsity"] == pytest.approx(1 - sum(mask.sum() for mask in layers) / size)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float32])
def test_every_type_of_zeros_and_ones_counts_alike(dtype: npt.DTypeLike) -> None:
    mask = np.array([[1, 1, 0], [0, 0, 1]])
    expected = symmetry.mask_statistics([mask, mask.T])
    assert symmetry.mask_statistics([mask.astype(dtype), mask.T.astype(dtype)]) == expected


def test_a_dense_network_has_every_permutation() -> None:
    sizes = (784, 300, 100, 10)
    masks = {f"linear_{i}": np.ones(shape) for i, shape in enumerate(itertools.pairwise(sizes))}
    statistics = symmetry.mask_statistics(masks)
    assert statistics["permutations"] == math.factorial(300) * math.factorial(100)
    assert statistics["permutation_log10"] == pytest.approx((math.lgamma(301) + math.lgamma(101)) / math.log(10))
    assert statistics["unique_neurons"] == 1 + 1 + 10
    assert statistics["sparsity"] == 0.0
    assert [row["name"] for row in statistics["layers"]] == list(masks)
    assert [row["shape"] for row in statistics["layers"]] == [[784, 300], [300, 100], [100, 10]]


def test_labelled_outputs_are_permuted_only_on_request() -> None:
    masks = [np.ones((4, 3)), np.ones((3, 5))]
    assert symmetry.mask_statistics(masks)["permutations"] == 6
    assert symmetry.mask_statistics(masks)["layers"][1]["unique_neurons"] == 5
    free = symmetry.mask_statistics(masks, permute_outputs=True)
    assert free["permutations"] == 6 * 120
    assert free["layers"][1]["unique_neurons"] == 1


@pytest.mark.parametrize("gone", ["incoming", "outgoing"])
def test_a_unit_is_dead_without_inputs_or_without_outputs(gone: str) -> None:
    mask, next_mask = np.ones((3, 4)), np.ones((4, 2))
    if gone == "incoming":
        mask[:, 1] = 0
    else:
        next_mask[1] = 0
    statistics = symmetry.layer_statistics(mask, next_mask)
    assert (statistics["zeroed_neurons"], statistics["permutations"]) == (1, 6)


def test_a_dead_layer_is_a_factor_of_one() -> None:
    statistics = symmetry.mask_statistics([np.zeros((3, 4)), np.ones((4, 2))])
    assert (statistics["permutations"], statistics["permutation_log10"]) == (1, 0.0)
    assert (statistics["zeroed_neurons"], statistics["unique_neurons"]) == (4, 2)
    assert statistics["permutation_num_digits"] == 1


def test_flattened_channels_are_told_apart_by_position() -> None:
    conv, dense = np.ones((3, 3, 1, 2)), np.zeros((4 * 2, 3))
    dense[[0, 1], 0] = 1  # Both channels at position 0.
    assert symmetry.layer_statistics(conv, dense)["permutations"] == 2
    dense[[2, 5], 1] = 1  # One channel at position 1, the other at position 2.
    assert symmetry.layer_statistics(conv, dense)["permutations"] == 1


def test_kernel_positions_are_told_apart() -> None:
    conv = np.zeros((1, 2, 1, 2))
    conv[0, 0, 0, :] = 1
    assert symmetry.layer_statistics(conv, np.ones((2, 3)))["permutations"] == 2
    conv[0, :, 0, 1] = [0, 1]
    assert symmetry.layer_statistics(conv, np.ones((2, 3)))["permutations"] == 1


@settings(max_examples=30)
@given(st.integers(0, 400), st.integers(-2, 2))
def test_digits_at_every_power_of_ten(power: int, offset: int) -> None:
    number = max(10**power + offset, 1)
    assert permutation_counts._digits(number) == len(str(number))


def test_huge_counts_stay_exact_and_reach_json() -> None:
    statistics = symmetry.mask_statistics([np.ones((1, 2000)), np.ones((2000, 1))])
    assert statistics["permutations"] == math.factorial(2000)
    assert statistics["permutation_num_digits"] == 5736  # More digits than str() writes by default.
    record = json.loads(json.dumps(files.to_json(statistics)))
    assert len(record["permutations"]) == 5736
    remainder = 0
    for digit in record["permutations"]:
        remainder = (remainder * 10 + int(digit)) % (2**61 - 1)
    assert remainder == math.factorial(2000) % (2**61 - 1)


def test_json_keeps_what_every_reader_holds_exactly() -> None:
    assert files.to_json([2**53, 2**53 + 1, -(2**60), True, None, "x"]) == [
        2**53,
        "9007199254740993",
        "-1152921504606846976",
        True,
        None,
        "x",
    ]
    assert files.to_json({"a": np.int64(3), "b": np.arange(2), "c": (np.float64(0.5),)}) == {
        "a": 3,
        "b": [0, 1],
        "c": [0.5],
    }


def test_masks_that_do_not_chain_are_refused() -> None:
    with pytest.raises(ValueError, match=r"masks\[1\] \(shape \(4, 2\)\).*masks\[0\] \(shape \(3, 5\)\)"):
        symmetry.mask_statistics([np.ones((3, 5)), np.ones((4, 2))])
    with pytest.raises(ValueError, match=r"must hold only 0 and 1, and holds 0.5"):
        symmetry.layer_statistics(np.full((2, 2), 0.5))
