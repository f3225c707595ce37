"""Guards fail closed: who may open a database, and what is protected."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, func, select, text

from notifyctl.core import apikey
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, users
from tests.cli.test_framework import LEAVES
from tests.support import seed
from tests.support.command import Cli, Result

UNKNOWN = apikey.generate("live", bytes(32)).secret

NEVER_OPEN = frozenset(
    (
        "migrate history",
        "migrate sql",
        "secrets generate-key",
        "sandbox",
        "demo",
        "config show",
        "config path",
        "fixtures schema",
        "audit actions",
        "webhooks events",
        "keys scopes",
        "webhooks listen",
        "webhooks verify",
    )
)
"""What works on no database, with `completion`."""

WORDS = {
    "send": ("anna", "--channel", "sms", "--body", "Hi"),
    "schedule": ("anna", "--channel", "sms", "--body", "Hi", "--in", "1h"),
    "providers add": ("twilio", "--api-key", "-", "--api-secret", "-", "--set", "from=+15005550006"),
    "providers update": ("twilio", "--priority", "3"),
    "migrate down": ("base", "--yes"),
    "users update": ("anna", "--language", "de"),
    "users contacts add": ("anna", "sms", "+14155552345"),
    "notifications reschedule": ("--all", "--yes", "--at", "now"),
    "dlq resolve": ("--all", "--yes", "--by", "anna"),
    "dispatch": ("--once",),
    "receipts ingest": ("-",),
    "webhooks create": ("anna", "https://example.org/hook", "--event", "sent"),
    "webhooks update": ("orders", "--timeout", "3"),
    "webhooks rotate-secret": ("orders", "--secret-file", "s"),
    "webhooks delete": ("orders", "--yes"),
    "batches cancel": ("spring", "--yes"),
    "audit purge": ("--older-than", "1s", "--yes"),
}
"""What a command is called with where its required parameters do not say it."""

SAMPLES = {
    "file": "-",
    "channel": "sms",
    "address": "+14155552345",
    "name": "twilio",
    "ids": "abcdefab",
    "email": "b@example.org",
}


def called(path: str) -> list[str]:
    """Return a command line of this command that reaches its database."""
    if path in WORDS:
        return [*path.split(), *WORDS[path]]
    words = path.split()
    if {"everything", "yes"} <= {param.name for param in LEAVES[path].params}:
        return [*words, "--all", "--yes"]
    for param in LEAVES[path].params:
        if param.required:
            sample = SAMPLES.get(param.name, "anna")
            words += [param.opts[0], sample] if param.param_type_name == "option" else [sample]
    return words


OPENING = [path for path in LEAVES if path not in NEVER_OPEN and not path.startswith("completion")]


def made(cli: Cli, user: str = "anna") -> str:
    """Make a key and return it."""
    return cli.call("keys", "create", user, "--name", "ci", "-o", "secret").ok().stdout.strip()


def configured(cli: Cli, lines: str, **env: str) -> None:
    """Let a file configure what follows."""
    (cli.home / "config.toml").write_text(lines)
    cli.env |= {"NOTIFYCTL_CONFIG": str(cli.home / "config.toml"), **env}


def refused(result: Result, code: int = 4) -> None:
    """Assert that nobody was let in."""
    assert (result.exit_code, result.stdout) == (code, ""), result


# Who may open a database


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_every_command_that_opens_the_database_asks_who_it_is(cli: Cli, database: Database) -> None:
    """A wrong key, an empty one and a missing one where one is demanded: no command reads or writes anything."""
    seed.pending(database, seed.user(database))
    seed.provider(database, "twilio")
    made(cli)
    before = _trail(database)
    let_in = []
    for path in OPENING:
        for key in (UNKNOWN, "nonsense", ""):
            result = cli.call(*called(path), env={"NOTIFYCTL_API_KEY": key}, input="x\ny\n")
            if (result.exit_code, result.stdout) != (4, ""):
                let_in.append((path, key, result.exit_code, result.stderr))
    configured(cli, "require_api_key = true\n")
    for path in OPENING:
        result = cli.call(*called(path), input="x\ny\n")
        if (result.exit_code, result.stdout) != (4, ""):
            let_in.append((path, None, result.exit_code, result.stderr))
    assert let_in == []
    assert _trail(database) == before


@pytest.mark.parametrize("revision", ["none", "0000", "9999"])
@pytest.mark.parametrize("verb", [("up",), ("down", "base", "--yes"), ("status",), ("check",)])
def test_a_key_is_looked_at_whatever_the_revision(
    cli: Cli, database: Database, anna: str, revision: str, verb: tuple[str, ...]
) -> None:
    """The schema may be older or newer than this program: a wrong key migrates nothing."""
    key = made(cli)
    database.write(lambda tx: tx.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'")))
    if revision == "none":
        database.write(lambda tx: tx.execute(text("DELETE FROM alembic_version")))
    refused(cli.call("migrate", *verb, env={"NOTIFYCTL_API_KEY": UNKNOWN}))
    refused(cli.call("migrate", *verb, env={"NOTIFYCTL_API_KEY": ""}))
    assert cli.call("migrate", "status", env={"NOTIFYCTL_API_KEY": key}).exit_code == 0
    configured(cli, "require_api_key = true\n")
    refused(cli.call("migrate", *verb))
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(users)).scalar_one() == 1


def test_migrations_are_somebodys(cli: Cli, empty_database_url: str) -> None:
    """Who created the schema is in the trail of what was created."""
    cli.env["NOTIFYCTL_DATABASE_URL"] = empty_database_url
    cli.call("migrate", "up").ok()
    cli.call("migrate", "up").ok()
    database = Database(empty_database_url)
    (row,) = _trail(database)
    assert (row[0], row[1], row[3]) == ("migrate", "schema", '{"revision":[null,"0001"]}')
    assert row[2].startswith("notifyctl/")
    database.close()


def test_a_system_is_founded_without_a_key_where_one_is_demanded(cli: Cli, empty_database_url: str) -> None:
    """The schema, the first user and the first key come about without one, and nothing else; all of it is audited."""
    configured(cli, "require_api_key = true\n", NOTIFYCTL_DATABASE_URL=empty_database_url)
    refused(cli.call("migrate", "up", env={"NOTIFYCTL_API_KEY": ""}))
    refused(cli.call("migrate", "up", env={"NOTIFYCTL_API_KEY": UNKNOWN}))
    refused(cli.call("users", "list"))
    cli.call("migrate", "up").ok()
    refused(cli.call("users", "list"))
    refused(cli.call("migrate", "down", "base", "--yes"))
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    refused(cli.call("users", "create", "mallory", "--email", "m@example.org"))
    key = made(cli)
    for words in (("keys", "create", "anna", "--name", "b"), ("migrate", "up"), ("migrate", "status")):
        refused(cli.call(*words))
    cli.call("users", "list", env={"NOTIFYCTL_API_KEY": key}).ok()
    database = Database(empty_database_url)
    trail = _trail(database)
    assert sorted(row[:2] for row in trail) == [("create", "api_key"), ("create", "user"), ("migrate", "schema")]
    assert all(row[4] == "before there was any API key" for row in trail)
    # A key that was made once is not forgotten with its user.
    database.write(lambda tx: tx.execute(delete(users)))
    database.close()
    refused(cli.call("users", "create", "mallory", "--email", "m@example.org"))
    refused(cli.call("migrate", "up"))


def test_what_keeps_the_key_from_being_looked_at_refuses(postgresql_url: str, cli: Cli) -> None:
    """A role that may not read the keys is nobody, also where it could migrate."""
    database = Database(postgresql_url)
    cli.env["NOTIFYCTL_DATABASE_URL"] = postgresql_url
    seed.user(database)
    key = made(cli)
    role = f"blind_{database.url.database}"
    for statement in (f"CREATE ROLE {role} LOGIN", f"GRANT SELECT ON users, alembic_version TO {role}"):
        database.write(lambda tx, s=statement: tx.execute(text(s)))  # type: ignore[misc]
    try:
        cli.env["PGOPTIONS"] = f"-c role={role}"
        refused(cli.call("users", "list", env={"NOTIFYCTL_API_KEY": key}))
        refused(cli.call("migrate", "up", env={"NOTIFYCTL_API_KEY": key}))
        configured(cli, "require_api_key = true\n")
        refused(cli.call("migrate", "up"))
    finally:
        for statement in (f"DROP OWNED BY {role}", f"DROP ROLE {role}"):
            database.write(lambda tx, s=statement: tx.execute(text(s)))  # type: ignore[misc]
        database.close()


# What is protected


@pytest.mark.parametrize(
    "agreement", [(), ("--yes",), ("--confirm", ""), ("--confirm", "None"), ("--yes", "--confirm", "x")]
)
def test_what_has_no_name_to_confirm_by_is_refused(
    cli: Cli, database: Database, anna: str, agreement: tuple[str, ...]
) -> None:
    """`protected = true` outside a profile protects: no agreement is one, and a person is not even asked."""
    (id_,) = seed.pending(database, anna, "twilio")
    seed.provider(database, "fcm")
    configured(cli, "protected = true\n")
    for words in (
        ("notifications", "cancel", "--all"),
        ("users", "delete", "anna", "--cancel-pending"),
        ("providers", "delete", "fcm"),
        ("migrate", "down", "base"),
    ):
        result = cli.call(*words, *agreement)
        refused(result, 2)
        assert "no name to confirm" in result.stderr
    assert seed.notification(database, id_).status == "pending"
    typed = cli.type("users", "delete", "anna", "--cancel-pending", keys="None\n")
    assert (typed.exit_code, "no name to confirm" in typed.stderr) == (2, True)
    cli.call("notifications", "list").ok()


def test_protected_in_the_file_holds_in_a_profile(cli: Cli, database: Database, anna: str) -> None:
    """What the file says for all profiles is confirmed by the name of the one that was chosen."""
    (id_,) = seed.pending(database, anna, "twilio")
    configured(cli, 'profile = "prod"\nprotected = true\n[profiles.prod]\n')
    refused(cli.call("notifications", "cancel", "--all", "--confirm", "staging"), 2)
    assert seed.notification(database, id_).status == "pending"
    cli.call("notifications", "cancel", "--all", "--confirm", "prod", "--reason", "why").ok()


@pytest.fixture
def anna(database: Database) -> str:
    """The id of somebody."""
    return seed.user(database)


def _trail(database: Database) -> list[tuple[Any, ...]]:
    a = audit_logs.c
    with database.read() as tx:
        statement = select(a.action, a.resource_type, a.user_agent, a.changes, a.reason).order_by(a.created_at, a.id)
        return [tuple(row) for row in tx.execute(statement)]
