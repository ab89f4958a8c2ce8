"""What every driver does with its flags: it trains by its plan, and prints what was found."""

import sys
from collections.abc import Callable

from weight_symmetry.config import ModelConfig, TrialOptions
from weirdonetworks.lab import startup


def main(name: str, plan: str) -> Callable[[ModelConfig, TrialOptions], None]:
    """Returns the `main` of a driver.

    Args:
      name: The driver's name, which its runs' ids begin with.
      plan: The class in `plans` that says, made from the settings, when a network's masks change and to what.
    """

    def run(config: ModelConfig, options: TrialOptions) -> None:
        if config.warning:
            print(f"warning: {config.warning}", file=sys.stderr)
        # TensorFlow takes seconds to import, NumPy a tenth of one; a wrong flag is answered without them.
        startup.import_tensorflow(many_models=options.num_trials > 1)
        from weight_symmetry import experiment, outcome, plans

        outcome.show(experiment.run(name, config, options, getattr(plans, plan)))

    return run
