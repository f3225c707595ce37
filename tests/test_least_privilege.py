"""Everything can be done with PostgreSQL's roles of the least rights: the README's walk-through, and every command."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from notifyctl.store import rights
from notifyctl.store.db.database import Database
from notifyctl.store.roles import TABLES
from tests.cli.test_matrix import _filled
from tests.support import ports, roles
from tests.support.command import Cli
from tests.support.shell import Shell
from tests.support.threefold import add_providers
from tests.support.tree import LEAVES, NOT_HERE, line
from tests.test_packaging import _ok, _statuses, blocks

OTHERS = {"migrate up": "owner", "migrate down": "owner", "audit purge": "owner", "dispatch": "dispatch"}
"""What an operator does not run: everything else is the operator's."""
FILES = {
    "file.txt": "x",
    "users.csv": "username,email,phone\nbob,bob@example.org,+14155550001\n",
    "rows.csv": "user,channel,subject,body\nanna,email,s,b\n",
    "bounces.csv": "address,channel\ncarl@example.org,email\n",
    "world.yaml": "users:\n  - {username: dora, email: dora@example.org}\n",
    "templates/hello.txt": "---\nsubject: Hello\n---\nHello\n",
}
MORE = (
    ("users", "import", "-f", "users.csv"),
    ("send", "-f", "rows.csv", "--batch", "rows"),
    ("batches", "pause", "rows"),
    ("batches", "cancel", "rows", "--yes"),
    ("suppressions", "import", "-f", "bounces.csv", "--cause", "bounce"),
    ("fixtures", "apply", "-f", "world.yaml", "--label", "l"),
    ("fixtures", "apply", "-f", "world.yaml", "--label", "l", "--prune", "--yes"),
    ("templates", "push", "templates", "--publish", "--by", "anna"),
    ("webhooks", "create", "anna", "https://hooks.example.org/x", "--event", "sent", "--name", "h"),
    ("webhooks", "rotate-secret", "h"),
    ("webhooks", "redeliver", "--webhook", "h", "--failed", "--yes"),
    ("webhooks", "delete", "h", "--yes"),
    ("audit", "seal"),
    ("audit", "anchor"),
    ("audit", "verify"),
    ("users", "update", "anna", "--language", "de"),
    ("users", "contacts", "add", "anna", "sms", "+14155552345"),
    ("users", "contacts", "remove", "anna", "sms", "+14155552345"),
    ("suppressions", "add", "email", "bob@example.org", "--reason", "r"),
    ("suppressions", "remove", "email", "bob@example.org", "--yes"),
    ("limits", "set", "anna", "--per-minute", "5"),
    ("limits", "set", "anna", "--per-minute", "none"),
    ("prefs", "set", "anna", "email", "--cap", "3", "--quiet", "22:00-07:00"),
    ("prefs", "clear", "anna", "email"),
    ("categories", "create", "news", "--kind", "marketing"),
    ("prefs", "opt-out", "anna", "news"),
    ("prefs", "opt-in", "anna", "news"),
    ("categories", "delete", "news", "--yes"),
    ("notifications", "cancel", "--all", "--yes"),
    ("notifications", "restore", "--all", "--yes"),
    ("dlq", "retry", "--all", "--yes"),
    ("metrics", "rollup"),
    ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--attach", "file.txt"),
    ("secrets", "encrypt-addresses", "--yes"),
    ("users", "contacts", "add", "anna", "sms", "+14155552346"),
    ("users", "contacts", "suppress", "anna", "sms", "+14155552346", "--reason", "r"),
    ("secrets", "rotate"),
    ("secrets", "decrypt-addresses", "--yes"),
    ("secrets", "status"),
    ("users", "delete", "anna", "--cancel-pending", "--yes"),
)
"""Besides each command once: what they write otherwise."""


@pytest.fixture
def urls(postgresql_url: str) -> Iterator[dict[str, str]]:
    """Somebody in each role of a migrated database."""
    with roles.least_privileged(postgresql_url) as made:
        yield made


def test_the_walk_through_with_the_least_privileged_roles(urls: dict[str, str], tmp_path: Path) -> None:
    """Each line by whoever it is for: the owner migrates, a dispatcher dispatches, an operator does the rest."""
    (sandbox,), commands = blocks("Walk-through")
    home = tmp_path / "home"
    home.mkdir()
    by = {
        kind: Shell(home, tmp_path / "tools", {"HOME": str(home), "NOTIFYCTL_DATABASE_URL": url})
        for kind, url in urls.items()
    }
    serving, port = ports.serving(lambda port: by["operate"].start(f"exec {sandbox.replace('8025', str(port))}"))
    try:
        for command in commands:
            found = re.search(r"notifyctl (migrate up|dispatch)\b", command)
            shell = by[OTHERS[found[1]] if found else "operate"]
            done = shell.run(command.replace(":8025", f":{port}"))
            _ok(done, command)
            assert "permission denied" not in done.stderr, (command, done)
        assert _statuses(by["operate"]) == {"email": "sent", "push": "pending"}
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.communicate(timeout=30)


@pytest.mark.slow
def test_every_command_with_the_operators_role(urls: dict[str, str], postgresql_url: str, bare_cli: Cli) -> None:
    """None of them wants a right that the role does not have, whatever else becomes of it."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = postgresql_url
    ids = _filled(postgresql_url, "one")
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute("DELETE FROM provider_configs")
    add_providers(bare_cli, "http://127.0.0.1:9")
    for name, text in FILES.items():
        (bare_cli.home / name).parent.mkdir(exist_ok=True)
        (bare_cli.home / name).write_text(text)
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = urls["operate"]
    refused = {}
    lines = [line(path, ids) for path in sorted(LEAVES) if path not in (*NOT_HERE, *OTHERS)]
    for words in [*lines, *map(list, MORE)]:
        yes = ["--yes"] if "--yes" not in words and _takes_yes(words) else []
        done = bare_cli.call(*words, *yes, input="x\nx\n")
        if "permission denied" in done.stderr:
            refused[" ".join(words)] = done.stderr
    assert refused == {}


def _takes_yes(words: list[str]) -> bool:
    path = max((path for path in LEAVES if words[: len(path.split())] == path.split()), key=len)
    return any(param.name == "yes" for param in LEAVES[path].params)


def test_a_dispatcher_of_its_role_asks_for_no_more(urls: dict[str, str]) -> None:
    """What it looks for when it enters is what the role is given."""
    db = Database(urls["dispatch"])
    with db.read() as tx:
        rights.require_dispatching(tx)
    db.close()
    assert set(TABLES) >= set(rights.DISPATCHING)


def test_a_dispatcher_with_an_api_key_asks_for_no_more(urls: dict[str, str], bare_cli: Cli) -> None:
    """The key is looked at, its calls counted and its use noted; of its row nothing else can be changed."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = urls["operate"]
    bare_cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    key = bare_cli.call("keys", "create", "anna", "--name", "cron", "--scope", "dispatch:run", "-o", "secret").ok()
    bare_cli.call("limits", "set", "anna", "--type", "api", "--per-minute", "100").ok()
    acting = {"NOTIFYCTL_DATABASE_URL": urls["dispatch"], "NOTIFYCTL_API_KEY": key.stdout.strip()}
    done = bare_cli.call("dispatch", "--once", env=acting).ok()
    assert "permission denied" not in done.stderr
    (row,) = bare_cli.call("keys", "list", "-o", "json").ok().json()
    assert row["last_used_at"] is not None
    with psycopg.connect(urls["dispatch"]) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("UPDATE api_keys SET scopes = NULL")
    bare_cli.call("keys", "revoke", row["id"]).ok()
    assert bare_cli.call("dispatch", "--once", env=acting).exit_code == 4
    (refused,) = bare_cli.call("keys", "show", row["id"], "-o", "json").ok().json()["refusals"]
    assert refused["reason"] == "revoked"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET email = 'x@example.net'",
        "UPDATE users SET username = 'x'",
        "UPDATE contact_points SET address = 'x@example.net'",
        "UPDATE provider_configs SET config_json = '{}'",
        "UPDATE provider_configs SET api_key = NULL",
        "UPDATE template_versions SET body = 'x'",
        "UPDATE api_keys SET restrictions = NULL",
    ],
)
def test_who_dispatches_turns_no_mail_elsewhere(urls: dict[str, str], change: str) -> None:
    """It locks users and reads providers; whose address is what, and through whom mail goes, others say."""
    with psycopg.connect(urls["dispatch"]) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(change)
