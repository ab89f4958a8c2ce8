"""The common form of the experiments: open the study, run it unless it is finished, print its tables.

An experiment is a package. Its `__init__` holds the settings, a class derived from `Config`, and imports nothing heavy,
so that flags are answered at once; its module `study` imports whatever it needs and holds the steps:

    run(study)              trains, measures, and ends with `study.finish(results, draw)`
    train, measure, ...     the parts of `run`
    draw(found)             plots the results
    table(found)            yields the texts to print, most of them tables

Both take what they need of the lab from its own name, as in `from weirdonetworks import lab`.
"""

import importlib

from weirdonetworks.lab import flags, startup
from weirdonetworks.lab.config import Config, RunOptions


def launch(package: str) -> None:
    """Runs an experiment with the flags of the command line.

    Args:
      package: The experiment; it defines one class derived from `Config`, its settings.
    """
    defined = vars(importlib.import_module(package)).values()
    classes = [each for each in defined if isinstance(each, type) and issubclass(each, Config)]
    (settings,) = (each for each in classes if each.__module__ == package)
    flags.run(main, settings, RunOptions)


def main(config: Config, options: RunOptions) -> None:
    """Runs the experiment that a configuration belongs to, and prints its tables.

    Args:
      config: The settings; the package of their class is the experiment.
      options: Run options: the folders of runs and of data sets.
    """
    startup.import_tensorflow(many_models=getattr(config, "trials_backend", "") == "threads")
    from weirdonetworks.lab.training.study import open_study

    package = type(config).__module__
    steps = importlib.import_module(f"{package}.study")
    config = config.resolved()
    with open_study(package.rpartition(".")[2], config, options) as study:
        if not study.is_finished:
            steps.run(study)
        found = study.results
        try:
            texts = list(steps.table(found))
        except Exception as error:
            if not study.is_finished:
                raise
            raise OSError(
                f"{study.directory}/results.json does not hold the results of this study: {error!r}. Put it back, or "
                "pass --overwrite to start again."
            ) from error
        for text in texts:
            print(f"\n{text}")
