"""The `main` shared by all drivers: it trains by the driver's plan and prints a summary."""

import sys
from collections.abc import Callable

from weight_symmetry.config import ModelConfig, TrialOptions
from weirdonetworks.lab import startup


def main(name: str, plan: str) -> Callable[[ModelConfig, TrialOptions], None]:
    """Returns the `main` of a driver.

    Args:
      name: The driver's name, the prefix of its run ids.
      plan: The name of the class in `plans`, constructed from the settings, that decides the masks of each epoch.
    """

    def run(config: ModelConfig, options: TrialOptions) -> None:
        if config.warning:
            print(f"warning: {config.warning}", file=sys.stderr)
        # Imported after the flags are checked, since TensorFlow takes seconds to import.
        startup.import_tensorflow(many_models=options.num_trials > 1)
        from weight_symmetry import experiment, outcome, plans

        outcome.print_summary(experiment.run(name, config, options, getattr(plans, plan)))

    return run
