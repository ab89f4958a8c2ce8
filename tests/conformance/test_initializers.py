"""Every layer with weights takes `w_init`, and `b_init` if it has biases, and they reach the variables."""

import dataclasses
import inspect

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from tests import registry
from weirdonetworks.nets.base_module import BaseModule

WEIGHT, BIAS = 0.5, -0.25
# Variables that start as an argument or the docstring says, whatever initializes the weights.
FIXED = (
    "scale",
    "offset",
    "positions",
    "factor",
    "last/w",
    "last/b",
    "convolution_4_0/w",
    "convolution_8_0/w",
    "gates_0",
)
WITHOUT = {"SoftFloor"}  # Its start is an argument.


def parameters(entry: registry.Network) -> set[str]:
    """The arguments of the constructor, those of the base's too where it passes them on."""
    ours = ("weirdonetworks", "weight_symmetry")
    classes = [each for each in entry.module.__mro__ if each.__module__.startswith(ours)]
    return {name for each in classes for name in inspect.signature(each.__init__).parameters}


# A module that wraps a network has the weights of that network too.
OURS = [
    each
    for each in registry.NETWORKS
    if each.module.__module__.startswith(("weirdonetworks.nets", "weight_symmetry.models")) and each.wraps is None
]
ENTRIES = [each for each in OURS if "w_init" in parameters(each)]


def test_every_layer_with_weights_takes_an_initializer() -> None:
    weighted = {each.name for each in OURS if issubclass(each.module, BaseModule)}
    assert weighted - {each.name for each in ENTRIES} == WITHOUT


@pytest.mark.exhaustive
@pytest.mark.parametrize("entry", ENTRIES, ids=registry.name)
def test_given_initializers_reach_the_variables(entry: registry.Network) -> None:
    options = {**entry.options, "w_init": snt.initializers.Constant(WEIGHT)}
    if entry.name == "Parallel":  # Its branches have weights of their own.
        options["branches"] = {"one": tf.identity, "other": tf.identity}
    has_bias = "b_init" in parameters(entry)
    if has_bias:
        options["b_init"] = snt.initializers.Constant(BIAS)
    module = dataclasses.replace(entry, options=options).build()
    seen = set()
    for variable in tf.Module.trainable_variables.fget(module):
        name = variable.name.split(":")[0]
        if name.endswith(FIXED) or "/convolution_" in name or not variable.dtype.is_floating:
            continue
        expected = BIAS if name.endswith("/b") else WEIGHT
        np.testing.assert_array_equal(variable, tf.fill(variable.shape, tf.constant(expected, variable.dtype)), name)
        seen.add(expected)
    assert seen == ({WEIGHT, BIAS} if has_bias else {WEIGHT})
