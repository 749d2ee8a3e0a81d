"""Writes flags of the zoo as JSON: ``-m tests.helpers.zoo_flags train`` prints [[flags, dest, default, required]]."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import types
import warnings

warnings.simplefilter("ignore")
module = sys.argv[1]


class _Parsed(Exception):  # noqa: N818
    pass


def _capture(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
    raise _Parsed(self)


class _Anything(types.ModuleType):
    """Stands in for a module whose import is broken."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


with contextlib.redirect_stdout(io.StringIO()):
    for broken in ("huggingface_sb3.push_to_hub", "pandas", "pytablewriter", "requests", "wasabi"):
        try:
            importlib.import_module(broken)
        except ImportError:
            sys.modules[broken] = _Anything(broken)
    if module == "push_to_hub":  # it imports a name that the package no longer has
        importlib.import_module("huggingface_sb3")
        hub = importlib.import_module("huggingface_sb3.push_to_hub")
        hub.__dict__.setdefault("generate_metadata", None)
    sys.argv = [module]
    argparse.ArgumentParser.parse_args = _capture  # type: ignore[method-assign, assignment]
    try:
        imported = importlib.import_module(f"rl_zoo3.{module}")
        run = getattr(imported, {"push_to_hub": "main"}.get(module, module), None)
        if run is None:
            import runpy

            runpy.run_module(f"rl_zoo3.{module}", run_name="__main__")
        else:
            run()
    except _Parsed as parsed:
        parser = parsed.args[0]
print(
    json.dumps(
        [
            [action.option_strings, action.dest, action.default, action.required]
            for action in parser._actions
            if action.option_strings and action.dest != "help"
        ]
    )
)
