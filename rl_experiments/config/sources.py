"""Where hyperparameters come from: our files, the zoo's files, a user's YAML, .py file or module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol


@dataclass(frozen=True)
class Block:
    """
    The hyperparameters that a source holds for one environment.

    :param values: as written
    :param origin: file and block, as shown to the user
    :param key: the block's name: the environment id, ``atari`` or ``default``
    """

    values: Mapping[str, Any]
    origin: str
    key: str


def hyperparameters_folder() -> Path:
    """:return: the folder with our YAML files: inside an installed package, beside it in a checkout"""
    package = Path(__file__).resolve().parent.parent
    installed = package / "hyperparams"
    return installed if installed.is_dir() else package.parent / "hyperparams"


def zoo_folder() -> Path | None:
    """
    :return: the folder with the zoo's YAML files, found without importing the zoo, or None where it is not installed
    """
    spec = importlib.util.find_spec("rl_zoo3")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "hyperparams"
    return folder if folder.is_dir() else None


def find_block(
    algorithm: str, env_id: str, is_atari: bool, conf_file: str | None = None, names: Sequence[str] = ()
) -> Block:
    """
    Look hyperparameters up: the exact id, then ``atari``, then ``default``.

    Without ``conf_file``, our file comes first and the zoo's second, each kind of block in turn, so that a block of the
    zoo's for exactly
    this environment wins over our ``default``.

    :param algorithm: name in the registry
    :param env_id: the environment as Gymnasium knows it, with or without a ``module:`` prefix
    :param is_atari: whether the ``atari`` block applies
    :param conf_file: a .yml or .yaml file, a .py file or a module with a dictionary ``hyperparams``; or the
        ``config.yml`` of a run. ``FILE#BLOCK`` takes the block of this name
    :param names: of blocks that come before the id
    :raises NotFoundError: if no source has a block
    """
    file, _, chosen = (conf_file or "").rpartition("#") if _names_block(conf_file) else (conf_file or "", "", "")
    sources = [_of_one_run(*_read_source(file))] if file else _shipped_sources(algorithm)
    bare_id = env_id.rpartition(":")[2]
    keys = [chosen] if chosen else [*names, env_id, bare_id, *(["atari"] if is_atari else []), "default"]
    for key in dict.fromkeys(keys):
        for name, blocks in sources:
            if key in blocks:
                return Block(_as_block(blocks[key], key, name), f"{name}, block {key}", key)
    named = " and ".join(name for name, _ in sources)
    known = {key for _, blocks in sources for key in blocks}
    if chosen:
        raise NotFoundError(f"There is no block '{chosen}' in {named or file}.{hint(chosen, known)}")
    raise NotFoundError(
        f"No hyperparameters for {algorithm} on {env_id} in {named or 'any file'}.{hint(bare_id, known)}"
    )


def _names_block(conf_file: str | None) -> bool:
    """``FILE#BLOCK``, unless there is a file whose name has such a sign."""
    return conf_file is not None and "#" in conf_file and not Path(conf_file).exists()


def _of_one_run(name: str, blocks: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The ``config.yml`` of a run holds one block, and no name for it."""
    is_one_block = (isinstance(blocks.get("policy"), str) or "max_steps" in blocks) and not any(
        isinstance(it, Mapping) and "policy" in it for it in blocks.values()
    )
    return name, {"default": blocks} if is_one_block else blocks


def is_block_of_the_zoo(algorithm: str, env_id: str, values: Mapping[str, Any]) -> bool:
    """Whether the zoo ships exactly these values for this environment."""
    folder = zoo_folder()
    file = folder / f"{algorithm}.yml" if folder else None
    return file is not None and file.is_file() and _blocks_of(file).get(env_id.rpartition(":")[2]) == dict(values)


def _shipped_sources(algorithm: str) -> list[tuple[str, Mapping[str, Any]]]:
    sources = []
    for folder, label in ((hyperparameters_folder(), "hyperparams"), (zoo_folder(), "rl_zoo3/hyperparams")):
        file = folder / f"{algorithm}.yml" if folder else None
        if file is not None and file.is_file():
            sources.append((f"{label}/{algorithm}.yml", _blocks_of(file)))
    return sources


def _blocks_of(file: Path) -> Mapping[str, Any]:
    return _as_mapping(yaml_io.read(file), str(file))


def _read_source(conf_file: str) -> tuple[str, Mapping[str, Any]]:
    path = Path(conf_file)
    if path.suffix in (".yml", ".yaml"):
        if (
            not path.is_file()
            and path.parent.name == "hyperparams"
            and (hyperparameters_folder() / path.name).is_file()
        ):
            # The command in every tutorial, typed where there is no checkout.
            path = hyperparameters_folder() / path.name
        if not path.is_file():
            raise NotFoundError(f"There is no file {conf_file}.{_beside(path)}")
        return conf_file, _blocks_of(path)
    if path.suffix == ".py":
        if not path.is_file():
            raise NotFoundError(f"There is no file {conf_file}.{_beside(path)}")
        return conf_file, _as_mapping(_attribute(lambda: vars(_import_file(path)), conf_file), conf_file)
    return conf_file, _as_mapping(_attribute(lambda: vars(importlib.import_module(conf_file)), conf_file), conf_file)


def _attribute(load: Any, source: str) -> Any:
    """Run the user's own Python and take its ``hyperparams``."""
    try:
        namespace = load()
    except ModuleNotFoundError as error:
        what = f"There is no file and no module '{source}'" if error.name == source else f"{source}: {error}"
        raise NotFoundError(what) from None
    except Exception as error:
        raise ConfigurationError(f"{source} failed: {type(error).__name__}: {error}") from error
    if "hyperparams" not in namespace:
        raise ConfigurationError(f"{source} holds no dictionary 'hyperparams'.{hint('hyperparams', namespace)}")
    return namespace["hyperparams"]


def _import_file(path: Path) -> Any:
    """Import a .py file under its own name, so that classes defined in it can be named."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _beside(path: Path) -> str:
    parent = path.parent
    return hint(path.name, [entry.name for entry in parent.iterdir()]) if parent.is_dir() else ""


def _as_mapping(blocks: Any, source: str) -> Mapping[str, Any]:
    if not isinstance(blocks, Mapping):
        raise ConfigurationError(
            f"{source} holds no mapping of environments to hyperparameters, but a {type(blocks).__name__}"
        )
    return blocks


def _as_block(block: Any, key: str, source: str) -> Mapping[str, Any]:
    if not isinstance(block, Mapping):
        raise ConfigurationError(f"{source}: block {key} is no mapping of hyperparameters, but {block!r}")
    bad = [name for name in block if not isinstance(name, str)]
    if bad:
        raise ConfigurationError(f"{source}: block {key} has a hyperparameter that is no name: {bad[0]!r}")
    return {name: by_name(value) for name, value in block.items()}


def by_name(value: Any) -> Any:
    """
    :return: classes that a Python configuration holds, anywhere in the value, as the names that YAML would have

    :raises ConfigurationError: for a class without such a name
    """
    if isinstance(value, type):
        return Symbol(_name_of(value))
    if isinstance(value, Mapping):
        return {by_name(key): by_name(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(by_name(item) for item in value)
    return value


def _name_of(cls: type) -> str:
    path = f"{cls.__module__}.{cls.__qualname__}"
    if "<locals>" in path:
        raise ConfigurationError(
            f"The class {cls.__qualname__} is defined inside a function: no saved run could name it. Expected a class"
            " at the top of a module"
        )
    for name in Symbol.short_names():
        if Symbol(name).path == path:
            return name
    if path.startswith("torch.nn.modules."):
        return f"nn.{cls.__qualname__}"
    return f"th.optim.{cls.__qualname__}" if path.startswith("torch.optim.") else path
