"""The page of a report in a real browser: no error, every figure drawn, the table sorts, nothing fetched."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rl_experiments.reporting.report.reporting import report_runs
from tests.helpers.made_runs import made_grid

ALGORITHMS = ["a2c", "dqn", "ppo"]
ENVIRONMENTS = ["Acrobot-v1", "CartPole-v1", "Hopper-v5", "LunarLander-v3", "PongNoFrameskip-v4"]
LARGEST = 5_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three algorithms, five environments, ten seeds, one video."""
    pytest.importorskip("plotly", reason="plotly is not installed")
    folder = tmp_path_factory.mktemp("page")
    made_grid(folder / "logs", ALGORITHMS, ENVIRONMENTS, 10, n_evaluations=40)
    for number in range(1, 11):
        (folder / "logs" / "ppo" / f"Acrobot-v1_{number}" / "videos").mkdir()
        (folder / "logs" / "ppo" / f"Acrobot-v1_{number}" / "videos" / "a video.mp4").touch()
    file = folder / "out" / "report.html"
    report_runs(folder / "logs", output=str(file), title="</script><b>Hello")
    return file


@pytest.fixture(scope="module")
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    page = browser.new_page(accept_downloads=True)
    page.problems, page.asked = [], []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda line: page.problems.append(line.text) if line.type in ("error", "warning") else None)
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_function("document.body.dataset.drawn || document.getElementById('problem').textContent")
    yield page
    page.close()


def test_the_file_is_small(page_file: Path) -> None:
    assert page_file.stat().st_size < LARGEST


def test_every_figure_is_drawn_and_nothing_is_fetched(page: Any, page_file: Path) -> None:
    assert page.problems == []
    assert page.asked == [page_file.as_uri()]
    drawn = "figures => figures.map(f => [f.id, f.querySelectorAll('.plot .main-svg .trace').length])"
    figures = dict(page.eval_on_selector_all("figure", drawn))
    assert len(figures) == 4 + len(ENVIRONMENTS)
    assert all(figures.values()), figures
    assert page.inner_text("h1") == "</script><b>Hello"


def test_what_is_shown_can_be_changed(page: Any) -> None:
    def title(axis: str) -> str:
        return str(page.text_content(f"figure.curve .{axis}title"))

    assert (title("x"), title("y")) == ("environment steps", "return in evaluation")
    page.select_option("#axis", "hours")
    page.select_option("#kind", "training")
    page.wait_for_function("document.querySelector('figure.curve .ytitle').textContent == 'return in training'")
    assert title("x") == "hours"
    count = "document.querySelectorAll('figure.curve .scatterlayer .trace').length"
    page.wait_for_function("document.body.dataset.drawn")
    before = page.evaluate(count)
    page.uncheck("#seeds")
    page.wait_for_function(f"document.body.dataset.drawn && {count} < {before}")
    assert page.evaluate(count) == before - len(ALGORITHMS) * len(ENVIRONMENTS)
    assert page.problems == []


def test_the_table_sorts(page: Any) -> None:
    def column(number: int) -> list[str]:
        return page.eval_on_selector_all(
            f"#results tbody td:nth-child({number})", "cells => cells.map(c => c.textContent)"
        )

    means = [float(text.partition(" ")[0].replace(",", "")) for text in column(4)]
    page.click("#results thead th:nth-child(4) button")
    shown = [float(text.partition(" ")[0].replace(",", "")) for text in column(4)]
    assert shown == sorted(means)
    assert means != sorted(means)
    page.click("#results thead th:nth-child(4) button")
    assert [float(text.partition(" ")[0].replace(",", "")) for text in column(4)] == sorted(means, reverse=True)
    page.click("#results thead th:nth-child(2) button")
    assert column(2) == sorted(column(2))


def test_the_data_of_every_figure_and_table_downloads(page: Any, tmp_path: Path) -> None:
    assert len(page.query_selector_all("figure button.data")) == 4 + len(ENVIRONMENTS)
    n_tables = len(page.query_selector_all("table"))
    buttons = page.query_selector_all("figure:not(.curve) button.data, #curve-0 button.data, p button.data")
    assert len(buttons) == 4 + 1 + n_tables <= 10  # more than ten at once are too many for Chromium
    for number, button in enumerate(buttons):
        with page.expect_download() as waiting:
            button.click()
        file = tmp_path / f"{number}.csv"
        waiting.value.save_as(file)
        with file.open(newline="") as stream:
            rows = list(csv.reader(stream))
        assert len(rows) > 1
        assert len({len(row) for row in rows}) == 1
        assert waiting.value.suggested_filename.endswith(".csv")


def test_videos_of_the_best_and_the_median_seed_are_linked(page: Any, page_file: Path) -> None:
    links = page.eval_on_selector_all(
        ".videos a", "links => links.map(a => [a.textContent, decodeURI(a.getAttribute('href'))])"
    )
    assert [text.partition(" seed")[0] for text, _ in links] == ["ppo: best", "ppo: median"]
    assert all((page_file.parent / link).is_file() for _, link in links)


def test_it_can_be_printed(page: Any) -> None:
    assert page.pdf().startswith(b"%PDF")
    assert page.problems == []
