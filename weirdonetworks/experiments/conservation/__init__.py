"""Are the quantities that Noether's theorem predicts conserved in training?

usage: python -m weirdonetworks.experiments.conservation [--flag=value ...]

Trains small networks by plain gradient descent over a fixed time (learning rate times number of steps), at rates that
are halved again and again, and measures the drift of the quantities that gradient flow conserves:

    python -m weirdonetworks.experiments.conservation
    python -m weirdonetworks.experiments.conservation --optimizer=Adam --learning_rate=0.002

The control, with tanh, is measured as if its units were homogeneous, which they are not. In each hidden layer the first
two units start equal.
"""

from weirdonetworks.experiments.shared import settings
from weirdonetworks.lab import setting


class ConservationConfig(
    settings.DigitsConfig, weight_decay=0.0, optimizer="Momentum", momentum=0.0, lr_schedule="constant"
):
    """Settings of the experiment."""

    epochs: int = setting(1, "Passes over the training data at the greatest learning rate.", minimum=1)
    learning_rate: float = setting(0.1, "The greatest learning rate.", minimum=1e-30, short="lr")
    halvings: int = setting(
        4, "Number of times the rate is halved and the epochs doubled.", minimum=1, affects="measuring"
    )
    hidden_sizes: tuple[int, ...] = setting((32, 32), "The widths of the hidden layers.", minimum=2, may_be_empty=False)
    channels: tuple[int, ...] = setting(
        (8, 8), "The channels of the convolutions, each 3 x 3.", minimum=2, may_be_empty=False
    )

    def rates(self) -> list[float]:
        """Lists the learning rates, the greatest first.

        >>> ConservationConfig(learning_rate=0.4, halvings=2).rates()
        [0.4, 0.2, 0.1]
        """
        return [self.learning_rate / 2**halving for halving in range(self.halvings + 1)]
