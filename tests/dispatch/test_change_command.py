"""The command of `on_change`: what it reads, and what is said when something is wrong with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from notifyctl.core.conditions import Condition, ConditionNews, KeptCondition, Turn
from notifyctl.dispatch import watching
from notifyctl.dispatch.options import ChangeCommand
from tests.support.prose import page

NEWS = ConditionNews(Turn.BEGAN, KeptCondition("provider_open", "sendgrid", 1_700_000_000_123, "503 \N{SNOWMAN}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\nkill -9 $$\n", "ended with -9"),
        (None, "was not run: No such file or directory"),
        ("no program", "was not run: Exec format error"),
    ],
)
def test_what_went_wrong_is_said(tmp_path: Path, text: str | None, said: str) -> None:
    """With the condition, and the command's name without what it was given."""
    path = tmp_path / "page"
    if text is not None:
        path.write_text(text)
        path.chmod(0o700)
    command = ChangeCommand((str(path), "--token", "sesame"))
    assert watching.run(command, NEWS) == f"on_change (provider_open sendgrid began): page {said}"


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its time, and then no more."""
    monkeypatch.setattr(watching, "TIMEOUT_S", 3.0)  # in which it has begun, on a busy machine too
    path = tmp_path / "page"
    path.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child\nwait\n")
    path.chmod(0o700)
    assert "took longer than 3 s, and was ended" in (watching.run(ChangeCommand((str(path),)), NEWS) or "")
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while _runs(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_command_that_reads_nothing(tmp_path: Path) -> None:
    """Nobody waits for it to read, and nothing is wrong with it."""
    path = tmp_path / "page"
    path.write_text("#!/bin/sh\nexec <&-\nexit 0\n")
    path.chmod(0o700)
    assert watching.run(ChangeCommand((str(path),)), NEWS) is None


def test_what_the_command_reads() -> None:
    """UTF-8 as it is; a condition of the whole system has no subject."""
    command = ChangeCommand(("page",))
    assert json.loads(watching.document(command, NEWS))["text"] == "503 \N{SNOWMAN}"
    whole = ConditionNews(Turn.ENDED, KeptCondition("suppression_burst", "", 0, "x"))
    said = json.loads(watching.document(command, whole))
    assert (said["subject"], said["profile"], said["since"]) == (None, None, "1970-01-01T00:00:00.000Z")


def test_the_page_says_what_it_reads() -> None:
    """Every field, and every condition that there is."""
    text = page("dispatching")
    told = text[text.index("**Being told.**") : text.index("**Did it arrive?**")]
    example = told.partition("```json\n")[2].partition("```")[0]
    assert json.loads(example).keys() == json.loads(watching.document(ChangeCommand(("page",)), NEWS)).keys()
    assert all(f"`{each}`" in told for each in Condition)
