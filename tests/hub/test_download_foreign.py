"""Repositories that other tools and other people pushed, and those that nobody should trust."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Run, enjoy, load_agent, load_from_hub, push_to_hub
from rl_experiments.core import yaml_io
from rl_experiments.hub.identifying import possible_algorithms
from tests.helpers.commands import CommandResult
from tests.helpers.hub_repositories import COURSE_CARD, add_repository, course_files
from tests.helpers.hub_server import HubServer
from tests.helpers.hub_storage import StoredFile
from tests.helpers.tampering import Touch, rewrite_data, serialized
from tests.helpers.tiny import TINY, tiny_experiment

Command = Callable[..., CommandResult]
CARTPOLE = "logs/ppo/CartPole-v1_1"


@pytest.fixture
def people(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A Hub that this process' children talk to."""
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    return hub


@pytest.fixture
def model(ppo_run: Run) -> bytes:
    """PPO on CartPole."""
    return ppo_run.final_model.read_bytes()


def _zipped(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _card(env: str = "CartPole-v1", name: str = "PPO") -> bytes:
    return COURSE_CARD.format(env=env, name=name).encode()


def _files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stem", ["ppo-CartPole-v1", "my first agent"])
def test_what_the_course_pushes_comes_back(stem: str, people: HubServer, ppo_run: Run, command: Command) -> None:
    add_repository(people, "ann/unit1", course_files(ppo_run.final_model, stem, "CartPole-v1", "PPO"))
    loaded = command(load_from_hub, "ann/unit1", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert loaded.out.splitlines() == [
        "It has no args.yml: wrote one with --algo ppo --env CartPole-v1",
        "It has no config.yml: wrote one with no wrapper and no normalisation",
        f"Saved to {CARTPOLE}",
        "Watch it with: python -m rl_experiments.enjoy --algo ppo --env CartPole-v1 -f logs",
    ]
    assert _files_of(Path(CARTPOLE)) == {"CartPole-v1.zip", "CartPole-v1/args.yml", "CartPole-v1/config.yml"}
    assert Path(CARTPOLE, "CartPole-v1.zip").read_bytes() == ppo_run.final_model.read_bytes()
    flags = ("--algo", "ppo", "--env", "CartPole-v1", "-f", "logs", "--no-render")
    watched = command(enjoy, *flags, "--n-episodes", "1")
    assert watched.code == 0, watched.err
    pushed = command(push_to_hub, *flags, "-orga", "ann", "--n-eval-episodes", "1")
    assert pushed.code == 0, pushed.err


NAMED: dict[str, tuple[str, dict[str, bytes], tuple[str, ...]]] = {
    "by-its-name": ("ann/agent", {"ppo-CartPole-v1.zip": b""}, ()),
    "by-an-untidy-name": ("ann/agent", {"PPO_CartPole-v1.ZIP": b""}, ()),
    "by-the-repository": ("ann/ppo-CartPole-v1", {"model.zip": b""}, ()),
    "by-the-card": ("ann/agent", {"model.zip": b"", "README.md": _card()}, ()),
    "by-tags-alone": (
        "ann/agent",
        {"model.zip": b"", "README.md": b"---\ntags: [CartPole-v1, 7, null]\n---\n"},
        (),
    ),
    "by-args": ("ann/agent", {"model.zip": b"", "args.yml": b"env: CartPole-v1\nalgo: ppo\n"}, ()),
    "by-the-model-where-the-card-is-wrong": ("ann/agent", {"model.zip": b"", "README.md": _card(name="DQN")}, ()),
    "by-the-flag": ("ann/agent", {"model.zip": b""}, ("--env", "CartPole-v1")),
    "by-flags-of-the-zoo": (
        "ann/agent",
        {"a name.zip": b"", "README.md": b"no front matter"},
        ("-orga", "ann", "-name", "agent", "--algo", "ppo", "--env", "CartPole-v1"),
    ),
    "in-a-folder": ("ann/agent", {"models/final.zip": b"", "README.md": _card()}, ()),
    "beside-checkpoints": (
        "ann/agent",
        {"x.zip": b"", "checkpoints/rl_model_64_steps.zip": b"", "logs/old.zip": b"", "README.md": _card()},
        (),
    ),
    "chosen": (
        "ann/agent",
        {"best.zip": b"no model", "last.zip": b"", "README.md": _card()},
        ("--filename", "last.zip"),
    ),
    "the-exact-name-of-several": (
        "ann/agent",
        {"old.zip": b"no model", "ppo-CartPole-v1.zip": b""},
        ("--algo", "ppo", "--env", "CartPole-v1"),
    ),
    "the-repository-s-name-of-several": (
        "ann/ppo-CartPole-v1",
        {"old.zip": b"no model", "ppo-CartPole-v1.zip": b""},
        (),
    ),
    "a-card-that-is-no-yaml": ("ann/ppo-CartPole-v1", {"m.zip": b"", "README.md": b"---\na: [\n---\n"}, ()),
    "a-card-of-nonsense": (
        "ann/ppo-CartPole-v1",
        {"m.zip": b"", "README.md": b"---\nmodel-index: [1, {results: 3}]\ntags: x\n---\n"},
        (),
    ),
    "a-card-that-is-no-text": ("ann/ppo-CartPole-v1", {"m.zip": b"", "README.md": b"---\n\xff\xfe\n---\n"}, ()),
    "an-id-with-a-path": (
        "ann/ppo-CartPole-v1",
        {"m.zip": b"", "README.md": b"---\ntags: [../../../x-v1, /etc-v1, 'a\\b-v1']\n---\n"},
        (),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_repository_is_understood(name: str, people: HubServer, model: bytes, command: Command) -> None:
    repo_id, files, flags = NAMED[name]
    add_repository(people, repo_id, {file: content or model for file, content in files.items()})
    named = () if "-name" in flags else (repo_id,)
    loaded = command(load_from_hub, *named, "-f", "logs", *flags)
    assert loaded.code == 0, loaded.err
    assert Path(CARTPOLE, "CartPole-v1.zip").read_bytes() == model
    agent = load_agent(CARTPOLE)
    assert (agent.algorithm, agent.run.env_id) == ("ppo", "CartPole-v1")


REFUSED: dict[str, tuple[str, dict[str, bytes], tuple[str, ...], tuple[str, ...]]] = {
    "no-model": ("ann/x", {"a.txt": b"a"}, (), ("ann/x has no model", "a.txt")),
    "several-models": (
        "ann/x",
        {"final.zip": b"", "best.zip": b""},
        (),
        ("several models", "best.zip, final.zip", "--filename"),
    ),
    "the-nearest-of-several": (
        "ann/x",
        {"ppo-CartPole-v0.zip": b"", "other.zip": b""},
        ("--algo", "ppo", "--env", "CartPole-v1"),
        ("no ppo-CartPole-v1.zip", "Did you mean --filename ppo-CartPole-v0.zip?"),
    ),
    "no-such-file": (
        "ann/x",
        {"final.zip": b"", "best.zip": b""},
        ("--filename", "finl.zip"),
        ("no finl.zip", "Did you mean --filename final.zip?"),
    ),
    "no-environment": ("ann/x", {"model.zip": b""}, (), ("environment", "--env")),
    "another-algorithm": (
        "ann/x",
        {"model.zip": b"", "README.md": _card()},
        ("--algo", "dqn"),
        ("model.zip of ann/x is a model of ppo, not of dqn", "--algo ppo"),
    ),
    "another-environment": (
        "ann/x",
        {"model.zip": b"", "README.md": _card()},
        ("--algo", "ppo", "--env", "Pendulum-v1"),
        ("no model for Pendulum-v1", "model.zip is for CartPole-v1", "--env CartPole-v1"),
    ),
    "a-zip-of-something-else": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": _zipped({"a.txt": b"a"})},
        (),
        ("ppo-CartPole-v1.zip of ann/ppo-CartPole-v1 is no model of Stable-Baselines3",),
    ),
    "no-zip": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"../../../etc/passwd"},
        (),
        ("is no model of Stable-Baselines3",),
    ),
    "a-checkpoint-that-is-no-model": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"", "checkpoints/best_model.zip": b"no zip"},
        (),
        ("checkpoints/best_model.zip of ann/ppo-CartPole-v1",),
    ),
    "a-configuration-that-is-a-list": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"", "config.yml": b"[1]"},
        (),
        ("config.yml of ann/ppo-CartPole-v1 holds no mapping",),
    ),
    "a-configuration-that-is-no-text": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"", "args.yml": b"\xff\xfe\x00"},
        (),
        ("args.yml of ann/ppo-CartPole-v1",),
    ),
    "a-configuration-that-is-huge": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"", "config.yml": b"#" * (1 << 21)},
        (),
        ("config.yml of ann/ppo-CartPole-v1", "2097152 bytes"),
    ),
    "a-model-that-is-a-bomb": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": _zipped({"data": b"{}", "policy.pth": bytes(300 << 20)})},
        (),
        ("ppo-CartPole-v1.zip of ann/ppo-CartPole-v1 would unpack to 300 MiB",),
    ),
    "metrics-that-are-a-bomb": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"", "train_eval_metrics.zip": _zipped({"0.monitor.csv": bytes(32 << 20)})},
        (),
        ("train_eval_metrics.zip would unpack to 32 MiB",),
    ),
    "metrics-that-are-no-zip": (
        "ann/ppo-CartPole-v1",
        {"ppo-CartPole-v1.zip": b"", "train_eval_metrics.zip": b"PK"},
        (),
        ("train_eval_metrics.zip is no zip file",),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_run_is_refused(name: str, people: HubServer, model: bytes, command: Command) -> None:
    repo_id, files, flags, parts = REFUSED[name]
    add_repository(people, repo_id, {file: content or model for file, content in files.items()})
    command(load_from_hub, repo_id, "-f", "logs", *flags).assert_refused(*parts)
    assert not Path("logs").exists()


@pytest.mark.parametrize(
    "path",
    ["../evil.zip", "/tmp/evil.zip", "a/../../evil.zip", "..\\evil.zip", "C:/evil.zip", "C:evil.zip", "a\\b.zip"],
)
def test_a_path_that_leaves_the_repository_is_refused(
    path: str, people: HubServer, model: bytes, command: Command, tmp_path: Path
) -> None:
    add_repository(people, "ann/ppo-CartPole-v1", {path: model})
    command(load_from_hub, "ann/ppo-CartPole-v1", "-f", "logs").assert_refused("leaves the repository", repr(path))
    assert not Path("logs").exists()
    assert not list(tmp_path.parent.rglob("evil*.zip"))


def test_metrics_are_taken_by_name(people: HubServer, model: bytes, command: Command, tmp_path: Path) -> None:
    members = dict.fromkeys(
        ("0.monitor.csv", "../evil.monitor.csv", "/evil.monitor.csv", "a/1.monitor.csv", "CartPole-v1.zip", "x.py"),
        b"#{}\nr,l,t\n",
    )
    metrics = _zipped(members)
    add_repository(people, "ann/ppo-CartPole-v1", {"m.zip": model, "train_eval_metrics.zip": metrics})
    assert command(load_from_hub, "ann/ppo-CartPole-v1", "-f", "logs").code == 0
    configuration = {"CartPole-v1/args.yml", "CartPole-v1/config.yml"}
    assert _files_of(Path(CARTPOLE)) == {"CartPole-v1.zip", "0.monitor.csv", *configuration}
    assert Path(CARTPOLE, "CartPole-v1.zip").read_bytes() == model
    assert not list(tmp_path.parent.rglob("evil*.csv"))


def test_a_link_in_the_metrics_is_refused(people: HubServer, model: bytes, command: Command) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        link = zipfile.ZipInfo("0.monitor.csv")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    add_repository(people, "ann/ppo-CartPole-v1", {"m.zip": model, "train_eval_metrics.zip": stream.getvalue()})
    command(load_from_hub, "ann/ppo-CartPole-v1", "-f", "logs").assert_refused("train_eval_metrics.zip", "link")
    assert not Path("logs").exists()


@pytest.mark.parametrize("name", ["args.yml", "config.yml", "env_kwargs.yml"])
def test_a_configuration_that_runs_code_does_not_arrive(
    name: str, people: HubServer, model: bytes, command: Command, tmp_path: Path
) -> None:
    """The zoo's own enjoy would run it."""
    evil = f"!!python/object/apply:os.system ['touch {tmp_path / 'evil'}']\n".encode()
    add_repository(people, "ann/ppo-CartPole-v1", {"m.zip": model, name: evil})
    command(load_from_hub, "ann/ppo-CartPole-v1", "-f", "logs").assert_refused(name, "ann/ppo-CartPole-v1", "run code")
    assert not Path("logs").exists()
    assert not (tmp_path / "evil").exists()


def test_nothing_that_arrives_is_run(people: HubServer, model: bytes, command: Command, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    tampered = tmp_path / "tampered.zip"
    tampered.write_bytes(model)
    rewrite_data(tampered, policy_kwargs=serialized(Touch(evil)), observation_space=serialized(Touch(evil)))
    add_repository(
        people,
        "ann/x",
        {
            "ppo-CartPole-v1.zip": tampered.read_bytes(),
            "args.yml": b"algo: ppo\nenv: evil_module:CartPole-v1\ngym_packages: [evil_module]\n",
            "evil_module.py": f"open({str(evil)!r}, 'w')".encode(),
            "setup.py": f"open({str(evil)!r}, 'w')".encode(),
        },
    )
    (tmp_path / "evil_module.py").write_text(f"open({str(evil)!r}, 'w')")
    loaded = command(load_from_hub, "ann/x", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert not evil.exists()
    assert "evil_module.py" not in _files_of(Path("logs"))
    assert command(enjoy, "--algo", "ppo", "--env", "CartPole-v1", "-f", "logs", "--no-render").code == 2
    assert not evil.exists()


def test_an_atari_agent_gets_its_wrapper_and_its_frames(
    people: HubServer, atari_run: Run, command: Command, tmp_path: Path
) -> None:
    files = course_files(atari_run.final_model, "dqn-pong", "PongNoFrameskip-v4", "DQN")
    add_repository(people, "ann/pong", files)
    loaded = command(load_from_hub, "ann/pong", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "It has no config.yml: wrote one with env_wrapper:" in loaded.out
    assert "frame_stack: 4" in loaded.out
    run = Run(tmp_path / "logs/dqn/PongNoFrameskip-v4_1", "dqn", "PongNoFrameskip-v4")
    assert dict(run.hyperparameters) == {
        "env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"],
        "frame_stack": 4,
    }
    watched = command(enjoy, "--algo", "dqn", "--env", "PongNoFrameskip-v4", "-f", "logs", "--no-render", "-n", "20")
    assert watched.code == 0, watched.err


@pytest.mark.parametrize("name", ["vec_normalize.pkl", "vecnormalize.pkl"])
def test_statistics_are_used_under_either_name(
    name: str, people: HubServer, normalized_run: Run, command: Command, tmp_path: Path
) -> None:
    files = course_files(normalized_run.final_model, "a2c-Pendulum-v1", "Pendulum-v1", "A2C")
    add_repository(people, "ann/a", {**files, name: normalized_run.final_statistics.read_bytes()})
    loaded = command(load_from_hub, "ann/a", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "config.yml: wrote one with normalize: True" in loaded.out
    agent = load_agent("logs/a2c/Pendulum-v1_1")
    assert agent.saved.statistics is not None
    assert agent.saved.statistics.read_bytes() == normalized_run.final_statistics.read_bytes()


def test_statistics_that_were_not_published_are_missed(
    people: HubServer, normalized_run: Run, command: Command
) -> None:
    files = course_files(normalized_run.final_model, "a2c-Pendulum-v1", "Pendulum-v1", "A2C")
    add_repository(people, "ann/a", {**files, "config.yml": b"normalize: true\n"})
    loaded = command(load_from_hub, "ann/a", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "statistics were not published" in loaded.out


def test_an_id_of_the_past_is_told_with_its_successor(people: HubServer, model: bytes, command: Command) -> None:
    files = {"ppo-CartPole-v9.zip": model, "README.md": _card("CartPole-v9")}
    add_repository(people, "ann/old", files)
    loaded = command(load_from_hub, "ann/old", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "There is no environment 'CartPole-v9'. Did you mean 'CartPole-v" in loaded.out
    renamed = command(load_from_hub, "ann/old", "-f", "logs", "--env", "CartPole-v1")
    assert renamed.code == 0, renamed.err
    assert load_agent(CARTPOLE).run.env_id == "CartPole-v1"


def test_the_arguments_of_the_environment_come_with_it(
    people: HubServer, normalized_run: Run, command: Command
) -> None:
    files = {"a2c-Pendulum-v1.zip": normalized_run.final_model.read_bytes(), "env_kwargs.yml": b"g: 9.0\n"}
    add_repository(people, "ann/a", files)
    assert command(load_from_hub, "ann/a", "-f", "logs").code == 0
    assert load_agent("logs/a2c/Pendulum-v1_1").recipe.kwargs == {"g": 9.0}


def test_an_id_with_a_namespace_is_read_off_a_file(people: HubServer, atari_run: Run, command: Command) -> None:
    add_repository(people, "ann/a", {"dqn-ALE-Pong-v5.zip": atari_run.final_model.read_bytes()})
    loaded = command(load_from_hub, "ann/a", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert yaml_io.read(Path("logs/dqn/ALE-Pong-v5_1/ALE-Pong-v5/args.yml"))["env"] == "ALE/Pong-v5"


CONTINUOUS = ("ars", "crossq", "ddpg", "sac", "td3", "tqc")


@pytest.mark.parametrize("algo", TINY)
def test_the_model_itself_tells_its_algorithm(algo: str, tmp_path: Path) -> None:
    env = "Pendulum-v1" if algo in CONTINUOUS else "toy_envs:ToyMasked-v0" if algo == "ppo_mask" else "CartPole-v1"
    run = tiny_experiment(algo, env, tmp_path, n_timesteps=70).run().run
    with zipfile.ZipFile(run.final_model) as archive:
        data: dict[str, Any] = json.loads(archive.read("data"))
    assert possible_algorithms(data) == ({"ddpg", "td3"} if algo == "ddpg" else {algo})


def test_a_repository_that_moves_while_it_is_read_stays_one(people: HubServer, model: bytes, tmp_path: Path) -> None:
    """All files are of the commit that was listed first."""
    from rl_experiments.hub.remote import RemoteRepository

    found = add_repository(people, "ann/a", {"a.zip": model, "README.md": _card()})
    repository = RemoteRepository("ann/a", tmp_path)
    repository.fetch(["README.md"])
    found.add_commit("main", {"a.zip": StoredFile(b"another", lfs=True)}, "ann", "later")
    repository.fetch(["a.zip"])
    assert (tmp_path / "a.zip").read_bytes() == model
