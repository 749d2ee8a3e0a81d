"""What is published of a policy of Brax: its file, the same unpacked, and a replay for browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rl_experiments.hub.bundle import Bundle
from rl_experiments.hub.contents import Contents, copy_file, model_index, unzip
from rl_experiments.hub.publication import Wishes
from rl_experiments.recording.replays import record_page

PAGE = "replay.html"


@dataclass(frozen=True)
class BraxContents(Contents):
    """What is published of a run of Brax's PPO."""

    template: ClassVar[str] = "brax_card.md.jinja"

    @property
    def has_page(self) -> bool:
        """Whether there is a replay for browsers beside the video."""
        return True

    def write_page(self, folder: Path, wishes: Wishes, on_progress: Callable[[int], bool | None]) -> Path:
        """See :meth:`rl_experiments.hub.contents.Contents.write_page`."""
        return record_page(
            self.agent,
            folder / PAGE,
            f"{self.agent.algorithm} in {self.agent.recipe.env_id}",
            n_steps=wishes.video_length,
            seed=wishes.seed,
            deterministic=wishes.deterministic,
            on_progress=on_progress,
        ).path

    def front_matter(self, bundle: Bundle, score: str | None) -> dict[str, Any]:
        """:return: the metadata that the Hub reads"""
        env_id = self.agent.recipe.env_id.rpartition(":")[2]
        tags = [env_id, "deep-reinforcement-learning", "reinforcement-learning", "brax", "jax"]
        metadata: dict[str, Any] = {"library_name": "brax", "tags": tags}
        if score is not None:
            metadata["model-index"] = model_index("BraxPPO", env_id, score)
        return metadata

    def card_values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """:return: what its card says beside that of other algorithms"""
        policy = self.agent.agent.policy  # type: ignore[attr-defined]
        return {
            "environment": dict(policy.environment),
            "fixed_seeds": len(self.agent.evaluation_seeds),
            "page": PAGE,
            "trained_for": record.get("steps"),
        }

    def copies(self) -> dict[str, Path]:
        """:return: the policy, and those of the training's way under the names that are downloaded again"""
        files = {f"{self.name}.zip": self.agent.saved.path}
        run = self.agent.run
        for steps in self.checkpoints():
            files[f"checkpoints/{steps}/{run.checkpoint(steps).name}"] = run.model(steps).path
        return files

    def checkpoints(self) -> list[int]:
        """:return: steps of the policies of the training's way that go along"""
        run = self.agent.run
        return sorted({*run.checkpoints(), *run.resumable()}) if self.all_checkpoints else []

    def _write(self, folder: Path) -> Iterator[Path]:
        for name, source in self.copies().items():
            yield copy_file(source, folder / name)
        yield from unzip(folder / f"{self.name}.zip", folder / self.name)
        yield from self._write_texts(folder)
