"""
The bundle: a folder that is, file for file, a Hub repository.

It holds what the zoo pushes, under the same names. The model is the run's own file, byte for byte. Beside the folder
lies a manifest that lists what was written, so that a later build can take its own old files away and leave the user's
alone.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, UntrustedError
from rl_experiments.core.files import replacing, sha256_of, write_bytes, write_text
from rl_experiments.core.names import model_name
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import LoadedAgent

REPLAY = "replay.mp4"
CARD = "README.md"
RESULTS = "results.json"
_GIT_ATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n"
    for suffix in ("zip", "pth", "pkl", "npz", "safetensors", "mp4", "gif")
)
_PATH_ARGUMENTS = ("log_folder", "tensorboard_log", "trained_agent", "conf_file", "optimization_log_path")
_SECRET_ARGUMENTS = ("storage", "token", "wandb_entity")


@dataclass(frozen=True)
class Bundle:
    """
    :param folder: ``hub/<organisation>/<repository>``, or ``hub/<repository>`` where no organisation is known
    :param organization: user or organisation on the Hub, or None
    :param name: the repository's name
    """

    folder: Path
    organization: str | None
    name: str

    @staticmethod
    def at(hub_folder: str | Path, organization: str | None, name: str) -> Bundle:
        """
        :raises ConfigurationError: if a name would leave the hub folder
        """
        for part in (organization, name):
            if part is not None and (
                not part or part.startswith((".", "-")) or PurePosixPath(part).name != part or "\\" in part
            ):
                raise ConfigurationError(f"'{part}' is no name of a user or repository on the Hub")
        folder = Path(hub_folder) / organization / name if organization else Path(hub_folder) / name
        if folder.is_symlink():
            raise ConfigurationError(f"{folder} is a symbolic link: a bundle needs a folder of its own")
        return Bundle(folder, organization, name)

    @property
    def repo_id(self) -> str:
        """The repository on the Hub; without an organisation, the Hub takes the token's owner."""
        return f"{self.organization}/{self.name}" if self.organization else self.name

    @property
    def manifest(self) -> Path:
        """The list of the files that were written, beside the folder."""
        return self.folder.with_name(f"{self.folder.name}.manifest.json")

    def files(self) -> list[Path]:
        """:return: all files in the folder, in order"""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def write_agent(self, agent: LoadedAgent) -> None:
        """
        Write the weights, the configuration, the normalisation and the training's metrics; old files of ours go first.
        """
        self._put_a_foreign_card_aside()
        self._remove_old_files()
        self.folder.mkdir(parents=True, exist_ok=True)
        name = model_name(agent.algorithm, agent.run.env_id)
        archive = self.folder / f"{name}.zip"
        _copy(agent.saved.path, archive)
        written = [archive, *_unzip(archive, self.folder / name)]
        if agent.saved.statistics is not None:
            written.append(self.folder / "vec_normalize.pkl")
            _copy(agent.saved.statistics, written[-1])
        run = agent.run
        texts = {
            "config.yml": yaml_io.dump_like_the_zoo(run.hyperparameters),
            "args.yml": yaml_io.dump_like_the_zoo(published_arguments(run.arguments)),
            "env_kwargs.yml": yaml_io.dump(published_env_kwargs(agent)),
            ".gitattributes": _GIT_ATTRIBUTES,
        }
        for text_name, text in texts.items():
            written.append(self.folder / text_name)
            write_text(written[-1], text)
        written.append(self.folder / "train_eval_metrics.zip")
        _write_metrics(agent, written[-1])
        self._write_manifest(written)

    def write_results(self, evaluation: Evaluation) -> None:
        """Write the evaluation under the zoo's keys, and the returns of all episodes."""
        content = {
            "mean_reward": evaluation.mean_reward,
            "std_reward": evaluation.std_reward,
            "is_deterministic": evaluation.deterministic,
            "n_eval_episodes": len(evaluation.episodes),
            "eval_datetime": datetime.now().isoformat(),
            "seed": evaluation.seed,
            "returns": evaluation.returns.tolist(),
            "lengths": evaluation.lengths.tolist(),
        }
        if evaluation.success_rate is not None:
            content["success_rate"] = evaluation.success_rate
        write_text(self.folder / RESULTS, json.dumps(content, indent=2) + "\n")
        self._add_to_manifest(self.folder / RESULTS)

    def write_card(self, text: str, replay: Path | None = None) -> None:
        """
        Write the model card, the last file.

        :param replay: the video that was recorded into the folder before
        """
        write_text(self.folder / CARD, text)
        self._add_to_manifest(self.folder / CARD, *([replay] if replay else []))

    def _put_a_foreign_card_aside(self) -> None:
        """A card that we did not write is kept, beside the folder."""
        card = self.folder / CARD
        if card.is_file() and not self.manifest.is_file():
            card.replace(self.folder.with_name(f"{self.folder.name}.{CARD}"))

    def _remove_old_files(self) -> None:
        """Take away what an earlier build wrote, and nothing else."""
        root = self.folder.resolve()
        for name in self._names_in_manifest():
            path = self.folder / name
            if path.resolve().is_relative_to(root):
                path.unlink(missing_ok=True)

    def _names_in_manifest(self) -> list[str]:
        try:
            entries = json.loads(self.manifest.read_text(encoding="utf-8"))["files"]
            return [str(entry["path"]) for entry in entries]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _add_to_manifest(self, *written: Path) -> None:
        self._write_manifest([*(self.folder / name for name in self._names_in_manifest()), *written])

    def _write_manifest(self, written: Iterable[Path]) -> None:
        """List the files of ours; the user's own in the folder are not among them."""
        entries = [
            {"path": path.relative_to(self.folder).as_posix(), "size": path.stat().st_size, "sha256": sha256_of(path)}
            for path in sorted(set(written))
            if path.is_file()
        ]
        write_text(self.manifest, json.dumps({"repository": self.repo_id, "files": entries}, indent=2) + "\n")


def published_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """:return: the command-line arguments without secrets, and without paths of this machine"""
    published = {key: value for key, value in arguments.items() if key not in _SECRET_ARGUMENTS}
    for key in _PATH_ARGUMENTS:
        value = published.get(key)
        if isinstance(value, str) and Path(value).is_absolute():
            published[key] = Path(value).name
    for key in _SECRET_ARGUMENTS:
        if key in arguments:
            published[key] = None
    if isinstance(published.get("env_kwargs"), Mapping):
        published["env_kwargs"] = _without_render_mode(published["env_kwargs"]) or None
    return published


def published_env_kwargs(agent: LoadedAgent) -> dict[str, Any]:
    """:return: the arguments of the environment that the agent was trained in, without how it was drawn"""
    return _without_render_mode(agent.run.env_kwargs)


def _without_render_mode(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key != "render_mode"}


def _copy(source: Path, target: Path) -> None:
    _refuse_link(source)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _refuse_link(path: Path) -> None:
    """What a link points to would be published."""
    if path.is_symlink():
        raise UntrustedError(f"{path} is a symbolic link: only files of the run itself are published")


def _unzip(archive: Path, folder: Path) -> list[Path]:
    """Write the members of a model's zip as files; names that leave the folder are refused."""
    written = []
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            parts = PurePosixPath(member.filename)
            if member.is_dir():
                continue
            if parts.is_absolute() or ".." in parts.parts or len(parts.parts) != 1:
                raise ConfigurationError(f"{archive} has a member with a path: '{member.filename}'")
            written.append(folder / parts.name)
            write_bytes(written[-1], opened.read(member))
    return written


def _write_metrics(agent: LoadedAgent, target: Path) -> None:
    run = agent.run
    sources = [run.evaluations_file, *run.monitor_files()]
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sources:
            _refuse_link(source)
            if source.is_file():
                archive.write(source, source.name)
