"""Tests of graphs estimated by a linear denoiser, against optima, regressions and grids counted by hand."""

import numpy as np
import pytest

from weirdonetworks.measure import topology

N = 6


def chain_examples(count: int = 40_000) -> np.ndarray:
    """Draws from a Gaussian chain: given all others, each variable depends on the next and the one before only."""
    precision = 2.0 * np.eye(N) - 0.9 * (np.eye(N, k=1) + np.eye(N, k=-1))
    return np.random.default_rng(0).multivariate_normal(np.zeros(N), np.linalg.inv(precision), count)


def test_denoiser_is_the_optimum() -> None:
    examples, noise = chain_examples(500), 0.3
    moments = examples.T @ examples / len(examples)

    def loss(weights: np.ndarray) -> float:
        error = (weights - np.eye(N)) @ moments @ (weights - np.eye(N)).T
        return float(np.trace(error) + noise * np.square(weights).sum())

    best = topology.denoiser(examples, noise)
    generator = np.random.default_rng(1)
    for _ in range(50):
        assert loss(best + 1e-3 * generator.normal(size=(N, N))) > loss(best)
    # Noise on the inputs costs what the ridge does.
    noisy = np.repeat(examples, 400, axis=0)
    restored = (noisy + generator.normal(scale=noise**0.5, size=noisy.shape)) @ best
    assert np.square(restored - noisy).sum(axis=1).mean() == pytest.approx(loss(best), rel=5e-3)


def test_standardised_variables_have_mean_0_and_variance_1() -> None:
    examples = np.random.default_rng(8).integers(0, 256, (50, N)).astype(np.uint8)
    examples[:, 2] = 77
    found = topology.standardised(examples * 0.1)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(found.var(axis=0), [1, 1, 0, 1, 1, 1])
    assert not found[:, 2].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_denoiser_takes_pixels_of_any_type(dtype: type) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (50, N))
    expected = topology.denoiser(pixels.astype(np.float64), 30.0)
    np.testing.assert_allclose(topology.denoiser(pixels.astype(dtype), 30.0), expected, rtol=1e-12)


def test_partial_correlations_are_those_of_regressions() -> None:
    examples, noise = chain_examples(2000), 0.2
    found = topology.partial_correlations(topology.denoiser(examples, noise))
    moments = examples.T @ examples / len(examples) + noise * np.eye(N)
    for i in range(N):
        for j in range(i):
            others = [k for k in range(N) if k not in (i, j)]
            inside, across = moments[np.ix_(others, others)], moments[np.ix_(others, (i, j))]
            rest = moments[np.ix_((i, j), (i, j))] - across.T @ np.linalg.solve(inside, across)
            assert found[i, j] == pytest.approx(rest[0, 1] / np.sqrt(rest[0, 0] * rest[1, 1]), rel=1e-9)
    assert np.diag(found).tolist() == [1.0] * N


def test_graph_of_a_chain_is_a_chain_and_its_correlations_are_not() -> None:
    examples, chain = chain_examples(), [[i, i + 1] for i in range(N - 1)]
    links = topology.partial_correlations(topology.denoiser(examples, 1e-3))
    assert topology.recovered_edges(links, 0.2).tolist() == chain
    assert topology.recovery(links, chain, [0.2]).balanced.tolist() == [1.0]
    assert len(topology.recovered_edges(np.corrcoef(examples.T), 0.2)) > len(chain)


def test_shuffling_moves_the_graph_along() -> None:
    examples = chain_examples(2000)
    order = np.random.default_rng(2).permutation(N)
    links, shuffled = (
        topology.partial_correlations(topology.denoiser(each, 0.1)) for each in (examples, examples[:, order])
    )
    np.testing.assert_allclose(shuffled, links[np.ix_(order, order)], rtol=1e-9)


def test_edges_are_those_above_the_threshold() -> None:
    weights = np.random.default_rng(3).normal(size=(8, 8))
    expected = [[i, j] for i in range(8) for j in range(i + 1, 8) if (weights[i, j] + weights[j, i]) / 2 > 0.4]
    assert 0 < len(expected) < 28
    assert topology.recovered_edges(weights, 0.4).tolist() == expected


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (4, 1), (3, 4), (28, 28)])
def test_grid_joins_pixels_at_distance_one(height: int, width: int) -> None:
    places = [(row, column) for row in range(height) for column in range(width)]
    near = [
        [i, j]
        for i in range(len(places))
        for j in range(i + 1, min(i + width + 1, len(places)))
        if abs(places[i][0] - places[j][0]) + abs(places[i][1] - places[j][1]) == 1
    ]
    assert topology.grid_edges(height, width).tolist() == near
    assert len(near) == height * (width - 1) + width * (height - 1)
    kept = np.random.default_rng(4).random(len(places)) < 0.7
    assert topology.grid_edges(height, width, kept).tolist() == [[i, j] for i, j in near if kept[i] and kept[j]]


def test_recovery_counts_what_the_sets_do() -> None:
    weights = np.random.default_rng(5).normal(size=(12, 12)).round(1)
    edges, thresholds = topology.grid_edges(3, 4), [-3.0, -0.5, 0.0, 0.05, 0.5, 5.0]
    found = topology.recovery(weights, edges, thresholds[::-1])
    assert found.thresholds.tolist() == thresholds
    true = set(map(tuple, edges.tolist()))
    for index, threshold in enumerate(thresholds):
        graph = set(map(tuple, topology.recovered_edges(weights, threshold).tolist()))
        both = len(true & graph)
        assert found.recall[index] == both / len(true)
        assert found.precision[index] == (both / len(graph) if graph else 1.0)
        assert found.balanced[index] == pytest.approx(2 * both / (len(true) + len(graph)))


def test_true_edges_count_once_in_whatever_direction() -> None:
    weights, edges = np.random.default_rng(7).normal(size=(12, 12)), topology.grid_edges(3, 4)
    once = topology.recovery(weights, edges, [-0.5, 0.5])
    again = topology.recovery(weights, np.concatenate([edges, edges[:5], edges[::-1, ::-1]]), [-0.5, 0.5])
    assert again.precision.tolist() == once.precision.tolist() and again.recall.tolist() == once.recall.tolist()


def test_bad_arguments_are_refused() -> None:
    square = np.eye(3)
    with pytest.raises(ValueError, match=r"noise \(=0\) must be above 0"):
        topology.denoiser(square, 0)
    with pytest.raises(ValueError, match=r"examples \(of shape \(3,\)\)"):
        topology.denoiser([1.0, 2.0, 3.0], 1.0)
    with pytest.raises(ValueError, match=r"noise \(=inf\) must be finite"):
        topology.denoiser(square, np.inf)
    with pytest.raises(ValueError, match="examples must be finite"):
        topology.denoiser([[1.0, np.inf]], 1.0)
    with pytest.raises(ValueError, match=r"threshold \(=nan\)"):
        topology.recovered_edges(square, np.nan)
    for refused in (topology.partial_correlations, lambda weights: topology.recovered_edges(weights, 0.0)):
        with pytest.raises(ValueError, match=r"weights \(of shape \(2, 3\)\) must be \[n, n\]"):
            refused(np.zeros((2, 3)))
        with pytest.raises(ValueError, match="weights must be finite"):
            refused([[1.0, np.nan], [0.0, 1.0]])
    for edges in ([], [[0, 3]], [[-1, 0]], [0, 1]):
        with pytest.raises(ValueError, match="must be pairs of the 3 vertices"):
            topology.recovery(square, edges, [0.0])
    with pytest.raises(ValueError, match="edges must join different vertices, and not 2 with itself"):
        topology.recovery(square, [[0, 1], [2, 2]], [0.0])
    with pytest.raises(ValueError, match=r"kept \(of shape \(3,\)\) must hold a boolean for each of the 4 pixels"):
        topology.grid_edges(2, 2, [True] * 3)
    with pytest.raises(ValueError, match=r"height \(=0\) must be at least 1"):
        topology.grid_edges(0, 2)
