"""What an application submits inside its own transaction: `notifyctl.Submission`, and how SQL takes it.

Imported with the package's own names: light, as those are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from notifyctl.core import content, json_codec
from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.core.model import MAX_RETRIES, MOST_RETRIES

_MILLISECOND = timedelta(milliseconds=1)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class Submission:
    """A notification to submit: the arguments of `notifyctl_submit`, by the same names.

    `user` is an id, a username or an e-mail address, `channel` email, sms or push, `content` the fields of its payload.
    With a `template` (a name or id) `variables` are what it is rendered from, and `content` says what a template does
    not. `key` makes a repeated submission the same one; without it each is another. `send_at` is a moment with its
    zone, `delay` counts from now. `expires_in` counts from the moment it is for.
    """

    user: str
    channel: str
    content: Mapping[str, Any] | None = field(default=None, hash=False)
    key: str | None = None
    send_at: datetime | None = None
    delay: timedelta | None = None
    expires_in: timedelta | None = None
    template: str | None = None
    variables: Mapping[str, Any] | None = field(default=None, hash=False)
    category: str | None = None
    provider: str | None = None
    max_retries: int = MAX_RETRIES
    critical: bool = False


class Accepted(NamedTuple):
    """What became of a submission: the notification's id, and whether one with the same key had stored it before."""

    id: str
    deduplicated: bool


def as_json(submissions: Sequence[Submission]) -> str:
    """Return them as `notifyctl_submit_many` takes them, in ASCII. Raises UsageError for what no database can hold."""
    given = [_named(place, each, len(submissions)) for place, each in enumerate(submissions, 1)]
    return _BEYOND_ASCII.sub(lambda found: json.encoder.encode_basestring_ascii(found[0])[1:-1], f"[{','.join(given)}]")


def require_plain(submission: Submission) -> None:
    """Raise UsageError for what cannot be meant, whatever the database says."""
    for name, (kind, said) in _KINDS.items():
        value = getattr(submission, name)
        fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        if not fits and (value is not None or name in _NEEDED):
            raise UsageError(f"{name}: must be {said}, not {type(value).__qualname__}")
    for name in ("content", "variables"):
        content.written(getattr(submission, name) or {})
    content.written({name: getattr(submission, name) for name, (kind, _) in _KINDS.items() if kind is str})
    if submission.key is not None and not submission.key.strip():
        raise UsageError("key: it is empty", "leave it out, or give what tells this submission from others")
    if not 0 <= submission.max_retries <= MOST_RETRIES:
        raise UsageError(f"max_retries: from 0 to {MOST_RETRIES}", f"leave it out, and it is {MAX_RETRIES}")
    _require_times(submission)


def at_place(error: NotifyctlError, place: int, of: int) -> NotifyctlError:
    """Return an error with the place, from 1 on, of the submission that it is about, where there are several.

    What the command line says of its options is said of arguments.
    """
    option, behind, rest = error.message.partition(": ")
    message = f"{_ARGUMENTS[option]}: {rest}" if behind and option in _ARGUMENTS else error.message
    hint = None if (error.hint or "").startswith("--") else error.hint
    return type(error)(message if of == 1 else f"submission {place}: {message}", hint)


_ARGUMENTS = {"--at": "send_at", "--in": "delay", "--expires-in": "expires_in", "--data": "content"}
_KINDS: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("user", "channel", "key", "template", "category", "provider"), (str, "text")),
    **dict.fromkeys(("content", "variables"), (Mapping, "an object, a mapping of names")),
    "send_at": (datetime, "a datetime"),
    **dict.fromkeys(("delay", "expires_in"), (timedelta, "a timedelta")),
    "max_retries": (int, "a number"),
    "critical": (bool, "true or false"),
}
_NEEDED = ("user", "channel", "max_retries", "critical")


def _require_times(submission: Submission) -> None:
    if submission.send_at is not None and submission.send_at.utcoffset() is None:
        raise UsageError(f"send_at: {submission.send_at} has no offset, so it names no moment", "datetime.now(UTC)")
    if submission.send_at is not None and submission.delay is not None:
        raise UsageError("send_at and delay exclude each other", "give one of them")
    if submission.delay is not None and submission.delay < timedelta(0):
        raise UsageError("delay: is before now", "leave it out, and it is sent at once")
    if submission.expires_in is not None and submission.expires_in < _MILLISECOND:
        raise UsageError("expires_in: is no time at all", "leave it out, and it is never too late")


def _named(place: int, submission: Submission, of: int) -> str:
    try:
        require_plain(submission)
    except UsageError as error:
        raise at_place(error, place, of) from None
    given = {each.name: getattr(submission, each.name) for each in fields(submission)}
    for name in ("delay", "expires_in"):
        if given[name] is not None:
            given[name] = f"{milliseconds(given[name])} milliseconds"
    if submission.send_at is not None:
        given["send_at"] = submission.send_at.isoformat()
    return json_codec.canonical({name: value for name, value in given.items() if value is not None})


def milliseconds(distance: timedelta | None) -> int | None:
    """Return a span of time in milliseconds."""
    return None if distance is None else distance // _MILLISECOND
