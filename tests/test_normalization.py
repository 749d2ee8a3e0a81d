"""Each model of a run acts and is published with the normalisation of its own moment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rl_experiments import Run, enjoy, push_to_hub

MODELS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "final": ("Pendulum-v1.zip", "Pendulum-v1/vecnormalize.pkl", ()),
    "best": ("best_model.zip", "best_model_vecnormalize.pkl", ("--load-best",)),
    "last": ("rl_model_400_steps.zip", "rl_model_vecnormalize_400_steps.pkl", ("--load-last-checkpoint",)),
    **{
        str(steps): (
            f"rl_model_{steps}_steps.zip",
            f"rl_model_vecnormalize_{steps}_steps.pkl",
            ("--load-checkpoint", str(steps)),
        )
        for steps in (100, 200, 300)
    },
    "resumable": (
        "checkpoints/0000000304/model.zip",
        "checkpoints/0000000304/vecnormalize.pkl",
        ("--load-checkpoint", "304"),
    ),
}
"""Model, statistics, and the flags that choose them."""


@pytest.fixture(scope="module")
def run(normalized_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the run whose statistics differ so much that no score is that of another moment."""
    folder = tmp_path_factory.mktemp("logs") / "a2c" / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    for index, (_, name, _) in enumerate(MODELS.values()):
        statistics = _loaded(folder / name)
        statistics.obs_rms.mean = statistics.obs_rms.mean + np.array([0.5, -0.5, 2.0]) * index
        statistics.save(str(folder / name))
    return Run(folder, "a2c", normalized_run.env_name)


def _loaded(file: Path) -> VecNormalize:
    return VecNormalize.load(str(file), DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))


def _return_by_sb3(run: Run, model: str, statistics: str) -> float:
    """The first episode of the seed 0, played with nothing but SB3."""
    env = _loaded(run.path / statistics)
    env.training = env.norm_reward = False
    env.seed(0)
    agent = A2C.load(run.path / model, device="cpu")
    observation, total, over = env.reset(), 0.0, False
    while not over:
        observation, reward, done, _ = env.step(agent.predict(observation, deterministic=True)[0])
        total, over = total + float(reward[0]), bool(done[0])
    return total


def _of_run(run: Run) -> tuple[str, ...]:
    return ("--algo", "a2c", "--env", "Pendulum-v1", "-f", str(run.path.parent.parent), "--no-render", "--verbose", "0")


def test_the_statistics_really_differ(run: Run) -> None:
    returns = [_return_by_sb3(run, model, statistics) for model, statistics, _ in MODELS.values()]
    assert len({round(value, 2) for value in returns}) == len(MODELS)


@pytest.mark.parametrize("which", MODELS)
def test_enjoy_acts_with_the_statistics_of_the_moment(which: str, run: Run, command, tmp_path: Path) -> None:
    model, statistics, flags = MODELS[which]
    result = command(enjoy, *_of_run(run), "--n-episodes", "1", "--json", "scores.json", *flags)
    assert result.code == 0, result.err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert Path(scores["model"]) == run.path / model
    assert scores["returns"] == [pytest.approx(_return_by_sb3(run, model, statistics), abs=1e-3)]


@pytest.mark.parametrize("which", MODELS)
def test_push_publishes_and_scores_with_the_statistics_of_the_moment(
    which: str, run: Run, command, tmp_path: Path
) -> None:
    model, statistics, flags = MODELS[which]
    given = ("-orga", "club", "--no-upload", "--n-eval-episodes", "1", *flags)
    result = command(push_to_hub, *_of_run(run), *given)
    assert result.code == 0, result.err
    bundle = tmp_path / "hub" / "club" / "a2c-Pendulum-v1"
    assert (bundle / "a2c-Pendulum-v1.zip").read_bytes() == (run.path / model).read_bytes()
    assert (bundle / "vec_normalize.pkl").read_bytes() == (run.path / statistics).read_bytes()
    scored = json.loads((bundle / "results.json").read_text())["mean_reward"]
    assert scored == pytest.approx(_return_by_sb3(run, model, statistics), abs=1e-3)


def test_all_checkpoints_are_published_with_their_own(run: Run, command, tmp_path: Path) -> None:
    given = ("-orga", "club", "--no-upload", "--n-eval-episodes", "1", "--all-checkpoints")
    result = command(push_to_hub, *_of_run(run), *given)
    assert result.code == 0, result.err
    bundle = tmp_path / "hub" / "club" / "a2c-Pendulum-v1"
    for steps in run.checkpoints():
        for file in (run.checkpoint(steps), run.checkpoint_statistics(steps)):
            assert (bundle / "checkpoints" / str(steps) / file.name).read_bytes() == file.read_bytes()


def test_a_run_that_was_killed_has_only_its_checkpoints(run: Run, command, tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "a2c" / run.path.name
    shutil.copytree(run.path, folder, ignore=shutil.ignore_patterns("*_steps.*", "best_model*", "Pendulum-v1.zip"))
    given = (*_of_run(Run(folder, "a2c", run.env_name)), "--n-episodes", "1", "--json", "scores.json")
    command(enjoy, *given).assert_refused("no final model", "checkpoints at 208, 304 steps (--load-last-checkpoint)")
    result = command(enjoy, *given, "--load-checkpoint", "304")
    assert result.code == 0, result.err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["returns"] == [pytest.approx(_return_by_sb3(run, *MODELS["resumable"][:2]), abs=1e-3)]
    assert command(enjoy, *given, "--load-last-checkpoint").code == 0
    (folder / "checkpoints" / "0000000304" / "vecnormalize.pkl").unlink()
    command(enjoy, *given, "--load-last-checkpoint").assert_refused("was trained with normalisation")
