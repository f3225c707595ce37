"""The tree of commands, and command lines for each of them that it is likely to understand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from notifyctl.cli.app import COMMANDS, load

SHOWING = ("list", "show", "history", "status", "path", "scopes")
"""Verbs that only look."""

# What an argument or the value of an option may be, by its name or else by its metavar.
VALUES = {
    "name": "n", "email": "new@example.org", "reason": "why", "shell": "bash", "revision": "0001", "file": "/dev/null",
    "user": "anna", "channel": "email", "address": "anna@example.org", "at": "2035-01-01T00:00:00Z", "note": "n",
    "USER": "anna", "CHANNEL": "email", "C": "email", "ADDRESS": "anna@example.org", "TIME": "2035-01-01T00:00:00Z",
    "PROVIDER": "sendgrid", "P": "sendgrid", "FILE": "/dev/null", "FILE|-": "/dev/null", "F": "/dev/null",
    "DURATION": "1s", "D": "1s", "REASON": "why", "R": "why", "TIME|now": "now", "URL": "https://example.org/hook",
    "N|none": "3", "BATCH": "spring", "E": "sent", "WEBHOOK": "orders",
}  # fmt: skip
# What these leaves need to do something rather than refuse.
MORE = {
    "templates create": ("--body", "b", "--by", "anna"),
    "templates update": ("--body", "b"),
    "send": ("--subject", "s", "--body", "b"),
    "schedule": ("--subject", "s", "--body", "b", "--in", "1h"),
    "dispatch": ("--once", "--max-time", "1s"),
    "dlq resolve": ("--by", "anna"),
    "receipts poll": ("--limit", "1"),
}
NOT_HERE = ("demo", "sandbox", "webhooks listen")
"""Leaves that are no calls of a moment: they have tests of their own."""


def leaves() -> Iterator[tuple[str, Any]]:
    """Yield every command with its path."""

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        verbs = getattr(command, "commands", None)
        if verbs is None:
            yield path, command
        else:
            for name, verb in verbs.items():
                yield from walk(verb, f"{path} {name}")

    for name, _, _ in COMMANDS:
        yield from walk(load(name), name)


LEAVES = dict(leaves())


def line(path: str, ids: Mapping[str, str]) -> list[str]:
    """Return a command line for a leaf: its arguments and the options it insists on. `ids` has one id for each noun."""
    words, noun = path.split(), path.split()[0]
    for param in LEAVES[path].params:
        is_argument = not param.opts[0].startswith("-")
        if not param.required and not (is_argument and "ID" in (param.metavar or "")):
            continue
        value = _value(noun, path, param, ids)
        words += [value] if is_argument else [param.opts[0], value]
    return [*words, *MORE.get(path, ())]


def _value(noun: str, path: str, param: Any, ids: Mapping[str, str]) -> str:
    choices = getattr(param.type, "choices", None)
    if choices:
        return str(getattr(choices[0], "value", choices[0]))
    if param.name == "name" and noun == "templates":
        return "new" if path == "templates create" else "welcome"
    metavar = (param.metavar or "").strip("[]").removesuffix("...")
    if "ID" in metavar and noun in ids:
        return ids[noun]
    if param.name == "name" and noun == "providers":
        return "smtp" if path == "providers add" else "sendgrid"
    return VALUES.get(metavar) or VALUES.get(param.name or "") or "x"
