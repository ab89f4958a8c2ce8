"""Execution of trials that differ in seeds: one after another, one per core, or all in one program."""

import abc
import concurrent.futures
import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from weirdonetworks.lab import machine
from weirdonetworks.lab.config import TrainingConfig
from weirdonetworks.lab.data.datasets import Resident
from weirdonetworks.lab.errors import UsageError
from weirdonetworks.lab.records import runs
from weirdonetworks.lab.records.runs import Run
from weirdonetworks.lab.training import loop
from weirdonetworks.lab.training.hooks import Hook, Progress, progress
from weirdonetworks.lab.training.memory import size_of_a_copy
from weirdonetworks.lab.training.objectives import Objective
from weirdonetworks.lab.training.optimizers import Optimizer
from weirdonetworks.lab.training.state import DivergenceError
from weirdonetworks.lab.training.trainer import Direction, Trainer

MEMORY = 0.5  # The share of a device's free memory that networks in one program are to take.

# The `execution` in a run's settings, by the compilation of its functions: alone, or with others in one program.
_ALONE = {"xla": "xla", "graph": "graph", "sparse": "sparse"}
_TOGETHER = {"xla": "batched", "graph": "batched_graph"}


class Trial(abc.ABC):
    """A training that `Trials` runs.

    Attributes:
      name: The name that its run's id begins with.
      folder: The folder of its run.
      config: The settings.
      data: The splits, on the device.
      objective: Makes the objective, given the network.
      direction: The update direction, as `Trainer` takes it.
      shared: Whether trials share one trainer, or each makes its own.
    """

    name: str
    folder: pathlib.Path
    config: TrainingConfig
    data: Mapping[str, Resident]
    objective: Callable[[Any], Objective]
    direction: Direction
    shared = True

    @abc.abstractmethod
    def trainer(self, execution: str, count: int | None) -> Trainer:
        """Makes a trainer with the given `execution`, of one network or of `count` copies."""

    @abc.abstractmethod
    def open(self, executed: str) -> contextlib.AbstractContextManager[Run]:
        """Opens the trial's run; see `runs.open_run`."""

    def is_finished(self, executed: str) -> bool:
        """Returns whether there is a finished run of the trial with that execution."""
        return runs.is_finished(self.folder, self.name, self.settings(executed))

    def settings(self, executed: str) -> dict[str, Any]:
        """Returns the settings that determine the run's id; `auto` is resolved, since executions round differently."""
        return self.config.affecting("training") | {"execution": executed}

    def trainer_of(
        self, network: Any, execution: str, count: int | None, optimizer: Optimizer | None = None
    ) -> Trainer:
        """Makes a trainer of a network, or of copies of it, with the optimizer of the settings unless one is given."""
        return Trainer(
            network,
            optimizer or loop.optimizer(self.config),
            self.objective,
            self.data["train"],
            count=count,
            batch_size=self.config.batch_size,
            batch_size_test=self.config.batch_size_test,
            execution=execution,
            direction=self.direction,
            precision=self.config.precision,
        )

    @abc.abstractmethod
    def start(self, trainer: Trainer, run: Run) -> Sequence[Hook]:
        """Sets a trainer to the trial's initial state; returns the hooks of its run."""

    @abc.abstractmethod
    def end(self, trainer: Trainer, run: Run) -> None:
        """Measures the trained network, and finishes the run unless it was finished before."""

    def announce(self, trainer: Trainer, run: Run, manner: str) -> None:
        """Prints that training begins; called for the first trial, with a description of the execution."""
        del trainer, run, manner


class Trials:
    """An executor of trials; those that share a trainer or a program must differ in seeds alone.

    A finished run of a trial is reused, whatever its execution, unless the settings name one.
    """

    def __init__(self, trials: Sequence[Trial], restores: bool = False):
        """Takes the trials.

        Args:
          trials: The trials.
          restores: Whether finished trials are restored and their `end` is called, too.
        """
        self._trials = trials
        self._restores = restores
        self._runs: dict[int, Run] = {}
        self._failures: dict[int, DivergenceError] = {}
        self._announced = False
        self._one_at_a_time = threading.Lock()

    def run(self, backend: str, description: str = "training") -> list[Run]:
        """Trains the trials that are not finished.

        If the loss of a trial does not stay finite, the others go on; the error is raised at the end.

        Args:
          backend: `sequential`, one after another; `threads`, one per core, fastest on a CPU; or `batched`, copies in
            one program, for accelerators.
          description: The label of the progress bar.

        Returns:
          The finished runs, in the order of the trials.

        Raises:
          DivergenceError: If the loss of some trial did not stay finite.
          UsageError: If trials are to run in one program whose `execution` trains one network alone.
        """
        if len(self._trials) == 1:
            backend = "sequential"
        asked = self._trials[0].config.execution
        if backend == "batched" and asked not in ("auto", *_TOGETHER):
            raise UsageError(
                f"trials_backend (=batched) must be threads with --execution={asked}, which trains one network alone."
            )
        ways = {"sequential": self._sequential, "threads": self._threads, "batched": self._batched}
        with progress(sum(trial.config.epochs for trial in self._trials), description) as bar:
            ways[backend](bar)
        if self._failures:
            failure = self._failures[min(self._failures)]
            names = ", ".join(self._runs[number].id for number in sorted(self._failures))
            raise DivergenceError(f"{names}: {failure}" if len(self._trials) > 1 else str(failure)) from failure
        return [self._runs[number] for number in range(len(self._trials))]

    def _sequential(self, bar: Any) -> None:
        manner = f", {len(self._trials)} trials one after another" if len(self._trials) > 1 else ""
        self._work(range(len(self._trials)), bar, self._trials[0].config.execution, manner)

    def _threads(self, bar: Any) -> None:
        workers = min(len(self._trials), len(machine.cores()))
        # With one thread a network TensorFlow's own executor is the faster one; see `trainer.resolve_execution`.
        asked = self._trials[0].config.execution
        execution = "graph" if asked == "auto" else asked
        waiting, stop = iter(range(len(self._trials))), Stop()
        manner = f", {len(self._trials)} trials, {workers} at a time"
        in_workers(lambda _: self._work(waiting, bar, execution, manner, [stop]), range(workers), stop)

    def _work(
        self,
        numbers: Iterable[int],
        bar: Any,
        execution: str,
        manner: str = "",
        hooks: Sequence[Hook] = (),
        ways: Mapping[str, str] = _ALONE,
    ) -> None:
        """Trains trials one after another, with one trainer if they share it."""
        trainer: Trainer | None = None
        for number in numbers:
            trial, moves_bar = self._trials[number], Progress(bar)
            executed = self._found(trial, ways)
            if not trial.shared:
                trainer = None
            if trainer is None and (executed is None or self._restores):
                with self._one_at_a_time:
                    trainer = trial.trainer(execution, None)
            try:
                with trial.open(executed or cast("Trainer", trainer).execution) as run:
                    self._runs[number] = run
                    if trainer is not None and (self._restores or not run.is_finished):
                        self._announce(trial, trainer, run, manner)
                        with self._one_at_a_time:
                            own = trial.start(trainer, run)
                        loop.fit(trainer, [loop.Member(run, trial.config, [*own, *hooks, moves_bar])], trial.data)
                        trial.end(trainer, run)
            except DivergenceError as error:
                self._failures[number] = error
            moves_bar.move(trial.config.epochs)

    def _batched(self, bar: Any) -> None:
        found = {number: self._found(trial, _TOGETHER) for number, trial in enumerate(self._trials)}
        active = [number for number, executed in found.items() if executed is None]
        if active:
            self._spread(active, bar)
        finished = [number for number in found if number not in active]
        self._work(finished, bar, self._trials[0].config.execution, ways=_TOGETHER)

    def _spread(self, active: Sequence[int], bar: Any) -> None:
        """Trains trials in one program on each device, or in several in turn where memory asks for it."""
        trials, devices = [self._trials[number] for number in active], machine.devices()
        if any(each.data[name] is not split for each in trials for name, split in trials[0].data.items()):
            raise UsageError(
                "trials_backend (=batched) must have trials on the same data, and these differ: pass "
                "--trials_backend=threads."
            )
        most = int(MEMORY * machine.free_memory(devices[0])) // size_of_a_copy(trials[0].trainer("graph", None))
        chunks = in_chunks(active, max(1, most), len(devices))
        if len(devices) == 1:
            for chunk in chunks:
                self._train_together(chunk, bar)
            return
        waiting, stop = iter(chunks), Stop()

        def work(device: str) -> None:
            with tf.device(device):
                data = {name: split.copied() for name, split in trials[0].data.items()}
                for chunk in waiting:
                    for number in chunk:
                        self._trials[number].data = data
                    self._train_together(chunk, bar, [stop])

        in_workers(work, devices[: len(chunks)], stop)

    def _train_together(self, active: Sequence[int], bar: Any, hooks: Sequence[Hook] = ()) -> None:
        trials = [self._trials[number] for number in active]
        with self._one_at_a_time:
            trainer = trials[0].trainer(trials[0].config.execution, len(active))
        with contextlib.ExitStack() as stack:
            runs = [stack.enter_context(trial.open(_TOGETHER[trainer.execution])) for trial in trials]
            self._runs |= dict(zip(active, runs, strict=True))
            self._announce(trials[0], trainer, runs[0], f", {len(active)} trials in one program")
            members = []
            for index, (trial, run) in enumerate(zip(trials, runs, strict=True)):
                with self._one_at_a_time, trainer.member(index) as one:
                    members.append(loop.Member(run, trial.config, [*trial.start(one, run), *hooks, Progress(bar)]))
            try:
                failures = loop.fit(trainer, members, trials[0].data)
            except DivergenceError as error:  # Of all of these; there may be others, in another program.
                failures = dict.fromkeys(range(len(trials)), error)
            for index, (trial, run) in enumerate(zip(trials, runs, strict=True)):
                if index in failures:
                    self._failures[active[index]] = failures[index]
                    continue
                with trainer.member(index) as one:
                    trial.end(one, run)

    def _found(self, trial: Trial, executed: Mapping[str, str]) -> str | None:
        """Returns the execution of a trial's finished run; None if there is none."""
        asked = trial.config.execution
        ways = [*_ALONE.values(), *_TOGETHER.values()] if asked == "auto" else [executed[asked]]
        return next((way for way in ways if trial.is_finished(way)), None)

    def _announce(self, trial: Trial, trainer: Trainer, run: Run, manner: str) -> None:
        with self._one_at_a_time:
            if not self._announced and not run.is_finished:
                self._announced = True
                trial.announce(trainer, run, manner)


def in_chunks(items: Sequence[int], most: int, workers: int) -> list[list[int]]:
    """Divides items into chunks of nearly the same length, of at most `most`, for workers that take them in turn.

    >>> in_chunks(range(5), most=9, workers=1), in_chunks(range(5), most=2, workers=2)
    ([[0, 1, 2, 3, 4]], [[0, 1], [2], [3], [4]])
    """
    rounds = -(-len(items) // (most * workers))
    return [list(map(int, chunk)) for chunk in np.array_split(items, min(len(items), rounds * workers))]


def in_workers(work: Callable[[Any], None], arguments: Iterable[Any], stop: "Stop") -> None:
    """Calls a function in a thread for each argument, and sets the event of `stop` when they end or one fails."""
    arguments = list(arguments)
    with concurrent.futures.ThreadPoolExecutor(len(arguments)) as pool:
        futures = [pool.submit(work, argument) for argument in arguments]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        finally:
            stop.event.set()


class Stop(Hook):
    """A hook that stops a training in a thread before its next epoch, as Ctrl-C does in the main thread.

    Attributes:
      event: Set it to stop.
    """

    def __init__(self) -> None:
        self.event = threading.Event()

    def before_epoch(self, epoch: int) -> Mapping[str, Any]:
        """Raises KeyboardInterrupt if the event is set."""
        if self.event.is_set():
            raise KeyboardInterrupt
        return {}
