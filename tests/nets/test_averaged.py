"""Tests of averaging over any choice of elements: pooling, laws of symmetry, and types."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.algebra import (
    PermutationGroup,
    coordinates,
    cyclic_group,
    image_dihedral,
    image_rotations,
    items,
    octahedral_rotations,
    pixels,
    regular,
    transforms,
)
from weirdonetworks.nets.averaged import Averaged, Canonicalise, FrameAverage, LocalPool, OrbitAverage, Symmetrized
from weirdonetworks.nets.frames import SortFrame, Standard, TurnFrame
from weirdonetworks.nets.learned_augmentation import LearnedAugmentation, LearnedRange
from weirdonetworks.nets.orbits import ListedElements, Orbit
from weirdonetworks.nets.synchronous import SynchronousMLP
from weirdonetworks.testing import assert_equivariant, assert_invariant

TURNS = image_rotations(2, 2)
MIRROR = PermutationGroup([[1, 0, 3, 2]])


def mlp() -> snt.Module:
    return snt.Sequential([snt.Flatten(), snt.nets.MLP([8, 3], activation=tf.tanh)])


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


# Elements, the action that the network is invariant under, and the shape of an input.
INVARIANT: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "items": (items(3), items(3), (3, 2)),
    "a group": (image_rotations(4, 4), pixels(), (4, 4, 1)),
    "pixels": (pixels(image_dihedral(2, 2)), pixels(image_dihedral(2, 2)), (5, 5, 2)),
    "group maps": (pixels() * regular(TURNS), pixels() * regular(TURNS), (3, 3, 4, 2)),
    "vectors": (coordinates(octahedral_rotations()), coordinates(octahedral_rotations()), (2, 3)),
    "turns of images": ([transforms.rotation(4, 4, 90 * k) for k in range(4)], pixels(), (4, 4, 1)),
    "a ball that is the group": (ListedElements(items(4), items(4).ball(20)), items(4), (4, 2)),
    "a frame of turns": (TurnFrame(), pixels(), (4, 4, 2)),
    "a frame of mirror images": (TurnFrame(pixels(MIRROR)), pixels(MIRROR), (5, 5, 1)),
    "a frame of sets": (SortFrame(), items(4), (4, 2)),
    "the sorted order": (Standard(SortFrame()), items(4), (4, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "moments"])
@pytest.mark.parametrize("name", INVARIANT)
def test_network_is_invariant(name: str, pooling: str) -> None:
    elements, action, shape = INVARIANT[name]
    inputs = draw(4, *shape)
    assert_invariant(Averaged(mlp(), elements, pooling), inputs, action)
    with pytest.raises(AssertionError, match="must be invariant"):
        assert_invariant(mlp(), inputs, action)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["items", "a group", "group maps", "vectors"])
def test_values_at_the_elements_follow_the_group_from_the_right(name: str) -> None:
    elements, _, shape = INVARIANT[name]
    inputs = draw(4, *shape)
    group = elements if isinstance(elements, PermutationGroup) else elements.group
    network = Averaged(mlp(), elements, output="equivariant")
    assert_equivariant(network, inputs, elements, regular(group, right=True))
    if name != "group maps":  # Whose group commutes, up to the inverse.
        with pytest.raises(AssertionError, match="must be equivariant"):
            assert_equivariant(network, inputs, elements, regular(group))


@pytest.mark.slow
def test_some_elements_do_not_do() -> None:
    for elements in (ListedElements(items(4), items(4).ball(1)), Orbit(items(4), limit=3, samples=5)):
        with pytest.raises(AssertionError, match="must be invariant"):
            assert_invariant(Averaged(mlp(), elements), draw(4, 4, 2), items(4))


def test_one_number_each_will_do() -> None:
    inputs, weights = tf.constant(draw(5, 3, 2)), tf.constant(draw(6))
    network = lambda sets: tf.tanh(tf.linalg.matvec(tf.reshape(sets, [-1, 6]), weights))  # noqa: E731
    wide = lambda sets: network(sets)[:, None]  # noqa: E731
    for pooling in ("mean", "max", "moments"):
        of_numbers = Averaged(network, items(3), pooling)(inputs)
        of_features = Averaged(wide, items(3), pooling)(inputs)
        assert of_numbers.shape == ([5, 2] if pooling == "moments" else [5])
        assert_close(tf.reshape(of_numbers, [-1]), tf.reshape(of_features, [-1]), 1e-12)
    values = Averaged(network, items(3), output="equivariant")(inputs)
    assert values.shape == [5, 6]
    assert_close(values, Averaged(wide, items(3), output="equivariant")(inputs)[..., 0], 1e-12)


def test_axes_before_the_features_stay_where_they_are() -> None:
    inputs = tf.constant(draw(2, 4, 4, 3))
    network = snt.Conv2D(5, 3)
    each = Averaged(network, pixels(), output="equivariant")(inputs)
    images = [network(tf.constant(np.rot90(inputs.numpy(), k, (1, 2)).copy())) for k in range(4)]
    assert_close(each, tf.stack(images, axis=1), 1e-12)
    assert_close(Averaged(network, pixels())(inputs), sum(images) / 4, 1e-12)


# The error that each type may make.
TYPES = {tf.float16: 0.01, tf.bfloat16: 0.05, tf.float64: 1e-10}
CHOICES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Averaged": (lambda: Averaged(mlp(), items(3)), (3, 2)),
    "OrbitAverage": (lambda: OrbitAverage(mlp(), coordinates(octahedral_rotations()), "max"), (2, 3)),
    "of images": (lambda: OrbitAverage(mlp(), [transforms.rotation(4, 4, a, fill=0.5) for a in (0, 30)]), (4, 4, 1)),
    "LocalPool": (lambda: LocalPool(mlp(), cyclic_group(6), 1), (6,)),
    "Symmetrized": (lambda: Symmetrized(mlp(), "product"), (3, 2)),
    "Canonicalise": (lambda: Canonicalise(mlp(), TurnFrame()), (3, 3, 1)),
    "FrameAverage": (lambda: FrameAverage(mlp(), SortFrame()), (3, 2)),
    "LearnedAugmentation": (lambda: LearnedAugmentation(mlp(), 0.1, width=0.5), (30, 30, 1)),
    "SynchronousMLP": (lambda: SynchronousMLP(cyclic_group(6), [5], [3]), (6,)),
    "SynchronousMLP first": (lambda: SynchronousMLP(cyclic_group(6), [5], [3], position="first"), (6,)),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_what_comes_in_another_type_goes_out_in_it(name: str, dtype: tf.DType) -> None:
    make, shape = CHOICES[name]
    network, reference = make(), make()
    inputs = tf.cast(draw(3, *shape), dtype)  # What the type holds of them.
    outputs = network(inputs, is_training=False)
    assert outputs.dtype == dtype
    reference(tf.cast(inputs, tf.float64), is_training=False)
    for mine, exact in zip(network.trainable_variables, reference.trainable_variables, strict=True):
        exact.assign(tf.cast(mine, tf.float64))
    expected = reference(tf.cast(inputs, tf.float64), is_training=False)
    assert_close(tf.cast(outputs, tf.float64), expected, TYPES[dtype])


@pytest.mark.parametrize("name", CHOICES)
def test_networks_made_in_float32_compute_in_half_precision_and_refuse_float64(name: str) -> None:
    make, shape = CHOICES[name]
    network, inputs = make(), tf.cast(draw(3, *shape), tf.bfloat16)
    expected = network(tf.cast(inputs, tf.float32), is_training=False)
    outputs = network(inputs, is_training=False)
    assert outputs.dtype == tf.bfloat16
    assert_close(tf.cast(outputs, tf.float32), expected, TYPES[tf.bfloat16])
    with pytest.raises(ValueError, match="inputs of type float64 must be float32, as the weights are"):
        network(tf.cast(inputs, tf.float64))


def test_initialisers_reach_all_layers() -> None:
    initialisers = {"w_init": snt.initializers.Constant(2), "b_init": snt.initializers.Ones()}
    network = SynchronousMLP(cyclic_group(6), [5], [3], **initialisers)
    network(tf.ones([2, 6]))
    assert all((layer.w.numpy() == 2).all() and (layer.b.numpy() == 1).all() for layer in network.layers)


def test_widths_are_learned_through_any_average() -> None:
    network = Averaged(mlp(), LearnedRange(0.1, ["rotation"]))
    network(tf.ones([2, 4, 4, 1]), is_training=True, seed=(1, 2))
    assert any(each is network.elements.raw_widths for each in network.trainable_variables)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"is_training \(=None\) must be given"):
        network(tf.ones([2, 4, 4, 1]))


def test_a_checkpoint_has_the_widths_where_it_had_them() -> None:
    network = LearnedAugmentation(mlp(), 0.1, ["rotation"])
    network(tf.ones([2, 4, 4, 1]), is_training=False)
    assert network.raw_widths is network.elements.raw_widths
    assert network.trainable_variables[0].name == "learned_augmentation/raw_widths:0"
    assert len(network.trainable_variables) == 5


@pytest.mark.parametrize("elements", [3, "C4", None, [[1, 0]]])
def test_what_gives_no_elements_is_refused(elements: Any) -> None:
    with pytest.raises(TypeError, match=r"elements .* must be an Action, such as items"):
        Averaged(mlp(), elements)


def test_a_class_is_no_elements() -> None:
    with pytest.raises(TypeError, match=r"must be an object: construct it, as in SortFrame\(\)"):
        Averaged(mlp(), SortFrame)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (lambda x: tf.concat([x, x], axis=0), r"outputs of shape \(24, 3, 2\) for inputs of shape \(12, 3, 2\)"),
        (lambda x: x[:1, 0], r"outputs of shape \(1, 2\)"),
        (lambda x: None, "a NoneType"),
        (lambda x: {"one": x, "other": x}, "a dict"),
    ],
)
def test_a_network_without_an_output_for_each_input_is_refused(network: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"network gives {told}.* with a row for each input"):
        Averaged(network, items(3))(tf.ones([2, 3, 2]))


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (tf.RaggedTensor.from_row_splits, r"must be a dense tensor: pass inputs\.to_tensor\(\)"),
        (
            lambda values, _: tf.sparse.from_dense(values),
            r"must be a dense tensor: pass tf\.sparse\.to_dense\(inputs\)",
        ),
        (
            lambda values, _: tf.keras.Input([3, 2]),
            r"is a symbolic tensor of Keras: .* weirdonetworks\.keras\.Layer\(module\)",
        ),
    ],
)
def test_inputs_that_are_no_dense_tensor_are_refused(inputs: Callable[..., Any], told: str) -> None:
    with pytest.raises(TypeError, match=f"inputs .*{told}"):
        Averaged(mlp(), items(3))(inputs(tf.ones([3, 3, 2]), [0, 1, 3]))


def test_a_keras_model_is_told_that_it_is_trained() -> None:
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.BatchNormalization()])
    network = Averaged(model, items(3), takes=["is_training"])
    inputs = tf.random.stateless_normal([4, 3, 2], seed=[0, 0])
    network(inputs, is_training=False)
    before = model.layers[1].moving_mean.numpy()
    network(inputs, is_training=True)
    assert np.abs(model.layers[1].moving_mean.numpy() - before).max() > 1e-3
    before = model.layers[1].moving_mean.numpy()
    network(inputs, is_training=False)
    assert (model.layers[1].moving_mean.numpy() == before).all()


class OwnFlag(tf.keras.Model):
    """A Keras model that takes the flag by another name than Keras's."""

    def call(self, inputs: tf.Tensor, is_training: bool) -> tf.Tensor:
        return tf.fill(tf.shape(inputs)[:1], 1.0 if is_training else 0.0)


def test_a_keras_model_with_a_flag_of_its_own_is_given_that() -> None:
    network = Averaged(OwnFlag(), items(3), takes=["is_training"])
    assert [network(tf.ones([1, 3, 2]), is_training=flag).numpy().tolist() for flag in (True, False)] == [[1.0], [0.0]]
