"""The law of each mask type and of each sparsity distribution, by property."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, strategies as st

from weight_symmetry import masks, symmetry

Bools = npt.NDArray[np.bool_]
GOLDEN = {
    "symmetric": "0545e4b3b83a",
    "random": "526845917e9a",
    "per-neuron": "0acdadcb6723",
    "per-neuron-no-input-ablation": "ca4394382bb6",
    "asymmetric": "0acdadcb6723",
    "grouped": "506e5d93d799",
    "whole-neurons": "956e4a861ec8",
}
LENET = [(784, 300), (300, 100), (100, 10)]
CNN = [(3, 3, 3, 32), (3, 3, 32, 64), (3136, 10)]

dense = st.tuples(st.integers(1, 20), st.integers(1, 20))
convolution = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 8), st.integers(1, 8))
projection = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 6))  # Of attention: [inputs, heads, size].
shapes = st.one_of(dense, convolution, projection)
sparsities = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
numbers = st.integers(0, 2**32 - 1)


def kept(size: int, sparsity: float) -> int:
    return round((1 - sparsity) * size)


def fan_in(shape: Sequence[int]) -> int:
    return math.prod(shape[:-1])


def counts(mask: Bools) -> list[int]:
    """The connections that each neuron keeps."""
    return [int(count) for count in mask.reshape(-1, mask.shape[-1]).sum(axis=0)]


def inputs_reached(mask: Bools) -> Bools:
    """For every input unit whether a connection leaves it."""
    return np.array([mask[..., unit, :].any() for unit in range(mask.shape[-2])])


@given(shapes, sparsities, numbers)
def test_symmetric_cuts_the_same_inputs_for_every_neuron(shape: tuple[int, ...], sparsity: float, seed: int) -> None:
    (mask,) = masks.create("symmetric", [shape], sparsity, seed)
    assert mask.shape == shape and mask.dtype == np.bool_
    assert (mask == mask[..., :1]).all()
    assert counts(mask) == [kept(fan_in(shape), sparsity)] * shape[-1]


@given(shapes, sparsities, numbers)
def test_random_keeps_the_exact_number(shape: tuple[int, ...], sparsity: float, seed: int) -> None:
    (mask,) = masks.create("random", [shape], sparsity, seed)
    assert mask.shape == shape and mask.dtype == np.bool_
    assert mask.sum() == kept(mask.size, sparsity)


@given(shapes, sparsities, numbers)
def test_per_neuron_keeps_the_same_number_for_each(shape: tuple[int, ...], sparsity: float, seed: int) -> None:
    (mask,) = masks.create("per-neuron", [shape], sparsity, seed)
    assert mask.shape == shape and mask.dtype == np.bool_
    assert counts(mask) == [kept(fan_in(shape), sparsity)] * shape[-1]


@given(shapes, sparsities, numbers)
def test_no_input_is_ablated_and_no_more_is_added_than_that_takes(
    shape: tuple[int, ...], sparsity: float, seed: int
) -> None:
    name = "per-neuron-no-input-ablation"
    (mask,) = masks.create(name, [shape], sparsity, seed)
    (added,) = masks.connections_added(name, [shape], sparsity)
    wanted = kept(fan_in(shape), sparsity) * shape[-1]
    assert mask.shape == shape and mask.dtype == np.bool_
    assert inputs_reached(mask).all()
    assert mask.sum() == wanted + added == max(wanted, shape[-2])
    assert min(counts(mask)) >= kept(fan_in(shape), sparsity)
    assert max(counts(mask)) - min(counts(mask)) <= (added > 0)


def neuron_classes(mask: Bools) -> list[int]:
    """The numbers of neurons with equal connections."""
    return sorted(np.unique(mask.reshape(-1, mask.shape[-1]), axis=1, return_counts=True)[1].tolist())


@given(shapes, sparsities, st.integers(0, 5), numbers)
def test_groups_share_their_inputs_and_together_read_all(
    shape: tuple[int, ...], sparsity: float, group_size: int, seed: int
) -> None:
    (mask,) = masks.create("grouped", [shape], sparsity, seed, group_size=group_size)
    each, neurons = kept(fan_in(shape), sparsity), shape[-1]
    assert mask.shape == shape and mask.dtype == np.bool_ and counts(mask) == [each] * neurons
    groups = math.ceil(neurons / group_size) if group_size else min(math.ceil(fan_in(shape) / max(each, 1)), neurons)
    read = mask.reshape(-1, neurons).any(axis=1).sum()
    assert read == min(groups * each, fan_in(shape))  # None is dealt again before all are.
    sizes = neuron_classes(mask)
    assert len(sizes) <= groups
    if len(sizes) == groups:  # Two groups may have been dealt the same.
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9])
def test_groups_stay_interchangeable_through_the_layers_at_no_cost_of_inputs_or_connections(sparsity: float) -> None:
    shapes = [(60, 40), (40, 20)]
    made = {name: [*masks.create(name, shapes, sparsity, seed=3), np.ones((20, 4), bool)] for name in masks.MASK_TYPES}
    orders = {name: symmetry.automorphisms(each) for name, each in made.items()}
    assert orders["grouped"].live_order == orders["grouped"].order > 10**9
    # What the per-neuron mask has too: connections of each neuron, and every input and neuron read.
    for grouped, alone in zip(made["grouped"], made["per-neuron"], strict=True):
        assert counts(grouped) == counts(alone) and grouped.any(axis=1).all()
    assert orders["per-neuron"].order < 10**3
    assert not made["symmetric"][0].any(axis=1).all()
    # The control: layers whose inputs are dealt one by one break up the groups of the layer before.
    apart = [masks.create("grouped", [shape], sparsity, seed=3)[0] for shape in shapes]
    assert symmetry.automorphisms([*apart, np.ones((20, 4), bool)]).order < orders["grouped"].order


def test_group_sizes_are_a_scale_from_no_symmetry_to_all_of_it() -> None:
    def order(size: int) -> int:
        (mask,) = masks.create("grouped", [(60, 24)], 0.8, seed=1, group_size=size)
        return symmetry.automorphisms([mask, np.ones((24, 4), bool)]).order

    assert [order(size) for size in (1, 2, 3, 24)] == [1, 2**12, math.factorial(3) ** 8, math.factorial(24)]


@given(dense, sparsities, numbers)
def test_asymmetric_neurons_differ_so_that_the_group_is_trivial(
    shape: tuple[int, ...], sparsity: float, seed: int
) -> None:
    choices = math.comb(fan_in(shape), kept(fan_in(shape), sparsity))
    if choices < shape[-1]:
        with pytest.raises(ValueError, match=r"sparsity \(=.*\) must leave each of \d+ neurons other inputs for an as"):
            masks.create("asymmetric", [shape], sparsity, seed)
        return
    (mask,) = masks.create("asymmetric", [shape], sparsity, seed)
    assert counts(mask) == [kept(fan_in(shape), sparsity)] * shape[-1] and max(neuron_classes(mask)) == 1
    assert symmetry.automorphisms([mask, np.ones((shape[-1], 2), bool)]).order == 1


def test_asymmetric_masks_of_few_inputs_have_no_symmetry_where_others_have() -> None:
    """Six ways to keep two of four inputs, and six neurons."""
    shapes = [(4, 6), (6, 15)]
    orders = {
        name: symmetry.automorphisms([*masks.create(name, shapes, 0.5, seed=0), np.ones((15, 3), bool)]).order
        for name in ("asymmetric", "per-neuron")
    }
    assert orders["asymmetric"] == 1 < orders["per-neuron"]


@given(shapes, sparsities, numbers)
def test_whole_neurons_read_all_inputs_or_none(shape: tuple[int, ...], sparsity: float, seed: int) -> None:
    (mask,) = masks.create("whole-neurons", [shape], sparsity, seed)
    assert mask.shape == shape and mask.dtype == np.bool_
    left = kept(shape[-1], sparsity)
    assert sorted(counts(mask)) == [0] * (shape[-1] - left) + [fan_in(shape)] * left


def test_each_law_fails_for_another_type() -> None:
    shape, sparsity = (50, 20), 0.9
    made = {name: masks.create(name, [shape], sparsity, seed=5)[0] for name in masks.MASK_TYPES}
    for name in ("random", "per-neuron", "per-neuron-no-input-ablation"):
        assert (made[name] != made[name][:, :1]).any(), "not symmetric"
    assert len(set(counts(made["random"]))) > 1, "not per-neuron"
    assert not inputs_reached(made["symmetric"]).all(), "some input is ablated"
    assert len(neuron_classes(made["per-neuron"])) > len(neuron_classes(made["grouped"])), "no groups"
    assert len(set(counts(made["whole-neurons"]))) == 2, "not per-neuron"
    (sparse,) = masks.create("per-neuron", [(40, 10)], 0.9, seed=5)
    assert not inputs_reached(sparse).all(), "some input is ablated"


def test_every_connection_is_drawn_equally_often() -> None:
    for name, shape in [(name, shape) for name in masks.MASK_TYPES for shape in [(6, 4), (1, 2, 3, 4)]]:
        total = sum(masks.create(name, [shape], 0.5, seed=0, trial=trial)[0].astype(int) for trial in range(2000))
        density = kept(6, 0.5) / 6
        error = np.sqrt(density * (1 - density) / 2000)
        assert np.abs(total / 2000 - density).max() < 5 * error, name


def test_neurons_are_drawn_by_themselves() -> None:
    for name in ("random", "per-neuron", "per-neuron-no-input-ablation"):
        (mask,) = masks.create(name, [(64, 64)], 0.5, seed=2)
        assert symmetry.layer_statistics(mask, permute_outputs=True)["unique_neurons"] == 64, name


def test_layers_and_trials_and_seeds_have_their_own_masks() -> None:
    for name in masks.MASK_TYPES:
        first, second = masks.create(name, [(40, 40), (40, 40)], 0.5, seed=1)
        assert (first != second).any()
        assert (first != masks.create(name, [(40, 40)], 0.5, seed=1, trial=1)[0]).any()
        assert (first != masks.create(name, [(40, 40)], 0.5, seed=2)[0]).any()
        np.testing.assert_array_equal(first, masks.create(name, [(40, 40)], 0.5, seed=1)[0])


def test_hyphens_and_underscores_name_the_same_type() -> None:
    for name in masks.MASK_TYPES:
        hyphens = masks.create(name, LENET, 0.9, seed=1, distribution="erdos-renyi")
        underscores = masks.create(name.replace("-", "_"), LENET, 0.9, seed=1, distribution="erdos_renyi")
        for one, other in zip(hyphens, underscores, strict=True):
            np.testing.assert_array_equal(one, other)


def test_masks_stay_the_same_over_versions() -> None:
    digests = {
        name: hashlib.sha256(
            b"".join(np.packbits(mask).tobytes() for mask in masks.create(name, LENET, 0.9, seed=42))
        ).hexdigest()
        for name in masks.MASK_TYPES
    }
    assert {name: digest[:12] for name, digest in digests.items()} == GOLDEN, (
        "Masks drawn from the same seed have changed: published runs can no longer be repeated. If that is meant, "
        "copy the left side into GOLDEN."
    )


@given(st.lists(shapes, min_size=1, max_size=5), sparsities, st.sampled_from(masks.DISTRIBUTIONS))
def test_densities_add_up(model: list[tuple[int, ...]], sparsity: float, distribution: str) -> None:
    layers = masks.layer_sparsities(model, sparsity, distribution)
    assert all(0 <= layer <= 1 for layer in layers)
    sizes = [math.prod(shape) for shape in model]
    total = sum((1 - layer) * size for layer, size in zip(layers, sizes, strict=True))
    assert total == pytest.approx((1 - sparsity) * sum(sizes), rel=1e-9, abs=1e-9)
    made = masks.create("random", model, sparsity, seed=0, distribution=distribution)
    assert [int(mask.sum()) for mask in made] == [kept(size, layer) for layer, size in zip(layers, sizes, strict=True)]


@given(st.lists(shapes, min_size=1, max_size=5), st.floats(0.01, 1), st.sampled_from(masks.DISTRIBUTIONS[1:]))
def test_densities_below_one_follow_the_formula(
    model: list[tuple[int, ...]], sparsity: float, distribution: str
) -> None:
    density = 1 - np.array(masks.layer_sparsities(model, sparsity, distribution))
    used = [shape if distribution == "erdos-renyi-kernel" else shape[-2:] for shape in model]
    formula = np.array([sum(shape) / math.prod(shape) for shape in used])
    free = density < 1 - 1e-12
    assume(free.any() and sparsity < 1 - 1e-6)
    scale = density[free] / formula[free]
    assert scale == pytest.approx(scale[0])
    assert (formula[~free] * scale[0] >= 1 - 1e-6).all(), "a layer is held at 1 that the formula would not fill"


def test_uniform_is_uniform_and_the_others_are_not() -> None:
    assert masks.layer_sparsities(LENET, 0.9) == [0.9] * 3
    renyi = masks.layer_sparsities(CNN, 0.8, "erdos-renyi")
    kernel = masks.layer_sparsities(CNN, 0.8, "erdos-renyi-kernel")
    assert len(set(renyi)) == 3 and renyi != kernel
    assert masks.layer_sparsities(LENET, 0.9, "erdos-renyi") == masks.layer_sparsities(LENET, 0.9, "erdos-renyi-kernel")


def test_connections_added_only_where_inputs_outnumber_them() -> None:
    name = "per-neuron-no-input-ablation"
    assert masks.connections_added(name, LENET, 0.9) == [0, 0, 0]
    assert masks.connections_added(name, [(100, 10), (3, 3, 16, 4)], 0.99) == [90, 12]
    assert masks.connections_added(name, [(100, 10)], 1.0) == [100]
    assert masks.connections_added("per-neuron", [(100, 10)], 0.99) == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("random", LENET, 1.2, 0), r"sparsity \(=1.2\) must be in \[0, 1\]\."),
        (("random", LENET, -0.1, 0), r"sparsity \(=-0.1\) must be in"),
        (("random", LENET, "0.5", 0), r"sparsity \(='0.5'\) must be in"),
        (("random", LENET, float("nan"), 0), r"sparsity \(=nan\) must be in"),
        (("dense", LENET, 0.5, 0), r"mask_type \(='dense'\) must be one of symmetric, random, per-neuron, "),
        (
            ("asymmetric", LENET, 0.0, 0),
            r"sparsity \(=0\.0\) must leave each of 300 neurons other inputs for an asymmetr",
        ),
        (("random", [(3,)], 0.5, 0), r"shapes \(=\(3,\)\) must be"),
        (("random", [(3, 0)], 0.5, 0), r"shapes \(=\(3, 0\)\) must be"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[str, list[tuple[int, ...]], float, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masks.create(*arguments)


def test_asymmetric_masks_leave_whole_what_their_distribution_does() -> None:
    *hidden, outputs = masks.create("asymmetric", LENET, 0.9, seed=1, distribution="erdos-renyi")
    assert outputs.all() and not any(mask.all() for mask in hidden)
    assert symmetry.automorphisms([*hidden, outputs]).order == 1
    with pytest.raises(ValueError, match=r"ways to keep 784 of 784 in a layer of 784x300: choose another"):
        masks.create("asymmetric", LENET, [1e-9, 0.9, 0.0], seed=1)


def test_groups_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^group_size \(=3\) is for mask_type grouped, and not for random: leave"):
        masks.create("random", LENET, 0.9, seed=1, group_size=3)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^group_size \(=-1\) must be at least 0\."):
        masks.grouped((4, 6), 0.5, rng, group_size=-1)
    for groups in (np.array([0, 1]), np.zeros((4, 1), int)):
        with pytest.raises(ValueError, match=r"^input_groups \(shape \(.*\)\) must hold a number for each of 4 inputs"):
            masks.grouped((4, 6), 0.5, rng, input_groups=groups)


def test_unknown_distributions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"distribution \(='even'\) must be one of uniform, erdos-renyi, "):
        masks.layer_sparsities(LENET, 0.5, "even")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float32, np.float64])
def test_as_mask_takes_every_type_of_zeros_and_ones(dtype: npt.DTypeLike) -> None:
    mask = masks.as_mask(np.array([[0, 1], [1, 1]], dtype))
    assert mask.dtype == np.bool_ and mask.tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 2]], "kernel must hold only 0 and 1, and holds 2"),
        ([[0, -1.0]], "holds -1.0"),
        ([[0, float("nan")]], "holds nan"),
        ([["0", "1"]], "must hold booleans, integers or floats"),
        ([0, 1], r"kernel \(shape \(2,\)\) must be shaped"),
        (np.zeros((2, 0)), "must be shaped"),
    ],
)
def test_as_mask_refuses_the_rest(values: npt.ArrayLike, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masks.as_mask(values, "kernel")
