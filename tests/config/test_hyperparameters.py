"""Finding, merging and checking hyperparameters: ours, the zoo's, and the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Experiment, load_agent, train
from rl_experiments.algorithms import algorithm_names, get_algorithm
from rl_experiments.config import grammar, sources
from rl_experiments.config.hyperparameters import Hyperparameters, named_classes
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.symbols import Symbol
from rl_experiments.training.checks import check_hyperparameters
from tests.helpers.tiny import tiny_experiment

FOLDERS = {"ours": sources.hyperparameters_folder(), "zoo": sources.zoo_folder()}
FILES = {
    f"{name}/{file.name}": file
    for name, folder in FOLDERS.items()
    if folder
    for file in sorted(folder.glob("*.yml"))
    if file.stem in algorithm_names()
}


def test_the_files_of_all_algorithms_are_there() -> None:
    assert {f"ours/{name}.yml" for name in algorithm_names()} <= set(FILES)
    assert len([name for name in FILES if name.startswith("zoo/")]) >= 12


@pytest.mark.parametrize("name", FILES)
def test_every_block_of_every_file_is_valid(name: str) -> None:
    file = FILES[name]
    algorithm = get_algorithm(file.stem)
    blocks = yaml_io.read(file)
    assert blocks
    for key, values in blocks.items():
        hyperparameters = Hyperparameters(dict(values), dict.fromkeys(values, f"{name}, block {key}"))
        check_hyperparameters(algorithm, hyperparameters)
        assert "n_episodes" in hyperparameters or hyperparameters.n_timesteps > 0, key
        assert hyperparameters.n_envs > 0, key
        for text in ("env_wrapper", "vec_env_wrapper", "callback"):
            named_classes(hyperparameters.get(text), text)
        _ = hyperparameters.normalize


@pytest.mark.parametrize("name", algorithm_names())
def test_every_algorithm_has_a_default_block(name: str) -> None:
    assert "default" in yaml_io.read(FILES[f"ours/{name}.yml"])


@pytest.mark.parametrize(
    ("algo", "env"),
    [
        ("ppo", "CartPole-v1"),
        ("a2c", "Pendulum-v1"),
        ("ppo", "PongNoFrameskip-v4"),
        ("dqn", "MountainCar-v0"),
        ("sac", "BipedalWalker-v3"),
        ("td3", "MountainCarContinuous-v0"),
        ("ppo_lstm", "CartPoleNoVel-v1"),
        ("trpo", "HalfCheetah-v4"),
        ("ars", "Swimmer-v4"),
        ("qrdqn", "Acrobot-v1"),
        ("tqc", "Hopper-v4"),
        ("crossq", "Pendulum-v1"),
    ],
)
def test_a_file_of_the_zoo_resolves_through_conf_file(algo: str, env: str, command) -> None:
    folder = sources.zoo_folder()
    assert folder is not None
    result = command(train, "--algo", algo, "--env", env, "-c", str(folder / f"{algo}.yml"), "--dry-run")
    assert result.code == 0, result.err
    assert f"{algo}.yml, block" in result.out


def _hyperparameters(**values: Any) -> Hyperparameters:
    return Hyperparameters(values, dict.fromkeys(values, "here"))


def test_the_exact_id_wins_over_atari_and_that_over_default(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("default: {a: 1}\natari: {a: 2}\nPongNoFrameskip-v4: {a: 3}\n")

    def found(env: str, is_atari: bool) -> Any:
        return sources.find_block("ppo", env, is_atari, str(file)).values["a"]

    assert found("PongNoFrameskip-v4", True) == 3
    assert found("module:PongNoFrameskip-v4", True) == 3
    assert found("BreakoutNoFrameskip-v4", True) == 2
    assert found("CartPole-v1", False) == 1


def test_a_block_of_the_zoo_wins_over_our_default() -> None:
    ours, zoo = (yaml_io.read(FILES[f"{name}/ppo.yml"]) for name in ("ours", "zoo"))
    only_in_the_zoo = sorted(set(zoo) - set(ours))
    assert only_in_the_zoo
    assert sources.find_block("ppo", only_in_the_zoo[0], False).origin.startswith("rl_zoo3/hyperparams/ppo.yml")


def test_an_environment_without_any_block_gets_the_default() -> None:
    assert sources.find_block("ppo", "NoSuchEnv-v7", False).key == "default"


def test_an_environment_that_a_file_lacks_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("CartPole-v1: {a: 1}")
    with pytest.raises(NotFoundError, match="'CartPole-v1'"):
        sources.find_block("ppo", "CartPole-v0", False, str(tmp_path / "c.yml"))


def test_the_shipped_files_are_found_by_the_name_of_the_tutorials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = sources.find_block("dqn", "SpaceInvadersNoFrameskip-v4", True, "hyperparams/dqn.yml")
    assert block.key in ("atari", "SpaceInvadersNoFrameskip-v4")


HYPERPARAMETERS = "dict(policy='MlpPolicy', n_timesteps=500, gamma=0.123)"


def test_a_python_file_is_a_configuration(command, tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text(f"hyperparams = {{'CartPole-v1': {HYPERPARAMETERS}}}")
    result = command(train, "--env", "CartPole-v1", "-c", "c.py", "--dry-run")
    assert result.code == 0, result.err
    assert "0.123" in result.out
    assert "c.py, block CartPole-v1" in result.out


def test_a_module_is_a_configuration(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_configuration.py").write_text(
        f"import torch.nn as nn\nhyperparams = {{'CartPole-v1': {HYPERPARAMETERS}}}\n"
        "hyperparams['CartPole-v1']['policy_kwargs'] = dict(activation_fn=nn.ELU, net_arch=[8])\n"
        "hyperparams['CartPole-v1']['learning_rate'] = lambda progress: 0.01 * progress\n"
        "del hyperparams['CartPole-v1']['learning_rate']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = command(train, "--env", "CartPole-v1", "-c", "my_configuration", "--dry-run")
    assert result.code == 0, result.err
    assert "my_configuration, block CartPole-v1" in result.out


def test_a_python_configuration_with_classes_trains_and_loads(tmp_path: Path) -> None:
    file = tmp_path / "c.py"
    file.write_text(
        "import torch.nn as nn\nfrom rl_experiments.envs.wrappers import FrameSkip\n"
        "hyperparams = {'CartPole-v1': dict(policy='MlpPolicy', n_timesteps=64, "
        "env_wrapper=[{FrameSkip: dict(skip=2)}],"
        " policy_kwargs=dict(activation_fn=nn.ELU, net_arch=[8]))}\n"
    )
    given = {"n_steps": 32, "batch_size": 16}
    experiment = Experiment(env="CartPole-v1", log_folder=str(tmp_path), conf_file=str(file), hyperparams=given)
    agent = load_agent(experiment.run().run)
    assert agent.recipe.wrappers == (("rl_experiments.envs.wrappers.FrameSkip", {"skip": 2}),)
    assert type(agent.agent.model.policy.mlp_extractor.policy_net[1]).__name__ == "ELU"


@pytest.mark.parametrize(
    "text", ["rl_zoo3.wrappers.FrameSkip", "[rl_zoo3.wrappers.FrameSkip]", "{rl_zoo3.wrappers.FrameSkip: dict(skip=3)}"]
)
def test_wrappers_on_the_command_line_need_no_quotes_and_are_saved_for_loading(text: str, tmp_path: Path) -> None:
    given = {"env_wrapper": grammar.parse_argument(text)}
    agent = load_agent(tiny_experiment("ppo", "CartPole-v1", tmp_path, given).run().run)
    assert [name for name, _ in agent.recipe.wrappers] == ["rl_zoo3.wrappers.FrameSkip"]


def test_the_command_line_wins_over_a_trial_and_that_over_the_file() -> None:
    from rl_experiments.training.configuration import merge_hyperparameters

    algorithm = get_algorithm("ppo")
    trial = ("trial 3", {"gamma": 0.5, "n_steps": 16, "policy_kwargs": {"net_arch": [8]}})
    merged = merge_hyperparameters(algorithm, "CartPole-v1", (), None, trial, {"gamma": 0.25})
    assert (merged["gamma"], merged.origin("gamma")) == (0.25, "command line")
    assert (merged["n_steps"], merged.origin("n_steps")) == (16, "trial 3")
    assert merged["gae_lambda"] == 0.8
    assert "ppo.yml, block CartPole-v1" in merged.origin("gae_lambda")


def test_a_trial_completes_the_policy_kwargs_of_the_file() -> None:
    from rl_experiments.training.configuration import _merged_mappings

    base = _hyperparameters(policy_kwargs="dict(ortho_init=False, net_arch=[64])")
    merged = _merged_mappings(base, {"policy_kwargs": {"net_arch": [8]}})
    assert merged["policy_kwargs"] == {"ortho_init": False, "net_arch": [8]}


@pytest.mark.parametrize("value", [100_000.0, 100_000, "1e5"])
def test_counts_may_be_written_as_floats(value: Any) -> None:
    assert _hyperparameters(n_timesteps=value).n_timesteps == 100_000


@pytest.mark.parametrize("value", [0, -5, 1.5, "x", None, True, float("inf"), float("nan"), [1]])
def test_counts_that_are_none_are_errors(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="n_envs"):
        _ = _hyperparameters(n_envs=value).n_envs


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (False, None),
        ("false", None),
        (True, {"gamma": 0.9}),
        ("true", {"gamma": 0.9}),
        ({"norm_obs": False}, {"norm_obs": False, "gamma": 0.9}),
        ("dict(norm_reward=False)", {"norm_reward": False, "gamma": 0.9}),
        ("{'gamma': 0.5}", {"gamma": 0.5}),
    ],
)
def test_normalisation_takes_the_discount_along(value: Any, expected: Any) -> None:
    assert _hyperparameters(normalize=value, gamma=0.9).normalize == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("a.B", [("a.B", {})]),
        ({"a.B": {"c": 1}}, [("a.B", {"c": 1})]),
        ({"a.B": None}, [("a.B", {})]),
        (["a.B", {"c.D": {"e": 1}}], [("a.B", {}), ("c.D", {"e": 1})]),
        (Symbol("a.B"), [("a.B", {})]),
        ({Symbol("a.B"): {"c": 1}}, [("a.B", {"c": 1})]),
    ],
)
def test_classes_are_named_in_every_form_of_the_zoo(value: Any, expected: Any) -> None:
    assert named_classes(value, "env_wrapper") == expected


@pytest.mark.parametrize("value", [5, [5], {"a": 5}, {"a": {}, "b": {}}, [["a"]], [""], True])
def test_other_forms_are_errors_with_the_key(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="env_wrapper"):
        named_classes(value, "env_wrapper")


def test_lists_as_train_freq_become_tuples_and_schedules_are_made() -> None:
    arguments = _hyperparameters(train_freq=[1, "episode"], learning_rate="lin_0.1", n_envs=2).algorithm_arguments()
    assert arguments["train_freq"] == (1, "episode")
    assert arguments["learning_rate"](0.5) == pytest.approx(0.05)
    assert "n_envs" not in arguments


def test_a_text_outside_the_grammar_is_an_error_with_its_origin() -> None:
    with pytest.raises(ConfigurationError, match=r"policy_kwargs \(here\)"):
        _hyperparameters(policy_kwargs="dict(a=f())").parsed("policy_kwargs")
