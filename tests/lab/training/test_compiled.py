"""Programs: compiled once for each graph, and each with variables of its own."""

import concurrent.futures
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weirdonetworks.lab.training import compiled
from weirdonetworks.lab.training.compiled import Compiled, fingerprint

BATCH = np.random.default_rng(0).normal(size=[8, 5]).astype(np.float32)
Function = Callable[..., tf.Tensor]


class Descent:
    """Steps along the gradient of a small network, several in a loop; returns the loss at each."""

    def __init__(self, width: int = 4, seed: int = 0, rate: float = 0.1, steps: int = 3, jit_compile: bool = False):
        tf.random.set_seed(seed)
        self.network = snt.nets.MLP([width, 1])
        self.network(tf.constant(BATCH))
        self.rate, self.steps = rate, steps
        self.program = Compiled(self.losses, jit_compile=jit_compile)

    def losses(self, batch: tf.Tensor) -> tf.Tensor:
        def step(index: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self.network(batch) ** 2)
            variables = self.network.trainable_variables
            for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
                variable.assign_sub(self.rate * gradient)
            return index + 1, losses.write(index, loss)

        collected = tf.TensorArray(tf.float32, size=self.steps, element_shape=[])
        return tf.while_loop(lambda index, _: index < self.steps, step, (tf.constant(0), collected))[1].stack()

    def run(self) -> np.ndarray:
        return self.program(tf.constant(BATCH)).numpy()

    def fingerprint(self) -> str:
        return of(self.losses, tf.constant(BATCH))


def of(function: Function, *inputs: tf.Tensor) -> str:
    """Gives the fingerprint of a function."""
    return fingerprint(tf.function(function, autograph=False).get_concrete_function(*inputs))


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_each_program_gives_what_a_function_of_its_own_gives(jit_compile: bool) -> None:
    expected, weights = [], []
    for seed in range(3):
        descent = Descent(seed=seed)
        own = tf.function(descent.losses, jit_compile=jit_compile, autograph=False)
        expected.append([own(tf.constant(BATCH)).numpy() for _ in range(2)])
        weights.append([variable.numpy() for variable in descent.network.variables])
    assert not np.allclose(expected[0], expected[1])
    descents = [Descent(seed=seed, jit_compile=jit_compile) for seed in range(3)]
    np.testing.assert_array_equal([[descent.run() for _ in range(2)] for descent in descents], expected)
    for descent, ended in zip(descents, weights, strict=True):
        for variable, value in zip(descent.network.variables, ended, strict=True):
            np.testing.assert_array_equal(variable, value)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_programs_of_one_graph_are_compiled_once(jit_compile: bool) -> None:
    Descent(width=6, jit_compile=jit_compile).run()
    before = len(compiled._compiled)
    for seed in range(3):
        Descent(width=6, seed=seed, jit_compile=jit_compile).run()
    assert len(compiled._compiled) == before
    Descent(width=7, jit_compile=jit_compile).run()
    assert len(compiled._compiled) == before + 1


def test_a_program_is_traced_once_for_each_shape() -> None:
    traced = []

    def double(values: tf.Tensor) -> tf.Tensor:
        traced.append(values.shape)
        return 2 * values

    program = Compiled(double, jit_compile=False)
    for rows in (2, 3, 2, 3):
        assert program(tf.ones([rows])).numpy().tolist() == [2.0] * rows
    assert program(tf.constant([1, 2])).dtype == tf.int32
    assert traced == [[2], [3], [2]]


def test_what_a_program_captures_is_its_own() -> None:
    descents = [Descent(seed=seed) for seed in range(2)]
    for descent in descents:
        captured = {id(tensor) for tensor in descent.program.captured(tf.constant(BATCH))}
        assert captured == {id(variable.handle) for variable in descent.network.variables}


@pytest.mark.parametrize("change", [{"width": 5}, {"rate": 0.2}, {"steps": 4}], ids=str)
def test_what_differs_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert Descent(seed=1).fingerprint() == Descent().fingerprint()
    assert Descent(**change).fingerprint() != Descent().fingerprint()


def test_a_variable_read_in_a_loop_counts_by_its_shape() -> None:
    def in_a_loop(rows: int) -> str:
        variable = tf.Variable(tf.ones([rows, 1]))

        def step(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return index + 1, total + tf.reduce_sum(variable)

        return of(lambda start: tf.while_loop(lambda index, _: index < 3, step, (0, start))[1], tf.constant(0.0))

    assert in_a_loop(3) == in_a_loop(3)
    assert in_a_loop(3) != in_a_loop(4)


def test_the_order_of_inputs_and_captures_counts() -> None:
    one, other = tf.Variable(1.0), tf.Variable(2.0)
    functions: list[Function] = [lambda x, y: x - y * one, lambda x, y: y - x * one, lambda x, y: x - y * one * one]
    functions += [lambda x, y: x * one - y * other, lambda x, y: x * one - y * one]
    assert len({of(function, tf.constant(1.0), tf.constant(1.0)) for function in functions}) == len(functions)


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_two_networks_alike_have_one_fingerprint(entry: registry.Network) -> None:
    def step(network: Any, is_training: bool) -> str:
        def descend(inputs: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                outputs = entry.call(network, inputs, is_training, seed)
            gradients = tape.gradient(outputs, network.trainable_variables)
            return [outputs, *(tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None)]

        return of(descend, entry.inputs(), tf.constant([1, 2]))

    first, second = (entry.build(is_random=True) for _ in range(2))
    training = step(first, is_training=True)
    assert training == step(second, is_training=True)
    if "is_training" in entry.takes:
        assert training != step(first, is_training=False)


@pytest.mark.slow
def test_programs_of_one_graph_run_in_threads_at_once() -> None:
    def train(seed: int) -> list[Any]:
        descent = Descent(width=64, seed=seed, steps=50)
        return [descent.run() for _ in range(20)]

    alone = [train(seed) for seed in range(4)]
    descents = [Descent(width=64, seed=seed, steps=50) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda own: [own.run() for _ in range(20)], descents))
    np.testing.assert_array_equal(together, alone)


def test_what_is_compiled_keeps_no_object_and_no_variable() -> None:
    descent = Descent(width=9)  # The first of its graph, of which the compiled function is kept.
    descent.run()
    gone = [weakref.ref(descent), *(weakref.ref(variable) for variable in descent.network.variables)]
    gc.disable()
    try:
        del descent
        assert [reference() for reference in gone] == [None] * len(gone)
    finally:
        gc.enable()


def test_an_error_within_names_its_cause() -> None:
    program = Compiled(lambda values: tf.debugging.check_numerics(1 / values, "division"), jit_compile=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="division"):
        program(tf.constant(0.0))
