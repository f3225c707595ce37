"""The README and its pages: whoever follows a link arrives, and whatever they, help and hints name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notifyctl.config.values import DISPATCH, SETTINGS
from tests.support.command import REPOSITORY, Cli
from tests.support.prose import PAGES, README, documents, page
from tests.support.shown import NOUNS, blocks, calls, found, inline, texts, unknown

_LINK = re.compile(r"\]\(([^)#\s]+)")
_TOLD = re.compile(r"notifyctl ([a-z-][^,;)\n]*)")
_OTHERS = ("python ", "ulimit ", "pip ", "make ")
"""Other programs that pages name."""
_NOBODYS = {"NOTIFYCTL_COMPLETE", "NOTIFYCTL_FIXTURE", "NOTIFYCTL_X_URL"}
"""Shells' own, the beginning of a name, and the form of some."""
SOURCES = REPOSITORY / "notifyctl"


def test_every_link_leads_somewhere() -> None:
    """Links between files; what begins with a scheme is elsewhere."""
    for document in documents():
        for target in _LINK.findall(document.read_text(encoding="utf-8")):
            assert "://" in target or (document.parent / target).exists(), (document.name, target)


def test_the_readme_names_every_page() -> None:
    """A page that nothing names is read by nobody."""
    named = {(README.parent / each).resolve() for each in _LINK.findall(README.read_text(encoding="utf-8"))}
    assert {each.resolve() for each in PAGES.glob("*.md")} <= named


@pytest.mark.parametrize("document", documents(), ids=lambda each: each.name)
def test_every_command_shown_is_understood(document: Path) -> None:
    """What a page shows to be typed, or to be run by cron and CI, the command itself reads without an error."""
    for language, code in blocks(document.read_text(encoding="utf-8")):
        if language not in ("python", "sql", "toml", "json"):
            for words in calls(code):
                path, command, rest = found(words)
                assert command is not None and not hasattr(command, "commands"), words
                command.make_context(path, list(rest))


@pytest.mark.parametrize("document", [*documents(), REPOSITORY / "CHANGELOG.md"], ids=lambda each: each.name)
def test_every_command_named_is_there(document: Path) -> None:
    """What prose names in backquotes: the verb, and each of its options; an option alone is one of some command."""
    for code in inline(document.read_text(encoding="utf-8")):
        if not code.startswith(_OTHERS) and code != "--enable/--disable":
            named = re.sub(r"^(NOTIFYCTL_\w+=\S+ )?notifyctl ", "", code)
            assert unknown(named.split()) is None, code


def test_every_command_that_is_told_is_there() -> None:
    """Hints, remarks and help name commands for people to type: verbs and options that there are."""
    told = [(path, line, text) for path, line, whole in texts(SOURCES) for text in _TOLD.findall(whole)]
    assert len(told) > 100
    for path, line, text in told:
        words = re.sub("['\"`\\\\]", "", text).partition(" or ")[0].split()
        if words[0] in NOUNS and "X" not in words[1:2] and path.name != "sealing.py":  # whose texts are MACs' own
            assert unknown(words) is None, (path.name, line, text)


def test_every_profile_shown_is_understood(bare_cli: Cli) -> None:
    """What a page shows of a configuration file is one that can be meant, setting by setting."""
    shown = [code for each in documents() for code in _profiles(each.read_text(encoding="utf-8"))]
    assert len(shown) > 1
    for code in shown:
        (bare_cli.home / "shown.toml").write_text(code)
        bare_cli.call("config", "show", "--config", "shown.toml", "--profile", "prod").ok()


def _profiles(text: str) -> list[str]:
    return [code for language, code in blocks(text) if language == "toml" and "[profiles.prod]" in code]


def test_every_variable_and_setting_has_its_line() -> None:
    """The page on configuration names all that the environment and files can say."""
    text = page("configuration")
    assert [name for name in (*SETTINGS, *DISPATCH) if not re.search(rf"\b{name}\b", text)] == []
    variables = {name for _, _, whole in texts(SOURCES) for name in re.findall(r"\bNOTIFYCTL_[A-Z_]*[A-Z]\b", whole)}
    assert sorted(name for name in variables - _NOBODYS if name not in text) == []
