"""Actions: composition laws, pairing by homomorphisms, and errors for shapes or groups that do not fit."""

import itertools
from typing import Any

import numpy as np
import pytest

from weirdonetworks.algebra import (
    Action,
    PermutationGroup,
    alternating_group,
    coordinates,
    cyclic_group,
    cyclic_rotations,
    dihedral_group,
    image_dihedral,
    image_rotations,
    image_transforms,
    image_translations,
    independent,
    items,
    octahedral_rotations,
    paired,
    pixels,
    points,
    regular,
    symmetric_group,
    trivial,
    trivial_group,
)
from weirdonetworks.algebra.actions import as_action
from weirdonetworks.algebra.actions.transforms import rotation, shift

QUARTERS = image_rotations(2, 2)
SQUARE = image_dihedral(2, 2)
SOLID = octahedral_rotations()

# What acts, and on what shape.
ACTIONS: list[tuple[Action, tuple[int, ...]]] = [
    (points(dihedral_group(4)), (2, 2)),
    (points(image_rotations(3, 3, 2)), (3, 3, 2)),
    (items(3), (3, 2)),
    (items(alternating_group(4)), (4,)),
    (pixels(), (5, 5, 2)),
    (pixels(SQUARE), (4, 4)),
    (pixels(SQUARE, side=3), (3, 3, 1)),
    (coordinates(SOLID), (6, 3)),
    (coordinates(cyclic_rotations(3)), (2,)),
    (regular(dihedral_group(3)), (6, 2)),
    (regular(dihedral_group(3), right=True), (6, 2)),
    (regular(SOLID), (24,)),
    (trivial(4), (4, 3)),
    (pixels(SQUARE) * regular(SQUARE), (3, 3, 8, 2)),
    (items(3) + items(3), (6, 2)),
    (items(3) * items(3), (3, 3)),
    (items(cyclic_group(4)) + trivial(2), (6,)),
    (coordinates(SOLID) + coordinates(SOLID), (2, 6)),
    (coordinates(SOLID) * coordinates(SOLID), (9,)),
    (coordinates(SOLID) + regular(SOLID), (27,)),
    (independent(items(3), pixels()), (3, 4, 4, 2)),
]
IDS = [repr(action)[:60] for action, _ in ACTIONS]


def batch(shape: tuple[int, ...], count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape))


@pytest.mark.parametrize(("action", "shape"), ACTIONS, ids=IDS)
def test_a_product_acts_as_one_element_after_the_other(action: Action, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    first, second = action.sample(5, seed=1), action.sample(5, seed=2)
    products = action.compose(first, second)
    for one, other, product in zip(first, second, products, strict=True):
        moved = action.apply(np.asarray(other)[None], x)[0]
        assert np.allclose(action.apply(product[None], x)[0], action.apply(np.asarray(one)[None], moved)[0])


@pytest.mark.parametrize("action", [items(3), pixels(SQUARE), coordinates(SOLID), regular(SQUARE)], ids=repr)
def test_the_other_order_is_another_product(action: Action) -> None:
    """The control of the law above: it fails with the factors exchanged in non-commutative groups."""
    x = batch({"items": (3,), "pixels": (4, 4), "coordinates": (3,), "regular": (8,)}[repr(action).partition("(")[0]])
    first, second = action.generators[:1], action.generators[1:2]
    one_after_the_other = action.apply(first, action.apply(second, x)[0])
    assert np.allclose(action.apply(action.compose(first, second), x), one_after_the_other)
    assert not np.allclose(action.apply(action.compose(second, first), x), one_after_the_other)


@pytest.mark.parametrize(("action", "shape"), ACTIONS, ids=IDS)
def test_the_first_element_changes_nothing_and_all_keep_shape_and_sums(action: Action, shape: tuple[int, ...]) -> None:
    x = batch(shape)
    moved = action.apply(action.elements(), x)
    assert moved.shape == (action.order, *x.shape)
    assert np.allclose(moved[0], x)
    assert action.is_group
    if action.is_permutation:
        assert np.array_equal(np.sort(moved.reshape(len(moved), -1)), np.sort(x.ravel())[None].repeat(len(moved), 0))


@pytest.mark.parametrize(("action", "shape"), ACTIONS, ids=IDS)
def test_generators_generate_what_the_elements_are(action: Action, shape: tuple[int, ...]) -> None:
    x = batch(shape, count=1)
    keys = lambda moved: {np.round(each, 6).tobytes() for each in moved + 0.0}  # noqa: E731
    expected = keys(action.apply(action.elements(), x))
    frontier, found = [x], {np.round(x, 6).tobytes()}
    while frontier:
        images = [action.apply(action.generators, each)[:, :] for each in frontier]
        frontier = []
        for image in itertools.chain.from_iterable(images):
            if (key := np.round(image + 0.0, 6).tobytes()) not in found:
                found.add(key)
                frontier.append(image)
    assert found == expected


@pytest.mark.parametrize(("action", "shape"), ACTIONS, ids=IDS)
def test_tables_number_the_products(action: Action, shape: tuple[int, ...]) -> None:
    table, elements, x = action.table(), action.elements(), batch(shape, count=1)
    images = action.apply(elements, x)
    i, j = np.random.default_rng(0).integers(action.order, size=(2, 20))
    for one, other in zip(i, j, strict=True):
        assert np.allclose(action.apply(elements[one][None], images[other])[0], images[table[one, other]])
    assert all(sorted(row) == list(range(action.order)) for row in table.tolist())


@pytest.mark.parametrize("side", [1, 2, 3, 6])
def test_pixels_turn_and_mirror_as_numpy_does(side: int) -> None:
    image = batch((side, side, 2), count=1)
    moved = pixels(SQUARE).apply(SQUARE.elements(), image)
    expected = [np.rot90(start, k, (1, 2)) for start in (image, image[:, :, ::-1]) for k in range(4)]
    assert np.array_equal(moved, np.stack(expected))
    if side > 1:
        flat = points(image_dihedral(side, side, 2))
        assert np.array_equal(flat.apply(flat.elements(), image), moved)


def test_a_mirror_alone_is_a_group_of_pixels() -> None:
    mirror = pixels(PermutationGroup([[1, 0, 3, 2]]))
    image = batch((3, 3))
    assert mirror.order == 2
    assert np.array_equal(mirror.apply(mirror.generators, image)[0], image[:, :, ::-1])


def test_regular_actions_move_elements_as_they_say() -> None:
    group = symmetric_group(3)
    elements = group.elements()
    number = {tuple(each): place for place, each in enumerate(elements.tolist())}
    for right in (False, True):
        moves = regular(group, right).permutations(elements)
        for s, move in zip(elements, moves, strict=True):
            for g in elements:
                # (s.x)[s g] = x[g], or (s.x)[g s^-1] = x[g].
                to = s[g] if not right else g[np.argsort(s)]
                assert move[number[tuple(g.tolist())]] == number[tuple(to.tolist())]


def test_channels_stay_with_their_position() -> None:
    x = np.arange(12.0).reshape(1, 3, 2, 2)
    moved = items(3).apply(symmetric_group(3).elements(), x)
    assert {tuple(row.ravel()) for image in moved for row in image[0]} == {tuple(row.ravel()) for row in x[0]}


def test_integers_keep_their_type() -> None:
    assert items(2).apply(items(2).elements(), np.array([[1, 2]])).dtype.kind == "i"


def test_transformations_form_a_group_only_where_they_are_closed() -> None:
    assert not image_transforms([rotation(6, 6, 30 * k) for k in range(12)]).is_group
    assert not image_transforms([rotation(6, 6, 90 * k) for k in range(3)]).is_group  # Not closed.
    assert not image_transforms([shift(6, 6, k) for k in range(3)]).is_group  # What leaves the image is lost.
    quarters = image_transforms([rotation(6, 6, 90 * k) for k in range(4)])
    assert quarters.is_group and quarters.is_permutation
    image = batch((6, 6, 2))
    assert np.allclose(quarters.apply(quarters.elements(), image), pixels().apply(QUARTERS.elements(), image))
    # Flattened images too.
    flat = quarters.apply(quarters.elements(), image.reshape(2, -1))
    assert np.allclose(flat.reshape(4, 2, 6, 6, 2), quarters.apply(quarters.elements(), image))
    assert quarters.apply(quarters.sample(3, seed=0), image).shape[0] == 3
    assert quarters.compose(np.array([2]), quarters.generators).tolist() == [2, 3, 0, 1]
    assert quarters.table().tolist() == pixels().table().tolist()
    assert quarters.position_group().order == 4
    with pytest.raises(ValueError, match="as the action of a group here, such as pixels"):
        quarters.ball(1)
    thirds = image_transforms([rotation(6, 6, 90 * k) for k in range(3)])
    for products in (lambda: thirds.generators, lambda: thirds.compose(np.array([0]), np.array([1]))):
        with pytest.raises(ValueError, match="without a group, so it has no generators or products"):
            products()
    with pytest.raises(ValueError, match="number of transforms"):
        quarters.elements(limit=3)


def test_transformations_act_as_each_of_them_does() -> None:
    listed = [rotation(5, 5, 20, fill=2.0), shift(5, 5, 0.5, method="nearest"), rotation(5, 5, 90)]
    image = batch((5, 5, 3))
    expected = np.stack([each.apply(image) for each in listed])
    assert np.allclose(image_transforms(listed).apply(np.arange(3), image), expected)
    maps = image_transforms(listed).on((5, 5, 3)).maps(np.arange(3))
    transposed = maps.transposed().dense()  # type: ignore[union-attr]
    assert np.allclose(transposed, maps.dense().transpose(0, 2, 1))


class TestPairs:
    """Pairs of actions of one group, and pairs that raise an error."""

    def test_of_the_same_group_they_are_left_alone(self) -> None:
        one, other = items(5), points(symmetric_group(5))
        assert paired(one, other) == (one, other)

    def test_of_huge_groups_they_are_paired_at_once(self) -> None:
        assert paired(items(2000), items(2000))[0].order > 10**5000

    def test_generators_are_paired_by_their_places(self) -> None:
        # The sign of a permutation of three points: both transpositions go to the swap, the cycle to the identity.
        signs = PermutationGroup([[1, 0], [0, 1]])
        one, other = paired(items(3), items(signs))
        elements = one.elements()
        assert one.order == other.order == 6
        rows = np.argsort(np.argsort(one.permutations(elements)))
        odd = [sum(a > b for a, b in itertools.combinations(row, 2)) % 2 for row in rows.tolist()]
        assert [row[0] for row in other.permutations(elements).tolist()] == odd

    @pytest.mark.parametrize(("n", "m"), [(3, 4), (4, 3), (4, 5), (2, 3)])
    def test_groups_without_such_a_homomorphism_are_refused(self, n: int, m: int) -> None:
        with pytest.raises(ValueError, match="must extend to a homomorphism"):
            paired(items(n), items(m))

    def test_a_quotient_goes_one_way_only(self) -> None:
        paired(points(cyclic_group(6)), points(cyclic_group(3)))
        with pytest.raises(ValueError, match="is the identity in the first group alone"):
            paired(points(cyclic_group(3)), points(cyclic_group(6)))

    def test_refusals_and_images_are_quick_for_large_groups(self) -> None:
        with pytest.raises(ValueError, match="must extend to a homomorphism"):
            paired(items(50), items(49))
        one, other = paired(points(image_translations(60, 60)), points(image_translations(60, 60, 3)))
        assert other.permutations(one.generators).shape == (2, 3 * 60 * 60)

    @pytest.mark.parametrize("n", [4, 5, 6, 7])
    def test_orders_of_generators_alone_do_not_make_a_homomorphism(self, n: int) -> None:
        # The exchange goes to a reflection and the n-cycle to a rotation, of the same orders; their product does not.
        mirror = PermutationGroup(dihedral_group(n).generators[::-1])
        with pytest.raises(ValueError, match="must extend to a homomorphism"):
            paired(items(n), points(mirror))

    @pytest.mark.parametrize("seed", range(30))
    def test_pairs_of_random_generators_are_told_right(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        first = PermutationGroup([rng.permutation(4) for _ in range(2)])
        # The action on the pairs of the points that follows, or that of other generators.
        follows = PermutationGroup([[4 * s[i] + s[j] for i in range(4) for j in range(4)] for s in first.generators])
        other = PermutationGroup([rng.permutation(3) for _ in range(2)])
        paired(points(first), points(follows))
        both = PermutationGroup(
            [np.concatenate([s, 4 + t]) for s, t in zip(first.generators, other.generators, strict=True)]
        )
        if both.order == first.order:
            paired(points(first), points(other))
        else:
            with pytest.raises(ValueError, match="must extend to a homomorphism"):
                paired(points(first), points(other))

    def test_other_numbers_of_generators_are_refused(self) -> None:
        with pytest.raises(ValueError, match="as many generators"):
            paired(points(cyclic_group(4)), points(dihedral_group(4)))

    @pytest.mark.parametrize("still", [trivial(3), points(trivial_group(3))])
    def test_what_moves_nothing_goes_with_any(self, still: Any) -> None:
        for action in (items(4), coordinates(SOLID), regular(SOLID)):
            one, other = paired(action, still)
            assert one is action
            assert other.order == action.order
            assert np.array_equal(other.permutations(other.generators), [[0, 1, 2]] * len(action.generators))
            assert paired(still, action)[1] is action

    def test_matrices_are_paired_with_permutations_that_follow_them(self) -> None:
        # The four diagonals of a cube; an element and its permutation take each to the same, up to its direction.
        diagonals = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
        moved = np.einsum("gij,dj->gdi", SOLID.generators, diagonals)
        permuted = PermutationGroup(np.abs(np.einsum("gdi,ei->gde", moved, diagonals)).argmax(axis=2))
        one, other = paired(coordinates(SOLID), items(permuted))
        elements = one.elements()
        assert len(elements) == one.order == other.order == 24
        for matrix, permutation in zip(one.apply(elements, np.eye(3)), other.permutations(elements), strict=True):
            parallel = np.abs(diagonals @ matrix @ diagonals.T)  # The rows of `matrix` are the moved axes.
            assert parallel.argmax(axis=1).tolist() == permutation.tolist() and (parallel.max(axis=1) == 3).all()
        with pytest.raises(ValueError, match="must extend to a homomorphism"):
            paired(coordinates(SOLID), items(4))
        assert paired(coordinates(SOLID), regular(SOLID))[0].group is SOLID


class TestRefusals:
    """Errors for shapes that an action does not act on, and for arguments that are not actions."""

    @pytest.mark.parametrize(
        ("action", "shape", "message"),
        [
            (points(symmetric_group(3)), (3, 2), r"must hold 3 numbers .* use items\(group\)"),
            (items(3), (4, 2), r"must begin with \[3\]"),
            (items(3), (), r"must begin with \[3\]"),
            (pixels(), (3, 4, 1), "must be square"),
            (pixels(side=4), (5, 5, 1), r"must begin with \[4, 4\]"),
            (pixels(), (9,), r"must begin with \[any, any\]"),
            (coordinates(SOLID), (3, 4), "must end with 3"),
            (image_transforms([rotation(4, 4, 9)]), (5, 5, 1), r"must be images \[4, 4, channels\]"),
            (pixels() * regular(QUARTERS), (4, 4, 3), r"must begin with \[any, any, 4\]"),
        ],
        ids=str,
    )
    def test_shapes_that_do_not_fit_are_refused(self, action: Action, shape: tuple[int, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            action.on(shape)

    @pytest.mark.parametrize("wrong", [None, "C4", 3, [1, 2]])
    def test_what_is_no_action_is_named(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"action .* must be an Action, such as items"):
            as_action("action", wrong)

    def test_only_symmetries_of_the_square_move_pixels(self) -> None:
        with pytest.raises(ValueError, match="as symmetries of the square do"):
            pixels(symmetric_group(4))

    def test_sums_need_a_known_size(self) -> None:
        with pytest.raises(ValueError, match="known number of positions"):
            (pixels() + pixels()).on((8,))

    def test_transformations_are_not_added(self) -> None:
        with pytest.raises(ValueError, match="without a group"):
            image_transforms([rotation(4, 4, 9)]) + trivial(3)


def test_a_bare_group_acts_where_only_one_action_can_be_meant() -> None:
    assert repr(as_action("x", cyclic_group(3))) == repr(points(cyclic_group(3)))
    assert repr(as_action("x", SOLID)) == repr(coordinates(SOLID))
    assert as_action("x", rotation(4, 4, 90)).order == 1
    assert as_action("x", items(3)).order == 6


@pytest.mark.parametrize("action", [items(4), coordinates(SOLID), points(cyclic_group(9))], ids=repr)
def test_a_ball_holds_the_products_of_so_many_generators(action: Action) -> None:
    keys = lambda elements: {np.round(each + 0.0, 6).tobytes() for each in elements}  # noqa: E731
    everything, reached = keys(action.elements().astype(float)), []
    for radius in range(3):
        found = action.ball(radius)
        assert len(keys(found.astype(float))) == len(found)
        assert keys(found.astype(float)) <= everything
        reached.append(found)
    inverses = [next(b for b in action.elements() if np.allclose(action.compose(a[None], b[None]), reached[0]))
                for a in action.generators]  # fmt: skip
    steps = np.concatenate([action.generators, inverses])
    assert keys(reached[1].astype(float)) == keys(np.concatenate([reached[0], steps]).astype(float))
    products = np.concatenate([action.compose(steps, each[None]) for each in reached[1]])
    assert keys(reached[2].astype(float)) == keys(np.concatenate([reached[1], products]).astype(float))
    assert keys(action.ball(20).astype(float)) == everything
    with pytest.raises(ValueError, match=r"limit \(=1\) must be at least the number of elements within radius \(=1\)"):
        action.ball(1, limit=1)
    with pytest.raises(ValueError, match=r"radius \(=-1\)"):
        action.ball(-1)
