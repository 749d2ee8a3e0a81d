"""What only an import can tell, each in a process of its own: one that crashes or hangs costs no other answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

_PATIENCE = 120.0
_MARK = "doctor:"
_PACKAGES = (
    "numpy",
    "gymnasium",
    "stable_baselines3",
    "sb3_contrib",
    "ale_py",
    "cv2",
    "pygame",
    "matplotlib",
    "optuna",
    "tensorboard",
    "huggingface_hub",
    "huggingface_sb3",
    "imageio_ffmpeg",
    "rl_zoo3.import_envs",
)
_TORCH = """
import torch
flags = [name for name in ("avx512_bf16", "amx_bf16") if name in open("/proc/cpuinfo").read().split()] \\
    if __import__("os").path.exists("/proc/cpuinfo") else []
cuda = torch.cuda.is_available()
float(torch.ones(4, 4).matmul(torch.ones(4, 4)).sum())
answer = {"version": torch.__version__, "threads": torch.get_num_threads(), "bfloat16": flags,
    "built_for": torch.version.cuda or getattr(torch.version, "hip", None),
    "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
    "mps": bool(getattr(torch.backends, "mps", None) and torch.backends.mps.is_available())}
"""
_JAX = """
import os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import jax
answer = {"version": jax.__version__, "devices": sorted({str(one.platform) for one in jax.devices()})}
"""
_GRAPHICS = """
from rl_experiments.envs.graphics import choose_graphics, disarm_settings, how_to_install
import os
named = os.environ.get("MUJOCO_GL", "")
disarm_settings()
ignored = named if named and "MUJOCO_GL" not in os.environ else ""
found = choose_graphics()
answer = {"backend": found.backend, "works": found.works, "failed": found.failed, "ignored": ignored,
    "unusable": found.unusable_setting, "cure": "" if found.works else how_to_install()}
"""
_VIDEO = """
from rl_experiments.recording.video import CODECS, working_codec
import imageio_ffmpeg
answer = {"codecs": {suffix: working_codec(suffix) for suffix in CODECS},
    "program": imageio_ffmpeg.get_ffmpeg_exe(), "version": imageio_ffmpeg.get_ffmpeg_version()}
"""
_IMPORTS = f"""
import importlib, importlib.util
answer = {{}}
for name in {_PACKAGES!r}:
    try:
        importlib.import_module(name)
    except BaseException as error:
        lines = str(error).strip().splitlines() or [""]
        answer[name] = f"{{type(error).__name__}}: {{lines[0][:200]}}"
"""
_LIBRARIES = """
import ctypes
answer = {}
for library, package in {"libEGL.so.1": "libegl1", "libGL.so.1": "libgl1", "libOSMesa.so.8": "libosmesa6"}.items():
    try:
        ctypes.CDLL(library)
    except OSError:
        answer[package] = library
"""
_TOKEN = """
from huggingface_hub import constants, get_token
answer = {"token": bool(get_token()), "path": constants.HF_TOKEN_PATH, "offline": constants.HF_HUB_OFFLINE}
"""
PROBES = {
    "torch": _TORCH,
    "jax": _JAX,
    "graphics": _GRAPHICS,
    "video": _VIDEO,
    "imports": _IMPORTS,
    "libraries": _LIBRARIES,
    "token": _TOKEN,
}


@dataclass(frozen=True)
class Answer:
    """
    :param value: what a probe tells, empty where it failed
    :param error: why, None where it did not
    """

    value: dict[str, Any]
    error: str | None = None


def probe_all(names: list[str]) -> dict[str, Answer]:
    """
    :param names: of :data:`PROBES`
    :return: their answers; as many are asked at once as there are cores
    """
    with ThreadPoolExecutor(max(1, min(len(names), os.cpu_count() or 1))) as pool:
        return dict(zip(names, pool.map(_probe, names), strict=True))


def _probe(name: str) -> Answer:
    code = f"import json\n{PROBES[name]}\nprint({_MARK!r} + json.dumps(answer))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Answer({}, f"it did not answer within {_PATIENCE:g} seconds")
    except OSError as error:
        return Answer({}, f"no process can be started: {error.strerror}")
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode == 0 and lines:
        return Answer(json.loads(lines[-1].removeprefix(_MARK)))
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return Answer({}, said[-1][:300] if said and done.returncode > 0 else f"its process ended with {done.returncode}")
