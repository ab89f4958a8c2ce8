"""The loss on the straight line between two models."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from weirdonetworks.algebra.arrays import at_least, instance, reals
from weirdonetworks.lab.records.tables import table
from weirdonetworks.measure.models import cause_of, named
from weirdonetworks.measure.unit_tracing.naming import resource
from weirdonetworks.measure.unit_tracing.traced_call import variables_of
from weirdonetworks.nets.base_module import keras_layers
from weirdonetworks.nets.inputs import checked_function

MOST = 10**6  # The most points of a path.

Measure = Callable[[Any], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """Metrics of the models on the line between two models.

    >>> path = Path(np.array([0.0, 0.5, 1.0]), {"accuracy": np.array([0.9, 0.2, 0.8])})
    >>> f"{path.metrics['accuracy'][1]:.0%} half way, a barrier of {100 * path.barrier('-accuracy'):.0f} points"
    '20% half way, a barrier of 65 points'
    >>> print(path)
              at A  at B  least  greatest
    accuracy   0.9   0.8    0.2       0.9

    Attributes:
      shares: The shares t of the second model, from 0 to 1.
      metrics: For each metric its values at these points.
    """

    shares: npt.NDArray[np.float64]
    metrics: Mapping[str, npt.NDArray[np.float64]]

    def barrier(self, metric: str = "loss") -> float:
        """Computes how far a metric rises over the line between its ends: `max_t L(t) - (1 - t) L(0) - t L(1)`.

        At least 0, as it is at the ends (Frankle, Dziugaite, Roy & Carbin 2020; Entezari et al. 2022). Of an accuracy,
        whose barrier is a fall, give `-metric`.

        >>> path = Path(np.array([0.0, 0.5, 1.0]), {"loss": np.array([1.0, 4.0, 3.0])})
        >>> path.barrier(), path.barrier("-loss")
        (2.0, 0.0)

        Args:
          metric: Its name, after a minus sign if it is better the greater it is.

        Raises:
          TypeError: If the metric is no text.
          ValueError: If there is no such metric.
        """
        name = instance("metric", metric, str).removeprefix("-")
        if not self.metrics:
            raise ValueError(f"metric (={metric!r}) must be one that `measure` returns, which has returned none.")
        if name not in self.metrics:
            measured = ", ".join(self.metrics)
            raise ValueError(
                f"metric (={metric!r}) must be one of {measured}, or after a minus, as '-accuracy', if it falls."
            )
        values = self.metrics[name] * (-1 if metric != name else 1)
        return float(np.max(values - (1 - self.shares) * values[0] - self.shares * values[-1]))

    def __str__(self) -> str:
        columns = ("at A", "at B", "least", "greatest")
        rows = [
            [name, *(f"{value:.4g}" for value in (values[0], values[-1], values.min(), values.max()))]
            for name, values in self.metrics.items()
        ]
        return table(["", *columns], rows)


def linear_path(
    model_a: Any,
    model_b: Any,
    measure: Measure,
    points: int = 25,
    correct: Callable[[Any], None] | None = None,
) -> Path:
    """Measures the models `(1 - t) A + t B` at equally spaced t in [0, 1].

    All floating-point variables are interpolated, moving averages too; the others are those of A.

    >>> import sonnet as snt
    >>> one, other = snt.Linear(1, w_init=snt.initializers.Ones()), snt.Linear(1, w_init=snt.initializers.Zeros())
    >>> _ = one(tf.ones([1, 2])), other(tf.ones([1, 2]))
    >>> linear_path(one, other, lambda model: {"output": float(model(tf.ones([1, 2]))[0, 0])}, points=3).metrics
    {'output': array([2., 1., 0.])}

    Args:
      model_a: A Sonnet or Keras model.
      model_b: Another one of its architecture, aligned by `match` if it is to be.
      measure: Measures a model; returns the metrics by name. It is called with `model_a`, which has the values of each
        point in turn, and its own again in the end.
      points: The number of points, the ends among them.
      correct: Changes an interpolated model before it is measured, such as `lambda model: repair(model, images)`; the
        ends stay as they are.

    Raises:
      ValueError: If the models do not have the same variables, or have none yet, there are fewer than two points, or
        `measure` does not return the same metrics at each.
      TypeError: If a model is none, `measure` returns no mapping of numbers, or an argument is of another type.
    """
    at_least("points", points, 2, MOST)
    checked_function("measure", measure, takes=1)
    if correct is not None:
        checked_function("correct", correct, takes=1)
    variables, others = _variables("model_a", model_a), _variables("model_b", model_b)
    ends = [[variable.numpy() for variable in each] for each in (variables, others)]
    shapes = [[each.shape for each in values] for values in ends]
    if shapes[0] != shapes[1]:
        raise ValueError(f"model_b (variables of shapes {shapes[1]}) must have those of model_a: {shapes[0]}.")
    shares, found = np.linspace(0.0, 1.0, points), list[Mapping[str, float]]()
    try:
        for share in shares:
            for variable, a, b in zip(variables, *ends, strict=True):
                variable.assign((1 - share) * a + share * b if variable.dtype.is_floating else a)
            if correct is not None and 0 < share < 1:
                correct(model_a)
            measured = measure(model_a)
            if not isinstance(measured, Mapping):
                kind = type(measured).__name__
                raise TypeError(f"measure(model) (a {kind}) must be metrics by name, such as {{'loss': 0.3}}.")
            if found and measured.keys() != found[0].keys():
                raise ValueError(
                    f"measure(model) (of {', '.join(measured)}) must give the same metrics at each point: "
                    f"{', '.join(found[0])}."
                )
            found.append(measured)
    finally:
        for variable, value in zip(variables, ends[0], strict=True):
            variable.assign(value)
    values = {name: [each[name] for each in found] for name in found[0]}
    return Path(shares, {name: reals(f"measure(model)[{name!r}]", each) for name, each in values.items()})


def _variables(name: str, model: Any) -> list[tf.Variable]:
    """Lists the variables of a model, which messages call `name`."""
    found = [resource(each) for each in variables_of(model)]
    if not found and not hasattr(type(model), "variables"):
        raise TypeError(f"{name} (={named(model)}) must be a Sonnet or Keras model.")
    if not found:
        raise ValueError(f"{name} (={named(model)}) has no variables yet: call it once on inputs, which creates them.")
    return found


def repair(model: Any, *inputs: Any, **options: Any) -> None:
    """Sets the statistics of a model's batch norms to those of a batch, in place.

    An average of two networks has activations of smaller variance than either. Statistics measured anew give each
    channel back the mean and variance that its norm is to have (Jordan, Sedghi, Saukh, Entezari & Neyshabur 2023). So
    they do for a network that has just been pruned, whose moving averages are still those of before.

    >>> import sonnet as snt
    >>> norm, images = snt.BatchNorm(True, True), tf.constant([[1.0], [3.0], [5.0]])
    >>> model = snt.Sequential([norm, snt.Linear(2)])
    >>> _ = model(tf.zeros([3, 1]), is_training=True)
    >>> repair(model, images, is_training=True)
    >>> norm.moving_mean.value.numpy().round(1).tolist()
    [[3.0]]

    Args:
      model: A Sonnet or Keras model with batch norms: modules with `moving_mean` and `moving_variance`.
      *inputs: Arguments of a call in training, the more examples the better.
      **options: Its keyword arguments, such as `is_training=True`.

    Raises:
      ValueError: If the model has no batch norm, none is in training in that call, or one keeps a share of its former
        statistics. The statistics are then as they were.
    """
    norms = [each for each in _modules(model) if hasattr(each, "moving_mean") and hasattr(each, "moving_variance")]
    if not norms:
        raise ValueError(f"model (a {type(model).__name__}) must have batch norms, whose statistics can be measured.")
    momenta = [getattr(norm, "momentum", None) for norm in norms]
    held = [[(each, each.numpy()) for each in _statistics(norm)] for norm in norms]
    variances = [getattr(norm.moving_variance, "average", norm.moving_variance) for norm in norms]
    marks = [_no_variance(variance.numpy()) for variance in variances]
    for norm, variance, mark in zip(norms, variances, marks, strict=True):
        for average in (norm.moving_mean, norm.moving_variance):
            if hasattr(average, "reset"):
                average.reset()  # Sonnet's averages begin anew, and are unbiased from their first value on.
        variance.assign(mark)  # Those that keep it have not measured.
        if hasattr(norm, "momentum"):
            norm.momentum = 0.0
    restored = norms
    try:
        try:
            model(*inputs, **options)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            cause = cause_of(error)
            raise kind(f"inputs must hold the arguments of a call of model, which failed: {cause}") from error
        found = [variance.numpy() for variance in variances]
        idle = [norm for norm, value, mark in zip(norms, found, marks, strict=True) if np.all(value == mark)]
        mixed = [  # A hundredth, since a variance of zero may be negative by its rounding.
            norm
            for norm, value, mark in zip(norms, found, marks, strict=True)
            if norm not in idle and np.any(value < mark / 100)
        ]
        if mixed:
            names = ", ".join(norm.name for norm in mixed)
            raise ValueError(
                f"model (with the batch norms {names}) must replace its statistics in one call, but these keep a share "
                "of the former ones: set a decay of their own to 0 for this call, and call a model of Keras layers as "
                "it was before a tf.function traced it with their momentum."
            )
        if len(idle) == len(norms):
            raise ValueError(
                f"options (={options}) must make it a call in training, in which batch norms measure the batch: "
                "is_training=True of a Sonnet model, training=True of a Keras one."
            )
        restored = idle
    finally:
        for norm, momentum, values in zip(norms, momenta, held, strict=True):
            if momentum is not None:
                norm.momentum = momentum
            if norm in restored:
                for variable, value in values:
                    variable.assign(value)


def _no_variance(variance: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Makes negative numbers, so large beside a norm's variances that an average with those of a batch is negative."""
    scale = 1 + 100 * np.abs(variance.astype(np.float64))
    return -np.fmin(scale, 1e4).astype(variance.dtype)  # Finite, also in float16 and of a network that diverged.


def _statistics(norm: Any) -> list[Any]:
    """Lists the variables of a batch norm's moving averages."""
    averages = (norm.moving_mean, norm.moving_variance)
    return [each for average in averages for each in getattr(average, "variables", (average,))]


def _modules(model: Any) -> list[Any]:
    """Lists the modules and Keras layers within a model."""
    own = list(model.submodules) if isinstance(model, tf.Module) else []
    inner = [each for layer in keras_layers(model) for each in layer._flatten_layers()]
    return list({id(each): each for each in [*own, *inner]}.values())
