"""Which operations of a traced function have kernels for GPUs, as TensorFlow registers them on all machines."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow.python.framework.kernels import get_registered_kernels_for_op


@functools.cache
def kernels(operation: str) -> tuple[Any, ...]:
    return tuple(get_registered_kernels_for_op(operation).kernel)


def computes_on_gpus(node: Any) -> bool:
    """Returns whether some kernel for GPUs, or for every device, takes the types of a node."""

    def takes(kernel: Any) -> bool:
        held = [(node.attr[each.name], each.allowed_values.list.type) for each in kernel.constraint]
        return all(set(value.list.type or [value.type]) <= set(allowed) for value, allowed in held)

    return any(takes(each) for each in kernels(node.op) if each.device_type in ("GPU", "DEFAULT"))


def live(nodes: Iterable[Any], ends: Iterable[str]) -> Iterator[Any]:
    """Yields the nodes that an end depends on; a trace that is vectorised leaves others behind."""
    by_name = {node.name: node for node in nodes}
    reached, waiting = set(), [*ends]
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in by_name and name not in reached:
            reached.add(name)
            yield by_name[name]
            waiting += by_name[name].input


def only_on_processors(concrete: Any) -> set[tuple[str, str]]:
    """Lists kind and name of the operations in a traced function that no GPU computes."""
    library = {each.signature.name: each for each in concrete.graph.as_graph_def().library.function}
    found = set()
    for each in (concrete.function_def, *library.values()):
        ends = [*each.ret.values(), *each.control_ret.values()]
        nodes = [node for node in live(each.node_def, ends) if node.op not in library]
        found |= {(node.op, node.name) for node in nodes if kernels(node.op) and not computes_on_gpus(node)}
    return found
