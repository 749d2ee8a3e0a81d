"""Whatever goes wrong with an upload: the folder is as it was, the reason is told, and the same command finishes it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rl_experiments import Run, load_agent, publish
from tests.helpers.commands import CommandResult, run_module
from tests.helpers.hub_faults import Action, Fault
from tests.helpers.hub_server import HubServer

NAME = "ppo-CartPole-v1"
REPOSITORY = f"club/{NAME}"
LONGEST = 100.0
"""Seconds that no case may take, on a busy machine."""


@dataclass(frozen=True)
class Case:
    """
    :param name: what goes wrong
    :param faults: what the server does
    :param arrives: whether it is published all the same
    :param told: a part of the reason, where it is not
    :param flags: further arguments of the command
    :param token: who publishes
    :param closed: whether there is no server at all
    :param xet: whether the server speaks Xet
    """

    name: str
    faults: Sequence[Fault] = ()
    arrives: bool = False
    told: str = ""
    flags: Sequence[str] = ()
    token: str = "hf_ann"
    closed: bool = False
    xet: bool = False


def _once(what: str, match: tuple[str, str], action: Action, **options: object) -> Case:
    return Case(f"{what} once: {' '.join(match)}", [Fault(match, action, **options)], arrives=True)  # type: ignore[arg-type]


def _refused(status: int, match: tuple[str, str], told: str) -> Case:
    fault = Fault(match, "status", status=status, body={"error": "no room here"}, times=None)
    return Case(f"{status}: {' '.join(match)}", [fault], told=told)


def _for_ever(match: tuple[str, str], action: Action, told: str, *flags: str, **options: object) -> Case:
    fault = Fault(match, action, times=None, **options)  # type: ignore[arg-type]
    return Case(f"{action} for ever: {' '.join(match)}", [fault], told=told, flags=flags)


CREATE, CHECK, ASK, BATCH = (
    ("POST", "/repos/create"),
    ("POST", "/validate-yaml"),
    ("POST", "/preupload/"),
    ("POST", "/lfs/objects/batch"),
)
PUT, COMMIT, INFO, WHO = (
    ("PUT", "/lfs/"),
    ("POST", "/commit/"),
    ("GET", f"/api/models/{REPOSITORY}"),
    ("GET", "/whoami-v2"),
)
IMPATIENT = ("--deadline", "4")
STEPS = (CREATE, INFO, CHECK, ASK, BATCH, PUT, COMMIT)

CASES = [
    Case("no network", closed=True, told="cannot be reached"),
    Case("a token that may only read", told="may only read", token="hf_eve"),
    Case("a token that is none", told="does not accept the token", token="hf_nobody"),
    Case("a namespace of others", told="may not publish under 'club'", token="hf_bob"),
    _refused(401, CREATE, "does not accept the token"),
    _refused(403, CREATE, "may not do this"),
    _refused(404, CREATE, "no such user"),
    _refused(401, COMMIT, "does not accept the token"),
    _refused(403, ASK, "no room here"),
    _refused(413, PUT, "413"),
    _refused(413, COMMIT, "too large"),
    _refused(400, COMMIT, "no room here"),
    *(_once("503", match, "status", status=503) for match in (WHO, *STEPS)),
    *(_once("a page in place of an answer", match, "status", status=200, body="<html>") for match in (CREATE, ASK)),
    *(
        _once("429 with Retry-After", match, "status", status=429, headers={"Retry-After": "1"})
        for match in (CREATE, PUT, COMMIT)
    ),
    *(_once("dropped", match, "drop") for match in STEPS),
    *(_once("answer lost", match, "drop_answer") for match in (CREATE, PUT, COMMIT)),
    _once("cut off in the middle", PUT, "drop_after", bytes=20_000),
    Case("cut off twice", [Fault(PUT, "drop_after", bytes=20_000, times=2)], arrives=True),
    Case("slow", [Fault(PUT, "slow", bytes_per_second=100_000, times=None)], True, flags=["--deadline", "4"]),
    Case("wrong hashes once", [Fault(INFO, "wrong_sha", skip=1)], arrives=True),
    _for_ever(CREATE, "status", "asks to wait for 3600", status=429, headers={"Retry-After": "3600"}),
    _for_ever(PUT, "status", "asks to wait for", status=429, headers={"Retry-After": "3600"}),
    _for_ever(COMMIT, "status", "in trouble", status=503),
    _for_ever(COMMIT, "drop", "broke the connection off"),
    *(_for_ever(match, "hang", "nothing moved for 3 seconds", "--deadline", "3") for match in STEPS),
    _once("hangs", COMMIT, "hang"),
    *(
        Case(f"Xet, {action} for ever: {part}", [Fault(("*", part), action, times=None)], True, "", IMPATIENT, xet=True)
        for part in ("xet-write-token", "/cas/v1/shards", "/cas/v1/xorbs")
        for action in ("status", "drop", "hang")
    ),
]


@dataclass
class Outcome:
    """What became of a case, in words if it is not what it should be."""

    case: Case
    result: CommandResult | None = None
    faults: list[str] = field(default_factory=list)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _try(case: Case, built: Path, workplace: Path) -> Outcome:
    """Upload a copy of a built folder while a case goes wrong, and then once more while nothing does."""
    outcome = Outcome(case)
    check = outcome.faults.append
    shutil.copytree(built, workplace / "hub")
    folder = workplace / "hub" / REPOSITORY
    before = _contents(folder)
    command = ("--algo", "ppo", "--env", "CartPole-v1", "-f", "logs", "-orga", "club", "--upload-only")
    with HubServer(xet=case.xet) as server:
        server.add_user("ann", token="hf_ann")
        server.add_user("bob", token="hf_bob")
        server.add_user("eve", token="hf_eve", write=False)
        server.add_organization("club", members={"ann", "eve"})
        for fault in case.faults:
            server.faults.add(fault)
        reached = server.environment(workplace / "home", case.token, xet=case.xet)
        if case.closed:
            reached["HF_ENDPOINT"] = "http://127.0.0.1:9"
        began = time.monotonic()
        result = outcome.result = run_module(
            "rl_experiments.push_to_hub", *command, "--deadline", "30", *case.flags, cwd=workplace, **reached
        )
        if time.monotonic() - began > LONGEST:
            check(f"it took {time.monotonic() - began:.0f} s")
        if result.code != (0 if case.arrives else 3):
            check(f"exit code {result.code}")
        if _contents(folder) != before:
            check("the folder changed")
        if "Traceback" in result.out + result.err or case.token in result.out + result.err:
            check("a traceback or the token was shown")
        if any(fault.happened == 0 for fault in case.faults):
            check("the fault did not happen")
        reasons = [line for line in result.out.splitlines() if line.startswith("Not uploaded: ")]
        if not case.arrives and (len(reasons) != 1 or case.told not in reasons[0]):
            check(f"the reason does not say {case.told!r}: {reasons}")
        if not case.arrives and not all(
            text in result.out for text in ("hf upload", "--upload-only", str(Path("hub") / REPOSITORY))
        ):
            check("the path or a command is missing")
        server.faults.clear()
        again = run_module(
            "rl_experiments.push_to_hub",
            *command,
            cwd=workplace,
            **server.environment(workplace / "home", "hf_ann", xet=False),
        )
        if again.code != 0 or server.repo(REPOSITORY).files() != before:
            check(f"the next upload did not finish it: {again.out}{again.err}")
        if len(server.repo(REPOSITORY).history()) != 2:
            check(f"{len(server.repo(REPOSITORY).history())} commits")
    return outcome


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "cases", [pytest.param(CASES[::3], id="a third"), pytest.param(CASES, id="all", marks=pytest.mark.slow)]
)
def test_no_fault_loses_a_bundle(
    cases: Sequence[Case], ppo_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = tmp_path / "built"
    publish(
        load_agent(ppo_run), organization="club", hub_folder=built, n_eval_episodes=2, video_length=10, upload=False
    )
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda item: _try(item[1], built, tmp_path / str(item[0])), enumerate(cases)))
    wrong = [f"{outcome.case.name}: {'; '.join(outcome.faults)}" for outcome in outcomes if outcome.faults]
    arrived = sum(outcome.result is not None and outcome.result.code == 0 for outcome in outcomes)
    with capsys.disabled():
        kept = len(cases) - arrived
        print(
            f"\n{len(cases)} faults: {arrived} arrived, {kept} kept and arrived later, {len(wrong)} not as they should"
        )
    assert not wrong, "\n".join(wrong)
