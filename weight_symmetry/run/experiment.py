"""The pipeline shared by all drivers: loads the data, runs the trials, records them."""

from weight_symmetry.run.config import ModelConfig, TrialOptions
from weight_symmetry.run.model_trials import MakeUpdater, ModelTrial
from weirdonetworks.lab import machine
from weirdonetworks.lab.data import datasets
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.training import trials


def run(driver: str, config: ModelConfig, options: TrialOptions, make_updater: MakeUpdater) -> list[runs.Run]:
    """Trains a masked model, its masks changed by an updater, once per trial, and records each run.

    Args:
      driver: The driver's name, the prefix of run ids.
      config: The settings of the first trial; each further trial raises its seeds by one.
      options: The run directory, the number of trials, and how they are executed.
      make_updater: Makes a trial's updater from its configuration and its model.

    Returns:
      The finished runs, trial by trial; a run that was finished before is loaded, not trained again.

    Raises:
      UsageError: If a setting is invalid (see `runs.open_run`, `datasets.load`, `Trainer`).
      OSError: If the data cannot be loaded or a run cannot be written.
    """
    config = options.ordered(config.resolved())
    data = datasets.configured(config, options.data_dir)
    config = config.fitted(data.train.images[0].size, len(data.classes))
    must_exist = options.num_trials == 1 and not options.start_missing
    chosen = [
        ModelTrial(driver, config.trial(number), make_updater, options, data, must_exist)
        for number in range(options.num_trials)
    ]
    return trials.Trials(chosen).run(backend(options.trials_backend, config.execution))


def backend(asked: str, execution: str = "auto") -> str:
    """Resolves `auto` to the backend measured fastest: `batched` on an accelerator, `threads` on a processor."""
    if asked != "auto":
        return asked
    if execution == "sparse":
        return "threads"
    return "batched" if machine.has_accelerator() else "threads"
