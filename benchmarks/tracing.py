"""Steps of counting the symmetries of a large model: building it, tracing its units, the exact group of its masks.

    python -m benchmarks.tracing --sparsity=0.95 --json=tracing.json

The model is Keras's ResNet-50 with random weights, called on one image of 224 x 224 pixels; its masks are drawn at
random. Each variant times one step, after those before it, in a process of its own. Imports are not counted.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import harness

if TYPE_CHECKING:
    import keras

    from weirdonetworks.measure.unit_graph import UnitGraph

HERE = "benchmarks.tracing"
VARIANTS = (
    harness.Variant("build", "the model", f"{HERE}:build"),
    harness.Variant("trace", "its units", f"{HERE}:trace"),
    harness.Variant("group", "the group of its masks", f"{HERE}:group", needs=("igraph",)),
)
BLOCKS = {64: 3, 128: 4, 256: 6, 512: 3}  # Of each width; two layers within each, and one stream four times as wide.
UNITS = 64 + sum(2 * width * count + 4 * width for width, count in BLOCKS.items())

Contender = Callable[[Mapping[str, Any]], harness.Sample]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see the top of this module."""
    return harness.main(
        "Units and symmetries of ResNet-50",
        VARIANTS,
        run=f"{HERE}:run",
        add_options=_add_options,
        caption=_caption,
        arguments=arguments,
    )


def run(contender: Contender, threads: int, options: Mapping[str, Any]) -> harness.Sample:
    """Times one step, once: it would find in memory what it has computed before."""
    harness.tensorflow_threads(threads)
    return contender(options)


def build(options: Mapping[str, Any]) -> harness.Sample:
    """Makes the model."""
    import keras  # noqa: F401  # Which takes seconds the first time.

    return _timed(_model)[1]


def trace(options: Mapping[str, Any]) -> harness.Sample:
    """Traces the units of the model.

    Raises:
      RuntimeError: If they are not as many as the architecture has.
    """
    graph, sample = _traced(_model())
    found = sum(space.size for space in graph.free)
    if found != UNITS:
        raise RuntimeError(f"{found} interchangeable units were found instead of {UNITS}.")
    return sample


def group(options: Mapping[str, Any]) -> harness.Sample:
    """Computes the group of masks of the traced model."""
    from weight_symmetry.masks import Masks
    from weight_symmetry.symmetry import automorphisms

    model = _model()
    masks = Masks.create(model, "random", options["sparsity"], seed=options["round"])
    return _timed(automorphisms, masks, _traced(model)[0])[1]


def _model() -> "keras.Model":
    import keras

    return keras.applications.ResNet50(weights=None)


def _traced(model: "keras.Model") -> tuple["UnitGraph", harness.Sample]:
    from weirdonetworks.measure.unit_graph import UnitGraph

    images = np.zeros((1, 224, 224, 3), np.float32)
    graph, sample = _timed(UnitGraph.trace, model, images, training=False)
    return graph, sample


def _timed(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, harness.Sample]:
    start, busy = time.perf_counter(), time.process_time()
    result = function(*arguments, **options)
    return result, harness.Sample([time.perf_counter() - start], {"seconds_of_processors": time.process_time() - busy})


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sparsity", type=_sparsity, default=0.95, help="of the masks (%(default)s)")


def _sparsity(text: str) -> float:
    sparsity = float(text)
    if not 0 <= sparsity <= 1:
        raise argparse.ArgumentTypeError(f"{text} must be in [0, 1].")
    return sparsity


def _caption(options: Mapping[str, Any]) -> str:
    return f"Seconds of each step, masks of sparsity {options['sparsity']:.0%}"


if __name__ == "__main__":
    sys.exit(main())
