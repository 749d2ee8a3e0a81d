"""Every mistake in a command line or configuration ends in one line that names it, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_experiments import enjoy, train
from tests.helpers.commands import run_module

PPO = ("--algo", "ppo", "--env", "CartPole-v1")
SAC = ("--algo", "sac", "--env", "Pendulum-v1")
DQN = ("--algo", "dqn", "--env", "CartPole-v1")
DDPG = ("--algo", "ddpg", "--env", "Pendulum-v1")
CHECKPOINTS = "stable_baselines3.common.callbacks.CheckpointCallback"

MISTAKES = {
    "algorithm": (("--algo", "pppo"), ["pppo", "'ppo'"]),
    "environment": (("--env", "CartPol-v1"), ["CartPol-v1", "'CartPole-v1'"]),
    "environment-that-is-a-path": (("--env", "../../CartPole-v1"), ["../../CartPole-v1"]),
    "environment-without-its-module": (("--env", "no_such_module:Env-v0"), ["no_such_module"]),
    "environment-of-a-module-without-it": (("--env", "toy_envs:ToyLin-v0"), ["ToyLin-v0", "'ToyLine-v0'"]),
    "gym-package": (("--gym-packages", "no_such_package"), ["no_such_package", "--gym-packages"]),
    "flag": (("--eval-frequency", "5"), ["--eval-frequency", "--eval-freq"]),
    "flag-value": (("--eval-freq", "often"), ["--eval-freq", "often", "whole number"]),
    "flag-choice": (("--vec-env", "threads"), ["--vec-env", "dummy"]),
    "hyperparameter": ((*PPO, "-params", "learning_rat:0.1"), ["learning_rat", "'learning_rate'", "command line"]),
    "hyperparameter-of-another-algorithm": ((*PPO, "-params", "buffer_size:100"), ["buffer_size", "ppo"]),
    "text-for-a-number": ((*PPO, "-params", "gamma:high"), ["gamma", "a number", "'high'", "command line"]),
    "fraction-for-a-count": ((*PPO, "-params", "n_epochs:2.5"), ["n_epochs", "a whole number", "2.5"]),
    "bool-for-a-number": ((*PPO, "-params", "gamma:True"), ["gamma", "a number", "True"]),
    "number-for-a-bool": ((*PPO, "-params", "use_sde:3"), ["use_sde", "true or false", "3"]),
    "gamma-above-1": ((*PPO, "-params", "gamma:1.5"), ["gamma", "from 0 to 1", "1.5"]),
    "batch-of-0": ((*PPO, "-params", "batch_size:0"), ["batch_size", "at least 1"]),
    "no-environments": ((*PPO, "-params", "n_envs:0"), ["n_envs", "above 0"]),
    "half-an-environment": ((*PPO, "-params", "n_envs:1.5"), ["n_envs", "1.5"]),
    "batch-above-rollout": (
        (*PPO, "-params", "n_steps:8", "n_envs:2", "batch_size:64"),
        ["batch_size", "64", "16", "n_steps"],
    ),
    "noise-on-discrete-actions": (
        (*DQN, "-params", "noise_type:normal", "noise_std:0.1"),
        ["noise_type", "dqn"],
    ),
    "noise-without-its-size": ((*DDPG, "-params", "noise_type:normal", "noise_std:None"), ["noise_std", "missing"]),
    "noise-of-unknown-kind": ((*DDPG, "-params", "noise_type:normall", "noise_std:0.1"), ["normall", "'normal'"]),
    "noise-of-negative-size": ((*DDPG, "-params", "noise_type:normal", "noise_std:-1"), ["noise_std", "-1"]),
    "noise-for-on-policy": ((*PPO, "-params", "noise_type:normal", "noise_std:1"), ["noise_type", "ppo"]),
    "actions-that-the-algorithm-has-not": (
        ("--algo", "sac", "--env", "CartPole-v1"),
        ["sac", "CartPole-v1", "Discrete(2)", "dqn"],
    ),
    "continuous-actions-for-dqn": (("--algo", "dqn", "--env", "Pendulum-v1"), ["dqn", "Box", "sac"]),
    "dictionary-for-ars": (("--algo", "ars", "--env", "toy_envs:ToyDictionary-v0"), ["ars", "dictionary", "ppo"]),
    "policy": ((*PPO, "-params", "policy:MlpPolic"), ["MlpPolic", "'MlpPolicy'"]),
    "policy-class": ((*PPO, "-params", "policy:stable_baselines3.ppo.policies.Nothing"), ["Nothing"]),
    "cnn-on-a-vector": ((*PPO, "-params", "policy:CnnPolicy"), ["ppo"]),
    "policy-kwargs-key": ((*PPO, "-params", "policy_kwargs:dict(net_arc=[8])"), ["net_arc", "'net_arch'"]),
    "policy-kwargs-shape": ((*PPO, "-params", "policy_kwargs:[8]"), ["policy_kwargs", "mapping"]),
    "policy-kwargs-activation": (
        (*PPO, "-params", "policy_kwargs:dict(activation_fn=nn.ReLUU)"),
        ["ReLUU", "'ReLU'"],
    ),
    "policy-kwargs-that-runs-code": (
        (*PPO, "-params", "policy_kwargs:dict(net_arch=__import__('os').system('touch ran'))"),
        ["__import__('os')"],
    ),
    "hindsight-on-a-plain-environment": (
        (*SAC, "-params", "replay_buffer_class:HerReplayBuffer"),
        ["HerReplayBuffer", "goal environment", "Pendulum-v1"],
    ),
    "replay-buffer-class": ((*SAC, "-params", "replay_buffer_class:HerReplayBufer"), ["HerReplayBufer"]),
    "replay-buffer-kwargs-key": (
        (*SAC, "-params", "replay_buffer_kwargs:dict(n_sampled=4)"),
        ["n_sampled", "ReplayBuffer"],
    ),
    "wrapper": (
        (*PPO, "-params", "env_wrapper:rl_zoo3.wrappers.FrameSkp"),
        ["env_wrapper", "FrameSkp", "'FrameSkip'"],
    ),
    "wrapper-module": ((*PPO, "-params", "env_wrapper:no_such_module.Wrapper"), ["env_wrapper", "no_such_module"]),
    "wrapper-that-is-none": ((*PPO, "-params", "env_wrapper:gymnasium.wrappers.utils.np"), ["env_wrapper"]),
    "wrapper-kwarg": (
        (*PPO, "-params", "env_wrapper:{'rl_zoo3.wrappers.FrameSkip': dict(skp=2)}"),
        ["FrameSkip", "skp", "'skip'"],
    ),
    "wrapper-on-the-wrong-environment": (
        (*PPO, "-params", "env_wrapper:rl_zoo3.wrappers.HistoryWrapper"),
        ["HistoryWrapper", "Discrete(2)"],
    ),
    "two-wrappers-in-one-item": (
        (*PPO, "-params", "env_wrapper:{'rl_zoo3.wrappers.FrameSkip': None, 'skip': 2}"),
        ["env_wrapper", "2 classes", "indentation"],
    ),
    "vec-wrapper": (
        (*PPO, "-params", "vec_env_wrapper:stable_baselines3.common.vec_env.VecMonitr"),
        ["vec_env_wrapper", "'VecMonitor'"],
    ),
    "callback": (
        (*PPO, "-params", "callback:rl_zoo3.callbacks.RawStatisticsCallbck"),
        ["callback", "RawStatisticsCallbck"],
    ),
    "callback-kwarg": (
        (*PPO, "-params", "callback:{'stable_baselines3.common.callbacks.CheckpointCallback': dict(freq=2)}"),
        ["CheckpointCallback", "freq"],
    ),
    "frame-stack": ((*PPO, "-params", "frame_stack:two"), ["frame_stack", "'two'"]),
    "normalize": ((*PPO, "-params", "normalize:[1]"), ["normalize", "[1]"]),
    "normalize-kwarg": ((*PPO, "-params", "normalize:dict(norm_ob=True)"), ["norm_ob", "'norm_obs'"]),
    "env-kwarg": (("--env", "CartPole-v1", "--env-kwargs", "suton:True"), ["suton", "CartPole-v1"]),
    "eval-env-kwarg": (("--env", "CartPole-v1", "--eval-env-kwargs", "suton:True"), ["suton", "CartPole-v1"]),
    "pair-without-a-colon": ((*PPO, "-params", "gamma"), ["gamma", "key:value"]),
    "pair-without-a-value": ((*PPO, "-params", "gamma:"), ["gamma:", "key:value"]),
    "pair-that-is-no-value": ((*PPO, "-params", "gamma:(0.9"), ["(0.9"]),
    "env-pair-without-a-colon": ((*PPO, "--env-kwargs", "gravity"), ["gravity", "key:value"]),
    "schedule": ((*PPO, "-params", "learning_rate:linn_0.1"), ["learning_rate", "linn", "'lin'"]),
    "schedule-number": ((*PPO, "-params", "learning_rate:lin_x"), ["learning_rate", "lin_x"]),
    "train-freq": ((*DQN, "-params", "train_freq:[1, 'episodes']"), ["train_freq", "episodes"]),
    "train-freq-in-episodes": (
        (*SAC, "-params", "n_envs:2", "train_freq:[1, 'episode']"),
        ["train_freq", "one environment", "n_envs"],
    ),
    "her-settings-for-a-plain-buffer": (
        (*SAC, "-params", "replay_buffer_kwargs:dict(goal_selection_strategy='future')"),
        ["goal_selection_strategy"],
    ),
    "conf-file": ((*PPO, "-c", "missing.yml"), ["missing.yml"]),
    "conf-module": ((*PPO, "-c", "no_such_config"), ["no_such_config"]),
    "model-to-continue": ((*PPO, "-i", "missing.zip"), ["missing.zip", "-i"]),
    "model-that-is-no-zip": ((*PPO, "-i", "."), ["-i", ".zip"]),
    "device": ((*PPO, "--device", "quantum"), ["device", "quantum"]),
    "seed": ((*PPO, "--seed", str(2**32)), ["seed", "2**32"]),
    "evaluation-without-episodes": ((*PPO, "--eval-episodes", "0"), ["eval_episodes", "at least 1"]),
    "reward-without-evaluations": (
        (*PPO, "--eval-freq", "-1", "--stop-at-reward", "100"),
        ["stop_at_reward", "evaluations", "eval_freq -1", "--eval-freq above 0"],
    ),
    "patience-without-evaluations": (
        (*PPO, "--eval-freq", "0", "--patience", "3"),
        ["patience", "evaluations", "eval_freq 0", "--eval-freq above 0"],
    ),
    "no-patience": ((*PPO, "--patience", "0"), ["patience", "at least 1", "0"]),
    "half-a-patience": ((*PPO, "--patience", "1.5"), ["--patience", "1.5", "whole number"]),
    "reward-that-is-no-number": ((*PPO, "--stop-at-reward", "nan"), ["stop_at_reward", "a number", "nan"]),
    "reward-that-is-never-reached": ((*PPO, "--stop-at-reward", "inf"), ["stop_at_reward", "finite", "inf"]),
    "reward-in-words": ((*PPO, "--stop-at-reward", "high"), ["--stop-at-reward", "high", "number"]),
    "no-time": ((*PPO, "--max-time", "0"), ["max_time", "above 0", "0"]),
    "time-in-the-past": ((*PPO, "--max-time", "-5"), ["max_time", "above 0", "-5"]),
    "time-without-end": ((*PPO, "--max-time", "inf"), ["max_time", "above 0", "inf"]),
    "time-with-a-unit": ((*PPO, "--max-time", "5h"), ["--max-time", "5h", "number"]),
    "no-checkpoint-kept": ((*PPO, "--save-freq", "5", "--keep-last", "0"), ["keep_last", "at least 1", "0"]),
    "kept-without-checkpoints": ((*PPO, "--keep-last", "2"), ["keep_last 2", "save_freq -1", "--save-freq above 0"]),
    "limits-of-trials": ((*PPO, "-optimize", "--patience", "3"), ["patience", "single training", "--pruner"]),
    "no-steps": ((*PPO, "-n", "0"), ["n_timesteps", "at least 1"]),
    "more-environments-than-fit": ((*PPO, "-params", "n_envs:1e12"), ["n_envs 1000000000000", "TiB", "this machine"]),
    "more-processes-than-fit": ((*PPO, "--vec-env", "subproc", "-params", "n_envs:1e7"), ["n_envs", "processes"]),
    "more-evaluation-environments-than-fit": ((*PPO, "--n-eval-envs", "1000000000000"), ["n_eval_envs", "TiB"]),
    "rollout-that-does-not-fit": ((*PPO, "-params", "n_steps:1e12"), ["n_steps 1000000000000", "TiB", "command line"]),
    "buffer-that-does-not-fit": ((*DQN, "-params", "buffer_size:1e12"), ["buffer_size", "TiB", "command line"]),
    "stack-that-does-not-fit": ((*PPO, "-params", "frame_stack:1000000000000"), ["frame_stack", "TiB"]),
    "network-that-does-not-fit": (
        (*PPO, "-params", "policy_kwargs:dict(net_arch=[1000000, 1000000])"),
        ["net_arch", "TiB"],
    ),
    "candidates-that-do-not-fit": (("--algo", "ars", "-params", "n_delta:1e12"), ["n_delta", "TiB"]),
    "stack-of-numbers": (("--env", "FrozenLake-v1", "-params", "frame_stack:4"), ["frame_stack", "Discrete(16)"]),
    "batch-above-buffer": ((*DQN, "-params", "batch_size:64", "buffer_size:50"), ["batch_size is 64", "50 steps"]),
    "batch-of-one": ((*PPO, "-params", "batch_size:1"), ["batch_size", "at least 2"]),
    "rollout-of-one": ((*PPO, "-params", "n_steps:1", "n_envs:1", "batch_size:1"), ["n_steps", "at least 2"]),
    "quantiles-that-are-all-dropped": (
        ("--algo", "tqc", "--env", "Pendulum-v1", "-params", "top_quantiles_to_drop_per_net:25"),
        ["top_quantiles_to_drop_per_net is 25", "only 25 quantiles"],
    ),
    "few-quantiles-that-are-all-dropped": (
        ("--algo", "tqc", "--env", "Pendulum-v1", "-params", "policy_kwargs:dict(n_quantiles=2)"),
        ["top_quantiles_to_drop_per_net is 2", "only 2 quantiles"],
    ),
    "no-quantiles": (
        ("--algo", "qrdqn", "-params", "policy_kwargs:dict(n_quantiles=0)"),
        ["n_quantiles", "at least 1"],
    ),
    "no-critics": ((*SAC, "-params", "policy_kwargs:dict(n_critics=0)"), ["n_critics", "at least 1"]),
    "negative-clip-range": ((*PPO, "-params", "clip_range:-0.2"), ["clip_range", "at least 0", "-0.2"]),
    "negative-learning-rate": ((*PPO, "-params", "learning_rate:-1"), ["learning_rate", "at least 0"]),
    "negative-schedule": ((*PPO, "-params", "learning_rate:lin_-1"), ["learning_rate", "at least 0"]),
    "no-learning-rate": ((*PPO, "-params", "learning_rate:None"), ["learning_rate", "None"]),
    "info-keyword": (
        (*PPO, "-params", "monitor_kwargs:dict(info_keywords=('x',))"),
        ["info_keywords", "'x'", "CartPole-v1"],
    ),
    "info-keyword-as-a-word": ((*PPO, "-params", "monitor_kwargs:dict(info_keywords='xyz')"), ["'xyz'"]),
    "monitor-kwarg": ((*PPO, "-params", "monitor_kwargs:dict(info_keyword=('x',))"), ["'info_keywords'"]),
    "render-mode": ((*PPO, "--env-kwargs", "render_mode:rgb_aray"), ["render_mode", "rgb_aray", "'rgb_array'"]),
    "eval-render-mode": ((*PPO, "--eval-env-kwargs", "render_mode:foo"), ["render_mode 'foo'", "human"]),
    "entropy-coefficient": ((*SAC, "-params", "ent_coef:autoo"), ["ent_coef", "auto", "'autoo'"]),
    "entropy-coefficient-start": ((*SAC, "-params", "ent_coef:auto_-1"), ["ent_coef", "'auto_-1'"]),
    "target-entropy": ((*SAC, "-params", "target_entropy:low"), ["target_entropy", "auto", "'low'"]),
    "train-freq-of-nothing": ((*SAC, "-params", "train_freq:None"), ["train_freq", "None"]),
    "gradient-steps": ((*SAC, "-params", "gradient_steps:-5"), ["gradient_steps", "at least -1"]),
    "infinite-number": ((*PPO, "-params", "vf_coef:inf"), ["vf_coef", "finite"]),
    "infinite-noise": ((*DDPG, "-params", "noise_type:normal", "noise_std:inf"), ["noise_std", "inf"]),
    "seed-as-hyperparameter": ((*PPO, "-params", "seed:x"), ["seed", "--seed"]),
    "noise-by-its-class": ((*DDPG, "-params", "action_noise:normal"), ["action_noise", "noise_type"]),
    "layer-of-negative-size": ((*PPO, "-params", "policy_kwargs:dict(net_arch=[-5])"), ["net_arch", "[-5]"]),
    "layer-of-no-size": ((*SAC, "-params", "policy_kwargs:dict(net_arch=[0])"), ["net_arch", "[0]"]),
    "layer-of-broken-size": ((*DQN, "-params", "policy_kwargs:dict(net_arch=[1.5])"), ["net_arch", "[1.5]"]),
    "layers-of-no-list": ((*PPO, "-params", "policy_kwargs:dict(net_arch=dict(pi=8))"), ["net_arch", "8"]),
    "network-of-unknown-name": ((*PPO, "-params", "policy_kwargs:dict(net_arch=dict(x=[8]))"), ["'x'", "pi and vf"]),
    "network-that-is-missing": ((*SAC, "-params", "policy_kwargs:dict(net_arch=dict(pi=[8]))"), ["pi and qf"]),
    "activation-that-is-no-class": ((*PPO, "-params", "policy_kwargs:dict(activation_fn=5)"), ["activation_fn", "5"]),
    "activation-of-another-kind": (
        (*PPO, "-params", "policy_kwargs:dict(activation_fn=th.optim.Adam)"),
        ["activation_fn", "Module", "Adam"],
    ),
    "optimizer": ((*PPO, "-params", "policy_kwargs:dict(optimizer_class=th.optim.Adm)"), ["Adm", "'Adam'"]),
    "optimizer-that-cannot-learn": (
        (*PPO, "-params", "policy_kwargs:dict(optimizer_class=th.optim.LBFGS)"),
        ["cannot learn", "closure"],
    ),
    "batch-that-normalises-to-nothing": (
        ("--algo", "crossq", "--env", "Pendulum-v1", "-params", "batch_size:1"),
        ["cannot learn", "NaN"],
    ),
    "more-best-than-candidates": (("--algo", "ars", "-params", "n_top:9", "n_delta:2"), ["n_top is 9", "2 candidates"]),
    "callback-that-never-comes": (
        (*PPO, "-params", f"callback:{{'{CHECKPOINTS}': dict(save_freq=0, save_path='x')}}"),
        ["save_freq", "at least 1"],
    ),
    "callback-kwarg-type": (
        (*PPO, "-params", f"callback:{{'{CHECKPOINTS}': dict(save_freq='a', save_path='x')}}"),
        ["save_freq", "a whole number", "'a'"],
    ),
    "normalize-type": ((*PPO, "-params", "normalize:dict(clip_obs='a')"), ["clip_obs", "a number", "'a'"]),
    "hindsight-before-an-episode": (
        (
            *("--algo", "sac", "--env", "toy_envs:ToyGoal-v0", "-params", "replay_buffer_class:HerReplayBuffer"),
            *("policy:MultiInputPolicy", "learning_starts:10", "train_freq:1"),
        ),
        ["learning_starts is 10", "at least 20"],
    ),
    **{
        f"observations-of-{kind}": (
            ("--env", "toy_faults:ToyOddSpace-v0", "--env-kwargs", f"kind:{kind}"),
            ["toy_faults:ToyOddSpace-v0", name],
        )
        for kind, name in {
            "text": "Text",
            "sequence": "Sequence",
            "graph": "Graph",
            "one-of": "OneOf",
            "tuple": "Tuple",
            "nested": "at 'inner'",
            "text-in-dict": "at 'word'",
            "shifted": "from 1",
        }.items()
    },
    "evaluation-without-environments": ((*PPO, "--n-eval-envs", "0"), ["n_eval_envs", "at least 1"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_in_one_line_and_leaves_no_run(name: str, command, tmp_path: Path) -> None:
    arguments, parts = MISTAKES[name]
    command(train, "-n", "64", *arguments, "--num-threads", "1").assert_refused(*parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["buffer-that-does-not-fit", "info-keyword", "optimizer-that-cannot-learn"])
def test_a_dry_run_finds_the_same(name: str, command) -> None:
    arguments, parts = MISTAKES[name]
    command(train, "-n", "64", *arguments, "--dry-run").assert_refused(*parts)


CONFIGURATIONS = {
    "broken": ("CartPole-v1: [", ["no valid YAML"]),
    "not-a-mapping": ("- CartPole-v1", ["mapping"]),
    "block-not-a-mapping": ("CartPole-v1: 5", ["block CartPole-v1", "5"]),
    "block-with-a-number-as-name": ("CartPole-v1:\n  5: x", ["block CartPole-v1", "5"]),
    "without-the-environment": ("CartPole-v0:\n  policy: MlpPolicy", ["CartPole-v1", "'CartPole-v0'"]),
    "empty": ("", ["mapping"]),
    "without-a-policy": ("CartPole-v1:\n  n_timesteps: 100", ["policy"]),
    "unknown-hyperparameter": (
        "CartPole-v1:\n  n_timesteps: 100\n  policy: MlpPolicy\n  gama: 0.9",
        ["gama", "'gamma'", "c.yml, block CartPole-v1"],
    ),
    "tag-that-runs-code": ("CartPole-v1: !!python/object/apply:os.system ['touch ran']", ["c.yml", "line 1"]),
    "tabs": ("CartPole-v1:\n\tpolicy: MlpPolicy", ["no valid YAML"]),
    "alias-without-anchor": ("CartPole-v1: *nothing", ["no valid YAML"]),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_broken_configuration_is_named_with_its_file(name: str, command, tmp_path: Path) -> None:
    text, parts = CONFIGURATIONS[name]
    (tmp_path / "c.yml").write_text(text)
    command(train, *PPO, "-c", "c.yml", "--num-threads", "1").assert_refused("c.yml", *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yml"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = 1", ["c.py", "hyperparams"]),
        ("hyperparams = 5", ["c.py", "mapping"]),
        ("1/0", ["c.py", "ZeroDivisionError"]),
        ("import no_such_module", ["c.py", "no_such_module"]),
    ],
)
def test_a_broken_python_configuration_is_named(text: str, parts: list[str], command, tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text(text)
    command(train, *PPO, "-c", "c.py").assert_refused(*parts)


def test_a_number_of_steps_that_is_none_is_named(command) -> None:
    command(train, *PPO, "-params", "n_timesteps:many", "--num-threads", "1").assert_refused("n_timesteps", "'many'")


def test_no_steps_given_anywhere_is_named(command, tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text("CartPole-v1:\n  policy: MlpPolicy")
    command(train, *PPO, "-c", "c.yml", "--num-threads", "1").assert_refused("n_timesteps", "-n")


def test_a_zip_that_is_no_model_is_named(command, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("nothing")
    command(train, *PPO, "-i", "x.zip", "--num-threads", "1").assert_refused("x.zip", "no model")
    assert not list(tmp_path.glob("logs/*/*"))


def test_a_log_folder_that_is_a_file_is_named(command, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    command(train, *PPO, "-f", "logs/x").assert_refused("log folder")


ENJOY_MISTAKES = {
    "algorithm": (("--algo", "pppo"), ["pppo", "'ppo'"]),
    "folder": (("-f", "nowhere"), ["nowhere", "There is one in logs"]),
    "run": (("-f", "logs", "--exp-id", "7"), ["7", "There are: 1"]),
    "environment": (("-f", "logs", "--env", "CartPole-v0"), ["CartPole-v0", "'CartPole-v1'"]),
    "other-algorithm": (("-f", "logs", "--algo", "a2c"), ["a2c", "--algo ppo"]),
    "checkpoint": (("-f", "logs", "--load-checkpoint", "5"), ["5 steps", "64"]),
    "both-models": (("-f", "logs", "--load-best", "--load-last-checkpoint"), ["--load-best"]),
    "both-ways-to-act": (("-f", "logs", "--stochastic", "--deterministic"), ["--stochastic"]),
    "no-steps": (("-f", "logs", "-n", "0"), ["at least 1"]),
    "no-environments": (("-f", "logs", "--n-envs", "0"), ["at least 1"]),
    "env-kwarg": (("-f", "logs", "--env-kwargs", "suton:True"), ["suton"]),
    "device": (("-f", "logs", "--device", "quantum"), ["quantum"]),
    "gym-package": (("-f", "logs", "--gym-packages", "no_such_package"), ["no_such_package"]),
    "flag": (("--load-bst",), ["--load-bst", "--load-best"]),
}


@pytest.mark.parametrize("name", ENJOY_MISTAKES)
def test_enjoy_names_a_mistake_in_one_line(name: str, command, ppo_run, tmp_path: Path) -> None:
    arguments, parts = ENJOY_MISTAKES[name]
    (tmp_path / "logs").symlink_to(ppo_run.path.parent.parent)
    command(enjoy, "--no-render", "-n", "5", *arguments).assert_refused(*parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("train", "--env", "CartPol-v1"), ["'CartPole-v1'"]),
        (("train", "-params", "gama:0.9"), ["'gamma'"]),
        (("enjoy", "-f", "nowhere"), ["nowhere"]),
        (("enjoy", "--exp-idd", "1"), ["--exp-id"]),
    ],
)
def test_a_mistake_is_one_line_in_a_real_process_too(arguments: tuple[str, ...], parts: list[str], tmp_path) -> None:
    name, *rest = arguments
    run_module(f"rl_experiments.{name}", *rest, cwd=tmp_path).assert_refused(*parts)
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = run_module("rl_experiments.train", "--env", "CartPol-v1", "--debug", cwd=tmp_path)
    assert result.code == 2
    assert "Traceback" in result.err
