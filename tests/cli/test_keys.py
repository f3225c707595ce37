"""`keys` on the command line and `NOTIFYCTL_API_KEY`, on both databases."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text, update

from notifyctl.core import apikey
from notifyctl.core.errors import CommitUnknown
from notifyctl.core.model import Actor
from notifyctl.core.scope import Scope
from notifyctl.services import admission
from notifyctl.services.admission import Ask
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import api_keys, audit_logs
from tests.support import seed
from tests.support.command import Cli, Result


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna."""
    return seed.user(database)


def _keys(cli: Cli, *args: str, input: str | bytes | None = None) -> Result:
    return cli.call("keys", *args, input=input)


def _made(cli: Cli, *args: str) -> dict[str, Any]:
    return dict(_keys(cli, "create", "anna", "--name", "ci", "-o", "json", *args).ok().json())


def _acting(cli: Cli, key: str, *args: str) -> Result:
    return cli.call(*(args or ("users", "list", "-o", "id")), env={"NOTIFYCTL_API_KEY": key})


@pytest.mark.parametrize(
    "act",
    [("keys", "create", "anna", "--name", "ci"), ("webhooks", "create", "anna", "https://x.example/h", "--event", "*")],
)
def test_a_secret_stays_where_nobody_knows_whether_it_was_stored(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch, act: tuple[str, ...]
) -> None:
    """Lost in COMMIT, it may be in force: the file that has it is all that there is of it. What failed leaves none."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k1:" + "QUJD" * 21 + "QQ=="
    commit = Database._commit

    def commits(db: Database, conn: Any) -> None:
        commit(db, conn)
        raise CommitUnknown("the connection was lost while it stored the change")

    monkeypatch.setattr(Database, "_commit", commits)
    unknown = cli.call(*act, "--secret-file", "secret")
    assert (unknown.exit_code, "if so, secret has the secret" in unknown.stderr) == (1, True), unknown
    monkeypatch.undo()
    secret = (cli.home / "secret").read_text().strip()
    if act[0] == "keys":
        _acting(cli, secret).ok()
    assert secret.startswith(("nctl_", "whsec_"))
    assert cli.call(*act, "--secret-file", "secret").exit_code == 5
    assert cli.call(*act[:2], "nobody", *act[3:], "--secret-file", "other").exit_code == 3
    assert not (cli.home / "other").exists()


def test_a_key_is_shown_once_and_stored_as_a_hash(cli: Cli, database: Database) -> None:
    """What was shown at creation can act; the database, the lists and the audit trail do not have it."""
    made = _made(cli)
    key = made["key"]
    assert apikey.parse(key) is not None
    _acting(cli, key).ok()
    with database.read() as tx:
        stored = tx.execute(select(api_keys)).mappings().one()
        trail = tx.execute(select(audit_logs.c.changes)).scalars().all()
    assert (stored["key_hash"], stored["prefix"], stored["last_four"]) == (apikey.hash_of(key), key[:14], key[-4:])
    body = key[14:-4]
    for seen in (str(dict(stored)), str(trail), *(_keys(cli, *args).ok().stdout for args in _LOOKS)):
        assert body not in seen
    assert "key" not in _keys(cli, "show", made["id"], "-o", "json").ok().json()


_LOOKS = (("list",), ("list", "-o", "json"), ("list", "-o", "csv"), ("list", "--user", "anna", "-o", "table"))


def test_the_key_alone_or_in_a_file(cli: Cli) -> None:
    """-o secret prints nothing else; a secret file is private, new, and goes again when nothing was stored."""
    alone = _keys(cli, "create", "anna", "--name", "ci", "-o", "secret").ok()
    assert apikey.parse(alone.stdout.strip()) is not None
    file = cli.home / "key"
    made = _keys(cli, "create", "anna", "--name", "ci", "--secret-file", "key", "-o", "json").ok()
    assert "key" not in made.json()
    assert file.read_text().strip()[-4:] == made.json()["last_four"]
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    assert _keys(cli, "create", "anna", "--name", "ci", "--secret-file", "key").exit_code == 5
    assert file.read_text() == before
    assert _keys(cli, "create", "nobody", "--name", "ci", "--secret-file", "other").exit_code == 3
    assert not (cli.home / "other").exists()


def test_an_id_alone_would_lose_the_key(cli: Cli) -> None:
    """-o id without a secret file is refused before anything is stored."""
    assert _keys(cli, "create", "anna", "--name", "ci", "-o", "id").exit_code == 2
    assert _keys(cli, "list", "-o", "json").ok().json() == []
    assert _keys(cli, "create", "anna", "--name", "ci", "-o", "id", "--secret-file", "f").exit_code == 0


def test_if_not_exists(cli: Cli) -> None:
    """Repeated by CI it changes nothing, shows no key, and leaves the file of the first run; a revoked key is none."""
    args = ("create", "anna", "--name", "ci", "--if-not-exists", "--secret-file", "key", "-o", "json")
    first = _keys(cli, *args).ok().json()
    kept = Path(cli.home / "key").read_text()
    again = _keys(cli, *args).ok().json()
    assert (first["created"], again["created"], again["id"]) == (True, False, first["id"])
    assert Path(cli.home / "key").read_text() == kept
    _keys(cli, "revoke", first["id"]).ok()
    Path(cli.home / "key").unlink()
    assert _keys(cli, *args).ok().json()["created"] is True


def test_who_acts_is_in_the_audit_trail(cli: Cli, database: Database, anna: str) -> None:
    """The row names the key's user and the program."""
    key = _made(cli)["key"]
    _acting(cli, key, "users", "create", "bert", "--email", "bert@example.org").ok()
    with database.read() as tx:
        where = audit_logs.c.resource_type == "user"
        row = tx.execute(select(audit_logs.c.user_id, audit_logs.c.user_agent).where(where)).one()
    assert row.user_id == anna
    assert row.user_agent.startswith("notifyctl/")


def test_keys_that_do_not_act(cli: Cli, database: Database) -> None:
    """Mistyped, unknown, revoked and expired keys are refused, each in its own words, and none is shown."""
    made, late = _made(cli), _made(cli)
    unknown = apikey.generate("live", bytes(32)).secret
    _keys(cli, "revoke", made["id"]).ok()
    database.write(lambda tx: tx.execute(update(api_keys).where(api_keys.c.id == late["id"]).values(expires_at=1)))
    for key, words in (
        ("nonsense", "mistyped"),
        (late["key"][:-1], "mistyped"),
        (unknown, "not known"),
        (made["key"], "revoked"),
        (late["key"], "expired"),
    ):
        refused = _acting(cli, key)
        assert (refused.exit_code, refused.stdout) == (4, "")
        assert words in refused.stderr
        assert key not in refused.stderr
        checked = _keys(cli, "verify", "-o", "json", input=key)
        assert checked.exit_code == 7
        assert (checked.json()["valid"], words in checked.json()["reason"]) == (False, True)


def test_verify_a_valid_key(cli: Cli, database: Database) -> None:
    """It says whose key it is, and does not count as a use."""
    made = _made(cli, "--expires-in", "90d")
    found = _keys(cli, "verify", "-o", "json", input=f"{made['key']}\n").ok().json()
    assert (found["valid"], found["reason"], found["id"], found["username"]) == (True, None, made["id"], "anna")
    assert found["expires_at"] == made["expires_at"] is not None
    with database.read() as tx:
        assert tx.execute(select(api_keys.c.last_used_at)).scalar_one() is None
    assert _keys(cli, "verify", input="").exit_code == 2
    assert _keys(cli, "verify", input=b"\xff\xfe\n").exit_code == 7


def test_use_is_noted_at_most_once_a_minute(cli: Cli, database: Database) -> None:
    """A key in heavy use does not cost a write for each command; after a minute it is noted again."""
    made = _made(cli)

    def used() -> int | None:
        with database.read() as tx:
            return tx.execute(select(api_keys.c.last_used_at)).scalar_one()

    def set_used(at: int) -> None:
        database.write(lambda tx: tx.execute(update(api_keys).values(last_used_at=at)))

    _acting(cli, made["key"]).ok()
    now = time.time_ns() // 1_000_000
    assert abs((used() or 0) - now) < 60_000
    set_used(recent := now - 50_000)
    _acting(cli, made["key"]).ok()
    assert used() == recent
    set_used(now - 61_000)
    _acting(cli, made["key"]).ok()
    assert (used() or 0) > recent


def test_a_key_that_was_used_just_now_costs_no_transaction(cli: Cli, database_url: str) -> None:
    """The second command within a minute only reads: nothing waits for another writer."""

    class Counting(Database):
        writes = 0

        def write(self, work: Any) -> Any:
            self.writes += 1
            return super().write(work)

    key, counting = _made(cli)["key"], Counting(database_url)
    for _ in range(3):
        admission.admit(counting, key, Actor(agent="test"), Ask(Scope.USERS_LIST), demanded=False)
    counting.close()
    assert counting.writes == 1


def test_the_check_is_one_statement(cli: Cli, database: Database) -> None:
    """Key, scopes, restrictions and its user's limit come at once: a command with a key costs one round trip more."""
    key = _made(cli, "--scope", "users:list", "--only-to", "anna")["key"]
    ask, said = Ask(Scope.USERS_LIST), list[str]()
    admission.admit(database, key, Actor(agent="test"), ask, demanded=False)  # notes its use

    def hear(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        admission.admit(database, key, Actor(agent="test"), ask, demanded=False)
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert [each.split()[0] for each in said] == ["SELECT"]


def test_a_database_that_takes_no_writes_can_be_read_with_a_key(postgresql_url: str, cli: Cli) -> None:
    """Authentication needs no write: a read-only replica answers."""
    cli.env["NOTIFYCTL_DATABASE_URL"] = postgresql_url
    database = Database(postgresql_url)
    seed.user(database)
    key = _made(cli)["key"]
    name = database.url.database
    database.write(lambda tx: tx.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')))
    database.close()
    assert _acting(cli, key).exit_code == 0
    assert _acting(cli, key, "users", "create", "bert", "--email", "b@example.org").exit_code == 10


def test_revoke_ids_and_leaked_keys_from_stdin(cli: Cli) -> None:
    """Both in one list; what is not known is named without being shown, and does not stop the others."""
    first, second = _made(cli), _made(cli)
    unknown = apikey.generate("live", bytes(32)).secret
    lines = f"{first['key']}\n{second['id'][:8]}\nffffffff\n{unknown}\n"
    done = _keys(cli, "revoke", "-", "-o", "json", input=lines)
    assert done.exit_code == 6
    assert [(row["result"], row["id"]) for row in done.json()] == [
        ("revoked", first["id"]),
        ("revoked", second["id"]),
        ("failed", None),
        ("failed", None),
    ]
    assert first["key"] not in done.stdout + done.stderr
    assert unknown not in done.stdout + done.stderr
    assert _acting(cli, second["key"]).exit_code == 4
    again = _keys(cli, "revoke", first["id"], second["id"], "-o", "json").ok().json()
    assert [row["result"] for row in again] == ["was revoked", "was revoked"]


def test_revoke_exit_codes(cli: Cli) -> None:
    """Nothing on stdin is nothing to do; all not found is not found; a key as an argument is refused."""
    key = _made(cli)["key"]
    assert _keys(cli, "revoke", "-", "-o", "json", input="").ok().json() == []
    assert _keys(cli, "revoke", "ffffffff").exit_code == 3
    assert _keys(cli, "revoke", "ffffffff", "eeeeeeee").exit_code == 3
    assert _keys(cli, "revoke").exit_code == 2
    for verb in ("revoke", "show", "rotate"):
        refused = _keys(cli, verb, key)
        assert refused.exit_code == 2
        assert key not in refused.stderr
    _acting(cli, key).ok()


def test_rotate(cli: Cli) -> None:
    """A new key takes over name, user and lifetime; the old one ends at once, or after the overlap."""
    old = _made(cli, "--expires-in", "90d")
    new = _keys(cli, "rotate", old["id"][:8], "-o", "json").ok().json()
    assert (new["name"], new["username"], new["created"]) == ("ci", "anna", True)
    assert new["expires_at"] > old["expires_at"]
    assert (_acting(cli, old["key"]).exit_code, _acting(cli, new["key"]).exit_code) == (4, 0)
    assert _keys(cli, "rotate", old["id"]).exit_code == 5
    newest = _keys(cli, "rotate", new["id"], "--overlap", "1h", "--expires-in", "1d", "-o", "json").ok().json()
    assert (_acting(cli, new["key"]).exit_code, _acting(cli, newest["key"]).exit_code) == (0, 0)
    states = {row["id"]: row["state"] for row in _keys(cli, "list", "-o", "json").ok().json()}
    assert states == {old["id"]: "revoked", new["id"]: "active", newest["id"]: "active"}
    assert _keys(cli, "show", new["id"], "-o", "json").ok().json()["expires_at"] < old["expires_at"]


@pytest.mark.parametrize("value", ["0", "-5", "5q", "", "99999999999d", "nan", "1h 2h"])
def test_no_duration(cli: Cli, value: str) -> None:
    """A lifetime that is none is a usage error with a hint, and stores nothing."""
    refused = _keys(cli, "create", "anna", "--name", "ci", f"--expires-in={value}", "-o", "json")
    assert refused.exit_code == 2
    assert "duration is like" in json.loads(refused.stderr)["error"]["hint"]
    assert _keys(cli, "list", "-o", "json").ok().json() == []


def test_lists_are_by_user(cli: Cli, database: Database) -> None:
    """An unknown user is not found rather than an empty list."""
    seed.user(database, "bert")
    made = _made(cli)
    assert _keys(cli, "list", "--user", "anna", "-o", "id").ok().stdout.split() == [made["id"]]
    assert _keys(cli, "list", "--user", "bert", "-o", "json").ok().json() == []
    assert _keys(cli, "list", "--user", "nobody").exit_code == 3


@pytest.mark.parametrize(
    "how", [("-o", "id"), ("--fields", "id"), ("-o", "json", "--fields", "id,prefix"), ("-o", "csv", "--fields", "id")]
)
def test_no_key_is_made_that_nobody_sees(cli: Cli, how: tuple[str, ...]) -> None:
    """It is shown once: a form in which it has no place is refused before anything is made, or writes it to a file."""
    made = _made(cli)
    for words in (("create", "anna", "--name", "other"), ("rotate", made["id"])):
        refused = _keys(cli, *words, *how)
        assert refused.exit_code == 2 and "shown only once" in refused.stderr, refused
    hook = ("webhooks", "create", "anna", "https://hooks.example.org/x", "--event", "sent")
    assert cli.call(*hook, *how).exit_code == 2
    assert [each["state"] for each in _keys(cli, "list", "-o", "json").ok().json()] == ["active"]
    assert cli.call("webhooks", "list", "-o", "json").ok().json() == []
    _keys(cli, "create", "anna", "--name", "other", *how, "--secret-file", "f").ok()
    assert (cli.home / "f").read_text().startswith("nctl_")
    shown = _keys(cli, "create", "anna", "--name", "third", "-o", "json", "--fields", "key").ok().json()
    assert _acting(cli, shown["key"]).exit_code == 0
