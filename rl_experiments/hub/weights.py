"""The policy's weights as safetensors: a reader needs no pickle, and no Python."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import torch

from rl_experiments.core.files import write_bytes
from rl_experiments.runs import LoadedAgent

_POLICY = "policy.pth"


def write_safetensors(archive: Path, target: Path, agent: LoadedAgent) -> Path | None:
    """
    Write the tensors of a model's ``policy.pth`` under the same names.

    Where two names share one tensor, it is stored once, and the metadata maps the other name to the first.

    :param archive: the model's zip
    :return: the file, or None where the zip holds no weights
    """
    from safetensors.torch import save

    with zipfile.ZipFile(archive) as opened:
        if _POLICY not in opened.namelist():
            return None
        with opened.open(_POLICY) as stream:
            weights = torch.load(stream, map_location="cpu", weights_only=True)
    stored: dict[str, torch.Tensor] = {}
    first_names: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    shared: dict[str, str] = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in first_names:
            shared[name] = first_names[place]
            continue
        first_names[place] = name
        stored[name] = tensor.clone(memory_format=torch.contiguous_format)
    about = {"algorithm": agent.algorithm, "environment": agent.run.env_id, "shared": shared}
    # One entry, because the order of several changes from call to call, and with it the file.
    write_bytes(target, save(stored, {"rl_experiments": json.dumps(about)}))
    return target
