"""A monitor of what training ought to conserve."""

from collections.abc import Mapping, Sequence
from typing import Any

from weirdonetworks.lab.training.hooks import Hook
from weirdonetworks.measure.conserved import Conserved, drift


class DriftMonitor(Hook):
    """Measures how far quantities have drifted since the monitor was made, for the records of a training.

    It is made once the network has its initial weights:

    >>> from weirdonetworks.measure.conserved import conserved_quantities
    >>> network = snt.nets.MLP([3, 2])
    >>> _ = network(tf.zeros([1, 4]))
    >>> monitor = DriftMonitor(conserved_quantities(network, tf.nn.sparse_softmax_cross_entropy_with_logits))
    >>> monitor.after_epoch({})
    {'drift/layer_0/balance': 0.0, 'drift/layer_0/equal_units': 0.0, 'drift/layer_1/class_sums': 0.0}
    """

    def __init__(self, quantities: Sequence[Conserved]):
        """Measures the quantities for the first time."""
        self.quantities = tuple(quantities)
        self._before = [each.value() for each in self.quantities]

    def after_epoch(self, record: Mapping[str, Any]) -> dict[str, float]:
        """Measures the quantities as they are now.

        Returns:
          The drift of each quantity, as `measure.conserved.drift`, under `drift/` and its name.
        """
        pairs = zip(self.quantities, self._before, strict=True)
        return {f"drift/{each.name}": drift(before, each.value()) for each, before in pairs}
