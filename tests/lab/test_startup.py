"""TensorFlow starts without its notes, and says what is wrong when it does not start."""

import logging
import os
import re
import subprocess
import sys
import types

import pytest

from weirdonetworks.lab import startup


class Failing(types.ModuleType):
    """A TensorFlow that writes to stderr from outside Python, and then fails if it is told to."""

    def __init__(self, error: str | None):
        super().__init__("tensorflow")
        self.error = error

    @property
    def config(self) -> object:
        os.write(2, b"a note of the C++ parts\n")
        if self.error:
            raise ImportError(self.error)
        lists = ("list_logical_devices", "list_physical_devices")
        return types.SimpleNamespace(**dict.fromkeys(lists, lambda *kind: []))


@pytest.mark.slow
def test_a_process_starts_tensorflow_in_silence_and_a_driver_without_sympy() -> None:
    code = (
        "from weirdonetworks.lab import startup; startup.import_tensorflow(many_models=True)\n"
        "import tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads())\n"
        "import sys; from weight_symmetry.run import experiment; print('sympy' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\nFalse\n", "")


def test_notes_are_kept_off_the_terminal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", Failing(None))
    startup.import_tensorflow()
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_notes_are_shown_when_it_fails(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", Failing("no such library"))
    with pytest.raises(ImportError, match="no such library"):
        startup.import_tensorflow()
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "a note of the C++ parts\nafterwards\n"


def test_notes_are_shown_when_asked_for(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", Failing(None))
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        startup.import_tensorflow()
    finally:
        logging.getLogger().setLevel(level)
    assert "a note of the C++ parts" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("-m", "weight_symmetry.train", "--epochs=1"), ("-c", "import weirdonetworks.nets")]
)
def test_dropped_docstrings_are_one_line(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-OO", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(
        r"(error|ImportError): Sonnet reads docstrings, which -OO \(.*\) drops: start Python without it\.",
        done.stderr.splitlines()[-1],
    )
    assert command[0] == "-c" or done.stderr.count("\n") == 1
