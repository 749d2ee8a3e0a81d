"""How many trials of a study an hour has room for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from .common import BenchmarkError, Headline, Plan, Row, say
from .processes import await_quiet, child_environment, run_child


@dataclass(frozen=True)
class TuningSide:
    """One way to make the trials of a study."""

    module: str
    n_jobs: int


_TUNERS = {
    "two at once": TuningSide("rl_experiments.train", 2),
    "one at a time": TuningSide("rl_experiments.train", 1),
    "the zoo's --n-jobs 2": TuningSide("rl_zoo3.train", 2),
}
_SAMPLED = {
    "n_steps_pow": 7,
    "batch_size_pow": 7,
    "one_minus_gamma": 0.01,
    "one_minus_gae_lambda": 0.05,
    "ent_coef": 0.001,
    "clip_range": 0.2,
    "n_epochs": 5,
    "max_grad_norm": 0.5,
    "net_arch": "small",
    "activation_fn": "tanh",
}


def tuning(plan: Plan) -> Iterator[Row]:
    """The same trials of PPO on CartPole-v1, waiting in a study, made in each way in turn."""
    n_trials, steps = (12, 20_000) if plan.seconds >= 5 else (2, 2_000)
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(plan.rounds):
        rounds.append({})
        for name, side in _TUNERS.items():
            say(f"tuning: round {number + 1} of {plan.rounds}, {name}")
            await_quiet(plan.patience)
            rounds[-1][name] = tune(side, n_trials, steps, plan)
    for name, side in _TUNERS.items():
        measured = [one[name] for one in rounds]
        ratios = [one["two at once"]["per_hour"] / one[name]["per_hour"] for one in rounds]
        yield Row(
            f"{n_trials} trials of PPO on CartPole-v1, {steps:,} steps each ({plan.rounds} rounds)",
            {
                "way": name,
                "trials per hour": f"{median(one['per_hour'] for one in measured):,.0f}",
                "two at once, times that": f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                "processor seconds per trial": f"{median(one['cpu'] for one in measured) / n_trials:.2f}",
                "cores kept busy": f"{median(one['cpu'] / one['seconds'] for one in measured):.2f}",
            },
            {"rounds": measured, "ratios": ratios},
            Headline(
                f"tune, trials of {n_trials} in an hour",
                f"{median(one['two at once']['per_hour'] for one in rounds):,.0f}",
                f"{median(one['per_hour'] for one in measured):,.0f}",
                tuple(ratios),
            )
            if side.module.startswith("rl_zoo3")
            else None,
        )


def tune(side: TuningSide, n_trials: int, steps: int, plan: Plan) -> dict[str, float]:
    """:return: how long a process took to the end of its last trial, and what it worked"""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder = plan.new_folder()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    study = optuna.create_study(storage=storage, study_name="study", direction="maximize")
    for number in range(n_trials):
        study.enqueue_trial({**_SAMPLED, "learning_rate": 0.0003 * (1 + number)})
    arguments = [
        *("-m", side.module, "-optimize", "--algo", "ppo", "--env", "CartPole-v1", "-n", str(steps)),
        *("--n-trials", str(n_trials), "--n-jobs", str(side.n_jobs), "--pruner", "none", "--n-evaluations", "2"),
        *("--storage", "study.log", "--study-name", "study", "--num-threads", "1", "--seed", "1"),
        *("--no-optim-plots", "--verbose", "0", "-f", "logs"),
    ]
    before, began = os.times(), time.time()
    done = run_child(arguments, child_environment(plan.new_folder()), folder)
    after = os.times()
    trials = [trial for trial in study.get_trials() if trial.state.name == "COMPLETE" and trial.datetime_complete]
    if len(trials) < n_trials:  # the zoo's process fails later, at its report
        raise BenchmarkError(f"tuning, {side.module}: {len(trials)} of {n_trials} trials: {done.stderr[-500:]}")
    seconds = max(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete) - began
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu": cpu, "per_hour": 3600 * n_trials / seconds}
