"""Help is what an operator reads first: an example that works, units, exit codes, as wide as there is room."""

from __future__ import annotations

import re
import shlex

import pytest

from notifyctl.cli.examples import EXAMPLES
from notifyctl.dispatch.options import DispatchOptions
from tests.support.command import Cli
from tests.support.terminal import on_terminal
from tests.support.tree import LEAVES


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_every_example_is_understood(bare_cli: Cli, path: str) -> None:
    """Each command's help has an example of that command, which the command itself reads without an error."""
    assert path in EXAMPLES, "notifyctl/cli/examples.py"
    line = EXAMPLES[path]
    shown = bare_cli.call(*path.split(), "--help").ok().stdout
    assert f"Example:\n  {line}\n" in shown
    assert "\nEvery command also takes --profile, --utc and others: notifyctl --help.\n" in shown
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


MEASURES = {"N", "N/s", "D", "DURATION", "SIZE"}
NOT_MEASURES = {"--stuck", "--expect", "--in", "--note", "--name"}
"""A filter, an agreement, a moment, two texts: what is not given of these is not there."""


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_every_default_is_shown(path: str) -> None:
    """Where an option has a value without being given, or means something by its absence, its help says which."""
    for option in (each for each in LEAVES[path].params if each.param_type_name == "option"):
        shown = option.get_help_record(LEAVES[path].make_context(path, [], resilient_parsing=True))
        name, text = option.opts[0], shown[1] if shown else ""
        if option.is_flag or option.required or option.hidden or name in NOT_MEASURES:
            continue
        if option.default not in (None, "", ()):
            assert re.search(r"\[default: [^;\]]+", text), (name, text)
        elif option.metavar in MEASURES or option.type.name.startswith(("int", "float")):
            assert re.search(r"  \[\S[^\]]*\]|\w \S+ unless set", text), (name, text)


def test_the_defaults_shown_are_those_in_force(bare_cli: Cli) -> None:
    """What dispatch says in brackets is what it does."""
    text = " ".join(bare_cli.call("dispatch", "--help").ok().stdout.split())
    found = dict(re.findall(r"(--[a-z-]+) (?:(?!--)[^\[])*?\[([0-9][0-9a-zA-Z]*)[;\] ]", text))
    ours = DispatchOptions()
    assert found == {
        "--concurrency": str(ours.concurrency),
        "--batch-size": str(ours.batch_size),
        "--bytes-in-flight": f"{ours.bytes_in_flight // 1_000_000}MB",
        "--lease": f"{ours.lease_s:.0f}s",
        "--poll": f"{ours.poll_s:.0f}s",
        "--drain": f"{ours.drain_s:.0f}s",
        "--processes": "1",
    }


def test_exit_codes_at_the_root(bare_cli: Cli) -> None:
    """The root's help has every exit code that the README has."""
    shown = bare_cli.call("--help").ok().stdout
    listed = shown[shown.index("Exit codes") : shown.index("First steps")]
    assert {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130, 141, 143} <= {int(each) for each in re.findall(r"\d+", listed)}
    assert max(map(len, shown.splitlines())) <= 80


def test_what_every_command_takes_stands_at_the_root(bare_cli: Cli) -> None:
    """Where each command's help sends people there is what it spares them."""
    shown = bare_cli.call("--help").ok().stdout
    for option in (each for each in LEAVES["users list"].params if each.hidden):
        assert option.opts[-1] in shown and option.help[:20] in shown


def test_as_wide_as_the_terminal(bare_cli: Cli) -> None:
    """On a wide terminal a line of help is not broken at 80 columns, on a narrow one it fits."""
    wide = on_terminal(bare_cli, "send", "--help", columns=150).stdout.splitlines()
    narrow = on_terminal(bare_cli, "send", "--help", columns=60).stdout.splitlines()
    assert 80 < max(map(len, wide)) <= 150
    assert max(len(line) for line in narrow if not line.startswith("  notifyctl ")) <= 60
