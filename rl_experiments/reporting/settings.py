"""What a benchmark is made of; importing this module imports neither torch nor an environment."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import check_settings, option, thread_count

DEFAULT_STEPS = 150_000


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """
    Agents to play, and for how long. The fields are the flags of ``rl_experiments.benchmark``.
    """

    log_dir: str = option("rl-trained-agents/", "Folder of all agents; of each environment the latest run is played.")
    benchmark_dir: str = option(
        "logs/benchmark/", "Folder for the table, and for a result, episode log and output of each agent."
    )
    n_timesteps: int | None = option(
        None,
        f"Steps that each agent acts (default: {DEFAULT_STEPS}, or no limit with --n-episodes).",
        flags=("-n",),
        parse=int,
    )
    n_envs: int = option(
        1, "Environments at once; off-policy agents act in one, for so many times the steps, as in the zoo."
    )
    verbose: int = option(1, "0 is quiet, 1 prints results.")
    seed: int = option(0, "Seed of the first environment and of sampled actions.")
    test_mode: bool = option(False, "Play only one agent.")
    with_mujoco: bool = option(False, "Accepted for the zoo's sake: MuJoCo agents are always played.")
    no_hub: bool = option(False, "Accepted for the zoo's sake: only agents in the folder are played.")
    num_threads: int = option(
        1, "Torch's number of threads for each agent; 1 if below 1. The cores go to agents first.", parse=thread_count
    )
    n_episodes: int | None = option(None, "Episodes of each agent, in place of a number of steps.", parse=int)
    jobs: int | None = option(
        None, "Agents at once (default: one for each core, or for --num-threads cores).", parse=int
    )
    timeout: float = option(
        3600.0, "Seconds after which an agent is given up; one that makes no step for 10 minutes is so too."
    )
    published: str | None = option(
        None, "A table (Markdown, CSV or JSON) of published scores to compare with.", parse=str
    )
    gym_packages: tuple[str, ...] = option((), "Packages to import, that register environments.", many=True)
    trust: bool = option(False, "Load objects that can only be read by running code from the runs' files.")

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("n_timesteps", "n_episodes", "n_envs", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"--{name.replace('_', '-')} must be at least 1, but got {value}")
        if not 0 <= self.seed < 2**32:
            raise ConfigurationError(f"--seed must be from 0 to 2**32 - 1, but got {self.seed}")
        if not self.timeout > 0:
            raise ConfigurationError(f"--timeout must be above 0, but got {self.timeout:g}")

    @property
    def steps(self) -> int | None:
        """Steps that each agent acts, None for no limit."""
        return DEFAULT_STEPS if self.n_timesteps is None and self.n_episodes is None else self.n_timesteps

    def what_counts(self) -> dict[str, object]:
        """:return: the settings that make another result of the same agent"""
        return {"n_timesteps": self.steps, "n_episodes": self.n_episodes, "n_envs": self.n_envs, "seed": self.seed}


FLAGS_OF_OURS = tuple(
    f"--{field.name.replace('_', '-')}"
    for field in fields(Benchmark)
    if field.name in ("n_episodes", "jobs", "timeout", "published", "gym_packages", "trust")
)
"""Flags that the zoo's benchmark has not."""
