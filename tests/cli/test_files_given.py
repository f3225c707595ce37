"""`-f`: what is named is what is read, all of it, and nothing else."""

from __future__ import annotations

import pytest

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli

ONE = "users: [{username: anna, email: anna@example.org}]\n"
OTHER = "users: [{username: omar, email: omar@example.org}]\n"


def test_several_fixtures_are_one(cli: Cli) -> None:
    """As those of a folder are: the second does not take the place of the first, and one that is there twice is one."""
    (cli.home / "a.yaml").write_text(ONE)
    (cli.home / "b.yaml").write_text(OTHER)
    made = cli.call("fixtures", "apply", "-f", "a.yaml", "-f", "b.yaml", "-f", "a.yaml").ok()
    assert "2 created" in made.stderr
    (cli.home / "b.yaml").write_text(ONE)
    twice = cli.call("fixtures", "apply", "-f", "a.yaml", "-f", "b.yaml")
    assert (twice.exit_code, "is there twice, first at a.yaml" in twice.stderr) == (2, True)


def test_a_variable_without_a_value_names_nothing(cli: Cli) -> None:
    """Not the folder in which a script runs."""
    (cli.home / "a.yaml").write_text(ONE)
    done = cli.call("fixtures", "apply", "-f", "")
    assert (done.exit_code, "names no file" in done.stderr) == (2, True)
    assert cli.call("users", "list", "-o", "id").ok().stdout == ""


@pytest.mark.parametrize("command", [("send",), ("users", "import"), ("suppressions", "import")])
def test_one_file_at_a_time(cli: Cli, database: Database, command: tuple[str, ...]) -> None:
    """Of two the first would not be read, and nobody would know."""
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    for name in ("a.csv", "b.csv"):
        (cli.home / name).write_text("username,email\nanna,anna@example.org\n")
    done = cli.call(*command, "-f", "a.csv", "-f", "b.csv")
    assert (done.exit_code, "-f/--file is given twice" in done.stderr) == (2, True)
    assert cli.call("users", "list", "-o", "id").ok().stdout == ""
