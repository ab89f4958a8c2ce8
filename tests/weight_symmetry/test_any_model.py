"""Every model of `tests.unit_models` through all that the package does with the units of any model."""

import dataclasses
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from sympy.combinatorics import Permutation, PermutationGroup

from tests.unit_models import CASES, Case, scaled
from weight_symmetry import symmetry
from weight_symmetry.compaction import compact
from weirdonetworks.measure import conserved
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_tracing.axes import gather

Arrays = list[npt.NDArray[Any]]
MaskList = list[npt.NDArray[np.bool_] | None]
ENUMERATED = 5000  # Joint permutations, of which all are tried.
SWAPPED = 16  # Units of a space, of which all pairs are exchanged.
RATE = 1e-2
BIAS = re.compile(r"(/b|bias|beta|offset|mean|mean/average)( \(\d+\))?$")


@dataclasses.dataclass(frozen=True)
class Expected:
    """What is known by hand of a model.

    Attributes:
      scalings: For each free space, the dimensions of the rescalings and of the sign flips of a unit.
      dimensions: The dimension of the rescalings of all units, and the exponent of 2 of the sign flips: the sums over
        units, less what two spaces have in common.
      of_norms: Those that batch norm's scales and offsets allow besides.
      conserved: The number of quantities of each symmetry that gradient flow on the cross-entropy conserves.
    """

    scalings: tuple[tuple[int, int], ...]
    dimensions: tuple[int, int]
    conserved: dict[str, int]
    of_norms: tuple[int, int] = (0, 0)


def laws(balances: int, units: int, mixed: int = 0, classes: int = 1) -> dict[str, int]:
    every = {
        conserved.RESCALING: balances,
        conserved.MIXING: mixed,
        conserved.PERMUTATION: units,
        conserved.TRANSLATION: classes,
    }
    return {symmetry: count for symmetry, count in every.items() if count}


EXPECTED = {
    "MLP": Expected(((1, 0),) * 2, (9, 0), laws(2, 2)),
    "MNIST_FC": Expected(((1, 0),) * 2, (12, 0), laws(2, 2)),
    # In evaluation: before the norm, and after it.
    "MNIST_CNN": Expected(((2, 1),) * 3, (12, 0), laws(3, 3), of_norms=(12, 12)),
    "CIFAR10_CNN": Expected(((1, 0),) * 6, (21, 0), laws(6, 6)),
    # The units of a stream, which three norms write: two of a block's last convolution and one of the next's shortcut.
    "ResNet": Expected(((2, 1), *((3, 2), (2, 1), (2, 1)) * 4), (160, 0), laws(13, 13), of_norms=(224, 224)),
    "residual": Expected(((1, 0), (2, 1), (0, 1)), (11, 3), laws(2, 3), of_norms=(5, 5)),
    # ReLU6 has no scale.
    "mobile": Expected(((1, 1), (2, 2)), (16, 4), laws(0, 2, mixed=1), of_norms=(12, 24)),
    "grouped": Expected(((2, 3), (1, 1), (1, 1)), (11, 15), laws(0, 4, mixed=4)),
    # Of attention the heads' scales of queries and keys are, all at once, those of their insides.
    "transformer": Expected(((2, 2), (2, 2), (1, 1), (1, 1), (0, 0)), (25, 25), laws(4, 5, mixed=2)),
    # The candidate, the cell and with them the hidden state may change sign, since the hyperbolic tangent is odd.
    "LSTM": Expected(((0, 1),), (0, 6), laws(0, 1)),
    "volumes": Expected(((1, 0), (0, 1)), (3, 4), laws(1, 2)),
    "transposed": Expected(((1, 0), (0, 1)), (3, 4), laws(1, 2)),
    "shared": Expected(((1, 0),), (6, 0), laws(1, 1)),
    "encoder": Expected(((1, 0), (0, 1)), (8, 4), laws(1, 2, classes=0)),  # Distances are no logits.
    "embedding": Expected(((1, 1),), (4, 4), laws(0, 1, mixed=1)),
    "sorted": Expected((), (0, 0), laws(0, 0)),
}


class Traced:
    """A traced model, and what several tests need of it, computed once."""

    def __init__(self, case: Case):
        self.case = case
        self.expected = EXPECTED[case.name]
        self.model = case.make()
        self.graph = case.graph(self.model)
        self.values: Arrays = [variable.numpy() for variable in self.graph.variables]
        self.weights = sorted({edge.variable for edge in self.graph.edges})
        self.swap = {
            space.name: np.array([1, 0, *range(2, space.size)]) for space in self.graph.free
        }  # Exchanges two units of every space.

    def drawn(self, density: float, seed: int = 0) -> MaskList:
        """Draws a mask for each weight."""
        rng = np.random.default_rng(seed)
        masks = [rng.random(shape) < density for shape in self.graph.shapes]
        return [mask if index in self.weights else None for index, mask in enumerate(masks)]

    @functools.cached_property
    def symmetric(self) -> MaskList:
        """Masks with a joint symmetry that exchanges two units of every space, and perhaps more."""
        masks = self.drawn(0.2)
        moved = self.graph.permuted(self.swap, masks)
        return [None if mask is None else mask | other for mask, other in zip(masks, moved, strict=True)]

    def masked(self, masks: MaskList, values: Sequence[npt.NDArray[Any]] | None = None) -> Arrays:
        """Cuts weights."""
        pairs = zip(self.values if values is None else values, masks, strict=True)
        return [value if mask is None else value * mask for value, mask in pairs]

    @functools.cached_property
    def outputs(self) -> Callable[[Sequence[Any]], list[tf.Tensor]]:
        """Computes the outputs in float64, compiled."""
        call = self.graph.call
        run = tf.function(lambda values: [call.evaluate(values)[number] for number in call.results], autograph=False)
        return lambda values: run([tf.constant(value) for value in values])

    @functools.cached_property
    def given(self) -> list[tf.Tensor]:
        return self.outputs(self.values)

    def change(self, values: Sequence[Any], given: list[tf.Tensor] | None = None) -> float:
        """By how much other values of the variables change the outputs, those given or the model's, per the largest."""
        (one,), (other,) = self.given if given is None else given, self.outputs(values)
        return float(tf.reduce_max(tf.abs(one - other)) / (tf.reduce_max(tf.abs(one)) or 1.0))

    @functools.cached_property
    def functions(self) -> symmetry.FunctionSymmetries:
        return symmetry.function_symmetries({}, self.graph)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def shared(request: pytest.FixtureRequest) -> Traced:
    return Traced(request.param)


@pytest.fixture
def traced(shared: Traced) -> Iterator[Traced]:
    """A traced model whose variables are set back after the test."""
    yield shared
    for variable, value in zip(shared.graph.variables, shared.values, strict=True):
        variable.assign(value)


def equal(one: MaskList, other: MaskList) -> bool:
    return all(a is b or np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.exhaustive
def test_the_free_units_are_those_counted_by_hand(traced: Traced) -> None:
    assert sorted(space.size for space in traced.graph.free) == sorted(traced.case.free)
    assert len(CASES) == len(EXPECTED)


@pytest.mark.exhaustive
def test_permuted_along_all_axes_the_outputs_stay(traced: Traced) -> None:
    assert traced.graph.verify(seed=3) < 1e-12
    traced.graph.permute(traced.swap)
    moved = [variable.numpy() for variable in traced.graph.variables]
    assert equal(moved, traced.values) == (not traced.case.free)
    assert traced.graph.difference(traced.values) < 1e-12


@pytest.mark.exhaustive
def test_with_one_axis_left_out_they_do_not(traced: Traced) -> None:
    """The control: each axis of each weight that a space has is needed.

    But for the biases of keys, which add the same to all that a softmax compares.
    """
    graph = traced.graph
    for space in graph.free:
        turn = np.roll(np.arange(space.size), 1)
        moved = graph.permuted({space.name: turn})
        for place in {(place.variable, place.axis) for place in space.places}:
            number, axis = place
            back = gather(graph.axes[number][axis], {space.units: np.argsort(turn)})
            wrong = [np.take(each, back, axis) if i == number else each for i, each in enumerate(moved)]
            if np.array_equal(wrong[number], moved[number]) or "key/bias" in graph.variables[number].name:
                continue
            assert traced.change(wrong) > 1e-9, (space.name, graph.variables[number].name, axis)


@pytest.mark.exhaustive
def test_a_copy_is_permuted(traced: Traced) -> None:
    """But not one of a function, whose variables are not its own."""
    model, inputs, options = traced.model, traced.case.inputs(), dict(traced.case.options)
    if traced.case.name == "shared":
        with pytest.raises(TypeError, match=r"must hold its variables as attributes, to be copied"):
            symmetry.apply(traced.swap, model, inputs, **options)
        return
    permuted = symmetry.apply(traced.swap, model, inputs, **options)
    assert type(permuted) is type(model)
    assert equal([variable.numpy() for variable in traced.graph.variables], traced.values)
    moved = [variable.numpy() for variable in UnitGraph.trace(permuted, inputs, **options).variables]
    assert equal(traced.graph.permuted(traced.swap), moved)
    assert equal(traced.values, moved) == (not traced.case.free)


@pytest.mark.exhaustive
def test_statistics_count_exchanges_in_each_space(traced: Traced) -> None:
    """Live units are exchangeable exactly if the exchange of the two changes no mask, where a mask has them once."""
    graph, masks = traced.graph, traced.symmetric
    found = symmetry.mask_statistics(masks, graph)
    rows = {row["name"]: row for row in found["layers"]}
    assert set(rows) >= {space.name for space in graph.free}
    for key in ("permutations", "unique_neurons", "zeroed_neurons", "total_neurons"):
        total = math.prod if key == "permutations" else sum
        assert found[key] == total(row[key] for row in rows.values())
    held = [mask for mask in masks if mask is not None]
    assert found["sparsity"] == pytest.approx(1 - sum(map(np.sum, held)) / sum(map(np.size, held)))
    for space in graph.free:
        assert rows[space.name]["total_neurons"] == space.size
        if space.size > SWAPPED:
            continue
        twins = {unit: [unit] for unit in range(space.size)}
        for one, other in itertools.combinations(range(space.size), 2):
            swap = np.arange(space.size)
            swap[[one, other]] = other, one
            if equal(graph.permuted({space.name: swap}, masks), masks):
                twins[one].append(other)
                twins[other].append(one)
        classes = Counter(tuple(sorted(each)) for each in twins.values())
        exchanges = math.prod(math.factorial(count) for count in classes.values())
        twice = any(count > 1 for count in Counter(place.variable for place in space.places).values())
        assert exchanges % rows[space.name]["permutations"] == 0
        if not (rows[space.name]["zeroed_neurons"] or twice):
            assert (rows[space.name]["permutations"], rows[space.name]["unique_neurons"]) == (exchanges, len(classes))


@pytest.mark.exhaustive
def test_the_joint_group_is_exact(traced: Traced) -> None:
    """Its generators keep masks and the outputs of the masked model, and generate all; all are tried, if they are few.

    The control: a permutation outside the group changes the masks.
    """
    graph, masks = traced.graph, traced.symmetric
    group = symmetry.automorphisms(masks, graph)
    names = [space.name for space in graph.free]
    starts = dict(zip(names, itertools.accumulate((space.size for space in graph.free), initial=0), strict=False))
    elements = []
    weights = traced.masked(masks)
    given = traced.outputs(weights)
    for generator in group.generators:
        assert equal(symmetry.permute(masks, generator, graph), masks)
        moved = graph.permuted(generator, weights)
        assert equal(traced.masked(masks, moved), moved)
        assert traced.change(moved, given) < 1e-12
        images = np.arange(sum(space.size for space in graph.free))
        for name, image in generator.items():
            images[starts[name] : starts[name] + len(image)] = image + starts[name]
        elements.append(Permutation(images.tolist()))
    assert group.order == (PermutationGroup(elements).order() if elements else 1)
    assert (group.order > 1) == bool(graph.free)
    whole = math.prod(math.factorial(space.size) for space in graph.free)
    if whole <= ENUMERATED:
        images = (itertools.permutations(range(space.size)) for space in graph.free)
        joints = (dict(zip(names, map(np.array, each), strict=True)) for each in itertools.product(*images))
        assert group.order == sum(equal(graph.permuted(each, masks), masks) for each in joints)
    turned = {space.name: np.roll(np.arange(space.size), 1) for space in graph.free}
    assert equal(graph.permuted(turned, masks), masks) == (not graph.free)
    assert symmetry.automorphisms([None] * len(masks), graph).order == whole


@pytest.mark.exhaustive
def test_the_normal_form_is_that_of_every_order_of_the_units(traced: Traced) -> None:
    graph, masks = traced.graph, traced.symmetric
    form = symmetry.canonicalise(masks, graph)
    rng = np.random.default_rng(0)
    moved = symmetry.permute(masks, {space.name: rng.permutation(space.size) for space in graph.free}, graph)
    assert equal(moved, masks) == (not graph.free)
    assert equal(symmetry.canonicalise(moved, graph), form)
    for function in (symmetry.automorphisms, symmetry.mask_statistics):
        one, other = (function(each, graph) for each in (masks, moved))
        assert one == other if isinstance(one, dict) else one.order == other.order
    changed = [None if mask is None else mask.copy() for mask in moved]
    changed[traced.weights[0]].flat[0] ^= True
    assert not equal(symmetry.canonicalise(changed, graph), form)


@pytest.mark.exhaustive
def test_propagation_removes_what_no_output_depends_on(traced: Traced) -> None:
    """Without biases, whose activations dead units emit. The control: with the whole weight cut, outputs differ."""
    graph, removed, needed = traced.graph, 0, False
    values = [
        np.zeros_like(value) if BIAS.search(name) else value
        for name, value in zip(graph.names, traced.values, strict=True)
    ]
    for seed, density in enumerate([0.08, 0.08, 0.08, 0.4]):
        masks = traced.drawn(density, seed)
        kept = symmetry.propagate(masks, graph)
        before = traced.outputs(traced.masked(masks, values))
        for index in traced.weights:
            mask, left = masks[index], kept[index]
            assert not (left & ~mask).any()
            removed += np.count_nonzero(mask & ~left)
            less = [np.zeros_like(mask) if i == index else each for i, each in enumerate(kept)]
            needed = needed or (left.any() and traced.change(traced.masked(less, values), before) > 1e-6)
        assert traced.change(traced.masked(kept, values), before) < 1e-12
    assert needed
    assert (removed > 0) == bool(graph.free)


@pytest.mark.exhaustive
@pytest.mark.parametrize("density", [0.5, 0.15])
def test_compacted_it_computes_the_same(traced: Traced, density: float) -> None:
    """For batches of other sizes too; the given model stays as it is."""
    model, inputs, options, graph = traced.model, traced.case.inputs(), dict(traced.case.options), traced.graph
    masks = traced.drawn(density, seed=4)
    named = {graph.names[index]: masks[index] for index in traced.weights}
    found = compact(model, named, inputs, **options)
    assert equal([variable.numpy() for variable in graph.variables], traced.values)
    for variable, value in zip(graph.variables, traced.masked(masks), strict=True):
        variable.assign(value)
    for batch in (np.concatenate([inputs, inputs[::-1], inputs]), inputs[:1]):
        expected = np.asarray(model(batch, **options))
        assert np.abs(found.model(batch, **options) - expected).max() < 1e-5 * np.abs(expected).max()
    assert found.parameters.after <= found.parameters.before and found.flops.after <= found.flops.before
    for name, mask in found.masks.items():
        assert mask.shape == dict(zip(graph.names, (v.shape for v in found.model.parameters), strict=True))[name]


@pytest.mark.exhaustive
def test_rescalings_and_flips_leave_the_outputs_and_no_single_factor_does(traced: Traced) -> None:
    """The control: of what is found, no part does on its own, but for weights that nothing depends on."""
    graph, found, expected = traced.graph, traced.functions, traced.expected
    assert tuple((len(each.exponents), len(each.flips)) for each in found.scalings) == expected.scalings
    assert found.live_units == sum(traced.case.free)
    assert (found.rescaling_dimension, found.sign_flips) == (expected.dimensions[0], 2 ** expected.dimensions[1])
    assert (found.norm_rescaling_dimension, found.norm_sign_flips) == (expected.of_norms[0], 2 ** expected.of_norms[1])
    for each in found.scalings:
        for exponents, unit in itertools.product(each.exponents, (0, each.space.size - 1)):
            assert traced.change(scaled(graph, each, 1.7**exponents, unit)) < 1e-12
        for flips in each.flips:
            assert traced.change(scaled(graph, each, np.where(flips, -1.0, 1.0))) < 1e-12
        for exponents in each.exponents:
            for index in np.flatnonzero(exponents):
                factors = 1.7 ** np.where(np.arange(len(exponents)) == index, 0, exponents)
                changed = traced.change(scaled(graph, each, factors)) > 1e-9
                assert changed or "key/bias" in graph.names[each.groups[index].variable]


def cross_entropy(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax_cross_entropy_with_logits(labels, outputs)


@pytest.mark.exhaustive
def test_a_step_follows_the_laws_of_conservation(traced: Traced) -> None:
    """A step of the rate h down the gradient g takes w M w to w M w + h^2 g M g exactly, and keeps u w.

    In float64, by the traced function. The control: with weight decay, a step changes balances in proportion to h.
    """
    graph, inputs = traced.graph, traced.case.inputs()
    given = tf.constant(inputs if traced.case.integers else inputs.astype(np.float64))
    variables = [
        tf.Variable(value.astype(np.float64) if value.dtype.kind == "f" else value, trainable=variable.trainable)
        for variable, value in zip(graph.variables, traced.values, strict=True)
    ]
    network = lambda x: graph.call.evaluate(variables, [x])[graph.call.results[0]]  # noqa: E731
    quantities = conserved.conserved_quantities(network, cross_entropy, given)
    assert dict(Counter(each.symmetry for each in quantities)) == traced.expected.conserved
    trained = [variable for variable in variables if variable.trainable]
    with tf.GradientTape() as tape:
        outputs = network(given)
        labels = tf.one_hot(tf.zeros(outputs.shape[:-1], tf.int32), outputs.shape[-1], dtype=outputs.dtype)
        loss = tf.reduce_sum(cross_entropy(labels, outputs))
    start = [variable.numpy() for variable in trained]
    gradients = [
        each.numpy() for each in map(tf.convert_to_tensor, tape.gradient(loss, trained, unconnected_gradients="zero"))
    ]

    def measured(values: Sequence[npt.NDArray[Any]]) -> list[conserved.Value]:
        for variable, value in zip(trained, values, strict=True):
            variable.assign(value)
        return [each.value() for each in quantities]

    step = [value - RATE * gradient for value, gradient in zip(start, gradients, strict=True)]
    decayed = [value - RATE * value for value in step]
    for each, before, after, control, of_gradient in zip(
        quantities, *map(measured, (start, step, decayed, gradients)), strict=True
    ):
        assert of_gradient.size > 0
        moved, away = after.numbers - before.numbers, control.numbers - before.numbers
        if each.symmetry in (conserved.RESCALING, conserved.MIXING):
            moved = moved - RATE**2 * of_gradient.numbers
        tolerance = 1e-11 * before.size + 1e-9 * RATE**2 * of_gradient.size
        assert np.linalg.norm(moved) < tolerance
        assert each.symmetry == conserved.PERMUTATION or np.linalg.norm(away) > 1e-4 * before.size
