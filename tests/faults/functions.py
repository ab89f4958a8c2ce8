"""Calls of the library's public functions with right arguments but one."""

import contextlib
import functools
import importlib
import inspect
import pathlib
import random
import types
from collections.abc import Callable
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
    *("weight_symmetry.masks", "weight_symmetry.symmetry", "weight_symmetry.updaters", "weight_symmetry.compaction"),
)


def case(drawn: random.Random, folder: pathlib.Path) -> tuple[str, Callable[[], object]]:
    """Draws a public function, and calls it with right arguments but for one of a wrong type or size."""
    name, function, base, parameters = drawn.choice(_functions())
    which, (words, wrong) = drawn.choice(parameters), drawn.choice(list(BAD.items()))
    return f"{name}({which}={words})", lambda: function(**base | {which: wrong})


@functools.cache
def _functions() -> list[tuple[str, Callable[..., Any], dict[str, Any], list[str]]]:
    """Lists the public functions and classes for whose arguments there are right values."""
    right, found = _right(), {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or isinstance(value, types.ModuleType) or not callable(value):
                continue
            if inspect.isclass(value) and (inspect.isabstract(value) or issubclass(value, Exception)):
                continue
            with contextlib.suppress(TypeError, ValueError):
                parameters = [
                    each
                    for each in inspect.signature(value).parameters.values()
                    if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
                ]
                needed = [each.name for each in parameters if each.default is each.empty]
                if parameters and set(needed) <= right.keys():
                    base = {each: right[each] for each in needed}
                    found[id(value)] = (f"{package}.{name}", value, base, [each.name for each in parameters])
    return list(found.values())


def _right() -> dict[str, Any]:
    import sonnet as snt
    import sympy

    import weirdonetworks
    from weirdonetworks import algebra
    from weirdonetworks.algebra import transforms

    group, (x, y) = algebra.cyclic_group(3), sympy.symbols("x0:2")
    action, masks = algebra.points(group), [np.ones((2, 3)), np.ones((3, 2))]
    same: dict[Any, tuple[str, ...]] = {
        3: ("n", "output_size", "items"),
        2: ("degree", "num", "order", "factor"),
        4: ("height", "width", "features", "hidden_size"),
        1: ("channels", "k", "radius"),
    }
    return {name: value for value, names in same.items() for name in names} | {
        **dict.fromkeys(("group", "group_in", "group_out", "point_group"), group),
        **dict.fromkeys(("action", "action_in", "action_out"), action),
        **{"seed": 0, "limit": 100, "sparsity": 0.5, "degrees": 90.0, "x": [1.0, 2.0, 3.0], "polynomial": x + y},
        **{"permutation": [1, 2, 0], "permutations": [[1, 2, 0]], "generators": [[1, 2, 0]], "first": [1, 2, 0]},
        **{"second": [1, 0, 2], "masks": masks, "mask": masks[0], "shape": (2, 3), "shapes": [(2, 3), (3, 2)]},
        **{"inputs": np.ones((2, 3), np.float32), "images": np.ones((1, 4, 4, 1), np.float32), "matrix": np.eye(2)},
        **{
            "network": snt.Linear(3),
            "model": snt.Linear(3),
            "function": lambda inputs: inputs,
            "groups": [group, group],
        },
        **{
            "output_sizes": [3, 2],
            "sizes": (3,),
            "values": np.ones((2, 3)),
            "weights": np.ones((3, 3)),
            "rows": [[0, 1]],
        },
        **{
            "exponents": [[1, 1]],
            "labels": [0, 1],
            "mask_type": "random",
            "name": "a",
            "rng": np.random.default_rng(0),
        },
        **{"elements": [[1, 2, 0]], "frame": weirdonetworks.TurnFrame(), "listed": [transforms.rotation(4, 4, 90.0)]},
        **{
            "transforms": [transforms.rotation(4, 4, 90.0)],
            "one": action,
            "other": action,
            "counts": [[1.0]],
            "others": [[2.0]],
        },
        **{"polynomials": [x + y], "max_degree": 3, "activation": "relu", "final": 0.9, "begin": 1, "end": 4},
        **{"epochs": [1, 2], "sparsities": [0.5, 0.8], "strength": 0.1, "schedule": lambda epoch: 0.5, "variables": []},
    }
