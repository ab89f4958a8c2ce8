"""The `main` shared by all drivers: it trains with the driver's updater and prints a summary."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weight_symmetry.run.config import ModelConfig, TrialOptions
from weirdonetworks.lab import startup
from weirdonetworks.lab.errors import UsageError

if TYPE_CHECKING:
    from weight_symmetry.run.mask_config import FixedMaskConfig
    from weight_symmetry.run.model_trials import MaskedModel
    from weight_symmetry.updaters import FixedMask


def main(name: str, updater: Callable[[Any, Any], Any]) -> Callable[[ModelConfig, TrialOptions], None]:
    """Returns the `main` of a driver.

    Args:
      name: The driver's name, the prefix of its run ids.
      updater: Makes the updater of the masks from the settings and the model.
    """

    def run(config: ModelConfig, options: TrialOptions) -> None:
        if config.warning:
            print(f"warning: {config.warning}", file=sys.stderr)
        # Imported after the flags are checked, since TensorFlow takes seconds to import.
        startup.import_tensorflow(many_models=options.num_trials > 1)
        from weight_symmetry.run import experiment, outcome

        outcome.print_summary(experiment.run(name, config, options, updater))

    return run


def fixed_mask(config: "FixedMaskConfig", model: "MaskedModel") -> "FixedMask":
    """Draws the masks of a driver that does so before training."""
    from weight_symmetry.updaters import FixedMask

    try:
        return FixedMask(
            model.masks,
            config.mask_type,
            config.drawn_sparsity,
            seed=config.mask_randomseed,
            distribution=config.sparsity_distribution,
            group_size=config.group_size,
            indices=config.masked_layers,
        )
    except ValueError as error:  # That depends on the shapes of the model's weights, which the flags do not tell.
        raise UsageError(f"{config.given_sparsity} does not fit {config.model}: {error}") from error
