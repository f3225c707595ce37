"""What a command loads before it does anything: by name, since times are the machine's."""

from __future__ import annotations

import base64
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from notifyctl.cli import noun
from notifyctl.cli.app import load
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli

HEAVY = {
    "sqlalchemy", "alembic", "httpx", "asyncio", "psycopg", "rich", "aiohttp", "httptools", "cryptography", "tabulate",
    "minijinja", "css_inline", "selectolax", "babel", "yaml",
}  # fmt: skip
UNCONFIGURED = {"platformdirs", "tomllib", "notifyctl.config"}
"""What reads the configuration, which help is not asked for."""


@pytest.fixture
def sqlite_cli(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line on a SQLite database, for what does not depend on the database."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    return bare_cli


def imported(cli: Cli, *args: str, env: dict[str, str] | None = None) -> set[str]:
    """Run a command to its end; return the modules that it imported, with the packages they are of."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "notifyctl", *args],
        env=cli.env | (env or {}), capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    return names | {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("args", [["--help"], [], ["--version"], ["-h"]])
def test_help_is_light(bare_cli: Cli, args: list[str]) -> None:
    """Help imports nothing that takes long: the time of every command begins there."""
    found = imported(bare_cli, *args)
    assert "typer" in found or args == ["--version"]
    assert found & (HEAVY | UNCONFIGURED) == set()


def test_completion_of_nouns_is_light(bare_cli: Cli) -> None:
    """Completing a noun imports no noun."""
    protocol = {"_NOTIFYCTL_COMPLETE": "complete_bash", "COMP_WORDS": "notifyctl me", "COMP_CWORD": "1"}
    assert imported(bare_cli, env=protocol) & HEAVY == set()


@pytest.mark.parametrize("verb", ["show", "rollup"])
def test_metrics_load_nothing_of_their_export(sqlite_cli: Cli, sqlite_url: str, verb: str) -> None:
    """What an export tells of providers, and the library that writes it, is no part of the others, which cron runs."""
    of_export = {"prometheus_client", "notifyctl.services.status", "notifyctl.providers", "notifyctl.cli.exporting"}
    assert imported(sqlite_cli, "metrics", verb) & of_export == set()
    assert of_export <= imported(sqlite_cli, "metrics", "export")


def test_send_imports_what_it_needs(sqlite_cli: Cli, sqlite_url: str) -> None:
    """A submission on SQLite loads one adapter, and nothing that talks to a server, a network or a terminal."""
    db = Database(sqlite_url)
    seed.user(db)
    for name in ("sendgrid", "twilio", "fcm", "smtp"):
        seed.provider(db, name, config_json='{"from":"alerts@example.com"}')
    db.close()
    send = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "It works", "-o", "id")
    found = imported(sqlite_cli, *send)
    assert "sqlalchemy" in found  # which imports asyncio
    others = {"google", "phonenumbers", "email_validator", "uvloop", "sqlalchemy.dialects.postgresql"}
    assert found & ((HEAVY | others) - {"sqlalchemy", "asyncio"}) == set()
    adapters = {f"notifyctl.providers.{name}" for name in ("sendgrid", "twilio", "fcm", "smtp")}
    assert {name for name in adapters if any(each.startswith(name) for each in found)} == {
        "notifyctl.providers.sendgrid"
    }


UNASKED = {
    "notifyctl.store.schema.physical", "notifyctl.core.template.source", "notifyctl.store.template_sources",
    "email_validator", "notifyctl.dispatch.watching", "notifyctl.providers.http.client", "notifyctl.providers.mailwire",
    "notifyctl.providers.hookwire", "tomllib", "httptools", "html", "phonenumbers", "google",
    "sqlalchemy.dialects.postgresql",
    *HEAVY - {"sqlalchemy", "asyncio", "cryptography"},
}  # fmt: skip


def test_a_run_with_nothing_due_imports_no_way_out(sqlite_cli: Cli) -> None:
    """What sends, renders and tells is loaded with the first notification, template or condition; keys are tried."""
    keys = {"NOTIFYCTL_ENCRYPTION_KEYS": f"k1:{base64.b64encode(bytes(64)).decode()}"}
    sets = ("--set", "from=alerts@example.com")
    sqlite_cli.run("providers", "add", "sendgrid", "--api-key", "-", *sets, input="SG.x", env=keys).ok()
    assert imported(sqlite_cli, "dispatch", "--once", env=keys) & UNASKED == set()


def test_who_runs_on_has_all_loaded_before_it_is_needed(sqlite_cli: Cli) -> None:
    """Later there may be no file left to open, and what is upgraded under it is another version's."""
    ways = {"notifyctl.core.template.render", "notifyctl.store.template_sources"}
    ways |= {"notifyctl.providers.http.client", "notifyctl.providers.hookwire", "notifyctl.dispatch.watching"}
    assert ways - imported(sqlite_cli, "dispatch", "--max-time", "100ms") == set()


def test_a_list_imports_what_it_needs(sqlite_cli: Cli) -> None:
    """A read on SQLite."""
    of_removal = {"notifyctl.store.early", "notifyctl.store.attachments", "notifyctl.store.metrics"}
    of_refusals = {"notifyctl.services.suppressions", "notifyctl.core.suppression_list", "notifyctl.cli.suppressions"}
    unasked = UNASKED | of_removal | of_refusals | {"cryptography", "uvloop"}
    assert imported(sqlite_cli, "users", "list") & unasked == set()


def test_fixtures_that_change_nothing_import_what_they_need(sqlite_cli: Cli) -> None:
    """The step that each run of CI takes; templates and YAML are what it is about."""
    (sqlite_cli.home / "people.yaml").write_text("users:\n- {username: anna, email: anna@example.org}\n")
    apply = ("fixtures", "apply", "-f", str(sqlite_cli.home / "people.yaml"))
    sqlite_cli.run(*apply).ok()
    of_templates = {"notifyctl.core.template.source", "notifyctl.store.template_sources"}
    unasked = UNASKED - of_templates - {"yaml"} | {"cryptography", "uvloop"}
    assert imported(sqlite_cli, *apply) & unasked == set()


@pytest.mark.parametrize("args", [["--help"], ["users", "list"]])
def test_no_garbage_is_looked_for_in_what_stays(sqlite_cli: Cli, args: list[str]) -> None:
    """What was loaded is not walked through, neither meanwhile nor at the end; a command that runs has a collector."""
    code = (
        "import atexit, gc, sys; from notifyctl.__main__ import run\n"
        "def tell():\n"
        "    walks, looked_at = gc.get_stats()[2]['collections'], len(gc.get_objects())\n"
        "    print(walks, looked_at < gc.get_freeze_count() / 100, gc.isenabled(), file=sys.stderr)\n"
        "atexit.register(tell); run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=sqlite_cli.env, capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["0", "True", str(args != ["--help"])]


def test_options_that_verbs_share_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read a declaration takes a millisecond; each verb has copies, in which it may change what is its own."""
    read: list[str] = []
    typers = noun.get_params_convertors_ctx_param_name_from_function
    monkeypatch.setattr(
        noun,
        "get_params_convertors_ctx_param_name_from_function",
        lambda function: (read.append(f"{function.__module__}.{function.__qualname__}"), typers(function))[1],
    )
    noun._declared_by.cache_clear()
    anew = load.__wrapped__  # whatever tests before this one had built
    params = [param for each in ("users", "notifications") for param in _params(anew(each))]
    assert "notifyctl.cli.noun._globals" in read
    assert len(read) == len(set(read))
    assert len(params) == len({id(param) for param in params})


def _params(command: Any) -> Iterator[Any]:
    yield from command.params
    for verb in getattr(command, "commands", {}).values():
        yield from _params(verb)


def test_a_process_of_the_commands_own_keeps_the_collector_from_its_modules() -> None:
    """What `python -m notifyctl` loads is never looked through, and what the command leaves behind is."""
    program = (
        "import gc; gc.disable(); from notifyctl.cli.app import load; load('users');"
        "print(gc.get_freeze_count() > 10_000, gc.isenabled())"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["True", "True"]


def test_whoever_else_runs_commands_keeps_no_garbage_of_theirs(sqlite_cli: Cli) -> None:
    """A program that runs a command in its own process can collect what is garbage afterwards: nothing is frozen."""
    ours = [Cli(sqlite_cli.home, None)]
    ours.append(ours)  # type: ignore[arg-type]
    found = weakref.ref(ours[0])
    sqlite_cli.call("users", "list").ok()
    del ours
    gc.collect()
    assert (found(), gc.isenabled()) == (None, True)
