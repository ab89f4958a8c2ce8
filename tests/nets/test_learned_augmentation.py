"""Tests of learned augmentation, against exact transformations, SciPy and finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra import transforms
from weirdonetworks.nets.learned_augmentation import GENERATORS, LearnedAugmentation, _evenly_spread, _exponential, move

SEED = (1, 2)


def images(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape))


def moved_by(name: str, extent: float, inputs: tf.Tensor) -> np.ndarray:
    """Images moved by one generator, by so much."""
    back = _exponential(-extent * tf.constant(GENERATORS[name], inputs.dtype))
    return move(inputs, back[None])[:, 0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 4)])
def test_each_generator_makes_the_transformation_of_its_name(height: int, width: int) -> None:
    inputs, half = images(2, height, width, 3), max(height, width) / 2
    for extent in (-0.7, 0.0, 0.3, np.pi / 2, 4.0):
        grown = np.exp(extent)
        expected = {
            "right": transforms.shift(height, width, right=extent * half),
            "up": transforms.shift(height, width, up=extent * half),
            "rotation": transforms.rotation(height, width, np.degrees(extent)),
            "zoom": transforms.zoom(height, width, grown),
            "stretch": transforms.zoom(height, width, (grown, 1 / grown)),
            "shear": transforms.affine(
                height,
                width,
                [[np.cosh(extent), np.sinh(extent)], [np.sinh(extent), np.cosh(extent)]],
            ),
        }
        assert set(expected) == set(GENERATORS)
        for name, transform in expected.items():
            # Those round the points that they read to 1e-9 pixels.
            np.testing.assert_allclose(moved_by(name, extent, inputs), transform.apply(inputs.numpy()), atol=1e-7)
    assert np.abs(moved_by("rotation", 0.3, inputs) - moved_by("rotation", -0.3, inputs)).max() > 0.1


def test_exponential_is_the_limit_of_its_definition() -> None:
    for scale in (0.1, 1.0, 10.0):
        matrix = scale * np.random.default_rng(1).normal(size=(5, 3, 3))
        values, vectors = np.linalg.eig(matrix)
        expected = ((vectors * np.exp(values)[:, None]) @ np.linalg.inv(vectors)).real
        found = _exponential(tf.constant(matrix)).numpy()
        assert np.abs(found - expected).max() < 1e-9 * np.abs(expected).max()
        single = _exponential(tf.constant(matrix, tf.float32)).numpy()
        assert np.abs(single - expected).max() < 3e-5 * np.abs(expected).max()


def test_draws_are_spread_evenly_in_each_direction() -> None:
    draws = _evenly_spread(8, 3)
    assert np.sort(draws, axis=0).T.tolist() == 3 * [[-0.875, -0.625, -0.375, -0.125, 0.125, 0.375, 0.625, 0.875]]
    assert _evenly_spread(1, 2).tolist() == [[0, 0]]


class Readout(snt.Module):
    """Reads a smooth number off images."""

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        weights = np.random.default_rng(2).normal(size=inputs.shape[1:])
        return tf.reduce_sum(tf.tanh(inputs) * weights, axis=[1, 2, 3])[:, None]


def test_outside_training_the_network_is_averaged_over_the_even_draws() -> None:
    inputs = images(3, 5, 5, 1)
    network = LearnedAugmentation(Readout(), 0.1, ["rotation"], width=0.9, samples=4)
    angles = np.degrees(0.9) * np.array([-0.75, -0.25, 0.25, 0.75])
    expected = np.mean([Readout()(transforms.rotation(5, 5, angle).apply(inputs.numpy())) for angle in angles], axis=0)
    np.testing.assert_allclose(network(inputs, is_training=False), expected, rtol=1e-6)


def test_in_training_each_image_is_moved_by_a_draw_of_its_own_within_the_width() -> None:
    inputs, width = tf.tile(images(1, 6, 6, 1), [300, 1, 1, 1]), 0.5
    seen: list[np.ndarray] = []
    network = LearnedAugmentation(lambda moved: seen.append(moved.numpy()) or moved, 0.1, ["right"], width=width)
    network(inputs, is_training=True, seed=SEED)
    shifts = np.linspace(-width, width, 201) * 3  # In pixels.
    candidates = np.stack([transforms.shift(6, 6, right=shift).apply(inputs[0].numpy()) for shift in shifts])
    distances = np.abs(seen[0][:, None] - candidates[None]).max(axis=(2, 3, 4))
    assert distances.min(axis=1).max() < 0.05 < np.abs(seen[0] - inputs.numpy()).max()
    chosen = shifts[distances.argmin(axis=1)] / (3 * width)
    assert len(np.unique(chosen)) > 100
    assert abs(chosen.mean()) < 0.15 and abs(np.square(chosen).mean() - 1 / 3) < 0.06


def test_what_comes_from_outside_is_the_fill() -> None:
    network = LearnedAugmentation(tf.identity, 0.1, ["right"], width=50.0, samples=2, fill=-0.4)
    np.testing.assert_allclose(network(images(2, 4, 4, 1), is_training=False), np.full((2, 4, 4, 1), -0.4))


@pytest.mark.slow
@pytest.mark.parametrize("is_training", [False, True])
def test_gradients_of_widths_are_those_of_finite_differences(is_training: bool) -> None:
    inputs = images(8, 5, 6, 2)
    network = LearnedAugmentation(Readout(), 0.3, width=0.2, samples=5)

    def loss() -> tf.Tensor:
        return tf.reduce_mean(network(inputs, is_training, SEED)) + network.width_penalty()

    loss()
    with tf.GradientTape() as tape:
        value = loss()
    gradient, start = tape.gradient(value, network.raw_widths).numpy(), network.raw_widths.numpy()
    assert np.abs(gradient).min() > 1e-4
    for index, step in enumerate(1e-6 * np.eye(len(start))):
        values = []
        for sign in (1, -1):
            network.raw_widths.assign(start + sign * step)
            values.append(float(loss()))
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient[index], rel=1e-5, abs=1e-7)


@pytest.mark.slow
def test_a_compiled_gradient_is_the_gradient() -> None:
    inputs, matrices = images(8, 5, 5, 1), _exponential(0.3 * images(8, 1, 3, 3)) * [[1.0], [1.0], [0.0]]

    def gradients(of: tf.Tensor, by: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([of, by])
            loss = tf.reduce_mean(tf.square(move(of, by)))
        return tape.gradient(loss, [of, by])

    compiled = tf.function(gradients, jit_compile=True, autograph=False)
    for one, other in zip(compiled(inputs, matrices), gradients(inputs, matrices), strict=True):
        assert np.abs(one - other).max() < 1e-10 * np.abs(other).max()


def test_the_penalty_rewards_width() -> None:
    network = LearnedAugmentation(tf.identity, 0.3, ["rotation", "zoom"], width=0.5)
    network(images(1, 3, 3, 1), is_training=False)
    np.testing.assert_allclose(network.widths, [0.5, 0.5], rtol=1e-12)
    assert float(network.width_penalty()) == pytest.approx(-0.3 * 0.5 * np.sqrt(2))


def learned_widths(read: Callable[[tf.Tensor], tf.Tensor]) -> np.ndarray:
    """The widths of rotations and shifts that come to rest while a number is to be read off moved images of blobs."""
    rows, columns = np.indices((9, 9)) - 4
    centres = np.random.default_rng(3).uniform(-2, 2, (64, 2))
    inputs = tf.constant(
        np.exp(-((rows - centres[:, :1, None]) ** 2) - (columns - centres[:, 1:, None]) ** 2)[..., None]
    )
    network = LearnedAugmentation(read, 0.2, ["rotation", "right"], width=0.3)
    network(inputs, is_training=False)

    @tf.function(autograph=False)
    def step(seed: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            error = tf.reduce_mean(tf.square(network(inputs, True, seed) - read(inputs)))
            loss = error + network.width_penalty()
        network.raw_widths.assign_sub(tape.gradient(loss, network.raw_widths))

    for number in range(150):
        step(tf.constant([number, 0]))
    return network.widths.numpy()


@pytest.mark.slow
def test_widths_grow_where_what_is_learned_is_invariant_and_nowhere_else() -> None:
    rows, columns = np.indices((9, 9)) - 4

    def reading(weights: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
        return lambda moved: tf.reduce_sum(moved * weights[..., None] / 4.0, axis=[1, 2])

    rotation, shift = learned_widths(reading(rows**2 + columns**2))
    assert rotation > 1 and shift < 0.05
    rotation, shift = learned_widths(reading(rows))
    assert rotation < 0.2 and shift > 0.5


def called_with_seed(seed: object) -> tf.Tensor:
    return LearnedAugmentation(tf.identity, 0.1)(tf.ones([1, 2, 2, 1]), True, seed)


def traced(network: Callable[[tf.Tensor], tf.Tensor]) -> object:
    augmented = LearnedAugmentation(network, 0.1)
    forward = tf.function(lambda inputs: augmented(inputs, False), autograph=False)
    return forward.get_concrete_function(tf.TensorSpec([None, 2, 2, 1]))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LearnedAugmentation(3, 0.1), TypeError, r"network \(=3\) must be"),
        (lambda: LearnedAugmentation(tf.identity, -0.1), ValueError, r"strength \(=-0.1\)"),
        (lambda: LearnedAugmentation(tf.identity, float("nan")), ValueError, "strength"),
        (lambda: LearnedAugmentation(tf.identity, "0.1"), TypeError, r"strength \(='0.1'\) must be a number"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, width=0.0), ValueError, r"width \(=0.0\) must be above 0"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, width=float("inf")), ValueError, "width .* finite"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, fill=float("nan")), ValueError, r"fill \(=nan\) must be finite"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, samples=0), ValueError, r"samples \(=0\)"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, []), ValueError, "generators .* right, up, rotation, zoom"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, ["turn"]), ValueError, "generators"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, 3), ValueError, r"generators \(=3\)"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, [0, 1]), ValueError, r"generators \(=\[0, 1\]\)"),
        (lambda: LearnedAugmentation(tf.identity, 0.1, ["up", "up"]), ValueError, "generators"),
        (lambda: LearnedAugmentation(tf.identity, 0.1).widths, ValueError, "called once"),
        (lambda: LearnedAugmentation(tf.identity, 0.1).width_penalty(), ValueError, "called once"),
        (lambda: LearnedAugmentation(tf.identity, 0.1)(tf.ones([1, 2, 2, 1]), True), ValueError, r"seed \(=None\)"),
        (lambda: called_with_seed(3), ValueError, r"seed of type int32 and shape \(\) must be two integers"),
        (lambda: called_with_seed([1, 2, 3]), ValueError, r"seed of type int32 and shape \(3,\)"),
        (lambda: called_with_seed([0.5, 1.0]), ValueError, "seed of type float32"),
        (
            lambda: traced(lambda moved: moved[..., : tf.shape(moved)[0]]),
            ValueError,
            "outputs of shape .* the features known",
        ),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
