"""Who may call which command with which key: each command declares a scope, and one place checks it before it acts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import func, select, update

from notifyctl.cli.noun import Noun
from notifyctl.config import load
from notifyctl.core.errors import NotAllowed
from notifyctl.core.scope import ABOUT, OPEN, Scope, covers
from notifyctl.services import beginnings as beginnings_of_services
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import api_keys, audit_logs, metadata, users
from notifyctl.wiring import beginnings as completed
from notifyctl.wiring.beginnings import beginnings
from tests.cli.test_framework import LEAVES
from tests.cli.test_guards import NEVER_OPEN, called, configured
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.world import KEYS

LOOKS = ("list", "show", "export", "dump", "status", "check", "verify", "explain", "diff", "deliveries", "roles")
GUARDED = [path for path, command in LEAVES.items() if command.scope is not OPEN]


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna, with something of everything that commands look for."""
    id_ = seed.user(database)
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    seed.pending(database, id_, "twilio")
    return id_


def key(cli: Cli, *scopes: str, more: tuple[str, ...] = (), maker: str | None = None, code: int = 0) -> dict[str, Any]:
    """Make a key for these scopes, and return it."""
    words = [word for each in scopes for word in ("--scope", each)]
    env = {} if maker is None else {"NOTIFYCTL_API_KEY": maker}
    made = cli.call("keys", "create", "anna", "--name", "ci", *words, *more, "-o", "json", env=env)
    assert made.exit_code == code, made
    return dict(made.json()) if code == 0 else {}


def acting(cli: Cli, secret: str, *args: str, input: str | None = None) -> Result:
    """Run a command with a key."""
    return cli.call(*args, env={"NOTIFYCTL_API_KEY": secret}, input=input)


# Declared


def test_a_command_without_a_scope_cannot_be_declared() -> None:
    """Who adds a command and says nothing gets no command: the declaration itself fails."""
    noun = Noun("Things.")
    with pytest.raises(TypeError, match="scope"):
        noun.command("show")(lambda: None)  # type: ignore[call-arg]


def test_every_command_declares_a_scope() -> None:
    """Open to all is exactly what works on no database; every other command has a scope of the vocabulary."""
    assert all("scope" in {name for base in type(each).__mro__ for name in vars(base)} for each in LEAVES.values())
    opened = {path for path, command in LEAVES.items() if command.scope is OPEN}
    assert opened == NEVER_OPEN | {path for path in LEAVES if path.startswith("completion")}
    assert {type(LEAVES[path].scope) for path in GUARDED} == {Scope}


def test_what_only_looks_has_no_scope_of_writing() -> None:
    """A key for reading can do nothing else, and looking needs no key for writing."""
    for path in GUARDED:
        looks = path.split()[-1] in LOOKS or path in ("templates preview", "templates lint", "templates pull")
        assert (str(LEAVES[path].scope).partition(":")[2] in ("read", "list")) is looks, path


def test_the_vocabulary_is_listed(cli: Cli) -> None:
    """`keys scopes` has every scope, what it is for, and the commands for which a key with it is good."""
    listed = {row["scope"]: row for row in cli.call("keys", "scopes", "-o", "json").ok().json()}
    assert set(listed) == {*Scope} == set(ABOUT)
    for path, command in LEAVES.items():
        for scope in Scope:
            good = command.scope is not OPEN and covers((scope,), command.scope)
            assert (path in listed[scope]["commands"]) is good, (path, scope)
    assert "users list" in listed["users:read"]["commands"]
    assert cli.call("keys", "scopes", "-o", "id").ok().stdout.split() == [*Scope]


def test_an_unknown_scope_is_named(cli: Cli, database: Database) -> None:
    """A key for something that there is not would be good for nothing, and nobody would notice."""
    for name in ("users:reed", "users", "*", "USERS:READ", "", "users:read,keys:read"):
        refused = cli.call("keys", "create", "anna", "--name", "ci", f"--scope={name}")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "there is no scope" in refused.stderr
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(api_keys)).scalar_one() == 0


# Checked


def changed(database: Database) -> dict[str, int]:
    """Return how many rows each table has, but for where refusals are noted."""
    tables = {name: each for name, each in metadata.tables.items() if name != "key_refusals"}
    with database.read() as tx:
        return {name: tx.execute(select(func.count()).select_from(t)).scalar_one() for name, t in tables.items()}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_every_command_asks_for_its_scope(cli: Cli, database: Database) -> None:
    """No key where one is required, revoked, expired, all scopes but those that cover it: 4, and nothing is done.

    With the one scope it is let in.
    """
    revoked, late = key(cli), key(cli)
    cli.call("keys", "revoke", revoked["id"]).ok()
    database.write(lambda tx: tx.execute(update(api_keys).where(api_keys.c.id == late["id"]).values(expires_at=1)))
    right = {each: key(cli, each)["key"] for each in Scope}
    wrong = {
        each: key(cli, *(other for other in Scope if not covers((other,), each)))["key"]
        for each in {LEAVES[path].scope for path in GUARDED}
    }
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    before, faults = changed(database), []
    for path in GUARDED:
        no_good = {"revoked": revoked["key"], "expired": late["key"], "scope": wrong[LEAVES[path].scope]}
        for why, secret in no_good.items():
            result = acting(cli, secret, *called(path), input="x\ny\n")
            if (result.exit_code, result.stdout) != (4, "") or why not in result.stderr:
                faults.append((path, why, result.exit_code, result.stderr))
    assert faults == []
    configured(cli, "require_api_key = true\n")
    for path in GUARDED:
        result = cli.call(*called(path), input="x\ny\n")
        if (result.exit_code, result.stdout) != (4, ""):
            faults.append((path, "no key", result.exit_code, result.stderr))
    assert faults == []
    assert changed(database) == before
    for path in sorted(GUARDED, key=lambda path: path == "migrate down"):
        result = acting(cli, right[LEAVES[path].scope], *called(path), input="x\ny\n")
        if result.exit_code == 4:
            faults.append((path, "right scope", result.exit_code, result.stderr))
    assert faults == []


@pytest.mark.parametrize(
    ("scopes", "code"),
    [("null", 0), ('["users:list"]', 0), ("[]", 4), ("", 4), ("{}", 4), ('"users:list"', 4), ("[[[", 4), ("[1]", 4)],
)
def test_what_a_row_says_of_scopes_fails_closed(cli: Cli, database: Database, scopes: str, code: int) -> None:
    """NULL is everything, as for a key that expires never; what cannot be read as names lets nothing pass."""
    made = key(cli)
    value = None if scopes == "null" else scopes
    database.write(lambda tx: tx.execute(update(api_keys).values(scopes=value)))
    assert acting(cli, made["key"], "users", "list").exit_code == code


def test_a_preview_of_a_notification_is_a_look_at_it(cli: Cli, database: Database, anna: str) -> None:
    """Who may look at templates renders them, but not from what somebody was sent."""
    cli.call("templates", "create", "pin", "--channel", "sms", "--body", "Code {{ code }}", "--by", "anna").ok()
    sending = ("send", "anna", "--channel", "sms", "--template", "pin", "--var", "code=4711", "--to", "+14155552345")
    id_ = cli.call(*sending, "-o", "id").ok().stdout.strip()
    looking = ("templates", "preview", "pin", "--from-notification", id_)
    only = key(cli, "templates:read")["key"]
    assert acting(cli, only, "templates", "preview", "pin", "--var", "code=1").exit_code == 0
    refused = acting(cli, only, *looking)
    assert (refused.exit_code, "4711" in refused.stdout + refused.stderr) == (4, False)
    both = key(cli, "templates:read", "notifications:read")["key"]
    assert "4711" in acting(cli, both, *looking).ok().stdout


def test_a_key_acts_as_its_user(cli: Cli, database: Database, anna: str) -> None:
    """On both databases a scope is let in and another is not, and what is done is the user's."""
    made = key(cli, "users:write", "users:list")
    assert made["scopes"] == ["users:write", "users:list"]
    acting(cli, made["key"], "users", "create", "bert", "--email", "b@example.org").ok()
    refused = acting(cli, made["key"], "keys", "list", "-o", "json")
    assert (refused.exit_code, refused.stdout) == (4, "")
    problem = json.loads(refused.stderr)["error"]
    assert problem["code"] == "not_allowed" and "keys:read" in problem["message"] and "keys scopes" in problem["hint"]
    with database.read() as tx:
        where = audit_logs.c.resource_type == "user"
        assert tx.execute(select(audit_logs.c.user_id).where(where)).scalars().all() == [anna]
        assert tx.execute(select(func.count()).select_from(users)).scalar_one() == 2


# Given on


def test_a_key_makes_none_that_may_more(cli: Cli) -> None:
    """No more scope, recipients or lifetime than its own; what is not said is as with the maker."""
    maker = key(cli, "keys:write", "users:read", more=("--only-to", "anna", "--dry-run-only", "--expires-in", "10d"))
    for scopes, more in (
        (("keys:read",), ()),
        (("users:read", "users:write"), ()),
        (("users:read",), ("--expires-in", "11d")),
        (("users:read",), ("--only-to", "bert")),
    ):
        if more[:1] == ("--only-to",):
            cli.call("users", "create", "bert", "--email", "b@example.org").ok()
        key(cli, *scopes, more=more, maker=maker["key"], code=4)
    made = key(cli, "users:list", maker=maker["key"])  # which users:read covers
    assert (made["scopes"], made["expires_at"]) == (["users:list"], maker["expires_at"])
    assert made["restrictions"] == maker["restrictions"] != None  # noqa: E711
    assert key(cli, maker=maker["key"])["scopes"] == maker["scopes"]
    assert key(cli, more=("--expires-in", "1d"), maker=maker["key"])["expires_at"] < maker["expires_at"]
    listed = cli.call("keys", "list", "-o", "json").ok().json()
    assert len(listed) == 4


def test_a_key_rotates_none_that_may_more(cli: Cli) -> None:
    """The successor of a wider key would be a wider key in the rotator's hands."""
    maker = key(cli, "keys:write", more=("--expires-in", "10d"))
    wider, narrower = key(cli, "users:read"), key(cli, "keys:write")
    rotating = ("keys", "rotate", "-o", "json")
    assert acting(cli, maker["key"], *rotating, wider["id"]).exit_code == 4
    assert acting(cli, maker["key"], *rotating, narrower["id"], "--expires-in", "11d").exit_code == 4
    states = {row["id"]: row["state"] for row in cli.call("keys", "list", "-o", "json").ok().json()}
    assert states == dict.fromkeys((maker["id"], wider["id"], narrower["id"]), "active")
    done = acting(cli, maker["key"], *rotating, narrower["id"]).ok().json()
    assert (done["scopes"], done["expires_at"]) == (["keys:write"], maker["expires_at"])
    itself = acting(cli, maker["key"], *rotating, maker["id"], "--overlap", "1h").ok().json()
    assert itself["expires_at"] <= maker["expires_at"]


def test_a_fixture_gives_no_more_on(cli: Cli, database: Database) -> None:
    """`fixtures apply` makes, amends and replaces keys by the same rule."""
    maker = key(cli, "fixtures:write", more=("--expires-in", "10d"))
    (cli.home / "new.key").write_text(key(cli)["key"])
    cli.call("keys", "revoke", "-", input=(cli.home / "new.key").read_text()).ok()
    for said in ("", "scopes: [users:read], ", "scopes: [fixtures:write], "):
        text = f"api_keys:\n  - {{user: anna, name: other, {said}secret: {{file: k}}}}\n"
        (cli.home / "f.yaml").write_text(text)
        assert acting(cli, maker["key"], "fixtures", "apply", "-f", "f.yaml").exit_code == 4
        assert not (cli.home / "k").exists()
    late = "expires_at: 2099-01-01T00:00:00Z"
    (cli.home / "f.yaml").write_text(
        f"api_keys:\n  - {{user: anna, name: other, scopes: [fixtures:write], {late}, secret: {{file: k}}}}\n"
    )
    cli.call("fixtures", "apply", "-f", "f.yaml").ok()
    (cli.home / "f.yaml").write_text("api_keys:\n  - {user: anna, name: other, secret: {file: k}}\n")
    assert acting(cli, maker["key"], "fixtures", "apply", "-f", "f.yaml").exit_code == 4
    with database.read() as tx:
        stored = tx.execute(select(api_keys.c.scopes).where(api_keys.c.name == "other")).scalars().all()
    assert stored == ['["fixtures:write"]']


def test_if_not_exists_looks_for_what_it_is_good(cli: Cli) -> None:
    """The same values are the same key; a key of that name for something else is a conflict."""
    args = ("keys", "create", "anna", "--name", "ci", "--if-not-exists", "--secret-file", "k", "-o", "json")
    made = cli.call(*args, "--scope", "users:read", "--scope", "keys:read").ok().json()
    again = cli.call(*args, "--scope", "keys:read", "--scope", "users:read").ok().json()
    assert (again["created"], again["id"]) == (False, made["id"])
    for other in ((), ("--scope", "users:read"), ("--scope", "users:read", "--scope", "keys:read", "--dry-run-only")):
        assert cli.call(*args, *other).exit_code == 5


def test_every_kind_that_is_completed_has_a_scope() -> None:
    """A kind that is added and forgotten here would be completed for nobody."""
    assert set(completed._SCOPES) == set(beginnings_of_services._QUERIES)


def test_completion_offers_only_what_the_key_may_see(cli: Cli) -> None:
    """Values of the database are completed for a key that may list them, and for no other."""
    env = {"NOTIFYCTL_DATABASE_URL": cli.env["NOTIFYCTL_DATABASE_URL"]}
    good, bad = (key(cli, each)["key"] for each in ("users:list", "keys:read"))
    found = beginnings(load(env={**env, "NOTIFYCTL_API_KEY": good}), "user", "an")
    assert [value for value, _ in found] == ["anna"]
    with pytest.raises(NotAllowed):
        beginnings(load(env={**env, "NOTIFYCTL_API_KEY": bad}), "user", "an")


def test_a_key_makes_templates_as_its_own_user(cli: Cli, database: Database) -> None:
    """`--by` names nobody else, on each road; its own user it may name in any way, and without a key it is anybody."""
    seed.user(database, "maker")
    seed.user(database, "other")
    secret = cli.call("keys", "create", "maker", "--name", "by", "-o", "secret").ok().stdout.strip()
    env = {"NOTIFYCTL_API_KEY": secret}
    made = ("templates", "create", "t", "--channel", "sms", "--body", "x")
    changed = ("templates", "update", "t", "--body", "y")
    (cli.home / "folder").mkdir()
    cli.call(*made, "--by", "maker@example.org", env=env).ok()
    (cli.home / "f.yaml").write_text("templates: []\n")
    pushed, applied = ("templates", "push", "folder"), ("fixtures", "apply", "-f", "f.yaml")
    for words in ((*made[:2], "u", *made[3:]), changed, pushed, applied):
        refused = cli.call(*words, "--by", "other", env=env)
        assert (refused.exit_code, "--by other" in refused.stderr) == (4, True), (words, refused)
    cli.call(*changed, "--by", "maker", env=env).ok()
    cli.call(*made[:2], "u", *made[3:], "--by", "other").ok()


def test_the_trail_shows_the_beginning_of_a_key_that_is_made(cli: Cli, database: Database) -> None:
    """What `keys list` shows of a key tells which one a row is about; never the key itself."""
    seed.user(database, "holder")
    made = cli.call("keys", "create", "holder", "--name", "shown", "-o", "json").ok().json()
    told = cli.call("audit", "list", "--resource", f"api_key/{made['id']}", "-o", "json").ok()
    assert made["prefix"] in told.stdout and made["key"] not in told.stdout
