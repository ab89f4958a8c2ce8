"""The precision in which networks are trained: TF32 switched off, and bfloat16 with float32 weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

import weirdonetworks
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.arithmetic import InBfloat16
from weirdonetworks.lab.training.compiled import Compiled
from weirdonetworks.lab.training.optimizers import Momentum
from weirdonetworks.lab.training.trainer import Resident, Trainer
from weirdonetworks.measure.precision import variables_of

COUNT = 3


def trainer_in(precision: str, splits: dict[str, Resident], make: Callable[[], Any], **options: Any) -> Trainer:
    tf.random.set_seed(1)

    def objective(network: Any) -> objectives.Objective:
        return objectives.classification(network, lambda images: tf.cast(images, tf.float32) / 255)

    return Trainer(
        make(), Momentum(), objective, splits["train"], batch_size=32, execution="graph", precision=precision, **options
    )


def network() -> snt.Module:
    return snt.Sequential([snt.Flatten(), weirdonetworks.PolynomialLinear(4, degree=1), tf.nn.relu, snt.Linear(10)])


def one_epoch(trainer: Trainer) -> Any:
    order = np.arange(len(trainer.train))
    copies = trainer.count
    orders, seeds = (order, [1, 2]) if copies is None else (np.stack([order] * copies), [[1, 2]] * copies)
    return trainer.epoch(orders, np.full(trainer.steps_per_epoch, 0.1), seeds)["loss"]


@pytest.mark.slow
def test_bfloat16_rounds_the_network_and_leaves_weights_in_float32(splits: dict[str, Resident]) -> None:
    trainers = {each: trainer_in(each, splits, network) for each in ("tf32", "highest", "bfloat16")}
    losses = {name: one_epoch(trainer) for name, trainer in trainers.items()}
    # On a processor there is no TF32.
    np.testing.assert_array_equal(losses["tf32"], losses["highest"])
    relative = np.abs(losses["bfloat16"] / losses["tf32"] - 1)
    assert relative[0] > 2.0**-20 and relative.max() < 2.0**-5
    weights = variables_of(trainers["bfloat16"].network)
    assert {each.dtype for each in weights} == {tf.float32}
    # Steps below the spacing of bfloat16 are not rounded away.
    assert all(np.any(each.numpy() != tf.cast(each, tf.bfloat16).numpy().astype(np.float32)) for each in weights)


@pytest.mark.slow
def test_copies_in_bfloat16_train_as_a_single_network(splits: dict[str, Resident]) -> None:
    single = one_epoch(trainer_in("bfloat16", splits, network))
    together = one_epoch(trainer_in("bfloat16", splits, network, count=COUNT))
    full = one_epoch(trainer_in("tf32", splits, network, count=COUNT))
    np.testing.assert_allclose(together, np.stack([single] * COUNT), rtol=2.0**-8)
    assert np.abs(together - full).max() > 1e-5


def test_networks_that_cannot_compute_in_bfloat16_are_refused_in_one_line(splits: dict[str, Resident]) -> None:
    class Normed(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = snt.BatchNorm(True, True), snt.Linear(10)

        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return self.linear(self.norm(snt.flatten(images), is_training=True))

    class Held(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)])
            self.last = snt.Linear(10)

        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return self.last(self.inner(images))

    for make, cause in (
        (Normed, "which does not compute in bfloat16: "),
        (Held, 'Keras model, whose layers have a precision of their own: build it with dtype="mixed_bfloat16"'),
    ):
        with pytest.raises(UsageError, match=r"^precision \(=bfloat16\) must be tf32 or highest .*" + cause) as caught:
            trainer_in("bfloat16", splits, make)
        assert "\n" not in str(caught.value)


def test_what_else_a_network_offers_is_not_taken_for_bfloat16() -> None:
    with pytest.raises(AttributeError):
        InBfloat16(network()).submodules  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize("is_off", [True, False])
def test_tf32_is_off_while_a_program_runs_in_full_float32(is_off: bool) -> None:
    def enabled(_: Any) -> Any:
        return np.float32(tf.config.experimental.tensor_float_32_execution_enabled())

    program = Compiled(lambda x: tf.numpy_function(enabled, [x], tf.float32), jit_compile=False, in_full_float32=is_off)
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        assert bool(program(tf.constant(0.0)).numpy()) != is_off
        assert tf.config.experimental.tensor_float_32_execution_enabled()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def test_programs_with_and_without_tf32_are_compiled_apart() -> None:
    def double(x: tf.Tensor) -> tf.Tensor:
        return 2.0 * x

    one, other, again = (Compiled(double, jit_compile=False, in_full_float32=full) for full in (True, False, True))
    programs = [each._trace((tf.constant(1.0),))[0] for each in (one, other, again)]
    assert programs[0] is programs[2] and programs[0] is not programs[1]


def test_the_id_of_runs_changes_with_another_precision_alone() -> None:
    assert "precision" not in TrainingConfig().affecting("training")
    assert TrainingConfig().affecting("nothing")["precision"] == "tf32"
    assert TrainingConfig(precision="bfloat16").affecting("training")["precision"] == "bfloat16"
