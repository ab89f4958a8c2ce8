"""What every driver does with its flags: it trains by its plan, and prints what was found."""

import sys
from collections.abc import Callable
from typing import TypeVar

from weight_symmetry.config import ModelConfig, TrialOptions
from weight_symmetry.plans import Plan
from weirdonetworks.lab import startup

C = TypeVar("C", bound=ModelConfig)


def main(name: str, plan: Callable[[C], Plan]) -> Callable[[C, TrialOptions], None]:
    """Returns the `main` of a driver.

    Args:
      name: The driver's name, which its runs' ids begin with.
      plan: Says when a network's masks change and to what, given the settings.
    """

    def run(config: C, options: TrialOptions) -> None:
        if config.warning:
            print(f"warning: {config.warning}", file=sys.stderr)
        # TensorFlow takes seconds to import; a wrong flag is answered without it.
        startup.import_tensorflow(many_models=options.num_trials > 1)
        from weight_symmetry import experiment, outcome

        outcome.show(experiment.run(name, config, options, plan))

    return run
