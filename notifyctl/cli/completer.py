"""What a shell offers when Tab is pressed: quick, of the outline alone where that is enough, and silent on any trouble.

It speaks the protocols of the scripts in `completions/`. Nothing here imports a command, Typer or SQLAlchemy; only
values that stand in the database open it, for reading, for whoever may, and within `LIMIT_S` or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Candidate = tuple[str, str]
"""A value and what it is."""

LIMIT_S = 0.8
"""From the start; the interpreter's own time comes before it, and both together stay below a second."""
FILES = ":files:"
"""Told to the shell's script where it is to complete names of files."""
_ALIASES = {"add": "create", "create": "add", "remove": "delete", "delete": "remove"}


def answer(env: Mapping[str, str]) -> None:
    """Answer the shell and end the process: with what can be had in time, or with nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    watchdog = threading.Timer(LIMIT_S, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
    try:
        shell = env["_NOTIFYCTL_COMPLETE"].partition("_")[2]
        words, incomplete = _typed(shell, env)
        text = "".join(f"{_shown(shell, each)}\n" for each in candidates(words, incomplete))
        os.write(1, text.encode(errors="replace"))
    finally:
        os._exit(0)


def _typed(shell: str, env: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the words before the one that is being typed, without the program, and that one."""
    if shell == "bash":
        given = env["COMP_WORDS"]
        words = given.split("\n") if "\n" in given else _split(given)
        number = int(env["COMP_CWORD"])
        return _rejoined(words[1:number], words[number] if number < len(words) else "")
    line = env.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)
    last = env.get("_TYPER_COMPLETE_WORD_TO_COMPLETE")
    if last is None:
        last = words.pop() if len(words) > 1 and not line[-1:].isspace() else ""
    elif last and words[-1:] == [last]:
        words.pop()
    return words[1:], last


def _rejoined(words: list[str], incomplete: str) -> tuple[list[str], str]:
    """Undo that bash takes `--option=value` for three words."""
    if incomplete == "=":
        incomplete = ""
    elif words[-1:] == ["="]:
        words = words[:-1]
    return [word for word in words if word != "="], incomplete


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(iter(lexer.get_token, None))
    except ValueError:  # a quote that is still open
        words.append(lexer.token)
    return words


def _shown(shell: str, candidate: Candidate) -> str:
    value, help_ = (re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text) for text in candidate)
    if shell in ("zsh", "fish") and help_:
        return f"{value}\t{help_}"
    return f"{value}:::{help_ or value}" if shell in ("powershell", "pwsh") and value != FILES else value


def candidates(words: Sequence[str], incomplete: str) -> list[Candidate]:
    """Return what may stand where `incomplete` is being typed, after these words."""
    tree = json.loads((Path(__file__).parent / "commands.json").read_text(encoding="utf-8"))
    place = _Place(tree, words)
    found = _possible(place, incomplete)
    return [each for each in found if each[0].startswith(incomplete) or each[0] == FILES]


def _possible(place: _Place, incomplete: str) -> list[Candidate]:
    option, equals, value = incomplete.partition("=")
    if place.expects is not None:
        return _values(place, place.expects, incomplete)
    if option.startswith("--") and equals:
        return [(f"{option}={each}", text) for each, text in _values(place, place.option(option) or "", value)]
    if incomplete.startswith("-"):
        return [(name, text) for name, (_, text) in place.options.items() if text]
    return place.verbs() if place.leaf is None else _values(place, place.argument(), incomplete)


class _Place:
    """Where in the tree the words before lead."""

    def __init__(self, tree: Mapping[str, Any], words: Sequence[str]) -> None:
        self.tree, self.path = tree, ""
        self.leaf: Mapping[str, Any] | None = None
        self.given: list[str] = []
        self.flags: dict[str, str] = {}
        self.pending = ""
        self.expects: Any = None
        for word in words:
            self._pass(word)

    @property
    def options(self) -> Mapping[str, Any]:
        """The options there, with what their values are and a line of help."""
        found: Mapping[str, Any] = self.tree["globals"] if self.leaf is None else self.leaf["options"]
        return found

    def option(self, name: str) -> Any:
        """Return what the value of an option is; None for a flag."""
        return self.options.get(name, [None])[0]

    def argument(self) -> Any:
        """Return what the next argument is."""
        kinds = self.leaf["arguments"] if self.leaf else []
        if len(self.given) < len(kinds):
            return kinds[len(self.given)]
        return kinds[-1] if kinds and self.leaf and self.leaf["more"] else ""

    def verbs(self) -> list[Candidate]:
        """Return what may come next on the way to a command."""
        prefix = f"{self.path} " if self.path else ""
        found: dict[str, str] = {}
        for path, leaf in self.tree["leaves"].items():
            if path.startswith(prefix):
                name, _, rest = path[len(prefix) :].partition(" ")
                found.setdefault(name, "" if rest else leaf["help"])
        return [
            (name, text or (self.tree["nouns"].get(name, "") if not self.path else "")) for name, text in found.items()
        ]

    def _pass(self, word: str) -> None:
        if self.expects is not None:
            self.flags[self.pending] = word
            self.expects = None
            return
        if word.startswith("-") and word != "-":
            self._take(word)
        elif self.leaf is not None:
            self.given.append(word)
        else:
            self._descend(word)

    def _take(self, option: str) -> None:
        self.pending, equals, value = option.partition("=")
        if equals:
            self.flags[self.pending] = value
        else:
            self.expects = self.option(self.pending)

    def _descend(self, word: str) -> None:
        names = {name for name, _ in self.verbs()}
        word = word if word in names else _ALIASES.get(word, word)
        self.path = f"{self.path} {word}".strip()
        self.leaf = self.tree["leaves"].get(self.path)


def _values(place: _Place, kind: Any, incomplete: str) -> list[Candidate]:
    if isinstance(kind, list):
        before = incomplete[: incomplete.rfind(",") + 1]  # of --fields a,b
        return [(f"{before}{word}", "") for word in kind]
    if kind == "file":
        return [(FILES, "")]
    if kind == "setting":
        return _settings(place, incomplete)
    if kind == "zone":
        from notifyctl.core import zones

        return [(name, "") for name in sorted(zones.names())]
    if kind == "profile":
        from notifyctl.config import profiles

        return [(name, "") for name in profiles(os.environ)]
    return _stored(place.flags, kind, incomplete) if kind else []


def _settings(place: _Place, incomplete: str) -> list[Candidate]:
    known = place.tree["settings"]
    whose = [known[name] for name in place.given if name in known] or list(known.values())
    return [(f"{key}=", text) for settings in whose for key, text in settings.items()] if "=" not in incomplete else []


def _stored(flags: Mapping[str, str], kind: str, incomplete: str) -> list[Candidate]:
    """Return what the database holds; whoever may not read it gets an error, which nobody sees."""
    from notifyctl.config import load
    from notifyctl.wiring.beginnings import beginnings

    settings = load(
        profile=flags.get("--profile"), config=flags.get("--config"), database_url=flags.get("--database-url")
    )
    return beginnings(settings, kind, incomplete)
