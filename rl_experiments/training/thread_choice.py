"""Which number of threads an experiment gets."""

from __future__ import annotations

from pathlib import Path

from rl_experiments.algorithms.registry import SBX
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import numbered_folders
from rl_experiments.core.names import folder_name
from rl_experiments.runs import Run, RunRecord
from rl_experiments.runs.record import processor_name
from rl_experiments.training import threads
from rl_experiments.training.preparation import Prepared
from rl_experiments.training.sbx import threads_of_jax
from rl_experiments.training.settings import Experiment

_RECENT_RUNS = 100


def choose_threads(prepared: Prepared) -> threads.ThreadChoice:
    """
    :return: what the user said, else what this experiment used before, else what was measured for this machine and
        network
    """
    experiment = prepared.experiment
    if prepared.configuration.algorithm.backend == "tabular":
        return threads.ThreadChoice(1, "a table needs no more")
    if prepared.configuration.algorithm.backend == "brax":
        return threads.ThreadChoice(1, "of torch, which is not used: JAX takes the cores that it may")
    if prepared.configuration.algorithm.backend == SBX:
        given = experiment.num_threads != "auto"
        return threads.ThreadChoice(threads_of_jax(experiment), "as given" if given else "of JAX, which gains little")
    if isinstance(experiment.num_threads, int) and experiment.num_threads > 0:
        return threads.ThreadChoice(experiment.num_threads, "as given")
    memory = threads.ThreadMemory()
    identity = prepared.identity
    recorded = memory.recall("experiments", identity) or _recorded_threads(experiment, identity)
    if recorded is not None:
        return threads.ThreadChoice(recorded, "as this experiment used before")
    counts = threads.candidate_counts()
    if len(counts) == 1:
        return threads.ThreadChoice(1, "one core")
    # Beside a busy process, more threads than free cores now and then look faster, and never are for long.
    free = threads.free_cores()
    counts = [count for count in counts if count <= max(free, 1)]
    key = _network_key(prepared, free)
    remembered = memory.recall("networks", key)
    if len(counts) == 1:
        choice = threads.ThreadChoice(1, "other processes use the other cores")
    elif remembered is not None:
        choice = threads.ThreadChoice(remembered, "as measured before for this machine, network and load")
    else:
        measured = _measure_threads(prepared, counts)
        choice = threads.ThreadChoice(threads.choose(measured), "measured", measured)
        memory.remember("networks", key, choice.count)
    memory.remember("experiments", identity, choice.count)
    return choice


def _measure_threads(prepared: Prepared, counts: list[int]) -> dict[int, float]:
    """A scaled-down training with the real network and batch, and the real mixture of acting and learning."""
    from rl_experiments.training.learning import masking
    from rl_experiments.training.rehearsal import smallest_piece
    from rl_experiments.training.resolving import trial_model

    configuration = prepared.configuration
    piece = smallest_piece(configuration)
    model = trial_model(configuration, prepared.synthetic, prepared.experiment.precision, **piece.overrides)
    arguments = masking(configuration, prepared.synthetic)
    return threads.measure(model, counts, piece.steps, piece.epochs, **arguments)


def _network_key(prepared: Prepared, free: int) -> str:
    import torch

    configuration = prepared.configuration
    names = ("policy", "policy_kwargs", "batch_size", "n_steps", "n_epochs", "train_freq", "gradient_steps", "n_envs")
    return threads.fingerprint(
        {
            "processor": processor_name(),
            "cores": threads.available_cores(),
            "free": free,
            "torch": torch.__version__,
            "device": prepared.experiment.device,
            "precision": prepared.experiment.precision,
            "algorithm": configuration.algorithm.name,
            "spaces": [str(prepared.synthetic.observation_space), str(prepared.synthetic.action_space)],
            "hyperparameters": {name: configuration.hyperparameters.get(name) for name in names},
        }
    )


def _recorded_threads(experiment: Experiment, identity: str) -> int | None:
    """The count in ``run.json`` of an earlier run of the same experiment in the same log folder."""
    name = folder_name(experiment.env)
    folders = numbered_folders(Path(experiment.log_folder) / experiment.algo, name)
    for number in sorted(folders, reverse=True)[:_RECENT_RUNS]:
        try:
            content = RunRecord.read(Run(folders[number], experiment.algo, name))
        except ConfigurationError:
            continue
        count = content.get("threads", {}).get("count") if isinstance(content.get("threads"), dict) else None
        if content.get("experiment_id") == identity and isinstance(count, int):
            return count
    return None
