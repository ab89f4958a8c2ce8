"""What a training step costs: its kernels, its seeds, its norms."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from weight_symmetry.masks import Masks
from weight_symmetry.models import MNIST_FC
from weirdonetworks.lab.data.datasets import Dataset
from weirdonetworks.lab.training import objectives
from weirdonetworks.lab.training.batches import gather_of_bytes, step_seeds
from weirdonetworks.lab.training.optimizers import Adam
from weirdonetworks.lab.training.trainer import Resident, Trainer, inner_product

# Instructions that compute and move nothing.
FREE = {"parameter", "tuple", "get-tuple-element", "constant", "bitcast", "after-all"}


def kernels(hlo: str) -> Counter[str]:
    """Counts the instructions that run at each step, in the body of the program's only loop, by kind."""
    (name,) = set(re.findall(r"body=%?([\w.\-]+)", hlo))
    (body,) = re.findall(rf"^%?{re.escape(name)} .*?^}}", hlo, re.MULTILINE | re.DOTALL)
    kinds = re.findall(r"^ +(?:ROOT )?%?[\w.\-]+ = .*?[})\]] ([a-z][\w\-]*)\(", body, re.MULTILINE)
    return Counter(kind for kind in kinds if kind not in FREE)


@pytest.mark.slow
def test_a_step_is_few_kernels(digits: Dataset) -> None:
    network = MNIST_FC(features=(12, 8))
    network(tf.zeros([1, 28, 28, 1]), is_training=False)
    trainer = Trainer(
        network,
        Masks(network).wrap(Adam(weight_decay=0.2)),
        lambda network: objectives.classification(network, digits.standardisation, takes=("is_training", "seed")),
        Resident(digits.train[:32]),
        batch_size=8,
    )
    arguments = tf.range(32), tf.zeros([4]), tf.zeros([2], tf.int32), tf.constant([0])
    compiled = tf.function(trainer._epoch, jit_compile=True, autograph=False)
    hlo = compiled.experimental_get_compiler_ir(trainer.train.images, trainer.train.labels, *arguments)("optimized_hlo")
    found = kernels(hlo)
    # Three products forwards, five backwards; the small ones are fused with what follows on some processors.
    assert 1 <= found["dot"] <= 8
    # With three layers, so six variables: 18 update weights and moments, 14 the norm; no seed is drawn.
    assert 30 < found.total() <= 76, found
    assert "stateless" not in hlo


@pytest.mark.parametrize("seed", [(123, -7), [(3, 4), (-5, 2**31 - 1), (0, 0)]])
@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_seeds_of_steps_are_folded_in_at_once(seed: Any, jit_compile: bool) -> None:
    folded = tf.function(lambda seed, first: step_seeds(seed, first, 4), jit_compile=jit_compile, autograph=False)
    arguments = tf.constant(seed), tf.constant(11)
    fold = tf.random.experimental.stateless_fold_in
    each = [[fold(own, 11 + step, alg="philox") for own in np.reshape(seed, [-1, 2])] for step in range(4)]
    np.testing.assert_array_equal(folded(*arguments), np.reshape(each, [4, *np.shape(seed)]))
    operations = Counter(each.type for each in folded.get_concrete_function(*arguments).graph.get_operations())
    # One for each seed, and those of the trace that is vectorised, which nothing reads.
    assert operations["StatelessRandomUniformFullIntV2"] <= 2 * np.size(seed) // 2 < 4 * np.size(seed) // 2
    assert not {"While", "StatelessWhile"} & set(operations)


@pytest.mark.parametrize(("accelerators", "products"), [([], 3), (["one"], 0)])
def test_norms_are_products_with_ones_on_processors_alone(
    accelerators: list[str], products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: accelerators)
    tensors = [tf.reshape(tf.range(1.0, 7.0), [2, 3]), tf.constant([1.0, 2.0]), tf.constant(3.0)]
    traced = tf.function(lambda: inner_product(tensors, tensors), autograph=False).get_concrete_function()
    assert sum(each.type == "MatMul" for each in traced.graph.get_operations()) == products
    assert traced().numpy() == 91 + 5 + 9


@pytest.mark.parametrize("shape", [(5, 4, 4, 1), (5, 3, 3, 3), (5, 1), (5,)])
def test_bytes_are_gathered_whatever_their_number(shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for indices in ([4, 0, 4], [[1, 2], [3, 0]]):
        np.testing.assert_array_equal(gather_of_bytes(tf.constant(rows))(tf.constant(indices)), rows[np.array(indices)])
