"""The doctor: what it finds, what it names as broken, and what it advises because of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rl_experiments.core import processes
from rl_experiments.reporting.doctor import machine, packages
from rl_experiments.reporting.doctor.advice import advise
from rl_experiments.reporting.doctor.findings import BROKEN, GOOD, MISSING, NOTE, Finding
from tests.conftest import ROOT
from tests.helpers.commands import run_module


def _sections(**changed: Finding) -> dict[str, list[Finding]]:
    found = {
        "cores": Finding("cores", "", data={"allowed": 2, "quota": None}),
        "load now": Finding("load now", "", data={"free": 2}),
        "memory": Finding("memory", "", data={"free": 2**36}),
        "cache folder": Finding("cache folder", ""),
        "caches": Finding("caches", ""),
        "torch": Finding("torch", "", data={"gpus": [], "gpu": False}),
        **{finding.name: finding for finding in changed.values()},
    }
    return {"all": list(found.values())}


def test_what_is_damaged_is_named_with_its_cure_and_costs_nothing_else(tmp_path: Path) -> None:
    for name in ("torch", "numpy"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text(f"raise ImportError('{name} is damaged')\n")
    (tmp_path / "file").write_text("")
    result = run_module(
        "rl_experiments",
        "doctor",
        "--json",
        "-f",
        "file",
        cwd=tmp_path,
        PYTHONPATH=f"{tmp_path / 'broken'}:{ROOT}",
        OMP_NUM_THREADS="many",
        HF_TOKEN="hf_secret",
        RL_EXPERIMENTS_CACHE=str(tmp_path / "file"),
    )
    assert result.code == 0, result.err
    assert "hf_secret" not in result.out
    found = {
        one["name"]: one for title, all_of in json.loads(result.out).items() if title != "advice" for one in all_of
    }
    assert "torch is damaged" in found["torch"]["text"]
    broken = {name for name, one in found.items() if one["state"] == BROKEN}
    assert {"torch", "numpy", "video", "log folder", "cache folder", "OMP_NUM_THREADS"} <= broken
    assert all(found[name]["cure"] for name in broken)
    assert found["video"]["cure"] == "mend numpy first"
    assert found["token"]["state"] == GOOD


def test_a_quota_of_the_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert processes.cpu_quota() is None
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert (processes.cpu_quota(), processes.available_cores()) == (0.5, 1)
    cores = machine._cores()
    assert (cores.state, cores.data["quota"]) == (NOTE, 0.5)
    assert "--cpus" in next(advise(_sections(cores=cores))).text
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert processes.cpu_quota() == 1.5


def test_advice_follows_from_what_was_found() -> None:
    texts = [one.text for one in advise(_sections())]
    assert not any("CUDA" in text or "OMP" in text or "numba" in text for text in texts)
    no_cuda = Finding("torch", "", NOTE, "pip install torch with CUDA", {"gpus": [], "gpu": True})
    threads = Finding("OMP_NUM_THREADS", "64", BROKEN, "unset OMP_NUM_THREADS", {})
    tabular = Finding("extra tabular", "", MISSING, "pip install tabular", {"missing": ["numba"]})
    full = Finding("load now", "", NOTE, "", {"free": 0})
    given = [one.text for one in advise(_sections(a=no_cuda, b=threads, c=tabular, d=full))]
    assert {no_cuda.cure, threads.cure, tabular.cure} <= set(given)
    assert "keep 2 cores busy" in next(advise(_sections(d=full))).because


def test_the_tested_versions_travel_with_the_package() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(packages.known_versions()) == sum("==" in line for line in lines)
    assert packages.known_versions()["torch"] in (ROOT / "constraints.txt").read_text()


def test_two_projects_that_own_one_import_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.installed
    monkeypatch.setattr(packages, "installed", lambda name: "1" if name in packages._CLOBBERS else real(name))
    found = {one.name: one for one in packages.look_at_packages()}
    assert found["huggingface_sb3"].state == BROKEN
    assert "uninstall -y huggingface_sb3" in found["huggingface_sb3"].cure
