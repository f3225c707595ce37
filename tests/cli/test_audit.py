"""`audit`: what was done and by whom; that whoever tampers with the trail of it is found out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from notifyctl.core.audit.sealing import derived, row_mac
from notifyctl.core.model import Actor
from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_anchors, audit_logs, audit_seals
from tests.support import seed
from tests.support.command import Cli, Result

KEY = format_key("k1", bytes(range(64)))
OTHER = format_key("k2", bytes(reversed(range(64))))
KEYED = pytest.mark.parametrize("keys", [KEY, None], ids=["keyed", "keyless"])


def _people(cli: Cli, number: int = 6) -> None:
    for each in range(number):
        cli.call("users", "create", f"user{each}", "--email", f"u{each}@example.org").ok()


def _verify(cli: Cli, *words: str, input: str | None = None) -> Result:
    done = cli.call("audit", "verify", *words, "-o", "json", input=input)
    assert done.exit_code in (0, 7), done
    assert (done.exit_code == 0) is done.json()["whole"] is (done.json()["faults"] == [])
    return done


def _faults(done: Result) -> list[tuple[str, str | None]]:
    return [(each["fault"], each["audit_id"]) for each in done.json()["faults"]]


def _ids(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(select(audit_seals.c.audit_id).order_by(audit_seals.c.position)).scalars())


def _sealed(cli: Cli, database: Database, keys: str | None) -> list[str]:
    """Return the ids of a trail of six rows, all sealed, in their order."""
    if keys is not None:
        cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = keys
    _people(cli)
    cli.call("audit", "seal").ok()
    assert _faults(_verify(cli)) == []
    return _ids(database)


def _run(database: Database, *statements: str, **values: Any) -> None:
    database.write(lambda tx: [tx.execute(text(each), values) for each in statements])


# What was done


def test_who_did_what_from_where(cli: Cli, database: Database) -> None:
    """The user of the key or the operator, the command, the SSH client's address; filters find that and no more."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    key = cli.call("keys", "create", "anna", "--name", "ci", "-o", "json").ok().json()
    env = {"NOTIFYCTL_API_KEY": key["key"], "SSH_CONNECTION": "203.0.113.7 50022 192.0.2.1 22"}
    made = cli.call("users", "create", "omar", "--email", "omar@example.org", "-o", "json", env=env).ok().json()
    [entry] = cli.call("audit", "list", "--user", "anna", "-o", "json").ok().json()
    assert (entry["action"], entry["resource_type"], entry["resource_id"]) == ("create", "user", made["id"])
    assert (entry["actor"], entry["actor_id"], entry["key_id"]) == ("anna", key["user_id"], key["id"])
    assert (entry["ip_address"], entry["user_id"]) == ("203.0.113.7", key["user_id"])
    assert entry["user_agent"].startswith("notifyctl/") and entry["user_agent"].endswith(" users create")
    assert entry["changes"]["email"] == [None, "o***@example.org"]
    assert cli.call("audit", "show", entry["id"][:8], "-o", "json").ok().json() == entry
    operator = cli.call("audit", "list", "--resource", "api_key", "-o", "json").ok().json()[0]["actor"]
    for words, count in (
        (("--key", key["id"][:8]), 1),
        (("--user", operator), 2),
        (("--action", "create", "--resource", "user"), 2),
        (("--resource", f"user/{made['id'][:8]}"), 1),
        (("--since", "1h"), 3),
        (("--until", "1h"), 0),
        (("--limit", "1"), 1),
    ):
        assert len(cli.call("audit", "list", *words, "-o", "json").ok().json()) == count, words


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--user", "nobody"), 3),
        (("--key", "abcdefab"), 3),
        (("--action", "frobnicate"), 2),
        (("--resource", "planet"), 2),
        (("--resource", "user/"), 2),
        (("--resource", "user/abcdefab"), 3),
    ],
)
def test_what_never_was_is_no_empty_list(cli: Cli, words: tuple[str, ...], code: int) -> None:
    """A filter that names what there is not says so."""
    done = cli.call("audit", "list", *words)
    assert (done.exit_code, done.stdout) == (code, "")


def test_a_deleted_user_is_still_found(cli: Cli, database: Database) -> None:
    """By name and by id: the trail names who acted as it was then. Deleting is no tampering, and leaves no address."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEY
    anna = cli.call("users", "create", "anna", "--email", "anna.b@example.org", "-o", "id").ok().stdout.strip()
    key = cli.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()
    cli.call("users", "update", "anna", "--language", "de", env={"NOTIFYCTL_API_KEY": key}).ok()
    cli.call("audit", "seal").ok()
    cli.call("users", "delete", "anna", "--yes").ok()
    for ref in ("anna", anna):
        [entry] = cli.call("audit", "list", "--user", ref, "-o", "json").ok().json()
        assert (entry["action"], entry["user_id"], entry["actor_id"]) == ("update", None, anna)
    assert _faults(_verify(cli)) == []
    cli.call("audit", "seal").ok()
    assert _faults(_verify(cli)) == []
    assert "anna.b@" not in cli.call("audit", "export").ok().stdout


def test_export_and_words(cli: Cli) -> None:
    """NDJSON is the usual form, with what changed as an object; every action in the trail is in the vocabulary."""
    _people(cli, 2)
    rows = [json.loads(line) for line in cli.call("audit", "export", "--action", "create").ok().stdout.splitlines()]
    assert [row["changes"]["username"][1] for row in rows] == ["user1", "user0"]
    words = {word["action"]: word["resources"] for word in cli.call("audit", "actions", "-o", "json").ok().json()}
    assert all(row["resource_type"] in words[row["action"]] for row in rows)


# Tampering


@KEYED
def test_an_edited_row_is_named(cli: Cli, database: Database, keys: str | None) -> None:
    """Whatever field it is, and whether it becomes another value, empty or NULL."""
    ids = _sealed(cli, database, keys)
    for change in (
        "action = 'delete'",
        "resource_id = NULL",
        "actor = 'somebody'",
        "actor = ''",
        "user_agent = NULL",
        "reason = ''",
        "ip_address = '192.0.2.1'",
        "changes = replace(changes, 'user', 'anna')",
        "created_at = created_at + 1",
        "key_id = id",
    ):
        names = "id, action, resource_id, actor, user_agent, reason, ip_address, changes, created_at, key_id"
        with database.read() as tx:
            before = tx.execute(text(f"SELECT {names} FROM audit_logs WHERE id = :id"), {"id": ids[2]}).mappings().one()
        _run(database, f"UPDATE audit_logs SET {change} WHERE id = :id", id=ids[2])
        assert _faults(_verify(cli)) == [("changed", ids[2])], change
        database.write(
            lambda tx, b=before: tx.execute(update(audit_logs).where(audit_logs.c.id == b["id"]).values(**b))
        )
    assert _faults(_verify(cli)) == []


def test_a_row_is_blamed_on_nobody_else(cli: Cli, database: Database) -> None:
    """`user_id` is outside of the MAC, as deleting a user rewrites it: nothing else may."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEY
    _people(cli, 2)
    key = cli.call("keys", "create", "user0", "--name", "ci", "-o", "secret").ok().stdout.strip()
    cli.call("users", "update", "user0", "--language", "de", env={"NOTIFYCTL_API_KEY": key}).ok()
    [entry] = cli.call("audit", "list", "--action", "update", "-o", "json").ok().json()
    for other in ("(SELECT id FROM users WHERE username = 'user1')", "NULL"):
        _run(database, f"UPDATE audit_logs SET user_id = {other} WHERE id = :id", id=entry["id"])
        assert _faults(_verify(cli)) == [("changed", entry["id"])], other


@KEYED
def test_a_removed_row_is_named(cli: Cli, database: Database, keys: str | None) -> None:
    """With its seal left by its id, with its seal gone by its position."""
    ids = _sealed(cli, database, keys)
    _run(database, "DELETE FROM audit_logs WHERE id = :id", id=ids[1])
    assert _faults(_verify(cli)) == [("removed", ids[1])]
    _run(
        database, "DELETE FROM audit_seals WHERE position IN (2, 5)", "DELETE FROM audit_logs WHERE id = :id", id=ids[4]
    )
    done = _verify(cli).json()["faults"]
    assert [(each["fault"], each["position"]) for each in done] == [("removed", 2), ("removed", 5)]
    _run(database, "DELETE FROM audit_seals WHERE position = 1", "DELETE FROM audit_logs WHERE id = :id", id=ids[0])
    assert [each["position"] for each in _verify(cli).json()["faults"]] == [1, 5]


@KEYED
def test_removing_and_closing_the_gap(cli: Cli, database: Database, keys: str | None) -> None:
    """Whoever renumbers what follows changes what was sealed at those places."""
    ids = _sealed(cli, database, keys)
    _run(database, "DELETE FROM audit_seals WHERE position = 3", "DELETE FROM audit_logs WHERE id = :id", id=ids[2])
    for position in range(4, len(ids) + 1):
        _run(database, "UPDATE audit_seals SET position = position - 1 WHERE position = :p", p=position)
    found = _faults(_verify(cli))
    assert found[0][1] == ids[3] and {fault for fault, _ in found} == {"moved" if keys else "changed"}


@KEYED
def test_swapped_rows_are_named(cli: Cli, database: Database, keys: str | None) -> None:
    """What two rows say, their places, and their seals."""
    ids = _sealed(cli, database, keys)
    for table, column, one, other in (
        ("audit_logs", "changes", ids[1], ids[3]),
        ("audit_seals", "audit_id", ids[1], ids[3]),
        ("audit_seals", "seal", ids[1], ids[3]),
    ):
        key, third = ("id", "changes") if table == "audit_logs" else ("audit_id", column)
        with database.read() as tx:
            rows = dict(tx.execute(text(f"SELECT {key}, {third} FROM {table}")).all())
        swap = f"UPDATE {table} SET {column} = :value WHERE {key} = :id"
        if column == "audit_id":
            _run(database, swap, value="x" * 36, id=one)
            _run(database, swap, value=one, id=other)
            _run(database, swap, value=other, id="x" * 36)
        else:
            _run(database, swap, value=rows[other], id=one)
            _run(database, swap, value=rows[one], id=other)
        found = _faults(_verify(cli))
        assert {id_ for _, id_ in found} == {one, other}, (table, column, found)
        assert {fault for fault, _ in found} <= {"changed", "moved"}
        if column == "audit_id":
            _run(database, swap, value="x" * 36, id=one)
            _run(database, swap, value=one, id=other)
            _run(database, swap, value=other, id="x" * 36)
        else:
            _run(database, swap, value=rows[one], id=one)
            _run(database, swap, value=rows[other], id=other)
    assert _faults(_verify(cli)) == []


def _forged(ids: list[str], database: Database, **values: Any) -> str:
    """Append a copy of the last row under another id."""
    id_ = "00000000-0000-4000-8000-000000000000"

    def work(tx: Any) -> None:
        row = dict(tx.execute(select(audit_logs).where(audit_logs.c.id == ids[-1])).mappings().one())
        tx.execute(insert(audit_logs), [{**row, "id": id_, **values}])

    database.write(work)
    return id_


@pytest.mark.parametrize("is_sealed", [False, True])
@pytest.mark.parametrize("mac", ["copied", None, "other key", "unknown key", "nonsense"])
def test_an_appended_row_is_named(cli: Cli, database: Database, mac: str | None, is_sealed: bool) -> None:
    """With the MAC of another row, with none, with one by another key: not sealed yet, and when a sealer took it."""
    ids = _sealed(cli, database, KEY)
    with database.read() as tx:
        row = dict(tx.execute(select(audit_logs).where(audit_logs.c.id == ids[-1])).mappings().one())
    row["id"] = "00000000-0000-4000-8000-000000000000"
    macs = {
        "copied": row["mac"],
        None: None,
        "other key": row_mac(derived("k1", bytes(64)), row),
        "unknown key": row_mac(derived("zz", bytes(64)), row),
        "nonsense": "x",
    }
    forged = _forged(ids, database, mac=macs[mac])
    if is_sealed:
        cli.call("audit", "seal").ok()
    assert [id_ for _, id_ in _faults(_verify(cli))] == [forged]


TEXTS = {
    "logs": ["mac", "actor", "actor_id", "resource_id", "user_agent", "changes", "reason", "ip_address"],
    "seals": ["seal", "key_id", "audit_id"],
    "anchors": ["seal"],
}
NUMBERS = {"logs": ["created_at"], "seals": ["sealed_at", "position"], "anchors": ["position", "created_at"]}
"""Columns that a tamperer can write to, by table; SQLite holds anything in each of them."""
ODD = [b"\xff\x00", 7.5]


def _columns(known: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(table, name) for table, names in known.items() for name in names]


def _meddle(database: Database, statement: str, **values: Any) -> None:
    """Run a statement as somebody does whom no CHECK of SQLite's stops."""

    def work(tx: Tx) -> None:
        if tx.dialect.name == "sqlite":
            tx.execute(text("PRAGMA ignore_check_constraints = ON"))
        tx.execute(text(statement), values)
        if tx.dialect.name == "sqlite":
            tx.execute(text("PRAGMA ignore_check_constraints = OFF"))

    database.write(work)


def _odd(cli: Cli, database: Database, table: str, column: str, values: list[Any]) -> None:
    ids = _sealed(cli, database, KEY)
    cli.call("audit", "anchor").ok()
    id_, key = ids[2], {"logs": "id", "seals": "audit_id", "anchors": "kept_in"}[table]
    row = f"(SELECT {column} FROM audit_{table} WHERE {key} = :id)"
    if table == "anchors":
        id_ = "stdout"
    with database.read() as tx:
        before = tx.execute(text(f"SELECT {row}"), {"id": id_}).scalar_one()
    for value in values:
        _meddle(database, f"UPDATE audit_{table} SET {column} = :value WHERE {key} = :id", value=value, id=id_)
        done = _verify(cli)
        assert done.exit_code == 7, (value, done)
        assert table != "logs" or {found for _, found in _faults(done)} == {id_}, (value, done)
        id_ = value if column == key else id_
        _run(database, f"UPDATE audit_{table} SET {column} = :value WHERE {key} = :id", value=before, id=id_)
        id_ = before if column == key else id_
    assert _verify(cli).exit_code == 0


@pytest.mark.parametrize(("table", "column"), _columns(TEXTS))
def test_letters_beyond_ascii_are_a_fault_like_any(cli: Cli, database: Database, table: str, column: str) -> None:
    """Nobody of ours writes them where a MAC or a seal stands; `verify` says which row, and ends well."""
    _odd(cli, database, table, column, ["\u00e9"] if column == "key_id" else ["m1.k1.\u00e9", "m1.\u00e9.x", "\u00e9"])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("table", "column"), _columns(TEXTS) + _columns(NUMBERS))
def test_bytes_and_fractions_are_a_fault_like_any(cli: Cli, database: Database, table: str, column: str) -> None:
    """Whoever puts its CHECKs aside writes them into any column; `verify` says which row, and ends well."""
    _odd(cli, database, table, column, ODD)


@KEYED
def test_an_appended_seal_is_named(cli: Cli, database: Database, keys: str | None) -> None:
    """A seal cannot be made without the key; without one it has to fit."""
    ids = _sealed(cli, database, keys)
    forged = _forged(ids, database, mac=None)
    row = {
        "position": len(ids) + 1,
        "audit_id": forged,
        "key_id": "k1" if keys else None,
        "seal": "0" * 64,
        "sealed_at": 1,
    }
    database.write(lambda tx: tx.execute(insert(audit_seals), [row]))
    assert {id_ for _, id_ in _faults(_verify(cli))} == {forged}


@KEYED
def test_a_tail_that_was_cut_off_is_found(cli: Cli, database: Database, keys: str | None) -> None:
    """Nothing in the database shows it; an anchor that was kept elsewhere does."""
    ids = _sealed(cli, database, keys)
    anchor = cli.call("audit", "anchor").ok().stdout
    with database.read() as tx:
        last = tx.execute(select(audit_seals.c.position).order_by(audit_seals.c.position.desc())).scalar()
    _run(
        database,
        "DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM audit_seals WHERE position > 4)",
        "DELETE FROM audit_seals WHERE position > 4",
        "DELETE FROM audit_anchors",
    )
    assert _faults(_verify(cli)) == []
    done = _verify(cli, "--anchors", "-", input=anchor)
    assert [(each["fault"], each["position"]) for each in done.json()["faults"]] == [("cut", last)]
    assert last == len(ids)


def test_a_chain_that_was_replaced_is_found(cli: Cli, database: Database) -> None:
    """Whoever makes all of it anew, without a key as with another, is contradicted by the anchors."""
    _sealed(cli, database, None)
    anchor = cli.call("audit", "anchor").ok().stdout
    database.write(lambda tx: tx.execute(update(audit_logs).values(actor="somebody else")))
    _run(database, "DELETE FROM audit_seals", "DELETE FROM audit_anchors")
    cli.call("audit", "seal").ok()
    assert _faults(_verify(cli)) == []
    done = _verify(cli, "--anchors", "-", input=anchor)
    assert [each["fault"] for each in done.json()["faults"]] == ["replaced"]


def test_a_keyed_chain_is_not_replaced_by_a_plain_one(cli: Cli, database: Database) -> None:
    """Who has no key is not let seal after those who had one, and whoever does it by hand is found."""
    ids = _sealed(cli, database, KEY)
    del cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    cli.call("users", "create", "late", "--email", "late@example.org").ok()
    assert cli.call("audit", "seal").exit_code == 4
    assert cli.call("audit", "verify").exit_code == 4
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEY
    [(fault, _)] = _faults(_verify(cli))
    assert fault == "forged"
    assert _faults(_verify(cli, "--accept-unsigned")) == []
    _run(database, "UPDATE audit_seals SET key_id = NULL WHERE position = 6")
    assert ("forged", ids[5]) in _faults(_verify(cli, "--accept-unsigned"))


# What is no tampering


def test_what_is_not_sealed_or_anchored_is_told_apart(cli: Cli, database: Database) -> None:
    """New rows, rows that SQL wrote, and what no anchor covers yet: counted, and no fault."""
    ids = _sealed(cli, database, KEY)
    report = _verify(cli).json()
    assert (report["sealed"], report["unsealed"], report["anchored"], report["not_anchored"]) == (7, 0, 0, 7)
    assert len(ids) == 7  # the key that was kept is among what was done
    cli.call("audit", "anchor").ok()
    said = {"action": "create", "resource_type": "notification", "user_agent": "notifyctl_submit shop", "actor": "shop"}
    _forged(ids, database, mac=None, **said)
    report = _verify(cli).json()
    assert (report["unsealed"], report["anchored"], report["without_mac"]) == (1, 7, 1)
    cli.call("audit", "seal").ok()
    report = _verify(cli).json()
    assert (report["unsealed"], report["sealed"], report["not_anchored"]) == (0, 8, 1)


def test_late_rows_are_sealed_later(cli: Cli, database: Database) -> None:
    """What commits with an older time than what is sealed already is taken all the same."""
    ids = _sealed(cli, database, None)
    late = _forged(ids, database, created_at=1)
    cli.call("audit", "seal").ok()
    assert _ids(database)[-1] == late
    assert _faults(_verify(cli)) == []


def test_another_key_breaks_nothing(cli: Cli, database: Database) -> None:
    """What was written by a key that is forgotten since is verified as before: what takes that was kept, sealed."""
    ids = _sealed(cli, database, KEY)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = f"{OTHER},{KEY}"
    cli.call("users", "create", "later", "--email", "later@example.org").ok()
    cli.call("audit", "seal").ok()
    assert _faults(_verify(cli)) == []
    with database.read() as tx:
        assert set(tx.execute(select(audit_seals.c.key_id)).scalars()) == {"k1", "k2"}
    assert ids


@KEYED
def test_a_purge_is_on_record(cli: Cli, database: Database, keys: str | None) -> None:
    """The chain goes on after what was purged; whoever removes rows and writes no record, or a false one, is found."""
    ids = _sealed(cli, database, keys)
    anchor = cli.call("audit", "anchor").ok().stdout
    with database.read() as tx:
        last = tx.execute(select(func.max(audit_logs.c.created_at))).scalar_one()
    while database.moment() <= last + 1_000:
        time.sleep(0.05)
    assert cli.call("audit", "purge", "--older-than", "1s").exit_code == 2
    done = cli.call("audit", "purge", "--older-than", "1s", "--yes", "-o", "json").ok().json()
    assert done["removed"] >= 5 and done["through"] == done["removed"]
    report = _verify(cli, "--anchors", "-", input=anchor).json()
    assert (report["purged"], report["faults"]) == (done["through"], [])
    assert len(ids) <= done["removed"] + 1
    [entry] = cli.call("audit", "list", "--action", "purge", "-o", "json").ok().json()
    assert entry["changes"]["rows"] == done["removed"]
    cli.call("audit", "seal").ok()
    assert _faults(_verify(cli)) == []
    _run(database, "DELETE FROM audit_logs WHERE action = 'purge'")
    assert ("removed", None) in _faults(_verify(cli))


def test_anchors_that_are_not_understood_are_refused(cli: Cli, database: Database) -> None:
    """A line that is none must not pass for one that was held against the chain; a log's own words may stand before."""
    _sealed(cli, database, None)
    anchor = cli.call("audit", "anchor").ok().stdout
    assert (
        cli.call("audit", "verify", "--anchors", "-", input="Nov 30 01:02:03 host notifyctl: " + anchor).exit_code == 0
    )
    for line in ("nonsense", "{}", anchor.replace('"position": ', '"position": -'), anchor[:-20] + "}"):
        done = cli.call("audit", "verify", "--anchors", "-", input=anchor + line)
        assert (done.exit_code, done.stdout) == (2, ""), line
    assert cli.call("audit", "verify", "--anchors", "/nowhere").exit_code == 2
    with database.read() as tx:
        assert tx.execute(select(audit_anchors.c.kept_in)).scalars().all() == ["stdout"]


@pytest.mark.parametrize(
    "number", [pytest.param(5_000, marks=pytest.mark.slow), pytest.param(100_000, marks=pytest.mark.full)]
)
def test_a_long_trail_is_verified_in_seconds(cli: Cli, database: Database, number: int) -> None:
    """100,000 rows in less than ten seconds, and whoever tampers with one of them in the middle is found."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEY
    mac_key = derived("k1", bytes(range(64)))
    working = database.authenticating(lambda: mac_key).acting_for(Actor(agent="notifyctl/test", name="root@test"))
    for start in range(0, number, 10_000):
        facts = [(None, {"number": [None, each]}) for each in range(start, min(start + 10_000, number))]
        working.write(lambda tx, some=facts: tx.audit("update", "user", some))
    cli.call("audit", "seal").ok()
    began = time.monotonic()
    report = json.loads(cli.run("audit", "verify", "-o", "json").ok().stdout)
    took = time.monotonic() - began
    assert report["sealed"] >= number and took < 10, took
    victim = _ids(database)[number // 2]
    _run(database, "UPDATE audit_logs SET changes = '{}' WHERE id = :id", id=victim)
    assert _faults(_verify(cli)) == [("changed", victim)]


def test_what_sql_submits_is_authenticated_by_its_seal(cli: Cli, postgresql_url: str) -> None:
    """`notifyctl_submit` has no key: its row is no fault, names who had logged in, and is sealed like any other."""
    cli.env |= {"NOTIFYCTL_DATABASE_URL": postgresql_url, "NOTIFYCTL_ENCRYPTION_KEYS": KEY}
    database = Database(postgresql_url)
    seed.provider(database)
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    submit = 'SELECT id FROM notifyctl_submit(\'anna\', \'email\', \'{"subject": "s", "text": "t"}\')'
    made = database.write(lambda tx: tx.execute(text(submit)).scalar_one())
    report = _verify(cli).json()
    assert (report["unsealed"], report["without_mac"]) == (2, 1)
    [entry] = cli.call("audit", "list", "--resource", f"notification/{made}", "-o", "json").ok().json()
    with database.read() as tx:
        assert entry["actor"] == tx.execute(text("SELECT session_user")).scalar_one()
    assert (entry["mac"], entry["actor_id"], entry["position"]) == (None, None, None)
    assert report["not_sealed"] == [entry["id"]]
    listed = cli.call("audit", "verify", "-o", "csv").ok().stdout.splitlines()
    assert [line.split(",")[:3] for line in listed[1:]] == [["not_sealed", "", entry["id"]]]
    cli.call("audit", "seal").ok()
    report = _verify(cli).json()
    assert (report["unsealed"], report["not_sealed"]) == (0, [])
    _run(database, "UPDATE audit_logs SET actor = 'somebody' WHERE id = :id", id=entry["id"])
    assert _faults(_verify(cli)) == [("changed", entry["id"])]
    database.close()
