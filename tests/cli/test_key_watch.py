"""What an operator hears of keys: those that end soon, those that nobody uses, those that were refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from notifyctl.core import apikey
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import api_keys, audit_logs, key_refusals
from tests.support import seed
from tests.support.command import Cli, Result

DAY = 86_400_000
UNKNOWN = apikey.generate("live", bytes(32)).secret


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna."""
    return seed.user(database)


def made(cli: Cli, name: str, *more: str) -> dict[str, Any]:
    """Make a key and return it."""
    return dict(cli.call("keys", "create", "anna", "--name", name, *more, "-o", "json").ok().json())


def acting(cli: Cli, secret: str, *args: str) -> Result:
    """Run a command with a key."""
    return cli.call(*(args or ("users", "list")), env={"NOTIFYCTL_API_KEY": secret})


def noted(database: Database) -> list[tuple[Any, ...]]:
    """Return what is noted of refusals."""
    f = key_refusals.c
    with database.read() as tx:
        found = select(f.key_id, f.reason, f.wanted, f.noted).order_by(f.first_at, f.reason)
        return [tuple(row) for row in tx.execute(found)]


def problems(cli: Cli) -> dict[str, str]:
    """Return what is wrong with the system, as far as keys are concerned."""
    found = cli.call("status", "-o", "json").ok().json()["problems"]
    return {each["code"]: each["message"] for each in found if each["code"].startswith("key")}


def test_keys_that_end_soon_and_that_nobody_uses(cli: Cli, database: Database) -> None:
    """Within 14 days; never used or not for 90 days. What is revoked or over is neither."""
    soon, late = made(cli, "soon", "--expires-in", "13d"), made(cli, "late", "--expires-in", "15d")
    used, over, gone = made(cli, "used"), made(cli, "over", "--expires-in", "1d"), made(cli, "gone")
    acting(cli, used["key"]).ok()
    cli.call("keys", "revoke", gone["id"]).ok()
    database.write(lambda tx: tx.execute(update(api_keys).where(api_keys.c.id == over["id"]).values(expires_at=5)))
    rows = {row["name"]: row for row in cli.call("keys", "list", "-o", "json").ok().json()}
    assert {name for name, row in rows.items() if row["expiring"]} == {"soon"}
    assert {type(row[name]) for row in rows.values() for name in ("expiring", "unused")} == {bool}
    assert {name for name, row in rows.items() if row["unused"]} == {"soon", "late"}
    assert cli.call("keys", "list", "--expiring", "-o", "id").ok().stdout.split() == [soon["id"]]
    assert set(cli.call("keys", "list", "--unused", "-o", "id").ok().stdout.split()) == {soon["id"], late["id"]}
    ago = api_keys.c.last_used_at - 91 * DAY
    database.write(lambda tx: tx.execute(update(api_keys).where(api_keys.c.id == used["id"]).values(last_used_at=ago)))
    assert used["id"] in cli.call("keys", "list", "--unused", "--user", "anna", "-o", "id").ok().stdout
    shown = cli.call("keys", "list", "-o", "table").ok().stdout
    assert "ending, unused" in shown and shown.count("unused") == 3
    assert problems(cli) == {"key_expiring": "API key soon of anna ends in 12d"}
    for name in ("a", "b", "c"):
        made(cli, name, "--expires-in", "10d")
    assert problems(cli) == {"keys_expiring": "4 API keys end within 14 days, the first in 9d"}


def test_what_is_refused_is_noted_once_a_minute(cli: Cli, database: Database) -> None:
    """By key and reason, with what was asked for and by whom; however often it is tried there is one row for it."""
    narrow, dead = made(cli, "narrow", "--scope", "keys:read"), made(cli, "dead")
    cli.call("keys", "revoke", dead["id"]).ok()
    for _ in range(3):
        for secret in (narrow["key"], dead["key"], UNKNOWN, "nonsense", ""):
            assert acting(cli, secret).exit_code == 4
    assert sorted(noted(database), key=str) == sorted(
        [
            (narrow["id"], "scope", "users:list", 1),
            (dead["id"], "revoked", "users:list", 1),
            (None, "unknown", "users:list", 1),
        ],
        key=str,
    )
    database.write(lambda tx: tx.execute(update(key_refusals).values(last_at=key_refusals.c.last_at - 61_000)))
    acting(cli, dead["key"], "dlq", "list")
    (refusal,) = cli.call("keys", "show", dead["id"], "-o", "json").ok().json()["refusals"]
    assert (refusal["reason"], refusal["wanted"], refusal["noted"]) == ("revoked", "dlq:read", 2)
    assert "notifyctl/" in refusal["agent"] and "@" in refusal["agent"]
    told = cli.call("status").ok().stdout
    assert "API key dead of anna was refused" in told and "an unknown API key was tried 1m ago: " in told
    assert "it has not the scope users:list" in told
    assert problems(cli).keys() == {"key_refused", "key_unknown"}
    assert UNKNOWN[10:] not in told


def test_who_comes_without_a_key_is_noted(cli: Cli, database: Database) -> None:
    """Where a key is demanded: once for all who have none."""
    secret = made(cli, "ci")["key"]
    (cli.home / "c.toml").write_text("require_api_key = true\n")
    for _ in range(2):
        assert cli.call("users", "list", "--config", "c.toml").exit_code == 4
    assert noted(database) == [(None, "missing", "users:list", 1)]
    assert acting(cli, secret, "users", "list", "--config", "c.toml").exit_code == 0
    assert problems(cli)["key_missing"].startswith("somebody without an API key was refused ")


def test_a_refusal_is_no_change(cli: Cli, database: Database) -> None:
    """It leaves no row in the audit trail: whoever has no key cannot fill that."""
    with database.read() as tx:
        before = tx.execute(select(audit_logs.c.id)).all()
    for _ in range(5):
        assert acting(cli, UNKNOWN, "users", "create", "b", "--email", "b@example.org").exit_code == 4
    with database.read() as tx:
        assert tx.execute(select(audit_logs.c.id)).all() == before


def test_other_refusals_are_noted_too(cli: Cli, database: Database) -> None:
    """What a restricted key may not submit, keys that it may not make, and calls over the limit."""
    restricted = made(cli, "ci", "--only-to", "anna", "--expires-in", "90d")
    seed.user(database, "bert")
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    sending = ("send", "bert", "--channel", "sms", "--body", "x", "--to", "+14155552345")
    assert acting(cli, restricted["key"], *sending).exit_code == 4
    cli.call("limits", "set", "anna", "--type", "api", "--per-minute", "1").ok()
    acting(cli, restricted["key"])
    assert acting(cli, restricted["key"]).exit_code == 9
    assert sorted(row[:2] for row in noted(database)) == [(restricted["id"], "limit"), (restricted["id"], "restricted")]
