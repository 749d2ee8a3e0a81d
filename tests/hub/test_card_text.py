"""A card that is made again: ours changes, the person's stays."""

from __future__ import annotations

from typing import Any

import pytest

from rl_experiments.hub import card_text
from tests.helpers.hub_api import card_problems

INDEX = [{"name": "PPO", "results": [{"task": {"type": "x"}, "metrics": [{"type": "mean_reward", "value": "2"}]}]}]


def _card(score: str = "1", **metadata: Any) -> str:
    sections = [card_text.section("summary", f"score {score}"), card_text.section("usage", "use it so")]
    own = {"library_name": "stable-baselines3", "tags": ["Env-v0", "rl"], **metadata}
    return card_text.join(own, "# Title\n\n" + "\n\n".join(sections) + "\n")


def test_without_an_earlier_card_it_is_the_fresh_one() -> None:
    assert card_text.merge(_card(), None) == card_text.merge(_card(), " \n") == _card()


def test_the_same_card_again_is_the_same() -> None:
    assert card_text.merge(_card(), _card()) == _card()


def test_only_our_sections_change() -> None:
    edited = _card("1").replace("# Title", "# My title\n\nMy words.").replace("score 1", "my score") + "\nMy end.\n"
    merged = card_text.merge(_card("2"), edited)
    assert merged == _card("2").replace("# Title", "# My title\n\nMy words.") + "\nMy end.\n"


def test_a_section_that_was_taken_out_stays_out() -> None:
    without = _card().replace(card_text.section("usage", "use it so"), "I say how to use it.")
    merged = card_text.merge(_card("2"), without)
    assert "use it so" not in merged
    assert "I say how to use it." in merged
    assert "score 2" in merged


@pytest.mark.parametrize("damage", ["<!-- rl_experiments:summary -->", "<!-- /rl_experiments:summary -->"])
def test_a_section_with_one_mark_is_a_persons(damage: str) -> None:
    merged = card_text.merge(_card("2"), _card("1").replace(damage, ""))
    assert "score 1" in merged
    assert "use it so" in merged


def test_a_card_without_marks_keeps_its_text_and_gets_ours() -> None:
    merged = card_text.merge(_card(), "---\nlicense: mit\n---\nMine.\n")
    metadata, text = card_text.split(merged)
    assert metadata["license"] == "mit"
    assert text.startswith("Mine.\n\n<!-- rl_experiments:summary -->")
    assert card_text.merge(_card(), merged) == merged


def test_the_card_of_the_zoo_is_replaced() -> None:
    zoo = (
        "---\ntags:\n- Env-v0\n---\n\n  # **PPO** Agent playing **Env-v0**\n"
        "  This is a trained model of a **PPO** agent playing **Env-v0**\n"
    )
    assert card_text.split(card_text.merge(_card(), zoo))[1] == card_text.split(_card())[1]


def test_metadata_is_merged() -> None:
    fresh = _card(**{"model-index": INDEX})
    theirs = [{"name": "PPO", "results": []}, {"name": "Other", "results": [{"task": {"type": "y"}, "metrics": []}]}]
    earlier = _card(**{"model-index": theirs, "license": "mit", "datasets": ["a"]}).replace("- rl", "- mine")
    metadata, _ = card_text.split(card_text.merge(fresh, earlier))
    assert metadata["tags"] == ["Env-v0", "rl", "mine"]
    assert metadata["license"] == "mit"
    assert metadata["datasets"] == ["a"]
    assert metadata["model-index"] == [INDEX[0], theirs[1]]
    assert card_problems(card_text.merge(fresh, earlier))[0] == []


@pytest.mark.parametrize(
    "front", ["---\n{broken: [\n---\n", "---\n- a list\n---\n", "---\n!!python/name:os.system x\n---\n"]
)
def test_metadata_that_cannot_be_read_is_made_anew(front: str) -> None:
    merged = card_text.merge(_card(), front + "My words.\n")
    assert card_text.split(merged)[0] == card_text.split(_card())[0]
    assert "My words." in merged


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    metadata, text = card_text.split("\ufeff---\r\nlicense: mit\r\n---\r\nMine.\r\n")
    assert metadata == {"license": "mit"}
    assert text == "Mine.\r\n"


def test_a_rule_in_the_text_is_no_metadata() -> None:
    assert card_text.split("Mine.\n---\nlicense: mit\n---\n") == ({}, "Mine.\n---\nlicense: mit\n---\n")


@pytest.mark.parametrize("content", ["", "<!-- [1, 2 -->", '<!-- {"a": 1} -->'])
def test_a_list_of_files_is_read_back(content: str) -> None:
    names = ["README.md", "ppo-Env/data"]
    assert card_text.listed_files(_card() + card_text.files_section(names)) == names
    assert card_text.listed_files(_card() + card_text.section("files", content)) == []
