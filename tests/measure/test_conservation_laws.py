"""The number of conservation laws: the known families are all, and masks change it as they change these."""

import itertools

import numpy as np
import pytest

from weirdonetworks.measure.conserved import count_laws


def widths(seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return rng.integers(2, 4, rng.integers(3, 5)).tolist()


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(50))
def test_relu_networks_have_one_law_a_hidden_unit(seed: int) -> None:
    sizes = widths(seed)
    found = count_laws(list(itertools.pairwise(sizes)))
    assert found.is_complete and found.at_most == sum(sizes[1:-1])


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(50))
def test_linear_networks_have_a_symmetric_matrix_a_hidden_layer(seed: int) -> None:
    sizes = sorted(widths(seed))
    sizes = [sizes[-1] + 1, *sizes[:-2], sizes[-2] + 1]  # No layer is wider than those on both sides, which lose laws.
    found = count_laws(list(itertools.pairwise(sizes)), "linear")
    assert found.is_complete and found.at_most == sum(size * (size + 1) // 2 for size in sizes[1:-1])


def test_biases_belong_to_the_weights_that_write_a_unit() -> None:
    for activation, count in (("relu", 2), ("linear", 3)):
        found = count_laws([(3, 2), (2, 1)], activation, biases=True)
        assert (found.parameters, found.quadratic, found.at_most) == (6 + 2 + 2 + 1, count, count)


def test_masks_leave_laws_of_the_weights_that_are_there() -> None:
    first, second = np.array([[1, 1, 0], [1, 0, 0]]), np.array([[1, 1], [0, 1], [1, 0]])
    found = count_laws([first, second])
    # The third unit has no inputs: its outgoing weight is read by no path, and is conserved itself.
    assert found.parameters == 7 and found.at_most == 3
    assert count_laws([np.eye(3, dtype=int), np.ones((3, 2))], "linear").at_most == 3


def test_a_single_field_leaves_laws_that_are_not_quadratic() -> None:
    """With one input and one output a linear network moves along one field, so all but one dimension is conserved."""
    found = count_laws([(1, 2), (2, 3), (3, 1)], "linear")
    assert (found.parameters, found.quadratic, found.at_most) == (11, 9, 10) and not found.is_complete


def test_second_brackets_are_needed_where_units_are_more_than_inputs() -> None:
    found = count_laws([(2, 3), (3, 3), (3, 2)], "linear")
    assert (found.quadratic, found.at_most) == (12, 12)


def test_a_layer_alone_has_no_law() -> None:
    assert count_laws([(3, 2)]).at_most == 0 == count_laws([(3, 2)], "linear").quadratic


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^activation \(='tanh'\) must be one of linear, relu"):
        count_laws([(2, 2)], "tanh")
    with pytest.raises(ValueError, match=r"^chain: a layer of 4 inputs must not follow one of 3 units"):
        count_laws([(2, 3), (4, 2)])
    with pytest.raises(ValueError, match=r"^chain \(of 200 parameters\) must have 1 to 120"):
        count_laws([(10, 10), (10, 10)])
