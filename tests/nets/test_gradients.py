import gc
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from weirdonetworks.nets.gradients import custom_gradient


def cubed(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Returns the cube, with a gradient five times as large as its own, which holds the argument."""
    return x**3, lambda upstream: 15 * upstream * x**2


def five_times(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Returns its argument, with a gradient that holds nothing."""
    return tf.identity(x), lambda upstream: 5 * upstream


def slope(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x)


def in_a_loop(x: tf.Tensor) -> tf.Tensor:
    """Cubes twice, in a loop whose gradient is found by the name of the operation's."""
    _, y = tf.while_loop(
        lambda i, y: i < 2, lambda i, y: (i + 1, custom_gradient(cubed)(y)), (0, x), maximum_iterations=2
    )
    return y


def by_a_branch(x: tf.Tensor) -> tf.Tensor:
    return tf.cond(x > 0, lambda: custom_gradient(cubed)(x), lambda: x)


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_it_takes_the_place_of_the_gradient(jit_compile: bool | None) -> None:
    def slopes(x: tf.Tensor) -> list[tf.Tensor]:
        once = custom_gradient(cubed)
        return [slope(once, x), slope(lambda x: slope(once, x), x), slope(in_a_loop, x), slope(by_a_branch, x)]

    run = slopes if jit_compile is None else tf.function(slopes, autograph=False, jit_compile=jit_compile)
    # 15 x^2, 30 x, 15 x^2 * 15 (x^3)^2 and 15 x^2 at x = 2.
    assert [float(each) for each in run(tf.constant(2.0))] == [60.0, 60.0, 60.0 * 960.0, 60.0]


@pytest.mark.parametrize(("decorator", "is_freed"), [(custom_gradient, True), (tf.custom_gradient, False)])
def test_graphs_are_freed_as_those_of_tensorflow_are_not(decorator: Callable[[Any], Any], is_freed: bool) -> None:
    run = tf.function(lambda x: slope(decorator(cubed), x), autograph=False)
    assert run(tf.constant(2.0)) == 60.0
    graph = weakref.ref(run.get_concrete_function(tf.TensorSpec([])).graph)
    del run
    gc.collect()
    assert (graph() is None) == is_freed


@pytest.mark.parametrize("with_gradients", [True, False])
def test_a_saved_model_has_its_gradient_while_the_original_lives_and_after_if_it_is_saved(
    with_gradients: bool, tmp_path: pathlib.Path
) -> None:
    module = tf.Module()
    module.run = tf.function(custom_gradient(five_times), input_signature=[tf.TensorSpec([])])
    tf.saved_model.save(
        module, str(tmp_path), options=tf.saved_model.SaveOptions(experimental_custom_gradients=with_gradients)
    )
    assert slope(tf.saved_model.load(str(tmp_path)).run, tf.constant(2.0)) == 5.0
    del module
    gc.collect()
    if not with_gradients:
        with pytest.raises(LookupError, match="No gradient defined"):
            slope(tf.saved_model.load(str(tmp_path)).run, tf.constant(2.0))
        return
    assert slope(tf.saved_model.load(str(tmp_path)).run, tf.constant(2.0)) == 5.0
