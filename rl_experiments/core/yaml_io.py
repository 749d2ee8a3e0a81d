"""YAML as users and the zoo write it, read without running anything that it names."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rl_experiments.core.errors import ConfigurationError, UntrustedError
from rl_experiments.core.files import check_plain_file
from rl_experiments.core.symbols import Symbol

_PYTHON = "tag:yaml.org,2002:python/"
_DEEPEST = 100
_LARGEST_FILE = 1 << 20
_LARGEST_EXPANDED = 4 << 20
"""Weight of a document with every alias written out, each node counting its text and ``_WEIGHT_OF_NODE``."""
_WEIGHT_OF_NODE = 16
_LONGEST_NUMBER = 400
_ORDERED_DICT = f"{_PYTHON}object/apply:collections.OrderedDict"

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]


class _Loader(_BaseLoader):
    """A safe loader that also knows the few Python tags that the zoo's files carry."""


def _ordered_dict(loader: Any, node: yaml.Node) -> OrderedDict[Any, Any]:
    arguments = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else []
    pairs = arguments[0] if arguments else []
    try:
        return OrderedDict((key, value) for key, value in pairs)
    except (TypeError, ValueError) as error:
        raise yaml.constructor.ConstructorError(
            None, None, "an OrderedDict needs a list of pairs", node.start_mark
        ) from error


def _python_tag(loader: Any, suffix: str, node: yaml.Node) -> Any:
    kind, _, name = suffix.partition(":")
    if kind == "tuple" and isinstance(node, yaml.SequenceNode):
        return tuple(loader.construct_sequence(node, deep=True))
    if kind == "name" and Symbol.is_known(name):
        return Symbol(name)
    if kind in ("str", "unicode"):
        return loader.construct_scalar(node)
    raise UntrustedError(
        f"YAML tag '!!python/{suffix}' at line {node.start_mark.line + 1} would run code: it is not read"
    )


_Loader.add_constructor(_ORDERED_DICT, _ordered_dict)
_Loader.add_multi_constructor(_PYTHON, _python_tag)
# YAML 1.1 takes 1e-3 for a string; everybody who writes it means a number.
_NUMBER = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))


class _Dumper(yaml.SafeDumper):
    """A safe dumper that writes an OrderedDict under the zoo's tag, and repeats values instead of naming them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    OrderedDict,
    lambda dumper, data: dumper.represent_sequence(_ORDERED_DICT, [[[key, value] for key, value in data.items()]]),
)
# A string that our loader would take for a number is written in quotes.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))
_Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(list(data)))
_Dumper.add_representer(Symbol, lambda dumper, data: dumper.represent_str(str(data)))


def parse(text: str, source: str, unique: bool = False) -> Any:
    """
    :param text: YAML
    :param source: what to call it in an error
    :param unique: refuse a key that stands twice in one mapping; without it the last one counts, as everywhere
    :raises ConfigurationError: if it is no YAML, or one that was made to exhaust its reader
    :raises UntrustedError: if it has a tag that would run code
    """
    try:
        _check_depth(text)
        return _construct(text, unique)
    except UntrustedError as error:
        raise UntrustedError(f"{source}: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{source} is no valid YAML: it is nested too deeply") from None
    except Exception as error:  # PyYAML lets errors of any kind through: of tags on the wrong kind of node, of dates
        kind = "" if isinstance(error, (yaml.YAMLError, ValueError)) else f"{type(error).__name__}: "
        raise ConfigurationError(f"{source} is no valid YAML: {kind}{' '.join(str(error).split())}") from None


def _construct(text: str, unique: bool) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _Measure().of(node)
        if unique:
            _refuse_repeated(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Measure:
    """Weighs a document as if every alias were written out, before anything is made of it."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def of(self, node: yaml.Node) -> tuple[int, int]:
        """:return: weight and depth; a node that many aliases name is visited once"""
        if id(node) in self._open:
            raise ValueError(f"the value at line {node.start_mark.line + 1} holds itself")
        if id(node) not in self._known:
            self._open.add(id(node))
            self._known[id(node)] = self._fresh(node)
            self._open.remove(id(node))
        return self._known[id(node)]

    def _fresh(self, node: yaml.Node) -> tuple[int, int]:
        weight, depth = _WEIGHT_OF_NODE, 0
        if isinstance(node, yaml.ScalarNode):
            if len(node.value) > _LONGEST_NUMBER and node.tag.rpartition(":")[2] in ("int", "float"):
                raise ValueError(f"the number at line {node.start_mark.line + 1} has {len(node.value)} digits")
            weight += len(node.value)
        for child in _children(node):
            of_child, below = self.of(child)
            weight, depth = weight + of_child, max(depth, below + 1)
        if depth > _DEEPEST:
            raise RecursionError
        if weight > _LARGEST_EXPANDED:
            raise ValueError(f"the value at line {node.start_mark.line + 1} is too large with its aliases written out")
        return weight, depth


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _refuse_repeated(node: yaml.Node) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and seen.setdefault(key.value, line) != line:
            raise ValueError(f"'{key.value}' stands at line {seen[key.value]}, and again at line {line}")
    for child in _children(node):
        _refuse_repeated(child)


def _check_depth(text: str) -> None:
    """libyaml composes nested nodes recursively, and a file that is nested too deeply would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_BaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise RecursionError


def read(path: Path, unique: bool = False) -> Any:
    """
    Read a YAML file.

    :param unique: as in :func:`parse`
    :raises NotFoundError: if there is no such file
    :raises ConfigurationError: if it is no YAML, no file, or too large
    """
    path = Path(path)
    check_plain_file(path, _LARGEST_FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    return parse(text, str(path), unique)


def dump(data: Any) -> str:
    """:return: plain YAML"""
    return yaml.dump(_plain(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def dump_like_the_zoo(data: Mapping[str, Any]) -> str:
    """:return: YAML with the sorted OrderedDict at the top that the zoo's ``config.yml`` and ``args.yml`` have"""
    return yaml.dump(
        OrderedDict((key, _plain(data[key])) for key in sorted(data)),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
    )


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and containers into what YAML knows; leave the rest."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [_plain(item) for item in sorted(value, key=str)]
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    return value
