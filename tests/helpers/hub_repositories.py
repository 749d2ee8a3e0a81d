"""Repositories as different tools push them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.hub_server import HubServer
from tests.helpers.hub_storage import LFS_SUFFIXES, Repository, StoredFile

COURSE_CARD = """---
library_name: stable-baselines3
tags:
- {env}
- deep-reinforcement-learning
- reinforcement-learning
- stable-baselines3
model-index:
- name: {name}
  results:
  - task:
      type: reinforcement-learning
      name: reinforcement-learning
    dataset:
      name: {env}
      type: {env}
    metrics:
    - type: mean_reward
      value: 200.00 +/- 10.00
      name: mean_reward
      verified: false
---
# **{name}** Agent playing **{env}**
"""


def add_repository(hub: HubServer, repo_id: str, files: Mapping[str, bytes]) -> Repository:
    """Make a repository that holds these files; the Hub would keep some of them as large ones."""
    found = hub.add_repo(repo_id)
    stored = {name: StoredFile(content, lfs=name.rpartition(".")[2] in LFS_SUFFIXES) for name, content in files.items()}
    found.add_commit("main", stored, "ann", "upload")
    return found


def course_files(model: Path, stem: str, env: str, name: str) -> dict[str, bytes]:
    """
    :param model: an SB3 zip
    :param stem: how the author called it
    :return: what ``package_to_hub`` of the Deep RL Course pushes
    """
    with zipfile.ZipFile(model) as archive:
        unzipped = {f"{stem}/{member}": archive.read(member) for member in archive.namelist()}
    return {
        ".gitattributes": b"*.zip filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": COURSE_CARD.format(env=env, name=name).encode(),
        "config.json": unzipped[f"{stem}/data"],
        "results.json": json.dumps({"mean_reward": 200.0, "std_reward": 10.0, "n_eval_episodes": 10}).encode(),
        "replay.mp4": b"\0" * 100,
        f"{stem}.zip": model.read_bytes(),
        **unzipped,
    }


def zoo_files(run_folder: Path, algo: str, env: str) -> dict[str, bytes]:
    """
    :param run_folder: what the zoo's ``train`` left
    :return: what the zoo's ``push_to_hub`` pushes of it
    """
    name, configuration = f"{algo}-{env}", run_folder / env
    metrics = run_folder / "metrics.zip"
    with zipfile.ZipFile(metrics, "w") as archive:
        for file in [*run_folder.glob("evaluations.npz"), *run_folder.glob("*.csv")]:
            archive.write(file, file.name)
    files = course_files(run_folder / f"{env}.zip", name, env, algo.upper())
    files.pop("config.json")
    files.update({file: (configuration / file).read_bytes() for file in ("args.yml", "config.yml")})
    files["env_kwargs.yml"] = b"{}\n"
    files["train_eval_metrics.zip"] = metrics.read_bytes()
    metrics.unlink()
    if (configuration / "vecnormalize.pkl").is_file():
        files["vec_normalize.pkl"] = (configuration / "vecnormalize.pkl").read_bytes()
    return files
