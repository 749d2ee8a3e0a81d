"""Getting an agent back: from a Hub repository to a run folder."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from rl_experiments.core.errors import ConfigurationError, NotFoundError, RLExperimentsError
from rl_experiments.core.files import replacing, sha256_of, write_bytes
from rl_experiments.core.names import folder_name, model_name
from rl_experiments.hub.child import ask_child, script
from rl_experiments.hub.upload import DEADLINE
from rl_experiments.runs import Run

_CONFIGURATION = ("config.yml", "args.yml", "env_kwargs.yml")
_STATISTICS = "vec_normalize.pkl"
_METRICS = "train_eval_metrics.zip"
_LARGEST_METRICS = 1 << 30


class DownloadError(RLExperimentsError):
    """An agent that did not arrive; the message says why."""


def download_run(
    algorithm: str,
    env_id: str,
    log_folder: str | Path,
    *,
    organization: str = "sb3",
    repo_name: str | None = None,
    exp_id: int = 0,
    force: bool = False,
    revision: str | None = None,
    token: str | None = None,
    deadline: float = DEADLINE,
) -> Run:
    """
    Download a repository that the zoo or this package made, as a run that every command can use.

    The model is required, everything else is taken if it is there. Nothing in it is executed.

    :param algorithm: name in the registry
    :param organization: user or organisation on the Hub
    :param repo_name: the repository's name; if None, ``<algo>-<env>``
    :param exp_id: the run's number; 0 is the next free one, -1 is no run folder
    :param force: write into a run folder that exists
    :param revision: branch, tag or commit
    :param token: a token; if None, the one that is saved on this machine
    :param deadline: seconds after which it is given up
    :raises DownloadError: if it does not arrive as it was published
    :raises ConfigurationError: if the run folder exists
    """
    repo_id = f"{organization}/{repo_name or model_name(algorithm, env_id)}"
    model = f"{model_name(algorithm, env_id)}.zip"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        request = {
            "repo_id": repo_id,
            "revision": revision,
            "files": [model, *_CONFIGURATION, _STATISTICS, _METRICS],
            "folder": temporary,
            "token": token,
        }
        asked = ask_child(script("transfer.py"), "download", request, silence=deadline)
        if asked.reason is not None:
            raise DownloadError(f"{repo_id} could not be downloaded: {asked.reason}")
        answer = asked.content
        if model not in answer["files"]:
            raise NotFoundError(f"{repo_id} has no {model}. It has: {', '.join(answer['all_files'][:20])}")
        for name, digest in answer["files"].items():
            if digest is not None and sha256_of(folder / name) != digest:
                raise DownloadError(
                    f"{name} of {repo_id} arrived damaged: its SHA-256 is not the one that the Hub tells"
                )
        run = _target(Path(log_folder), algorithm, env_id, exp_id, force)
        _assemble(run, folder, model)
    return run


def _target(log_folder: Path, algorithm: str, env_id: str, exp_id: int, force: bool) -> Run:
    if exp_id == 0:
        return Run.create(log_folder, algorithm, env_id)
    name = folder_name(env_id)
    parent = log_folder / algorithm
    path = parent / f"{name}_{exp_id}" if exp_id > 0 else parent
    if path.exists() and exp_id > 0 and not force:
        raise ConfigurationError(f"{path} exists. Write into it with --force, or make a new run with --exp-id 0")
    return Run(path, algorithm, name)


def _assemble(run: Run, folder: Path, model: str) -> None:
    targets = {
        model: run.final_model,
        **{name: run.config_folder / name for name in _CONFIGURATION},
        _STATISTICS: run.final_statistics,
    }
    for name, target in targets.items():
        if (folder / name).is_file():
            with replacing(target) as written:
                shutil.copyfile(folder / name, written)
    if (folder / _METRICS).is_file():
        _unpack_metrics(folder / _METRICS, run.path)


def _unpack_metrics(archive: Path, target: Path) -> None:
    """Take the evaluations and the episode logs; other names, and names with a path, are left in the archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [
                member
                for member in opened.infolist()
                if PurePosixPath(member.filename).name == member.filename
                and (member.filename == "evaluations.npz" or member.filename.endswith("monitor.csv"))
            ]
            if sum(member.file_size for member in members) > _LARGEST_METRICS:
                raise DownloadError(f"{archive.name} would unpack to more than {_LARGEST_METRICS >> 20} MiB")
            for member in members:
                write_bytes(target / member.filename, opened.read(member))
    except zipfile.BadZipFile as error:
        raise DownloadError(f"{archive.name} is no zip file: {error}") from None
