"""Every network takes batches whose size is unknown when it is traced."""

import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from tests.conformance.comparison import assert_close


def check(entry: registry.Network, is_training: bool = False) -> None:
    module = entry.build()
    forward = tf.function(
        lambda inputs: entry.call(module, inputs, is_training),
        input_signature=[tf.TensorSpec((None, *entry.shape[1:]), entry.dtype)],
        autograph=False,
    )
    for batch in (1, 2, 5):
        inputs = entry.inputs(batch)
        outputs = forward(inputs)
        assert outputs.shape[0] == batch
        assert_close(outputs, entry.call(module, inputs, is_training))
    static = forward.get_concrete_function().structured_outputs.shape
    assert static[0] is None and None not in static[1:]
    assert forward.experimental_get_tracing_count() == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", registry.NETWORKS, ids=registry.name)
def test_network_takes_unknown_batches(entry: registry.Network) -> None:
    check(entry)


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", [entry for entry in registry.NETWORKS if entry.takes], ids=registry.name)
def test_network_takes_unknown_batches_in_training(entry: registry.Network) -> None:
    check(entry, is_training=True)


class FixedBatch(snt.Module):
    """Needs the size of the batch when it is traced."""

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.concat([inputs[index : index + 1] for index in range(inputs.shape[0])], axis=0)


def test_a_module_that_unrolls_the_batch_breaks_the_law() -> None:
    with pytest.raises(TypeError):
        check(registry.Network(FixedBatch, (2, 3)))
