"""Agents of the zoo's first years come from the Hub, play, and are published again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from gymnasium import spaces
from stable_baselines3 import PPO, SAC

from rl_experiments import Run, enjoy, load_agent, load_from_hub, push_to_hub
from tests.helpers.commands import CommandResult
from tests.helpers.hub_repositories import add_repository, zoo_files
from tests.helpers.hub_server import HubServer
from tests.helpers.old_agents import Nothing, as_of_old, write_old_run

Command = Callable[..., CommandResult]


@pytest.fixture
def online(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    for variable, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(variable, value)
    return hub


@pytest.fixture
def goals() -> Iterator[str]:
    gym.register("Goals-v0", entry_point="tests.helpers.old_agents:Goals")
    yield "Goals-v0"
    del gym.registry["Goals-v0"]


def test_an_old_agent_comes_plays_and_goes_again(online: HubServer, command: Command, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", Nothing(spaces.Box(-9, 9, (8,)), spaces.Discrete(4)), n_steps=8, batch_size=8)
    original = write_old_run(tmp_path / "zoo", "ppo", "LunarLander-v2", model)
    add_repository(online, "sb3/ppo-LunarLander-v2", zoo_files(original.path, "ppo", "LunarLander-v2"))
    loaded = command(load_from_hub, "sb3/ppo-LunarLander-v2", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "There is no environment" not in loaded.out
    for env_id in ("LunarLander-v2", "LunarLander-v3"):
        played = command(enjoy, "--algo", "ppo", "--env", env_id, "-f", "logs", "--no-render", "-n", "5")
        assert played.code == 0, played.err
        assert "LunarLander-v2 is played in LunarLander-v3" in played.err
    flags = ("--algo", "ppo", "--env", "LunarLander-v3", "-f", "logs", "-orga", "club", "-n", "5")
    pushed = command(push_to_hub, *flags, "--n-eval-episodes", "1")
    assert pushed.code == 0, pushed.err
    bundle = tmp_path / "hub" / "club" / "ppo-LunarLander-v2"
    assert (bundle / "replay.mp4").stat().st_size > 0
    card = (bundle / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["tags"][0] == "LunarLander-v3"
    assert "| trained in | `LunarLander-v2` |" in card
    assert "--env LunarLander-v2 -orga club" in card
    assert "rl_experiments.train --algo ppo --env LunarLander-v3" in card
    again = command(load_from_hub, "club/ppo-LunarLander-v2", "-f", "again")
    assert again.code == 0, again.err
    agent = load_agent(tmp_path / "again" / "ppo" / "LunarLander-v2_1")
    assert agent.saved.path.read_bytes() == original.final_model.read_bytes()
    assert agent.recipe.env_id == "LunarLander-v3"


@pytest.mark.parametrize("by_flags", [True, False], ids=["by-flags", "by-name"])
def test_an_agent_of_hindsight_comes_and_plays(
    by_flags: bool, goals: str, online: HubServer, command: Command, tmp_path: Path
) -> None:
    space, actions = spaces.Box(-1, 1, (5,)), spaces.Box(-1, 1, (2,))
    model = SAC("MlpPolicy", Nothing(space, actions), buffer_size=10, policy_kwargs={"net_arch": [8]})
    changes: dict[str, Any] = {"model_class": as_of_old(SAC), "n_sampled_goal": 4}
    original = write_old_run(tmp_path / "zoo", "her", goals, model, {"model_class": "sac"}, changes)
    add_repository(online, f"sb3/her-{goals}", zoo_files(original.path, "her", goals))
    chosen = ("--algo", "her", "--env", goals) if by_flags else (f"sb3/her-{goals}",)
    loaded = command(load_from_hub, *chosen, "-f", "logs")
    assert loaded.code == 0, loaded.err
    run = Run(tmp_path / "logs" / "sac" / f"{goals}_1", "sac", goals)
    assert run.final_model.read_bytes() == original.final_model.read_bytes()
    for algo in ("her", "sac"):
        played = command(enjoy, "--algo", algo, "--env", goals, "-f", "logs", "--no-render", "-n", "12")
        assert played.code == 0, played.err
