"""Symmetries of masks of any model, against brute force over all joint permutations of its free spaces."""

import dataclasses
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf
from sympy.combinatorics import Permutation, PermutationGroup

from tests.unit_models import CASES, Case
from weight_symmetry import symmetry
from weight_symmetry.masks import Masks
from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_layout import UnitLayout, spread

Bools = npt.NDArray[np.bool_]
Joint = dict[str, npt.NDArray[np.intp]]
Weights = Sequence[Any]


def residual(x: tf.Tensor, w: Weights) -> tf.Tensor:
    stream = x @ w[0]
    return (stream + (stream @ w[1]) @ w[2]) @ w[3]


def concatenated(x: tf.Tensor, w: Weights) -> tf.Tensor:
    both = tf.concat([x @ w[0], x @ w[1]], 1)
    return (both @ w[2]) @ w[3]


def flattened(x: tf.Tensor, w: Weights) -> tf.Tensor:
    """Two branches side by side at three places, then flattened, places and channels."""
    both = tf.concat([x[:, None] * [[1.0], [2.0], [3.0]] @ w[0], x[:, None] * [[3.0], [2.0], [1.0]] @ w[1]], 2)
    return tf.reshape(both, [-1, 3 * 4]) @ w[2] @ w[3]


def heads(x: tf.Tensor, w: Weights) -> tf.Tensor:
    stream = x @ w[0]
    query, key = (tf.einsum("bs,shd->bhd", stream, each) for each in w[1:3])
    return tf.einsum("bhd,hds->bs", query * key, w[3])


def recurrent(x: tf.Tensor, w: Weights) -> tf.Tensor:
    return ((x @ w[0]) @ w[1] + x @ w[0]) @ w[1] @ w[2]


def bilinear(x: tf.Tensor, w: Weights) -> tf.Tensor:
    stream = x @ w[0]
    return tf.einsum("bi,bj,ijk->bk", stream, stream, w[1]) @ w[2]


def shared(x: tf.Tensor, w: Weights) -> tf.Tensor:
    return ((x @ w[0]) @ w[1]) @ w[1] @ w[2] + (x @ w[0]) @ w[2]


MODELS: dict[str, tuple[Callable[[tf.Tensor, Weights], tf.Tensor], list[tuple[int, ...]]]] = {
    "residual": (residual, [(2, 4), (4, 3), (3, 4), (4, 2)]),
    "concatenated": (concatenated, [(2, 3), (2, 3), (6, 3), (3, 2)]),
    "flattened": (flattened, [(2, 2), (2, 2), (12, 3), (3, 2)]),
    "heads": (heads, [(2, 3), (3, 2, 3), (3, 2, 3), (2, 3, 2)]),
    "recurrent": (recurrent, [(2, 5), (5, 5), (5, 2)]),
    "bilinear": (bilinear, [(2, 3), (3, 3, 3), (3, 2)]),
    "shared": (shared, [(2, 4), (4, 4), (4, 2)]),
}
FREE = {
    "residual": [3, 4],
    "concatenated": [3, 3, 3],
    "flattened": [2, 2, 3],
    "heads": [2, 3, 3],
    "recurrent": [5],
    "bilinear": [3, 3],
    "shared": [4],
}
# Where products of activations keep more than what outputs depend on, or units are read again that were written since.
CAUTIOUS = {"heads", "bilinear", "residual", "recurrent", "shared"}
NAMES = pytest.mark.parametrize("name", MODELS)


@dataclasses.dataclass
class Model:
    """A function of variables, and its units."""

    name: str

    def __post_init__(self) -> None:
        self.function, shapes = MODELS[self.name]
        self.weights = [tf.Variable(tf.ones(shape), name=f"w{index}") for index, shape in enumerate(shapes)]
        self.x = np.array([[0.7, 1.3], [1.1, 0.4]], np.float32)
        self.graph = UnitGraph.trace(lambda x: self.function(x, self.weights), self.x)

    def masks(self, seed: int) -> list[Bools]:
        """Draws masks, of which many are symmetric under a joint permutation."""
        rng = np.random.default_rng(seed)
        density = rng.choice([0.15, 0.3, 0.6])
        masks = [rng.random(shape) < density for shape in self.graph.shapes]
        if rng.random() < 0.8:
            turn = {space.name: rng.permutation(space.size) for space in self.graph.free}
            moved = masks
            for _ in range(60):  # The orders of permutations of five units divide 60.
                moved = self.graph.permuted(turn, moved)
                masks = [a | b for a, b in zip(masks, moved, strict=True)]
        return masks

    def keep(self, joints: Sequence[Joint], masks: Sequence[Bools]) -> Bools:
        """Tells which joint permutations leave masks as they are."""
        found = np.ones(len(joints), bool)
        for index, mask in enumerate(masks):
            found &= (mask.ravel()[self.sources[index]] == mask.ravel()).all(axis=1)
        return found

    @functools.cached_property
    def joints(self) -> list[Joint]:
        """All joint permutations of the free units."""
        names = [space.name for space in self.graph.free]
        images = (itertools.permutations(range(space.size)) for space in self.graph.free)
        return [dict(zip(names, map(np.array, each), strict=True)) for each in itertools.product(*images)]

    @functools.cached_property
    def sources(self) -> list[npt.NDArray[np.intp]]:
        """For each array, where each joint permutation takes each entry from."""
        numbered = [np.arange(math.prod(shape)).reshape(shape) for shape in self.graph.shapes]
        moved = [self.graph.permuted(joint, numbered) for joint in self.joints]
        return [np.stack([each[index].ravel() for each in moved]) for index in range(len(numbered))]

    def alive(self, masks: Sequence[Bools]) -> dict[str, Bools]:
        """Tells which units have a connection in propagated masks, or enter into others without any."""
        found = {}
        for space in self.graph.free:
            found[space.name] = np.zeros(space.size, bool) | space.mixed
            for place, unit in itertools.product(space.places, range(space.size)):
                one, none = np.arange(space.size) == unit, np.zeros(space.size, bool)
                axis = self.graph.axes[place.variable][place.axis]
                along = spread(axis, {space.units: one}) & ~spread(axis, {space.units: none})
                found[space.name][unit] |= np.moveaxis(masks[place.variable], place.axis, 0)[along].any()
        return found


@functools.cache
def model(name: str) -> Model:
    return Model(name)


def equal(one: Sequence[Bools], other: Sequence[Bools]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def group_order(group: symmetry.Automorphisms, layout: UnitLayout) -> int:
    """The order of the group that the generators generate, by Schreier and Sims."""
    names, sizes = ([getattr(space, key) for space in layout.free] for key in ("name", "size"))
    starts = dict(zip(names, itertools.accumulate(sizes, initial=0), strict=False))
    elements = []
    for generator in group.generators:
        images = np.arange(sum(sizes))
        for name, image in generator.items():
            images[starts[name] : starts[name] + len(image)] = image + starts[name]
        elements.append(Permutation(images.tolist()))
    return int(PermutationGroup(elements).order()) if elements else 1


@NAMES
def test_units_are_those_counted_by_hand(name: str) -> None:
    assert sorted(space.size for space in model(name).graph.free) == FREE[name]


@pytest.mark.slow
@NAMES
def test_groups_equal_brute_force(name: str) -> None:
    """Order, generators and orbits, and the order of the group of the live part; a wrong generator is noticed."""
    made = model(name)
    layout, joints = made.graph, made.joints
    nontrivial = joint = dead = 0
    for seed in range(60):
        masks = made.masks(seed)
        group, keeping = symmetry.automorphisms(masks, layout), made.keep(joints, masks)
        found = list(itertools.compress(joints, keeping))
        assert group.order == len(found)
        assert group_order(group, layout) == group.order
        for space in layout.free:
            images = np.stack([s[space.name] for s in found], axis=1)
            assert group.orbits[space.name] == sorted(map(list, {tuple(np.unique(each).tolist()) for each in images}))
        for generator in group.generators:
            assert equal(symmetry.permute(masks, generator, layout), masks)
        for wrong in itertools.islice(itertools.compress(joints, ~keeping), 3):
            assert not equal(symmetry.permute(masks, wrong, layout), masks)
        propagated = symmetry.propagate(masks, layout)
        alive = made.alive(propagated)
        still = [
            all((images[~alive[key]] == np.flatnonzero(~alive[key])).all() for key, images in s.items()) for s in joints
        ]
        assert group.live_order == np.count_nonzero(made.keep(joints, propagated) & still)
        nontrivial += group.order > 1
        joint += any(len(generator) > 1 for generator in group.generators)
        dead += not all(flags.all() for flags in alive.values())
    assert nontrivial > 15
    assert joint > 2 or len(layout.free) == 1
    assert dead > 2 or name == "bilinear"


@NAMES
def test_normal_forms_agree_exactly_for_relabelled_masks(name: str) -> None:
    made = model(name)
    for seed in range(20):
        masks, rng = made.masks(seed), np.random.default_rng(seed)
        form = symmetry.canonicalise(masks, made.graph)
        relabelled = made.graph.permuted(made.joints[rng.integers(len(made.joints))], masks)
        assert equal(symmetry.canonicalise(relabelled, made.graph), form)
        assert any(equal(made.graph.permuted(joint, masks), form) for joint in made.joints)
        changed = [mask.copy() for mask in relabelled]
        changed[0].flat[0] ^= True
        assert not equal(symmetry.canonicalise(changed, made.graph), form)


@NAMES
def test_connections_are_removed_exactly_if_no_output_depends_on_them(name: str) -> None:
    """Inputs and weights are positive, so that nothing cancels: a connection on a path has a derivative."""
    made = model(name)
    removed = 0
    for seed in range(15):
        masks, rng = made.masks(seed), np.random.default_rng(seed)
        kept = symmetry.propagate(masks, made.graph)
        for variable, mask in zip(made.graph.variables, masks, strict=True):
            variable.assign(mask * rng.uniform(0.5, 2, mask.shape))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(made.function(tf.constant(made.x), made.weights))
        derivatives = tape.gradient(total, made.graph.variables)
        for mask, left, derivative in zip(masks, kept, derivatives, strict=True):
            needed = mask & (np.zeros(mask.shape, bool) if derivative is None else derivative.numpy() != 0)
            assert not (left & ~mask).any()
            assert not (needed & ~left).any()
            if name not in CAUTIOUS:
                assert np.array_equal(left, needed)
            removed += np.count_nonzero(mask & ~left)
    assert removed > 10


@NAMES
def test_statistics_count_exchanges(name: str) -> None:
    """Live units are exchangeable exactly if the exchange of the two changes no mask, where a mask has them once."""
    made = model(name)
    layout = made.graph
    for seed in range(20):
        masks = made.masks(seed)
        statistics = symmetry.mask_statistics(masks, layout)
        rows = {row["name"]: row for row in statistics["layers"]}
        assert statistics["permutations"] == math.prod(row["permutations"] for row in rows.values())
        assert symmetry.automorphisms(masks, layout).order % statistics["permutations"] == 0
        assert statistics["sparsity"] == pytest.approx(1 - sum(m.sum() for m in masks) / sum(m.size for m in masks))
        for space in layout.free:
            assert rows[space.name]["total_neurons"] == space.size
            if name in ("recurrent", "shared", "bilinear"):
                continue
            twins = {}
            for unit in range(space.size):
                swaps = [np.arange(space.size) for _ in range(space.size)]
                for other, swap in enumerate(swaps):
                    swap[[unit, other]] = other, unit
                twins[unit] = tuple(equal(layout.permuted({space.name: swap}, masks), masks) for swap in swaps)
            sizes = Counter(twins.values())
            dead = rows[space.name]["zeroed_neurons"]
            live = math.prod(math.factorial(n) for n in sizes.values())
            assert live % rows[space.name]["permutations"] == 0
            if not dead:
                assert rows[space.name]["permutations"] == live
                assert rows[space.name]["unique_neurons"] == len(sizes)


CHAINS = [case for case in CASES if case.name in ("MLP", "MNIST_CNN", "CIFAR10_CNN")]


@pytest.mark.parametrize("case", CHAINS, ids=lambda case: case.name)
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_a_traced_chain_has_the_symmetries_of_its_masks(case: Case, sparsity: float) -> None:
    graph = case.graph()
    masks = drawn(graph, sparsity, seed=1)
    weights = [mask for mask in masks if mask is not None]
    one, other = symmetry.mask_statistics(weights), symmetry.mask_statistics(masks, graph)
    for rows in (one["layers"], other["layers"]):
        for row in rows:
            for key in ("name", "shape"):
                row.pop(key, None)
    assert one == other
    groups = symmetry.automorphisms(weights), symmetry.automorphisms(masks, graph)
    assert [groups[0].order, groups[0].live_order] == [groups[1].order, groups[1].live_order]
    assert list(groups[0].orbits.values()) == list(groups[1].orbits.values())
    propagated = [mask for mask in symmetry.propagate(masks, graph) if mask is not None]
    assert equal(symmetry.propagate(weights), propagated)


def drawn(graph: UnitGraph, sparsity: float, seed: int) -> list[Bools | None]:
    """Draws a mask for each weight that makes an edge."""
    rng, weights = np.random.default_rng(seed), {edge.variable for edge in graph.edges}
    return [rng.random(shape) >= sparsity if index in weights else None for index, shape in enumerate(graph.shapes)]


def test_masks_are_found_by_their_weights_or_by_name() -> None:
    network = snt.nets.MLP([5, 4, 2])
    graph = UnitGraph.trace(network, tf.ones([1, 3]))
    masks = Masks.create(network, "random", 0.5, seed=1)
    by_name = dict(zip(["mlp/linear_0/w", "mlp/linear_1/w", "mlp/linear_2/w"], masks.arrays, strict=True))
    expected = symmetry.mask_statistics(masks.arrays)["permutations"]
    for given in (masks, by_name):
        assert symmetry.mask_statistics(given, graph)["permutations"] == expected
    assert symmetry.mask_statistics(masks)["permutations"] == expected
    assert [mask is None for mask in symmetry.propagate(by_name, graph)] == [name[-1] == "b" for name in graph.names]


@pytest.mark.parametrize(
    ("masks", "options", "error", "message"),
    [
        ({"w": np.ones((3, 5))}, {}, ValueError, "masks: 'w' must be the name of one variable, and is that of 0"),
        (
            {"mlp/linear_0/w": np.ones((5, 3))},
            {},
            ValueError,
            r"\(shape \(5, 3\)\) must have the variable's shape \(3, 5\)",
        ),
        ([np.ones((3, 5))], {}, ValueError, r"masks \(of length 1\) must hold one for each of the 2 weights"),
        ([None] * 4, {"permute_outputs": True}, ValueError, r"permute_outputs \(=True\) must be left out"),
        ([None] * 4, {}, ValueError, "masks must hold at least one mask"),
        (3, {}, TypeError, r"masks \(a int\) must be a sequence or mapping of arrays, or Masks"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, options: Any, error: type[Exception], message: str) -> None:
    graph = UnitGraph.trace(snt.nets.MLP([5, 2]), tf.ones([1, 3]))
    with pytest.raises(error, match=message):
        symmetry.mask_statistics(masks, graph, **options)


def test_what_is_no_layout_is_refused() -> None:
    with pytest.raises(TypeError, match=r"masks \(a NoneType\) must be a sequence or mapping of arrays, or Masks"):
        symmetry.mask_statistics(None)  # type: ignore[arg-type]
    network = snt.nets.MLP([5, 2])
    graph = UnitGraph.trace(network, tf.ones([1, 3]))
    with pytest.raises(TypeError, match=r"layout \(a MLP\) must be a UnitLayout, such as UnitGraph.trace"):
        symmetry.automorphisms([np.ones((3, 5))], network)  # type: ignore[arg-type]
    other = snt.nets.MLP([5, 2])
    other(tf.ones([1, 3]))
    with pytest.raises(ValueError, match=r"masks \(of mlp/linear_0/w:0 and others\) must be of weights that"):
        symmetry.automorphisms(Masks(other), graph)
    with pytest.raises(ValueError, match=r"they are fixed: outputs\. Those that may: mlp/linear_0/w"):
        symmetry.permute([None] * 4, {"mlp/linear_1/w": [1, 0]}, graph)


def test_statistics_of_more_spaces_than_variables() -> None:
    """Tied weights without biases: the inputs, which the same variable writes as outputs, and the hidden units."""
    weight = tf.Variable(np.random.default_rng(0).normal(size=(6, 4)))
    graph = UnitGraph.trace(
        lambda x: tf.matmul(tf.nn.relu(x @ weight), weight, transpose_b=True), tf.ones([2, 6], weight.dtype)
    )
    mask = np.ones((6, 4))
    found = symmetry.mask_statistics([mask], graph)
    assert len(found["layers"]) > len(graph.variables) and found["permutations"] == math.factorial(4)
    mask[0, 0] = 0  # The control: one unit is told apart.
    assert symmetry.mask_statistics([mask], graph)["permutations"] == math.factorial(3)
