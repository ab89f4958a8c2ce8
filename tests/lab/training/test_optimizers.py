"""Optimizers, against float64 NumPy written from the papers, and against Sonnet's."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.lab.training.optimizers import Adam, Momentum

Arrays = list[npt.NDArray[np.float64]]
SHAPES = ((4, 3), (3,), (2, 2, 3, 5), (5,))
RATES = (0.1, 0.1, 0.05, 0.01, 0.2, 0.0, 0.03)


def draw(seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in SHAPES]


def reference_adam(weights: Arrays, weight_decay: Arrays, beta1: float, beta2: float, epsilon: float) -> Arrays:
    """Adam with decoupled decay, a decay a weight."""
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for t, rate in enumerate(RATES, start=1):
        for i, g in enumerate(draw(t)):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            step = np.sqrt(1 - beta2**t) / (1 - beta1**t) * m[i] / (np.sqrt(v[i]) + epsilon)
            weights[i] = weights[i] - rate * weight_decay[i] * weights[i] - rate * step
    return weights


def reference_momentum(weights: Arrays, weight_decay: Arrays, momentum: float, nesterov: bool = False) -> Arrays:
    a = [np.zeros_like(w) for w in weights]
    for t, rate in enumerate(RATES, start=1):
        for i, g in enumerate(draw(t)):
            slope = g + weight_decay[i] * weights[i]
            a[i] = momentum * a[i] + slope
            weights[i] = weights[i] - rate * (momentum * a[i] + slope if nesterov else a[i])
    return weights


def run(optimizer: Adam | Momentum) -> list[npt.NDArray[np.float32]]:
    """Takes the steps with an optimizer of the project, in a compiled function."""
    parameters = [tf.Variable(w, dtype=tf.float32) for w in draw(0)]
    optimizer.initialize(parameters)
    step = tf.function(lambda rate, *updates: optimizer.apply(updates, parameters, rate), autograph=False)
    for t, rate in enumerate(RATES, start=1):
        step(tf.constant(rate), *(tf.constant(g, tf.float32) for g in draw(t)))
    assert step.experimental_get_tracing_count() == 1
    return [parameter.numpy() for parameter in parameters]


def error(actual: list[npt.NDArray[np.float32]], expected: Arrays) -> float:
    return max(float(np.abs(a - e).max() / np.abs(e).max()) for a, e in zip(actual, expected, strict=True))


def slots(optimizer: Adam | Momentum) -> list[tf.Variable]:
    return [slot for name in optimizer.slot_names for slot in getattr(optimizer, name)]


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
@pytest.mark.parametrize("make", [Adam, Momentum])
def test_half_precision_moves_as_float32_does(
    make: type[Adam | Momentum], weight_decay: float, dtype: tf.DType, compiled: bool
) -> None:
    """In a quadratic bowl; weights are rounded at each step, and so differ by some of their last digits."""
    start, ends = np.array([[1.0, -2.0], [0.5, 3.0]]), []
    for each in (tf.float32, dtype):
        weight, optimizer = tf.Variable(tf.constant(start, each)), make(weight_decay=weight_decay)
        optimizer.initialize([weight])
        step = tf.function(
            lambda rate, weight=weight, optimizer=optimizer: optimizer.apply([0.1 * weight], [weight], rate),
            autograph=False,
            jit_compile=compiled,
        )
        for _ in range(30):
            step(tf.constant(0.05))
        assert all(slot.dtype == tf.float32 for slot in slots(optimizer))
        ends.append(tf.cast(weight, tf.float32).numpy())
    digits = 30 * (2.0**-8 if dtype == tf.bfloat16 else 2.0**-11)
    assert np.abs(ends[0] - start).min() > digits > np.abs(ends[1] - ends[0]).max()


@pytest.mark.parametrize("make", [Adam, Momentum])
def test_a_copy_with_its_parameters_goes_on_as_the_original(make: type[Adam | Momentum]) -> None:
    network = snt.Linear(2)
    network(tf.ones([1, 3]))
    optimizer = make(weight_decay=0.5)
    optimizer.initialize(network.trainable_variables)
    ones = [tf.ones_like(each) for each in network.trainable_variables]
    optimizer.apply(ones, network.trainable_variables, tf.constant(0.1))
    pairs = [(network, optimizer), copy.deepcopy((network, optimizer))]
    for one, its in pairs:
        its.apply(ones, one.trainable_variables, tf.constant(0.1))
    for own, copied in zip(
        (*network.variables, *slots(optimizer)), (*pairs[1][0].variables, *slots(pairs[1][1])), strict=True
    ):
        assert own is not copied and np.array_equal(own, copied)


def decays(on_matrices: float, on_vectors: float = 0.0) -> Any:
    return [on_matrices if len(shape) > 1 else on_vectors for shape in SHAPES]


@pytest.mark.parametrize("weight_decay", [0.0, 0.7])
@pytest.mark.parametrize("options", [{}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.3}], ids=["defaults", "others"])
def test_adam_is_that_of_the_papers(weight_decay: float, options: dict[str, Any]) -> None:
    constants = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8} | options
    actual = run(Adam(weight_decay=weight_decay, **options))
    assert error(actual, reference_adam(draw(0), decays(weight_decay), **constants)) < 1e-5


@pytest.mark.parametrize("weight_decay", [0.0, 0.7])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_momentum_is_that_of_the_papers(weight_decay: float, momentum: float, nesterov: bool) -> None:
    actual = run(Momentum(momentum, weight_decay=weight_decay, nesterov=nesterov))
    assert error(actual, reference_momentum(draw(0), decays(weight_decay), momentum, nesterov)) < 1e-5


def test_the_comparison_sees_a_decay_of_vectors_and_a_missing_correction() -> None:
    actual = run(Adam(weight_decay=0.7))
    assert error(actual, reference_adam(draw(0), decays(0.7, 0.7), 0.9, 0.999, 1e-8)) > 1e-2
    assert error(actual, reference_adam(draw(0), decays(0.69), 0.9, 0.999, 1e-8)) > 1e-4
    assert error(actual, reference_adam(draw(0), decays(0.7), 0.9, 0.99, 1e-8)) > 1e-4
    actual = run(Momentum(0.9, weight_decay=0.7))
    assert error(actual, reference_momentum(draw(0), decays(0.7, 0.7), 0.9)) > 1e-2
    assert error(actual, reference_momentum(draw(0), decays(0.7), 0.9, nesterov=True)) > 1e-2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adam, lambda: snt.optimizers.Adam(0.1)),
        (lambda: Momentum(0.8), lambda: snt.optimizers.Momentum(0.1, 0.8)),
        (lambda: Momentum(0.8, nesterov=True), lambda: snt.optimizers.Momentum(0.1, 0.8, use_nesterov=True)),
    ],
    ids=["Adam", "Momentum", "Nesterov"],
)
def test_without_decay_they_are_those_of_sonnet(ours: Any, theirs: Any) -> None:
    reference = theirs()
    parameters = [tf.Variable(w, dtype=tf.float32) for w in draw(0)]
    for t, rate in enumerate(RATES, start=1):
        reference.learning_rate = rate
        reference.apply([tf.constant(g, tf.float32) for g in draw(t)], parameters)
    assert error(run(ours()), [parameter.numpy().astype(np.float64) for parameter in parameters]) < 1e-5


@pytest.mark.parametrize(
    "make", [lambda: Adam(weight_decay=0.5), lambda: Momentum(weight_decay=0.5)], ids=["Adam", "Momentum"]
)
def test_a_zero_weight_without_gradient_stays_exactly_zero(make: Any) -> None:
    weight = tf.Variable([[0.0, 1.0], [2.0, 0.0]])
    mask = tf.cast(weight != 0, tf.float32)
    optimizer = make()
    optimizer.initialize([weight])
    for seed in range(5):
        gradient = tf.constant(np.random.default_rng(seed).normal(size=(2, 2)), tf.float32)
        optimizer.apply([gradient * mask], [weight], tf.constant(0.1))
    assert weight[0, 0] == 0 and weight[1, 1] == 0
    assert abs(weight[0, 1] - 1) > 0.1 and abs(weight[1, 0] - 2) > 0.1


@pytest.mark.parametrize(("make", "count"), [(Adam, 2), (Momentum, 1)], ids=["Adam", "Momentum"])
def test_slots_belong_to_their_parameter(make: Any, count: int) -> None:
    parameters = [tf.Variable(w, dtype=tf.float32) for w in draw(0)]
    optimizer = make()
    optimizer.initialize(parameters)
    optimizer.apply([tf.ones_like(parameters[0]), *map(tf.zeros_like, parameters[1:])], parameters, tf.constant(0.1))
    for index, parameter in enumerate(parameters):
        slots = [getattr(optimizer, name)[index] for name in optimizer.slot_names]
        assert [slot.shape for slot in slots] == [parameter.shape] * count
        assert all(np.all(slot.numpy() != 0) == (index == 0) for slot in slots)
        assert not any(slot.trainable for slot in slots)


def test_initialising_again_changes_nothing() -> None:
    weight = tf.Variable([1.0])
    optimizer = Momentum(0.9)
    optimizer.initialize([weight])
    optimizer.apply([tf.constant([1.0])], [weight], tf.constant(0.1))
    optimizer.initialize([weight])
    assert optimizer.accumulated[0].numpy() == 1.0
    optimizer.reset()
    assert optimizer.accumulated[0].numpy() == 0.0


@pytest.mark.parametrize("make", [Adam, Momentum])
def test_a_step_before_there_are_slots_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"apply must come after initialize\(parameters\)"):
        make().apply([tf.constant([1.0])], [tf.Variable([1.0])], tf.constant(0.1))


@pytest.mark.parametrize("make", [Adam, Momentum])
def test_negative_decay_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"weight_decay \(=-0.1\) must be at least 0"):
        make(weight_decay=-0.1)
