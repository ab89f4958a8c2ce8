"""Computes by a SavedModel where the package that saved it is not imported.

usage: python -m tests.weight_symmetry.sparse.loading FOLDER
"""

import sys

import numpy as np
import tensorflow as tf


def main(folder: str) -> None:
    with np.load(f"{folder}/given.npz") as given:
        x = tf.constant(given["x"])
    loaded = tf.saved_model.load(f"{folder}/saved")
    (served,) = loaded.signatures["serving_default"](x).values()
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = loaded.layer(x)
        loss = tf.reduce_sum(outputs**2)
    found = {
        **{"layer": outputs, "gradient": tape.gradient(loss, x), "one": loaded.layer(x[:1])},
        **{"compiled": loaded.compiled(x), "condensed": loaded.condensed(x), "served": served},
    }
    assert not {name.partition(".")[0] for name in sys.modules} & {"weight_symmetry", "weirdonetworks", "numba"}
    np.savez(f"{folder}/found.npz", **found)


main(*sys.argv[1:])
