"""What would make training faster here: each advice follows from what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from rl_experiments.core.processes import available_cores
from rl_experiments.reporting.doctor.findings import BROKEN, NOTE, Finding

_A_RUN = 1 << 30
"""Bytes that a small training takes, with room to spare."""


@dataclass(frozen=True)
class Advice:
    """
    :param text: what to do
    :param because: what it follows from
    """

    text: str
    because: str

    def as_dict(self) -> dict[str, str]:
        """:return: ready for JSON"""
        return asdict(self)


def advise(sections: Mapping[str, Sequence[Finding]]) -> Iterator[Advice]:
    """:return: the advice, what gains most first"""
    found = {finding.name: finding for findings in sections.values() for finding in findings}
    yield from _limits(found)
    yield from _devices(found)
    yield from _many_at_once(found)
    yield from _backends(found)


def _limits(found: Mapping[str, Finding]) -> Iterator[Advice]:
    cores = found["cores"]
    if cores.state == NOTE:
        yield Advice(cores.cure, f"this container may use {cores.data['quota']:g} of a core")
    load = found["load now"].data
    busy = cores.data["allowed"] - load["free"]
    if busy > 0:
        what = "core" if busy == 1 else "cores"
        yield Advice(
            "End other work, or leave --num-threads at auto, which counts free cores",
            f"other processes keep {busy} {what} busy now",
        )
    memory = found["memory"].data
    if memory.get("swapped") and found["memory"].state == NOTE:
        yield Advice("End what needs memory, or take a smaller buffer_size", "this machine swaps")
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        if name in found and found[name].cure:
            yield Advice(found[name].cure, f"{name} is {found[name].text}")
    if found["cache folder"].state == BROKEN or found["caches"].state == BROKEN:
        broken = next(found[name] for name in ("cache folder", "caches") if found[name].state == BROKEN)
        yield Advice(broken.cure, "nothing is remembered: threads are measured, and JAX compiles, each time")


def _devices(found: Mapping[str, Finding]) -> Iterator[Advice]:
    torch = found["torch"].data
    if torch.get("gpu") and "gpus" in torch and not torch["gpus"]:
        yield Advice(found["torch"].cure, "there is an NVIDIA GPU, and this torch does not use it")
    if torch.get("gpus"):
        yield Advice(
            "--device cuda for networks of pictures and large batches; small networks are faster with --device cpu",
            f"torch can use {', '.join(torch['gpus'])}",
        )
    jax = found.get("jax")
    if jax is not None and jax.state == NOTE:
        yield Advice(jax.cure, "there is a GPU, and JAX computes on the CPU")


def _many_at_once(found: Mapping[str, Finding]) -> Iterator[Advice]:
    cores, free = available_cores(), found["memory"].data.get("free")
    count = cores if free is None else max(1, min(cores, int(free // _A_RUN)))
    if cores > 1 and count > 1:
        yield Advice(
            f"Train several seeds at once: train --seeds 0-4 --jobs {count} (auto looks at replay buffers too)",
            f"small networks keep one thread busy, and there are {cores} cores",
        )
    elif cores > 1:
        yield Advice("Free some memory before several seeds are trained at once", f"{cores} cores, memory for one run")


def _backends(found: Mapping[str, Finding]) -> Iterator[Advice]:
    gpus = found["torch"].data.get("gpus")
    sbx = found.get("extra sbx")
    if sbx is not None and not gpus:
        install = f"{sbx.cure}, then " if sbx.data["missing"] else ""
        yield Advice(
            f"{install}--backend sbx for sac, td3 and tqc",
            "on a CPU, JAX takes half of SB3's processor time for a step of sac and td3, a third for tqc, after 10 s of"
            " compiling",
        )
    bfloat16 = found["torch"].data.get("bfloat16")
    if bfloat16:
        yield Advice(
            "--precision bfloat16 for learning from pictures (it changes the numbers: docs/guides/speed.md)",
            f"this processor has {' and '.join(bfloat16)}",
        )
    tabular = found.get("extra tabular")
    if tabular is not None and tabular.data["missing"]:
        yield Advice(tabular.cure, "q_learning compiles its loop with numba, and is some hundred times faster")
