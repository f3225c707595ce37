"""Help is what an operator reads first: an example that works, units, exit codes, as wide as there is room."""

from __future__ import annotations

import re
import shlex

import pytest

from notifyctl.cli.examples import EXAMPLES
from tests.support.command import Cli
from tests.support.terminal import on_terminal
from tests.support.tree import LEAVES


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_every_example_is_understood(bare_cli: Cli, path: str) -> None:
    """Each command's help has an example of that command, which the command itself reads without an error."""
    assert path in EXAMPLES, "notifyctl/cli/examples.py"
    line = EXAMPLES[path]
    assert f"Example:\n  {line}\n" in bare_cli.call(*path.split(), "--help").ok().stdout
    words = shlex.split(re.split(r" [|<>] ", line)[0])
    assert words[: len(path.split()) + 1] == ["notifyctl", *path.split()]
    LEAVES[path].make_context(path, words[len(path.split()) + 1 :])


@pytest.mark.parametrize("noun", sorted({path.rpartition(" ")[0] for path in LEAVES} - {""}))
def test_nouns_have_one_too(bare_cli: Cli, noun: str) -> None:
    """Whoever asks a noun sees how it is used."""
    assert f"Example:\n  notifyctl {noun} " in bare_cli.call(*noun.split(), "--help").ok().stdout


def test_units(bare_cli: Cli) -> None:
    """Where a duration or a moment is taken, help says how it is written; where none is, it does not."""
    assert "a bare number is seconds" in bare_cli.call("send", "--help").ok().stdout
    assert "A time is like 20" in bare_cli.call("notifications", "list", "--help").ok().stdout
    assert "seconds" not in bare_cli.call("users", "show", "--help").ok().stdout


def test_exit_codes_at_the_root(bare_cli: Cli) -> None:
    """The root's help has every exit code that the README has."""
    shown = bare_cli.call("--help").ok().stdout
    listed = shown[shown.index("Exit codes") : shown.index("First steps")]
    assert {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 130, 141, 143} <= {int(each) for each in re.findall(r"\d+", listed)}
    assert max(map(len, shown.splitlines())) <= 80


def test_as_wide_as_the_terminal(bare_cli: Cli) -> None:
    """On a wide terminal a line of help is not broken at 80 columns, on a narrow one it fits."""
    wide = on_terminal(bare_cli, "send", "--help", columns=150).stdout.splitlines()
    narrow = on_terminal(bare_cli, "send", "--help", columns=60).stdout.splitlines()
    assert 80 < max(map(len, wide)) <= 150
    assert max(len(line) for line in narrow if not line.startswith("  notifyctl ")) <= 60
