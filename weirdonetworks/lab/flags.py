"""Command lines: the flags of configurations, and a `main` whose errors are one line."""

import copy
import dataclasses
import functools
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import app, flags, logging

from weirdonetworks.lab import interrupts, startup
from weirdonetworks.lab.config import Config
from weirdonetworks.lab.errors import UsageError

FLAGS = flags.FLAGS
DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
# Flags defined through this module count as those of the driver that asked for them, so its `--help` lists them.
flags.disclaim_key_flags()


def run(main: Callable[..., None], *configs: type[Config]) -> None:
    """Defines the flags of `configs`, parses the command line and calls `main` with the configurations.

    Positional fields are read in the order of their declaration, before, after or between flags.

    Exit status: 0 on success and for `--help`, 2 for a usage error, 130 for Ctrl-C, 1 for any
    other failure. An error is one line on stderr; `--verbosity=1` adds the traceback.
    """
    startup.keep_output()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _define(FLAGS, configs)
    fields = [field for config in configs for field in dataclasses.fields(config)]
    places = {field.name: field.metadata["help"] for field in fields if field.metadata["positional"]}
    app.run(
        lambda argv: sys.exit(_guarded(main, configs, dict(zip(places, argv[1:], strict=True)))),
        flags_parser=functools.partial(_parse, places),
    )


def check(program: str, arguments: Sequence[str], *configs: type[Config]) -> set[str]:
    """Checks the names and types of another program's flags, but not their ranges.

    Args:
      program: The program's name.
      arguments: Its command line.
      configs: Its configurations, as passed to `run`.

    Returns:
      The names of the given flags.

    Raises:
      UsageError: If a flag is unknown, a value is of another type, or there are positional arguments.
    """
    known = flags.FlagValues()
    for module in ("absl.app", "absl.logging"):  # Such as --verbosity, which every program has.
        for flag in FLAGS.flags_by_module_dict().get(module, ()):
            known[flag.name] = copy.deepcopy(flag)
    _define(known, configs)
    try:
        rest = known([program, *map(_with_underscores, arguments)])
    except flags.Error as error:
        raise UsageError(f"{program}: {error}") from error
    if len(rest) > 1:
        raise UsageError(f"{program}: {_unexpected(rest[1])}")
    return {name for name in known if known[name].present}


def _define(into: flags.FlagValues, configs: Sequence[type[Config]]) -> None:
    for config in configs:
        hints = typing.get_type_hints(config)
        for field in dataclasses.fields(config):
            if not field.metadata["positional"]:
                _define_one(into, field, hints[field.name])


def _define_one(into: flags.FlagValues, field: Any, hint: Any) -> None:
    rule, text = field.metadata, field.metadata["help"]
    if rule["choices"]:
        text = f"{text} One of: {', '.join(rule['choices'])}."
    kind = _plain_type(hint)
    if kind in DEFINE:
        DEFINE[kind](field.name, field.default, text, short_name=rule["short"], flag_values=into)
    else:
        parser: Any = _TupleParser(typing.get_args(kind)[0])
        flags.DEFINE(parser, field.name, field.default, text, into, flags.CsvListSerializer(","))
    if rule["alias"]:
        flags.DEFINE_alias(rule["alias"], field.name, into)


def _plain_type(hint: Any) -> Any:
    """Strips `| None` from a type."""
    if isinstance(hint, types.UnionType):
        (hint,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    return hint


class _TupleParser(flags.ArgumentParser[tuple[Any, ...]]):
    """Parses comma-separated numbers."""

    def __init__(self, item: type):
        self.item = item

    def parse(self, argument: Any) -> tuple[Any, ...]:
        if isinstance(argument, tuple):
            return argument
        try:
            return tuple(self.item(part) for part in argument.split(",") if part.strip())
        except ValueError:
            raise ValueError(f"{argument!r} must be {self.item.__name__}s separated by commas.") from None

    def flag_type(self) -> str:
        return f"{self.item.__name__},..."


def _read(config: type[Config], placed: Mapping[str, str]) -> Config:
    names = [field.name for field in dataclasses.fields(config)]
    return config(**{name: placed[name] if name in placed else FLAGS[name].value for name in names})


def _parse(places: Mapping[str, str], argv: list[str]) -> list[str]:
    """Sets the flags; returns the program's name and the positional arguments, one for each of `places`."""
    arguments = [_with_underscores(argument) for argument in argv[1:]]
    if {"--help", "-h", "-help", "--helpfull", "--helpshort", "--h"} & set(arguments):
        _help(places, full="--helpfull" in arguments)
        sys.exit(0)
    if places:
        FLAGS.set_gnu_getopt(True)  # Flags may then follow positional arguments.
    try:
        rest = FLAGS([argv[0], *arguments])
    except flags.Error as error:
        _say(str(error))
        sys.exit(2)
    given = len(rest) - 1
    if given != len(places):
        missing = f"{list(places)[given].upper()} is missing; --help describes it." if given < len(places) else ""
        _say(missing or _unexpected(rest[1 + len(places)]))
        sys.exit(2)
    return rest


def _unexpected(argument: str) -> str:
    return f"unexpected argument {argument!r}; flags are written --name=value."


def _help(places: Mapping[str, str], full: bool) -> None:
    """Prints the program's docstring and arguments."""
    arguments = [f"  {name.upper()}: {text}" for name, text in places.items()]
    described = FLAGS.get_help() if full else FLAGS.main_module_help()
    program = sys.modules["__main__"]
    if program.__spec__ is not None and program.__spec__.name.endswith(".__main__"):
        program = sys.modules[program.__spec__.name.removesuffix(".__main__")]  # A package is run: it says it.
    purpose = (program.__doc__ or "").strip()
    print("\n\n".join([purpose, *arguments, f"flags:\n{described}"]), flush=True)


def _with_underscores(argument: str) -> str:
    """Rewrites `--batch-size=8` as `--batch_size=8`."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _guarded(main: Callable[..., None], configs: tuple[type[Config], ...], placed: Mapping[str, str]) -> int:
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)
    saved = " Finished epochs are on disk; --resume goes on from them." if "resume" in FLAGS else ""
    try:
        with interrupts.watched(saved):
            main(*(_read(config, placed) for config in configs))
    except KeyboardInterrupt:
        _say(f"interrupted.{saved}")
        return 130
    except Exception as error:
        if FLAGS.verbosity >= 1:
            traceback.print_exc()
        else:
            known = isinstance(error, ValueError | OSError | ImportError)
            text = " ".join(str(error).split())
            _say(text if known else f"{type(error).__name__}: {text} (--verbosity=1 shows where.)")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _say(text: str) -> None:
    print(f"error: {text}", file=sys.stderr)
