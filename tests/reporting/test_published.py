"""Published tables in every form that they come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.reporting.published import Score, difference_in_standard_errors, read_published

EXPECTED = Score(1327.158, 451.577, 175)
SCORE = {"mean_reward": 1327.158, "std_reward": 451.577, "n_eval_episodes": 175}
ZOO = """
## Performance of trained agents

"M" stands for Million (1e6)

|  algo  |        env_id         |mean_reward|std_reward|n_timesteps|eval_timesteps|eval_episodes|
|--------|-----------------------|----------:|---------:|-----------|-------------:|------------:|
|ppo     |Ant-v3                 |   1327.158|   451.577|1M         |        149150|          175|
|dqn     |ALE/Pong-v5            |     20.700|     0.640|10M        |        599902|           83|
"""
FORMS = {
    "zoo.md": ZOO,
    "links.md": "| algo | env_id | mean_reward | std_reward | eval_episodes |\n|:-:|:-:|:-:|:-:|:-:|\n"
    "| **ppo** | [Ant-v3](https://huggingface.co/sb3/ppo-Ant-v3) | 1,327.158 | `451.577` | 175 |\n",
    "together.md": "| Algorithm | Environment | Score | Episodes |\n|---|---|---|---|\n"
    "| PPO | Ant-v3 | 1327.158 +/- 451.577 | 175 |\n",
    "zoo.csv": "algo,env_id,mean_reward,std_reward,eval_episodes\nppo,Ant-v3,1327.158,451.577,175\n",
    "semicolons.csv": "\ufeffAlgorithm;Environment;Mean;Std;Episodes\nppo;Ant-v3;1327.158;451.577;175\n",
    "rows.json": json.dumps([{"algo": "ppo", "env_id": "Ant-v3", **SCORE}]),
    "nested.json": json.dumps({"ppo": {"Ant-v3": SCORE}}),
    "folders.json": json.dumps(
        [
            {"folder": "ppo/Ant-v3_1", "env_saved": "Ant-v3", "measured": {"mean": 1}, "published": SCORE},
            {"folder": "td3/Ant-v3_1", "env_saved": "Ant-v3", "measured": {"mean": 1}, "published": None},
        ]
    ),
    "commas.csv": "algo;env_id;mean;std;episodes\nppo;Ant-v3;1327,158;451,577;175\n",
    "commas and points.csv": "algo;env_id;mean;std;episodes\nppo;Ant-v3;1.327,158;451,577;175\n",
    "commas.md": "| algo | env_id | mean | episodes |\n|-|-|-|-|\n| ppo | Ant-v3 | 1327,158 ± 451,577 | 175 |\n",
    "table without a name": ZOO,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_table_is_read_in_whatever_form(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    table = read_published(tmp_path / name)
    assert table.find(["ppo"], ["Ant-v4", "Ant-v3"]) == EXPECTED
    assert table.find(["td3"], ["Ant-v3"]) is None
    if "dqn" in FORMS[name]:
        assert table.find(["dqn"], ["ALE-Pong-v5"]) == Score(20.7, 0.64, 83)


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    rows = ("ppo|Minus|\u2212242.119|31.8", "ppo|Mixed|242,11|31.8", "a2c|Text|about 3|", "a2c|Empty| |", "|None|3|1")
    text = "|algo|env_id|mean|std|\n|-|-|-|-|\n" + "".join(f"|{row}|\n" for row in rows)
    (tmp_path / "table.md").write_text(text, encoding="utf-8")
    table = read_published(tmp_path / "table.md")
    assert table.find(["ppo"], ["Minus"]) == Score(-242.119, 31.8)
    assert (len(table), table.n_unread) == (1, 3)
    (tmp_path / "table.csv").write_text("algo;env_id;mean;std;episodes\nppo;LunarLander-v3;242,119;31,8;369\n")
    assert read_published(tmp_path / "table.csv").find(["ppo"], ["LunarLander-v3"]) == Score(242.119, 31.8, 369)


@pytest.mark.parametrize("text", ["", "nothing", "|a|b|\n|-|-|\n|1|2|\n", "[]", '{"mean": 3}', "[" * 100_000, "\0\1"])
def test_what_holds_no_score_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "table").write_text(text)
    with pytest.raises(RLExperimentsError, match="no published score"):
        read_published(tmp_path / "table")


def test_the_difference_is_welchs() -> None:
    # Samples 1, 2, 3, 4, 5 and 2, 4, 6: scipy.stats.ttest_ind(..., equal_var=False).statistic is -0.75.
    ours, theirs = Score(3.0, 2**0.5, 5), Score(4.0, (8 / 3) ** 0.5, 3)
    assert difference_in_standard_errors(ours, theirs) == pytest.approx(-1 / (2.5 / 5 + 4 / 3) ** 0.5)
    assert difference_in_standard_errors(Score(1.0, 0.0, 5), Score(1.0, 0.0, 3)) == 0.0
    assert difference_in_standard_errors(Score(1.0, 0.0, 5), Score(2.0, 0.0, 3)) is None
    assert difference_in_standard_errors(Score(1.0, 1.0, 1), theirs) is None
    assert difference_in_standard_errors(ours, Score(1.0)) is None
