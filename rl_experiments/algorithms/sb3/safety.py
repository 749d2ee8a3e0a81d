"""What is checked of a model's zip before it becomes a model: members, weights, spaces, and the size of its policy."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from torch.utils._python_dispatch import TorchDispatchMode

from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, UntrustedError

_LARGEST_BY_COMPRESSION = 256 << 20
_LARGEST_RATIO = 20
"""SB3 stores its members uncompressed: a large file that shrinks so much was made to fill a disk."""

_LARGEST_SPACE = 1 << 24
_SPARE_NUMBERS = 1 << 22
_PRICE_OF_TENSOR = 1 << 10
"""A million of tensors with one number each take long, too."""

_FACTORIES = ("empty", "zeros", "ones", "full", "rand", "eye", "arange", "linspace", "new_")


def check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """
    :raises ConfigurationError: if a member could not be read, would be read twice, or would fill the memory
    :raises UntrustedError: if a member's name leads out of a folder
    """
    names: set[str] = set()
    if "data" not in archive.namelist():
        raise ConfigurationError(f"{path} is no model of Stable-Baselines3: it has no member 'data'")
    for member in archive.infolist():
        name = member.filename
        if PurePosixPath(name).name != name or "\\" in name:
            raise UntrustedError(f"{path} has a member with a path, '{name}': the members of a model have none")
        if name in names:
            raise ConfigurationError(f"{path} has two members '{name}'")
        if member.flag_bits & 1:
            raise ConfigurationError(f"'{name}' in {path} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ConfigurationError(f"'{name}' in {path} is compressed in another way than stored or deflated")
        names.add(name)
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _LARGEST_BY_COMPRESSION and unpacked > _LARGEST_RATIO * path.stat().st_size:
        raise ConfigurationError(f"{path} would unpack to {unpacked >> 20} MiB: no model is compressed like this")


def check_weights(path: Path) -> int:
    """
    Read every member with weights as SB3 does, without running it.

    :return: the numbers that the policy's member has room for
    :raises ConfigurationError: if one is damaged, or pretends to be larger than it is
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "policy.pth" not in names:
            raise ConfigurationError(f"{path} is no model of Stable-Baselines3: it has no policy.pth")
        for name in names:
            if name.endswith(".pth"):
                _check_tensors(archive, name, f"'{name}' in {path}")
        return archive.getinfo("policy.pth").file_size


def _check_tensors(archive: zipfile.ZipFile, name: str, what: str) -> None:
    try:
        content = archive.read(name)
        if content.startswith(b"PK"):
            _check_inner_zip(content, what)
        else:
            _walk_old_format(content)
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (ConfigurationError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it names '{named[1]}'" if named else str(error).splitlines()[0][:200]
        raise ConfigurationError(f"{what} holds something other than weights, and is not read: {reason}") from None
    except Exception as error:
        raise ConfigurationError(f"{what} is damaged: {_one_line(error)}") from None
    for tensor in _tensors_in(loaded):
        strided = tensor.layout is torch.strided and tensor.device.type == "cpu"
        if not strided or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ConfigurationError(f"{what} has a tensor of the shape {tuple(tensor.shape)} that is not stored whole")


def _check_inner_zip(content: bytes, what: str) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        if any(member.file_size > len(content) for member in inner.infolist()):
            raise ConfigurationError(f"{what} would unpack to more than it holds")
        for name in inner.namelist():
            if name.endswith(".pkl"):
                pickles.walk(io.BytesIO(inner.read(name)))


def _walk_old_format(content: bytes) -> None:
    """Torch below 1.6 wrote five pickles one after the other, and then the numbers."""
    stream = io.BytesIO(content)
    for _ in range(5):
        pickles.walk(stream)


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(item)


def check_attributes(data: dict[str, Any], objects: dict[str, Any], algorithm_class: Any, path: Path) -> None:
    """
    Check what SB3 makes a policy from, and sets on the model as it is.

    :param data: the JSON of the zip
    :param objects: the values of its pickled keys
    :raises ConfigurationError: if a value is of the wrong kind, or would replace a method
    """
    for key in data:
        if callable(getattr(algorithm_class, key, None)):
            raise ConfigurationError(f"{path} has '{key}' in its data, which is the name of a method")
    values = {**data, **objects}
    for key in ("observation_space", "action_space"):
        check_space(values.get(key), f"'{key}' in {path}")
    policy = values.get("policy_class")
    if not isinstance(policy, str) and not (isinstance(policy, type) and issubclass(policy, BasePolicy)):
        raise ConfigurationError(f"'policy_class' in {path} must be a policy, but got {policy!r:.80}")
    if not isinstance(values.get("policy_kwargs", {}), dict):
        raise ConfigurationError(
            f"'policy_kwargs' in {path} must be a mapping, but got {values['policy_kwargs']!r:.80}"
        )


def check_space(space: Any, what: str) -> None:
    """:raises ConfigurationError: if it is no space, or one that is absurdly large"""
    if not isinstance(space, spaces.Space):
        raise ConfigurationError(f"{what} must be a space, but got {space!r:.80}")
    try:
        size = spaces.flatdim(space)
        consistent = all(
            part.low.shape == part.high.shape == part.shape for part in _parts_of(space) if isinstance(part, spaces.Box)
        )
    except Exception as error:  # of attributes that are missing or of any other type
        raise ConfigurationError(f"{what} is no space that can be used: {_one_line(error)}") from None
    if not consistent:
        raise ConfigurationError(f"{what} has bounds of another shape than its own")
    if not 0 < size <= _LARGEST_SPACE:
        raise ConfigurationError(f"{what} has {size:,} dimensions. At most {_LARGEST_SPACE:,} are possible")


def _parts_of(space: Any) -> Iterator[Any]:
    parts = space.spaces if isinstance(space, (spaces.Dict, spaces.Tuple)) else None
    if parts is None:
        yield space
    else:
        for part in parts.values() if isinstance(parts, dict) else parts:
            yield from _parts_of(part)


class AllocationBudget(TorchDispatchMode):
    """
    Ends the making of a policy that would be larger than the weights that are to be put in it.

    Whatever attribute of the file is absurd (a layer, a number of quantiles, a space), it becomes tensors: each is
    looked at before it is made.

    :param numbers: what :func:`check_weights` returned; weights have four bytes, and some are made twice
    :param path: the zip, for the error
    """

    def __init__(self, numbers: int, path: Path) -> None:
        super().__init__()
        self._left = numbers + _SPARE_NUMBERS
        self._path = path

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what is made anew, and pass every call on."""
        name = func.overloadpacket.__name__
        if name.startswith(_FACTORIES) and not name.endswith("_like"):
            numbers = _numbers_made(func, args)
            self._left -= numbers + _PRICE_OF_TENSOR
            if self._left < 0:
                raise ConfigurationError(
                    f"{self._path} describes a policy that is larger than the weights that it holds:"
                    " its policy_kwargs or its spaces do not belong to its policy.pth"
                )
        return func(*args, **(kwargs or {}))


def _numbers_made(func: Any, args: Any) -> int:
    """:return: how many numbers a call would make, from its argument ``size`` or ``n``"""
    for argument, value in zip(func._schema.arguments, args, strict=False):
        if argument.name in ("size", "n", "end", "steps"):
            sizes = value if isinstance(value, (list, tuple)) else [value]
            product = 1
            for size in sizes:
                product *= max(int(size), 0)
            return product
    return 0


def _one_line(error: BaseException) -> str:
    reason = " ".join(str(error).split())
    return f"{type(error).__name__}: {reason}"[:300] if reason else type(error).__name__
