"""What all tests stand on: a quiet TensorFlow with two processors, repeatable properties, and a little real data."""

import functools
import gc
import importlib.metadata
import logging
import os
import pathlib
import random
import signal
import sys
import zlib
from collections.abc import Iterator

import pytest
from _pytest import runner
from hypothesis import settings

from weirdonetworks.lab.data import datasets, sources

gc.disable()  # Until the tests are collected: what is imported for them stays.

# Inherited by the processes that tests start.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # Threads of OpenMP wait without keeping a processor busy.
# Tests compile far more than they compute: machine code that is quick to make is the faster one here.
quick = ["--xla_backend_optimization_level=0"]
if importlib.metadata.version("tensorflow").startswith("2.21."):  # XLA ends the process at a flag it does not know.
    quick += ["--xla_cpu_use_fusion_emitters=false", "--xla_llvm_disable_expensive_passes=true"]
    quick.append("--xla_cpu_parallel_codegen_split_count=1")
os.environ.setdefault("XLA_FLAGS", " ".join(quick))

# Shared machines pause at random, so no deadlines; and a run tries the same examples as the one before.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# What a shell puts in the background ignores Ctrl-C, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # Before pytest leaves out what is not asked for.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all cases of an exhaustive test but the first as slow."""
    begun = set()
    for item in items:
        if item.get_closest_marker("exhaustive") is not None:
            function = item.nodeid.partition("[")[0]
            if function in begun:
                item.add_marker(pytest.mark.slow)
            begun.add(function)


def pytest_collection_finish() -> None:
    """Splits the processor in two for the tests of distribution, before any test can have used TensorFlow.

    TensorFlow is not imported for it: tests that do without are over in a blink.
    """
    gc.freeze()  # What is there now is no garbage, and takes long to look through.
    gc.enable()
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        processor = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        except RuntimeError as error:
            raise pytest.UsageError(
                "A test module makes a tensor while it is imported. Make it in the test."
            ) from error


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Runs a test as pytest does, with room on Python's stack for all that it calls.

    Python (3.11) takes that stack from the system in pieces of 16 KB, and gives one back when the first call in it
    returns; so a loop whose calls cross the end of a piece asks the system each time, which took a tenth of some tests'
    time. The length of a piece is doubled until a call fits in: this one asks for 1 MB and a little, and of the 2 MB
    that it gets the rest is room.
    """
    return runner.pytest_runtest_protocol(item, nextitem)


# In numbers of 8 bytes.
pytest_runtest_protocol.__code__ = pytest_runtest_protocol.__code__.replace(co_stacksize=2**17)
pytest_runtest_protocol = pytest.hookimpl(tryfirst=True)(pytest_runtest_protocol)


@pytest.fixture(scope="module", autouse=True)
def forgetful() -> None:
    """Forgets the kernels of the modules before: each that has drawn is one more."""
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        tf.random.set_seed(0)


@pytest.fixture(autouse=True)
def repeatable(forgetful: None, request: pytest.FixtureRequest) -> None:
    """Gives layers that draw their own weights the same ones at each run, by a seed of the test's own.

    `tf.random.set_seed` forgets all kernels besides, for some have drawn with the seed before; none has with this one.
    To make kernels anew took half the time of tests of many small operations.
    """
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        from tensorflow.python.eager import context

        seed = zlib.crc32(request.node.nodeid.encode())
        eager = context.context()
        eager._seed, eager._rng = seed, random.Random(seed)


@pytest.fixture
def warnings_of_tensorflow() -> Iterator[list[str]]:
    """What TensorFlow's logger says during the test, from warnings on."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger, handler = logging.getLogger("tensorflow"), Handler(logging.WARNING)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def mnist_is_unpacked_once() -> Iterator[None]:
    """All that runs in this process shares the digits, whose unpacking takes a tenth of a second."""
    read = sources.read_mnist

    @functools.cache
    def read_once(*directory: pathlib.Path) -> sources.Raw:
        raw = read(*directory)
        for array in (*raw.train, *raw.test):
            array.flags.writeable = False
        return raw

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sources, "read_mnist", read_once)
        yield


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that a test makes leave an empty file for a picture: runs of fixtures draw it, as tests of pictures do."""
    monkeypatch.setattr("weight_symmetry.run.pictures.save", lambda path, records, masks: path.touch())


@pytest.fixture(scope="session")
def mnist() -> datasets.Dataset:
    """The real MNIST, whole."""
    return datasets.load("MNIST")


@pytest.fixture(scope="session")
def digits(mnist: datasets.Dataset) -> datasets.Dataset:
    """Real digits, few: 500 to train on, 100 to choose by, 200 to test on."""
    few = mnist.cut(600).with_validation(100, seed=5)
    return datasets.Dataset(few.name, few.train, few.test[:200], few.classes, few.standardisation, few.validation)
