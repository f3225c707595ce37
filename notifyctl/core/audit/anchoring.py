"""Anchors as they are written down outside of the database: one line each, a JSON object."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from notifyctl.core.audit.sealing import Anchor
from notifyctl.core.duration import parse_ms, show_ms
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass

EVERY_MS = 3_600_000
SHORTEST_MS = 1_000
_SEAL_DIGITS = 64
_BEGINNING = '{"notifyctl_anchor": 1, '


@dataclass(frozen=True, slots=True)
class AnchorTerms:
    """Where dispatchers keep anchors, and how often (milliseconds)."""

    file: str | None = None
    command: tuple[str, ...] = ()
    syslog: bool = False
    every_ms: int = EVERY_MS

    def __str__(self) -> str:
        """As a profile has it."""
        values = {"file": self.file, "command": shlex.join(self.command), "syslog": self.syslog and "true"}
        told = [f"{name} = {value}" for name, value in values.items() if value]
        return ", ".join([*told, f"every = {show_ms(self.every_ms)}"])

    @property
    def places(self) -> tuple[str, ...]:
        """The places, by name."""
        known = {"file": self.file, "command": self.command, "syslog": self.syslog}
        return tuple(name for name, value in known.items() if value)


def parse(table: Mapping[str, Any]) -> AnchorTerms:
    """Return what a profile's `audit_anchor` says. Raises ValueError for what cannot be meant."""
    known = ("file", "command", "syslog", "every")
    if unknown := [name for name in table if name not in known]:
        raise ValueError(f"{unknown[0]} is none of {', '.join(known)}")
    file, command, wanted = table.get("file"), table.get("command", ()), table.get("syslog", False)
    words = tuple(shlex.split(command) if isinstance(command, str) else command)
    if not isinstance(file, str | None) or file == "" or (file and not file.startswith("/")):
        raise ValueError(f"file is the whole path of a file, not {file!r}")
    if not all(isinstance(each, str) and each for each in words) or (command and not words):
        raise ValueError("command is a text, or a list of texts")
    if not isinstance(wanted, bool):
        raise ValueError("syslog is true or false")
    try:
        every_ms = parse_ms(str(table.get("every", "1h")))
    except UsageError as error:
        raise ValueError(f"every: {error.message}") from error
    if every_ms < SHORTEST_MS:
        raise ValueError("every is a second at the least")
    found = AnchorTerms(file, words, wanted, every_ms)
    if not found.places:
        raise ValueError("it names no place: file, command, or syslog = true")
    return found


def line(anchor: Anchor) -> str:
    """Return an anchor as a line, without its end."""
    at = datetime.fromtimestamp(anchor.at / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"notifyctl_anchor": 1, "position": anchor.position, "seal": anchor.value, "at": at})


def lines(text: str, where: str, tell: Callable[[str], None] | None = None) -> list[Anchor]:
    """Return the anchors among lines; what stands before them, of a log or of a line that was torn, is passed over.

    Raises UsageError for a line with no anchor in it: what is not understood must not pass for what was verified. Of
    the beginning of one, which is what a full disk leaves, `tell` hears; without that it is refused as well.
    """
    found = []
    for number, each in enumerate(text.splitlines(), 1):
        if each.strip():
            anchor = _anchor(each)
            if anchor is not None:
                found.append(anchor)
            elif tell is not None and _is_torn(each):
                tell(f"{where}: line {number} is the beginning of an anchor that was not written whole")
            else:
                raise UsageError(f"{where}: line {number} is no anchor", "notifyctl audit anchor writes one")
    return found


def _is_torn(text: str) -> bool:
    begun, at = text.rstrip(), text.find("{")
    return at >= 0 and not begun.endswith("}") and (_BEGINNING.startswith(begun[at:]) or _BEGINNING in begun)


def _anchor(text: str) -> Anchor | None:
    try:
        said: Any = json.loads(text[text.rindex("{") :])
        moment = datetime.fromisoformat(said["at"])
        anchor = Anchor(said["position"], said["seal"], int(moment.timestamp() * 1_000))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    is_one = isinstance(said, Mapping) and said.get("notifyctl_anchor") == 1 and moment.tzinfo is not None
    is_place = type(anchor.position) is int and anchor.position > 0
    is_seal = isinstance(anchor.value, str) and len(anchor.value) == _SEAL_DIGITS
    return anchor if is_one and is_place and is_seal else None
