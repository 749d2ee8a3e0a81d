"""What is published of a table: the files, tags and card of the Deep RL Course (unit 2), and pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.tabular.course import FILE, CourseModel, leaderboard_name
from rl_experiments.algorithms.tabular.table import Table, TableAgent
from rl_experiments.core.files import sha256_of, write_bytes
from rl_experiments.envs import make_one
from rl_experiments.envs.registry import find_spec
from rl_experiments.envs.wrappers import NumberedSpaces, part_sizes
from rl_experiments.hub.bundle import Bundle
from rl_experiments.hub.contents import Contents, copy_file, model_index
from rl_experiments.hub.manifest import fingerprint
from rl_experiments.hub.scrubbing import published_env_kwargs, published_hyperparameters
from rl_experiments.reporting.q_tables import draw_table

PICTURE = "q_table.png"


@dataclass(frozen=True)
class TableContents(Contents):
    """
    What is published of a run with a table.

    :param n_eval_episodes: episodes that it is scored in; if None, as it was trained
    """

    n_eval_episodes: int | None = None
    fps: ClassVar[float | None] = 1.0
    """The course's videos show one step a second."""
    template: ClassVar[str] = "table_card.md.jinja"

    @property
    def model_file(self) -> str:
        """The file that readers load."""
        return FILE

    @property
    def table(self) -> Table:
        """The table that is published."""
        assert isinstance(self.agent.agent, TableAgent)
        return self.agent.agent.table

    @property
    def course_name(self) -> str:
        """The environment as the course's leaderboard lists it."""
        return leaderboard_name(self.agent.recipe.env_id, self._all_kwargs)

    @property
    def _all_kwargs(self) -> dict[str, Any]:
        recipe = self.agent.recipe
        registered = find_spec(recipe.env_id, recipe.gym_packages).kwargs
        return {**registered, **published_env_kwargs(self.agent.run)}

    def result_facts(self) -> dict[str, Any]:
        """:return: what the course's results say beside the score"""
        return {"env_id": self.agent.recipe.env_id}

    def front_matter(self, bundle: Bundle, score: str | None) -> dict[str, Any]:
        """:return: the course's metadata; its leaderboard looks agents up by the first tag"""
        name = self.course_name
        metadata: dict[str, Any] = {"tags": [name, "q-learning", "reinforcement-learning", "custom-implementation"]}
        if score is not None:
            metadata["model-index"] = model_index(bundle.name, name, score)
        return metadata

    def card_values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """:return: what its card says beside that of other algorithms"""
        best, optimal, expected = (record.get(key) for key in ("optimal_score", "optimal_return", "expected_return"))
        env_id = self.agent.recipe.env_id.rpartition(":")[2]
        kwargs = {key: value for key, value in self._all_kwargs.items() if value is not None}
        return {
            "best_score": f"{best[0]:.2f} +/- {best[1]:.2f}" if isinstance(best, list) and len(best) == 2 else None,
            "expected_return": expected if isinstance(expected, float) else None,
            "optimal_return": optimal if isinstance(optimal, float) else None,
            "course_name": self.course_name,
            "runs_as": None if self.course_name.startswith(env_id) else env_id,
            "make": ", ".join(['model["env_id"]', *(f"{key}={value!r}" for key, value in kwargs.items())]),
            "picture": PICTURE,
            "numbered": self._needs_numbering(),
            "fixed_seeds": len(self.agent.evaluation_seeds),
            "variant": self.table.facts.get("variant", "q_learning"),
            "episodes": record.get("episodes"),
        }

    def model(self) -> CourseModel:
        """:return: the table as the course has it, with one axis for each part of an observation"""
        hyperparameters = dict(published_hyperparameters(self.agent.run))
        hyperparameters.setdefault("n_episodes", self.table.facts.get("episode"))
        for name, value in vars(get_algorithm(self.agent.algorithm).load_class()()).items():
            hyperparameters.setdefault(name, list(value) if isinstance(value, tuple) else value)
        hyperparameters["n_eval_episodes"] = self._episodes_of_the_course()
        q = np.ascontiguousarray(self.table.q)
        return CourseModel(
            self.agent.recipe.env_id.rpartition(":")[2],
            self._all_kwargs,
            hyperparameters,
            q.reshape(*self._sizes(), q.shape[1]),
        )

    def _episodes_of_the_course(self) -> int:
        """:return: in how many episodes the course's code finds our score; it needs a seed for each, or none at all"""
        count, seeds = self.n_eval_episodes or self.agent.n_evaluation_episodes, self.agent.evaluation_seeds
        return min(count, len(seeds)) if seeds else count

    def _sizes(self) -> list[int]:
        numbered = self._numbered()
        return [self.table.n_observations] if numbered is None else part_sizes(numbered.env.observation_space)[0]

    def _needs_numbering(self) -> bool:
        """:return: whether the course's code looks up wrong rows by the environment's own observations or actions"""
        with contextlib.suppress(Exception):  # an environment that fails costs this sentence, and no card
            numbered = self._numbered()
            if numbered is not None:
                space, actions = numbered.env.observation_space, numbered.env.action_space
                parts = space.spaces if isinstance(space, spaces.Tuple) else (space, actions)
                plain = all(isinstance(part, spaces.Discrete) for part in parts)
                return not plain or any(part_sizes(space)[1]) or int(actions.start) != 0  # type: ignore[attr-defined]
        return False

    def _numbered(self) -> NumberedSpaces | None:
        """:return: the wrapper that numbers observations, already closed; None where there is none"""
        env: gym.Env = make_one(self.agent.recipe.without_kwargs("render_mode"), checked=False)
        env.close()
        while isinstance(env, gym.Wrapper):
            if isinstance(env, NumberedSpaces):
                return env
            env = env.env
        return None

    def copies(self) -> dict[str, Path]:
        """:return: the checkpoints; the table itself is not copied, but written as the course has it"""
        files = super().copies()
        del files[f"{self.name}.zip"]
        return files

    def key(self) -> str:
        """:return: a fingerprint of everything that is written"""
        return fingerprint(super().key(), sha256_of(self.agent.saved.path), self._episodes_of_the_course())

    def _write(self, folder: Path) -> Iterator[Path]:
        for name, source in self.copies().items():
            yield copy_file(source, folder / name)
        write_bytes(folder / FILE, self.model().pickled())
        yield folder / FILE
        yield from self._write_texts(folder)
        if draw_table(self.table, self.agent.recipe, folder / PICTURE):
            yield folder / PICTURE
