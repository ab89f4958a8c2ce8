"""Calls of the library's public functions with right arguments but one, which the answer must name."""

import contextlib
import copy
import dataclasses
import functools
import importlib
import inspect
import pathlib
import random
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

BAD: dict[str, Any] = {
    **{
        "None": None,
        "text": "x",
        "nothing": [],
        "an object": object(),
        "-1": -1,
        "0": 0,
        "1.5": 1.5,
        "nan": float("nan"),
    },
    **{
        "10^9": 10**9,
        "nested": [[[]]],
        "a mapping": {},
        "True": True,
        "ragged": [[1, 2], [3]],
        "bytes": b"x",
        "a type": int,
    },
    **{
        "an empty array": np.zeros(0),
        "texts": ["a", "b"],
        "a function": lambda: 0,
        "integers": np.arange(4),
        "inf": np.inf,
    },
}
PACKAGES = (
    *("weirdonetworks", "weirdonetworks.algebra", "weirdonetworks.measure", "weirdonetworks.nets"),
    *("weirdonetworks.algebra.polynomials.monomials", "weirdonetworks.algebra.actions.transforms"),
    *("weirdonetworks.algebra.weights.constraints", "weirdonetworks.nets.pooling"),
    *("weight_symmetry.masks", "weight_symmetry.symmetry", "weight_symmetry.updaters", "weight_symmetry.compaction"),
    *("weight_symmetry.alignment", "weight_symmetry.models", "weight_symmetry.sparse"),
)


class UnnamedError(Exception):
    """An answer that does not name the argument that is wrong."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A function, and right values for the arguments that it needs.

    Attributes:
      name: What it is called in messages.
      function: The function or class.
      right: Makes the right values.
      parameters: The arguments that can be wrong.
    """

    name: str
    function: Callable[..., Any]
    right: Callable[[], Mapping[str, Any]]
    parameters: Mapping[str, inspect.Parameter]

    def __call__(self, **wrong: Any) -> Any:
        """Calls the function, some arguments replaced; an `UnnamedError` if an error names none of these."""
        bound = inspect.Signature(list(self.parameters.values())).bind_partial()
        bound.arguments = {**self.right(), **wrong}
        for name, value in bound.arguments.items():
            if self.parameters[name].kind == inspect.Parameter.VAR_POSITIONAL and name in wrong:
                bound.arguments[name] = (value,)
        bound.apply_defaults()
        try:
            return self.function(*bound.args, **bound.kwargs)
        except (TypeError, ValueError) as error:
            if any(re.search(rf"\b{name}\b", str(error)) for name in wrong):
                raise
            raise UnnamedError(str(error)).with_traceback(error.__traceback__) from None


def case(drawn: random.Random, folder: pathlib.Path) -> tuple[str, Callable[[], object]]:
    """Draws a public function, and calls it with right arguments but for one of a wrong type or size."""
    call = drawn.choice(calls())
    which, (words, wrong) = drawn.choice(list(call.parameters)), drawn.choice(list(BAD.items()))
    return f"{call.name}({which}={words})", functools.partial(call, **{which: copy.deepcopy(wrong)})


@functools.cache
def calls() -> tuple[Call, ...]:
    """Lists the public functions and classes for whose arguments there are right values."""
    return (*_of_packages(), *_of_registry())


def _of_registry() -> Iterator[Call]:
    """Constructs each module of the registry, and calls it if it is a network."""
    from tests import registry

    for entry in (*registry.NETWORKS, *registry.OPTIMIZERS):
        parameters = _named(entry.module.__init__)
        # Sonnet checks the names of modules.
        own = {name: each for name, each in parameters.items() if name not in ("self", "name")}
        function = functools.partial(_called, entry) if isinstance(entry, registry.Network) else entry.module
        if own:
            yield Call(entry.name, function, functools.partial(_options, entry, list(own)), own)


def _called(entry: Any, /, *arguments: Any, **options: Any) -> Any:
    return entry.call(entry.module(*arguments, **options), entry.inputs())


def _options(entry: Any, names: Sequence[str]) -> Mapping[str, Any]:
    wraps = getattr(entry, "wraps", None)
    return {**entry.options, **({} if wraps is None else {names[0]: wraps()})}


def _of_packages() -> Iterator[Call]:
    import tensorflow as tf

    right, seen = _right(), set[Any]()
    for package in PACKAGES:
        for name, value in _public(package):
            if value in seen:
                continue
            seen.add(value)
            with contextlib.suppress(TypeError, ValueError):
                parameters = _named(value)
                if inspect.isclass(value) and issubclass(value, tf.Module):
                    parameters.pop("name", None)  # TensorFlow checks it.
                given = {each: right[key] for each in parameters for key in (each, f"{name}.{each}") if key in right}
                needed = {key for key, each in parameters.items() if each.default is each.empty}
                if parameters and needed <= given.keys():
                    base = {each: given[each] for each in given if each in needed or f"{name}.{each}" in right}
                    yield Call(f"{package}.{name}", value, functools.partial(dict, base), parameters)


def _named(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Maps the names of the parameters of a function to them, without the rest of its keywords."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each for each in parameters if each.kind != each.VAR_KEYWORD}


def _public(package: str) -> Iterator[tuple[str, Any]]:
    """Lists the functions and classes of a package or module, with the other constructors of these."""
    module = importlib.import_module(package)
    for name in dir(module):
        value = getattr(module, name)
        is_own = hasattr(module, "__path__") or getattr(value, "__module__", "") == package
        if name.startswith("_") or isinstance(value, types.ModuleType) or not callable(value) or not is_own:
            continue
        if not inspect.isclass(value):
            yield name, value
        elif not issubclass(value, Exception) and not getattr(value, "_is_protocol", False):
            if not inspect.isabstract(value):
                yield name, value
            for each, method in vars(value).items():
                if isinstance(method, classmethod) and not each.startswith("_"):
                    yield f"{name}.{each}", getattr(value, each)


def _right() -> dict[str, Any]:
    """Maps names of arguments, and `function.argument` where one function takes something else, to right values."""
    import sonnet as snt
    import sympy
    import tensorflow as tf

    import weight_symmetry
    import weirdonetworks
    from weight_symmetry import updaters
    from weirdonetworks import algebra, measure
    from weirdonetworks.algebra import transforms
    from weirdonetworks.measure.conserved.quantities import Value

    class Normed(snt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = snt.BatchNorm(True, True)

        def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
            return self.norm(tf.convert_to_tensor(inputs), is_training=True)

    group, (x, y), inputs = algebra.cyclic_group(3), sympy.symbols("x0:2"), np.ones((2, 3), np.float32)
    action, turn, square = algebra.points(group), transforms.rotation(4, 4, 90.0), np.ones((3, 3))
    ring, turns = algebra.polynomial_ring(group), algebra.flow([[[0, -1, 0], [1, 0, 0], [0, 0, 0]]])
    model, other, linear, normed = snt.nets.MLP([3, 3]), snt.nets.MLP([3, 3]), snt.Linear(3), Normed()
    for each in (model, other, linear, normed):
        each(inputs)
    held, layer = weight_symmetry.Masks.create(model, "random", 0.5), algebra.PolynomialLayer(3, 3, 1)
    held_by = ("FixedMask", "MagnitudePruning", "RigL", "SET", "SRigL", "Updater", "initialise")
    equal_fan_ins = weight_symmetry.Masks.create(other, "per-neuron", 0.5)
    quantity = Value(np.ones(2), 1.0)
    same: dict[Any, tuple[str, ...]] = {
        3: ("n", "output_size", "items", "PolynomialLayer.outputs", "max_degree"),
        2: ("degree", "num", "order", "factor", "PolynomialLayer.inputs"),
        4: ("height", "width", "features", "hidden_size", "end"),
        1: ("channels", "k", "radius", "variable", "begin", "MatrixGroup.tolerance"),
        0.5: ("sparsity", "noise", "threshold", "strength", "final"),
    }
    return {name: value for value, names in same.items() for name in names} | {
        **dict.fromkeys(("group", "group_in", "group_out", "point_group"), group),
        **dict.fromkeys(("action", "action_in", "action_out", "one", "other"), action),
        **dict.fromkeys(("network", "model", "model_a"), model),
        **dict.fromkeys((f"{name}.masks" for name in held_by), held),
        **{"seed": 0, "limit": 100, "degrees": 90.0, "x": [1.0, 2.0, 3.0], "polynomial": x + y, "rows": [[0, 1]]},
        **{"permutation": [1, 2, 0], "permutations": [[1, 2, 0]], "generators": [[1, 2, 0]], "first": [1, 2, 0]},
        **{"second": [1, 0, 2], "masks": [square, square], "mask": square, "shape": (4, 3), "shapes": [(2, 3), (3, 2)]},
        **{"inputs": inputs, "images": np.ones((1, 4, 4, 1), np.float32), "matrix": np.eye(2), "model_b": other},
        **{"function": lambda inputs: inputs, "groups": [group, group], "example_inputs": (inputs,), "labels": [0, 1]},
        **{"output_sizes": [3, 2], "sizes": (3,), "values": inputs, "weights": square, "exponents": [[1, 1]]},
        **{"mask_type": "random", "name": "a", "rng": np.random.default_rng(0), "elements": [[1, 2, 0]]},
        **{"frame": weirdonetworks.TurnFrame(), "listed": [turn], "transforms": [turn], "counts": [[1.0]]},
        **{"others": [[2.0]], "polynomials": [x + y], "activation": "relu", "epochs": [1, 2], "sparsities": [0.5, 0.8]},
        **{"schedule": lambda epoch: 0.5, "variables": [], "ranks": [0, 1], "indices": [[0, 1]], "layers": [layer]},
        **{"before": quantity, "after": quantity, "loss": lambda labels, outputs: tf.reduce_mean(outputs - labels)},
        **{"examples": np.random.default_rng(0).normal(size=(9, 3)), "chain": [(3, 3), (3, 3)], "dimensions": [2]},
        **{"seeds": [0], "embeddings": np.eye(3), "derivatives": np.ones((2, 3, 3)), "thresholds": [0.5]},
        **{"edges": [[0, 1], [1, 2]], "graph": measure.Graph([[0, 1], [1, 2]]), "orbits": algebra.Orbits(np.arange(3))},
        **{"logits": inputs, "models": [model, other], "measure": lambda model: {"loss": 1.0}, "source": inputs},
        **{"updater": updaters.FixedMask(held, "random", 0.5), "pooling": "mean", "scheme": "he_normal"},
        **{"outputs": np.ones((2, 2, 3)), "sparse": [square], "gradients": lambda: [square]},
        # What one function alone takes under the name.
        **{"coordinates.group": algebra.cyclic_rotations(4), "flow.generators": [[[0, -1], [1, 0]]]},
        **{"orthogonality_loss.transforms": [np.ones((2, 3, 3), np.float32)], "tie.values": [1.0, 2.0]},
        **{"sorted_lexicographically.items": np.ones((2, 3, 2), np.float32), "as_permutations.values": [[1, 2, 0]]},
        **{"MatrixGroup.generators": [np.eye(2, dtype=int)], "exponent_table.polynomials": [ring.gens[0]]},
        **{"constraints.network": algebra.PolynomialNetwork([layer]), "lie_derivative_by_layer.layers": [tf.identity]},
        **{"jacobian_along.action": turns, "lie_derivative.action": turns, "Graph.of_model.model": linear},
        **{"repair.model": normed, "repair.inputs": (inputs,), "permute.permutation": {0: [1, 0, 2]}},
        **{"apply.permutation": {0: [1, 0, 2]}, "random_asymmetry.masks": [np.triu(square), square]},
        **{"magnitude_masks.weights": [square, square], "magnitude_masks.sparsities": {0: 0.5}},
        **{"gradient_ratios.masks": weight_symmetry.Masks(linear), "SRigL.masks": equal_fan_ins},
    }
