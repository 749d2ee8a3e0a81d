"""
Settings and trained runs that many tests share.

The whole run has to stay short, so a test does what it checks in the cheapest of these ways:

1. ``command(train, "--algo", "ppo")``: a command in this process.
2. ``run_module`` and ``start_module`` of :mod:`tests.helpers.commands`, where it takes another process, a signal or a
   kill: that is a fork of a process that has imported torch, and begins at once. An environment of its own
   (``PYTHON...``, ``OMP_...``, ``MPL...``) makes it a real start of Python, which costs 2 seconds of the processor.
   ``light=True`` is for what must not import torch either.
3. ``run_python``: a real start, for what is about imports, terminals or the start itself.

Take the runs below before training another; what several tests of a module only read is made once
(``scope="module"``) and copied by those that change it. Cases that differ in nothing but their name are marked slow.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "tests" / "helpers" / "packages"

# Before torch is imported, and for every child process.
os.environ.update(
    OMP_NUM_THREADS="1",
    OMP_WAIT_POLICY="PASSIVE",
    RL_EXPERIMENTS_EVAL_IN_BACKGROUND="off",  # unless a test says so: auto depends on what else runs
    RL_EXPERIMENTS_CACHE=tempfile.mkdtemp(prefix="rl_experiments_cache_"),
    PYTHONPATH=os.pathsep.join([str(ROOT), str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]),
    PYGAME_HIDE_SUPPORT_PROMPT="1",
    PYTHONWARNINGS="ignore",
)
sys.path.insert(0, str(PACKAGES))

from collections.abc import Callable, Iterator  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

from rl_experiments import Experiment, Run  # noqa: E402
from rl_experiments.cli.main import run_command  # noqa: E402
from tests.helpers.commands import CommandResult  # noqa: E402
from tests.helpers.tiny import tiny_experiment  # noqa: E402

# A shell starts what it runs in the background with SIGINT ignored, which children would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def same_handlers_after() -> Iterator[None]:
    """Of signals, for tests that send some to themselves."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty memory of this machine."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RL_EXPERIMENTS_CACHE", str(folder))
    return folder


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., CommandResult]:
    """Run a command in this process and in an empty folder: ``command(train, "--algo", "ppo")``."""
    monkeypatch.chdir(tmp_path)

    def run(module: Any, *arguments: str) -> CommandResult:
        monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        capsys.readouterr()
        try:
            code = run_command(lambda: module.main(list(arguments)))
        except SystemExit as stop:
            code = int(stop.code or 0)
        shown = capsys.readouterr()
        return CommandResult(code, shown.out, shown.err)

    return run


def _trained(tmp_path_factory: pytest.TempPathFactory, experiment: Callable[[Path], Experiment]) -> Run:
    return experiment(tmp_path_factory.mktemp("logs")).run().run


@pytest.fixture(scope="session")
def ppo_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """PPO on CartPole, with evaluations and checkpoints."""
    return _trained(
        tmp_path_factory,
        lambda folder: tiny_experiment(
            "ppo", "CartPole-v1", folder, n_timesteps=256, eval_freq=128, eval_episodes=2, save_freq=64
        ),
    )


@pytest.fixture(scope="session")
def normalized_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A2C on Pendulum with normalisation, evaluations and checkpoints."""
    return _trained(
        tmp_path_factory,
        lambda folder: tiny_experiment(
            "a2c",
            "Pendulum-v1",
            folder,
            hyperparams={"normalize": True},
            n_timesteps=400,
            eval_freq=100,
            eval_episodes=1,
            save_freq=100,
        ),
    )


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """PPO on the toy line, whose returns and lengths are known: 55 and 10."""
    return _trained(tmp_path_factory, lambda folder: tiny_experiment("ppo", "toy_envs:ToyLine-v0", folder))


@pytest.fixture(scope="session")
def atari_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """DQN on Pong, untrained in all but name."""
    return _trained(
        tmp_path_factory,
        lambda folder: tiny_experiment(
            "dqn",
            "PongNoFrameskip-v4",
            folder,
            hyperparams={"learning_starts": 40, "buffer_size": 100, "batch_size": 4},
            n_timesteps=60,
        ),
    )
