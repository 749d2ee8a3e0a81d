"""Playing episodes counts what really happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

from rl_experiments import EnvironmentRecipe, Run, evaluate, load_agent
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import make_envs
from rl_experiments.evaluation import Episode, Evaluation, Step, play
from rl_experiments.evaluation.evaluating import seed_everything
from tests.helpers.tiny import tiny_experiment

LIFE = "stable_baselines3.common.atari_wrappers.AtariWrapper"


class Constant:
    """An agent that does always the same, and remembers what it was asked."""

    algorithm = "ppo"
    uses_action_masks = False

    def __init__(self, action: Any = 0, recurrent: bool = False) -> None:
        self.action = action
        self.recurrent = recurrent
        self.asked: list[tuple[Any, list[bool]]] = []

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, *_: Any) -> Any:
        n_envs = len(next(iter(observation.values())) if isinstance(observation, dict) else observation)
        self.asked.append((None if state is None else state[0].tolist(), episode_start.tolist()))
        counts = np.zeros(n_envs) if state is None else state[0]
        counts = np.where(episode_start, 0, counts) + 1
        return np.stack([np.array(self.action)] * n_envs), (counts,)


def _recipe(name: str = "ToyLine-v0", **settings: Any) -> EnvironmentRecipe:
    return EnvironmentRecipe(f"toy_envs:{name}", trust=Trust(any_name=True), **settings)


def _play(recipe: EnvironmentRecipe, n_envs: int = 1, agent: Any = None, **settings: Any) -> Evaluation:
    env = make_envs(recipe, n_envs, 0)
    try:
        return play(agent or Constant(), env, **settings)
    finally:
        env.close()


def test_returns_and_lengths_are_exact() -> None:
    result = _play(_recipe(), n_episodes=3)
    assert result.returns.tolist() == [55.0] * 3
    assert result.lengths.tolist() == [10] * 3
    assert result.unfinished == ()
    assert result.n_steps == 30


@pytest.mark.parametrize(("n_envs", "n_episodes", "shares"), [(3, 7, [2, 2, 3]), (2, 1, [0, 1]), (4, 4, [1, 1, 1, 1])])
def test_each_environment_plays_its_share(n_envs: int, n_episodes: int, shares: list[int]) -> None:
    result = _play(_recipe(), n_envs, n_episodes=n_episodes)
    counted = np.bincount([episode.env_index for episode in result.episodes], minlength=n_envs)
    assert counted.tolist() == shares


def test_an_episode_that_the_last_step_cuts_off_counts_in_no_mean() -> None:
    result = _play(_recipe(), n_steps=14)
    assert [episode.total_reward for episode in result.episodes] == [55.0]
    assert [(episode.total_reward, episode.length) for episode in result.unfinished] == [(10.0, 4)]
    assert result.mean_reward == 55.0


def test_no_finished_episode_gives_no_mean() -> None:
    result = _play(_recipe(), n_steps=4)
    assert result.mean_reward is None
    assert result.std_reward is None
    assert result.as_dict()["mean_length"] is None
    assert result.as_dict()["unfinished"] == [{"return": 10.0, "length": 4}]


def test_steps_and_episodes_together_end_with_what_comes_first() -> None:
    assert _play(_recipe(), n_steps=14, n_episodes=5).n_steps == 14
    assert _play(_recipe(), n_steps=100, n_episodes=2).n_steps == 20


def test_a_limit_is_needed() -> None:
    with pytest.raises(ValueError, match="n_episodes or n_steps"):
        _play(_recipe())


def test_the_play_ends_when_the_observer_says_so() -> None:
    seen: list[Step] = []

    def observe(step: Step) -> bool:
        seen.append(step)
        return step.number < 12

    result = _play(_recipe(), n_episodes=5, on_step=observe)
    assert result.n_steps == len(seen) == 12
    assert [len(step.finished) for step in seen] == [0] * 9 + [1, 0, 0]
    assert [float(step.rewards[0]) for step in seen[:3]] == [1, 2, 3]


def test_a_wrapper_outside_monitor_that_ends_the_episode_ends_it() -> None:
    recipe = _recipe(wrappers=(("gymnasium.wrappers.TimeLimit", {"max_episode_steps": 4}),))
    result = _play(recipe, n_episodes=2)
    assert [(episode.total_reward, episode.length) for episode in result.episodes] == [(10.0, 4)] * 2
    assert all(episode.truncated for episode in result.episodes)


def test_success_that_ends_the_episode_counts() -> None:
    recipe = _recipe("ToyGoal-v0", wrappers=(("rl_zoo3.wrappers.TruncatedOnSuccessWrapper", {}),))
    result = _play(recipe, agent=Constant([0.0]), n_episodes=40)
    assert len(result.episodes) == 40
    assert result.success_rate == np.mean([episode.length < 20 for episode in result.episodes])
    assert 0 < result.success_rate < 1


def test_the_success_rate_is_that_of_the_last_step() -> None:
    result = _play(_recipe("ToyGoal-v0"), agent=Constant([0.0]), n_episodes=40)
    assert result.lengths.tolist() == [20] * 40
    assert all(episode.truncated for episode in result.episodes)
    assert result.success_rate == np.mean([episode.success for episode in result.episodes])
    assert _play(_recipe(), n_episodes=1).success_rate is None


def test_a_recurrent_agent_hears_where_episodes_begin() -> None:
    agent = Constant()
    _play(_recipe(), agent=agent, n_steps=22)
    states, starts = zip(*agent.asked, strict=True)
    assert [index for index, (start,) in enumerate(starts) if start] == [0, 10, 20]
    assert states[0] is None
    assert [state[0] for state in states[1:12]] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1]


def test_masks_are_handed_to_an_agent_that_uses_them() -> None:
    class Masked(Constant):
        uses_action_masks = True

        def predict(self, observation: Any, state: Any, start: Any, deterministic: Any, masks: Any) -> Any:
            return masks.argmax(axis=1), None

    assert _play(_recipe("ToyMasked-v0"), 2, Masked(), n_episodes=2).returns.tolist() == [55.0, 55.0]


def test_normalised_rewards_do_not_change_the_return() -> None:
    assert _play(_recipe(normalize={}), n_episodes=2).returns.tolist() == [55.0, 55.0]


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("algorithm", ["ppo", "ppo_lstm", "a2c"])
def test_the_result_is_that_of_sb3(algorithm: str, n_envs: int, tmp_path) -> None:
    hyperparams = {"normalize": True} if algorithm == "a2c" else None
    env_id = "Pendulum-v1" if algorithm == "a2c" else "CartPole-v1"
    agent = load_agent(tiny_experiment(algorithm, env_id, tmp_path, hyperparams).run().run)
    ours = evaluate(agent, n_episodes=7, n_envs=n_envs, seed=5)
    seed_everything(5)
    env = make_envs(agent.recipe, n_envs, 5)
    returns, lengths = evaluate_policy(
        agent.agent.model,  # type: ignore[attr-defined]
        env,
        n_eval_episodes=7,
        deterministic=True,
        return_episode_rewards=True,
    )
    env.close()
    assert ours.returns.tolist() == returns
    assert ours.lengths.tolist() == lengths


def test_the_same_seed_gives_the_same_episodes_and_another_others(ppo_run: Run) -> None:
    agent = load_agent(ppo_run)

    def returns(seed: int, deterministic: bool) -> list[float]:
        return evaluate(agent, n_episodes=5, n_envs=2, seed=seed, deterministic=deterministic).returns.tolist()

    assert returns(0, False) == returns(0, False)
    assert returns(0, False) != returns(1, False)
    assert returns(0, True) == returns(0, True)


def test_evaluation_does_not_depend_on_the_render_mode(toy_run: Run) -> None:
    agent = load_agent(toy_run, env_kwargs={"render_mode": "human"}, gym_packages=("toy_envs",))
    assert evaluate(agent, n_episodes=1).mean_reward == 55.0


def test_an_environment_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from rl_experiments.evaluation import evaluating

    monkeypatch.setattr(evaluating, "LONGEST_EPISODE", 50)
    result = evaluate(Constant(), _recipe("ToyEndless-v0"), n_episodes=2)  # type: ignore[arg-type]
    assert result.lengths.tolist() == [50, 50]
    assert all(episode.truncated for episode in result.episodes)


def test_an_agent_without_a_recipe_needs_one() -> None:
    with pytest.raises(ConfigurationError, match="recipe"):
        evaluate(Constant())  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"n_episodes": 0}, {"n_envs": 0}])
def test_impossible_numbers_are_errors(settings: dict[str, int], toy_run: Run) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        evaluate(load_agent(toy_run, gym_packages=("toy_envs",)), **settings)  # type: ignore[arg-type]


def test_statistics_are_those_of_the_population() -> None:
    result = Evaluation((Episode(1.0, 3), Episode(4.0, 5)), (), True, 1, 8, 0)
    assert (result.mean_reward, result.std_reward) == (2.5, 1.5)
    assert result.as_dict()["mean_length"] == 4.0
    assert result.as_dict()["returns"] == [1.0, 4.0]


# --- Atari: whole games and raw scores ---


def test_a_lost_life_is_no_end_and_the_score_is_raw() -> None:
    recipe = EnvironmentRecipe("BreakoutNoFrameskip-v4", wrappers=((LIFE, {}),), frame_stack=4)
    env = make_envs(recipe, 1, 0)
    ends: list[bool] = []

    def observe(step: Step) -> None:
        ends.append(bool(step.dones[0]))

    seed_everything(0)
    result = play(Constant(1), env, n_episodes=1, on_step=observe)
    env.close()
    assert sum(ends) == 5
    assert len(result.episodes) == 1
    assert result.lengths[0] > 4 * len(ends) - 100


def test_clipped_rewards_are_not_the_score() -> None:
    """A brick of the upper rows of Space Invaders is worth more than the 1 that the agent is shown."""
    recipe = EnvironmentRecipe("SpaceInvadersNoFrameskip-v4", wrappers=((LIFE, {}),))
    env = make_envs(recipe, 1, 0)
    shown = 0.0

    def observe(step: Step) -> None:
        nonlocal shown
        shown += float(step.rewards[0])

    result = play(Constant(1), env, n_episodes=1, on_step=observe)
    env.close()
    assert result.returns[0] >= 5 * shown > 0
