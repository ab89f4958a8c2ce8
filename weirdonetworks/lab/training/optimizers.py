"""Optimizers whose learning rate is an argument of the step, and whose update is one fused kernel.

Of float16 and bfloat16 parameters, slots and arithmetic are float32, as in mixed precision: bfloat16 rounds 0.999 to 1,
and float16 an epsilon of 1e-8 to 0.
"""

from collections.abc import Sequence
from typing import Protocol

import sonnet as snt
import tensorflow as tf

from weirdonetworks.algebra.arrays import finite
from weirdonetworks.nets.pooling import accumulator


class _Slots(snt.Module):
    """Per-parameter state of an optimizer: `names[k]` -> a list of variables in the order of the parameters."""

    slot_names: tuple[str, ...] = ()
    _decays: list[bool]

    def __init__(self, weight_decay: float, name: str | None):
        super().__init__(name=name)
        finite("weight_decay", weight_decay, least=0)
        self.weight_decay = weight_decay

    @snt.once
    def initialize(self, parameters: Sequence[tf.Variable]) -> None:
        """Creates the slots; to be called outside compiled functions, before the first `apply`.

        Parameters of rank two and more are subject to weight decay; biases, scales and offsets are not.

        Args:
          parameters: The variables that will be trained.
        """
        self._decays = [parameter.shape.rank >= 2 and self.weight_decay > 0 for parameter in parameters]
        for slot in self.slot_names:
            zeros = (tf.zeros_like(parameter, accumulator(parameter.dtype)) for parameter in parameters)
            setattr(self, slot, [tf.Variable(zero, trainable=False, name=slot) for zero in zeros])

    def _check_initialized(self) -> None:
        if not hasattr(self, "_decays"):
            raise ValueError("apply must come after initialize(parameters), which creates what it keeps of each.")

    def reset(self) -> None:
        """Sets all slots and counts to zero, as before the first step."""
        for variable in self._state():
            variable.assign(tf.zeros_like(variable))

    def _state(self) -> list[tf.Variable]:
        return [variable for slot in self.slot_names for variable in getattr(self, slot)]


class Adam(_Slots):
    """Adam with decoupled weight decay (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019).

        m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2
        w <- (1 - lr weight_decay) w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)

    Weights of rank two and more decay, vectors do not. As in TensorFlow's own kernel, epsilon is the paper's
    "epsilon hat".

    >>> w = tf.Variable([1.0, -1.0])
    >>> optimizer = Adam()
    >>> optimizer.initialize([w])
    >>> _ = optimizer.apply([tf.constant([0.3, -0.2])], [w], learning_rate=tf.constant(0.1))
    >>> print(w.numpy().round(3))
    [ 0.9 -0.9]
    """

    slot_names = ("m", "v")

    @property
    def keeps_zeros(self) -> bool:
        """As `Optimizer` says; without epsilon 0 is divided by 0."""
        return self.epsilon > 0

    def __init__(
        self,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(weight_decay, name)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")

    def apply(
        self, updates: Sequence[tf.Tensor], parameters: Sequence[tf.Variable], learning_rate: tf.Tensor
    ) -> Sequence[tf.Tensor]:
        """Applies one update; `updates` are the gradients of `parameters` in their order. Returns the updates."""
        self._check_initialized()
        self.step.assign(self.step + 1)
        # Copies trained side by side have a count each, all of them the same.
        step = tf.reduce_max(self.step)
        for g, parameter, m, v, decays in zip(updates, parameters, self.m, self.v, self._decays, strict=True):
            t = tf.cast(step, m.dtype)
            rate = tf.cast(learning_rate, m.dtype)
            if m.dtype != parameter.dtype:
                w, g = (tf.cast(each, m.dtype) for each in (parameter, g))
                m.assign(self.beta1 * m + (1.0 - self.beta1) * g)
                v.assign(self.beta2 * v + (1.0 - self.beta2) * tf.square(g))
                correction = tf.sqrt(1.0 - tf.pow(self.beta2, t)) / (1.0 - tf.pow(self.beta1, t))
                kept = w * (1.0 - rate * self.weight_decay) if decays else w
                parameter.assign(tf.cast(kept - rate * correction * m / (tf.sqrt(v) + self.epsilon), parameter.dtype))
                continue
            if decays:
                parameter.assign(parameter * (1.0 - rate * self.weight_decay))
            tf.raw_ops.ResourceApplyAdam(
                var=parameter.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=tf.pow(tf.cast(self.beta1, parameter.dtype), t),
                beta2_power=tf.pow(tf.cast(self.beta2, parameter.dtype), t),
                lr=rate,
                beta1=tf.cast(self.beta1, parameter.dtype),
                beta2=tf.cast(self.beta2, parameter.dtype),
                epsilon=tf.cast(self.epsilon, parameter.dtype),
                grad=g,
            )
        return updates

    def _state(self) -> list[tf.Variable]:
        return [self.step, *super()._state()]


class Momentum(_Slots):
    """Gradient descent with heavy-ball momentum and L2 weight decay (Polyak 1964).

        a <- momentum a + (g + weight_decay w),   w <- w - lr a

    With `nesterov`, in the form of TensorFlow and Keras (Sutskever et al. 2013):

        a <- momentum a + (g + weight_decay w),   w <- w - lr (momentum a + (g + weight_decay w))

    Weights of rank two and more decay, vectors do not.

    >>> w = tf.Variable([1.0])
    >>> optimizer = Momentum(0.9)
    >>> optimizer.initialize([w])
    >>> for _ in range(2):
    ...     _ = optimizer.apply([tf.constant([1.0])], [w], learning_rate=tf.constant(0.1))
    >>> print(f"{w.numpy().item():.3f}")
    0.710
    """

    slot_names = ("accumulated",)
    keeps_zeros = True

    def __init__(
        self, momentum: float = 0.9, weight_decay: float = 0.0, nesterov: bool = False, name: str | None = None
    ):
        super().__init__(weight_decay, name)
        self.momentum = momentum
        self.nesterov = nesterov

    def apply(
        self, updates: Sequence[tf.Tensor], parameters: Sequence[tf.Variable], learning_rate: tf.Tensor
    ) -> Sequence[tf.Tensor]:
        """Applies one update; `updates` are the gradients of `parameters` in their order. Returns the updates."""
        self._check_initialized()
        for g, parameter, accumulated, decays in zip(updates, parameters, self.accumulated, self._decays, strict=True):
            if accumulated.dtype != parameter.dtype:
                w, g = (tf.cast(each, accumulated.dtype) for each in (parameter, g))
                g = g + self.weight_decay * w if decays else g
                accumulated.assign(self.momentum * accumulated + g)
                rate = tf.cast(learning_rate, accumulated.dtype)
                step = self.momentum * accumulated + g if self.nesterov else accumulated
                parameter.assign(tf.cast(w - rate * step, parameter.dtype))
                continue
            if decays:
                g = g + self.weight_decay * parameter
            tf.raw_ops.ResourceApplyMomentum(
                var=parameter.handle,
                accum=accumulated.handle,
                lr=tf.cast(learning_rate, parameter.dtype),
                grad=g,
                momentum=tf.cast(self.momentum, parameter.dtype),
                use_nesterov=self.nesterov,
            )
        return updates


class Optimizer(Protocol):
    """What `Trainer` needs of an optimizer; `Adam` and `Momentum`, also wrapped by masks, are such.

    A class may have an attribute `keeps_zeros` of its own: that a weight of 0 whose slots are 0 stays so, with its
    slots, under gradients of 0. Then masks cut weights once an epoch instead of after each step. It is not inherited,
    since a subclass may take other steps.
    """

    def initialize(self, parameters: Sequence[tf.Variable]) -> None:
        """Creates the slots of parameters."""

    def apply(
        self, updates: Sequence[tf.Tensor], parameters: Sequence[tf.Variable], learning_rate: tf.Tensor
    ) -> Sequence[tf.Tensor]:
        """Applies one update; returns the updates that it applied, which may be masked."""

    def reset(self) -> None:
        """Sets all slots and counts to zero."""
