"""What dispatchers do for the audit trail: they seal it, and carry anchors out of the database."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from notifyctl.core.audit import anchoring
from notifyctl.core.sealing import format_key
from notifyctl.dispatch import trailkeeping
from notifyctl.dispatch.trailkeeping import append
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_anchors, audit_logs, audit_seals
from tests.support.command import Cli

KEY = format_key("k1", bytes(range(64)))


def _configured(cli: Cli, anchor: str) -> None:
    """Let a profile say where anchors go, and do something that can be anchored."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEY
    path = cli.home / "config.toml"
    path.write_text(f"audit_anchor = {{ {anchor} }}\n")
    cli.env["NOTIFYCTL_CONFIG"] = str(path)
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()


def _noted(database: Database) -> list[tuple[str, int]]:
    c = audit_anchors.c
    with database.read() as tx:
        return [(row[0], row[1]) for row in tx.execute(select(c.kept_in, c.position).order_by(c.created_at))]


def test_anchors_are_appended_to_a_file(cli: Cli, database: Database, tmp_path: Path) -> None:
    """At the end of a run of cron's as well, at intervals, and only when something was done; `verify` reads them."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1h"')
    cli.call("dispatch", "--once").ok()
    cli.call("dispatch", "--once").ok()
    [first] = anchoring.lines(file.read_text(), str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert _noted(database) == [("file", first.position)]
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(audit_seals)).scalar() == first.position == 2
    report = cli.call("audit", "verify", "-o", "json").ok().json()
    assert (report["anchored"], report["anchors"]) == (first.position, 2)
    file.write_text(file.read_text().replace(first.value, "0" * 64))
    done = cli.call("audit", "verify", "-o", "json")
    assert (done.exit_code, [each["fault"] for each in done.json()["faults"]]) == (7, ["replaced"])


def test_a_running_dispatcher_anchors_again(cli: Cli, database: Database, tmp_path: Path) -> None:
    """After the interval, what was done meanwhile is covered as well."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1s"')
    cli.call("dispatch", "--once").ok()
    cli.call("users", "create", "omar", "--email", "omar@example.org").ok()
    [(_, position)] = _noted(database)
    with database.read() as tx:
        last = tx.execute(select(func.max(audit_anchors.c.created_at))).scalar_one()
    while database.moment() < last + 1_000:
        time.sleep(0.05)
    cli.call("dispatch", "--once").ok()
    assert [each.position for each in anchoring.lines(file.read_text(), "")] == [position, position + 1]


def test_a_command_gets_the_anchor_and_no_secret(cli: Cli, database: Database, tmp_path: Path) -> None:
    """One line on stdin; what configures notifyctl is not in its environment."""
    script, told = tmp_path / "keep.py", tmp_path / "told.json"
    script.write_text(
        f"import json, os, sys\njson.dump([sys.stdin.read(), dict(os.environ)], open({str(told)!r}, 'w'))\n"
    )
    _configured(cli, f"command = ['{sys.executable}', '{script}']")
    cli.call("dispatch", "--once").ok()
    said, environment = json.loads(told.read_text())
    [anchor] = anchoring.lines(said, "")
    assert _noted(database) == [("command", anchor.position)]
    assert not [name for name in environment if name.startswith("NOTIFYCTL_")]


@pytest.mark.parametrize(
    ("anchor", "words"),
    [
        ('file = "/nowhere/anchors"', "No such file or directory"),
        ("command = 'false'", "ended with 1"),
        ("command = '/nowhere/command'", "No such file or directory"),
    ],
)
def test_a_place_that_fails_costs_nothing_else(cli: Cli, database: Database, anchor: str, words: str) -> None:
    """It is said, and nothing is noted as kept; the run ends well."""
    _configured(cli, anchor)
    done = cli.call("dispatch", "--once").ok()
    assert words in done.stderr
    assert _noted(database) == []


def test_one_place_that_fails_is_not_covered_by_another(cli: Cli, database: Database, tmp_path: Path) -> None:
    """It is tried again, though the other one has its anchor; and overdue, though the other one is not."""
    folder = tmp_path / "later"
    _configured(cli, f'file = "{folder / "anchors"}", command = "true", every = "1s"')
    cli.call("dispatch", "--once").ok()
    [(place, position)] = _noted(database)
    assert place == "command"
    with database.read() as tx:
        first = tx.execute(select(func.min(audit_seals.c.sealed_at))).scalar_one()
    while database.moment() <= first + 2_000:
        time.sleep(0.05)
    problems = cli.call("status", "-o", "json").ok().json()["problems"]
    assert [each["message"] for each in problems if each["code"] == "anchor_overdue"] == [
        "an anchor of the audit trail is overdue (file): none was ever written"
    ]
    folder.mkdir()
    cli.call("dispatch", "--once").ok()
    assert _noted(database) == [("command", position), ("file", position)]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_place_that_hangs_holds_up_nobody(cli: Cli, database: Database, tmp_path: Path) -> None:
    """A file that cannot be opened for ever: the run ends all the same."""
    os.mkfifo(tmp_path / "fifo")
    _configured(cli, f'file = "{tmp_path / "fifo"}"')
    cli.run("dispatch", "--once", timeout=30).ok()
    assert _noted(database) == []


def test_an_overdue_anchor_is_shown(cli: Cli, database: Database, tmp_path: Path) -> None:
    """`status` says so where something was done that none covers, and no more once one does."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1h"')
    codes = [each["code"] for each in cli.call("status", "-o", "json").ok().json()["problems"]]
    assert "anchor_overdue" not in codes
    old = {"id": "00000000-0000-4000-8000-000000000000", "action": "create", "resource_type": "user", "created_at": 1}
    database.write(lambda tx: tx.execute(insert(audit_logs), [old]))
    [problem] = [
        each for each in cli.call("status", "-o", "json").ok().json()["problems"] if each["code"] == "anchor_overdue"
    ]
    assert "none was ever written" in problem["message"] and "file" in problem["message"]
    cli.call("dispatch", "--once").ok()
    codes = [each["code"] for each in cli.call("status", "-o", "json").ok().json()["problems"]]
    assert "anchor_overdue" not in codes


@pytest.mark.parametrize(
    ("anchor", "words"),
    [
        ('every = "1h"', "names no place"),
        ('file = "relative"', "whole path"),
        ("command = []", "names no place"),
        ("command = [1]", "command is"),
        ('syslog = "yes"', "syslog is true or false"),
        ('syslog = true, every = "soon"', "every"),
        ('syslog = true, every = "10ms"', "a second at the least"),
        ('where = "x"', "where is none of"),
    ],
)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_cannot_be_meant_is_refused(cli: Cli, anchor: str, words: str) -> None:
    """Where anchors go is said wholly or not at all."""
    path = cli.home / "config.toml"
    path.write_text(f"audit_anchor = {{ {anchor} }}\n")
    done = cli.call("config", "show", env={"NOTIFYCTL_CONFIG": str(path)})
    assert (done.exit_code, words in done.stderr) == (2, True), done
    path.write_text('audit_anchor = { syslog = true, command = "keep it", every = "30m" }\n')
    shown = cli.call("config", "show", env={"NOTIFYCTL_CONFIG": str(path)}).ok().stdout
    assert "command = keep it, syslog = true, every = 30m" in shown


def test_a_run_of_crons_seals_what_was_committed_late(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the minute: some runs look at all rows, not only at the latest; here all do."""
    monkeypatch.setattr(trailkeeping, "FULL_EVERY", 1)
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("audit", "seal").ok()
    for number in range(2):
        late = {"id": f"00000000-0000-4000-8000-00000000000{number}", "action": "create", "resource_type": "user"}
        database.write(lambda tx: tx.execute(insert(audit_logs), [{**late, "created_at": 1}]))  # noqa: B023
        cli.call("dispatch", "--once").ok()
        with database.read() as tx:
            found = select(audit_seals.c.position).where(audit_seals.c.audit_id == late["id"])
            assert tx.execute(found).scalar() is not None


def test_a_torn_anchor_costs_no_other(cli: Cli, database: Database, tmp_path: Path) -> None:
    """What a full disk left of a line is told by `verify`, and what is appended next begins a line of its own."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1s"')
    cli.call("dispatch", "--once").ok()
    whole = file.read_text()
    for torn in (whole[:-3], whole[:5], whole[:40]):
        file.write_text(whole + torn.rstrip("\n"))
        done = cli.call("audit", "verify")
        assert (done.exit_code, "line 2 is the beginning of an anchor" in done.stderr) == (0, True), done
    append(file, whole.strip())
    assert file.read_text() == f"{whole}{whole[:40]}\n{whole}"
    done = cli.call("audit", "verify")
    assert (done.exit_code, "line 2 is" in done.stderr, "line 3" in done.stderr) == (0, True, False), done
    file.write_text(f"{whole}{whole[:40]}{whole.replace(_seal(whole), '0' * 64)}")  # an older writer went on in it
    assert cli.call("audit", "verify").exit_code == 7


def _seal(line: str) -> str:
    return str(json.loads(line)["seal"])


@pytest.mark.parametrize("is_emptied", [False, True])
def test_a_file_that_lost_its_anchors_is_a_fault(
    cli: Cli, database: Database, tmp_path: Path, is_emptied: bool
) -> None:
    """A trail is not called whole where what it is held against is gone; before the first anchor nothing is."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1h"')
    assert cli.call("audit", "verify").exit_code == 0
    cli.call("dispatch", "--once").ok()
    assert cli.call("audit", "verify").exit_code == 0
    if is_emptied:
        file.write_text("")
    else:
        file.unlink()
    done = cli.call("audit", "verify", "-o", "json")
    assert (done.exit_code, done.json()["whole"], str(file) in done.json()["faults"][0]["message"]) == (7, False, True)
    database.write(lambda tx: tx.execute(audit_anchors.delete()))  # who may do that takes the database's notes along
    database.write(lambda tx: tx.execute(audit_seals.update().values(sealed_at=1)))
    done = cli.call("audit", "verify", "-o", "json")
    assert str(file) in done.json()["faults"][-1]["message"], done


def test_a_file_that_lost_its_end_is_a_fault(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Whoever takes the last anchors away takes away what covers the latest rows. What is kept of older ones may be
    elsewhere, as after a rotation of logs; and the order of lines says nothing."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1s"')
    for name in ("b", "c", "d"):
        cli.call("dispatch", "--once").ok()
        cli.call("users", "create", f"user-{name}", "--email", f"{name}@example.org").ok()
        last = _noted(database)[-1]
        while _last_noted(database) + 1_000 > database.moment():
            time.sleep(0.05)
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 3 and last[0] == "file"
    for kept, code in ((lines, 0), (lines[::-1], 0), (lines[1:], 0), (lines[2:], 0), (lines[:2], 7), (lines[:1], 7)):
        file.write_text("".join(kept))
        done = cli.call("audit", "verify", "-o", "json")
        assert done.exit_code == code, (kept, done)
        assert code == 0 or [each["fault"] for each in done.json()["faults"]] == ["removed"]


def test_a_file_of_another_host_is_missed_by_nobody(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Each host has files of its own: an operator's has none where a dispatcher's has. As long as that one writes."""
    file = tmp_path / "anchors"
    _configured(cli, f'file = "{file}", every = "1h"')
    cli.call("dispatch", "--once").ok()
    file.unlink()
    database.write(lambda tx: tx.execute(audit_anchors.update().values(host="db1.example.org")))
    done = cli.call("audit", "verify").ok()
    assert f"there are no anchors in {file}" in done.stderr
    cli.call("users", "create", "omar", "--email", "omar@example.org").ok()
    cli.call("audit", "seal").ok()
    database.write(lambda tx: tx.execute(audit_seals.update().values(sealed_at=1)))
    faults = cli.call("audit", "verify", "-o", "json").json()["faults"]
    assert str(file) in faults[-1]["message"], faults


def _last_noted(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.max(audit_anchors.c.created_at))).scalar_one())
