"""The exact symmetry group and the normal form, against brute force over all joint permutations of hidden units."""

import itertools
import math
import sys
from collections.abc import Iterator

import igraph
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st
from sympy.combinatorics import Permutation, PermutationGroup

from weight_symmetry import masks, symmetry
from weight_symmetry.symmetry import coloured_graph

Bools = npt.NDArray[np.bool_]
Joint = dict[int, npt.NDArray[np.intp]]


def small_model(seed: int) -> list[Bools]:
    """A small random model: dense or convolutional, often with dead units or symmetries of several layers at once."""
    rng = np.random.default_rng(seed)
    convolutions, layers = int(rng.integers(0, 3)), int(rng.integers(2, 5))
    largest = 5 if layers < 4 else 3
    sizes = [int(rng.integers(1, 4)), *rng.integers(1, largest, layers - 1).tolist(), int(rng.integers(1, 4))]
    if rng.random() < 0.6:  # Equal widths, joined in circles or one to one, so that layers can turn together.
        sizes[1:-1] = [max(sizes[1:-1])] * (layers - 1)
    density = rng.choice([0.2, 0.4, 0.7])
    model = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        flattened = layer == convolutions > 0
        positions = tuple(rng.integers(1, 3, 2).tolist()) if layer < convolutions else ()
        if flattened:
            positions = (int(rng.integers(1, 4)),)
        if inputs == outputs and 0 < layer < layers - 1 and rng.random() < 0.8:
            row = rng.random((*positions, inputs)) < density
            mask = np.stack([np.roll(row, unit, axis=-1) for unit in range(inputs)], axis=-2)
        else:
            mask = rng.random((*positions, inputs, outputs)) < density
            if rng.random() < 0.6:
                mask[:] = mask[..., :1, :] if layer else mask[..., :1]
        model.append(mask.reshape(-1, outputs) if flattened else mask)
    return model


def joint_permutations(model: list[Bools], permute_outputs: bool = False) -> Iterator[Joint]:
    """Every joint permutation of the hidden units, and of the outputs if asked."""
    layers = range(len(model) if permute_outputs else len(model) - 1)
    for images in itertools.product(*(itertools.permutations(range(model[layer].shape[-1])) for layer in layers)):
        yield {layer: np.array(image, np.intp) for layer, image in zip(layers, images, strict=True)}


def moved(model: list[Bools], joint: Joint) -> list[Bools]:
    """Moves every single connection to where its two units go."""
    result = [np.zeros_like(mask) for mask in model]
    for layer, mask in enumerate(model):
        size = model[layer - 1].shape[-1] if layer else mask.shape[-2]
        for index in np.argwhere(mask):
            position, unit = divmod(int(index[-2]), size)
            before = joint[layer - 1][unit] if layer - 1 in joint else unit
            after = joint[layer][index[-1]] if layer in joint else index[-1]
            result[layer][(*index[:-2], position * size + before, after)] = True
    return result


def equal(one: list[Bools], other: list[Bools]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def fixing(model: list[Bools], permute_outputs: bool = False) -> list[Joint]:
    """The symmetries of a model, by trying all."""
    return [joint for joint in joint_permutations(model, permute_outputs) if equal(moved(model, joint), model)]


def live_part(model: list[Bools], permute_outputs: bool) -> list[Bools] | None:
    """The propagated model without its dead units; None where nothing is left."""
    inputs = [model[0].shape[-2], *(mask.shape[-1] for mask in model)]
    taps = [
        mask.reshape(-1, size, mask.shape[-1]) for mask, size in zip(symmetry.propagate(model), inputs, strict=False)
    ]
    for layer in range(len(taps)):
        if layer < len(taps) - 1 or permute_outputs:
            alive = taps[layer].any(axis=(0, 1))
            if not alive.any():
                return None
            taps[layer] = taps[layer][:, :, alive]
            if layer + 1 < len(taps):
                taps[layer + 1] = taps[layer + 1][:, alive]
    # A 1 x n kernel holds the n taps of a convolution; a chain of kernels compares them just as well.
    return [tap[np.newaxis] for tap in taps]


def group_order(group: symmetry.Automorphisms, model: list[Bools]) -> int:
    """The order of the group that the generators generate, by Schreier and Sims."""
    sizes = [mask.shape[-1] for mask in model]
    starts = [0, *itertools.accumulate(sizes)]
    elements = []
    for generator in group.generators:
        images = np.arange(starts[-1])
        for layer, image in generator.items():
            images[starts[layer] : starts[layer + 1]] = image + starts[layer]
        elements.append(Permutation(images.tolist()))
    return int(PermutationGroup(elements).order()) if elements else 1


def brute_orbits(model: list[Bools], symmetries: list[Joint]) -> dict[int, list[list[int]]]:
    found = {}
    for layer in symmetries[0]:
        units = range(model[layer].shape[-1])
        found[layer] = sorted(map(list, {tuple(sorted({int(s[layer][unit]) for s in symmetries})) for unit in units}))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("permute_outputs", [False, True])
def test_groups_equal_brute_force(permute_outputs: bool) -> None:
    """The group is right on hundreds of small masks, of which many have each of the traits that can go wrong."""
    models = [small_model(seed) for seed in range(300 if not permute_outputs else 100)]
    dead = joint = labelled = nontrivial = 0
    for model in models:
        group = symmetry.automorphisms(model, permute_outputs=permute_outputs)
        symmetries = fixing(model, permute_outputs)
        assert group.order == len(symmetries)
        assert group.log10_order == pytest.approx(math.log10(len(symmetries)))
        assert group.orbits == brute_orbits(model, symmetries)
        assert group_order(group, model) == group.order
        assert all(equal(moved(model, generator), model) for generator in group.generators)
        assert all((image != np.arange(len(image))).any() for g in group.generators for image in g.values())
        part = live_part(model, permute_outputs)
        assert group.live_order == (len(fixing(part, permute_outputs)) if part else 1)
        statistics = symmetry.mask_statistics(model, permute_outputs=permute_outputs)
        assert group.order % statistics["permutations"] == 0  # A subgroup's order divides the group's.
        dead += statistics["zeroed_neurons"] > 0
        nontrivial += group.order > 1
        joint += any(len(generator) > 1 for generator in group.generators)
        labelled += any(len(generator) > 1 for generator in group.generators) and any(
            mask.size > mask.shape[-1] * before.shape[-1] for before, mask in itertools.pairwise(model)
        )
    quarter = len(models) // 4
    assert dead > quarter and nontrivial > quarter and joint > quarter // 2 and labelled > quarter // 4


def test_joint_symmetry_that_layers_alone_do_not_have() -> None:
    model = [np.ones((1, 3)), np.eye(3), np.ones((3, 1))]
    assert symmetry.mask_statistics(model)["permutations"] == 1
    group = symmetry.automorphisms(model)
    assert (group.order, group.live_order) == (6, 6)
    for generator in group.generators:
        np.testing.assert_array_equal(generator[0], generator[1])


def test_six_layers_of_sixteen_all_permutable() -> None:
    order = math.factorial(16) ** 6
    assert f"{order:.2e}" == "8.39e+79"
    assert symmetry.automorphisms([np.ones((16, 16))] * 6, permute_outputs=True).order == order
    assert symmetry.automorphisms([np.ones((16, 16))] * 7).order == order
    assert symmetry.automorphisms([np.ones((16, 16))] * 6).order == math.factorial(16) ** 5


@pytest.mark.parametrize("units", [21, 200])
@pytest.mark.parametrize("complement", [False, True])
def test_large_orders_are_exact(units: int, complement: bool) -> None:
    middle = np.eye(units) != complement
    assert symmetry.automorphisms([np.ones((1, units)), middle, np.ones((units, 1))]).order == math.factorial(units)


@pytest.mark.slow
def test_orders_of_more_digits_than_python_reads_are_exact() -> None:
    limit = sys.get_int_max_str_digits()
    assert coloured_graph._count(igraph.Graph(1600), [0] * 1600) == math.factorial(1600)
    assert sys.get_int_max_str_digits() == limit


def test_dead_units_count_in_the_order_only() -> None:
    model = [np.array([[1, 1, 0, 0, 0]]), np.ones((5, 1))]
    group = symmetry.automorphisms(model)
    assert (group.order, group.live_order) == (2 * 6, 2)
    assert symmetry.automorphisms([np.zeros((2, 3)), np.zeros((3, 2))]).live_order == 1


def test_propagation_can_free_symmetries() -> None:
    # Only a dead unit of the next layer tells the two live units apart.
    model = [np.ones((1, 2)), np.array([[1, 1], [1, 0]]), np.array([[1], [0]])]
    group = symmetry.automorphisms(model)
    assert (group.order, group.live_order) == (1, 2)


def test_one_layer_has_no_hidden_units() -> None:
    group = symmetry.automorphisms([np.ones((3, 4))])
    assert (group.order, group.live_order, group.generators, group.orbits) == (1, 1, [], {})
    assert symmetry.automorphisms([np.ones((3, 4))], permute_outputs=True).order == 24


def test_kernels_are_compared_position_by_position() -> None:
    conv = np.zeros((1, 2, 2, 2))
    conv[0, 0] = np.eye(2)
    conv[0, 1] = 1 - np.eye(2)
    ends = np.ones((1, 1, 1, 2)), np.ones((2, 1))
    assert symmetry.automorphisms([ends[0], conv, ends[1]]).order == 2
    conv[0, :, 1, 1] = conv[0, ::-1, 1, 1]
    assert symmetry.automorphisms([ends[0], conv, ends[1]]).order == 1


def test_every_pair_of_kernels_between_two_channels_that_differ() -> None:
    """Colours of channels and kinds of connections stay apart, whichever side the channels are told apart from."""
    plain, marked = np.ones((1, 1, 1, 2), bool), np.array([True, False])
    for bits in itertools.product([False, True], repeat=8):
        middle = np.array(bits).reshape(1, 2, 2, 2)
        for first, last in [(plain & marked, np.ones((2, 1), bool)), (plain, marked[:, np.newaxis])]:
            model = [first, middle, last]
            assert symmetry.automorphisms(model).order == len(fixing(model))


def test_one_changed_connection_breaks_the_group() -> None:
    model = [np.ones((1, 5)), np.eye(5), np.ones((5, 1))]
    model[1][0, 1] = 1
    group = symmetry.automorphisms(model)
    assert group.order == 6
    outside = {0: np.array([1, 0, 2, 3, 4]), 1: np.array([1, 0, 2, 3, 4])}
    assert not equal(moved([mask.astype(bool) for mask in model], outside), [mask.astype(bool) for mask in model])


def test_the_main_network_dense_and_pruned() -> None:
    shapes = [(784, 300), (300, 100), (100, 10)]
    dense = symmetry.automorphisms({f"linear_{i}": np.ones(shape) for i, shape in enumerate(shapes)})
    assert dense.order == math.factorial(300) * math.factorial(100)
    assert symmetry.automorphisms(masks.create("random", shapes, 0.9, seed=0)).order == 1
    symmetric = masks.create("symmetric", shapes, 0.9, seed=0)
    assert symmetry.automorphisms(symmetric).live_order == math.factorial(30) * math.factorial(10)


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans())
def test_normal_form_forgets_the_order_of_units(seed: int, relabelling: int, permute_outputs: bool) -> None:
    model, rng = small_model(seed), np.random.default_rng(relabelling)
    layers = len(model) if permute_outputs else len(model) - 1
    joint = {layer: rng.permutation(model[layer].shape[-1]) for layer in range(layers)}
    form = symmetry.canonicalise(model, permute_outputs=permute_outputs)
    assert equal(form, symmetry.canonicalise(moved(model, joint), permute_outputs=permute_outputs))
    assert any(equal(moved(model, other), form) for other in joint_permutations(model, permute_outputs))
    group, other = (symmetry.automorphisms(m, permute_outputs=permute_outputs) for m in (model, moved(model, joint)))
    assert (group.order, group.live_order) == (other.order, other.live_order)


@pytest.mark.parametrize("density", [0.002, 0.01, 0.03, 0.1, 0.97])
def test_normal_form_of_larger_models(density: float) -> None:
    rng = np.random.default_rng(0)
    dense: list[tuple[int, ...]] = [(20, 60), (60, 60), (60, 40), (40, 5)]
    convolutions: list[tuple[int, ...]] = [(3, 3, 2, 20), (3, 3, 20, 30), (4 * 30, 25), (25, 5)]
    for shapes in (dense, convolutions):
        for _ in range(5):
            model = [rng.random(shape) < density for shape in shapes]
            joint = {layer: rng.permutation(mask.shape[-1]) for layer, mask in enumerate(model[:-1])}
            relabelled = symmetry.permute(model, joint)
            assert equal(relabelled, moved(model, joint))
            assert equal(symmetry.canonicalise(model), symmetry.canonicalise(relabelled))
            relabelled[1].flat[0] ^= True
            assert not equal(symmetry.canonicalise(model), symmetry.canonicalise(relabelled))


@pytest.mark.parametrize("kernel", [(), (1, 2)])
def test_normal_form_of_circles(kernel: tuple[int, ...]) -> None:
    """Circulant layers are where colours say nothing and the search does all."""
    rng = np.random.default_rng(1)
    first, last = np.ones((*kernel, 1, 12)), np.ones((12, 1))
    forms, orders = set(), set()
    for _ in range(20):
        row = rng.random((*kernel, 12)) < 0.4
        middle = [np.stack([np.roll(row, k, axis=-1) for k in range(12)], axis=-2)] * 2
        model = [first != 0, *middle, last != 0]
        joint = {layer: rng.permutation(12) for layer in range(3)}
        form = symmetry.canonicalise(moved(model, joint))
        assert equal(form, symmetry.canonicalise(model))
        forms.add(b"".join(mask.tobytes() for mask in form))
        orders.add(symmetry.automorphisms(model).order)
    assert len(forms) > 5
    assert all(order % 12 == 0 for order in orders)


def test_normal_forms_agree_exactly_for_relabelled_masks() -> None:
    """Over all masks 1-2-2-1, equal normal forms and the existence of a relabelling are the same thing."""
    models = []
    for bits in itertools.product([False, True], repeat=8):
        connections = np.array(bits)
        models.append([connections[:2].reshape(1, 2), connections[2:6].reshape(2, 2), connections[6:].reshape(2, 1)])
    forms = [b"".join(mask.tobytes() for mask in symmetry.canonicalise(model)) for model in models]
    classes = {
        frozenset(b"".join(mask.tobytes() for mask in moved(model, joint)) for joint in joint_permutations(model))
        for model in models
    }
    assert len(set(forms)) == len(classes) < len(models)
    for model, form in zip(models, forms, strict=True):
        assert form in {b"".join(mask.tobytes() for mask in moved(model, joint)) for joint in joint_permutations(model)}


@given(st.integers(0, 2**32 - 1))
def test_permute_moves_each_connection_with_its_units(seed: int) -> None:
    model, rng = small_model(seed), np.random.default_rng(seed)
    joint = {layer: rng.permutation(mask.shape[-1]) for layer, mask in enumerate(model) if rng.random() < 0.7}
    before = [mask.copy() for mask in model]
    assert equal(symmetry.permute(model, joint), moved(model, joint))
    assert equal(model, before)


@pytest.mark.parametrize("permutation", [{0: [0, 0, 1]}, {0: [0, 1]}, {0: [1, 2, 3]}, {5: []}, {-1: [0]}])
def test_what_permutes_nothing_is_refused(permutation: dict[int, list[int]]) -> None:
    with pytest.raises(ValueError, match="permutation"):
        symmetry.permute([np.ones((2, 3)), np.ones((3, 1))], permutation)


def test_masks_that_do_not_chain_are_refused() -> None:
    for function in (symmetry.automorphisms, symmetry.canonicalise):
        with pytest.raises(ValueError, match=r"masks\[1\] \(shape \(4, 2\)\)"):
            function([np.ones((3, 5)), np.ones((4, 2))])


def test_without_igraph_one_line_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    for function in (symmetry.automorphisms, symmetry.canonicalise):
        with pytest.raises(ImportError, match=r"^[^\n]*pip install weirdonetworks\[symmetry\][^\n]*$"):
            function([np.ones((2, 3)), np.ones((3, 1))])
    assert symmetry.mask_statistics([np.ones((2, 3)), np.ones((3, 1))])["permutations"] == 6
