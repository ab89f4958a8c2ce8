"""What every experiment does: it opens its study, runs it unless it is finished, and prints what was found.

An experiment is a package. The package itself holds its settings, a class derived from `Config`, and is light, so that
flags are answered at once; its module `study` imports whatever it needs and holds the steps:

    run(opened, config, options)    trains, measures, and ends with `opened.finish(results, draw)`
    train, measure, ...             its parts
    draw(found)                     makes the figure from the results
    table(found)                    yields the texts to print, tables most of them
"""

import importlib

from weirdonetworks.lab import startup
from weirdonetworks.lab.config import Config, RunOptions


def main(config: Config, options: RunOptions) -> None:
    """Runs the experiment that a configuration belongs to, and prints what it found.

    Args:
      config: Its settings; the package of their class is the experiment.
      options: Where it is kept.
    """
    startup.import_tensorflow(many_models=getattr(config, "trials_backend", "") == "threads")
    from weirdonetworks.lab.training import study

    package = type(config).__module__
    steps = importlib.import_module(f"{package}.study")
    config = config.resolved()
    with study.open_study(package.rpartition(".")[2], config, options) as opened:
        if not opened.is_finished:
            steps.run(opened, config, options)
        for text in steps.table(opened.results):
            print(f"\n{text}")
