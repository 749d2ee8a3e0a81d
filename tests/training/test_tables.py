"""q_learning from the command line: what a run leaves, how it goes on, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import Experiment, Run, enjoy, evaluate, load_agent, train
from rl_experiments.algorithms.tabular.table import Table, load_table
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import RunRecord, checkpoints
from rl_experiments.training.resuming import resume_run
from rl_experiments.training.tables.evaluating import TableEvaluations
from tests.helpers import course_tables
from tests.helpers.commands import CommandResult, start_module
from tests.helpers.resuming import as_killed_after

numba = pytest.importorskip("numba")
from rl_experiments.algorithms.tabular.algorithm import Budget, QLearning  # noqa: E402
from rl_experiments.algorithms.tabular.compiled import learn_many  # noqa: E402
from rl_experiments.algorithms.tabular.planning import Model  # noqa: E402
from rl_experiments.config.sources import hyperparameters_folder  # noqa: E402
from rl_experiments.training.preparation import prepare  # noqa: E402
from rl_experiments.training.tables.preparation import PreparedTable  # noqa: E402

Command = Callable[..., CommandResult]
FILE = hyperparameters_folder() / "q_learning.yml"


def experiment(folder: Path, env: str = "FrozenLake-v1", **settings: Any) -> Experiment:
    return Experiment(
        **{"algo": "q_learning", "env": env, "log_folder": str(folder), "seed": 1, "verbose": 0, **settings}
    )


def outcome(run: Run) -> dict[str, Any]:
    with np.load(run.evaluations_file) as content:
        evaluations = {name: content[name].tolist() for name in content.files}
    rows = run.monitor_files()[0].read_text(encoding="utf-8").splitlines()[2:]
    return {
        "table": load_table(run.final_model).values.tolist(),
        "best": load_table(run.best_model).values.tolist(),
        "evaluations": evaluations,
        "episodes": [row.rpartition(",")[0] for row in rows],
    }


def test_a_run_with_a_table_is_like_any_other(command: Command) -> None:
    result = command(train, "--algo", "q_learning", "--env", "Taxi-v4", "--seed", "0", "-f", "logs")
    assert result.code == 0, result.err
    assert "Score: 7.56 +/- 2.71 over 100 episodes, mean - std 4.853" in result.out
    assert "of the best policy that value iteration finds: 7.9300" in result.out
    folder = Path("logs/q_learning/Taxi-v4_1")
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["learner"], record["episodes"]) == ("finished", "compiled", 25_000)
    assert len((folder / "0.monitor.csv").read_text().splitlines()) == 25_002
    config = yaml_io.read(folder / "Taxi-v4" / "config.yml")
    assert config["eval_seed"] == list(course_tables.SEEDS)
    score = evaluate(load_agent(folder), n_episodes=100)
    assert (round(score.mean_reward or 0, 2), round(score.std_reward or 0, 2)) == (7.56, 2.71)
    shown = command(
        enjoy, "--algo", "q_learning", "--env", "Taxi-v4", "-f", "logs", "--no-render", "--n-episodes", "100"
    )
    assert shown.code == 0, shown.err
    assert "Mean reward: 7.56 +/- 2.71" in shown.out


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    first, second = (
        outcome(experiment(tmp_path / name, hyperparams={"n_episodes": 300}, eval_freq=1000).run().run)
        for name in ("a", "b")
    )
    assert first == second


RESUMED: dict[str, dict[str, Any]] = {
    "compiled": {"hyperparams": {"n_episodes": 400}},
    "stepping": {"hyperparams": {"n_episodes": 400, "compiled": False, "variant": "double_q"}},
    "tuples": {"env": "Blackjack-v1", "hyperparams": {"n_episodes": 2000, "n_eval_episodes": 5}},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_training_ends_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    settings = {"save_freq": 1000, "eval_freq": 700, "eval_episodes": 6, **RESUMED[name]}
    whole = experiment(tmp_path / "whole", **settings).run().run
    killed = as_killed_after(whole, 0, tmp_path / "killed")
    assert outcome(resume_run(killed.path, verbose=0).run) == outcome(whole)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    settings = {"hyperparams": {"n_episodes": 200, "compiled": False}, "eval_freq": 700, "eval_episodes": 6}
    whole = experiment(tmp_path / "whole", **settings).run().run
    killed = as_killed_after(whole, -1, tmp_path / "killed")
    before = RunRecord.read(killed)
    assert outcome(resume_run(killed.path, verbose=0).run) == outcome(whole)
    record = RunRecord.read(killed)
    assert [entry["steps"] for entry in record["resumed"]] == [0]
    kept = ("experiment_id", "hyperparameters", "learner", "n_episodes", "seed", "threads")
    assert {name: record[name] for name in kept} == {name: before[name] for name in kept}
    assert record["timings"]["started"] == before["timings"]["started"]


def test_a_checkpoint_is_an_agent_and_training_goes_on_from_it(tmp_path: Path) -> None:
    settings = {"hyperparams": {"n_episodes": 400}, "save_freq": 1000, "eval_freq": -1}
    whole = experiment(tmp_path / "whole", **settings).run().run
    finished = np.array(load_table(whole.final_model).values)
    first, *_, last = checkpoints.checkpoints_of(whole)
    agent = load_agent(whole, int(last.name)).agent
    np.testing.assert_array_equal(agent.table.values, finished)  # type: ignore[attr-defined]
    killed = as_killed_after(whole, 1, tmp_path / "killed")
    again = checkpoints.folder_of(killed) / first.name
    np.testing.assert_array_equal(load_table(resume_run(again, verbose=0).run.final_model).values, finished)


def test_a_longer_run_is_longer_in_all_of_its_files(tmp_path: Path) -> None:
    run = experiment(tmp_path, hyperparams={"n_episodes": 10}, eval_freq=-1).run().run
    longer = resume_run(run.path, n_timesteps=2000, verbose=0).run
    content = yaml_io.read(longer.config_folder / "config.yml")
    assert (content["n_timesteps"], content.get("n_episodes")) == (2000, None)
    record = RunRecord.read(longer)
    assert (record["n_timesteps"], record["n_episodes"]) == (2000, None)
    assert record["steps"] >= 2000


def test_more_episodes_extend_a_run(tmp_path: Path) -> None:
    settings = {"compiled": False, "learning_rate": 0.5}
    run = experiment(tmp_path / "a", hyperparams={"n_episodes": 10, **settings}, eval_freq=-1).run().run
    with pytest.raises(ConfigurationError, match="-params n_episodes:N extends it"):
        resume_run(run.path, verbose=0)
    with pytest.raises(ConfigurationError, match="n_episodes is 5, but the run"):
        resume_run(run.path, hyperparams={"n_episodes": 5}, verbose=0)
    longer = resume_run(run.path, hyperparams={"n_episodes": 30}, verbose=0)
    whole = experiment(tmp_path / "b", hyperparams={"n_episodes": 30, **settings}, eval_freq=-1).run()
    np.testing.assert_array_equal(longer.model.values, whole.model.values)
    assert yaml_io.read(longer.run.config_folder / "config.yml")["n_episodes"] == 30
    assert RunRecord.read(longer.run)["n_episodes"] == 30


WITHOUT_TORCH = """
import sys
from rl_experiments.train import main
code = main(["--algo", "q_learning", "--env", "Taxi-v4", "-f", "logs", "-n", "5000", "--verbose", "0"])
print(code, *[name for name in ("torch", "stable_baselines3", "sb3_contrib") if name in sys.modules])
"""


def test_a_table_is_trained_without_torch(tmp_path: Path) -> None:
    """They would take longer to import than the training takes."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


NAMED: dict[str, tuple[str, dict[str, Any], str]] = {
    "large-id": ("FrozenLake8x8-v1", {}, "FrozenLake-v1-8x8"),
    "large-firm-id": ("FrozenLake8x8-v1", {"is_slippery": False}, "FrozenLake-v1-8x8-no_slippery"),
    "own-map": ("FrozenLake-v1", {"desc": ["SF", "FG"], "is_slippery": False}, "FrozenLake-v1-no_slippery"),
    "slippery-cliff": ("CliffWalking-v1", {"is_slippery": True}, "CliffWalkingSlippery-v1"),
    "rain": ("Taxi-v4", {"is_rainy": True}, "Taxi-v4-rainy"),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_block_is_that_of_the_task(name: str, tmp_path: Path) -> None:
    env, kwargs, key = NAMED[name]
    block = prepared(tmp_path, env, kwargs).configuration.hyperparameters.block
    assert block is not None
    assert block.key == key


def test_a_variant_may_have_a_block_of_its_own() -> None:
    text = Experiment(algo="q_learning", env="Taxi-v4", hyperparams={"variant": "sarsa"}).describe()
    assert "lin_0.5_0.01" in text
    assert "block Taxi-v4-sarsa" in text


def test_a_process_that_is_killed_goes_on(tmp_path: Path) -> None:
    words = ["--algo", "q_learning", "--env", "FrozenLake-v1", "-f", "logs", "--seed", "3", "--save-freq", "3000"]
    words += ["--eval-freq", "-1", "-n", "60000", "-params", "compiled:False"]
    process = start_module("rl_experiments.train", *words, "--verbose", "0", cwd=tmp_path, stderr=subprocess.STDOUT)
    folder = tmp_path / "logs/q_learning/FrozenLake-v1_1"
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoints/[0-9]*/manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    resumed = resume_run(folder, verbose=0).run
    whole = experiment(
        tmp_path / "whole", seed=3, eval_freq=-1, n_timesteps=60_000, hyperparams={"compiled": False}
    ).run()
    np.testing.assert_array_equal(load_table(resumed.final_model).values, whole.model.values)


@pytest.mark.parametrize("number", [1, 3])
def test_a_signal_within_an_evaluation_costs_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays, play = iter(range(100)), TableEvaluations.play

    def interrupted(self: TableEvaluations, table: Table) -> Evaluation:
        if next(plays) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return play(self, table)

    wish = {"hyperparams": {"n_episodes": 300, "compiled": False}, "eval_freq": 1000, "n_timesteps": 2500}
    whole = experiment(tmp_path / "whole", **wish).run().run
    monkeypatch.setattr(TableEvaluations, "play", interrupted)
    cut = experiment(tmp_path / "cut", **wish).run()
    ended = number == 3  # within the comparison with value iteration, when nothing is left to learn
    assert (cut.status, RunRecord.read(cut.run).get("optimal_score")) == ("finished" if ended else "interrupted", None)
    if not ended:
        resume_run(cut.run.path)
    assert outcome(cut.run) == outcome(whole)


def test_a_signal_ends_it_with_everything_saved(tmp_path: Path) -> None:
    words = ["--algo", "q_learning", "--env", "FrozenLake-v1", "-f", "logs", "--seed", "3", "-n", "100000000"]
    process = start_module("rl_experiments.train", *words, "-params", "compiled:False", cwd=tmp_path)
    folder = tmp_path / "logs/q_learning/FrozenLake-v1_1"
    deadline = time.monotonic() + 60
    while not (folder / "evaluations.npz").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "It goes on at" in out
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", "SIGTERM")
    assert load_agent(folder).agent.table.facts["steps"] == record["steps"] > 0  # type: ignore[attr-defined]


REFUSED: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "observations": (["--env", "CartPole-v1"], ("row for each observation", "dqn, qrdqn, ppo")),
    "actions": (["--env", "Pendulum-v1"], ("cannot act in Pendulum-v1", "sac")),
    "variant": (["--env", "Taxi-v4", "-params", "variant:saarsa"], ("'saarsa'", "Did you mean 'sarsa'?")),
    "name": (["--env", "Taxi-v4", "-params", "decay:0.1"], ("Unknown hyperparameter 'decay'",)),
    "range": (["--env", "Taxi-v4", "-params", "max_epsilon:2"], ("max_epsilon must be from 0 to 1",)),
    "order": (["--env", "Taxi-v4", "-params", "max_epsilon:0.1"], ("min_epsilon is 0.5", "only 0.1")),
    "network": (["--env", "Taxi-v4", "-params", "normalize:True"], ("normalize", "keeps a table")),
    "block": (["--env", "Taxi-v4", "-c", f"{FILE}#cours-Taxi"], ("no block 'cours-Taxi'", "'course-Taxi'")),
    "text": (["--env", "Taxi-v4", "-params", "n_episodes:many"], ("n_episodes must be a whole number", "'many'")),
    "seed": (["--env", "Taxi-v4", "-params", "eval_seed:[-1]"], ("eval_seed must be numbers from 0", "has -1")),
    "rate": (["--env", "Taxi-v4", "-params", "learning_rate:lin_2"], ("learning_rate must be from 0 to 1", "lin_2")),
    "flag": (["--env", "Taxi-v4", "-params", "compiled:maybe"], ("compiled must be true or false", "'maybe'")),
    "map": (["--env", "FrozenLake-v1", "--env-kwargs", "map_name:None"], ("draws another one", "map_name:4x4")),
    "compiled": (["--env", "Blackjack-v1", "-params", "compiled:True"], ("not possible", "exposes no table")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_leaves_nothing(name: str, command: Command) -> None:
    words, parts = REFUSED[name]
    command(train, "--algo", "q_learning", "-f", "logs", *words).assert_refused(*parts)
    assert not os.path.exists("logs")


def test_without_numba_the_environment_is_stepped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_experiments.training.tables.preparation.can_compile", lambda: False)
    wish = experiment(tmp_path, hyperparams={"n_episodes": 20})
    assert "rl_experiments[tabular]" in wish.describe()
    record = json.loads((wish.run().run.path / "run.json").read_text())
    assert record["learner"] == "stepping"


def test_a_new_run_goes_on_from_a_table(tmp_path: Path) -> None:
    first = experiment(tmp_path, hyperparams={"n_episodes": 300})
    path = str(first.run().run.final_model)
    still = {"n_episodes": 5, "learning_rate": 0.0}
    second = experiment(tmp_path, hyperparams=still, trained_agent=path).run()
    np.testing.assert_array_equal(second.model.values, load_table(Path(path)).values)


def prepared(folder: Path, env: str, kwargs: dict[str, Any] | None = None, block: str = "") -> PreparedTable:
    found = prepare(experiment(folder, env, env_kwargs=kwargs, conf_file=f"{FILE}#{block}" if block else None))
    assert isinstance(found, PreparedTable)
    return found


def trained(wish: PreparedTable, n_seeds: int) -> list[np.ndarray]:
    """:return: the greedy policies of so many seeds"""
    assert wish.transitions is not None
    learners = learn_many(wish.transitions, wish.settings, wish.budget, range(n_seeds), n_threads=2)
    return [learner.state().values.sum(axis=0).argmax(axis=1) for learner in learners]


SHIPPED: dict[str, tuple[str, dict[str, Any], float]] = {
    "firm": ("FrozenLake-v1", {"is_slippery": False}, 1.0),
    "large-firm": ("FrozenLake-v1", {"is_slippery": False, "map_name": "8x8"}, 1.0),
    "slippery": ("FrozenLake-v1", {}, 0.98),
    "cliff": ("CliffWalking-v1", {}, 1.0),
    "large-slippery": ("FrozenLake-v1", {"map_name": "8x8"}, 0.98),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "large-slippery" else name for name in SHIPPED]
)
def test_the_shipped_blocks_reach_the_optimum_for_every_seed(name: str, tmp_path: Path) -> None:
    env, kwargs, share = SHIPPED[name]
    wish = prepared(tmp_path, env, kwargs)
    assert wish.transitions is not None
    model = Model(wish.transitions)
    best = model.optimum(99).value
    values = [model.expected_return(actions, 99) for actions in trained(wish, 20)]
    assert min(values) >= (share * best if best > 0 else best / share) - 1e-9, values


def test_taxi_reaches_the_best_score_on_the_seeds_of_the_course_for_every_seed(tmp_path: Path) -> None:
    import gymnasium as gym

    wish = prepared(tmp_path, "Taxi-v4")
    assert wish.budget == Budget(25_000)
    env = gym.make("Taxi-v4", disable_env_checker=True)
    for actions in trained(wish, 20):
        mean, std = course_tables.evaluate_agent(env, 99, 100, np.eye(6)[actions], course_tables.SEEDS)
        assert round(mean - std, 3) == 4.853


def test_the_block_of_the_course_has_its_values(tmp_path: Path) -> None:
    wish = prepared(tmp_path, "Taxi-v4", block="course-Taxi")
    expected = QLearning(None, 0.7, 0.95, 1.0, 0.05, 0.005, 99, n_eval_episodes=100, eval_seed=course_tables.SEEDS)
    plain = dict(vars(wish.settings))
    plain["learning_rate"] = float(wish.settings.rates()[0])
    assert plain == vars(expected)
    assert wish.budget == Budget(25_000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_block_of_the_course_scores_as_its_loop_does(tmp_path: Path) -> None:
    """20 seeds each: the values of the policies are from one distribution (Mann and Whitney 1947, by permutations)."""
    import random

    import gymnasium as gym

    wish = prepared(tmp_path, "Taxi-v4", block="course-Taxi")
    assert wish.transitions is not None
    model = Model(wish.transitions)
    ours = [model.expected_return(actions, 99) for actions in trained(wish, 20)]
    theirs = []
    for seed in range(20):
        env = gym.make("Taxi-v4", disable_env_checker=True)
        env.reset(seed=seed)
        env.action_space.seed(seed)
        random.seed(seed)
        q, _ = course_tables.train(env, 25_000, 0.005)
        theirs.append(model.expected_return(q.argmax(axis=1), 99))
    generator = np.random.default_rng(0)
    together = np.array(ours + theirs)
    difference = abs(np.mean(ours) - np.mean(theirs))
    shuffled = [generator.permutation(together) for _ in range(2000)]
    as_large = np.mean([abs(half[:20].mean() - half[20:].mean()) >= difference for half in shuffled])
    assert as_large > 0.01, (ours, theirs)


def test_transitions_of_the_recipe_have_its_time_limit(tmp_path: Path) -> None:
    wish = prepared(tmp_path, "FrozenLake-v1", {"is_slippery": False})
    assert wish.configuration.recipe.max_episode_steps == 99
    assert wish.settings.max_steps == 99


def test_a_study_tunes_a_table(command: Command) -> None:
    words = ["--algo", "q_learning", "--env", "FrozenLake-v1", "-f", "logs", "--seed", "1"]
    study = ["-optimize", "--n-trials", "2", "--n-evaluations", "2", "--n-jobs", "1"]
    result = command(train, *words, *study, "-params", "n_episodes:200")
    assert result.code == 0, result.err
    assert "finished trials: 2 (2 complete)" in result.out
    assert list(Path("logs/q_learning").glob("report_*_best.yml"))


def test_a_run_goes_on_by_stepping_where_it_began_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr("rl_experiments.training.tables.preparation.can_compile", lambda: False)
        whole = experiment(tmp_path / "whole", hyperparams={"n_episodes": 200}, save_freq=500).run().run
    killed = as_killed_after(whole, 0, tmp_path / "killed")
    assert outcome(resume_run(killed.path, verbose=0).run) == outcome(whole)


def test_the_goal_and_the_patience_end_it(tmp_path: Path) -> None:
    goal = experiment(tmp_path, "Taxi-v4", eval_freq=10_000, stop_at_reward=7.0).run()
    assert goal.reason is not None
    assert "--stop-at-reward is 7" in goal.reason
    assert goal.steps < 700_000
