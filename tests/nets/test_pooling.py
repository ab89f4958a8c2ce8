"""Tests of poolings: their formulas, permutation invariance, and masks."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests.conformance.comparison import assert_close
from weirdonetworks.nets import pooling

Function = Callable[[np.ndarray], np.ndarray]


def central(values: np.ndarray, order: int) -> np.ndarray:
    return np.mean((values - values.mean(axis=-2, keepdims=True)) ** order, axis=-2)


def product_sums(values: np.ndarray, order: int) -> np.ndarray:
    """Sums all products of so many items, one by one."""
    chosen = itertools.combinations(range(values.shape[-2]), order)
    return sum((values[..., list(each), :].prod(axis=-2) for each in chosen), np.zeros_like(values[..., 0, :]))


def joined(parts: Callable[[np.ndarray, int], np.ndarray], orders: range) -> Function:
    return lambda values: np.concatenate([parts(values, order) for order in orders], axis=-1)


def product_means(values: np.ndarray, order: int) -> np.ndarray:
    return product_sums(values, order) / max(math.comb(values.shape[-2], order), 1)


CASES: dict[str, tuple[pooling.Pooling, Function]] = {
    "mean": (pooling.mean, lambda values: values.mean(axis=-2)),
    "sum": (pooling.sum_, lambda values: values.sum(axis=-2)),
    "max": (pooling.maximum, lambda values: values.max(axis=-2)),
    "variance": (pooling.variance, lambda values: values.var(axis=-2)),
    "moments": (
        pooling.named("moments", order=4),
        lambda values: np.concatenate([values.mean(axis=-2), joined(central, range(2, 5))(values)], axis=-1),
    ),
    "power_sums": (
        pooling.named("power_sums", order=3),
        joined(lambda values, order: (values**order).sum(axis=-2), range(1, 4)),
    ),
    "elementary_symmetric": (pooling.named("elementary_symmetric", order=4), joined(product_sums, range(1, 5))),
    "product_means": (
        pooling.named("elementary_symmetric", order=4, normalised=True),
        joined(product_means, range(1, 5)),
    ),
    "log_mean_exp": (
        pooling.log_mean_exp,
        lambda values: special.logsumexp(values, axis=-2) - np.log(values.shape[-2]),
    ),
    "sort": (
        pooling.sorted_items,
        lambda values: -np.sort(-values, axis=-2).reshape(*values.shape[:-2], -1),
    ),
}
MASK = np.array([[True, False, True, True, True, False], [False, True, False, False, False, False]])


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "graph", "xla"])
@pytest.mark.parametrize("name", CASES)
def test_pooling_is_the_formula(name: str, compiled: bool | None) -> None:
    function, formula = CASES[name]
    if compiled is not None:
        signature = [tf.TensorSpec([None, None, 5, 3], tf.float64)]
        function = tf.function(function, input_signature=signature, jit_compile=compiled, autograph=False)
    values = draw(2, 4, 5, 3)
    assert_close(function(tf.constant(values)), formula(values), 1e-12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_few_items(name: str, number: int) -> None:
    function, formula = CASES[name]
    values = draw(4, number, 2)
    result = function(tf.constant(values)).numpy()
    np.testing.assert_allclose(result, formula(values), rtol=1e-12, atol=1e-13)


def change_by_order(function: pooling.Pooling) -> float:
    """The largest change of a function under permutations of the items, over its size."""
    values = draw(3, 6, 2)
    before = function(tf.constant(values)).numpy()
    orders = [np.random.default_rng(seed).permutation(6) for seed in range(10)]
    changes = [np.abs(function(tf.constant(values[:, order])) - before).max() for order in orders]
    return max(changes) / np.abs(before).max()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CASES)
def test_the_order_of_items_does_not_matter(name: str) -> None:
    assert change_by_order(CASES[name][0]) < 1e-12


def test_of_functions_that_are_not_symmetric_it_does() -> None:
    assert change_by_order(lambda values: values[:, 0]) > 0.1
    assert change_by_order(lambda values: tf.reduce_sum(values[:, 1:] * values[:, :-1], axis=1)) > 0.1


def dropped(formula: Function, values: np.ndarray) -> np.ndarray:
    """The formula of the items that `MASK` leaves, set by set."""
    return np.stack([formula(items[mask]) for items, mask in zip(values, MASK, strict=True)])


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("name", sorted(set(CASES) - {"sort"}))
def test_masked_items_are_as_if_dropped(name: str, compiled: bool) -> None:
    function, formula = CASES[name]
    values = draw(2, 6, 3)
    expected = dropped(formula, values)
    pooled = tf.function(function, jit_compile=compiled, autograph=False)
    with pytest.raises(AssertionError):
        assert_close(pooled(tf.constant(values)), expected, 1e-12)
    values[~MASK] = np.nan  # What is not there may be anything.
    assert_close(pooled(tf.constant(values), tf.constant(MASK)), expected, 1e-12)


def test_sorted_items_that_are_not_there_are_zeros_at_the_end() -> None:
    values = draw(2, 6, 3)
    values[~MASK] = np.inf
    result = pooling.sorted_items(tf.constant(values), tf.constant(MASK)).numpy().reshape(2, 6, 3)
    for items, mask, pooled in zip(values, MASK, result, strict=True):
        number = mask.sum()
        np.testing.assert_array_equal(pooled[:number], -np.sort(-items[mask], axis=0))
        assert not pooled[number:].any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_differences_and_none_goes_to_masked_items(name: str, compiled: bool) -> None:
    function, values, step = CASES[name][0], draw(2, 6, 2, seed=1), 1e-6
    mask = tf.constant(MASK)

    def loss(items: tf.Tensor) -> tf.Tensor:
        pooled = function(items, mask)
        return tf.reduce_sum(tf.sin(pooled) * tf.range(1, pooled.shape[-1] + 1, dtype=tf.float64))

    @tf.function(jit_compile=compiled, autograph=False)
    def slopes(items: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(items)
            total = loss(items)
        return tape.gradient(total, items)

    expected = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        moved = np.zeros_like(values)
        moved[index] = step
        expected[index] = (loss(tf.constant(values + moved)) - loss(tf.constant(values - moved))) / (2 * step)
    assert_close(slopes(tf.constant(values)), expected, 1e-7)
    assert not expected[~MASK].any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CASES)
def test_no_item_at_all_gives_zero_and_no_gradient(name: str) -> None:
    function = CASES[name][0]

    @tf.function(autograph=False)
    def run(items: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(items)
            pooled = function(items, mask)
        return pooled, tape.gradient(pooled, items)

    pooled, slopes = run(tf.constant(draw(2, 3, 2)), tf.constant([[False] * 3, [True] * 3]))
    assert not pooled[0].numpy().any() and not slopes[0].numpy().any()
    assert pooled[1].numpy().any() and slopes[1].numpy().any()
    assert np.isfinite(pooled).all() and np.isfinite(slopes).all()


def test_items_that_tie_for_the_largest_share_its_gradient() -> None:
    values = tf.constant([[2.0], [1.0], [2.0]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        largest = pooling.maximum(values)
    np.testing.assert_array_equal(tape.gradient(largest, values), [[0.5], [0.0], [0.5]])


@pytest.mark.slow
def test_large_numbers_do_not_overflow() -> None:
    values = tf.constant(np.full([2000, 1], 3.0), tf.float32)
    means = pooling.elementary_symmetric(values, order=20, normalised=True).numpy()
    np.testing.assert_allclose(means, 3.0 ** np.arange(1, 21), rtol=1e-4)
    assert not np.isfinite(pooling.elementary_symmetric(values, order=20)).all()
    np.testing.assert_allclose(pooling.log_mean_exp(tf.constant([[1e4], [-1e4]])), 1e4 - np.log(2), rtol=1e-7)


def test_elementary_symmetric_polynomials_are_stable_where_newtons_identities_are_not() -> None:
    values, order = 0.5 ** np.arange(16)[:, None], 10
    exact = np.array([float(product_sums(values, k)[0]) for k in range(1, order + 1)])
    sums = [(values**k).sum() for k in range(1, order + 1)]
    newton = [1.0]
    for k in range(1, order + 1):
        newton.append(sum((-1) ** (i - 1) * newton[k - i] * sums[i - 1] for i in range(1, k + 1)) / k)
    found = pooling.elementary_symmetric(tf.constant(values), order=order).numpy()
    assert np.abs(found / exact - 1).max() < 1e-13
    assert np.abs(np.array(newton[1:]) / exact - 1).max() > 1e-10


@pytest.mark.parametrize("normalised", [False, True])
def test_infinite_items_give_the_same_in_any_order(normalised: bool) -> None:
    inf, nan = np.inf, np.nan
    for items, expected in (
        ([inf, 1.0], [inf, inf, 0.0]),
        ([inf, -1.0], [inf, nan, 0.0]),
        ([inf, 0.0, 1.0], [inf, nan, nan]),
        ([inf, 2.0, -2.0], [inf, nan, nan]),
        ([inf, 1e-200, 1e-200, 1e-200], [inf, inf, inf]),
        ([-inf, inf], [nan, nan, 0.0]),
        ([nan, 1.0], [nan, nan, nan]),
    ):
        orders = np.array(list(itertools.permutations(items)))
        values = tf.constant(np.stack([orders, np.ones_like(orders)], axis=-1))
        found = pooling.elementary_symmetric(values, order=3, normalised=normalised).numpy().reshape(-1, 3, 2)
        np.testing.assert_array_equal(found[..., 0], [expected] * len(orders))
        assert np.isfinite(found[..., 1]).all()  # Features are apart.
    masked = pooling.elementary_symmetric(tf.constant([[-1.0], [inf], [2.0]]), tf.constant([False, True, True]))
    np.testing.assert_array_equal(masked, [inf, inf])


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("name", ["mean", "sum", "max", "product", "variance", "log_mean_exp", "power_sums"])
def test_an_item_that_is_nan_is_seen(name: str, compiled: bool) -> None:
    pool = pooling.named(name)
    run = tf.function(pool, jit_compile=True) if compiled else pool
    values = np.full([3, 17, 2], 0.5)
    values[range(3), [0, 5, 16], 0] = np.nan
    found = run(tf.constant(values)).numpy()
    assert np.isnan(found[:, ::2]).all() and np.isfinite(found[:, 1::2]).all()


def test_sums_of_a_few_thousand_items_are_the_plain_ones() -> None:
    values = tf.constant(draw(2, pooling.BLOCK, 3), tf.float32)
    plain = tf.reduce_sum(values, axis=-2)
    np.testing.assert_array_equal(pooling.sum_(values), plain)
    np.testing.assert_array_equal(pooling.mean(values), plain / pooling.BLOCK)
    unknown = tf.function(pooling.sum_, input_signature=[tf.TensorSpec([None, None, 3])])
    for items in (1, 7, 100, pooling.BLOCK):
        np.testing.assert_array_equal(unknown(values[:, :items]), tf.reduce_sum(values[:, :items], axis=-2))


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_sums_in_blocks_are_the_sums(known: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "BLOCK", 4)

    @tf.function(
        input_signature=None if known else [tf.TensorSpec([None, None, 3], tf.float64)],
        jit_compile=compiled,
        autograph=False,
    )
    def run(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = pooling.sum_(values)
        return total, tape.gradient(total, values)

    for items in (4, 5, 11):
        values = draw(2, items, 3)
        total, slopes = run(tf.constant(values))
        assert_close(total, values.sum(axis=1), 1e-14)
        np.testing.assert_array_equal(slopes, np.ones_like(values))


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("value", [1.0, 0.1])
def test_means_over_ten_million_items(value: float, compiled: bool) -> None:
    values = tf.fill([1, 10**7 + 1, 1], value)
    run = tf.function(pooling.mean, jit_compile=True) if compiled else pooling.mean
    for mask in (None, tf.ones([1, 10**7 + 1], tf.bool)):
        np.testing.assert_allclose(run(values, mask), [[value]], rtol=3e-4)
    plain = tf.function(lambda each: tf.reduce_sum(each, axis=1) / each.shape[1], jit_compile=True)
    assert value == 1 or np.abs(plain(values) / value - 1).max() > 1e-3  # A control.


def test_names() -> None:
    values = tf.constant(draw(4, 2))
    for name, function in pooling.POOLINGS.items():
        np.testing.assert_array_equal(pooling.named(name)(values), function(values))
    assert pooling.named(pooling.mean) is pooling.mean
    with pytest.raises(ValueError, match=r"pooling \(='median'\) must be one of mean, sum, product, max"):
        pooling.named("median")
    with pytest.raises(TypeError, match=r"pooling \(=3\) must be a name or a function"):
        pooling.named(3)  # type: ignore[arg-type]


def test_bad_values_are_refused() -> None:
    values = tf.zeros([2, 3, 1])
    with pytest.raises(ValueError, match=r"shape \(3,\) must be \[..., items, features\]"):
        pooling.mean(tf.zeros([3]))
    with pytest.raises(ValueError, match=r"shape \(2, 0, 1\) must have at least one item"):
        pooling.maximum(tf.zeros([2, 0, 1]))
    with pytest.raises(ValueError, match="type int32 must be floating point"):
        pooling.sum_(tf.zeros([2, 1], tf.int32))
    with pytest.raises(TypeError, match="mask of type float32 must be bool"):
        pooling.mean(values, tf.ones([2, 3]))
    with pytest.raises(ValueError, match=r"mask of shape \(2, 4\) must have shape \(2, 3\)"):
        pooling.mean(values, tf.ones([2, 4], tf.bool))
    with pytest.raises(ValueError, match="leaves none in set 1 of the batch"):
        pooling.mean(values, tf.constant([[True] * 3, [False] * 3]))
    with pytest.raises(ValueError, match=r"order \(=0\) must be at least 1"):
        pooling.power_sums(values, order=0)
    unknown = tf.function(pooling.sorted_items, input_signature=[tf.TensorSpec([2, None, 1])])
    with pytest.raises(ValueError, match="known number of items"):
        unknown.get_concrete_function()


@pytest.mark.parametrize("pool", pooling.POOLINGS)
def test_poolings_take_arrays_and_lists_and_name_what_they_refuse(pool: str) -> None:
    values = [[1.0, 2.0], [3.0, 5.0]]
    found = [pooling.named(pool)(given).numpy().tolist() for given in (values, np.array(values, np.float32))]
    assert found[0] == found[1]
    for wrong in (None, object(), [[1.0], [2.0, 3.0]], {}, "x"):
        with pytest.raises((TypeError, ValueError), match=r"^values .*must be"):
            pooling.named(pool)(wrong)


@pytest.mark.parametrize("pool", ["moments", "power_sums", "elementary_symmetric"])
def test_absurd_orders_are_refused(pool: str) -> None:
    with pytest.raises(ValueError, match=r"order \(=1000000000\) must be at most 1000"):
        pooling.named(pool, order=10**9)(tf.ones([2, 1]))
