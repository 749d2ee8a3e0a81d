"""Repeating a run: the command, what is different here from where it was made, and how the outcomes compare."""

from __future__ import annotations

import io
import platform
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.core.errors import ConfigurationError, NotFoundError, RLExperimentsError, TrainingError
from rl_experiments.core.options import options_of
from rl_experiments.launching.grid.settings import words_for
from rl_experiments.launching.grid.training import find_run_of
from rl_experiments.reporting.report.collecting import runs_below
from rl_experiments.reporting.report.reading import read_evaluations
from rl_experiments.runs import ListedRun, Run
from rl_experiments.runs.record import git_commit, processor_name, read_record, versions
from rl_experiments.training.settings import Experiment

_SET_ANEW = ("algo", "env", "seed", "n_timesteps", "num_threads", "hyperparams", "conf_file", "log_folder")
_NOT_REPEATED = (
    "log_folder",
    "optimization_log_path",
    "progress",
    "storage",
    "study_name",
    "tensorboard_log",
    "track",
    "trial_id",
    "uuid",
    "verbose",
    "wandb_entity",
    "wandb_group",
    "wandb_project_name",
    "wandb_tags",
)
_SYSTEM_INFO = re.compile(r"^- (?P<name>[^:]+): (?P<value>.+)$", re.MULTILINE)
_NAMES_OF_SB3 = {
    "Python": "python",
    "Stable-Baselines3": "stable_baselines3",
    "PyTorch": "torch",
    "Numpy": "numpy",
    "Gymnasium": "gymnasium",
    "OpenAI Gym": "gym",
}
"""What SB3 notes in a model of the system that saved it."""


@dataclass(frozen=True)
class Difference:
    """
    :param what: of two environments or outcomes
    :param recorded: as the run has it
    :param here: as it is here
    """

    what: str
    recorded: str
    here: str

    def __str__(self) -> str:
        return f"{self.what}: {self.recorded} in the run, {self.here} here"


@dataclass(frozen=True)
class Recipe:
    """
    What repeats a run.

    :param run: the run
    :param words: the arguments of the command ``train``
    :param differences: of this environment from the one in which the run was made
    :param remarks: what else may make another outcome
    """

    run: ListedRun
    words: tuple[str, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]

    @property
    def command(self) -> str:
        """For a shell."""
        return f"python -m rl_experiments.train {shlex.join(self.words)}"


@dataclass(frozen=True)
class Repetition:
    """
    :param run: the folder of the new run
    :param differences: of its outcome from the recorded one; none where they are the same, bit for bit
    :param compared: what was compared, in words
    """

    run: Path
    differences: tuple[Difference, ...]
    compared: tuple[str, ...]


def recipe_for(folder: str, log_folder: str) -> Recipe:
    """
    :param folder: of a run, ours or the zoo's
    :param log_folder: where the repetition goes
    :raises RLExperimentsError: if it is no run, or does not say what it was
    """
    listed = runs_below(folder)
    if len(listed) > 1:
        raise ConfigurationError(f"{folder} holds {len(listed)} runs: give one, such as {listed[0].path}")
    run = Run(Path(listed[0].path), listed[0].algorithm, listed[0].environment_name)
    record = read_record(run.path)
    configuration = run.config_folder / "config.yml"
    if not configuration.is_file():
        raise NotFoundError(f"{run.path} has no {configuration.relative_to(run.path)}, which says what it was")
    seed = record.get("seed", run.arguments.get("seed"))
    if not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"{run.path} does not say its seed: it cannot be repeated")
    words = ["--algo", run.algorithm, "--env", run.env_id, "--seed", str(seed), "--conf-file", str(configuration)]
    steps = record.get("n_timesteps") or _steps(run)
    words += ["--n-timesteps", str(steps)] if steps else []
    words += ["--num-threads", str(record.get("threads", {}).get("count") or 1), "--log-folder", log_folder]
    return Recipe(
        listed[0], (*words, *_further_words(run)), tuple(_differences(run, record)), tuple(_remarks(run, record))
    )


def _steps(run: Run) -> int | None:
    given = run.arguments.get("n_timesteps")
    steps = given if isinstance(given, (int, float)) and given > 0 else run.hyperparameters.get("n_timesteps")
    return int(float(steps)) if steps else None


def _further_words(run: Run) -> list[str]:
    """:return: what the arguments of the run say beside that"""
    names = [declared.name for declared in options_of(Experiment) if declared.name not in (*_SET_ANEW, *_NOT_REPEATED)]
    given = {name: run.arguments[name] for name in names if run.arguments.get(name) is not None}
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    experiment = Experiment(**fields)
    return [word for name in given for word in words_for(name, getattr(experiment, name))]


def _differences(run: Run, record: Mapping[str, Any]) -> list[Difference]:
    recorded = record.get("versions") or _versions_in_model(run)
    here = versions()
    names = [name for name in recorded if name != "rl_zoo3" or record]
    found = [
        Difference(name, str(recorded[name]), here.get(name, "not installed"))
        for name in names
        if str(recorded[name]) != here.get(name)
    ]
    hardware = record.get("hardware", {})
    for what, now in (("system", platform.platform()), ("processor", processor_name())):
        if hardware.get(what) and hardware[what] != now:
            found.append(Difference(what, str(hardware[what]), now))
    commit = git_commit(Path.cwd())
    if record.get("git_commit") and record["git_commit"] != commit:
        found.append(Difference("git commit", str(record["git_commit"]), str(commit)))
    return found


def _versions_in_model(run: Run) -> dict[str, str]:
    try:
        with zipfile.ZipFile(run.final_model) as archive:
            text = archive.read("system_info.txt")[:10_000].decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return {}
    found = {match["name"].strip(): match["value"].strip() for match in _SYSTEM_INFO.finditer(text)}
    return {ours: found[theirs] for theirs, ours in _NAMES_OF_SB3.items() if theirs in found}


def _remarks(run: Run, record: Mapping[str, Any]) -> list[str]:
    found = []
    if not record.get("versions") and not _versions_in_model(run):
        found.append("It does not say with which versions it was made")
    if not record:
        found.append("It is a run of the zoo, whose random numbers are drawn in another order than ours")
    for resumed in record.get("resumed", []):
        if isinstance(resumed, Mapping):
            found.append(f"It was stopped and went on at {resumed.get('steps')} steps; the repetition does not stop")
    if record.get("status") not in (None, "finished"):
        found.append(f"It is not finished but {record['status']}, after {record.get('steps')} steps")
    trained_agent = run.arguments.get("trained_agent")
    if trained_agent and not Path(str(trained_agent)).is_file():
        found.append(f"It went on from {trained_agent}, which is not here")
    return found


def repeat(recipe: Recipe, log_folder: str) -> Repetition:
    """
    Run the command, and compare.

    :param log_folder: as the recipe has it
    :raises TrainingError: if the command fails
    """
    process = subprocess.Popen([sys.executable, "-m", "rl_experiments.train", *recipe.words], stdin=subprocess.DEVNULL)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # it has heard it too, and saves
        process.wait()
        raise
    run = find_run_of(Path(log_folder) / recipe.run.algorithm, process.pid)
    if code != 0 or run is None:
        raise TrainingError(f"The repetition ended with exit code {code}")
    return compare(Path(recipe.run.path), run, recipe.run.environment_name)


def compare(recorded: Path, repeated: Path, environment_name: str) -> Repetition:
    """:return: how the outcome of one run is that of another"""
    records = read_record(recorded), read_record(repeated)
    differences: list[Difference] = []
    compared: list[str] = []
    for key in ("steps", "last_mean_reward", "best_mean_reward"):
        if key in records[0]:
            compared.append(key)
            if records[0][key] != records[1].get(key):
                differences.append(Difference(key, str(records[0][key]), str(records[1].get(key))))
    _compare_evaluations(recorded, repeated, differences, compared)
    _compare_weights(recorded / f"{environment_name}.zip", repeated / f"{environment_name}.zip", differences, compared)
    if not compared:
        raise ConfigurationError(f"{recorded} has neither an evaluation nor a model to compare with")
    return Repetition(repeated, tuple(differences), tuple(compared))


def _compare_evaluations(first: Path, second: Path, differences: list[Difference], compared: list[str]) -> None:
    try:
        (steps, results), (other_steps, others) = (read_evaluations(run / "evaluations.npz") for run in (first, second))
    except RLExperimentsError as error:
        differences.append(Difference("evaluations", "-", str(error)))
        return
    if not len(steps):
        return
    compared.append(f"the returns of {len(steps)} evaluations")
    n = min(len(steps), len(other_steps))
    if len(steps) != len(other_steps) or results.shape[1] != others.shape[1] or (steps[:n] != other_steps[:n]).any():
        differences.append(Difference("evaluations", _shape(steps, results), _shape(other_steps, others)))
        return
    different = np.flatnonzero((results != others).any(axis=1))
    if len(different):
        at = different[0]
        what = f"mean return at {steps[at]:,.0f} steps, the first of {len(different)} that differ"
        differences.append(Difference(what, f"{results[at].mean():.4f}", f"{others[at].mean():.4f}"))


def _shape(steps: np.ndarray, results: np.ndarray) -> str:
    last = f" up to {steps[-1]:,.0f} steps" if len(steps) else ""
    return f"{len(steps)} of {results.shape[1]} episodes{last}"


def _compare_weights(first: Path, second: Path, differences: list[Difference], compared: list[str]) -> None:
    """The bytes of each tensor file, which torch writes the same for the same numbers."""
    try:
        contents = [_tensors(file) for file in (first, second)]
    except (OSError, KeyError, zipfile.BadZipFile):
        return
    if not contents[0]:
        return
    compared.append("the weights")
    if contents[0] != contents[1]:
        differences.append(Difference("weights", "others", "others"))


def _tensors(file: Path) -> dict[str, int]:
    """:return: checksums of the numbers in ``policy.pth``"""
    with zipfile.ZipFile(file) as archive:
        policy = archive.read("policy.pth")
    with zipfile.ZipFile(io.BytesIO(policy)) as archive:
        entries = [entry for entry in archive.infolist() if "/data/" in entry.filename]
        return {entry.filename.partition("/")[2]: entry.CRC for entry in entries}
