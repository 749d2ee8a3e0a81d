"""What a report is made of; importing this module imports neither NumPy nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import check_settings, option
from rl_experiments.core.suggest import hint

FIGURES = ("png", "svg", "pdf")
NUMBERS = ("json", "csv", "md", "tex")
FORMATS = ("html", *FIGURES, *NUMBERS)
FINAL, BEST, MEAN = "final", "best", "mean"
TABLE, RANGE, NONE = "table", "range", "none"
_MOST_RESAMPLES = 100_000


def _formats(text: str) -> str:
    return text.lower().lstrip(".")


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """
    Which runs are shown, and how. The fields are the flags of ``rl_experiments.report``.
    """

    output: str = option("report.html", "The file; its name ends with one of the formats.", flags=("-o",))
    filter: tuple[str, ...] = option(
        (),
        "Only runs that fulfil all conditions, such as algo=ppo,a2c 'env=*NoFrameskip*' 'seed<5' state!=failed, or on "
        "any hyperparameter: gamma=0.99.",
        many=True,
    )
    compare: tuple[str, ...] = option(
        (), "What is compared: algorithms, folders of runs, or conditions such as learning_rate=0.001.", many=True
    )
    format: tuple[str, ...] = option(
        (),
        f"Formats: {', '.join(FORMATS)}; all but html go to a folder beside it (default: as the file's name ends).",
        many=True,
    )
    score: str = option(
        FINAL,
        "What counts of a run: its last evaluation, its best one, or the mean of all.",
        choices=(FINAL, BEST, MEAN),
    )
    max_timesteps: int | None = option(
        None, "Only what happened in so many steps of each run.", flags=("-max",), parse=int
    )
    normalise: str = option(
        TABLE,
        "Scale of scores over several environments: a table of random and reference scores, the range of the scores in "
        "the report, or none.",
        flags=("--normalize",),
        choices=(TABLE, RANGE, NONE),
    )
    scores: str | None = option(
        None,
        "A YAML file with further entries of that table: environments: {MyEnv-v0: [random, reference]}.",
        parse=str,
    )
    losses: bool = option(False, "Also curves of losses, from progress.csv and TensorBoard logs.")
    confidence: float = option(0.95, "Of intervals.")
    resamples: int = option(2000, "Of the bootstrap.")
    seed: int = option(0, "Of the bootstrap.")
    title: str = option("", "Title of the report.")

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("score", "normalise"):
            choices = {"score": (FINAL, BEST, MEAN), "normalise": (TABLE, RANGE, NONE)}[name]
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    f"There is no {name} '{getattr(self, name)}'.{hint(getattr(self, name), choices)}"
                )
        object.__setattr__(self, "format", _checked_formats(self.format, self.output))
        if not 0 < self.confidence < 1:
            raise ConfigurationError(f"--confidence must be between 0 and 1, but got {self.confidence:g}")
        if not 1 <= self.resamples <= _MOST_RESAMPLES:
            raise ConfigurationError(f"--resamples must be from 1 to {_MOST_RESAMPLES:,}, but got {self.resamples}")
        if not 0 <= self.seed < 2**32 - 1:
            raise ConfigurationError(f"--seed must be from 0 to 2**32 - 2, but got {self.seed}")
        if self.max_timesteps is not None and self.max_timesteps < 1:
            raise ConfigurationError(f"--max-timesteps must be at least 1, but got {self.max_timesteps}")


def _checked_formats(wanted: tuple[str, ...], output: str) -> tuple[str, ...]:
    formats = [part for text in wanted for part in _formats(text).split(",") if part] or [
        _formats(Path(output).suffix) or "html"
    ]
    for name in formats:
        if name not in FORMATS:
            raise ConfigurationError(f"There is no format '{name}'.{hint(name, FORMATS)}")
    return tuple(dict.fromkeys(formats))
