"""Writing what an attacker could put into a run's files."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.sentinel}",)


def serialized(value: Any) -> dict[str, str]:
    """:return: a value as SB3 stores what JSON cannot hold"""
    return {":type:": "x", ":serialized:": base64.b64encode(cloudpickle.dumps(value)).decode()}


def members_of(path: Path) -> dict[str, bytes]:
    """:return: the members of a model's zip"""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write a zip whatever the names of its members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def rewrite_data(path: Path, **changes: Any) -> None:
    """Replace entries of ``data`` in a model's zip."""
    members = members_of(path)
    members["data"] = json.dumps({**json.loads(members["data"]), **changes}).encode()
    write_members(path, members)


def rewrite_weights(path: Path, change: Callable[[torch.Tensor], Any], name: str = "policy.pth") -> None:
    """Replace every tensor of a member with weights."""
    members = members_of(path)
    weights = torch.load(io.BytesIO(members[name]), weights_only=True)
    members[name] = torch_bytes({key: change(tensor) for key, tensor in weights.items()})
    write_members(path, members)


def torch_bytes(value: Any) -> bytes:
    """:return: a value as torch saves it"""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def patch_directory(path: Path, name: str, offset: int, value: bytes) -> None:
    """Change what the directory of a zip says of a member, ``offset`` bytes into its entry."""
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    while content[entry + 46 : entry + 46 + len(name)] != name.encode():
        entry = content.find(b"PK\x01\x02", entry + 1)
    content[entry + offset : entry + offset + len(value)] = value
    path.write_bytes(content)
