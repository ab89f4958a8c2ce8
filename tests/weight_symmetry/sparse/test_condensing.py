"""Condensing of traced models: the same outputs whichever way a layer is computed, and the fastest way chosen."""

import gc
import pathlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import processes
from weight_symmetry import Masks
from weight_symmetry.masks import create
from weight_symmetry.sparse import condensing as module
from weight_symmetry.sparse.condensed import CondensedLinear
from weight_symmetry.sparse.condensing import Condensed, condense

pytestmark = pytest.mark.slow


class Residual(snt.Module):
    """Dense layers of which one is used twice, with a residual sum and a convolution before them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = snt.Conv2D(3, 3, name="convolution")
        self.first, self.shared, self.last = snt.Linear(20, name="first"), snt.Linear(20, name="shared"), snt.Linear(5)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(self.first(snt.flatten(self.convolution(images))))
        hidden = hidden + tf.nn.relu(self.shared(tf.nn.relu(self.shared(hidden))))
        return self.last(hidden)


def keras_model() -> Any:
    layers = [keras.layers.Flatten(), keras.layers.Dense(30, activation="relu"), keras.layers.Dense(5, use_bias=False)]
    return keras.Sequential(layers)


def prefer(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Lets the clock prefer condensed layers, or dense ones."""

    def times(functions: Sequence[Any], inputs: Sequence[Any], calls: int) -> list[float]:
        rising = [float(number + 1) for number in range(len(functions))]
        return rising if kind == "dense" else rising[::-1]

    monkeypatch.setattr(module, "alternate_times", times)


@pytest.mark.parametrize(
    ("make", "names"), [(Residual, ["first", "linear"]), (keras_model, ["dense", "dense"])], ids=["residual", "keras"]
)
def test_outputs_are_those_of_the_masked_model(
    make: Callable[[], Any], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, "condensed")
    images = tf.random.stateless_normal([6, 5, 5, 2], [1, 2])
    model = make()
    model(images)
    masks = Masks.create(model, "random", 0.8, seed=1)
    condensed = condense(model, masks, images)
    assert condensed.kind == "condensed" and [layer.is_condensed for layer in condensed.layers] == [True, True]
    assert all(name in layer.name for name, layer in zip(names, condensed.layers, strict=True))
    for batch in (images, images[:1], tf.concat([images] * 5, axis=0)):
        expected = np.asarray(model(batch))
        np.testing.assert_allclose(condensed(batch), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    # The weights that are left are trained as others.
    small: Any = condensed.model
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(small(images) ** 2)
    gradients = tape.gradient(loss, small.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    assert {tuple(layer.w.shape) for layer in small.layers} <= {tuple(each.shape) for each in small.trainable_variables}
    # A masked weight that moves is told apart.
    model.trainable_variables[0].assign_add(tf.ones_like(model.trainable_variables[0]))
    assert not np.allclose(condensed(images), np.asarray(model(images)), rtol=0.01)


def test_what_is_slower_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    prefer(monkeypatch, "dense")
    model, images = snt.nets.MLP([8, 4]), tf.ones([3, 6])
    model(images)
    condensed = condense(model, Masks.create(model, "random", 0.5, seed=1), images)
    assert condensed.kind == "dense" and not any(layer.is_condensed for layer in condensed.layers)
    np.testing.assert_array_equal(condensed(images), model(images))
    assert condensed.milliseconds.before == condensed.milliseconds.after


@pytest.mark.parametrize(("saved", "kind"), [(0.02, "dense"), (0.05, "compacted")])
def test_a_model_is_replaced_only_by_what_saves_more_than_3_percent(
    saved: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "alternate_times", lambda functions, inputs, calls: [1.0, 1 - saved][: len(functions)])
    model, images = snt.nets.MLP([8, 4], with_bias=False), tf.ones([3, 6])
    model(images)
    monkeypatch.setattr(module, "_products", lambda small: {})
    assert condense(model, Masks.create(model, "random", 0.5, seed=1), images).kind == kind


@pytest.mark.parametrize("kind", ["dense", "condensed"])
def test_masks_that_were_not_applied_are_multiplied_in_whatever_is_fastest(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, kind)
    model, images = snt.nets.MLP([8, 4]), tf.random.stateless_normal([3, 6], [1, 2])
    unmasked = np.asarray(model(images))
    masks = create("random", [(6, 8), (8, 4)], 0.5, 0)
    condensed = condense(model, masks, images)
    found = condensed(images)
    assert condensed.kind == kind and not np.allclose(found, unmasked, atol=1e-2)
    Masks(model).set(masks)
    np.testing.assert_allclose(found, model(images), atol=1e-6)


def test_another_process_and_xla_compute_what_was_condensed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Kernels are in neither; functions that were traced before they are saved hold them, too."""
    prefer(monkeypatch, "condensed")
    model, x = snt.nets.MLP([40, 5]), tf.random.stateless_normal([7, 30], [1, 2])
    model(x)
    condensed = condense(model, Masks.create(model, "random", 0.8, seed=1), x)
    assert condensed.kind == "condensed"
    layer = CondensedLinear.from_masked(np.arange(60.0).reshape(30, 2), create("random", [(30, 2)], 0.8, 0)[0])
    module: Any = tf.Module()
    module.own, module.model = layer, condensed.model
    module.layer = tf.function(layer)
    module.compiled = tf.function(condensed.model, jit_compile=True)
    module.condensed = tf.function(condensed.model)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = module.layer(x)
        loss = tf.reduce_sum(outputs**2)
    expected = {"layer": outputs, "gradient": tape.gradient(loss, x), "one": module.layer(x[:1])}
    expected |= dict.fromkeys(("compiled", "condensed", "served"), condensed(x))
    np.testing.assert_allclose(module.compiled(x), condensed(x), atol=1e-5)
    np.testing.assert_array_equal(module.condensed(x), condensed(x))
    served = tf.function(condensed.model, input_signature=[tf.TensorSpec([None, 30])])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=served)
    np.savez(tmp_path / "given.npz", x=x)
    done = processes.run("tests.weight_symmetry.sparse.loading", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * np.abs(value).max(), err_msg=name)


def test_the_process_that_saved_a_layer_computes_it_when_the_layer_is_gone(tmp_path: pathlib.Path) -> None:
    layer, x = CondensedLinear.from_masked(np.arange(12.0).reshape(6, 2), np.eye(6, 2), kernels=True), tf.ones([3, 6])
    module: Any = tf.Module()
    module.own, module.layer = layer, tf.function(layer)
    expected, known = module.layer(x).numpy(), weakref.ref(layer)
    tf.saved_model.save(module, str(tmp_path))
    del layer, module
    gc.collect()
    loaded = tf.saved_model.load(str(tmp_path))
    assert known() is None
    np.testing.assert_array_equal(loaded.layer(x), expected)


def test_the_table_says_what_was_chosen() -> None:
    model, images = snt.nets.MLP([40, 30, 4]), tf.ones([3, 16])
    model(images)
    masks = [np.ones((16, 40)), np.ones((40, 30)), np.ones((30, 4))]
    masks[1][:, 5:] = 0
    condensed: Condensed = condense(model, masks, images)
    lines = str(condensed).splitlines()
    assert len(lines) == 5 and lines[2].split()[:4] == ["mlp/linear_1/w", "40x30", "40x5", "200"]
    assert lines[-1].split()[-1] == condensed.kind
    assert condensed.milliseconds.after <= condensed.milliseconds.before
