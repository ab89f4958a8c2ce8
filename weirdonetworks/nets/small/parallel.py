"""A combinator that applies several branches to the same inputs in parallel."""

from collections.abc import Callable, Mapping

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import brief
from weirdonetworks.nets.base_module import BaseModule, Initializer
from weirdonetworks.nets.inputs import checked_choice, checked_function

REDUCTIONS = ("concat", "sum")


class Parallel(BaseModule):
    """A combinator of branches on the same inputs, whose outputs are concatenated or summed.

        concat: y = [b_1(x), ..., b_k(x)], along the last axis;    sum: y = g_1 b_1(x) + ... + g_k b_k(x)

    The gates g of a sum are learned scalars, initially 1 / k, so that y is the mean.

    >>> branches = {"same": tf.identity, "square": tf.square}
    >>> Parallel(branches)(tf.constant([[2.0, 4.0]])).numpy().tolist()
    [[2.0, 4.0, 4.0, 16.0]]
    >>> Parallel(branches, reduce="sum")(tf.constant([[2.0, 4.0]])).numpy().tolist()
    [[3.0, 10.0]]
    """

    def __init__(
        self,
        branches: Mapping[str, Callable[[tf.Tensor], tf.Tensor]],
        reduce: str = "concat",
        w_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the combinator.

        Args:
          branches: Modules or functions of one tensor by name, at least one.
          reduce: `concat` or `sum`.
          w_init: Draws the gates of a sum, `[k]`; None for 1 / k.
        """
        super().__init__(name=name)
        try:
            named = dict(branches)
        except (TypeError, ValueError):
            raise TypeError(f"branches (={brief(branches)}) must hold modules or functions by name.") from None
        self.branches = {each: checked_function("branches", branch, takes=1) for each, branch in named.items()}
        if not self.branches:
            raise ValueError("branches must hold at least one.")
        self.w_init = w_init or snt.initializers.Constant(1 / len(self.branches))
        self.reduce = checked_choice("reduce", reduce, REDUCTIONS)

    @snt.once
    def _initialize(self, dtype: tf.DType) -> None:
        if self.reduce == "sum":
            self.gates = tf.Variable(self.w_init([len(self.branches)], dtype), name="gates")

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Applies the branches to inputs of any shape that they accept; outputs to be summed must have one shape."""
        outputs = {name: branch(inputs) for name, branch in self.branches.items()}
        first, *others = outputs.values()
        self._initialize(first.dtype)
        if self.reduce == "concat":
            return tf.concat([first, *others], axis=-1) if others else first
        if any(other.shape.as_list() != first.shape.as_list() for other in others):
            shapes = ", ".join(f"{name} {output.shape}" for name, output in outputs.items())
            raise ValueError(f"branches to be added must have outputs of one shape, and have {shapes}.")
        return tf.add_n([self.gates[index] * output for index, output in enumerate(outputs.values())])
