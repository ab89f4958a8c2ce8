"""The number of conservation laws of models, residual sums and attention among them, beside a numerical rank."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.measure.chains import CROSS_ENTROPY, laws_in_floating_point, squared_error
from weirdonetworks.measure.conserved import conserved_quantities, count_laws, count_model_laws

RNG = np.random.default_rng(0)
POINTS = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test draw the same whichever tests were before it."""
    for name, seed in (("RNG", 0), ("POINTS", 1)):
        monkeypatch.setitem(globals(), name, np.random.default_rng(seed))


def drawn(*shape: int) -> tf.Variable:
    return tf.Variable(0.7 * RNG.normal(size=shape))


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Attention, if it has heads, and then a layer of ReLUs, if it has units, each with a residual sum."""

    variables: list[tf.Variable]
    heads: bool = False
    biases: bool = False

    @classmethod
    def of(cls, heads: int = 0, units: int = 0, biases: bool = False) -> "Block":
        attention = [*(drawn(2, heads, 2) for _ in range(3)), drawn(heads, 2, 2)] if heads else []
        offsets = [drawn(heads, 2) for _ in range(3)] if biases else []
        return cls([*attention, *offsets, *([drawn(2, units), drawn(units, 2)] if units else [])], heads > 0, biases)

    def __call__(self, tokens: tf.Tensor, values: list[tf.Tensor] | None = None) -> tf.Tensor:
        left = list(self.variables if values is None else values)
        if self.heads:
            *kernels, out = (left.pop(0) for _ in range(4))
            offsets = [left.pop(0) if self.biases else 0.0 for _ in range(3)]
            query, key, value = (
                tf.einsum("btw,whd->bthd", tokens, kernel) + offset
                for kernel, offset in zip(kernels, offsets, strict=True)
            )
            shares = tf.nn.softmax(tf.einsum("bthd,bshd->bhts", query, key) / np.sqrt(2))
            tokens += tf.einsum("bhts,bshd,hdw->btw", shares, value, out)
        if left:
            tokens += tf.nn.relu(tokens @ left[0]) @ left[1]
        return tokens


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heads", "units", "biases", "laws"),
    [
        pytest.param(0, 3, False, 3, id="residual"),
        pytest.param(1, 0, True, 8, id="attention with biases"),
        *(
            pytest.param(*each, id=name, marks=pytest.mark.exhaustive)
            for name, each in {"two heads": (2, 0, False, 12), "transformer": (1, 3, False, 9)}.items()
        ),
    ],
)
def test_a_blocks_laws_are_as_many_in_floating_point_and_all_are_found(
    heads: int, units: int, biases: bool, laws: int
) -> None:
    """A balance for each ReLU; for each head symmetric matrices of queries and keys, and of values and outputs."""
    block = Block.of(heads, units, biases)
    tokens = tf.constant(POINTS.normal(size=(1, 3, 2)))
    count = count_model_laws(block, tokens, loss=squared_error)
    data = tf.constant(2 * POINTS.normal(size=(24, 3, 2)))
    assert count.is_complete and count.at_most == laws == laws_in_floating_point(block, block.variables, data)
    assert len(count.unread) == (2 if biases else 0)  # A softmax ignores what the keys' bias adds to all scores.
    found = conserved_quantities(block, squared_error, tokens)
    assert found.are_all()
    while found[-1].symmetry == "permutation of units":
        found.pop()
    found.pop()
    assert not found.are_all()  # The control: one quantity less.


@pytest.mark.parametrize(
    ("activation", "loss", "laws"),
    [
        (tf.nn.relu, squared_error, 3),
        (tf.nn.relu, CROSS_ENTROPY, 3 + 4),
        (tf.tanh, CROSS_ENTROPY, 4),
        (lambda z: tf.maximum(0.0, z), squared_error, 3),
        (lambda z: tf.maximum(z, 1.0), squared_error, 0),
        (tf.nn.relu6, squared_error, 0),
        (tf.square, squared_error, 3),
        (tf.identity, squared_error, 3 * 2),
    ],
    ids=["ReLU", "softmax", "tanh", "maximum with 0", "maximum with 1", "ReLU6", "square", "linear"],
)
def test_sums_over_classes_count_where_the_loss_has_them(activation, loss, laws: int) -> None:  # type: ignore[no-untyped-def]
    tf.random.set_seed(0)  # Some weights take no unit to where ReLU6 differs from ReLU.
    inputs = tf.constant(POINTS.normal(size=(1, 3)), tf.float32)
    model = snt.nets.MLP([3, 3], activation=activation)
    assert count_model_laws(model, inputs, loss=loss).at_most == laws
    assert conserved_quantities(model, loss, inputs).are_all()


def test_quantities_that_are_not_all_are_not_said_to_be() -> None:
    """A linear network of one input and one output moves along one field: it conserves what is not quadratic, too."""
    model = snt.nets.MLP([2, 3, 1], activation=tf.identity, with_bias=False)
    found = conserved_quantities(model, squared_error, tf.ones([1, 1]))
    count = count_model_laws(model, tf.ones([1, 1]))
    assert (count.parameters, count.quadratic, count.at_most) == (11, 9, 10) and not found.are_all()


def test_frozen_weights_are_no_parameters_and_filters_have_a_law_a_channel() -> None:
    images = tf.constant(POINTS.normal(size=(1, 3, 3, 1)), tf.float32)
    for trainable, parameters, laws in ((True, 8 + 2 + 16, 2), (False, 8 + 2, 0)):
        last = tf.Variable(tf.random.stateless_normal([8, 2], [1, 2]), trainable=trainable)
        model = snt.Sequential([snt.Conv2D(2, 2, padding="VALID"), tf.nn.relu, snt.Flatten(), lambda x, w=last: x @ w])
        count = count_model_laws(model, images)
        assert (count.parameters, count.at_most) == (parameters, laws)


def attention(mask: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Attention with a bias of the keys, whose scores are masked."""
    query, key, value, out = (drawn(2, 2) for _ in range(4))
    bias = drawn(2)

    def model(tokens: tf.Tensor) -> tf.Tensor:
        scores = tf.matmul(tokens @ query, tokens @ key + bias, transpose_b=True)
        return tf.matmul(tf.nn.softmax(mask(scores)), tokens @ value) @ out

    return model


CAUSAL = np.tril(np.ones((3, 3), bool))


@pytest.mark.parametrize(
    ("mask", "laws", "unread"),
    [
        (lambda scores: scores, 8, 2),
        (lambda scores: tf.where(CAUSAL, scores, -1e9), 8, 2),
        (lambda scores: tf.where(CAUSAL, scores, -np.inf), 8, 2),
        (lambda scores: scores + np.where(CAUSAL, 0.0, -np.inf), 8, 2),
        (lambda scores: scores + np.where(CAUSAL, 0.0, -1e9), 8, 2),
        (lambda scores: tf.where(CAUSAL, scores, 0.0), 6, 0),  # The control: 0 is a score beside which a bias counts.
        (lambda scores: scores + np.where(np.eye(3), 0.0, -np.inf), 13, 10),  # Each token has itself alone.
    ],
    ids=["none", "low", "-inf", "-inf added", "low added", "0", "itself"],
)
def test_masked_scores_have_no_share(mask: Callable[[tf.Tensor], tf.Tensor], laws: int, unread: int) -> None:
    count = count_model_laws(attention(mask), tf.constant(POINTS.normal(size=(1, 3, 2))))
    assert count.is_complete and (count.at_most, len(count.unread)) == (laws, unread)


def test_the_causal_mask_of_keras_is_followed() -> None:
    layer = tf.keras.layers.MultiHeadAttention(1, 2)
    tokens = tf.constant(POINTS.normal(size=(1, 3, 2)), tf.float32)
    count = count_model_laws(layer, tokens, tokens, use_causal_mask=True)
    assert count.is_complete and count.at_most == 8 and len(count.unread) == 2


def test_infinity_elsewhere_is_refused() -> None:
    rule = r"cannot be followed\. Only -inf can, as a mask"
    tokens = tf.constant(POINTS.normal(size=(1, 3, 2)))
    for mask in (lambda scores: scores - np.inf, lambda scores: tf.nn.relu(scores + np.where(CAUSAL, 0.0, -np.inf))):
        with pytest.raises(ValueError, match=rule):
            count_model_laws(attention(mask), tokens)
    with pytest.raises(ValueError, match=rf"the number inf {rule}"):
        count_model_laws(attention(lambda scores: scores + np.inf), tokens)


def test_models_that_cannot_be_counted_are_refused() -> None:
    norm = snt.Sequential([snt.Linear(3), snt.LayerNorm(-1, True, True), snt.Linear(2)])
    with pytest.raises(ValueError, match=r"model: \w+ \(.*\) cannot be followed\. Conservation laws are counted of"):
        count_model_laws(norm, tf.ones([1, 3]))
    with pytest.raises(ValueError, match=r"model \(of 610 parameters\) must have 1 to 120\."):
        conserved_quantities(snt.nets.MLP([50, 10]), CROSS_ENTROPY, tf.ones([1, 1])).are_all()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(number: float) -> None:
    model, inputs = snt.nets.MLP([3, 2]), tf.ones([1, 2])
    model(inputs)
    assert count_model_laws(model, inputs).is_complete  # The control.
    model.trainable_variables[1][0, 0].assign(number)
    for count in (count_model_laws, lambda *given: conserved_quantities(given[0], CROSS_ENTROPY, given[1])):
        with pytest.raises(ValueError, match=r"^model must have finite weights; mlp/linear_0/w holds NaN or infinity"):
            count(model, inputs)


def test_what_is_given_in_the_place_of_another_is_told() -> None:
    model, inputs = snt.nets.MLP([3, 2]), tf.ones([1, 2])
    with pytest.raises(TypeError, match=r"^loss \(=3\) must be a module or a function"):
        count_model_laws(model, inputs, loss=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^loss \(=None\) must be a module or a function"):
        conserved_quantities(model, None, inputs)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"^loss \(=.*\) must take .* outputs: .* takes 1 positional argument but 2 were given$"
    ):
        conserved_quantities(model, lambda outputs: outputs, inputs)  # type: ignore[arg-type, misc]
    with pytest.raises(TypeError, match=r"^chain \(=MLP\(.*\)\) must be a list of .*; count_model_laws takes models"):
        count_laws(model)  # type: ignore[arg-type]
