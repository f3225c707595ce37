"""Every exit code of the contract, provoked by a real situation, on both databases where one is involved.

Cron lines and scripts live by these numbers. Whatever happens, stdout stays empty where there is no data, stderr says
what is wrong and what helps, as one JSON document where JSON was asked for, and nobody ever sees a traceback.
"""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import func, insert, make_url, select, text, update

from notifyctl.core import apikey
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import api_keys, notifications, users
from tests.support import letters, seed, wiretap
from tests.support.command import Cli, Result
from tests.support.confined import with_file_size, without_privileges
from tests.support.databases import PostgreSQLMaker
from tests.support.world import KEYS

SMS = ("send", "anna", "--channel", "sms", "--body", "x", "--to", "+14155552345")
NOBODY = "00000000-0000-4000-8000-000000000000"
DISPATCH = ("dispatch", "--once", "--channel", "email")
OTHER_KEYS = "k1:" + "QUJE" * 21 + "QQ=="


def explained(result: Result, code: int, *words: str, data: bool = False) -> None:
    """Check an error for people: the exit code, what is wrong, what helps, and nothing else."""
    assert result.exit_code == code, result
    assert data or result.stdout == "", result
    said = [line.partition(": ")[0] for line in result.stderr.splitlines()[-2:]]
    # What is allowed instead of a bad value may stand in the message itself.
    assert said == ["error", "hint"] or (code == 2 and said[-1] == "error"), result
    _clean(result, *words)


def documented(result: Result, code: int, name: str, *words: str, data: bool = False) -> None:
    """Check an error for programs: the same as one JSON document, the last line of stderr."""
    assert result.exit_code == code, result
    assert data or result.stdout == "", result
    document = json.loads(result.stderr.splitlines()[-1])
    assert set(document) == {"error"} and set(document["error"]) == {"code", "message", "hint"}
    assert document["error"]["code"] == name and document["error"]["message"]
    assert document["error"]["hint"] or code == 2
    _clean(result, *words)


def fails(
    cli: Cli,
    code: int,
    name: str,
    *args: str,
    words: tuple[str, ...] = (),
    input: str | None = None,
    env: dict[str, str] | None = None,
    data: bool = False,
) -> None:
    """Run a command twice, for people and for programs, and check that it fails as the contract says."""
    explained(cli.call(*args, input=input, env=env), code, *words, data=data)
    # Before an argument separator: behind it nothing is an option.
    documented(cli.call("-o", "json", *args, input=input, env=env), code, name, *words, data=data)


def _clean(result: Result, *words: str) -> None:
    for word in words:
        assert word in result.stderr or json.dumps(word)[1:-1] in result.stderr, result
    for never in ("Traceback", "unexpected", "this is a defect"):
        assert never not in result.stderr + result.stdout, result


def count(database: Database) -> int:
    """Return how many notifications there are."""
    with database.read() as tx:
        return tx.execute(select(func.count()).select_from(notifications)).scalar_one()


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider for SMS."""
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    return seed.user(database)


# 0


def test_0_nothing_to_do(cli: Cli, anna: str) -> None:
    """Nothing to do is success, and an empty list is an empty list."""
    for args in (("notifications", "cancel", "-"), ("dlq", "retry", "-"), ("dispatch", "--once", "--channel", "push")):
        assert cli.call(*args, input="").ok().stderr == ""
    for noun in ("notifications", "dlq", "keys"):
        assert cli.call(noun, "list", "-o", "json").ok().json() == []


# 1


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
def test_1_an_unknown_commit(bare_cli: Cli, postgresql_url: str, stored: bool) -> None:
    """The server vanishes at COMMIT: exit 1 with the key to repeat it with; the repetition leaves exactly one row."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = postgresql_url
    database = Database(postgresql_url)
    try:
        seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
        seed.user(database)
        with wiretap.losing_commits(postgresql_url, stored=stored) as lossy:
            result = bare_cli.call(*SMS, env={"NOTIFYCTL_DATABASE_URL": lossy})
            explained(result, 1, "lost while it stored the change", "repeat it with --idempotency-key ")
            documented(bare_cli.call(*SMS, "-o", "json", env={"NOTIFYCTL_DATABASE_URL": lossy}), 1, "commit_unknown")
        assert count(database) == (2 if stored else 0)
        key = shlex.split(result.stderr.split("--idempotency-key ")[1].split(": ")[0])[0]
        again = bare_cli.call(*SMS, "--idempotency-key", key, "-o", "json").ok().json()
        assert again["deduplicated"] is stored
        assert count(database) == (2 if stored else 1)
    finally:
        database.close()


def test_1_an_unknown_commit_of_a_dispatcher_sends_nothing_twice(bare_cli: Cli, postgresql_url: str) -> None:
    """`dispatch --once` that cannot know whether it claimed does not send; it says so and exits 1."""
    bare_cli.env |= {"NOTIFYCTL_DATABASE_URL": postgresql_url, "NOTIFYCTL_ENCRYPTION_KEYS": KEYS}
    with wiretap.losing_commits(postgresql_url, stored=True) as lossy:
        explained(bare_cli.run("dispatch", "--once", env={"NOTIFYCTL_DATABASE_URL": lossy}), 1, "was lost")


# 2


@pytest.mark.parametrize(
    "args",
    [
        ("frobnicate",),
        ("users", "frobnicate"),
        ("users", "list", "--frobnicate"),
        ("users", "create"),
        ("users", "create", "anna"),
        ("users", "create", "an na", "--email", "anna@example.org"),
        ("users", "create", "anna", "--email", "nonsense"),
        ("users", "list", "--limit", "many"),
        ("users", "list", "--cursor", "nonsense"),
        ("users", "list", "-o", "xml"),
        ("users", "contacts", "add", "anna", "fax", "1"),
        ("users", "contacts", "add", "anna", "sms", "0"),
        ("send", "anna"),
        (*SMS, "--at", "tomorrow"),
        ("schedule", "anna", "--channel", "sms", "--body", "x"),
        ("notifications", "cancel"),
        ("notifications", "cancel", "--all", NOBODY),
        ("notifications", "list", "--state", "nonsense"),
        ("dlq", "retry", "--rate", "fast", "--all", "--yes"),
        ("dlq", "resolve", NOBODY),
        ("metrics", "show", "--since", "nonsense"),
        ("providers", "add", "sendgrid", "--api-key", "in-the-arguments"),
        ("providers", "add", "pigeon", "--api-key", "-"),
        ("keys", "create", "anna", "--name", ""),
        ("migrate", "up", "nonsense"),
        ("dispatch", "--poll", "0s"),
        ("sandbox", "--inject", "nonsense"),
        ("sandbox", "--log", "nowhere/log", "--port", "0"),
        ("sandbox", "--service-account", "nowhere/file", "--port", "0"),
        ("completion", "show", "nonsense"),
        ("config", "show", "--config", "nowhere"),
        ("config", "show", "--profile", "nowhere"),
        ("users", "list", "--database-url", "postgresql://me:secret@db/notify"),
        ("users", "list", "--database-url", "postgresql://me@db/notify?password=secret"),
        ("users", "list", "--database-url", "mysql://me@db/notify"),
        ("users", "list", "--database-url", "postgresql://me@127.0.0.1/notify?frobnicate=1"),
        ("users", "list", "--database-url", "postgresql://me@127.0.0.1/notify?connect_timeout=soon"),
        ("users", "list", "--database-url", "postgresql://me@127.0.0.1/notify?sslmode=maybe"),
        ("users", "list", "--database-url", "postgresql://me@127.0.0.1/notify?port=99999"),
        ("users", "list", "--database-url", "postgresql://me@db:port/notify"),
        ("users", "list", "--database-url", "sqlite:///:memory:"),
        ("users", "list", "--database-url", "nonsense"),
    ],
    ids=" ".join,
)
def test_2_usage(sqlite_cli: Cli, args: tuple[str, ...]) -> None:
    """What cannot be meant is refused with the command that shows how it is done."""
    fails(sqlite_cli, 2, "usage", *args)


@pytest.fixture
def sqlite_cli(bare_cli: Cli, sqlite_url: str) -> Cli:
    """The command line on a SQLite database with anna in it, for what is decided before the database matters."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    database = Database(sqlite_url)
    seed.user(database)
    database.close()
    return bare_cli


@pytest.mark.parametrize(
    "variable", ["LOG_FORMAT", "LOG_LEVEL", "ENCRYPTION_KEYS", "CONFIG", "PROFILE", "DATABASE_URL"]
)
def test_2_a_mistake_in_the_environment(sqlite_cli: Cli, variable: str) -> None:
    """A variable that cannot be meant stops every command, instead of being passed over."""
    sqlite_cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    fails(sqlite_cli, 2, "usage", "dispatch", "--once", env={f"NOTIFYCTL_{variable}": "nonsense"})


def test_2_missing_confirmation(cli: Cli, database: Database, anna: str) -> None:
    """Where nobody can be asked, what needs a yes is not done, and the hint is how to say it."""
    (id_,) = seed.pending(database, anna, "twilio")
    seed.provider(database, "sendgrid")
    for args in (
        ("notifications", "cancel", "--user", "anna"),
        ("notifications", "reschedule", "--all", "--at", "now"),
        ("providers", "delete", "sendgrid"),
        ("users", "delete", "anna", "--cancel-pending"),
        ("migrate", "down", "base"),
    ):
        fails(cli, 2, "usage", *args, words=("--yes",))
    assert seed.notification(database, id_).status == "pending"


def test_2_a_protected_profile(cli: Cli, database: Database, anna: str) -> None:
    """On a protected profile --yes is not enough: the profile's own name is."""
    (id_,) = seed.pending(database, anna, "twilio")
    config = cli.home / "config.toml"
    config.write_text("[profiles.prod]\nprotected = true\n")
    cli.env |= {"NOTIFYCTL_CONFIG": str(config), "NOTIFYCTL_PROFILE": "prod"}
    cancel = ("notifications", "cancel", "--all")
    for agreement in ((), ("--yes",), ("--confirm", "staging")):
        fails(cli, 2, "usage", *cancel, *agreement, words=("--confirm prod",))
    assert seed.notification(database, id_).status == "pending"
    cli.call(*cancel, "--confirm", "prod", "--reason", "why").ok()
    assert seed.notification(database, id_).status == "cancelled"


def test_2_an_id_that_means_two(cli: Cli, database: Database, anna: str) -> None:
    """A prefix of two ids acts on neither and names both, wherever ids are taken."""
    twins = [f"abcdef12-0000-4000-8000-00000000000{number}" for number in (1, 2)]
    for id_ in twins:
        letters.dead(database, anna, "twilio", id=id_)
    for args in (
        ("notifications", "show", "abcdef12"),
        ("notifications", "cancel", "abcdef12"),
        ("notifications", "resend", "abcdef12-0000"),
        ("dlq", "show", "abcdef12"),
        ("dlq", "retry", "ABCDEF12"),
        ("dlq", "resolve", "abcdef12", "--by", "anna"),
    ):
        fails(cli, 2, "usage", *args, words=tuple(twins), data=True)
    assert {seed.notification(database, id_).status for id_ in twins} == {"failed"}


# 3


@pytest.mark.parametrize(
    "args",
    [
        ("users", "show", "nobody"),
        ("users", "update", "nobody", "--language", "en"),
        ("users", "delete", "nobody", "--yes"),
        ("users", "contacts", "list", "nobody"),
        ("users", "contacts", "remove", "anna", "sms", "+14155550000"),
        ("keys", "create", "nobody", "--name", "ci"),
        ("keys", "list", "--user", "nobody"),
        ("keys", "show", NOBODY),
        ("keys", "rotate", NOBODY),
        ("providers", "show", "sendgrid"),
        ("providers", "test", "sendgrid"),
        ("providers", "pause", "sendgrid", "--reason", "x"),
        ("providers", "delete", "sendgrid", "--yes"),
        ("send", "nobody", *SMS[2:]),
        (*SMS, "--provider", "nobody"),
        ("notifications", "show", NOBODY),
        ("notifications", "list", "--user", "nobody"),
        ("notifications", "list", "--provider", "nobody"),
        ("dlq", "show", NOBODY),
        ("dlq", "list", "--user", "nobody"),
        ("metrics", "show", "--provider", "nobody"),
    ],
    ids=" ".join,
)
def test_3_not_found(cli: Cli, anna: str, args: tuple[str, ...]) -> None:
    """What does not exist is said to be so, and never looks like an empty list."""
    fails(cli, 3, "not_found", *args)


def test_3_acts_on_ids_that_do_not_exist(cli: Cli, anna: str) -> None:
    """Each has its line in the output, and the exit code is theirs."""
    for args in (("notifications", "cancel"), ("dlq", "retry"), ("notifications", "resend")):
        fails(cli, 3, "not_found", *args, NOBODY, data=True)


# 4


def test_4_api_keys(cli: Cli, database: Database, anna: str) -> None:
    """Wrong, unknown, revoked and expired keys act for nobody: nothing is read and nothing written."""
    revoked, expired = (
        cli.call("keys", "create", "anna", "--name", name, "-o", "json").ok().json() for name in ("a", "b")
    )
    cli.call("keys", "revoke", revoked["id"]).ok()
    database.write(lambda tx: tx.execute(update(api_keys).where(api_keys.c.id == expired["id"]).values(expires_at=1)))
    unknown = apikey.generate("live", bytes(range(32))).secret
    for key, word in (
        ("nonsense", "mistyped"),
        (unknown, "not known"),
        (revoked["key"], "revoked"),
        (expired["key"], "expired"),
    ):
        for args in (("users", "list"), SMS, ("dispatch", "--once")):
            fails(cli, 4, "not_allowed", *args, words=(word,), env={"NOTIFYCTL_API_KEY": key})
    assert count(database) == 0


def test_4_a_profile_that_demands_a_key(cli: Cli, anna: str) -> None:
    """Where a key is demanded, the database's credentials alone do not act."""
    config = cli.home / "config.toml"
    config.write_text("require_api_key = true\n")
    cli.env["NOTIFYCTL_CONFIG"] = str(config)
    fails(cli, 4, "not_allowed", *SMS, words=("NOTIFYCTL_API_KEY",))
    config.write_text("")
    key = cli.call("keys", "create", "anna", "--name", "ci", "-o", "secret").ok().stdout.strip()
    config.write_text("require_api_key = true\n")
    cli.call(*SMS, env={"NOTIFYCTL_API_KEY": key}).ok()


def test_4_encryption_keys(cli: Cli, database: Database, anna: str) -> None:
    """A missing key, a wrong one and a file that others can read: no credential opens, nothing is claimed."""
    add = ("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=alerts@example.com")
    fails(cli, 4, "not_allowed", *add, input="SG.key", words=("notifyctl secrets generate-key",))
    cli.call(*add, input="SG.key", env={"NOTIFYCTL_ENCRYPTION_KEYS": KEYS}).ok()
    (id_,) = seed.pending(database, anna)
    keys = cli.home / "keys"
    keys.write_text(KEYS)
    keys.chmod(0o640)
    dry_run = ("send", "anna", "--channel", "email", "--subject", "x", "--body", "x", "--dry-run")
    for env, words in (
        ({}, ()),
        ({"NOTIFYCTL_ENCRYPTION_KEYS": OTHER_KEYS}, ("does not open with encryption key 'k1'",)),
        ({"NOTIFYCTL_ENCRYPTION_KEYS": OTHER_KEYS.replace("k1", "k2")}, ("needs encryption key 'k1'",)),
        ({"NOTIFYCTL_ENCRYPTION_KEYS_FILE": str(keys)}, (f"chmod 600 {keys}",)),
        ({"NOTIFYCTL_ENCRYPTION_KEYS_FILE": str(keys.with_name("nowhere"))}, ("nowhere",)),
    ):
        for args in (("dispatch", "--once"), dry_run):
            fails(cli, 4, "not_allowed", *args, env=env, words=words)
    wrong = {"NOTIFYCTL_ENCRYPTION_KEYS": OTHER_KEYS}
    assert "error: sendgrid: " in cli.call("dispatch", "--once", env=wrong).stderr
    assert seed.notification(database, id_).attempt_count == 0


def test_4_a_role_without_the_right(bare_cli: Cli, postgresql_url: str, role: str) -> None:
    """A PostgreSQL role that may read and not write: exit 4, and the hint is another role."""
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(role)))
    env = {"NOTIFYCTL_DATABASE_URL": _as(postgresql_url, role)}
    assert bare_cli.call("users", "list", "-o", "json", env=env).ok().json() == []
    create = ("users", "create", "anna", "--email", "anna@example.org")
    fails(bare_cli, 4, "not_allowed", *create, env=env, words=("permission denied",))


# 5


def test_5_conflicts(cli: Cli, database: Database, anna: str) -> None:
    """What is there already, what was said with other content, what the state does not allow, what is not so many."""
    key = ("--idempotency-key", "order 17")
    sent = letters.ended(database, anna, "sent", "twilio")
    cli.call(*SMS, *key).ok()
    (flying,) = seed.pending(database, anna, "twilio", lease_id=NOBODY, leased_until=4_000_000_000_000)
    for args, word in (
        (("users", "create", "anna", "--email", "other@example.org"), "anna"),
        (("users", "create", "other", "--email", "anna@example.org", "--if-not-exists"), "anna@example.org"),
        (("send", "anna", "--channel", "sms", "--body", "y", "--to", "+14155552345", *key), "other content"),
        (("notifications", "cancel", "--all", "--expect", "1", "--yes"), "not 1"),
        (("users", "delete", "anna", "--yes"), "pending"),
        (("send", "anna", "--channel", "email", "--subject", "x", "--body", "x"), "no active provider"),
    ):
        fails(cli, 5, "conflict", *args, words=(word,))
    for verb, id_, word in (("cancel", sent, "sent"), ("cancel", flying, ""), ("resend", flying, "")):
        fails(cli, 5, "conflict", "notifications", verb, id_, words=(word,), data=True)
    assert (count(database), seed.notification(database, flying).status) == (3, "pending")


def test_5_files_are_left_as_they_are(cli: Cli, anna: str) -> None:
    """A secret never overwrites a file."""
    (cli.home / "mine").write_text("mine")
    explained(cli.call("secrets", "generate-key", "--secret-file", "mine"), 5)  # it has no JSON
    fails(cli, 5, "conflict", "keys", "create", "anna", "--name", "ci", "--secret-file", "mine")
    assert (cli.home / "mine").read_text() == "mine"
    assert cli.call("keys", "list", "-o", "json").ok().json() == []


# 6


def test_6_partly_done(cli: Cli, database: Database, anna: str) -> None:
    """Some were done and some were not: each has its line, and the exit code says that it was not all."""
    ids = [*seed.pending(database, anna, "twilio", count=2), letters.ended(database, anna, "sent", "twilio"), NOBODY]
    result = cli.call("notifications", "cancel", *ids, "-o", "json")
    documented(result, 6, "partly_done", data=True)
    assert {row["id"]: row["result"] for row in result.json()} == dict(
        zip(ids, ("cancelled", "cancelled", "failed", "failed"), strict=True)
    )
    more = seed.pending(database, anna, "twilio")
    explained(cli.call("notifications", "cancel", "-", "--yes", input="\n".join([*more, NOBODY])), 6, data=True)


# 7, 11, 130, 143: send --wait


def test_7_the_answer_is_no(cli: Cli, anna: str) -> None:
    """A key that is not valid is an answer, with its data on stdout."""
    for key in ("nonsense", apikey.generate("live", bytes(32)).secret):
        result = cli.call("keys", "verify", "-o", "json", input=key)
        assert result.exit_code == 7
        assert result.json()["valid"] is False
        assert json.loads(result.stderr)["error"]["code"] == "no"


def test_7_waiting_for_what_failed(cli: Cli, database: Database, anna: str) -> None:
    """`send --wait` of what ended otherwise than sent: exit 7 and where to look."""
    wait = (*SMS, "--idempotency-key", "k", "--wait", "--timeout", "10s")
    id_ = cli.call(*SMS, "--idempotency-key", "k", "-o", "id").ok().stdout.strip()
    letters.change(database, id_, status="failed", error_message="no such number")
    fails(cli, 7, "no", *wait, words=("no such number", f"notifyctl notifications show {id_}"), data=True)


def test_11_the_time_is_over(cli: Cli, database: Database, anna: str) -> None:
    """`send --wait --timeout`: exit 11, the work goes on."""
    fails(cli, 11, "timeout", *SMS, "--wait", "--timeout", "100ms", words=("notifyctl notifications show",), data=True)
    assert count(database) == 2


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_interrupted(cli: Cli, database: Database, anna: str, how: int, code: int) -> None:
    """Ctrl-C and `kill` end a command that waits, at once and without a word; what was submitted stays."""
    process = cli.start(*SMS, "--wait")
    try:
        _until(lambda: count(database) == 1)
        time.sleep(1.5)  # it has to hear of that as well, and then waits
        began = time.monotonic()
        process.send_signal(how)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    # What a shell calls 143 is death by signal 15.
    assert (128 - process.returncode if process.returncode < 0 else process.returncode) == code, err
    assert time.monotonic() - began < 15
    assert err == ""
    assert count(database) == 1


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


# 8


def test_8_not_migrated(bare_cli: Cli, empty_database_url: str) -> None:
    """An empty database, or none: exit 8 and the command that makes it; nothing is created on the way."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = empty_database_url
    for args in (("users", "list"), SMS, ("dispatch", "--once"), ("status",), ("dlq", "list"), ("metrics", "rollup")):
        fails(bare_cli, 8, "schema", *args, words=("notifyctl migrate up",))
    if empty_database_url.startswith("sqlite"):
        assert not Path(empty_database_url.removeprefix("sqlite:///")).exists()


def test_8_the_default_database(bare_cli: Cli) -> None:
    """A person who has configured nothing learns what to do first."""
    fails(bare_cli, 8, "schema", "users", "list", words=("notifyctl migrate up",))
    assert not list(bare_cli.home.rglob("*.db"))


@pytest.mark.parametrize(("version", "hint"), [("0000", "notifyctl migrate up"), ("9999", "upgrade notifyctl")])
def test_8_another_version(cli: Cli, database: Database, anna: str, version: str, hint: str) -> None:
    """An older schema wants `migrate up`, a newer one another program; neither is touched."""
    database.write(lambda tx: tx.execute(text(f"UPDATE alembic_version SET version_num = '{version}'")))
    for args in (("users", "list"), SMS, ("dispatch", "--once")):
        fails(cli, 8, "schema", *args, words=(hint,))
    assert count(database) == 0


# 10


def test_10_a_database_that_is_down(bare_cli: Cli) -> None:
    """Nobody listens at the port: exit 10 soon, for what reads, writes, migrates and dispatches."""
    began = time.monotonic()
    with _refused_port() as port:
        bare_cli.env["NOTIFYCTL_DATABASE_URL"] = f"postgresql://notify@127.0.0.1:{port}/notify"
        commands = (("users", "list"), SMS, ("migrate", "up"), ("dispatch",), ("dispatch", "--once"), ("status",))
        for args in commands:
            fails(bare_cli, 10, "database_unavailable", *args, words=("Connection refused",))
        explained(bare_cli.run("users", "list"), 10, "Connection refused")
    assert time.monotonic() - began < 15 * len(commands)


@pytest.mark.slow
def test_10_a_server_that_says_nothing(bare_cli: Cli) -> None:
    """A connection that is taken and never answered ends after 5 s, too."""
    with wiretap.silent() as port:
        bare_cli.env["NOTIFYCTL_DATABASE_URL"] = f"postgresql://notify@127.0.0.1:{port}/notify"
        began = time.monotonic()
        explained(bare_cli.call(*SMS), 10)
        assert time.monotonic() - began < 20


def test_10_a_password_that_is_refused(bare_cli: Cli) -> None:
    """The server answers and refuses: exit 10, and the password is not in the message."""
    with wiretap.refusing_passwords() as (port, heard):
        bare_cli.env["NOTIFYCTL_DATABASE_URL"] = f"postgresql://notify:canary@127.0.0.1:{port}/notify"
        result = bare_cli.call("users", "list")
    explained(result, 10, "password authentication failed")
    assert set(heard) == {"canary"}
    assert "canary" not in result.stderr


def test_10_what_the_server_does_not_have(bare_cli: Cli, postgresql_url: str, role: str) -> None:
    """No such database, no such role, no connection left: exit 10 each, in the server's own words."""
    nowhere = make_url(postgresql_url).set(database="nowhere").render_as_string(hide_password=False)
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(sql.Identifier(role)))
    for url, words in (
        (nowhere, ('database "nowhere" does not exist', "createdb nowhere")),
        (_as(postgresql_url, f"no_{role}"), ("does not exist",)),
        (_as(postgresql_url, role), ("too many connections",)),
    ):
        bare_cli.env["NOTIFYCTL_DATABASE_URL"] = url
        fails(bare_cli, 10, "database_unavailable", "users", "list", words=words)


def test_10_read_only(cli: Cli, database: Database, anna: str, read_only: str) -> None:
    """A standby, a maintenance, a file opened read-only: reading goes on; what writes exits 10, nothing changed."""
    cli.env["NOTIFYCTL_DATABASE_URL"] = read_only
    assert [row["username"] for row in cli.call("users", "list", "-o", "json").ok().json()] == ["anna"]
    for args in (SMS, ("users", "create", "omar", "--email", "omar@example.org"), DISPATCH):
        fails(cli, 10, "database_unavailable", *args, words=("read",))
    assert count(database) == 0


@pytest.fixture
def read_only(backend: str, database_url: str) -> Iterator[str]:
    """The URL of the database, which takes no writes."""
    if backend == "sqlite":
        yield f"{database_url}?mode=ro"
        return
    name = sql.Identifier(make_url(database_url).database or "")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
        yield database_url
        conn.execute("SET default_transaction_read_only = off")
        conn.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))


def test_10_files_that_may_not_be_written(sqlite_cli: Cli) -> None:
    """SQLite: a file and a folder without the permission to write."""
    path = Path(sqlite_cli.env["NOTIFYCTL_DATABASE_URL"].removeprefix("sqlite:///"))
    create = ("users", "create", "omar", "--email", "omar@example.org")
    path.chmod(0o444)
    explained(without_privileges(sqlite_cli, *create), 10, "readonly", "has to be able to write the database's file")
    path.chmod(0o600)
    folder = path.parent / "closed"
    folder.mkdir()
    path.rename(folder / path.name)
    sqlite_cli.env["NOTIFYCTL_DATABASE_URL"] = f"sqlite:///{folder / path.name}"
    folder.chmod(0o500)
    try:
        explained(without_privileges(sqlite_cli, *create), 10, str(folder))
        documented(without_privileges(sqlite_cli, *create, "-o", "json"), 10, "database_unavailable")
        explained(without_privileges(sqlite_cli, "migrate", "up"), 10, str(folder))
        folder.chmod(0)
        for words in (create, ("migrate", "up"), ("status",)):
            explained(without_privileges(sqlite_cli, *words), 10, str(folder), "its folder: ls -la")
    finally:
        folder.chmod(0o700)
    assert [row["username"] for row in sqlite_cli.call("users", "list", "-o", "json").ok().json()] == ["anna"]


def test_10_a_full_disk(sqlite_cli: Cli) -> None:
    """SQLite cannot write another page: exit 10, what was acknowledged is there, the rest is not, the file is sound."""
    path = Path(sqlite_cli.env["NOTIFYCTL_DATABASE_URL"].removeprefix("sqlite:///"))
    database = Database(f"sqlite:///{path}")
    with database.read() as tx:
        size = tx.execute(text("PRAGMA page_count")).scalar_one() * 4_096
    acknowledged = []
    for number in range(40):
        result = with_file_size(
            sqlite_cli, size // 16, "users", "create", f"u{number}", "--email", f"u{number}@example.org", "-o", "json"
        )
        if result.exit_code == 0:
            acknowledged.append(f"u{number}")
            continue
        documented(result, 10, "database_unavailable")
        break
    else:
        pytest.fail("the disk was never full")
    with database.read() as tx:
        assert tx.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        stored = tx.execute(select(users.c.username).where(users.c.username != "anna")).scalars().all()
    assert sorted(stored) == sorted(acknowledged)
    database.close()
    sqlite_cli.call("users", "create", "omar", "--email", "omar@example.org").ok()


# 141


def test_141_the_reader_has_gone(cli: Cli, database: Database, anna: str) -> None:
    """`| head -1` of a long list: the line arrives, exit 141, not a word on stderr."""
    rows = [
        {"id": f"00000000-0000-4000-8000-{number:012}", "username": f"u{number}", "email": f"u{number}@example.org"}
        for number in range(2_500)
    ]
    database.write(lambda tx: tx.execute(insert(users), rows))
    for form in ("ndjson", "plain"):
        done = _in_shell(cli, f"{shlex.join(cli.command('users', 'list', '--all', '-o', form))} | head -1")
        lines = done.stdout.splitlines()
        assert lines[-1] == "141 0", done
        assert len(lines) == 2 and lines[0] and done.stderr == "", done


def test_141_acts_finish(cli: Cli, database: Database, anna: str) -> None:
    """Who acts on many is not stopped half-way by a reader that has seen enough."""
    ids = seed.pending(database, anna, "twilio", count=2_000)
    command = shlex.join(cli.command("notifications", "cancel", "--all", "--yes", "-o", "ndjson"))
    done = _in_shell(cli, f"{command} | head -1")
    assert (done.stdout.splitlines()[-1], done.stderr) == ("141 0", "")
    with database.read() as tx:
        where = notifications.c.status == "cancelled"
        assert tx.execute(select(func.count()).select_from(notifications).where(where)).scalar_one() == len(ids)


def _in_shell(cli: Cli, pipeline: str) -> subprocess.CompletedProcess[str]:
    script = f'{pipeline}; echo "${{PIPESTATUS[@]}}"'
    return subprocess.run(
        ["bash", "-c", script], env=cli.env, cwd=cli.home, text=True, capture_output=True, timeout=60, check=False
    )


# Situations


@pytest.fixture
def role(postgresql_maker: PostgreSQLMaker, postgresql_url: str) -> Iterator[str]:
    """A PostgreSQL role that may log in, and nothing else."""
    name = f"role_{make_url(postgresql_url).database}"
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        yield name
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


def _as(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@contextmanager
def _refused_port() -> Iterator[int]:
    """Yield a port of loopback that is taken and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
