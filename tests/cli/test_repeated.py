"""Options that are there twice: of two values one would be left out, and nobody would know which acted."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from notifyctl.core.errors import UsageError
from tests.support.command import Cli
from tests.support.tree import LEAVES


def _options(path: str) -> Iterator[Any]:
    return (each for each in LEAVES[path].params if each.param_type_name == "option")


def _may_be_there_again(option: Any) -> bool:
    return option.multiple or option.count or (option.is_flag and not option.secondary_opts)


def _said(path: str, given: list[str]) -> str:
    try:
        LEAVES[path].make_context(path, given)
    except UsageError as error:
        return error.message
    except Exception:  # something else is wrong with that line: an argument is missing, or x is no number
        return ""
    return ""


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_no_command_leaves_a_value_out(path: str) -> None:
    """Each option of each command, by each of its names: twice is refused, before it is asked what the values are."""
    for option in _options(path):
        names = [*option.opts, *option.secondary_opts]
        for first in names:
            given = [first, names[-1]] if option.is_flag else [first, "x", f"{names[-1]}=x"]
            said = _said(path, given)
            assert (" is given twice" in said and first in said) is not _may_be_there_again(option), (first, said)


@pytest.mark.parametrize(
    ("line", "name", "remedy"),
    [
        ("dlq retry --provider sendgrid --provider twilio --yes", "--provider", "run the command for each"),
        ("notifications cancel --user anna --user=omar --yes", "--user", "run the command for each"),
        ("users list -o csv --output id", "-o/--output", "give it once"),
        ("users list -ocsv -o csv", "-o/--output", "give it once"),
        ("users list --fields id --fields email", "--fields", "--fields A,B"),
        ("prefs set anna sms --enable --disable", "--enable/--disable", "--enable or --disable, not both"),
        ("--profile a --profile b users list", "--profile", "give it once"),
        ("users list --limit 1 --limit 2 --limit 3", "--limit is given 3 times", "give it once"),
    ],
)
def test_it_is_named_with_the_remedy(bare_cli: Cli, line: str, name: str, remedy: str) -> None:
    """A usage error (exit 2) before anything is opened: which option, and what to do instead."""
    done = bare_cli.call(*line.split())
    first, second = done.stderr.splitlines()
    assert (done.exit_code, done.stdout) == (2, "")
    assert first.startswith(f"error: {name}")
    assert " is given " in first
    assert second.startswith("hint: ") and remedy in second


def test_as_json(bare_cli: Cli) -> None:
    """A script reads it as any other error."""
    done = bare_cli.call("dlq", "list", "--provider", "a", "--provider", "b", "-o", "json")
    assert json.loads(done.stderr)["error"]["code"] == "usage"


def test_what_means_the_same_again_is_none(cli: Cli) -> None:
    """Flags, lists, both places of global options, the environment beside an option: none of them loses anything."""
    cli.call("users", "create", "anna", "--email", "anna@example.org", "-q", "-q", "-v", "-v").ok()
    shown = cli.call("-o", "csv", "users", "list", "-o", "id", "--utc", "--utc").ok()
    assert len(shown.stdout.splitlines()) == 1
    cli.call("fixtures", "dump", "--kind", "users", "--kind", "limits").ok()
    elsewhere = {"NOTIFYCTL_DATABASE_URL": "sqlite:////nowhere/at/all.db"}
    cli.call("users", "list", "--database-url", cli.env["NOTIFYCTL_DATABASE_URL"], env=elsewhere).ok()


def test_what_stands_behind_two_dashes_is_no_option(cli: Cli) -> None:
    """As everywhere; and a value may look like the option."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    assert "--provider" in cli.call("users", "show", "--", "--provider").stderr
    assert cli.call("users", "list", "--fields", "--fields").exit_code == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("providers add smtp --set host=a --set host=b", "--set: host is given twice"),
        ("providers update smtp --set host=a --set ' host=b'", "--set: host is given twice"),
        ("send -f rows.csv --map A=user --map A=body --channel sms", "--map: 'A' is mapped twice"),
        ("send anna --channel sms --template hi --var a=1 --var 'a:=2'", "--var: a is given twice"),
    ],
)
def test_of_a_list_of_pairs_each_name_once(cli: Cli, line: str, said: str) -> None:
    """Of two values of one name one would be left out just so."""
    (cli.home / "rows.csv").write_text("A\nanna\n")
    done = cli.call(*shlex.split(line), input="user\nsecret\n")
    assert (done.exit_code, done.stderr.splitlines()[0]) == (2, f"error: {said}")
