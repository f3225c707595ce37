"""What is long, at a terminal of 80 columns: it fits, nothing of it is lost, and commands to be pasted are whole."""

from __future__ import annotations

import re
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from notifyctl.cli.tables import in_cells
from notifyctl.cli.wrapping import LEAST, hanging
from notifyctl.core.sealing import format_key
from tests.support.command import Cli
from tests.support.terminal import on_terminal
from tests.support.tree import LEAVES

LONG = "averyverylongnamewithoutanyblanks" * 3
WIDE = "日本語の非常に長い名前の利用者でありますので表からはみ出すかもしれません"
URL = f"https://{'a-long-label-of-some-department.' * 3}example.org/hooks/{'path/' * 30}end"
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
UNIONS = ("send", "schedule", "metrics show")
"""Leaves that say with all their forms together what they show."""


@pytest.fixture
def desk(sqlite_url: str, bare_cli: Cli) -> Cli:
    """People, a key, providers, templates and webhooks, all of them with long names."""
    bare_cli.env |= {"NOTIFYCTL_DATABASE_URL": sqlite_url, "NOTIFYCTL_ENCRYPTION_KEYS": format_key("k1", bytes(64))}

    def do(*args: str, input: str | None = None) -> None:
        bare_cli.call(*args, input=input).ok()

    for number, name in enumerate((LONG, WIDE)):
        do("users", "create", name, "--email", f"{'local-part-' * 4}{number}@{'department.' * 4}example.org")
        do("users", "contacts", "add", name, "push", "token" * 30 + str(number))
        do("webhooks", "create", name, URL, "--event", "*", "--name", name[:50])
    sender = "Somebody Of A Department With A Long Name <alerts-of-a-long-name@example.org>"
    do("providers", "add", "sendgrid", "--api-key", "-", "--set", f"from={sender}", input="SG.key")
    scopes = [
        each for scope in ("users:read", "dlq:write", "status:read", "webhooks:read") for each in ("--scope", scope)
    ]
    do("keys", "create", LONG, "--name", "key of a long name", *scopes)
    do("categories", "create", "receipts.of.orders", "--kind", "transactional")
    create = ("templates", "create", f"layouts/{'long-' * 15}x", "--channel", "email", "--by", LONG)
    do(*create, "--subject", "s", "--body", "b", "--kind", "layout", "--category", "receipts.of.orders")
    return bare_cli


def shown(cli: Cli, *args: str, columns: int = 80) -> list[str]:
    """Return the lines that a command writes on a terminal."""
    return _STYLES.sub("", on_terminal(cli, *args, columns=columns).stdout).splitlines()


def _id(cli: Cli, noun: str) -> str:
    return cli.call(noun, "list", "-o", "id").ok().stdout.split()[0]


def test_a_long_value_stands_below_its_beginning(desk: Cli) -> None:
    """Every line fits; that of the field goes on further in, and together they are what a program reads."""
    for args, field, columns in (
        (("users", "show", LONG), "username", 80),
        (("users", "show", WIDE), "email", 60),
        (("webhooks", "show", "--reveal-url", _id(desk, "webhooks")), "url", 80),
        (("providers", "show", "sendgrid"), "config", 80),
        (("keys", "show", _id(desk, "keys")), "scopes", 60),
        (("templates", "show", _id(desk, "templates")), "name", 80),
    ):
        lines = shown(desk, *args, columns=columns)
        assert max(map(cell_len, lines)) <= columns
        plain = dict(line.split("\t") for line in desk.call(*args, "-o", "plain").ok().stdout.splitlines())
        assert "".join(_whole(lines, field).split()) == "".join(plain[field].split())


def _whole(lines: list[str], field: str) -> str:
    """Return what stands behind a field's name and, further in, below."""
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{field} "))
    indent = len(lines[first]) - len(lines[first].removeprefix(field).lstrip())
    more = list(takewhile(lambda line: line.startswith(" " * indent), lines[first + 1 :]))
    assert more
    return "".join(line[indent:] for line in (lines[first], *more))


def test_without_a_terminal_nothing_is_broken(desk: Cli) -> None:
    """Whatever the format: who reads it with a program finds a field in its line."""
    for form in ("table", "plain"):
        lines = desk.call("users", "show", LONG, "-o", form, env={"COLUMNS": "40"}).ok().stdout.splitlines()
        assert len(lines) == 6 and LONG in lines[1]


def test_lists_fit(desk: Cli) -> None:
    """Names give way, ids and numbers do not."""
    for noun in ("users", "keys", "templates", "webhooks"):
        lines = shown(desk, noun, "list")
        assert max(map(cell_len, lines)) <= 80
        assert _id(desk, noun)[:8] in lines[1]


def test_status_fits_and_its_commands_are_whole(desk: Cli, sqlite_url: str) -> None:
    """Tables of wide names stand in columns; a command is never broken by us, so that it can be pasted."""
    desk.call("webhooks", "disable", f"{WIDE}/{WIDE[:50]}", "--reason", "x").ok()
    desk.call("send", LONG, "--channel", "email", "--subject", "s", "--body", "b").ok()
    desk.call("send", WIDE, "--channel", "email", "--subject", "s", "--body", "b").ok()
    lines = shown(desk, "status")
    assert max(cell_len(line) for line in lines if not line.startswith("    notifyctl ")) <= 80
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("RECEIVER")) :]
    assert len({cell_len(line) for line in table[:3]}) == 1, table
    hints = [each["hint"] for each in desk.call("status", "-o", "json").ok().json()["problems"]]
    assert hints and all(f"    {hint}" in lines for hint in hints)


def test_what_a_version_is_about_steers_no_terminal(desk: Cli) -> None:
    """A note is a person's free words."""
    name = f"layouts/{'long-' * 15}x"
    done = desk.call("templates", "update", name, "--body", "c", "--by", LONG, "--note", "red\x1b[31m\nred")
    written = on_terminal(desk, "templates", "show", name, "--draft").stdout
    assert done.exit_code == 2 or "\x1b[31m" not in written


@pytest.mark.parametrize("path", sorted(path for path, leaf in LEAVES.items() if "csv" in leaf.formats))
def test_every_record_says_its_fields(path: str) -> None:
    """They are declared, so that `--fields` is checked before anything is done, and each stands there once."""
    fields = LEAVES[path].shows() if callable(LEAVES[path].shows) else LEAVES[path].shows
    names = [field.name for field in fields]
    assert names
    assert path in UNIONS or len(names) == len(set(names)), names


def test_a_field_that_is_none_lifts_nothing(desk: Cli) -> None:
    """Whoever mistypes a field has done nothing yet."""
    add = ("suppressions", "add", "email", "bob@example.org", "--reason", "x")
    assert desk.call(*add, "--fields", "nope").exit_code == 2
    desk.call(*add).ok()
    assert desk.call("suppressions", "remove", "email", "bob@example.org", "--yes", "--fields", "nope").exit_code == 2
    assert desk.call("suppressions", "list", "-o", "id").ok().stdout


TEXTS = st.text(st.characters(categories=("L", "N", "P", "Zs", "So", "Mn")), max_size=200)


@given(head=st.text("abc_ ", max_size=30), text=TEXTS, room=st.integers(10, 120))
def test_hanging_loses_nothing(head: str, text: str, room: int) -> None:
    """Each line fits where there is room at all, and what is not blank is there in its order."""
    lines = hanging(head, text, room).split("\n")
    assert "".join("".join(lines).split()) == "".join(f"{head}{text}".split())
    if room - cell_len(head) >= LEAST:
        assert all(cell_len(line) <= room for line in lines)
        assert all(line.startswith(" " * cell_len(head)) for line in lines[1:])


@given(text=TEXTS, width=st.integers(2, 40), right=st.booleans())
def test_a_cell_takes_its_cells(text: str, width: int, right: bool) -> None:
    """Exactly so many, whatever is in it."""
    assert cell_len(in_cells(text, width, right=right)) == width
