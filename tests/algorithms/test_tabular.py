"""Tables: what one step learns, what is chosen, and that both learners play the same game."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.tabular.algorithm import VARIANTS, Budget, QLearning
from rl_experiments.algorithms.tabular.course import course_name, leaderboard_name
from rl_experiments.algorithms.tabular.planning import Model
from rl_experiments.algorithms.tabular.stepping import SteppingLearner
from rl_experiments.algorithms.tabular.table import Table, TableAgent, load_table, save_table
from rl_experiments.algorithms.tabular.transitions import NoTransitions, Transitions, read_transitions
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs.wrappers import NumberedSpaces
from tests.helpers import course_tables

numba = pytest.importorskip("numba")
from rl_experiments.algorithms.tabular.compiled import CompiledLearner, learn_many, play_greedily  # noqa: E402

FOREVER = 10**12
ICE = {"is_slippery": False}


def lake(**kwargs: Any) -> gym.Env:
    return gym.make("FrozenLake-v1", max_episode_steps=99, disable_env_checker=True, **kwargs)


def learner(kind: str, env: gym.Env, settings: QLearning, budget: Budget, seed: int) -> Any:
    if kind == "stepping":
        return SteppingLearner(env, settings, budget, seed)
    return CompiledLearner(read_transitions(env), settings, budget, seed)


class Corridor(gym.Env):
    """Three cells in a row; action 1 goes right, at a cost of 1, and ends with 5 at the third."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        stay, go = [(1.0, 0, -2.0, False)], [(1.0, 1, -1.0, False)]
        self.P = {
            0: {0: stay, 1: go},
            1: {0: [(1.0, 1, -2.0, False)], 1: [(1.0, 2, 5.0, True)]},
            2: {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 0.0, True)]},
        }
        self.initial_state_distrib = np.array([1.0, 0.0, 0.0])
        self.s = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.s = 0
        return 0, {}

    def step(self, action: int) -> Any:
        _, self.s, reward, terminated = self.P[self.s][int(action)][0]
        return self.s, reward, terminated, False, {}


def by_hand(variant: str, rate: float, gamma: float) -> np.ndarray:
    """
    Two episodes without exploration: of equal values the first action is taken, so staying comes first. SARSA has
    chosen the next action before it learns, the others choose it after.
    """
    q = np.ones((3, 2))
    for _ in range(2):
        state, action = 0, int(np.argmax(q[0]))
        for _ in range(4):
            _, following, reward, terminated = Corridor().P[state][action][0]
            chosen = int(np.argmax(q[following]))
            target = reward if terminated else reward + gamma * q[following, chosen]
            q[state, action] += rate * (target - q[state, action])
            if terminated:
                break
            state, action = following, chosen if variant == "sarsa" else int(np.argmax(q[following]))
    return q


class HastyCorridor(Corridor):
    """Ends episodes by itself after two steps, of which its table says nothing."""

    n_steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.n_steps = 0
        return super().reset(seed=seed)

    def step(self, action: int) -> Any:
        self.n_steps += 1
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, self.n_steps >= 2, info


def test_an_end_of_episodes_that_is_not_in_the_table_is_noticed() -> None:
    with pytest.raises(NoTransitions, match="ends episodes early"):
        read_transitions(HastyCorridor())
    limited = gym.wrappers.TimeLimit(Corridor(), 2)  # which the learner knows
    assert read_transitions(limited).n_states == 3


def test_where_episodes_begin_is_found_out_if_it_is_always_the_same() -> None:
    env = Corridor()
    del env.initial_state_distrib
    env.P = [list(actions.values()) for actions in env.P.values()]  # type: ignore[assignment]
    assert read_transitions(env).starts.tolist() == [1.0, 1.0, 1.0]
    env.reset = lambda seed=None, options=None: (seed % 2, {})  # type: ignore[method-assign]
    with pytest.raises(NoTransitions, match="where episodes begin"):
        read_transitions(env)


@pytest.mark.slow
def test_what_is_kept_of_the_compiler_may_be_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rl_experiments.algorithms.tabular import kernel

    monkeypatch.setenv("RL_EXPERIMENTS_CACHE", str(tmp_path))
    kernel._compiled(kernel._learn)
    kept = [path for path in tmp_path.rglob("*.nb?") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    kernel._compiled(kernel._learn)
    assert not list(tmp_path.rglob("*.nb?"))  # the next process keeps it anew


@pytest.mark.parametrize("kind", ["stepping", "compiled"])
@pytest.mark.parametrize("variant", ["q_learning", "sarsa", "expected_sarsa"])
def test_what_is_learned_is_what_the_formula_says(kind: str, variant: str) -> None:
    greedy = {"max_epsilon": 0.0, "min_epsilon": 0.0}
    settings = QLearning(learning_rate=0.5, gamma=0.9, max_steps=4, variant=variant, initial_value=1.0, **greedy)
    trained = learner(kind, Corridor(), settings, Budget(2), 0)
    trained.advance(FOREVER)
    np.testing.assert_allclose(trained.state().values[0], by_hand(variant, 0.5, 0.9), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["stepping", "compiled"])
def test_double_q_learning_fills_both_tables(kind: str) -> None:
    trained = learner(kind, Corridor(), QLearning(variant="double_q", learning_rate=0.2), Budget(400), 1)
    trained.advance(FOREVER)
    values = trained.state().values
    assert values[0, 1, 1] == pytest.approx(5.0)
    assert values[1, 1, 1] == pytest.approx(5.0)
    assert (values[0, 0] != values[1, 0]).any()


def test_the_share_of_drawn_actions_comes_down_as_in_the_course() -> None:
    settings = QLearning(decay_rate=0.005)
    expected = [0.05 + 0.95 * np.exp(-0.005 * episode) for episode in (0, 10, 25_000)]
    assert [settings.epsilon(episode) for episode in (0, 10, 25_000)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("variant", "kwargs"),
    [
        ("q_learning", {}),
        *(pytest.param(variant, {}, marks=pytest.mark.slow) for variant in VARIANTS[1:]),
        *(pytest.param(variant, ICE, marks=pytest.mark.slow) for variant in VARIANTS),
    ],
)
def test_both_learners_play_the_same_distribution_of_episodes(variant: str, kwargs: dict[str, Any]) -> None:
    """Mean length and return over many seeds, within four standard errors of each other."""
    settings = QLearning(decay_rate=0.01, variant=variant, learning_rate=0.3, initial_value=0.5)
    played: dict[str, np.ndarray] = {}
    for kind, seeds in (("stepping", range(6)), ("compiled", range(100, 300))):
        results = []
        for seed in seeds:
            episodes = learner(kind, lake(**kwargs), settings, Budget(80), seed).advance(FOREVER)
            results.append([episodes.lengths.mean(), episodes.returns.mean()])
        played[kind] = np.array(results)
    errors = sum(values.var(axis=0, ddof=1) / len(values) for values in played.values()) ** 0.5
    distance = abs(played["stepping"].mean(axis=0) - played["compiled"].mean(axis=0))
    assert (distance <= 4 * errors + 1e-9).all(), (distance, errors)


def test_the_course_itself_plays_the_same_distribution() -> None:
    env = gym.make("Taxi-v4", max_episode_steps=99, disable_env_checker=True)
    settings, budget = QLearning(decay_rate=0.005), Budget(150)
    transitions = read_transitions(env)
    ours = [trained.steps for trained in learn_many(transitions, settings, budget, range(100))]
    env.reset(seed=1)
    random.seed(1)
    env.action_space.seed(1)
    theirs = [course_tables.train(env, 150, 0.005)[1] for _ in range(4)]
    error = (np.var(ours, ddof=1) / len(ours) + np.var(theirs, ddof=1) / len(theirs)) ** 0.5
    assert abs(np.mean(ours) - np.mean(theirs)) <= 4 * error


@pytest.mark.parametrize("kind", ["stepping", "compiled"])
@pytest.mark.parametrize("variant", ["q_learning", "double_q"])
def test_a_training_goes_on_from_its_state_as_if_nothing_had_happened(kind: str, variant: str) -> None:
    settings, budget = QLearning(variant=variant, learning_rate=lambda left: 0.1 + left), Budget(60)
    whole = learner(kind, lake(), settings, budget, 3)
    whole.advance(FOREVER)
    first = learner(kind, lake(), settings, budget, 3)
    first.advance(200)
    second = learner(kind, lake(), settings, budget, 99)
    second.restore(first.state())
    second.advance(FOREVER)
    assert 0 < first.episode < 60
    assert (second.episode, second.steps) == (whole.episode, whole.steps)
    np.testing.assert_array_equal(second.state().values, whole.state().values)
    assert second.state().generator == whole.state().generator


@pytest.mark.parametrize("kind", ["stepping", "compiled"])
def test_a_budget_of_steps_ends_with_the_episode(kind: str) -> None:
    trained = learner(kind, lake(), QLearning(), Budget(None, 500), 0)
    trained.advance(FOREVER)
    assert 500 <= trained.steps < 500 + 99


def test_many_seeds_at_once_are_each_as_by_itself() -> None:
    transitions, budget = read_transitions(lake()), Budget(50)
    together = learn_many(transitions, QLearning(), budget, [4, 5], n_threads=2)
    alone = CompiledLearner(transitions, QLearning(), budget, 5)
    alone.advance(FOREVER)
    np.testing.assert_array_equal(together[1].state().values, alone.state().values)


def test_tables_that_do_not_say_all_are_not_trusted() -> None:
    with pytest.raises(NoTransitions, match="exposes no table"):
        read_transitions(gym.make("Blackjack-v1"))
    with pytest.raises(NoTransitions, match="change of mind"):
        read_transitions(gym.make("Taxi-v4", fickle_passenger=True))
    lying = Corridor()
    lying.step = lambda action: (0, 7.0, False, False, {})  # type: ignore[method-assign]
    with pytest.raises(NoTransitions, match="not those of its table"):
        read_transitions(lying)
    with pytest.raises(NoTransitions, match="TransformReward"):
        read_transitions(gym.wrappers.TransformReward(lake(), lambda reward: 2 * reward))


def test_the_optimum_of_taxi_on_the_seeds_of_the_course() -> None:
    env = gym.make("Taxi-v4", max_episode_steps=99)
    model = Model(read_transitions(env))
    optimum = model.optimum(99)
    assert optimum.value == pytest.approx(optimum.bound)
    q = np.eye(6)[optimum.actions]
    mean, std = course_tables.evaluate_agent(env, 99, 100, q, course_tables.SEEDS)
    assert (round(mean, 2), round(std, 2), round(mean - std, 3)) == (7.56, 2.71, 4.853)


@pytest.mark.parametrize(("name", "best", "bound"), [("4x4", 0.738, 0.742), ("8x8", 0.626, 0.635)])
def test_the_optimum_of_slippery_ice(name: str, best: float, bound: float) -> None:
    transitions = read_transitions(lake(map_name=name))
    optimum = Model(transitions).optimum(99)
    assert (round(optimum.value, 3), round(optimum.bound, 3)) == (best, bound)
    played = play_greedily(transitions, optimum.actions, 99, 200_000, 0).returns
    assert played.mean() == pytest.approx(optimum.value, abs=4 * played.std() / 200_000**0.5)


def test_tuples_are_numbered_as_an_array_with_an_axis_for_each_part() -> None:
    env = NumberedSpaces(gym.make("Blackjack-v1"))
    assert int(env.observation_space.n) == 32 * 11 * 2  # type: ignore[attr-defined]
    for seed in range(20):
        number, _ = env.reset(seed=seed)
        parts, _ = env.env.reset(seed=seed)
        assert number == np.ravel_multi_index([int(part) for part in parts], (32, 11, 2))


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = Table(np.random.default_rng(0).normal(size=(2, 5, 3)), {"variant": "double_q", "epsilon": 0.0})
    save_table(table, tmp_path / "t.zip")
    loaded = load_table(tmp_path / "t.zip")
    np.testing.assert_array_equal(loaded.values, table.values)
    assert loaded.facts == table.facts
    actions, _ = TableAgent(loaded, get_algorithm("q_learning")).predict(np.arange(5), deterministic=True)
    assert actions.tolist() == table.values.sum(axis=0).argmax(axis=1).tolist()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_damaged_table_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"t\.zip holds no table"):
        load_table(tmp_path / "t.zip")


def test_the_names_of_the_leaderboard() -> None:
    firm = {"map_name": "4x4", "is_slippery": False}
    assert leaderboard_name("FrozenLake-v1", firm) == "FrozenLake-v1-4x4-no_slippery"
    assert leaderboard_name("FrozenLake-v1", {**firm, "success_rate": 0.9}) == "FrozenLake-v1"
    assert leaderboard_name("Taxi-v4", {}) == "Taxi-v3"
    assert leaderboard_name("Taxi-v4", {"is_rainy": True}) == "Taxi-v4"
    assert course_name("Taxi-v4", {"is_rainy": True}) == "Taxi-v4-rainy"
    assert course_name("FrozenLake-v1", {"map_name": "4x4", "desc": ["SG"]}) == "FrozenLake-v1"


def test_transitions_are_those_of_the_environment() -> None:
    transitions: Transitions = read_transitions(lake())
    here = transitions.outcomes(14, 2)
    assert transitions.targets[here].tolist() == [14, 15, 10]
    assert transitions.rewards[here].tolist() == [0.0, 1.0, 0.0]
    assert transitions.terminal[here].tolist() == [False, True, False]


def test_the_zoo_may_be_imported_in_the_same_process() -> None:
    program = (
        "import gymnasium as gym\n"
        "from rl_experiments.algorithms.tabular.transitions import read_transitions\n"
        "import rl_zoo3.gym_patches\n"
        "print(read_transitions(gym.make('FrozenLake-v1')).n_states)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["16"]
