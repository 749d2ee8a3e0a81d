"""One page of several agents side by side: what a run could do at each of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError, Terminated
from rl_experiments.core.interruption import Interruption
from rl_experiments.recording.comparing import Which, label_of, unused_path
from rl_experiments.recording.replays.page import write_replays
from rl_experiments.recording.replays.poses import Replay, play_replay, require_poses
from rl_experiments.recording.video import RecordingError
from rl_experiments.runs import Run, load_agent


@dataclass(frozen=True)
class TrainingPage:
    """
    A page with an episode of several agents.

    :param path: the file
    :param shown: label and return of each agent in it; None for an episode that is cut off
    """

    path: Path
    shown: tuple[tuple[str, float | None], ...]


def record_training_page(
    run: Run,
    models: Sequence[Which],
    path: str | Path,
    *,
    n_steps: int = 1000,
    seed: int = 0,
    deterministic: bool | None = None,
    loading: Mapping[str, Any] | None = None,
    show_progress: bool = False,
    tell: Callable[[str], None] = print,
) -> TrainingPage:
    """
    Play one episode of several agents of a run, all with the same seed, and write one page of them.

    :param models: as :func:`rl_experiments.recording.comparing.chosen_models` returns them
    :param path: the page; a file that is there stays, and the name gets a number
    :param n_steps: longest length of each episode
    :param seed: of each episode
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param loading: further arguments of :func:`rl_experiments.load_agent`
    :param tell: told of each agent that cannot be shown
    :raises RecordingError: if none can be shown, or the environment does not tell where its bodies are
    :raises KeyboardInterrupt: after a signal, which ends the page with the episode that is played
    """
    if not models:
        raise ConfigurationError("there are no models to show")
    final, replays, failure = unused_path(Path(path)), list[Replay](), ""
    interruption = Interruption()
    with interruption.listening():
        for which in models:
            if interruption.signal is not None:
                break
            label = label_of(which)
            try:
                agent = load_agent(run, which, **{"device": "cpu", **(loading or {})})
            except RLExperimentsError as error:
                failure = str(error)
                tell(f"{label}: left out: {failure}")
                continue
            require_poses(agent.recipe)
            replays.append(
                play_replay(
                    agent,
                    n_steps=n_steps,
                    seed=seed,
                    deterministic=deterministic,
                    label=label,
                    show_progress=show_progress,
                    on_progress=lambda _: interruption.signal is None,
                )
            )
        if replays:
            write_replays(replays, final, f"{run.algorithm} in {run.env_name}, as it was trained")
    if interruption.signal is not None:
        if replays:
            tell(f"Replay: {final} (as far as it came)")
        raise Terminated(interruption.signal)
    if not replays:
        raise RecordingError(f"No agent of {run.path} can be shown: {failure}")
    shown = tuple((each.label, float(each.rewards.sum()) if each.done else None) for each in replays)
    return TrainingPage(final, shown)
