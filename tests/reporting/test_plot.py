"""The command ``plot``: the flags of the zoo's plots, and its files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_experiments import plot
from tests.helpers.commands import CommandResult
from tests.helpers.made_runs import made_run

Command = Callable[..., CommandResult]


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of two algorithms, one of which was evaluated twice as often; no screen."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for number in (1, 2):
        made_run(tmp_path / "logs", "ppo", "CartPole-v1", number, [100 * number, 200, 300 + number])
        made_run(tmp_path / "logs", "a2c", "CartPole-v1", number, [10, 20, 30, 40, 50, 60 * number])
    return tmp_path / "logs"


def test_training_episodes(command: Command, logs: Path) -> None:
    result = command(plot, "train", "-a", "ppo", "-e", "CartPole", "-f", "logs", "-w", "5", "--save", "figures")
    assert result.code == 0, result.err
    assert Path("figures/train-ppo-CartPole-reward.png").read_bytes().startswith(b"\x89PNG")
    command(plot, "train", "-a", "ppo", "-e", "CartPolle", "-f", "logs").assert_refused("'CartPole-v1'")
    command(plot, "train", "-a", "ppo", "-e", "Cart", "-f", "logs", "-w", "500").assert_refused("500", "-w 10")


def test_evaluations_are_stored_as_the_zoo_does_and_compared(command: Command, logs: Path) -> None:
    flags = ("-a", "PPO", "a2c", "-e", "CartPole-v1", "-f", "logs", "-l", "here", "-o", "results")
    result = command(plot, "evaluations", *flags)
    assert result.code == 0, result.err
    assert Path("plots/evaluations-CartPole-v1.png").is_file()
    stored = pickle.loads(Path("results.pkl").read_bytes())
    ppo = stored["CartPole-v1"]["PPO-here"]
    assert ppo["mean"].tolist() == [150, 200, 301.5]
    assert sorted(ppo["last_evals"]) == [301, 302]
    assert ppo["std_error_last_eval"] == pytest.approx(0.5 / np.sqrt(2))
    assert stored["results_table"]["value_matrix"][1][1:] == ["302 +/- 0", "90 +/- 21"]
    assert "| CartPole-v1  | 302 +/- 0 | 90 +/- 21 |" in result.out

    everything = ("-r", "-vs", "-iqm", "-b", "--save", "figures", "--save-format", "svg", "-o", "all.pdf")
    result = command(plot, "compare", "-i", "results", "-l", "first", "second", *everything)
    assert result.code == 0, result.err
    names = ("aggregates", "boxplot", "comparisons", "efficiency", "evaluations-CartPole-v1", "profiles", "scores")
    assert sorted(file.stem for file in Path("figures").iterdir()) == sorted(names)
    assert Path("all.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["trian"], ("trian", "'train'")),
        (["evaluations", "-a", "ppo", "-e", "Hopper", "-f", "logs"], ("Hopper",)),
        (["evaluations", "-a", "ppo", "-e", "Cart", "-f", "logs", "-l", "a", "b"], ("--labels", "one for each folder")),
        (["evaluations", "-a", "pppo", "-e", "Cart", "-f", "logs"], ("pppo", "'ppo'")),
        (["compare", "-i", "nothing"], ("nothing.pkl",)),
        (["compare", "-i", "code"], ("code.pkl",)),
    ],
)
def test_mistakes_are_named(command: Command, logs: Path, arguments: list[str], parts: tuple[str, ...]) -> None:
    Path("code.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    command(plot, *arguments).assert_refused(*parts)
    assert not Path("ran").exists()
