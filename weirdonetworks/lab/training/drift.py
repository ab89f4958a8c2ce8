"""Monitors of the drift of conserved quantities."""

from collections.abc import Mapping, Sequence
from typing import Any

from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.measure.conserved import Conserved, drift


class DriftMonitor(Hook):
    """A hook that records the drift of quantities since it was made, with the network at its initial weights.

    >>> from weirdonetworks.measure.conserved import conserved_quantities
    >>> network = snt.nets.MLP([3, 2])
    >>> _ = network(tf.zeros([1, 4]))
    >>> monitor = DriftMonitor(conserved_quantities(network, tf.nn.sparse_softmax_cross_entropy_with_logits))
    >>> monitor.after_epoch({})
    {'drift/layer_0/balance': 0.0, 'drift/layer_0/equal_units': 0.0, 'drift/layer_1/class_sums': 0.0}
    """

    def __init__(self, quantities: Sequence[Conserved]):
        """Measures the initial values of the quantities."""
        self.quantities = tuple(quantities)
        self._before = [each.value() for each in self.quantities]

    def after_epoch(self, record: Mapping[str, Any]) -> dict[str, float]:
        """Measures the drift of the quantities.

        Returns:
          The drift of each quantity, as `measure.conserved.drift`, under `drift/` and its name.
        """
        pairs = zip(self.quantities, self._before, strict=True)
        return {f"drift/{each.name}": drift(before, each.value()) for each, before in pairs}
