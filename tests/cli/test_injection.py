"""Whatever is typed is data: never SQL, never a format, never markup, never a reason to fail unexpectedly.

Every command is called with hostile texts in every place where it takes a text. It ends with an exit code of the
contract, shows no traceback and no control character, and a command that failed has changed nothing.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text

from notifyctl.store.db.database import Database
from tests.cli.test_framework import LEAVES
from tests.support import catalogue, letters, seed
from tests.support.command import Cli
from tests.support.world import KEYS

CONTRACT = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11}
# After these something may have been done.
DID_SOMETHING = {0, 6, 7, 11}
# These run until they are told to stop, and have tests of their own.
SERVERS = {"demo", "sandbox"}
# Their names are files to be made: the text is what they are called.
FILES = {"secret_file", "log", "service_account", "folder"}
# What would end the test's own database, or make a command wait.
LEFT_OUT = {("migrate down", "yes"), ("migrate down", "confirm"), ("status", "watch")}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

HOSTILE = [
    "'; DROP TABLE users; --",
    "' OR '1'='1",
    '"; DELETE FROM notifications; --',
    "x') ON CONFLICT DO UPDATE SET username = (SELECT 1) --",
    "%s %(id)s :name $1 ?",
    "{0} {} {0.__class__} {self}",
    "%n%n%n",
    "{{ 7 * 7 }} ${HOME} $(id) `id`",
    "[bold]x[/bold] [/b] [link=file:///etc/passwd]",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "a\rb\nc\td\x0b\x7f\x85\u2028\u202e",
    "-",
    "--",
    "-x",
    "--help-me",
    "@",
    "@/etc/passwd",
    "../../../../etc/passwd",
    "\udcff\udc80",
    "é" * 300,
    "x" * 10_000,
    "9" * 400,
    "-1",
    "1e999",
    "0x10",
    "١٢٣",
    "",
    " ",
    "%",
    "_",
    "*",
    "\\",
    "\ufeffx",
    "𝒳\u0301\u200d",
    "null",
    "[]",
    '{"a":' * 2_000,
]
ID = "abcdef12-0000-4000-8000-000000000001"
MEANT = {
    "user": ["anna", "ANNA@example.org"],
    "ids": ["abcdef12", ID, "-"],
    "key_id": [ID[:8]],
    "name": ["sendgrid", "twilio", "anna"],
    "channel": ["email", "sms", "push"],
    "to": ["+14155552345"],
    "at": ["now", "2031-05-01T12:00:00Z"],
    "since": ["2h"],
    "until": ["2h"],
    "timeout": ["1ms"],
    "body": ["hello"],
    "email": ["omar@example.org"],
    "by": ["anna"],
    "reason": ["retries_exhausted", "because"],
    "revision": ["head", "base"],
    "shell": ["bash"],
}

hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40),
    # What Python makes of arguments that are not UTF-8.
    st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]), min_size=1, max_size=4),
)


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[list[str], str]:
    """Draw a command with some of its options and its arguments, and what it finds on stdin."""
    path = draw(st.sampled_from(sorted(set(LEAVES) - SERVERS)))
    options, arguments = ["--once"] if path == "dispatch" else [], []
    for param in LEAVES[path].params:
        if param.hidden or param.name in ("output", "help", "once") or (path, param.name) in LEFT_OUT:
            continue
        if param.param_type_name == "argument":
            most = 1 if param.nargs == 1 else 2
            arguments += [draw(_text(param.name)) for _ in range(draw(st.integers(int(param.required), most)))]
        elif param.required or draw(st.integers(0, 3)) == 0:
            options += draw(_option(param))
    if path in ("send", "schedule") and "--wait" in options:
        options += ["--timeout", "1ms"]
    between = ["--"] if any(each.startswith("-") for each in arguments) and draw(st.booleans()) else []
    return [*path.split(), *options, *between, *arguments], draw(_text("stdin"))


@st.composite
def _option(draw: st.DrawFn, param: Any) -> list[str]:
    name = param.opts[-1]
    if param.is_flag:
        return [name]
    value = draw(_text(param.name))
    return [f"{name}={value}"] if draw(st.booleans()) else [name, value]


def _text(name: str) -> st.SearchStrategy[str]:
    """Return texts for a parameter: hostile, or such as get further than the first check."""
    meant = [*MEANT.get(name, []), "anna", "5"]
    if name in FILES:
        return hostile.map(lambda value: value.translate({ord("/"): "_", ord("~"): "_"}))
    if name == "settings":
        return hostile.map(lambda value: f"key={value}")
    return st.one_of(hostile, st.sampled_from(meant))


class Ground:
    """A database with something of everything in it, and what can be seen of it from outside."""

    def __init__(self, cli: Cli, database: Database) -> None:
        self.cli = cli
        self.database = database
        nowhere = {f"NOTIFYCTL_{name}_URL": "http://127.0.0.1:9" for name in ("SENDGRID", "TWILIO", "FCM")}
        cli.env |= {"NOTIFYCTL_ENCRYPTION_KEYS": KEYS, **nowhere}
        cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        anna = cli.call("users", "show", "anna", "-o", "json").ok().json()["id"]
        cli.call("users", "contacts", "add", "anna", "sms", "+14155552345").ok()
        cli.call("keys", "create", "anna", "--name", "ci", "-o", "json").ok()
        cli.call("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@example.com", input="SG.key").ok()
        secrets = ("--api-key", "-", "--api-secret", "-", "--set", "from=+15005550006")
        cli.call("providers", "add", "twilio", *secrets, input=f"AC{'5a' * 16}\nsecret\n").ok()
        seed.pending(database, anna, "twilio", count=3, due_at=4_000_000_000_000)
        letters.dead(database, anna, "twilio", id=ID)
        with database.read() as tx:
            names = sorted(inspect(tx.conn).get_table_names())
        counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
        self._counts = text(f"SELECT {counts}")
        self.schema = catalogue.contents(database)

    def counts(self) -> tuple[int, ...]:
        """Return how many rows each table has."""
        with self.database.read() as tx:
            return tuple(tx.execute(self._counts).one())

    def check(self, args: list[str], stdin: str) -> None:
        """Run a command line and hold it to the contract."""
        before = self.counts()
        result = self.cli.call(*args, input=stdin.encode("utf-8", "surrogateescape"))
        event(f"exit code {result.exit_code}")
        assert result.exit_code in CONTRACT, result
        for never in ("Traceback", "unexpected", "this is a defect", "this should not happen"):
            assert never not in result.stderr, result
        assert not CONTROL.search(result.stdout + result.stderr), result
        if result.exit_code not in DID_SOMETHING:
            assert self.counts() == before, result


@pytest.fixture
def ground(cli: Cli, database: Database) -> Ground:
    """The command line on a database with something in it."""
    return Ground(cli, database)


_SIZES = [150, pytest.param(10_000, marks=pytest.mark.full)]


@pytest.mark.slow
@pytest.mark.parametrize("examples", _SIZES)
def test_every_command_with_hostile_texts(ground: Ground, examples: int) -> None:
    """Many commands with anything in any place: exit codes of the contract, no traceback, nothing done by accident."""

    @settings(
        max_examples=examples,
        database=None,
        derandomize=examples == _SIZES[0],
        phases=[Phase.generate],
    )
    @given(command_lines())
    def hold(line: tuple[list[str], str]) -> None:
        ground.check(*line)

    hold()
    assert catalogue.contents(ground.database) == ground.schema
