"""What an experiment is made of; importing this module imports neither torch nor an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rl_experiments.algorithms.registry import BACKENDS, SB3, algorithm_names
from rl_experiments.config.sources import by_name
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import check_settings, option, parse_bool, thread_count

if TYPE_CHECKING:
    from rl_experiments.training.run_files import TrainingResult

WANDB, MLFLOW, TRACKIO = TRACKERS = ("wandb", "mlflow", "trackio")
Trial = tuple[str, Mapping[str, Any]]
"""Where the hyperparameters of a tuned trial come from, and what they are."""


def parse_threads(text: str) -> int | str:
    """:return: a number of threads, or ``auto``; like the zoo's -1, every number below 1 means ``auto``"""
    if text.lower() == "auto":
        return "auto"
    number = thread_count(text)
    return number if number > 0 else "auto"


def _tracker(given: str | bool) -> str | bool:
    """As in the zoo, true alone is Weights & Biases."""
    try:
        return WANDB if given is True else parse_tracker(str(given))
    except ValueError as error:
        raise ConfigurationError(f"track: {error}") from None


def parse_tracker(text: str) -> str | bool:
    """:return: the name of a tracker; False for none"""
    name = text.lower()
    if name not in (*TRACKERS, "false"):
        raise ValueError(f"expected {', '.join(TRACKERS)}, but got '{text}'")
    return name if name in TRACKERS else False


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """
    One training: hyperparameters, environment, seed and budget. The fields are the flags of ``rl_experiments.train``.

    Example::

        result = Experiment(algo="ppo", env="CartPole-v1", n_timesteps=20_000).run()
    """

    algo: str = option("ppo", "The algorithm.", choices=tuple(algorithm_names()))
    backend: str = option(
        SB3,
        "What trains ppo, dqn, sac, td3, ddpg, tqc and crossq: sb3 (PyTorch), or sbx (JAX, extra sbx).",
        choices=BACKENDS,
    )
    env: str = option("CartPole-v1", "The environment's id.")
    tensorboard_log: str = option("", "Folder for TensorBoard logs; none if empty.", flags=("-tb",))
    trained_agent: str = option("", "A model (.zip) to go on from, in a new run.", flags=("-i",))
    truncate_last_trajectory: bool = option(
        True, "With hindsight replay, cut the last trajectory off when a replay buffer is loaded.", parse=parse_bool
    )
    n_timesteps: int = option(
        -1, "Environment steps to train for, in place of the hyperparameters' n_timesteps.", flags=("-n",)
    )
    num_threads: int | str = option(
        "auto",
        "Torch's number of threads; auto measures on the real network, and a repeated experiment keeps its count.",
        parse=parse_threads,
    )
    log_interval: int = option(
        -1, "Log every so many episodes or rollouts; -1 is the algorithm's default, below -1 is never."
    )
    eval_freq: int = option(25_000, "Evaluate every so many steps; never if negative.")
    optimization_log_path: str | None = option(
        None, "Folder for evaluations and the best model of each trial of -optimize.", parse=str
    )
    eval_episodes: int = option(5, "Episodes of one evaluation.")
    n_eval_envs: int = option(1, "Environments of an evaluation.")
    eval_in_background: str = option(
        "auto",
        "Play evaluations beside the training: where a core is free (auto), wherever the results stay the same (on).",
        choices=("auto", "on", "off"),
    )
    save_freq: int = option(
        -1, "Keep a model every so many steps, and write the checkpoints for --resume then; every 50,000 if negative."
    )
    save_every: float | None = option(None, "Write a checkpoint for --resume every so many minutes too.", parse=float)
    save_replay_buffer: bool = option(False, "Save the replay buffer too, where there is one.")
    keep_last: int | None = option(None, "Keep only so many of the run's last checkpoints; all by default.", parse=int)
    video_freq: int = option(-1, "Record a video of an evaluation episode every so many steps; never if negative.")
    keep_videos: int | None = option(
        None, "Keep only so many of the run's last videos of --video-freq; all by default.", parse=int
    )
    stop_at_reward: float | None = option(None, "End when the mean return of an evaluation reaches this.", parse=float)
    patience: int | None = option(None, "End after so many evaluations in a row without a better one.", parse=int)
    max_time: float | None = option(None, "End after so many minutes of training.", parse=float)
    log_folder: str = option("logs", "Folder of all runs.", flags=("-f",))
    seed: int = option(-1, "Seed of everything random; drawn if negative.")
    vec_env: str = option(
        "auto",
        "What steps the environments: the fastest with the bits of SB3's (auto), SB3 itself in this process (dummy),"
        " or one process each (subproc); with other random numbers, native code of ALE and Gymnasium (native), or"
        " EnvPool (envpool).",
        choices=("auto", "native", "dummy", "subproc", "envpool"),
    )
    device: str = option("auto", "Where torch computes: auto, cpu, cuda, ...")
    precision: str = option(
        "float32",
        "Of convolutions: float32, or bfloat16, which is faster and changes the numbers.",
        choices=("float32", "bfloat16"),
    )
    verbose: int = option(1, "0 is quiet, 1 prints the log, 2 prints more.")
    gym_packages: tuple[str, ...] = option(tuple, "Packages to import, that register environments.", many=True)
    env_kwargs: Mapping[str, Any] | None = option(None, "Arguments of the environment's constructor.", pairs=True)
    eval_env_kwargs: Mapping[str, Any] | None = option(None, "The same for evaluation, where they differ.", pairs=True)
    hyperparams: Mapping[str, Any] | None = option(
        None, "Hyperparameters that replace those of the file.", flags=("-params",), pairs=True
    )
    conf_file: str | None = option(
        None,
        "Hyperparameters: a .yml file (FILE#BLOCK: a block), a .py file, or a module with a dictionary 'hyperparams'.",
        flags=("-conf",),
        parse=str,
    )
    uuid: bool = option(False, "Append a unique id to the run's folder.", flags=("-uuid",))
    storage: str | None = option(None, "Optuna storage with the study of --trial-id or -optimize.", parse=str)
    study_name: str | None = option(None, "The study's name in the storage.", parse=str)
    trial_id: int | None = option(
        None, "Number of a tuned trial in the storage whose hyperparameters to use; 0 is the first.", parse=int
    )
    from_study: str | None = option(
        None,
        "STORAGE[#TRIAL]: train a tuned trial (a number, or best, which is the default) as its study trained it.",
        parse=str,
    )
    track: str | bool = option(
        False,
        "Follow the run with wandb (Weights & Biases, also without a name), mlflow or trackio.",
        parse=parse_tracker,
        bare=WANDB,
    )
    wandb_project_name: str = option("sb3", "Project at the tracker.")
    wandb_entity: str | None = option(None, "Team at Weights & Biases.", parse=str)
    wandb_group: str | None = option(None, "Group at the tracker.", parse=str)
    wandb_tags: tuple[str, ...] = option(tuple, "Tags at the tracker.", flags=("-tags",), many=True)
    trust: bool = option(False, "With -i, load objects that can only be read by running code from their files.")
    progress: bool = option(False, "Show a progress bar.", flags=("-P",))

    def __post_init__(self) -> None:
        """
        :raises ConfigurationError: if a field is of another type than it says
        """
        check_settings(self)
        object.__setattr__(self, "track", _tracker(self.track))
        object.__setattr__(self, "hyperparams", by_name(self.hyperparams))

    def run(self, trial: Trial | None = None) -> TrainingResult:
        """
        Check the configuration, train, and save.

        :param trial: (origin, values) of a tuned trial, as :func:`rl_experiments.tuning.loading.trial_of` returns them
        :return: the run, the model and how it ended
        :raises RLExperimentsError: if something is wrong with the configuration; nothing is left on disk then
        """
        from rl_experiments.training.experiment import run_experiment

        return run_experiment(self, trial)

    def describe(self, trial: Trial | None = None) -> str:
        """
        Check the configuration without training.

        :param trial: as for :meth:`run`
        :return: the resolved configuration with the origin of each value, as ``train --dry-run`` prints it
        """
        from rl_experiments.training.preparation import prepare, report

        return report(prepare(self, trial))

    def as_arguments(self) -> dict[str, Any]:
        """:return: the fields as the zoo stores command-line arguments in ``args.yml``"""
        return {declared.name: getattr(self, declared.name) for declared in fields(self)}
