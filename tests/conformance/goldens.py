"""Golden files: the variables of every module, as a reviewer reads them.

A change of a name, shape or type makes old checkpoints unreadable, so it must be seen to be meant.
"""

import json
import pathlib
from typing import Any

from tests import registry

DIRECTORY = pathlib.Path(__file__).parent / "goldens"
REGENERATE = "If that is meant, regenerate with `python -m tests.conformance.update_goldens` and review the difference."
ENTRIES: tuple[registry.Network | registry.Optimizer, ...] = (*registry.NETWORKS, *registry.OPTIMIZERS)


def describe(entry: registry.Network | registry.Optimizer) -> list[dict[str, Any]]:
    """Describes the variables of a module, in its order."""
    module = entry.build() if isinstance(entry, registry.Network) else entry.build(entry.parameters())
    return [
        {
            "name": variable.name,
            "shape": variable.shape.as_list(),
            "dtype": variable.dtype.name,
            "trainable": variable.trainable,
        }
        for variable in module.variables
    ]


def path(entry: registry.Network | registry.Optimizer) -> pathlib.Path:
    """Names an entry's golden file."""
    return DIRECTORY / f"{entry.name}.json"


def write(entry: registry.Network | registry.Optimizer) -> str:
    """Writes a golden file's content: a line a variable."""
    lines = ",\n".join(f"  {json.dumps(line)}" for line in describe(entry))
    return f"[\n{lines}\n]\n"
