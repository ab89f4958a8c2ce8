"""Tests of the free abelian encoder of sets: additivity, the nearest codewords, gradients, and the word metric."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.comparison import assert_close
from weirdonetworks.nets.sets.free_abelian import FreeAbelianEncoder, word_distance


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=["float32", "float64"])
def test_encoding_is_exactly_additive(dtype: tf.DType) -> None:
    encoder = FreeAbelianEncoder(20, 7)
    for seed in range(5):
        one, other = (tf.constant(draw(3, size, 4, seed=seed + size), dtype) for size in (100, 333))
        both = tf.concat([one, other], axis=1)
        np.testing.assert_array_equal(encoder.counts(both), encoder.counts(one) + encoder.counts(other))
        np.testing.assert_array_equal(encoder(both), encoder(one) + encoder(other))
        assert encoder(both).numpy().all()


def test_without_rounded_embeddings_it_is_not() -> None:
    encoder = FreeAbelianEncoder(20, 7)
    one, other = (encoder.counts(tf.constant(draw(3, size, 4, seed=size), tf.float32)) for size in (100, 333))
    embeddings = encoder.embeddings.numpy()
    sums = (one.numpy() + other.numpy()) @ embeddings, one.numpy() @ embeddings + other.numpy() @ embeddings
    assert not np.array_equal(*sums)
    assert np.abs(encoder.embed(one).numpy() - one.numpy() @ embeddings).max() < 100 * 2.0**-13


def test_counts_are_of_the_nearest_codewords() -> None:
    codewords, inputs = draw(6, 3), draw(2, 9, 3, seed=1)
    encoder = FreeAbelianEncoder(codewords, 4)
    nearest = np.argmin(((inputs[:, :, None] - codewords) ** 2).sum(axis=3), axis=2)
    counts = encoder.counts(tf.constant(inputs)).numpy()
    np.testing.assert_array_equal(counts, [np.bincount(row, minlength=6) for row in nearest])
    assert [variable.name.split("/")[-1] for variable in encoder.trainable_variables] == ["embeddings:0"]
    np.testing.assert_array_equal(encoder.counts(tf.constant(inputs[:, ::-1])), counts)
    mask = np.arange(9) < np.array([[9], [4]])
    np.testing.assert_array_equal(
        encoder.counts(tf.constant(inputs), mask)[1], np.bincount(nearest[1, :4], minlength=6)
    )


@pytest.mark.slow
@pytest.mark.parametrize("further", [(), (0.0,), (-30000.0,)], ids=["", "and 0", "and a far one"])
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_codewords_far_from_the_origin_are_told_apart(further: tuple[float, ...], compiled: bool) -> None:
    encoder = FreeAbelianEncoder([[10000.0], [10001.0], *([each] for each in further)], 3)
    items = tf.constant([[[10000.2], [10000.4], [10000.6], [10000.9]]])
    counts = tf.function(encoder.counts, jit_compile=compiled)(items)
    assert counts.numpy().tolist() == [[2.0, 2.0, *(0.0 for _ in further)]]


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "graph", "xla"])
def test_among_codewords_far_apart_the_nearest_and_the_gradient_are_those_by_subtraction(compiled: bool | None) -> None:
    codewords = np.array([[0.0], [1e9], [1e9 + 1]])
    encoder, inputs = FreeAbelianEncoder(codewords, 2), tf.constant(1e9 + np.linspace(0.02, 0.97, 25)[:, None, None])

    def both() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            counts = encoder.counts(inputs)
        return counts, tape.gradient(counts, inputs, tf.constant([[0.0, 1.0, 3.0]] * 25, tf.float64))

    counts, slopes = both() if compiled is None else tf.function(both, jit_compile=compiled)()
    exact = np.square(inputs.numpy()[:, 0] - codewords[:, 0])
    np.testing.assert_array_equal(counts.numpy().argmax(axis=1), exact.argmin(axis=1))
    of, around = inputs.numpy()[:, 0] - codewords.mean(), codewords[:, 0] - codewords.mean()
    products = around**2 - 2 * of * around
    assert not np.array_equal(products.argmin(axis=1), exact.argmin(axis=1))  # A control.
    share = 1 / (1 + np.exp(exact[:, 2] - exact[:, 1]))  # Of the last, which has all of the slope but for this one.
    assert_close(slopes[:, 0, 0], (3 - 1) * 2 * share * (1 - share), 1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_vector_without_a_nearest_codeword_makes_the_counts_of_its_set_unknown(wrong: float) -> None:
    encoder, inputs = FreeAbelianEncoder([[0.0], [1.0]], 2), tf.constant([[[wrong], [1.0]], [[0.2], [1.0]]])
    assert np.isnan(encoder.counts(inputs)[0]).all() and np.isnan(encoder(inputs)[0]).all()
    np.testing.assert_array_equal(encoder.counts(inputs)[1], [1.0, 1.0])
    np.testing.assert_array_equal(encoder.counts(inputs, [[False, True], [True, True]])[0], [0.0, 1.0])


def test_items_can_be_taken_away() -> None:
    encoder, inputs = FreeAbelianEncoder(5, 3), tf.constant(draw(2, 4, 2))
    twice = tf.concat([inputs, inputs], axis=1)
    nothing = encoder.counts(twice, multiplicities=[[1] * 4 + [-1] * 4] * 2).numpy()
    assert not nothing.any()
    np.testing.assert_array_equal(encoder(inputs, multiplicities=[[3] * 4] * 2), 3 * encoder(inputs))


def test_counts_to_embed_may_be_integers() -> None:
    encoder = FreeAbelianEncoder(2, 3)
    counts = encoder.counts(tf.constant(draw(1, 4, 2)))
    for same in (tf.cast(counts, tf.int64), counts.numpy().astype(int).tolist()):
        np.testing.assert_array_equal(encoder.embed(same), encoder.embed(counts))


def test_gradient_goes_straight_through() -> None:
    encoder, inputs, upstream = FreeAbelianEncoder(5, 3, temperature=0.7), tf.constant(draw(2, 4, 2)), draw(2, 3)
    encoder(inputs)
    variables = [encoder.codewords, encoder.embeddings]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(encoder(inputs) * upstream)
    found = tape.gradient(loss, [inputs, *variables])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        squares = tf.reduce_sum((inputs[:, :, None] - encoder.codewords) ** 2, axis=3)
        smooth = tf.reduce_sum(tf.nn.softmax(-squares / 0.7), axis=1)
        rounded = np.round(encoder.embeddings.numpy() * 2**27) / 2**27
        loss = tf.reduce_sum(tf.matmul(smooth, rounded) * upstream)
    expected = tape.gradient(loss, [inputs, encoder.codewords])
    assert_close(found[0], expected[0], 1e-10)
    assert_close(found[1], expected[1], 1e-10)
    assert_close(found[2], encoder.counts(inputs).numpy().T @ upstream, 1e-10)


def test_word_distance_is_the_shortest_way() -> None:
    rng = np.random.default_rng(0)
    one, other, third = (rng.integers(-5, 6, size=(50, 4)).astype(float) for _ in range(3))
    distances = word_distance(tf.constant(one), tf.constant(other)).numpy()
    np.testing.assert_array_equal(distances, np.abs(one - other).sum(axis=1))
    np.testing.assert_array_equal(word_distance(tf.constant(one + third), tf.constant(other + third)), distances)
    encoder, inputs = FreeAbelianEncoder([[0.0], [1.0], [2.0]], 2), tf.constant([[[0.1], [0.9]], [[0.1], [2.2]]])
    counts = encoder.counts(inputs)
    assert word_distance(counts[0], counts[1]).numpy() == 2  # One vector out, one in.


@pytest.mark.parametrize("dtype", [tf.int8, tf.uint8, tf.int32, tf.uint64, tf.float16, tf.bfloat16], ids=str)
def test_word_distance_holds_what_the_type_does_not(dtype: tf.DType) -> None:
    least, most = (-125, 125) if dtype == tf.int8 else (0, 250)
    if dtype == tf.int32:
        least, most = -(2**31), 2**31 - 1
    for one, other in ((least, most), (most, least)):
        given = (tf.constant([each], dtype) for each in (one, other))
        assert int(word_distance(*given)) == most - least
    many = word_distance(tf.ones([3000], dtype), tf.zeros([3000], dtype))
    assert float(many) == pytest.approx(3000, rel=2.0**-8)


def test_word_distance_names_what_it_cannot_subtract() -> None:
    for one, other in (([1, 2], [1.0, 2.0]), ([True], [False]), (["a"], ["b"])):
        with pytest.raises(
            TypeError, match=r"counts of type .* and others of type .* must be real numbers of one type"
        ):
            word_distance(one, other)


def test_bad_generators_are_refused() -> None:
    for options, message in (
        ((0, 2), r"generators \(=0\) must be at least 1"),
        (([1.0, 2.0], 2), r"generators of shape \(2,\) must be \[n, features\]"),
        (([[np.nan]], 2), "all finite"),
        ((3, 0), r"output_size \(=0\)"),
        ((3, 2, -1.0), r"temperature \(=-1.0\) must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            FreeAbelianEncoder(*options)
    with pytest.raises(TypeError, match="generators"):
        FreeAbelianEncoder(2.5, 2)
    with pytest.raises(ValueError, match="must be called once before it has embeddings"):
        FreeAbelianEncoder(3, 2).embed(tf.zeros([1, 3]))
    encoder = FreeAbelianEncoder([[0.0, 1.0]], 2)
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3\) must have 2 features, as the network was made for"):
        encoder(tf.zeros([1, 2, 3]))
    encoder(tf.zeros([1, 2, 2]))
    with pytest.raises(ValueError, match=r"counts of shape \(1, 2\) must be \[batch, 1\]"):
        encoder.embed(tf.zeros([1, 2]))
    with pytest.raises(ValueError, match="at least one item"):
        encoder(tf.zeros([1, 0, 2]))
    with pytest.raises(ValueError, match="leaves none in set 0"):
        encoder(tf.zeros([1, 2, 2]), mask=[[False, False]])
    with pytest.raises(TypeError, match="multiplicities of type float32 must be integers"):
        encoder(tf.zeros([1, 2, 2]), multiplicities=[[0.5, 1.0]])
    with pytest.raises(ValueError, match=r"multiplicities of shape \(2,\)"):
        encoder(tf.zeros([1, 2, 2]), multiplicities=[1, 1])
