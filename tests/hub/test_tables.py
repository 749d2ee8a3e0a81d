"""Tables on the Hub: ours for the course's code, and the course's for ours."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest
import yaml

from rl_experiments import Experiment, Run, enjoy, evaluate, load_agent, load_from_hub, push_to_hub, train
from rl_experiments.algorithms.tabular.course import read_course_model
from rl_experiments.algorithms.tabular.table import load_table
from tests.helpers import course_tables
from tests.helpers.commands import CommandResult
from tests.helpers.hub_api import card_problems
from tests.helpers.hub_repositories import add_repository
from tests.helpers.hub_server import HubServer
from tests.helpers.tampering import Touch

Command = Callable[..., CommandResult]
ICE = {"map_name": "4x4", "is_slippery": False}
READ_AS_THE_COURSE = """
import gymnasium as gym
from tests.helpers.course_tables import evaluate_agent, load_from_hub
model = load_from_hub("{repo_id}", "q-learning.pkl")
env = gym.make(model["env_id"], **{kwargs})
mean, std = evaluate_agent(env, model["max_steps"], model["n_eval_episodes"], model["qtable"], model["eval_seed"])
print(f"{{mean:.2f}} +/- {{std:.2f}}")
"""


@pytest.fixture
def people(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A Hub that this process' children talk to."""
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    return hub


def trained(folder: Path, env: str, kwargs: dict[str, Any] | None = None, **hyperparams: Any) -> Run:
    return (
        Experiment(
            algo="q_learning",
            env=env,
            env_kwargs=kwargs,
            hyperparams=hyperparams,
            log_folder=str(folder),
            seed=0,
            verbose=0,
        )
        .run()
        .run
    )


PUBLISHED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "taxi": ("Taxi-v4", {}, "Taxi-v3", "7.56 +/- 2.71"),
    "ice": ("FrozenLake-v1", ICE, "FrozenLake-v1-4x4-no_slippery", "1.00 +/- 0.00"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_what_the_course_reads(
    name: str, people: HubServer, command: Command, tmp_path: Path
) -> None:
    env, kwargs, tag, score = PUBLISHED[name]
    trained(Path("logs"), env, kwargs)
    flags = ["--algo", "q_learning", "--env", env, "-f", "logs"]
    pushed = command(push_to_hub, *flags, "-orga", "ann", "-name", f"q-{tag}")
    assert pushed.code == 0, pushed.err
    folder = Path("hub/ann", f"q-{tag}")
    model = pickle.loads((folder / "q-learning.pkl").read_bytes())
    assert (model["env_id"], model["max_steps"], model["n_eval_episodes"]) == (env, 99, 100)
    assert model["eval_seed"] == (list(course_tables.SEEDS) if name == "taxi" else [])
    assert (model.get("map_name"), model.get("slippery")) == ((None, None) if name == "taxi" else ("4x4", False))
    names = {"n_training_episodes", "learning_rate", "gamma", "max_epsilon", "min_epsilon", "decay_rate", "qtable"}
    assert names <= set(model)
    results = json.loads((folder / "results.json").read_text())
    assert (results["env_id"], results["n_eval_episodes"]) == (env, 100)
    card = (folder / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert card_problems(card) == ([], [])
    assert metadata["tags"] == [tag, "q-learning", "reinforcement-learning", "custom-implementation"]
    result = metadata["model-index"][0]["results"][0]
    assert (result["dataset"]["type"], result["metrics"][0]["value"]) == (tag, score)
    assert ("**Taxi-v4**, which is the same task" in card) == (name == "taxi")
    assert all((folder / picture).stat().st_size > 10_000 for picture in ("q_table.png", "learning_curve.png"))
    reader = imageio_ffmpeg.read_frames(folder / "replay.mp4")
    assert next(reader)["fps"] == 1.0
    reader.close()
    program = READ_AS_THE_COURSE.format(repo_id=f"ann/q-{tag}", kwargs=kwargs)
    read = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert read.stdout.strip() == score
    loaded = command(load_from_hub, f"ann/q-{tag}", "-f", "again")
    assert loaded.code == 0, loaded.err
    assert f"--algo q_learning --env {env} -f again" in loaded.out
    back = load_agent(Path("again/q_learning", f"{env}_1"))
    scored = evaluate(back, n_episodes=100)
    assert f"{scored.mean_reward:.2f} +/- {scored.std_reward:.2f}" == score
    retrained = command(train, *flags[:4], "-c", str(folder / "config.yml"), "-f", "more", "--seed", "0")
    assert retrained.code == 0, retrained.err


def test_what_a_student_pushed_acts_here(people: HubServer, command: Command, tmp_path: Path) -> None:
    own = trained(tmp_path / "own", "Taxi-v4")
    q = load_table(own.final_model).q
    add_repository(people, "bob/q-Taxi-v3", course_tables.pushed_files("Taxi-v3", q))
    loaded = command(load_from_hub, "bob/q-Taxi-v3", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "It has no config.yml: wrote one with" in loaded.out
    shown = command(enjoy, "--algo", "q_learning", "--env", "Taxi-v4", "-f", "logs", "--no-render", "--n-episodes", "3")
    assert shown.code == 0, shown.err
    assert "Adapted: Taxi-v3 is played in Taxi-v4: the same map, states and rewards" in shown.err
    scored = evaluate(load_agent(Path("logs/q_learning/Taxi-v3_1")), n_episodes=100)
    assert round(scored.mean_reward or 0, 2) == 7.56
    flags = ["--algo", "q_learning", "--env", "Taxi-v4", "-f", "logs"]
    pushed = command(push_to_hub, *flags, "--no-upload", "--no-render")
    assert pushed.code == 0, pushed.err
    assert "7.56 +/- 2.71" in pushed.out
    folder = Path("hub/q_learning-Taxi-v3")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["tags"][0] == "Taxi-v3"
    assert "Scored in **Taxi-v4**, which is the same task" in card
    assert "| trained in | `Taxi-v3` |" in card
    assert pickle.loads((folder / "q-learning.pkl").read_bytes())["env_id"] == "Taxi-v4"


def test_the_map_and_the_ice_of_a_student_come_along(people: HubServer, command: Command) -> None:
    q = np.random.default_rng(0).random((64, 4)).astype(np.float32)
    facts = {"map_name": "8x8", "slippery": False, "learning_rate": np.float64(0.5)}
    add_repository(people, "bob/q-ice", course_tables.pushed_files("FrozenLake-v1", q, **facts))
    assert command(load_from_hub, "bob/q-ice", "-f", "logs").code == 0
    agent = load_agent(Path("logs/q_learning/FrozenLake-v1_1"))
    assert agent.recipe.kwargs == {"map_name": "8x8", "is_slippery": False}
    assert agent.recipe.max_episode_steps == 99


FOREIGN: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "tag": ({"env_id": "FrozenLake-v1-4x4-no_slippery"}, "FrozenLake-v1", ICE),
    "large": ({"env_id": "FrozenLake-v1", "qtable": np.zeros((64, 4))}, "FrozenLake-v1", {"map_name": "8x8"}),
    "objects": ({"env_id": "Taxi-v3", "qtable": np.zeros((500, 6)).astype(object)}, "Taxi-v3", {}),
    "list": ({"env_id": "Taxi-v3", "qtable": np.zeros((500, 6)).tolist(), "max_steps": 99.0}, "Taxi-v3", {}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_students_wrote_in_other_ways_is_read(name: str, tmp_path: Path) -> None:
    facts, env_id, kwargs = FOREIGN[name]
    content = {"qtable": np.zeros((16, 4)), "max_steps": 99, **facts}
    (tmp_path / "q-learning.pkl").write_bytes(pickle.dumps(content))
    model = read_course_model(tmp_path / "q-learning.pkl")
    assert (model.env_id, model.env_kwargs) == (env_id, kwargs)
    assert model.qtable.shape == np.shape(content["qtable"])
    assert model.qtable.dtype == np.float64
    assert type(model.hyperparameters["max_steps"]) is int


@pytest.mark.parametrize(("seeds", "asked"), [([16, 54, 165], None), ([16, 54, 165, 177], 2), ([], 7)])
def test_the_course_scores_as_many_episodes_as_the_card(
    seeds: list[int], asked: int | None, people: HubServer, command: Command
) -> None:
    trained(Path("logs"), "Taxi-v4", n_episodes=100, eval_seed=seeds)
    flags = ["--algo", "q_learning", "--env", "Taxi-v4", "-f", "logs", "--no-upload", "--no-render"]
    flags += [] if asked is None else ["--n-eval-episodes", str(asked)]
    assert command(push_to_hub, *flags).code == 0
    model = pickle.loads(Path("hub/q_learning-Taxi-v4/q-learning.pkl").read_bytes())
    assert (model["n_eval_episodes"], model["eval_seed"]) == (asked or len(seeds), seeds)
    numbers = model["max_steps"], model["n_eval_episodes"], model["qtable"], model["eval_seed"]
    mean, _ = course_tables.evaluate_agent(gym.make("Taxi-v4"), *numbers)
    results = json.loads(Path("hub/q_learning-Taxi-v4/results.json").read_text())
    if asked is not None and seeds:
        assert mean == results["mean_reward"]


def test_tuples_go_there_and_back(people: HubServer, command: Command) -> None:
    run = trained(Path("logs"), "Blackjack-v1", n_episodes=200, n_eval_episodes=5)
    flags = ["--algo", "q_learning", "--env", "Blackjack-v1", "-f", "logs", "-orga", "ann", "--n-eval-episodes", "5"]
    assert command(push_to_hub, *flags, "--no-render").code == 0
    model = pickle.loads(Path("hub/ann/q_learning-Blackjack-v1/q-learning.pkl").read_bytes())
    assert model["qtable"].shape == (32, 11, 2, 2)
    course_tables.evaluate_agent(gym.make("Blackjack-v1"), 99, 20, model["qtable"], [])
    assert command(load_from_hub, "ann/q_learning-Blackjack-v1", "-f", "again").code == 0
    back = load_agent(Path("again/q_learning/Blackjack-v1_1"))
    np.testing.assert_array_equal(back.agent.table.q, load_table(run.final_model).q)  # type: ignore[attr-defined]
    assert evaluate(back, n_episodes=3).episodes


def test_the_card_counts_from_0_where_the_environment_does_not(command: Command) -> None:
    trained(Path("logs"), "toy_envs:ToyShifted-v0", n_episodes=100)
    flags = ["--algo", "q_learning", "--env", "toy_envs:ToyShifted-v0", "-f", "logs", "--no-upload", "--no-render"]
    assert command(push_to_hub, *flags).code == 0
    folder = Path("hub/q_learning-ToyShifted-v0")
    usage = (folder / "README.md").read_text().split("```python\n")[1].partition("```")[0].split("\n", 1)[1]
    given = {"gym": gym, "evaluate_agent": course_tables.evaluate_agent}
    given["model"] = pickle.loads((folder / "q-learning.pkl").read_bytes())
    exec(usage.replace("evaluate_agent(env", "score = evaluate_agent(env"), given)
    results = json.loads((folder / "results.json").read_text())
    assert given["score"] == (results["mean_reward"], results["std_reward"])
    assert results["mean_reward"] > 0


def test_a_pickle_is_never_run(people: HubServer, command: Command, tmp_path: Path) -> None:
    files = course_tables.pushed_files("Taxi-v3", np.zeros((500, 6)), qtable=Touch(tmp_path / "touched"))
    add_repository(people, "bob/evil", files)
    command(load_from_hub, "bob/evil", "-f", "logs").assert_refused("without running code", "bob/evil")
    assert not (tmp_path / "touched").exists()
    assert not Path("logs").exists()


WRONG: dict[str, tuple[bytes, str]] = {
    "no-dictionary": (pickle.dumps([1, 2]), "expected a dictionary with a 'qtable'"),
    "no-table": (pickle.dumps({"qtable": "text", "env_id": "Taxi-v3"}), "must be a table of numbers"),
    "uneven": (pickle.dumps({"qtable": [[1, 2], [3]], "env_id": "Taxi-v3"}), "cannot be read as one"),
    "no-environment": (pickle.dumps({"qtable": np.zeros((2, 2))}), "does not say its environment"),
    "no-pickle": (b"nothing", "q-learning.pkl"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_dictionary_is_an_error(name: str, people: HubServer, command: Command) -> None:
    content, part = WRONG[name]
    add_repository(people, "bob/odd", {"q-learning.pkl": content})
    command(load_from_hub, "bob/odd", "-f", "logs").assert_refused(part, "bob/odd")
    assert not Path("logs").exists()
