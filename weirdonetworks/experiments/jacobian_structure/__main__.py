"""Runs the experiment: settings in the package, steps in `study`."""

from weirdonetworks.experiments.jacobian_structure import JacobianStructureConfig
from weirdonetworks.lab import experiment, flags
from weirdonetworks.lab.config import RunOptions

if __name__ == "__main__":
    flags.run(experiment.main, JacobianStructureConfig, RunOptions)
