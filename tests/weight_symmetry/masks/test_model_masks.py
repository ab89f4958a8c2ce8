"""Masks of any model: cut weights stay zero under every optimizer of Keras and of Sonnet, and in saved models."""

import functools
import inspect
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from weight_symmetry.masks import Masks, create
from weirdonetworks.lab.training import optimizers as own
from weirdonetworks.measure.unit_graph import UnitGraph

keras = tf.keras
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(32, 6)).astype(np.float32)
LABELS = RNG.integers(3, size=32)


def found(module: Any, base: type) -> dict[str, type]:
    """The optimizers that a package offers; those that wrap another are driven in tests of their own."""
    classes = {name: cls for name, cls in vars(module).items() if inspect.isclass(cls) and issubclass(cls, base)}
    return {name: cls for name, cls in classes.items() if cls is not base and name != "LossScaleOptimizer"}


KERAS = found(keras.optimizers, keras.optimizers.Optimizer)
SONNET = found(snt.optimizers, snt.Optimizer)


@functools.cache
def first_values(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Weights with which each layer has active units: with some none has, and nothing trains."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape, scale=shape[0] ** -0.5 if len(shape) > 1 else 0.0) for shape in shapes]


def started(model: Any) -> Any:
    variables = model.trainable_variables
    for variable, value in zip(variables, first_values(*(tuple(each.shape) for each in variables)), strict=True):
        variable.assign(value)
    return model


def sonnet_model() -> Any:
    model = snt.nets.MLP([8, 5, 3])
    model(tf.constant(INPUTS))
    return started(model)


def keras_model() -> Any:
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input([6]), *layers])
    for variable in model.variables:
        assert variable.trainable
    return started(model)


def loop(model: Any, optimizer: Any, *arguments: Any) -> Callable[[], None]:
    """A step of a training loop of one's own."""

    def step() -> None:
        with tf.GradientTape() as tape:
            logits = model(tf.constant(INPUTS))
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.constant(LABELS), logits=logits)
            )
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables, *arguments)

    return step


def weights(model: Any) -> list[np.ndarray]:
    return [each.numpy() for each in model.trainable_variables if len(each.shape) == 2]


def cut(model: Any, masks: Sequence[np.ndarray]) -> float:
    """The largest cut weight."""
    return max(float(np.abs(weight[~mask]).max()) for weight, mask in zip(weights(model), masks, strict=True))


def drive(model: Any, make: Callable[[], Any], *arguments: Any, jit_compile: bool = False) -> None:
    """Ten steps, masks set, ten more: the cut weights stay zero, the others move; unwrapped, the cut ones move too."""
    drawn = create("random", [weight.shape for weight in weights(model)], 0.6, seed=1)
    start = [variable.numpy() for variable in model.trainable_variables]
    masks = Masks(model)
    # AutoGraph takes long, so it reads the loop in one test alone.
    step = tf.function(loop(model, masks.wrap(make()), *arguments), jit_compile=jit_compile, autograph=jit_compile)
    for _ in range(10):
        step()
    masks.set(drawn)
    before = weights(model)
    for _ in range(10):
        step()
    assert step.experimental_get_tracing_count() <= 2  # Keras creates its slots in the first of two.
    assert cut(model, drawn) == 0
    assert all((now != then).any() for now, then in zip(weights(model), before, strict=True)), "it trains on"

    for variable, value in zip(model.trainable_variables, start, strict=True):
        variable.assign(value)
    other, step = Masks(model), loop(model, make(), *arguments)
    step()
    other.set(drawn)
    step()
    step()
    assert cut(model, drawn) > 0, "control"


def keras_optimizer(name: str) -> Any:
    if name != "MultiOptimizer":
        return KERAS[name]()
    return KERAS[name](keras.optimizers.OptimizerMap(keras.optimizers.Adam()))


@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS)
def test_cut_weights_stay_zero_under_every_keras_optimizer(name: str) -> None:
    drive(keras_model(), lambda: keras_optimizer(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", SONNET)
def test_cut_weights_stay_zero_under_every_sonnet_optimizer(name: str) -> None:
    options = {"momentum": 0.9} if name == "Momentum" else {}
    drive(sonnet_model(), lambda: SONNET[name](learning_rate=0.01, **options))


def test_optimizers_were_found() -> None:
    assert {"Adam", "AdamW", "SGD", "Lion", "Ftrl"} <= set(KERAS) and {"Adam", "Momentum", "SGD"} <= set(SONNET)


@pytest.mark.parametrize("make", [lambda: own.Adam(weight_decay=0.1), lambda: own.Momentum(weight_decay=0.1)])
def test_cut_weights_stay_zero_under_our_optimizers(make: Callable[[], Any]) -> None:
    model = sonnet_model()

    def initialized() -> Any:
        optimizer = make()
        optimizer.initialize(model.trainable_variables)
        return optimizer

    drive(model, initialized, tf.constant(0.01))


@pytest.mark.slow
def test_cut_weights_stay_zero_under_xla() -> None:
    drive(sonnet_model(), lambda: snt.optimizers.Momentum(0.01, 0.9, use_nesterov=True), jit_compile=True)
    drive(keras_model(), lambda: keras.optimizers.AdamW(0.01), jit_compile=True)


@pytest.mark.slow
def test_cut_weights_stay_zero_on_every_replica() -> None:
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    # Reduced on one device, not by collectives: one failure there makes all later ones fail.
    strategy = snt.distribute.Replicator(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())
    for wrapped in (True, False):
        with strategy.scope():
            model = sonnet_model()
            masks = Masks.create(model, "random", 0.6)
            optimizer = snt.optimizers.Adam(0.01)
            optimizer = masks.wrap(optimizer) if wrapped else optimizer

        def on_replica(model: Any = model, optimizer: Any = optimizer) -> None:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(tf.constant(INPUTS))))
            gradients = tape.gradient(loss, model.trainable_variables)
            context = tf.distribute.get_replica_context()
            reduced = [context.all_reduce("mean", gradient) for gradient in gradients]
            optimizer.apply(reduced, model.trainable_variables)

        strategy.run(on_replica)
        step = tf.function(lambda on_replica=on_replica: strategy.run(on_replica), autograph=False)
        for _ in range(3):
            step()
        for weight, mask in zip(masks.weights, masks.arrays, strict=True):
            assert len(weight.values) == len(devices) > 1
            for copy in weight.values:
                assert (copy.numpy()[~mask] == 0).all() == wrapped


SCALED = keras.optimizers.LossScaleOptimizer
AVERAGED = {"use_ema": True, "ema_momentum": 0.9}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "weight decay": lambda wrap: wrap(keras.optimizers.Adam(0.01, weight_decay=0.1)),
    "momentum": lambda wrap: wrap(keras.optimizers.SGD(0.01, momentum=0.9)),
    "average at the end": lambda wrap: wrap(keras.optimizers.Adam(0.01, **AVERAGED)),
    "average now and then": lambda wrap: wrap(keras.optimizers.Adam(0.01, **AVERAGED, ema_overwrite_frequency=3)),
    "accumulation": lambda wrap: wrap(keras.optimizers.Adam(0.01, gradient_accumulation_steps=3)),
    "clipping": lambda wrap: wrap(keras.optimizers.Adam(0.01, global_clipnorm=0.1)),
    "loss scaling outside": lambda wrap: SCALED(wrap(keras.optimizers.Adam(0.01))),
    "loss scaling inside": lambda wrap: wrap(SCALED(keras.optimizers.Adam(0.01))),
}


def cross_entropy() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model: Any) -> None:
    model.fit(INPUTS, LABELS, epochs=1, batch_size=8, verbose=0)  # More steps than an optimizer accumulates.


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # In Keras's own saving.
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_cut_weights_stay_zero_in_fit_and_in_the_saved_model(name: str, tmp_path: pathlib.Path) -> None:
    drawn = create("random", [weight.shape for weight in weights(keras_model())], 0.6, seed=1)
    left = {}
    for wrapped in (True, False):
        model = keras_model()
        masks = Masks(model)
        optimizer = OPTIMIZERS[name](masks.wrap if wrapped else lambda same: same)
        model.compile(optimizer, cross_entropy(), run_eagerly=not wrapped)  # The control does without a graph.
        fit(model)
        masks.set(drawn)
        fit(model)
        left[wrapped] = cut(model, drawn)
        if wrapped:
            model.save(tmp_path / "model.keras")
            loaded = keras.models.load_model(tmp_path / "model.keras")
            assert cut(loaded, drawn) == 0
            np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))
            assert type(loaded.optimizer) is type(OPTIMIZERS[name](lambda same: same)), "loaded as it was before"
            assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) > 0
            assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    assert left[True] == 0 and left[False] > 0


def test_mixed_precision_masks_too() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = keras_model()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    masks = Masks.create(model, "random", 0.6)
    model.compile(masks.wrap(keras.optimizers.Adam(0.01)), cross_entropy())
    fit(model)
    assert type(model.optimizer).__name__ == "LossScaleOptimizer" and cut(model, masks.arrays) == 0


def test_masks_are_saved_without_the_weights_and_restored(tmp_path: pathlib.Path) -> None:
    model = sonnet_model()
    masks = Masks.create(model, "per-neuron", 0.5, seed=3)
    drawn = masks.arrays
    path = tf.train.Checkpoint(masks=masks).save(str(tmp_path / "masks"))
    names = [name for name, _ in tf.train.list_variables(path) if name.startswith("masks")]
    assert len(names) == 3
    masks.set([np.ones_like(mask) for mask in drawn])
    assert masks.sparsity == 0
    tf.train.Checkpoint(masks=masks).restore(path).assert_consumed()
    assert all((now == then).all() for now, then in zip(masks.arrays, drawn, strict=True))


def test_a_wrapped_optimizer_is_the_one_it_was() -> None:
    masks = Masks(keras_model())
    optimizer = keras.optimizers.Adam(0.01)
    assert masks.wrap(optimizer) is optimizer and isinstance(optimizer, keras.optimizers.Adam)
    optimizer.learning_rate = 0.5
    assert float(optimizer.learning_rate) == 0.5
    assert type(keras.optimizers.Adam(0.01)) is keras.optimizers.Adam, "of others nothing changes"


def test_gradients_of_cut_weights_are_zero() -> None:
    table = tf.Variable(tf.ones([4, 3]), name="table")
    bias = tf.Variable(tf.ones([3]), name="bias")
    masks = Masks([table, bias])
    mask = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0]], bool)
    masks.set([mask])
    infinite = tf.fill([4, 3], np.inf)
    dense, other = masks.masked([infinite, tf.ones([3])])
    np.testing.assert_array_equal(dense, np.where(mask, np.inf, 0))
    np.testing.assert_array_equal(other, np.ones(3))
    rows = tf.IndexedSlices(tf.ones([3, 3]), tf.constant([2, 0, 2]), tf.constant([4, 3]))
    sparse, missing = masks.masked([rows, None], [table, bias])
    np.testing.assert_array_equal(tf.convert_to_tensor(sparse), mask * np.array([[1], [0], [2], [0]]))
    assert missing is None
    (swapped,) = masks.masked([tf.ones([3])], [bias])
    np.testing.assert_array_equal(swapped, np.ones(3))


def test_by_default_norms_and_biases_are_not_masked() -> None:
    norm = snt.BatchNorm(True, True)
    norm(tf.ones([2, 5, 5, 4]), is_training=True)
    with pytest.raises(ValueError, match=r"only \(=None\) must leave a weight to mask; .* axes are: none\."):
        Masks(norm)
    attention = keras.layers.MultiHeadAttention(2, 3)
    attention(tf.ones([1, 4, 6]), tf.ones([1, 4, 6]))
    assert [name.rpartition("/")[2] for name in Masks(attention).names] == ["kernel"] * 4
    assert any(len(each.shape) == 2 and each.path.endswith("bias") for each in attention.trainable_variables)


def test_only_chooses_by_name_or_by_function() -> None:
    model = sonnet_model()
    assert Masks(model).names == ["mlp/linear_0/w", "mlp/linear_1/w", "mlp/linear_2/w"]
    assert Masks(model, only="*/linear_[02]/w").names == ["mlp/linear_0/w", "mlp/linear_2/w"]
    assert Masks(model, only=lambda weight: weight.shape[-1] == 5).names == ["mlp/linear_1/w"]
    chosen = Masks.create(model, "random", 0.5, only="*_1/w")
    assert chosen.sparsity == 0.5 and [np.count_nonzero(each) for each in weights(model)] == [48, 20, 15]


def test_masks_made_by_the_same_seed_are_those_of_the_generator() -> None:
    model = keras_model()
    masks = Masks.create(model, "per_neuron", 0.8, seed=5, trial=2, distribution="erdos-renyi")
    drawn = create("per-neuron", [(6, 8), (8, 5), (5, 3)], 0.8, 5, trial=2, distribution="erdos-renyi")
    assert all((one == other).all() for one, other in zip(masks.arrays, drawn, strict=True))
    assert cut(model, drawn) == 0


def test_errors_say_what_to_do() -> None:
    model = sonnet_model()
    masks = Masks(model)
    with pytest.raises(ValueError, match=r"model \(mlp\) has no trainable variables yet: call it once on inputs"):
        Masks(snt.nets.MLP([2]))
    with pytest.raises(ValueError, match=r"has no trainable variables yet: call it once on inputs"):
        Masks(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(
        TypeError, match=r"model \(builtin_function_or_method\) must be a Sonnet, Keras or TensorFlow module"
    ):
        Masks(len)
    with pytest.raises(TypeError, match=r"model \(a list with array\(\[1\.\]\)\) must be"):
        Masks([np.ones(1)])
    with pytest.raises(ValueError, match=r"only \(='\*/v'\) must leave a weight to mask; .* are: mlp/linear_0/w, "):
        Masks(model, only="*/v")
    with pytest.raises(TypeError, match=r"only \(=3\) must be a pattern of names, or a function"):
        Masks(model, only=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"masks \(of length 1\) must hold one mask for each of mlp/linear_0/w, "):
        masks.set([np.ones((6, 8))])
    with pytest.raises(ValueError, match=r"mask of mlp/linear_1/w \(shape \(5, 8\)\) must have .* shape \(8, 5\)"):
        masks.set([np.ones((6, 8)), np.ones((5, 8)), np.ones((5, 3))])
    with pytest.raises(ValueError, match=r"mask of mlp/linear_0/w must hold only 0 and 1, and holds 2"):
        masks.set([np.full((6, 8), 2), np.ones((8, 5)), np.ones((5, 3))])
    with pytest.raises(ValueError, match=r"gradients \(of length 1\) must be those of 6 variables"):
        masks.masked([tf.ones([6, 8])])
    for wrong in ("adam", snt.optimizers.Adam, 3):
        with pytest.raises(TypeError, match=r"optimizer \(=.*\) must be an object with apply\(gradients, variables\)"):
            masks.wrap(wrong)
    with pytest.raises(ValueError, match=r"gradients .* must be those of 0 variables"):
        masks.wrap(keras.optimizers.Adam()).apply(
            [tf.ones([6, 8])]
        )  # Nor does Keras know of which, before it is built.
    optimizer = masks.wrap(snt.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match=r"optimizer \(a SGD\) is wrapped by masks already"):
        masks.wrap(optimizer)


def test_tied_weights_are_masked_once() -> None:
    weight, other = tf.Variable(tf.ones([6, 4]), name="tied"), tf.Variable(tf.ones([4, 6]), name="other")
    masks = Masks([weight, other, weight])
    assert masks.names == ["tied", "other"] and [mask.shape for mask in masks.arrays] == [(6, 4), (4, 6)]
    masks.set([np.eye(6, 4), np.eye(4, 6)])
    gradients = masks.masked([tf.ones([6, 4]), tf.ones([4, 6]), tf.ones([6, 4])])  # One for each variable as given.
    assert [int(tf.reduce_sum(each)) for each in gradients] == [4, 4, 4]
    dense = keras.layers.Dense(3)
    dense.build([None, 2])
    assert len(Masks([dense.kernel, dense.kernel]).weights) == 1
    assert len(Masks([tf.Variable(tf.ones([2, 2])), tf.Variable(tf.ones([2, 2]))]).weights) == 2  # Equal, not the same.


@pytest.mark.parametrize(("given", "kind"), [(None, "NoneType"), (3, "int"), ({"a": [[1]]}, "dict"), ("mask", "str")])
def test_what_is_no_list_of_masks_is_refused(given: Any, kind: str) -> None:
    masks = Masks([tf.Variable(tf.ones([2, 2]), name="weight")])
    with pytest.raises(TypeError, match=rf"^masks \(a {kind}\) must be a list with a mask for each of weight\.$"):
        masks.set(given)


def test_weights_have_one_name_everywhere() -> None:
    """Of layers within a layer TensorFlow's variables are all called `kernel`."""

    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.first, self.second = keras.layers.Dense(4, name="first"), keras.layers.Dense(2, name="second")

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return self.second(tf.nn.relu(self.first(inputs)))

    for model in (keras.Sequential([keras.Input((3,)), Block()], name="whole"), snt.nets.MLP([4, 2])):
        names = UnitGraph.trace(model, tf.ones([1, 3])).names
        weights = Masks(model).names
        assert names[::2] == list(weights)
        assert len({name.rpartition("/")[0] for name in names}) == 2


@pytest.mark.parametrize("seed", ["a", None, 1.5])
def test_a_seed_is_an_integer(seed: Any) -> None:
    variables = [tf.Variable(tf.ones([2, 2]))]
    with pytest.raises(TypeError, match=r"^seed \(=.*\) must be an integer\.$"):
        Masks.create(variables, "random", 0.5, seed=seed)
    assert Masks.create(variables, "random", 0.5, seed=np.int64(3)).sparsity == 0.5  # type: ignore[arg-type]
