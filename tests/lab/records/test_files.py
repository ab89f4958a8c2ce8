"""Files appear whole or not at all; JSON loses nothing; locks exclude."""

import json
import math
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from weirdonetworks.lab.records import files

plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


def test_a_written_file_is_all_there_is(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "record.json"
    files.write_text(path, "one\n")
    files.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_array_is_read_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "features.npy"
    values = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    files.write_array(path, np.zeros(4))
    files.write_array(path, values)
    read = np.load(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values)
    with pytest.raises(TypeError):
        files.write_array(path, threading.Lock())  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.load(path), values)
    assert list(tmp_path.iterdir()) == [path]


def test_digests_tell_contents_apart() -> None:
    values = np.arange(6.0)
    others = [[values + 1], [values.astype(np.float32)], [values.reshape(2, 3)], [values, values], [values[::-1]], []]
    found = {files.digest(arrays) for arrays in ([values], *others)}
    assert len(found) == 1 + len(others) and files.digest(iter([values.copy()])) == files.digest([values])
    # The order in memory is no part of it.
    assert files.digest([np.asfortranarray(values.reshape(2, 3))]) == files.digest([values.reshape(2, 3)])


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(step: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    files.write_text(path, "old")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_part(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "record.json"
    contents = ["a" * 300_000, "b" * 200_000]
    files.write_text(path, contents[0])
    done = threading.Event()

    def write() -> None:
        for index in range(60):
            files.write_text(path, contents[index % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_text())
    writer.join()
    assert seen <= set(contents)


@pytest.mark.slow
@given(plain)
def test_plain_values_stay_as_they_are(value: Any) -> None:
    assert files.to_json(value) == value
    assert json.loads(json.dumps(files.to_json(value))) == value


@pytest.mark.parametrize("digits", [17, 100, 4299, 4300, 4301, 20_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_long_integers_are_strings_of_all_their_digits(digits: int, sign: int) -> None:
    number = sign * (10**digits - 7)
    written = files.to_json({"permutations": number})["permutations"]
    assert written == ("-" if sign < 0 else "") + "9" * (digits - 1) + "3"


@given(st.integers(2**53 + 1, 2**80), st.sampled_from([1, -1]))
def test_integers_beyond_exact_doubles_are_strings(number: int, sign: int) -> None:
    assert files.to_json(sign * number) == str(sign * number)


def test_integers_of_exact_doubles_are_numbers() -> None:
    assert files.to_json([2**53, -(2**53), 2**53 + 1, -(2**53) - 1]) == [
        9007199254740992,
        -9007199254740992,
        "9007199254740993",
        "-9007199254740993",
    ]


def test_factorials_are_exact() -> None:
    """The number of permutations of a thousand neurons has 2,568 digits, of three thousand 9,131."""
    for count in (1000, 3000):
        written = files.to_json(math.factorial(count))
        value = 0
        for start in range(0, len(written), 4000):
            part = written[start : start + 4000]
            value = value * 10 ** len(part) + int(part)
        assert value == math.factorial(count)


def test_numpy_values_become_plain() -> None:
    value = {
        "array": np.array([[1, 2], [3, 4]], np.int32),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "long": np.int64(2**60),
        3: (1, 2),
        "tuple": ({"deep": np.uint8(7)},),
    }
    result = files.to_json(value)
    assert result == {
        "array": [[1, 2], [3, 4]],
        "scalar": 0.5,
        "flag": True,
        "long": str(2**60),
        "3": [1, 2],
        "tuple": [{"deep": 7}],
    }
    assert type(result["flag"]) is bool and type(result["scalar"]) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.array([math.nan])])
def test_what_json_does_not_know_is_null(value: Any, tmp_path: pathlib.Path) -> None:
    files.write_json(tmp_path / "record.json", {"loss": value})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)
    assert read["loss"] in (None, [None])


def test_json_is_read_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "record.json"
    files.write_json(path, {"a": [1, 2.5, None, "ä"]})
    assert files.read_json(path) == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize("content", [b"", b"{", b"not json", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_named(content: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"record\.json is not JSON: .*Remove or mend it"):
        files.read_json(path)


@pytest.mark.parametrize("content", ["null", "[]", '"text"', "3"])
def test_a_file_of_another_shape_is_named(content: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(OSError, match=r"record\.json must hold a JSON object, and holds .*\. Remove or mend it"):
        files.read_json(path)


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"record\.json"):
        files.read_json(tmp_path / "record.json")


def test_a_lock_excludes_and_is_given_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lock"
    with files.locked(path), pytest.raises(BlockingIOError), files.locked(path, wait=False):
        pytest.fail("two hold the lock")
    with pytest.raises(ZeroDivisionError), files.locked(path):
        raise ZeroDivisionError
    with files.locked(path, wait=False):
        pass


def test_a_lock_ends_with_its_process(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import pathlib, sys, time\nfrom weirdonetworks.lab.records import files\n"
        "with files.locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), files.locked(path, wait=False):
            pytest.fail("two hold the lock")
        child.kill()
        child.wait()
        with files.locked(path, wait=False):
            pass
