"""Arguments that are None, of another type, or empty: one line that names the argument, not an error from inside."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

import weight_symmetry
import weirdonetworks
from tests.faults.functions import BAD
from weight_symmetry import alignment, compaction, masks, symmetry, updaters
from weirdonetworks import algebra, measure
from weirdonetworks.measure import conserved, precision

SHAPES, CHAIN = [(2, 3), (3, 2)], [np.ones((2, 3)), np.ones((3, 2))]
ACTION = algebra.points(algebra.cyclic_group(3))


def given_masks() -> masks.Masks:
    return masks.Masks.create([tf.Variable(tf.ones([2, 3]))], "random", 0.5)


# What is called with a wrong value -> the argument that it must name.
CALLS: Mapping[str, tuple[Callable[[Any], object], str]] = {
    "UnitGraph": (measure.UnitGraph, "call"),
    "drift": (lambda wrong: measure.drift(wrong, wrong), "before"),
    "in_dtype": (lambda wrong: precision.in_dtype(snt.Linear(3), wrong), "dtype"),
    "spectrum's dtype": (lambda wrong: measure.spectrum(lambda x: x, np.ones((2, 3)), dtype=wrong), "dtype"),
    "count_laws": (conserved.count_laws, "chain"),
    "count_laws of a layer": (lambda wrong: conserved.count_laws([wrong]), "chain"),
    "partial_correlations": (measure.partial_correlations, "weights"),
    "ImageGenerator": (measure.ImageGenerator, "matrix"),
    "ImageGenerator's move": (lambda wrong: measure.ImageGenerator(move=wrong), "move"),
    "MatrixGroup": (algebra.MatrixGroup, "generators?"),
    "PermutationGroup": (algebra.PermutationGroup, "generators"),
    "exponent_table": (algebra.exponent_table, "polynomials"),
    "secondary_invariants": (
        lambda wrong: algebra.secondary_invariants(algebra.cyclic_group(3), [] if wrong is None else wrong),
        "(primary|polynomial)",
    ),
    "PolynomialNetwork": (algebra.PolynomialNetwork, "layers"),
    "ListedElements": (lambda wrong: weirdonetworks.ListedElements(ACTION, wrong), "elements"),
    "orthogonality_loss": (weirdonetworks.orthogonality_loss, "transforms"),
    "softfloor": (lambda wrong: weirdonetworks.softfloor(wrong, 0.5), "x"),
    "softfloor's factor": (lambda wrong: weirdonetworks.softfloor([1.0], wrong), "factor"),
    "create": (lambda wrong: masks.create("random", wrong, 0.5, seed=0), "shapes?"),
    "create's type": (lambda wrong: masks.create(wrong, SHAPES, 0.5, seed=0), "mask_type"),
    "connections_added": (lambda wrong: masks.connections_added("random", wrong, 0.5), "shapes?"),
    "connections_added's type": (lambda wrong: masks.connections_added(wrong, SHAPES, 0.5), "mask_type"),
    "layer_sparsities": (lambda wrong: masks.layer_sparsities(wrong, 0.5), "shapes?"),
    "layer_sparsities' distribution": (lambda wrong: masks.layer_sparsities(SHAPES, 0.5, wrong), "distribution"),
    "gradient_ratios": (lambda wrong: masks.gradient_ratios(wrong, wrong, wrong), "masks"),
    "gradient_ratios' sparse": (
        lambda wrong: masks.gradient_ratios(given_masks(), wrong, lambda: []),
        "(sparse|masks?)",
    ),
    "gradient_ratios' function": (lambda wrong: masks.gradient_ratios(given_masks(), [], wrong), "gradients"),
    "initialise": (lambda wrong: weight_symmetry.initialise(wrong, 0), "masks"),
    "Snapshot": (updaters.Snapshot, "variables"),
    "Rewind": (lambda wrong: updaters.Rewind(wrong, []), "updater"),
    "random_asymmetry": (
        lambda wrong: updaters.random_asymmetry(CHAIN, np.random.default_rng(0), tries=wrong),
        "tries",
    ),
    "SmallerModel": (lambda wrong: compaction.SmallerModel(wrong, {}), "removal"),
    "function_symmetries": (lambda wrong: symmetry.function_symmetries(CHAIN, wrong), "activation"),
    "function_symmetries' layers": (
        lambda wrong: symmetry.function_symmetries(CHAIN, "relu", batch_norm=[0.5] if wrong is None else wrong),
        "batch_norm",
    ),
    "match_many": (alignment.match_many, "models"),
}
# Of these what is empty is a right value.
EMPTY = {
    "nothing": (
        *("create", "connections_added", "layer_sparsities", "Snapshot", "function_symmetries' layers"),
        *("softfloor", "softfloor's factor"),
    ),
    "a mapping": ("create", "connections_added", "layer_sparsities", "Snapshot", "function_symmetries' layers"),
    "nested": ("ListedElements", "softfloor", "softfloor's factor"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", ["None", "an object", "text", "nothing", "nested", "a mapping"])
def test_a_wrong_argument_is_named(name: str, wrong: str) -> None:
    call, argument = CALLS[name]
    if name in EMPTY.get(wrong, ()):
        call(BAD[wrong])
        return
    with pytest.raises((TypeError, ValueError), match=rf"^{argument}\b.*must"):
        call(BAD[wrong])


@pytest.mark.parametrize(
    "measured",
    [
        lambda model, inputs: measure.equivariance_error(model, inputs, ACTION, ACTION),
        lambda model, inputs: measure.invariance_error(model, inputs, ACTION),
        lambda model, inputs: measure.invariant_directions(model, inputs),
        lambda model, inputs: measure.measure_stability(model, inputs, ACTION),
        lambda model, inputs: measure.outputs_over(model, inputs, ACTION),
        lambda model, inputs: measure.spectrum(model, inputs),
    ],
    ids=["equivariance", "invariance", "directions", "stability", "outputs", "spectrum"],
)
def test_inputs_without_a_number_are_refused(measured: Callable[[Any, Any], object]) -> None:
    for inputs in ([[[]]], np.zeros((2, 0)), np.zeros((0, 3))):
        with pytest.raises(ValueError, match=r"inputs of shape \(.*\) must be \[inputs, ...\], at least one"):
            measured(snt.Linear(3), inputs)


def test_an_absurd_number_of_draws_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tries \(=1000000000\) must be at most 10000"):
        updaters.random_asymmetry(CHAIN, np.random.default_rng(0), tries=10**9)
    with pytest.raises(ValueError, match=r"samples \(=1000000000\) must be at most 65536"):
        weirdonetworks.LearnedRange(0.1, ["rotation"], samples=10**9)
