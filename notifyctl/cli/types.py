"""Types of arguments and options that several nouns take."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer

from notifyctl.core.duration import parse_ms
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.patterns import pattern
from notifyctl.core.size import parse_bytes
from notifyctl.core.when import Point, point

_RATE = pattern(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", re.ASCII)
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000}


def duration(text: str) -> int:
    """Return the milliseconds of a DURATION on the command line: `typer.Option(parser=duration, metavar="DURATION")`.

    Raises UsageError (exit 2) for what is no positive duration.
    """
    return parse_ms(text)


def seconds(option: str, most: int) -> Callable[[str], int]:
    """Return a parser for a DURATION of whole seconds, at most so many; it names the option where it refuses one."""

    def parse(text: str) -> int:
        with suppress(UsageError):
            count, rest = divmod(parse_ms(text), 1_000)
            if not rest and count <= most:
                return count
        raise UsageError(f"{option}: {text!r} is not 1s to {most}s, in whole seconds", f"{option} 20s")

    parse.__name__ = "seconds"
    return parse


def interval(text: str) -> float:
    """Return the milliseconds between two at a RATE on the command line, as `duration` does."""
    written = _RATE.fullmatch(text.strip())
    number = float(written[1]) if written else 0.0
    if not written or not number:
        raise UsageError(f"--rate: {text!r} is no rate", "--rate 5/s, 100/m or 1000/h")
    return _UNIT_MS[written[2] or "s"] / number


def size(text: str) -> int:
    """Return the bytes of a SIZE on the command line, as `duration` does."""
    return parse_bytes(text)


def parse_since(text: str) -> Point:
    """Return what `--since` says: a moment, or a time ago; raise UsageError for anything else. A parser, as above."""
    return point(text, "--since")


def parse_until(text: str) -> Point:
    """Return what `--until` says, as `parse_since` does."""
    return point(text, "--until")


ChannelArgument = Annotated[Channel, typer.Argument(metavar="CHANNEL", help="email, sms or push.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Id, username or e-mail address.")]
IfNotExists = Annotated[
    bool, typer.Option("--if-not-exists", help="Exit 0 if it is there already with the same values.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Confirm = Annotated[str | None, typer.Option("--confirm", metavar="PROFILE", help="Agree for this protected profile.")]
SecretFile = Annotated[
    str | None, typer.Option("--secret-file", metavar="F", help="Write the secret there, readable by you only.")
]


def category_name(given: str | None) -> str | None:
    """Return a category's name. Raises UsageError for a variable of a script that was never set.

    Who left the category would get what is of none.
    """
    if given is not None and not given.strip():
        raise UsageError("--category: the name is empty", "notifyctl categories list")
    return given
