"""Permuted models compute the same, their masks are the permuted masks, and permutations compose."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from tests import packages, sparse_models
from tests.sparse_models import applied
from weight_symmetry import masks, models, symmetry
from weirdonetworks.measure.unit_graph import UnitGraph

TYPES = [each for each in masks.MASK_TYPES if each != "asymmetric"]  # Of which there is none without sparsity.
KINDS = list(models.MODELS)
Joint = dict[int, np.ndarray]
# Batch norm on images is there in float32 only; the other models are tested in float64.
DTYPES = {"MNIST_FC": tf.float64, "MNIST_CNN": tf.float32, "CIFAR10_CNN": tf.float64}
TOLERANCES = {tf.float64: 1e-13, tf.float32: 1e-6}


def random_joint(model: models.Classifier, seed: int) -> Joint:
    rng = np.random.default_rng(seed)
    return {index: rng.permutation(layer.w.shape[-1]) for index, layer in enumerate(model.layers[:-1])}


def difference(one: models.Classifier, other: models.Classifier, kind: str, is_training: bool = False) -> float:
    """The difference in outputs, in the type of the models."""
    images = sparse_models.images(kind, dtype=one.layers[0].w.dtype)
    return sparse_models.difference(one(images, is_training), other(images, is_training))


def same(one: models.Classifier, other: models.Classifier) -> bool:
    """Whether all variables are equal to the bit."""
    pairs = zip(sparse_models.values(one), sparse_models.values(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(st.sampled_from(sparse_models.SPARSITIES), st.sampled_from(TYPES), st.integers(0, 10**6))
def test_outputs_are_the_same(kind: str, sparsity: float, mask_type: str, seed: int) -> None:
    dtype = DTYPES[kind]
    model = sparse_models.sparse(kind, sparsity, seed, mask_type, dtype)
    before = sparse_models.values(model)
    joint = random_joint(model, seed)
    permuted = applied(joint, model)
    assert type(permuted) is type(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, sparse_models.values(model), strict=True))
    assert not {id(v) for v in model.variables} & {id(v) for v in permuted.variables}
    expected = symmetry.permute(sparse_models.kept(model), joint)
    assert all(np.array_equal(a, b) for a, b in zip(sparse_models.kept(permuted), expected, strict=True))
    assert difference(permuted, model, kind) < TOLERANCES[dtype]
    # The statistics of a batch of five magnify what rounding there is.
    assert difference(permuted, model, kind, is_training=True) < TOLERANCES[dtype] * 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_units_go_to_their_images(kind: str) -> None:
    """Unit `i` of the given model is unit `s[i]` of the new one, with its weights, bias and batch norm."""
    model = sparse_models.sparse(kind, 0.3, seed=4)
    joint = random_joint(model, 5)
    new = applied(joint, model)
    identity = np.arange(100)
    for index, (layer, old) in enumerate(zip(new.layers, model.layers, strict=True)):
        inputs, units = joint.get(index - 1, identity), joint.get(index, identity)
        for i in range(old.w.shape[-2]):
            for j in range(old.w.shape[-1]):
                moved = layer.w.numpy()[..., inputs[i], units[j]]
                np.testing.assert_array_equal(moved, old.w.numpy()[..., i, j])
        if old.with_bias:
            np.testing.assert_array_equal(layer.b.numpy()[units[: old.w.shape[-1]]], old.b.numpy())
    for index, (norm, old_norm) in enumerate(zip(new.norms, model.norms, strict=True)):
        for variable, other in zip(norm.variables, old_norm.variables, strict=True):
            moved = variable.numpy()[..., joint[index]] if other.shape.rank else variable.numpy()
            np.testing.assert_array_equal(moved, other.numpy())
        assert old_norm.moving_mean.value.numpy().any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_permutations_compose_and_invert(kind: str) -> None:
    model = sparse_models.sparse(kind, 0.5, seed=2)
    first, then = random_joint(model, 3), random_joint(model, 4)
    both = {index: then[index][first[index]] for index in first}
    assert same(applied(then, applied(first, model)), applied(both, model))
    assert not same(applied(first, applied(then, model)), applied(both, model))
    inverse = {index: np.argsort(images) for index, images in first.items()}
    assert same(applied(inverse, applied(first, model)), model)
    assert same(applied({}, model), model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_leaves_the_connections_behind_is_no_symmetry(kind: str) -> None:
    """The control: units moved without the weights that read them, or without their batch norm, compute another."""
    model = sparse_models.sparse(kind, 0.3, seed=8, dtype=DTYPES[kind])
    joint = {0: np.roll(np.arange(model.layers[0].w.shape[-1]), 1)}
    wrong = applied(joint, model)
    wrong.layers[1].w.assign(model.layers[1].w)
    assert difference(wrong, model, kind) > 1e-3
    if model.norms:
        wrong = applied(joint, model)
        wrong.norms[0].moving_mean.average.assign(model.norms[0].moving_mean.average)
        assert difference(wrong, model, kind) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_elements_of_the_group_keep_the_masks(kind: str) -> None:
    model = sparse_models.sparse(kind, 0.5, seed=6, mask_type="symmetric", dtype=DTYPES[kind])
    model.layers[-1].w.assign(np.random.default_rng(1).normal(size=model.layers[-1].w.shape))
    kept = sparse_models.kept(model)
    generators = symmetry.automorphisms(kept).generators
    assert generators
    for generator in generators:
        moved = applied(generator, model)
        assert all(np.array_equal(a, b) for a, b in zip(sparse_models.kept(moved), kept, strict=True))
        assert not same(moved, model)
        assert difference(moved, model, kind) < TOLERANCES[DTYPES[kind]]


def test_gradients_move_with_their_units() -> None:
    model = sparse_models.sparse("MNIST_FC", 0.4, seed=3, dtype=tf.float64)
    joint = random_joint(model, 1)
    images = sparse_models.images("MNIST_FC", dtype=tf.float64)

    def gradient(of: models.Classifier) -> np.ndarray:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(of(images, is_training=True)))
        return tape.gradient(loss, of.layers[1].w).numpy()

    moved = gradient(applied(joint, model))[joint[0]][:, joint[1]]
    np.testing.assert_allclose(moved, gradient(model), atol=1e-12)


def test_options_are_kept() -> None:
    model = sparse_models.build("CIFAR10_CNN", dropout_rate=0.3, kernel_size=2, name="small")
    new = applied({}, model)
    assert (new.dropout_rate, new.name, new.layers[0].w.shape[0]) == (0.3, "small", 2)
    assert [v.name for v in new.variables] == [v.name for v in model.variables]


@pytest.mark.parametrize(
    ("permutation", "message"),
    [
        ({0: [0, 0, 1, 2, 3, 4, 5]}, r"permutation\[0\] must hold each of the 7 units"),
        ({1: [0, 1]}, r"permutation\[1\]"),
        ({9: [0]}, "of layer 9"),
        ({-1: [0, 1, 2]}, "of layer -1"),
        ({3: [1, 0, 2]}, r"of layer 3\) must be of units that may move; they are fixed: outputs"),
    ],
)
@pytest.mark.exhaustive
def test_what_permutes_no_hidden_units_is_refused(permutation: dict[int, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        applied(permutation, sparse_models.build("MNIST_FC"))


class Transposed(snt.Module):
    """A weight with its outputs first, then a filter for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.filters = (tf.Variable(tf.random.normal(shape)) for shape in ((4, 3), (2, 2, 4, 1)))
        self.head = snt.Linear(2)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(tf.einsum("bhwi,oi->bhwo", images, self.first))
        return self.head(tf.reduce_mean(tf.nn.depthwise_conv2d(hidden, self.filters, [1] * 4, "SAME"), [1, 2]))


@pytest.mark.parametrize("index", [0, 1])
def test_the_outputs_of_a_weight_are_found_on_any_axis(index: int) -> None:
    model, images = Transposed(), tf.random.normal([2, 3, 3, 3])
    before = model(images)
    moved = symmetry.apply({index: [1, 2, 3, 0]}, model, images)
    np.testing.assert_array_equal(moved.first.numpy()[[1, 2, 3, 0]], model.first.numpy())
    np.testing.assert_allclose(moved(images), before, atol=1e-5)


def test_models_that_cannot_be_copied_are_refused() -> None:
    linear = snt.Linear(2)
    with pytest.raises(TypeError, match=r"model \(a function\) must hold its variables as attributes, to be copied"):
        symmetry.apply({}, lambda x: linear(x), tf.ones([1, 3]))
    with pytest.raises(TypeError, match=r"model \(=int\) must be a module, a Keras model or a function"):
        symmetry.apply({}, 3, tf.ones([1, 3]))  # type: ignore[type-var]


@pytest.mark.slow
def test_tensorflow_stays_out_of_the_symmetry_of_masks() -> None:
    program = (
        "import sys; from weight_symmetry import symmetry; "
        "found = symmetry.function_symmetries([[[1, 1]], [[1], [1]]], 'tanh'); "
        "assert found.sign_flips == 4 and symmetry.apply; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=packages.ROOT, check=True)


class Normalised(snt.Module):
    """Dense layers with Sonnet's batch norm between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = snt.Linear(6), snt.BatchNorm(True, True), snt.Linear(2)

    def __call__(self, x: tf.Tensor, is_training: bool) -> tf.Tensor:
        return self.last(tf.nn.relu(self.norm(self.first(x), is_training)))


def keras_normalised() -> Any:
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [tf.keras.Input([4]), layers.Dense(6), layers.BatchNormalization(momentum=0.7), layers.ReLU(), layers.Dense(2)]
    )


def trained(model: Any, flag: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outputs after two more calls in training, which show the state, and the outputs before."""
    x = np.random.default_rng(1).normal(1.0, 2.0, (20, 4)).astype(np.float32)
    before = model(x, **{flag: False}).numpy()
    kept = [variable.numpy() for variable in model.variables]
    for step in (1, 2):
        model(x * step, **{flag: True})
    after = model(x, **{flag: False}).numpy()
    for variable, value in zip(model.variables, kept, strict=True):
        variable.assign(value)
    return np.stack([before, after]), kept


@pytest.mark.parametrize("in_training", [False, True])
@pytest.mark.parametrize(("make", "flag"), [(Normalised, "is_training"), (keras_normalised, "training")])
def test_state_moves_with_its_units_whichever_call_was_traced(make: Any, flag: str, in_training: bool) -> None:
    tf.keras.utils.set_random_seed(0)
    model, x = make(), tf.random.normal([8, 4], seed=2)
    for _ in range(3):
        model(x, **{flag: True})
    permutation = {0: [1, 2, 3, 4, 5, 0]}
    graph = UnitGraph.trace(model, x, **{flag: in_training})
    (space,) = graph.free
    _, values = trained(model, flag)
    copied = symmetry.apply(permutation, model, x, **{flag: in_training})
    now, state = trained(model, flag)
    if not in_training:  # A call in training changes the state, which is what it is for.
        assert all(np.array_equal(a, b) for a, b in zip(values, state, strict=True))
    np.testing.assert_allclose(trained(copied, flag)[0], now, atol=2e-5)
    graph.permute({space.name: permutation[0]})
    moved, permuted = trained(model, flag)
    np.testing.assert_allclose(moved, now, atol=2e-5)
    assert not all(np.array_equal(a, b) for a, b in zip(permuted, state, strict=True))
    # The control: state that stays behind belongs to other units.
    stays = [index for index, each in enumerate(model.variables) if not each.trainable and each.shape.rank]
    assert len(stays) == (4 if flag == "is_training" else 2)
    for index in stays:
        model.variables[index].assign(state[index])
    assert np.abs(trained(model, flag)[0] - now).max() > 1e-2


def test_state_whose_call_fails_is_not_left_behind_silently() -> None:
    model = Normalised()

    def called(x: tf.Tensor, is_training: bool, rng: Any = None) -> tf.Tensor:
        if is_training and rng is None:
            raise ValueError("rng is missing")
        return model(x, is_training)

    graph = UnitGraph.trace(called, tf.ones([3, 4]), is_training=False)
    with pytest.raises(ValueError, match=r"^model must be called with is_training=True too, .* rng is missing$"):
        graph.permute({graph.free[0].name: [1, 0, 2, 3, 4, 5]})


def test_state_that_a_call_in_training_changes_and_reads_moves_too() -> None:
    """As the vector of spectral norm, which comes from the last step and is used in this one."""

    class Centred(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = snt.Linear(6), snt.Linear(2)
            self.centre = tf.Variable(tf.zeros([6]), trainable=False)

        def __call__(self, x: tf.Tensor, is_training: bool) -> tf.Tensor:
            hidden = self.first(x)
            if is_training:
                self.centre.assign(0.5 * self.centre + 0.5 * tf.reduce_mean(hidden, 0))
                hidden -= self.centre
            return self.last(tf.nn.relu(hidden))

    model, x = Centred(), tf.random.normal([8, 4], seed=2)
    model(x, is_training=True)
    graph, centre = UnitGraph.trace(model, x, is_training=False), model.centre.numpy()
    assert all(variable is not model.centre for variable in graph.variables)
    permutation = [1, 2, 3, 4, 5, 0]
    graph.permute({graph.free[0].name: permutation})
    np.testing.assert_array_equal(model.centre.numpy()[permutation], centre)
    assert (model.centre.numpy() != centre).any()


class Auxiliary(tf.keras.Model):  # type: ignore[misc]
    """A second head that is there in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head, self.aux = (tf.keras.layers.Dense(size, "tanh") for size in (5, 2, 3))

    def call(self, x: tf.Tensor, training: bool = False) -> Any:
        hidden = self.first(x)
        return (self.head(hidden), self.aux(hidden)) if training else self.head(hidden)


@pytest.mark.parametrize("options", [{}, {"training": False}])
def test_what_a_keras_model_uses_in_training_alone_moves_without_being_asked(options: dict[str, bool]) -> None:
    model, x = Auxiliary(), tf.random.normal([4, 3], seed=1)
    before = model(x, training=True)
    kernel = model.aux.kernel.numpy()
    graph = UnitGraph.trace(model, x, **options)
    (space,) = graph.free
    graph.permute({space.name: [1, 2, 3, 4, 0]})
    assert not np.array_equal(model.aux.kernel, kernel)
    for one, other in zip(model(x, training=True), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"training": False}])
def test_state_that_cannot_be_followed_is_refused(options: dict[str, bool]) -> None:
    """A spectral norm, in training alone, chooses by `tf.cond` how to compute its state, which has units along it."""
    layers = tf.keras.layers
    dense = [layers.Dense(5, "relu"), layers.Dense(4, "relu")]
    model = tf.keras.Sequential(
        [tf.keras.Input([3]), layers.SpectralNormalization(dense[0]), dense[1], layers.Dense(2)]
    )
    graph = UnitGraph.trace(model, tf.ones([2, 3]), **options)
    before = [variable.numpy() for variable in model.variables]
    normed, other = graph.free
    with pytest.raises(
        ValueError, match=r"cannot be permuted together with .*vector_u.*, used with training=True: .*If"
    ):
        graph.permute({normed.name: [1, 2, 3, 4, 0]})
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))
    graph.permute({other.name: [1, 2, 3, 0]})
    assert not all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))
