"""Command lines: built from the settings that declare them, with the zoo's abbreviations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from rl_experiments.config.grammar import parse_pair
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import default_of, options_of
from rl_experiments.core.suggest import hint


class Parser(argparse.ArgumentParser):
    """
    An argument parser whose errors name the nearest valid flag.

    A prefix of a flag stands for it, as in argparse. Where several flags begin alike, those that the zoo has win over
    ours, so that no
    abbreviation that works there stops working here.

    :param command: the command's module name
    :param description: one sentence
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"python -m rl_experiments.{command}",
            description=description,
            formatter_class=_HelpFormatter,
            allow_abbrev=True,
        )
        for parse in (int, float):
            self.register("type", parse, typed(parse))
        self._ours: set[str] = set()
        self._checks: list[Callable[[argparse.Namespace], object]] = []

    def add_ours(self, *flags: str, **arguments: Any) -> None:
        """Add a flag that the zoo's command of the same name has not."""
        action = self.add_argument(*flags, **arguments)
        self._ours.update(action.option_strings)

    def mark_ours(self, *flags: str) -> None:
        """Say of flags that were added from settings that the zoo has them not."""
        for flag in flags:
            self._ours.update(self._option_string_actions[flag].option_strings)

    def describe(self, name: str, help: str) -> None:
        """Say what a flag that was added from settings means in this command."""
        next(action for action in self._actions if action.dest == name).help = help

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """
        :param arguments: the command line; if None, this process's
        :return: the values; a malformed command line ends the process with exit code 2
        """
        namespace = self.parse_args(arguments)
        for check in self._checks:
            try:
                check(namespace)
            except ConfigurationError as error:
                self.error(str(error))
        return namespace

    def given(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """:return: only the values that a command line says, without defaults; the parser is of no further use"""
        for action in self._actions:
            action.default = argparse.SUPPRESS
        return self.parse_args(arguments)

    def add_check(self, check: Callable[[argparse.Namespace], object]) -> None:
        """Add what raises a ConfigurationError for values that cannot go together, before anything is imported."""
        self._checks.append(check)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but an unknown flag is reported with the nearest."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].partition("=")[0]
            known = list(self._option_string_actions)
            self.error(f"unknown argument '{unknown[0]}'.{hint(flag, known) if flag.startswith('-') else ''}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line and end the process with exit code 2."""
        print(f"Error: {message}", file=sys.stderr)
        print(f"See {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        matches = super()._get_option_tuples(option_string)
        # An entry is (action, flag, ...).
        of_the_zoo = [match for match in matches if match[1] not in self._ours]
        return of_the_zoo if len(matches) > 1 and len(of_the_zoo) == 1 else matches


class _HelpFormatter(argparse.HelpFormatter):
    """Shows defaults that say something."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, False, "", [], (), argparse.SUPPRESS) and action.option_strings
        return f"{action.help} (default: %(default)s)" if shown else action.help


class PairsAction(argparse.Action):
    """Collects ``key:value`` pairs into a dictionary."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Parse the pairs; a later flag of the same name adds to an earlier one."""
        try:
            pairs = dict(parse_pair(text) for text in values)
        except ConfigurationError as error:
            parser.error(f"argument {option_string}: {error}")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), **pairs})


def add_settings(parser: argparse.ArgumentParser, settings: Any, skip: Iterable[str] = ()) -> None:
    """
    Add one flag for each field of a settings class.

    :param settings: a dataclass whose fields :func:`rl_experiments.core.options.option` declared
    :param skip: fields that get no flag
    """
    for declared in options_of(settings):
        if declared.name in skip:
            continue
        metadata, default = declared.metadata, default_of(declared)
        flags = [*metadata["flags"], f"--{declared.name.replace('_', '-')}"]
        arguments: dict[str, Any] = {
            "dest": declared.name,
            "help": metadata["help"].replace("%", "%%"),
            "default": default,
        }
        if metadata["pairs"]:
            arguments |= {"nargs": "+", "action": PairsAction, "metavar": "KEY:VALUE"}
        elif metadata["many"]:
            arguments |= {"nargs": "+", "metavar": "NAME"}
        elif default is False and metadata["parse"] is None:
            arguments |= {"action": "store_true"}
        else:
            parse = metadata["parse"] or type(default)
            arguments |= {"type": typed(parse), "choices": metadata["choices"]}
            if metadata["choices"] is None:
                arguments["metavar"] = _metavar(parse, default)
            if metadata["bare"] is not None:
                arguments |= {"nargs": "?", "const": metadata["bare"], "metavar": "NAME"}
        parser.add_argument(*flags, **arguments)


def settings_from(settings: Any, namespace: argparse.Namespace, **overrides: Any) -> Any:
    """:return: the settings that a parsed command line holds"""
    values = {
        declared.name: getattr(namespace, declared.name)
        for declared in options_of(settings)
        if hasattr(namespace, declared.name)
    }
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return settings(**{**values, **overrides})


def checked_choice(choices: Iterable[str], what: str) -> Any:
    """:return: a type for ``add_argument`` whose error names the nearest choice"""
    names = list(choices)

    def parse(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"there is no {what} '{text}'.{hint(text, names)}")
        return text

    return parse


def at_least_1(*names: str) -> Callable[[argparse.Namespace], None]:
    """:return: a check that these values, where they are given, are at least 1"""

    def check(namespace: argparse.Namespace) -> None:
        for name in names:
            value = getattr(namespace, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"--{name.replace('_', '-')} must be at least 1, but got {value}")

    return check


def typed(parse: Any) -> Any:
    """:return: a type for ``add_argument`` whose error says what was expected"""

    def convert(text: str) -> Any:
        try:
            return _whole_number(text) if parse is int else parse(text)
        except ValueError as error:
            shown = str(error) if "expected" in str(error) else f"'{text}' is no {_word(parse)}"
            raise argparse.ArgumentTypeError(shown) from None

    return convert


def _whole_number(text: str) -> int:
    """``1e5`` is a whole number, as it is in YAML."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def _word(parse: Any) -> str:
    return {int: "whole number", float: "number"}.get(parse, "valid value")


def _metavar(parse: Any, default: Any) -> str:
    if parse is int or isinstance(default, int):
        return "N"
    return "NUMBER" if parse is float else "TEXT"
