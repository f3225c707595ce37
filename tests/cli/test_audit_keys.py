"""The audit trail and the encryption keys that authenticate it: another key, a lost one, none; and what is no text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, audit_seals, signing_keys
from tests.support.command import Cli, Result

KEY = format_key("k1", bytes(range(64)))
SAME_ID = format_key("k1", bytes(reversed(range(64))))
OTHER = format_key("k2", bytes(reversed(range(64))))
ANOTHER = pytest.mark.parametrize("another", [SAME_ID, OTHER], ids=["same id", "other id"])


def _made(cli: Cli, *names: str, keys: str | None) -> None:
    """Write a row of the trail for each name, by these keys."""
    if keys is None:
        cli.env.pop("NOTIFYCTL_ENCRYPTION_KEYS", None)
    else:
        cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = keys
    for each in names:
        cli.call("users", "create", each, "--email", f"{each}@example.org").ok()


def _verified(cli: Cli, code: int) -> dict[str, Any]:
    done = cli.call("audit", "verify", "-o", "json")
    assert done.exit_code == code, done
    return dict(done.json()) if code != 4 else {"error": done.stderr}


def _seals(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(audit_seals)).scalar_one())


def _kept(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(signing_keys)).scalar_one())


@ANOTHER
def test_a_key_that_is_not_the_trail_s_seals_nothing(cli: Cli, database: Database, another: str) -> None:
    """One wrong keys file on one host would else leave seals behind that nobody can verify, for ever."""
    _made(cli, "anna", "omar", keys=KEY)
    cli.call("audit", "seal").ok()
    before = _seals(database), _kept(database)
    _made(cli, keys=another)
    for words in (("audit", "seal"), ("audit", "anchor"), ("audit", "purge", "--older-than", "1s", "--yes")):
        done = cli.call(*words)
        assert done.exit_code == 4 and "sealed by encryption key k1" in done.stderr, done
    done = cli.call("dispatch", "--once").ok()
    assert "the audit trail is not sealed" in done.stderr
    assert (_seals(database), _kept(database)) == before
    _made(cli, keys=KEY)
    assert _verified(cli, 0)["whole"]


def test_what_is_tampered_with_is_found_beside_a_lost_key(cli: Cli, database: Database) -> None:
    """Of what the lost key made nobody can tell; all else is looked at, and what is wrong there is named."""
    _made(cli, "anna", "omar", keys=KEY)
    cli.call("audit", "seal").ok()
    _made(cli, "lena", "paul", keys=OTHER)
    assert cli.call("audit", "seal").exit_code == 4
    lost = cli.call("audit", "seal", "--lost-key", "k1")
    assert lost.exit_code == 0, lost
    assert "encryption key k1 does not open" in _verified(cli, 4)["error"]
    cli.call("users", "update", "paul", "--language", "de").ok()
    cli.call("audit", "seal").ok()
    tampered = "UPDATE audit_logs SET actor = 'x' WHERE id = (SELECT audit_id FROM audit_seals WHERE position = "
    database.write(lambda tx: tx.execute(text(f"{tampered}(SELECT max(position) FROM audit_seals))")))
    found = _verified(cli, 7)
    assert [each["fault"] for each in found["faults"]] == ["changed"]
    assert found["unverified"] >= 2 and found["lacking"] == ["k1"]
    _made(cli, keys=f"{OTHER},{KEY}")
    assert [each["fault"] for each in _verified(cli, 7)["faults"]] == ["changed"]


def _nobody_s_mac(cli: Cli, database: Database) -> str:
    database.write(lambda tx: tx.execute(text("UPDATE audit_logs SET mac = 'zzz' WHERE action = 'create'")))
    return "forged"


def _nobody_s_seal(cli: Cli, database: Database) -> str:
    database.write(lambda tx: tx.execute(text("UPDATE audit_seals SET key_id = '' WHERE position = 2")))
    return "forged"


@pytest.mark.parametrize("tamper", [_nobody_s_mac, _nobody_s_seal])
def test_a_trail_without_keys_knows_what_is_none(
    cli: Cli, database: Database, tamper: Callable[[Cli, Database], str]
) -> None:
    """What is no key's is a fault there, too: it is not taken for the work of keys that are elsewhere."""
    _made(cli, "anna", "omar", keys=None)
    cli.call("audit", "seal").ok()
    fault = tamper(cli, database)
    assert fault in [each["fault"] for each in _verified(cli, 7)["faults"]]


def test_status_says_that_nobody_here_can_seal(cli: Cli, database: Database) -> None:
    """Where each host has the wrong keys, nothing else would say so to whoever only looks at `status`."""
    _made(cli, "anna", keys=KEY)
    cli.call("audit", "seal").ok()
    _made(cli, "omar", keys=OTHER)
    shown = cli.call("status").ok().stdout
    assert "has not been sealed" not in shown  # another host may do so any second
    database.write(lambda tx: tx.execute(update(audit_logs).values(created_at=audit_logs.c.created_at - 2 * 3_600_000)))
    shown = cli.call("status", "-o", "json").ok().json()
    (problem,) = (each for each in shown["problems"] if each["code"] == "audit_unsealed")
    assert "for 2h" in problem["message"] and "encryption key k1" in problem["message"]
    assert "audit seal --lost-key k1" in problem["hint"]
    cli.call("audit", "seal", "--lost-key", "k1").ok()
    assert "has not been sealed" not in cli.call("status").ok().stdout


def test_a_lost_key_of_the_trail_is_no_lack_once_it_was_given_up(cli: Cli) -> None:
    """Exit 4 with the way to go on, until somebody went it; from then on it is said, and nothing is left to do."""
    _made(cli, "anna", keys=KEY)
    cli.call("audit", "seal").ok()
    _made(cli, keys=OTHER)
    told = cli.call("secrets", "status")
    assert told.exit_code == 4 and "notifyctl audit seal --lost-key k1" in told.stderr, told
    assert "credential" not in told.stderr
    cli.call("audit", "seal", "--lost-key", "k1").ok()
    cli.call("users", "create", "omar", "--email", "omar@example.org").ok()
    cli.call("audit", "seal").ok()
    told = cli.call("secrets", "status")
    assert told.exit_code == 0 and "cannot be verified any more" in told.stderr, told


def test_a_lost_key_may_be_named_only_where_another_is_here(cli: Cli, database: Database) -> None:
    """A chain that was made by key is not gone on with by plain digests; and what is not lost needs no naming."""
    _made(cli, "anna", keys=KEY)
    cli.call("audit", "seal").ok()
    _made(cli, keys=None)
    refused: Result = cli.call("audit", "seal", "--lost-key", "k1")
    assert refused.exit_code == 4
    _made(cli, "omar", keys=KEY)
    cli.call("audit", "seal", "--lost-key", "k9").ok()
    assert _verified(cli, 0)["whole"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("column", ["actor", "action", "changes", "reason", "user_agent", "ip_address", "mac"])
def test_text_that_is_none_is_a_fault_like_any(cli: Cli, database: Database, column: str) -> None:
    """SQLite keeps bytes as text that are none in UTF-8: `verify` names the row, and lists show it escaped."""
    _made(cli, "anna", keys=KEY)
    cli.call("audit", "seal").ok()
    odd = f"UPDATE audit_logs SET {column} = CAST(x'ff41' AS TEXT) WHERE action = 'create' RETURNING id"
    ids = database.write(lambda tx: list(tx.execute(text(odd)).scalars()))
    assert {each["audit_id"] for each in _verified(cli, 7)["faults"]} == set(ids)
    assert len(cli.call("audit", "list", "-o", "json").ok().json()) >= len(ids)
    cli.call("audit", "export").ok()
    cli.call("audit", "list", "-o", "plain").ok()


@pytest.mark.parametrize("position", [0, -1])
def test_an_anchor_of_no_place_is_a_fault(cli: Cli, database: Database, position: int) -> None:
    """What the database noted of an anchor is moved to where no row ever was."""
    _made(cli, "anna", keys=KEY)
    cli.call("audit", "anchor").ok()
    database.write(lambda tx: tx.execute(text(f"UPDATE audit_anchors SET position = {position}")))
    assert [each["fault"] for each in _verified(cli, 7)["faults"]] == ["forged"]


def test_what_was_purged_is_held_against_its_anchor(cli: Cli, database: Database) -> None:
    """The record of a purge says what it ended with: an anchor of that place has to say the same. Nothing that is gone
    is counted as not covered."""
    _made(cli, "anna", "omar", keys=None)
    anchor = cli.call("audit", "anchor").ok().stdout
    place = json.loads(anchor)["position"]
    with database.read() as tx:
        last = tx.execute(select(func.max(audit_logs.c.created_at))).scalar_one()
    while database.moment() <= last + 1_000:
        time.sleep(0.05)
    cli.call("users", "create", "lena", "--email", "lena@example.org").ok()
    assert cli.call("audit", "purge", "--older-than", "1s", "--yes", "-o", "json").ok().json()["through"] == place
    kept = cli.call("audit", "verify", "--anchors", "-", "-o", "json", input=anchor).ok().json()
    assert (kept["purged"], kept["anchored"]) == (place, place) and kept["not_anchored"] == kept["last"] - place
    other = anchor.replace(json.loads(anchor)["seal"], "0" * 64)
    database.write(lambda tx: tx.execute(text("DELETE FROM audit_anchors")))
    unknown = cli.call("audit", "verify", "-o", "json").ok().json()
    assert (unknown["anchored"], unknown["not_anchored"]) == (0, unknown["last"] - place)
    done = cli.call("audit", "verify", "--anchors", "-", "-o", "json", input=other)
    assert [each["fault"] for each in done.json()["faults"]] == ["replaced"]
