"""Ctrl-C in a program that computes outside Python: it says what it waits for, and a second one ends it at once."""

import signal
import subprocess
import sys
import time

import pytest

# Long in C code, which it is in by the time that it says so.
CODE = """
import hashlib, sys, threading, time
from weirdonetworks.lab import interrupts
interrupts.PATIENCE = 0.2
try:
    with interrupts.watched(" All is saved."):
        threading.Timer(0.5, print, ["begun"], {"flush": True}).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[1]))
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit("ended by itself")
"""


def begun(rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CODE, str(rounds)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None and program.stdout.readline() == "begun\n"
    program.send_signal(signal.SIGINT)
    return program


@pytest.mark.slow
def test_a_second_ends_at_once_what_the_first_cannot() -> None:
    program = begun(10**9)
    assert program.stderr is not None
    line = "interrupted: waiting for the end of the epoch; Ctrl-C again ends at once. All is saved.\n"
    assert program.stderr.readline() == line
    started = time.monotonic()
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=60) == 130
    assert time.monotonic() - started < 5
    program.communicate()


@pytest.mark.slow
def test_what_ends_by_itself_says_nothing_more() -> None:
    program = begun(1)
    assert program.communicate(timeout=60)[1] == "ended by itself\n"
    assert program.returncode == 1
