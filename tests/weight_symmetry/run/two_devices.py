"""Trains three trials in one program on each of two devices, which are this machine's processor twice.

usage: python -m tests.weight_symmetry.run.two_devices FOLDER EXECUTION
"""

import dataclasses
import pathlib
import sys
from typing import Any

import tensorflow as tf

from tests.weight_symmetry.run import test_backends
from weirdonetworks.lab import machine
from weirdonetworks.lab.training import loop


def main(folder: str, execution: str) -> None:
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    machine.devices = lambda: [each.name for each in tf.config.list_logical_devices("CPU")]
    fit = loop.fit

    def told(trainer: Any, members: Any, data: Any) -> Any:
        failures = fit(trainer, members, data)
        where = {each.device[-5:] for each in (*trainer._copies.parameters, trainer.train.images, data["test"].images)}
        print(len(members), *where)
        return failures

    loop.fit = told
    config = dataclasses.replace(test_backends.CONFIG, execution=execution)
    test_backends.train(pathlib.Path(folder), "batched", config)


main(*sys.argv[1:])
