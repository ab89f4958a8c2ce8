"""Inputs of a wrong rank, or without a size that a network must know, are refused by a `ValueError` that shows them."""

import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weirdonetworks.nets.base_module import BaseModule
from weirdonetworks.nets.learned_augmentation import LearnedAugmentation
from weirdonetworks.nets.polynomial.invariant import InvariantMLP
from weirdonetworks.nets.synchronous import SynchronousMLP

Shape = tuple[int | None, ...]


def refused_shapes(entry: registry.Network) -> list[Shape]:
    """The shapes that an entry's network must refuse: other ranks, and each size unknown that it must know."""
    if entry.elementwise:
        return []
    ranks = [entry.shape[:1]] if entry.flattens else [entry.shape[:-1], (*entry.shape, 2)]
    axes = [axis for axis in range(1, len(entry.shape)) if axis not in entry.free_axes]
    return [*ranks, *(with_unknown(entry.shape, axis) for axis in axes)]


def with_unknown(shape: tuple[int, ...], axis: int) -> Shape:
    return (*shape[:axis], None, *shape[axis + 1 :])


def trace(entry: registry.Network, shape: Shape) -> tf.TensorShape:
    """Traces a new module on inputs of a shape; returns the outputs' shape."""
    module = entry.construct()
    forward = tf.function(lambda inputs: entry.call(module, inputs), autograph=False)
    return forward.get_concrete_function(tf.TensorSpec(shape, entry.dtype)).structured_outputs.shape


REFUSED = [(entry, shape) for entry in registry.NETWORKS for shape in refused_shapes(entry)]
TYPED = BaseModule | InvariantMLP | LearnedAugmentation | SynchronousMLP
OF_ONE_TYPE = [entry for entry in registry.NETWORKS if issubclass(entry.module, TYPED)]
ELEMENTWISE = [entry for entry in registry.NETWORKS if entry.elementwise]
FREE = [(entry, axis) for entry in registry.NETWORKS for axis in entry.free_axes]


@pytest.mark.parametrize(("entry", "shape"), REFUSED, ids=[f"{entry.name}-{shape}" for entry, shape in REFUSED])
def test_bad_shape_is_refused(entry: registry.Network, shape: Shape) -> None:
    with pytest.raises(ValueError, match="shape"):
        trace(entry, shape)


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", OF_ONE_TYPE, ids=registry.name)
def test_another_type_than_at_the_first_call_is_refused(entry: registry.Network) -> None:
    module = entry.build()
    with pytest.raises(ValueError, match="inputs of type float64 must be float32, as the weights are"):
        entry.call(module, tf.cast(entry.inputs(), tf.float64))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("entry", "axis"), FREE, ids=[f"{entry.name}-{axis}" for entry, axis in FREE])
def test_free_axis_may_be_unknown(entry: registry.Network, axis: int) -> None:
    shape = trace(entry, with_unknown(entry.shape, axis))
    assert shape[0] == entry.shape[0] and shape[-1] is not None


@pytest.mark.parametrize("entry", ELEMENTWISE, ids=registry.name)
def test_an_elementwise_network_takes_every_shape(entry: registry.Network) -> None:
    for shape in ((), (3,), (2, None), (2, 3, 1, 2)):
        assert trace(entry, shape).as_list() == list(shape)


def test_the_law_asks_for_a_rank_and_a_size_of_each_network() -> None:
    for entry in registry.NETWORKS:
        if entry.elementwise:
            continue
        shapes = refused_shapes(entry)
        assert any(None in shape for shape in shapes), entry.name
        assert any(len(shape) != len(entry.shape) for shape in shapes), entry.name


class Anything(snt.Module):
    """Takes what comes."""

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.identity(inputs)


@pytest.mark.parametrize("shape", refused_shapes(registry.Network(Anything, (2, 3))), ids=str)
def test_a_module_that_takes_anything_breaks_the_law(shape: Shape) -> None:
    with pytest.raises(pytest.fail.Exception):
        test_bad_shape_is_refused(registry.Network(Anything, (2, 3)), shape)
