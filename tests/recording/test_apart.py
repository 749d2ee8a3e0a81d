"""Renderers that crash, hang or raise in the middle: the recording is kept as far as it came."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rl_experiments import EnvironmentRecipe, record, record_frames
from rl_experiments.core.errors import Terminated
from rl_experiments.recording import apart, record_videos
from tests.evaluation.test_playing import Constant
from tests.helpers.videos import decoded

N_DRAWN = 5


class _Odd:
    """An entry of an info that cannot be sent to another process."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Treacherous(gym.Env):
    """Draws some pictures, and then fails as it was told to."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's)

    def __init__(self, fault: str = "", render_mode: str | None = None) -> None:
        self.render_mode, self._fault = render_mode, fault
        self.observation_space, self.action_space = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
        self._step = self._n_drawn = 0

    def reset(self, **kwargs: Any) -> Any:
        super().reset(seed=kwargs.get("seed"))
        self._step = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        self._step += 1
        return np.zeros(3, np.float32), 1.0, self._step == 12, False, {"odd": _Odd()}

    def render(self) -> Any:
        self._n_drawn += 1
        if self._n_drawn > N_DRAWN:
            _FAULTS[self._fault]()
        return np.full((32, 48, 3), 20 * self._step, np.uint8)


def _raise() -> None:
    raise OSError("the lamp went out")


_FAULTS: dict[str, Any] = {
    "": lambda: None,
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(0),
    "hang": lambda: time.sleep(60),
    "raise": _raise,
}
_SIGNALLED = "hang after a signal"
_FAULTS[_SIGNALLED] = lambda: (os.kill(os.getppid(), signal.SIGTERM), time.sleep(60))
_WORDS = {"abort": "SIGABRT", "segfault": "SIGSEGV", "exit": "exit code 0", "hang": "nothing happened", "raise": "lamp"}


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "PATIENCE", 3.0)
    if "Treacherous-v0" not in gym.registry:
        gym.register("Treacherous-v0", entry_point=Treacherous)


def _recipe(fault: str) -> EnvironmentRecipe:
    return EnvironmentRecipe("Treacherous-v0", kwargs={"fault": fault})


@pytest.mark.parametrize("fault", list(_WORDS))
def test_a_video_ends_where_its_renderer_fails(fault: str, tmp_path: Path) -> None:
    said: list[str] = []
    agent: Any = Constant()
    made = record(agent, tmp_path / "a.mp4", _recipe(fault), say=said.append)
    assert _WORDS[fault] in made.failure
    assert len(said) == 1
    assert said[0].endswith("the video ends there")
    assert len(decoded(made.path)[1]) == made.n_frames == N_DRAWN
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("fault", ["segfault", "raise"])
def test_images_end_where_their_renderer_fails(fault: str, tmp_path: Path) -> None:
    made = record_frames(Constant(), tmp_path, _recipe(fault), say=lambda _: None)  # type: ignore[arg-type]
    assert _WORDS[fault] in made.failure
    assert (made.folder.name, made.is_whole) == ("frames.partial", False)
    assert len(list(made.folder.glob("001/*.png"))) == N_DRAWN


@pytest.mark.parametrize("format", ["mp4", "png"])
def test_the_best_is_kept_as_far_as_it_was_drawn(format: str, tmp_path: Path) -> None:
    agent: Any = Constant()
    agent.recipe = _recipe("abort")
    made = list(record_videos(agent, tmp_path, "t", format=format, best_of=2, worst_of=2))
    assert len(made) == 1
    assert "SIGABRT" in made[0].failure
    kept = [path.name for path in tmp_path.iterdir()]
    assert kept == (["t-best-of-2.mp4"] if format == "mp4" else ["frames.partial"])


def test_what_happens_is_the_same_in_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []
    for name, elsewhere in (("there.mp4", True), ("here.mp4", False)):
        monkeypatch.setattr(apart, "can_isolate", lambda elsewhere=elsewhere: elsewhere)
        made.append(record(Constant(), tmp_path / name, EnvironmentRecipe("LunarLander-v3"), overlay=True, n_steps=40))  # type: ignore[arg-type]
    assert made[0].path.read_bytes() == made[1].path.read_bytes()
    assert made[0].episodes == made[1].episodes


def test_errors_keep_their_name_and_text() -> None:
    class LocalError(Exception):
        def __init__(self, number: int, text: str) -> None:
            super().__init__(f"{number}: {text}")

    for error in (ValueError("a"), LocalError(1, "b"), KeyboardInterrupt("c"), FileNotFoundError(2, "d", "e")):
        copy = apart.pickle.loads(apart.pickle.dumps(apart.portable(error)))
        assert isinstance(copy, Exception)
        assert (type(copy).__name__, str(copy)) == (type(error).__name__, str(error))


@pytest.mark.usefixtures("same_handlers_after")
@pytest.mark.parametrize("wishes", [{}, {"best_of": 1}, {"format": "png"}])
def test_a_signal_is_heard_while_a_renderer_hangs(
    wishes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "PATIENCE", 50.0)
    monkeypatch.setattr("rl_experiments.recording.filming.check_drawing", lambda *_: None)  # has its own patience
    agent: Any = Constant()
    agent.recipe = _recipe(_SIGNALLED)
    made: list[Any] = []
    begin = time.monotonic()
    videos = record_videos(agent, tmp_path, "t", **wishes)
    with pytest.raises(Terminated):
        deque(map(made.append, videos), maxlen=0)
    assert time.monotonic() - begin < 20
    assert "SIGTERM" in made[0].failure
    assert (made[0].n_frames if "format" not in wishes else made[0].n_images) == N_DRAWN
