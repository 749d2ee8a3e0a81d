"""Writing what an attacker could put into a run's files."""

from __future__ import annotations

import base64
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.sentinel}",)


def serialized(value: Any) -> dict[str, str]:
    """:return: a value as SB3 stores what JSON cannot hold"""
    return {":type:": "x", ":serialized:": base64.b64encode(cloudpickle.dumps(value)).decode()}


def rewrite_data(path: Path, **changes: Any) -> None:
    """Replace entries of ``data`` in a model's zip."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    data = {**json.loads(contents["data"]), **changes}
    contents["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
