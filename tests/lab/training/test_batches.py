"""The loop over an epoch's batches, as compiled."""

import tensorflow as tf

from weirdonetworks.lab.training.batches import over_batches


def sums(order: tf.Tensor, *end: tf.Tensor) -> tf.Tensor:
    return over_batches(lambda index, batch: tf.cast(tf.reduce_sum(batch) + index, tf.float32), order, 4, [], *end)


def test_the_number_of_steps_of_a_whole_epoch_is_known_to_the_compiler() -> None:
    order, end = tf.range(20), tf.constant(5)
    compiled = tf.function(sums, jit_compile=True, autograph=False)
    whole, part = (compiled.experimental_get_compiler_ir(*given)("optimized_hlo") for given in ([order], [order, end]))
    assert '"known_trip_count":{"n":"5"}' in whole
    assert "known_trip_count" not in part
    assert sums(order).numpy().tolist() == sums(order, end).numpy().tolist() == [6.0, 23.0, 40.0, 57.0, 74.0]
    assert sums(order, end - 3).numpy().tolist() == [6.0, 23.0, 0.0, 0.0, 0.0]
