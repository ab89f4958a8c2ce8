"""How a unit graph is described: a table of spaces, their functions and reasons."""

import itertools

import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.measure.unit_graph import UnitGraph
from weirdonetworks.measure.unit_table import function_names


def test_a_description_names_functions_and_shortens_lists_of_axes() -> None:
    first, second, head = snt.Linear(5), snt.Linear(5), snt.Linear(2)

    def network(x: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.gelu(first(x))
        return head(tf.reshape(tf.nn.leaky_relu(hidden + second(hidden)), [1, 20]))

    header, *lines = str(UnitGraph.trace(network, tf.ones([4, 3]))).splitlines()[1:]
    starts = [header.index(title) for title in ("along", "functions", "free")]
    along, functions = (
        " ".join(" ".join(line[start:end] for line in lines[:-1]).split()) for start, end in itertools.pairwise(starts)
    )
    assert "linear/b[0]" in along and "and 2 more" in along
    assert "GELU, leaky ReLU" in functions and "erf" not in functions.lower()


def test_a_description_says_once_what_is_long_or_occurs_several_times() -> None:
    first, second, third, head = snt.Linear(5), snt.Linear(4), snt.Linear(3), snt.Linear(2)

    def network(x: tf.Tensor) -> tf.Tensor:
        hidden = first(x)
        both = tf.concat([second(tf.concat([hidden, tf.tanh(hidden)], axis=1)), third(x)], axis=1)
        with tf.name_scope("a_layer_that_orders_its_inputs"):
            return head(tf.sort(both))

    text = str(UnitGraph.trace(network, tf.ones([4, 3])))
    assert text.startswith("5 interchangeable units in 1 space\n")
    assert "2 times" in text and text.count("linear/w (2)[0]") == 1
    assert text.count("fixed: note 1") == 3
    (note,) = [line for line in text.splitlines() if line.startswith("Note")]
    assert "TopKV2 (a_layer" in note and note.endswith("compute it by other operations, or leave them fixed.")


def test_a_description_takes_no_name_of_an_operation_for_a_reason() -> None:
    first, head = snt.Linear(5), snt.Linear(2)

    def network(x: tf.Tensor) -> tf.Tensor:
        with tf.name_scope("laplace"):
            return head(tf.cumsum(first(x), axis=1, name="constant"))

    (reason,) = {each.fixed for each in UnitGraph.trace(network, tf.ones([4, 3])).spaces if each.size == 5}
    assert reason == "Cumsum (laplace/constant) is not followed"
    text = " ".join(str(UnitGraph.trace(network, tf.ones([4, 3]))).split())
    assert "positions, not units" not in text and "constant a variable" not in text
    assert " 5 linear/w[1]" in text


@pytest.mark.parametrize(
    ("operations", "names"),
    [
        ("Pow Tanh Mul", ["GELU"]),
        ("Pow Tanh", ["pow", "tanh"]),
        ("Erf", ["erf"]),
        ("SquaredDifference", ["squared difference"]),
        ("Rsqrt", ["rsqrt"]),
        ("Erfc Mul Neg Rsqrt SquaredDifference", ["GELU", "norm"]),
        ("Mean Mul SquaredDifference", ["norm"]),
    ],
)
def test_functions_of_several_operations_are_named_where_all_occur(operations: str, names: list[str]) -> None:
    assert function_names(frozenset(operations.split())) == names
