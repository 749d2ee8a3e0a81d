"""All that the doctor looks at, in the order in which it is told."""

from __future__ import annotations

import glob
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rl_experiments.reporting.doctor.advice import Advice, advise
from rl_experiments.reporting.doctor.findings import BROKEN, GOOD, MISSING, NOTE, Finding
from rl_experiments.reporting.doctor.machine import look_at_machine
from rl_experiments.reporting.doctor.packages import look_at_packages
from rl_experiments.reporting.doctor.probes import Answer, probe_all

_REINSTALL = "python -m pip install --force-reinstall --no-deps"
_HOMES = {
    "cv2": "opencv-python-headless",
    "huggingface_sb3": "sb3-team-hf-integration",
    "pygame": "pygame-ce",
    "rl_zoo3.import_envs": "rl_zoo3",
}


@dataclass(frozen=True)
class Diagnosis:
    """
    :param sections: title to what was found
    :param advice: what would make training faster here
    """

    sections: Mapping[str, tuple[Finding, ...]]
    advice: tuple[Advice, ...]

    @property
    def broken(self) -> list[Finding]:
        """What is damaged, or wrong."""
        return [finding for of_one in self.sections.values() for finding in of_one if finding.state == BROKEN]

    def as_dict(self) -> dict[str, Any]:
        """:return: ready for JSON"""
        sections = {title: [one.as_dict() for one in findings] for title, findings in self.sections.items()}
        return {**sections, "advice": [one.as_dict() for one in self.advice]}


def examine(log_folder: str = "logs") -> Diagnosis:
    """:return: what this machine has, what is wrong with it, and what would make training faster"""
    names = ["torch", "imports", "video", "libraries", "token"]
    names += [name for name, package in (("jax", "jax"), ("graphics", "mujoco")) if importlib.util.find_spec(package)]
    machine = tuple(look_at_machine(log_folder))  # before the probes, which are a load of their own
    answers = probe_all(names)
    sections = {
        "machine": machine,
        "computing": tuple(_computing(answers)),
        "pictures": tuple(_pictures(answers)),
        "packages": (*look_at_packages(), *_imports(answers)),
        "hub": (_token(answers["token"]),),
    }
    reasons = {reason: name for name, reason in reversed(answers["imports"].value.items())}
    sections = {title: tuple(_at_the_root(one, reasons) for one in found) for title, found in sections.items()}
    return Diagnosis(sections, tuple(advise(sections)))


def _at_the_root(finding: Finding, reasons: Mapping[str, str]) -> Finding:
    """:return: the finding; where the import of another package is what fails, that one is to be mended"""
    first = next((name for reason, name in reasons.items() if reason in finding.text), finding.name)
    if finding.state != BROKEN or first == finding.name:
        return finding
    return replace(finding, cure=f"mend {first} first")


def _computing(answers: Mapping[str, Answer]) -> Iterator[Finding]:
    gpu = bool(shutil.which("nvidia-smi") or glob.glob("/dev/nvidia[0-9]*"))
    torch = answers["torch"]
    if torch.error:
        cure = f"{_REINSTALL} torch, or without --no-deps where a library is missing"
        yield Finding("torch", f"it cannot be imported: {torch.error}", BROKEN, cure, {"gpu": gpu})
    else:
        value = {**torch.value, "gpu": gpu}
        where = ", ".join(value["gpus"]) or ("Apple's GPU" if value["mps"] else "the CPU only")
        text = f"{value['version']}, {value['threads']} of its threads by default, computes on {where}"
        unused = gpu and not value["gpus"]
        cure = "python -m pip install --force-reinstall torch (PyPI's build knows CUDA), and look at nvidia-smi"
        yield Finding("torch", text, NOTE if unused else GOOD, cure if unused else "", value)
    if "jax" in answers:
        jax = answers["jax"]
        if jax.error:
            cure = "python -m pip install --force-reinstall 'jax<0.10'"
            yield Finding("jax", f"it cannot be imported: {jax.error}", BROKEN, cure)
        else:
            devices = ", ".join(jax.value["devices"])
            unused = gpu and devices == "cpu"
            cure = "python -m pip install 'jax[cuda12]<0.10'" if unused else ""
            yield Finding("jax", f"{jax.value['version']} on {devices}", NOTE if unused else GOOD, cure, jax.value)


def _pictures(answers: Mapping[str, Answer]) -> Iterator[Finding]:
    if "graphics" in answers:
        yield _graphics(answers["graphics"])
    missing = answers["libraries"].value
    if sys.platform == "linux" and missing:
        draws = not answers["graphics"].error and answers["graphics"].value["works"] if "graphics" in answers else False
        cure = "" if draws else f"apt-get install -y {' '.join(missing)}"
        text = f"not there: {', '.join(missing)} (MuJoCo can draw with others)" if draws else ", ".join(missing)
        yield Finding("Debian packages", text, MISSING, cure, {"missing": sorted(missing)})
    video = answers["video"]
    if video.error:
        yield Finding("video", f"no encoder: {video.error}", BROKEN, f"{_REINSTALL} imageio-ffmpeg")
        return
    works = {suffix: codec for suffix, codec in video.value["codecs"].items() if codec}
    text = ", ".join(f"{suffix[1:]} by {codec}" for suffix, codec in works.items())
    lacking = [suffix[1:] for suffix in video.value["codecs"] if suffix not in works]
    if ".mp4" in works:
        text += f" (ffmpeg {video.value['version']})" + (f"; not {', '.join(lacking)}" if lacking else "")
        yield Finding("video", text, GOOD, data=video.value)
    else:
        text = f"{video.value['program']} encodes no MP4; videos become GIFs"
        cure = f"{_REINSTALL} imageio-ffmpeg, or name a working ffmpeg in IMAGEIO_FFMPEG_EXE"
        yield Finding("video", text, BROKEN, cure, video.value)


def _graphics(answer: Answer) -> Finding:
    if answer.error:
        return Finding(
            "MuJoCo", f"what draws cannot be found: {answer.error}", BROKEN, f"{_REINSTALL} 'mujoco<4', unset MUJOCO_GL"
        )
    value = answer.value
    named = value["ignored"] or (value["unusable"] or [""])[0]
    if named:
        found = f"{value['backend']} does" if value["backend"] else "nothing else does"
        text = f"MUJOCO_GL={named} draws nothing here, {found}"
        cure = "unset MUJOCO_GL" + (f". {value['cure']}" if value["cure"] else "")
        return Finding("MuJoCo", text, BROKEN, cure, value)
    if not value["works"]:
        why = "; ".join(f"{name}: {reason}" for name, reason in value["failed"].items())
        text = f"trains, and is drawn as plain shapes: no OpenGL works here ({why})"
        return Finding("MuJoCo", text, MISSING, value["cure"], value)
    return Finding("MuJoCo", f"draws with {value['backend'] or 'the system'}", data=value)


def _imports(answers: Mapping[str, Answer]) -> Iterator[Finding]:
    answer = answers["imports"]
    if answer.error:
        yield Finding("imports", f"importing the packages ends Python: {answer.error}", BROKEN, _REINSTALL)
    torch_is_broken = answers["torch"].error is not None
    for name, reason in answer.value.items():
        if torch_is_broken and name in ("stable_baselines3", "sb3_contrib", "rl_zoo3.import_envs", "huggingface_sb3"):
            continue  # which needs torch
        project = _HOMES.get(name, name)
        yield Finding(name, f"it cannot be imported: {reason}", BROKEN, f"{_REINSTALL} {project}")


def _token(answer: Answer) -> Finding:
    if answer.error:
        return Finding("token", f"huggingface_hub fails: {answer.error}", BROKEN, f"{_REINSTALL} huggingface_hub")
    if answer.value["token"]:
        offline = " but HF_HUB_OFFLINE is set" if answer.value["offline"] else ""
        return Finding("token", f"there is one{offline}", NOTE if offline else GOOD,
                       "unset HF_HUB_OFFLINE to upload" if offline else "", answer.value)  # fmt: skip
    cure = "hf auth login, or the variable HF_TOKEN; without it push_to_hub leaves a folder to upload by hand"
    return Finding("token", "there is none", MISSING, cure, answer.value)
