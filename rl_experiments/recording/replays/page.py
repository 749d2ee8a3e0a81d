"""One HTML file with everything in it: viewer, shapes, and the poses of one episode or more."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import write_text
from rl_experiments.envs.brax.scene import Scene, Shape
from rl_experiments.recording.replays.poses import Replay, play_replay

_VERSION = 1
_BEGIN, _END = '<script type="application/json" id="replay">', "</script>"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""No page with this asks for anything anywhere."""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<canvas id="main" width="960" height="600"></canvas>
<div class="row">
<button id="play" type="button">Play</button>
<input id="time" type="range" min="0" value="0" aria-label="step">
<select id="speed" aria-label="speed">
<option value="0.25">&frac14; speed</option><option value="1" selected>real time</option>
<option value="4">4 times</option>
</select>
<output id="where"></output>
</div>
<div id="over" hidden>
<div class="row"><label for="training">Training</label><input id="training" type="range" min="0"></div>
<div id="tiles"></div>
</div>
<noscript>The replay needs JavaScript.</noscript>
</main>
{begin}{data}{end}
<script>
{script}</script>
</body>
</html>
"""


def write_replays(replays: Sequence[Replay], path: str | Path, title: str) -> Path:
    """
    Write a page; with several replays (one for each checkpoint, in order) they play side by side, with a slider over
    the training.

    :param replays: of one environment
    :param path: the file; it appears whole or not at all
    :param title: above the picture
    """
    if not replays:
        raise ConfigurationError("There is no replay to write")
    scene = replays[0].scene
    content = {
        "version": _VERSION,
        "title": title,
        "scene": {
            "bodies": list(scene.bodies),
            "seconds": scene.seconds,
            "target": scene.target,
            "shapes": [_shape_data(shape) for shape in scene.shapes],
        },
        "episodes": [_episode_data(replay) for replay in replays],
    }
    folder = resources.files("rl_experiments.recording.replays")
    page = _PAGE.format(
        policy=_POLICY,
        title=html.escape(title),
        style=folder.joinpath("viewer.css").read_text(encoding="utf-8"),
        script=folder.joinpath("viewer.js").read_text(encoding="utf-8"),
        begin=_BEGIN,
        end=_END,
        data=json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),
    )
    write_text(Path(path), page)
    return Path(path)


@dataclass(frozen=True)
class ReplayPage:
    """
    A page with one episode.

    :param path: the file
    :param n_frames: an episode of T steps has T + 1
    :param complete: whether the episode ended, and was not cut off
    :param total_reward: its return
    """

    path: Path
    n_frames: int
    complete: bool
    total_reward: float


def record_page(agent: Agent, path: str | Path, title: str, **wishes: Any) -> ReplayPage:
    """
    Play one episode, and write its page.

    :param title: above the picture
    :param wishes: as :func:`rl_experiments.recording.replays.play_replay` takes them
    :raises RecordingError: if the environment does not tell where its bodies are
    """
    replay = play_replay(agent, **wishes)
    path = write_replays([replay], path, title)
    return ReplayPage(path, len(replay.poses), replay.done, float(replay.rewards.sum()))


def read_replays(path: str | Path) -> list[Replay]:
    """
    :return: what :func:`write_replays` wrote, to the last bit
    :raises ConfigurationError: if the file is none of ours
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = json.loads(text.partition(_BEGIN)[2].partition(_END)[0])
        data = content["scene"]
        shapes = tuple(_shape(entry) for entry in data["shapes"])
        scene = Scene(tuple(data["bodies"]), shapes, data["seconds"], data["target"])
        return [_replay(scene, entry) for entry in content["episodes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} holds no replay of ours: {error}") from None


def _shape_data(shape: Shape) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": shape.kind,
        "body": shape.body,
        "position": shape.position,
        "rotation": shape.rotation,
        "size": shape.size,
        "color": shape.color,
    }
    if shape.vertices is not None and shape.faces is not None:
        data |= {"vertices": _text(shape.vertices, np.float32), "faces": _text(shape.faces, np.int32)}
    return data


def _shape(data: dict[str, Any]) -> Shape:
    position, rotation, size, color = (tuple(data[name]) for name in ("position", "rotation", "size", "color"))
    shape = Shape(data["kind"], data["body"], position, rotation, size, color)
    if "vertices" not in data:
        return shape
    vertices, faces = _array(data["vertices"], np.float32), _array(data["faces"], np.int32)
    return replace(shape, vertices=vertices.reshape(-1, 3), faces=faces.reshape(-1, 3))


def _episode_data(replay: Replay) -> dict[str, Any]:
    return {
        "label": replay.label,
        "n_frames": len(replay.poses),
        "done": replay.done,
        "poses": _text(replay.poses, np.float32),
        "rewards": _text(replay.rewards, np.float32),
    }


def _replay(scene: Scene, data: dict[str, Any]) -> Replay:
    poses = _array(data["poses"], np.float32).reshape(data["n_frames"], len(scene.bodies), 7)
    return Replay(scene, poses, _array(data["rewards"], np.float32), data["done"], data["label"])


def _text(array: np.ndarray, kind: Any) -> str:
    """Little-endian, as browsers read it."""
    return base64.b64encode(np.ascontiguousarray(array, np.dtype(kind).newbyteorder("<")).tobytes()).decode("ascii")


def _array(text: str, kind: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.dtype(kind).newbyteorder("<")).astype(kind)
