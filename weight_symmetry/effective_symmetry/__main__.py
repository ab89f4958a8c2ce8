"""Runs the driver: settings in the package, steps in `study`."""

from weirdonetworks.lab import experiment

if __name__ == "__main__":
    experiment.launch(__package__)
