"""Tests of conserved quantities: their drift under gradient descent, second order in the step, and controls.

A step of the rate h down the gradient g takes a conserved w M w to w M w + h^2 g M g exactly, and keeps a conserved
u w. Both are tested in float64, beside quantities that a network would have with another activation, norm or loss.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.measure.chains import (
    SIZES,
    Activation,
    Chain,
    Convolutions,
    by_name,
    cube,
    found_in,
    squared_error,
)
from weirdonetworks.lab.training.optimizers import Adam, Momentum
from weirdonetworks.measure.conserved import (
    MIXING,
    PERMUTATION,
    RESCALING,
    SCALE,
    TRANSLATION,
    Conserved,
    Value,
    drift,
)

RATE = 0.1
EXACT = 1e-9  # Of h^2 g M g, which may be as small a part of w M w.


def errors_of_a_step(chain: Chain, quantities: Sequence[Conserved]) -> dict[str, float]:
    """How far a step is from the law, for each quantity but those of permutations, in proportion to what it moves."""
    quantities = [each for each in quantities if each.symmetry != PERMUTATION]
    before = [each.value() for each in quantities]
    gradients = chain.gradients()
    chain.descend(gradients, RATE)
    after = [each.value() for each in quantities]
    for variable, gradient in zip(chain.variables, gradients, strict=True):
        variable.assign(gradient)
    errors = {}
    for each, one, other in zip(quantities, before, after, strict=True):
        of_gradient = each.value()
        linear = each.symmetry == TRANSLATION
        expected = one.numbers + (0 if linear else RATE**2 * of_gradient.numbers)
        size = (RATE if linear else RATE**2) * of_gradient.size
        errors[each.name] = float(np.linalg.norm(other.numbers - expected)) / size
    return errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "norm", "symmetries"),
    [
        (tf.identity, "", {"balance": MIXING}),
        (tf.nn.relu, "", {"balance": RESCALING}),
        (tf.nn.leaky_relu, "", {"balance": RESCALING}),
        (tf.square, "", {"balance": RESCALING}),
        (cube, "", {"balance": RESCALING}),
        (tf.tanh, "", {}),
        (tf.tanh, "layer", {"length": SCALE}),
        (tf.nn.relu, "layer", {"length": SCALE, "balance": RESCALING}),
        (tf.nn.relu, "batch", {"length": SCALE, "balance": RESCALING}),
    ],
)
def test_a_step_changes_it_by_the_square_of_the_rate_alone(
    activation: Activation, norm: str, symmetries: dict[str, str]
) -> None:
    chain = Chain(activation, norm)
    found = chain.found()
    assert by_name(found) == {
        **{f"layer_{i}/{name}": symmetry for i in (0, 1) for name, symmetry in symmetries.items()},
        **{f"layer_{i}/equal_units": PERMUTATION for i in (0, 1)},
        "layer_2/class_sums": TRANSLATION,
    }
    errors = errors_of_a_step(chain, found)
    assert len(errors) == 2 * len(symmetries) + 1
    assert max(errors.values()) < EXACT


@pytest.mark.parametrize(
    ("activation", "pool", "symmetry"),
    [
        (tf.nn.relu, tf.nn.max_pool2d, RESCALING),
        (tf.identity, tf.nn.avg_pool2d, MIXING),
        (tf.tanh, tf.nn.max_pool2d, ""),
    ],
)
def test_channels_of_convolutions_are_units(
    activation: Activation, pool: Callable[..., tf.Tensor], symmetry: str
) -> None:
    chain = Convolutions(activation, pool)
    found = chain.found()
    names = {f"layer_{i}/balance": symmetry for i in (0, 1) if symmetry}
    units = {f"layer_{i}/equal_units": PERMUTATION for i in (0, 1)}
    assert by_name(found) == {**names, **units, "layer_2/class_sums": TRANSLATION}
    assert [len(each.value().numbers) for each in found if each.symmetry == PERMUTATION] == [4, 5]
    assert max(errors_of_a_step(chain, found).values()) < EXACT


def test_channels_of_tanh_are_in_no_balance() -> None:
    chain = Convolutions(tf.tanh, tf.nn.max_pool2d)
    errors = errors_of_a_step(chain, chain.found(activation=tf.nn.relu))
    assert min(errors["layer_0/balance"], errors["layer_1/balance"]) > 1e-2


def test_weights_divided_by_their_length_are_in_no_balance_with_the_units_before() -> None:
    chain = Chain(tf.nn.relu, "weight")
    found = chain.found()
    assert {each.name for each in found if each.symmetry == SCALE} == {"layer_0/length", "layer_1/length"}
    assert [each.name for each in found if each.symmetry == RESCALING] == ["layer_1/balance"]
    assert max(errors_of_a_step(chain, found).values()) < EXACT
    chain = Chain(tf.nn.relu, "weight")
    found = found_in([chain.layers[0], dataclasses.replace(chain.layers[1], norm="batch"), chain.layers[2]])
    assert errors_of_a_step(chain, found)["layer_0/balance"] > 1e-2


@pytest.mark.parametrize(
    ("chain", "claims", "name"),
    [
        (lambda: Chain(tf.tanh), {"activation": tf.nn.relu}, "balance"),
        (lambda: Chain(tf.nn.relu), {"activation": tf.identity}, "balance"),
        (lambda: Chain(tf.square), {"activation": tf.nn.relu}, "balance"),
        (lambda: Chain(tf.identity, "batch"), {"norm": "", "scale": None, "offset": None}, "balance"),
        (lambda: Chain(tf.nn.relu), {"norm": "batch"}, "length"),
        (lambda: Chain(tf.tanh, "layer"), {"norm": "batch"}, "length"),
        (lambda: Chain(tf.nn.relu, loss=squared_error), {}, "class_sums"),
    ],
    ids=["tanh", "ReLU as linear", "square as ReLU", "norm forgotten", "no norm", "layer as batch norm", "no softmax"],
)
def test_what_has_no_such_symmetry_breaks_the_law(
    chain: Callable[[], Chain], claims: dict[str, Any], name: str
) -> None:
    made = chain()
    errors = errors_of_a_step(made, made.found(**claims))
    claimed = [error for key, error in errors.items() if key.endswith(name)]
    assert claimed and min(claimed) > 1e-2


def drifts(chain: Chain, quantities: Sequence[Conserved], rate: float, time: float) -> dict[str, float]:
    """The drift of each quantity over a time; the chain is left as it was."""
    start = [tf.identity(variable) for variable in chain.variables]
    before = [each.value() for each in quantities]
    chain.train(rate, round(time / rate))
    found = {each.name: drift(one, each.value()) for each, one in zip(quantities, before, strict=True)}
    for variable, weights in zip(chain.variables, start, strict=True):
        variable.assign(weights)
    return found


@pytest.mark.exhaustive
@pytest.mark.parametrize(("activation", "norm"), [(tf.identity, ""), (tf.nn.relu, ""), (tf.tanh, "layer")])
def test_over_a_fixed_time_drift_is_in_proportion_to_the_rate(activation: Activation, norm: str) -> None:
    chain = Chain(activation, norm)
    found = chain.found()
    fast, slow = (drifts(chain, found, rate, time=2.0) for rate in (0.02, 0.01))
    for each in found:
        if each.symmetry == TRANSLATION:
            assert max(fast[each.name], slow[each.name]) < 1e-13
        elif each.symmetry == PERMUTATION:
            assert fast[each.name] == slow[each.name] == 0
        else:
            assert 1e-5 < slow[each.name] < 1e-2
            assert fast[each.name] / slow[each.name] == pytest.approx(2, rel=0.05)


def test_the_drift_of_tanh_is_the_same_at_every_rate() -> None:
    chain = Chain(tf.tanh)
    found = chain.found(activation=tf.nn.relu)
    fast, slow = (drifts(chain, found, rate, time=2.0) for rate in (0.02, 0.01))
    for name in ("layer_0/balance", "layer_1/balance"):
        assert slow[name] > 0.01
        assert fast[name] / slow[name] == pytest.approx(1, rel=0.02)


def equality(chain: Chain) -> list[Value]:
    found = chain.found()
    return [each.value() for each in found if each.symmetry == PERMUTATION]


@pytest.mark.parametrize(
    ("make", "keeps_sums"),
    [(lambda: Momentum(0.0), True), (Momentum, True), (Adam, False)],
    ids=["descent", "momentum", "Adam"],
)
def test_equal_units_stay_equal_under_every_optimizer(make: Callable[[], Any], keeps_sums: bool) -> None:
    chain = Chain(tf.tanh)
    chain.make_twins()
    *units, sums = chain.found()
    before = [each.value() for each in (*units, sums)]
    assert [value.numbers.sum() for value in before[:-1]] == [SIZES[1] + 2, SIZES[2] + 2]
    optimizer = make()
    optimizer.initialize(chain.variables)
    rate = tf.constant(0.05, tf.float64)
    step = tf.function(lambda: optimizer.apply(chain.gradients(), chain.variables, rate), autograph=False)
    for _ in range(50):
        step()
    assert chain.apart() < 1e-12
    *of_units, of_sums = (drift(one, each.value()) for one, each in zip(before, (*units, sums), strict=True))
    assert of_units == [0, 0]
    assert of_sums < 1e-13 if keeps_sums else of_sums > 1e-2


def test_units_with_other_weights_out_of_them_come_apart() -> None:
    chain = Chain(tf.tanh)
    chain.make_twins(in_all=False)
    assert [value.numbers.sum() for value in equality(chain)] == [SIZES[1], SIZES[2]]
    assert chain.apart() == 0
    chain.train(0.2, 50)
    assert chain.apart() > 1e-2


def test_twins_set_apart_are_seen_to_drift() -> None:
    chain = Chain(tf.tanh)
    chain.make_twins()
    (before, _) = equality(chain)
    chain.layers[0].weights[0, 0].assign(9.0)
    (after, _) = equality(chain)
    assert drift(before, after) == pytest.approx(np.sqrt(2 / (SIZES[1] + 2)))
