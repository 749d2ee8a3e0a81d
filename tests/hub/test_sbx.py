"""An agent of SBX goes to a Hub and comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import enjoy, evaluate, load_agent, load_from_hub, push_to_hub
from rl_experiments.core.accelerated import has_sbx
from tests.helpers.hub_server import HubServer
from tests.helpers.tiny import tiny_experiment

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_sbx(), reason="SBX is not installed")]


def test_there_and_back(
    hub: HubServer, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    run = tiny_experiment("td3", "Pendulum-v1", tmp_path / "logs", {"normalize": True}, backend="sbx").run().run
    flags = ("--algo", "td3", "--env", "Pendulum-v1")
    pushed = command(push_to_hub, *flags, "-f", "logs", "-orga", "ann", "--no-render", "--n-eval-episodes", "1")
    assert pushed.code == 0, pushed.err
    card = (tmp_path / "hub/ann/td3-Pendulum-v1/README.md").read_text()
    assert "library_name: sbx" in card
    assert "--backend sbx" in card
    assert "from sbx import TD3" in card
    loaded = command(load_from_hub, "ann/td3-Pendulum-v1", "-f", "again")
    assert loaded.code == 0, loaded.err
    came_back = load_agent(tmp_path / "again/td3/Pendulum-v1_1")
    assert came_back.backend == "sbx"
    scores = [evaluate(agent, n_episodes=1, seed=5).returns[0] for agent in (came_back, load_agent(run))]
    assert scores[0] == scores[1]
    assert command(enjoy, *flags, "-f", "again", "--no-render", "-n", "20").code == 0
