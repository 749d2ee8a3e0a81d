"""What goes into a bundle: weights, configuration, normalisation, metrics."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.registry import SBX
from rl_experiments.algorithms.sb3 import read_data
from rl_experiments.algorithms.sb3.recognizing import was_written_with_gym
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, UntrustedError
from rl_experiments.core.files import replacing, sha256_of, write_bytes, write_text
from rl_experiments.core.names import model_name
from rl_experiments.evaluation import Episode, Evaluation
from rl_experiments.hub.bundle import ATTRIBUTES, CURVE, RESULTS, Bundle
from rl_experiments.hub.curve import draw_curve
from rl_experiments.hub.manifest import fingerprint
from rl_experiments.hub.publication import Wishes
from rl_experiments.hub.scrubbing import published_arguments, published_env_kwargs, published_hyperparameters
from rl_experiments.hub.weights import write_safetensors
from rl_experiments.runs import LoadedAgent

STATISTICS = "vec_normalize.pkl"
WEIGHTS = "policy.safetensors"
METRICS = "train_eval_metrics.zip"
_LARGE = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack *.npy *.npz *.onnx"
    " *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/* *.tar.* *.tar *.tflite *.tgz"
    " *.wasm *.xz *.zip *.zst *tfevents* *.mp4 *.gif *.png"
)
"""What the Hub writes into a new repository, and what we add."""
_GIT_ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _LARGE.split())


@dataclass(frozen=True)
class Contents:
    """
    What is published of a run.

    :param agent: the agent, loaded from the model that is published
    :param all_checkpoints: whether each checkpoint goes along, as ``checkpoints/<steps>/``
    """

    agent: LoadedAgent
    all_checkpoints: bool = False

    fps: ClassVar[float | None] = None
    """Frames a second of the replay; real time if None."""
    template: ClassVar[str] = "model_card.md.jinja"
    """Of the card."""

    @property
    def model_file(self) -> str:
        """The file that readers load."""
        return f"{self.name}.zip"

    def result_facts(self) -> dict[str, Any]:
        """:return: what ``results.json`` says beside the score"""
        return {}

    def front_matter(self, bundle: Bundle, score: str | None) -> dict[str, Any]:
        """
        :param score: mean and standard deviation, None where there are none
        :return: the metadata that the Hub and its leaderboards read; the tag and the dataset are the exact id of the
            environment that is played. The course's leaderboard reads mean and standard deviation from the value,
            ``268.50 +/- 78.17``
        """
        env_id = self.agent.recipe.env_id.rpartition(":")[2]
        library = "sbx" if self.agent.backend == SBX else "stable-baselines3"
        tags = [env_id, "deep-reinforcement-learning", "reinforcement-learning", library]
        metadata: dict[str, Any] = {"library_name": library, "tags": tags}
        if score is not None:
            metadata["model-index"] = model_index(get_algorithm(self.agent.algorithm).class_name, env_id, score)
        return metadata

    def card_values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """
        :param record: of the run
        :return: what the card's template needs beside what all cards have
        """
        return {
            "is_of_gym": was_written_with_gym(read_data(self.agent.saved.path)),
            "of_sbx": self.agent.backend == SBX,
        }

    @property
    def has_page(self) -> bool:
        """Whether there is a replay for browsers beside the video."""
        return False

    def write_page(self, folder: Path, wishes: Wishes, on_progress: Callable[[int], bool | None]) -> Path:
        """
        Play an episode, and write its replay for browsers.

        :param folder: where it goes
        :param wishes: how the agent plays
        :param on_progress: called after each step with the number of steps
        :return: the file
        """
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The model's name, as the zoo has it."""
        return model_name(self.agent.algorithm, self.agent.run.env_id)

    def texts(self) -> dict[str, str]:
        """:return: file name to text"""
        run = self.agent.run
        return {
            "config.yml": yaml_io.dump_like_the_zoo(published_hyperparameters(run)),
            "args.yml": yaml_io.dump_like_the_zoo(published_arguments(run)),
            "env_kwargs.yml": yaml_io.dump(published_env_kwargs(run)),
            ATTRIBUTES: _GIT_ATTRIBUTES,
        }

    def copies(self) -> dict[str, Path]:
        """:return: file name to the file of the run that it is a copy of"""
        agent = self.agent
        files = {f"{self.name}.zip": agent.saved.path}
        if agent.saved.statistics is not None:
            files[STATISTICS] = agent.saved.statistics
        for steps in self.checkpoints():
            saved = agent.run.model(steps)
            files[f"checkpoints/{steps}/{agent.run.checkpoint(steps).name}"] = saved.path
            if saved.statistics is not None:
                name = agent.run.checkpoint_statistics(steps).name
                files[f"checkpoints/{steps}/{name}"] = saved.statistics
        return files

    def checkpoints(self) -> list[int]:
        """:return: steps of the models of the training's way that go along"""
        return self.agent.run.checkpoints() if self.all_checkpoints else []

    def metrics(self) -> list[Path]:
        """:return: evaluations and episode logs of the training, as far as there are any"""
        run = self.agent.run
        return [path for path in (run.evaluations_file, *run.monitor_files()) if path.is_file()]

    def key(self) -> str:
        """:return: a fingerprint of everything that :meth:`write` reads"""
        copied = {name: sha256_of(_no_link(path)) for name, path in self.copies().items()}
        return fingerprint(copied, self.texts(), [(path.name, sha256_of(_no_link(path))) for path in self.metrics()])

    def write(self, bundle: Bundle) -> list[Path]:
        """:return: the files that were written"""
        return list(self._write(bundle.folder))

    def _write(self, folder: Path) -> Iterator[Path]:
        for name, source in self.copies().items():
            yield copy_file(source, folder / name)
        archive = folder / f"{self.name}.zip"
        yield from unzip(archive, folder / self.name)
        weights = write_safetensors(archive, folder / WEIGHTS, self.agent)
        if weights is not None:
            yield weights
        yield from self._write_texts(folder)

    def _write_texts(self, folder: Path) -> Iterator[Path]:
        """Configuration, metrics and the learning curve."""
        for name, text in self.texts().items():
            write_text(folder / name, text)
            yield folder / name
        metrics = self.metrics()
        with replacing(folder / METRICS) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as opened:
            for source in metrics:
                opened.write(_no_link(source), source.name)
        yield folder / METRICS
        if draw_curve(self.agent.run, folder / CURVE):
            yield folder / CURVE


def model_index(name: str, env_name: str, score: str) -> list[dict[str, Any]]:
    """
    :param name: of the model
    :param env_name: as the leaderboards list it
    :return: the score as the Hub reads it
    """
    task = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
    metric = {"type": "mean_reward", "value": score, "name": "mean_reward", "verified": False}
    return [
        {
            "name": name,
            "results": [{"task": task, "dataset": {"name": env_name, "type": env_name}, "metrics": [metric]}],
        }
    ]


def write_results(bundle: Bundle, evaluation: Evaluation, facts: Mapping[str, Any]) -> Path:
    """
    Write the evaluation under the zoo's keys, and all of its episodes.

    A return that is no finite number is null, because JSON has none.

    :param facts: what is told beside it
    """
    content = {
        **facts,
        "mean_reward": evaluation.mean_reward,
        "std_reward": evaluation.std_reward,
        "is_deterministic": evaluation.deterministic,
        "n_eval_episodes": len(evaluation.episodes),
        "eval_datetime": datetime.now().isoformat(),
        "seed": evaluation.seed,
        "n_envs": evaluation.n_envs,
        "n_steps": evaluation.n_steps,
        "returns": evaluation.returns.tolist(),
        "lengths": evaluation.lengths.tolist(),
    }
    if evaluation.success_rate is not None:
        content["success_rate"] = evaluation.success_rate
        content["successes"] = [episode.success for episode in evaluation.episodes]
    path = bundle.folder / RESULTS
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")
    return path


def read_results(bundle: Bundle) -> Evaluation:
    """
    :return: the evaluation that :func:`write_results` wrote
    :raises ConfigurationError: if the file holds something else
    """
    path = bundle.folder / RESULTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        returns = [float("nan") if value is None else float(value) for value in content["returns"]]
        successes = content.get("successes") or [None] * len(returns)
        episodes = tuple(
            Episode(total, int(length), 0, success)
            for total, length, success in zip(returns, content["lengths"], successes, strict=True)
        )
        return Evaluation(
            episodes, (), bool(content["is_deterministic"]), content["n_envs"], content["n_steps"], content["seed"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} holds no evaluation of ours: {error}") from None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _no_link(path: Path) -> Path:
    """What a link points to would be published."""
    if path.is_symlink():
        raise UntrustedError(f"{path} is a symbolic link: only files of the run itself are published")
    return path


def copy_file(source: Path, target: Path) -> Path:
    """:return: the copy; a symbolic link is refused"""
    with replacing(target) as temporary:
        shutil.copyfile(_no_link(source), temporary)
    return target


def unzip(archive: Path, folder: Path) -> Iterator[Path]:
    """Write the members of a model's zip as files; names that leave the folder are refused."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            parts = PurePosixPath(member.filename)
            if member.is_dir():
                continue
            if parts.is_absolute() or ".." in parts.parts or len(parts.parts) != 1 or "\\" in member.filename:
                raise ConfigurationError(f"{archive} has a member with a path: '{member.filename}'")
            write_bytes(folder / parts.name, opened.read(member))
            yield folder / parts.name
