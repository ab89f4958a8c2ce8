"""Principal components against the singular value decomposition, and against other linear codes."""

import numpy as np
import pytest

from weirdonetworks.measure.principal import PrincipalComponents

EXAMPLES = np.random.default_rng(0).normal(size=(50, 3, 2)) @ np.array([[3.0, 1.0], [0.0, 0.5]]) + 4


def missed(components: PrincipalComponents) -> float:
    flat = EXAMPLES.reshape(50, 6)
    return float(np.square(components.decode(components.encode(EXAMPLES)) - flat).sum())


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_what_is_missed_is_the_tail_of_the_singular_values(size: int) -> None:
    flat = EXAMPLES.reshape(50, 6)
    singular = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)
    total = np.square(singular).sum()
    assert missed(PrincipalComponents.of(EXAMPLES, size)) == pytest.approx(
        np.square(singular[size:]).sum(), abs=1e-9 * total
    )


def test_another_subspace_misses_more() -> None:
    best = PrincipalComponents.of(EXAMPLES, 2)
    axes, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 2)))
    assert missed(PrincipalComponents(best.mean, axes.T)) > 1.1 * missed(best)


def test_axes_are_orthonormal_and_in_order() -> None:
    components = PrincipalComponents.of(EXAMPLES, 4)
    np.testing.assert_allclose(components.axes @ components.axes.T, np.eye(4), atol=1e-12)
    codes = components.encode(EXAMPLES)
    assert (np.diff(codes.var(axis=0)) < 0).all()
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (7, ValueError), (1.5, TypeError)])
def test_a_bad_size_is_refused(size: float, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"size \(={size}\) must be"):
        PrincipalComponents.of(EXAMPLES, size)  # type: ignore[arg-type]
