"""A multilayer perceptron that applies several activation functions in parallel."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least, listed
from weirdonetworks.nets.base_module import BaseModule, Initializer, linear_layers
from weirdonetworks.nets.inputs import WIDTH, checked_sizes, flattened
from weirdonetworks.nets.small.activations import GroupedSoftmax, Seed, UnitConvolution
from weirdonetworks.nets.small.parallel import Parallel

# Each entry makes an activation from the seed of its order of units and a name; most ignore both.
ACTIVATIONS: dict[str, Callable[[Seed, str], Callable[[tf.Tensor], tf.Tensor]]] = {
    "identity": lambda seed, name: tf.identity,
    "relu": lambda seed, name: tf.nn.relu,
    "gelu": lambda seed, name: tf.nn.gelu,
    "sigmoid": lambda seed, name: tf.sigmoid,
    "leaky_relu": lambda seed, name: tf.nn.leaky_relu,
    "log_sigmoid": lambda seed, name: tf.math.log_sigmoid,
    "softmax_4": lambda seed, name: GroupedSoftmax(4, name=name),
    "softmax_8": lambda seed, name: GroupedSoftmax(8, seed, name),
    "convolution_4": lambda seed, name: UnitConvolution(4, seed, name=name),
    "convolution_8": lambda seed, name: UnitConvolution(8, seed, name=name),
}


class AllActivations(BaseModule):
    """A multilayer perceptron whose hidden layers apply several activation functions to each unit in parallel.

        f(x) = W_k A_{k-1}(... A_1(W_1 x)),    x of shape [batch, n], each A a `Parallel` of the activations

    The layer after k activations of n units has k n inputs if they are concatenated, n if summed. The softmax over 8
    and the convolutions use random orders of the units, independent in each layer.

    >>> AllActivations([16, 8])(tf.zeros([2, 28, 28, 1])).shape.as_list()
    [2, 10]
    """

    def __init__(
        self,
        hidden_sizes: Iterable[int],
        num_classes: int = 10,
        activations: Iterable[str] = tuple(ACTIVATIONS),
        reduce: str = "concat",
        seed: int = 0,
        w_init: Initializer = None,
        b_init: Initializer = None,
        name: str | None = None,
    ):
        """Constructs the network.

        Args:
          hidden_sizes: The units of each hidden layer, at least one; multiples of the sizes of the softmax's groups.
          num_classes: The width of the last layer.
          activations: Names in `ACTIVATIONS`, at least one, each once.
          reduce: `concat` or `sum`, see `Parallel`.
          seed: Seed of the orders of the units.
          w_init, b_init, name: As in `BaseModule`, for the dense layers; gates and convolutions along units start as
            `Parallel` and `UnitConvolution` say.
        """
        super().__init__(name=name)
        names = tuple(listed("activations", activations, "names"))
        unknown = [each for each in names if not isinstance(each, str) or each not in ACTIVATIONS]
        if unknown:
            raise ValueError(f"activations (={unknown[0]!r}) must be among {', '.join(ACTIVATIONS)}.")
        if not names:
            raise ValueError("activations must hold at least one.")
        seed = at_least("seed", seed, 0)
        twice = [each for each in names if names.count(each) > 1]
        if twice:
            raise ValueError(
                f"activations (={names}) must name each once, and name {twice[0]!r} {names.count(twice[0])} times."
            )
        sizes = [*checked_sizes("hidden_sizes", hidden_sizes), at_least("num_classes", num_classes, 1, WIDTH)]
        self.layers = linear_layers(sizes, True, w_init, b_init)
        self.activations = []
        for layer in range(len(sizes) - 1):
            branches = {
                each: ACTIVATIONS[each]([seed, layer, index], f"{each}_{layer}") for index, each in enumerate(names)
            }
            self.activations.append(Parallel(branches, reduce, name=f"parallel_{layer}"))

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps `[batch, ...]`, flattened, to `[batch, num_classes]`."""
        hidden = flattened(inputs)
        for layer, activation in zip(self.layers, self.activations, strict=False):
            hidden = activation(layer(hidden))
        return self.layers[-1](hidden)

    def given_weights(self) -> dict[str, float]:
        """Computes the weight of each activation, keyed `layer_0/relu` and so on.

        With concatenation it is the Frobenius norm of the next layer's weights on the activation's units, over the
        square root of their number: the root mean square norm of a unit's outgoing weights. With summation it is the
        magnitude of the gate.
        """
        self._check_called()
        found: dict[str, float] = {}
        for index, (activation, after) in enumerate(zip(self.activations, self.layers[1:], strict=True)):
            if activation.reduce == "sum":
                sizes = np.abs(activation.gates.numpy())
            else:
                blocks = np.split(after.w.numpy(), len(activation.branches))
                sizes = np.array([np.linalg.norm(block) / np.sqrt(len(block)) for block in blocks])
            found |= {
                f"layer_{index}/{name}": float(size) for name, size in zip(activation.branches, sizes, strict=True)
            }
        return found

    def silence(self, name: str, inputs: tf.Tensor) -> None:
        """Ablates one activation in all layers, permanently: its outputs are replaced by their means over some inputs.

        Its weights become 0, and its mean contribution is added to the next layer's bias. The means over the inputs,
        `[batch, ...]`, are computed before any change.
        """
        if name not in self.activations[0].branches:
            raise ValueError(f"name (={name!r}) must be among {', '.join(self.activations[0].branches)}.")
        self._check_called()
        place = list(self.activations[0].branches).index(name)
        means, hidden = [], flattened(inputs)
        for layer, activation in zip(self.layers, self.activations, strict=False):
            units = layer(hidden)
            means.append(tf.reduce_mean(activation.branches[name](units), axis=0))
            hidden = activation(units)
        for mean, activation, after in zip(means, self.activations, self.layers[1:], strict=True):
            _silence(mean, activation, after, place)

    def _check_called(self) -> None:
        if not hasattr(self.layers[-1], "w"):
            raise ValueError("the network has no weights yet: call it on inputs first.")


def _silence(mean: tf.Tensor, activation: Parallel, after: Any, place: int) -> None:
    if activation.reduce == "sum":
        gates = activation.gates.numpy()
        after.b.assign_add(gates[place] * tf.linalg.matvec(after.w, mean, transpose_a=True))
        gates[place] = 0
        activation.gates.assign(gates)
    else:
        weights = after.w.numpy()
        block = np.split(weights, len(activation.branches))[place]  # A view into the weights.
        after.b.assign_add(mean.numpy() @ block)
        block[:] = 0
        after.w.assign(weights)
