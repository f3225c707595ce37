"""What people and their languages may be called."""

from __future__ import annotations

import re
import unicodedata

from notifyctl.core.errors import UsageError
from notifyctl.core.patterns import pattern

NAME_MAX = 100
LANGUAGE_MAX = 35

_UUID = pattern(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_CATEGORY = pattern(r"[a-z0-9][a-z0-9_.-]{0,49}", re.ASCII)
_LANGUAGE = pattern(r"[a-z]{2,8}(-[a-z0-9]{1,8})*", re.IGNORECASE | re.ASCII)


def username(text: str) -> str:
    """Return a username as it is stored. Raises UsageError.

    On the command line a user is named by id, username or e-mail address, so that a username must look like neither
    of the others, nor like an option. One that could be the beginning of an id (`cafebabe`, `20231104`) is allowed;
    where it really is, the command asks which of the two was meant.
    """
    name = unicodedata.normalize("NFC", text)
    for fault, why in (
        (not name, "is empty"),
        (len(name) > NAME_MAX, f"is longer than {NAME_MAX} characters"),
        ("@" in name, "has an @ in it, like an e-mail address"),
        (_UUID.fullmatch(name) is not None, "has the shape of an id"),
        (name.startswith("-"), "begins with -, like an option"),
        (any(char.isspace() for char in name), "has a blank in it"),
        (not name.isprintable(), "has a control character in it"),
    ):
        if fault:
            raise UsageError(f"the username {_shown(text)} {why}", "a username is like anna or li.wei")
    return name


def label(text: str, what: str) -> str:
    """Return a name that is only shown; `what` says whose. Raises UsageError when it is empty, long or unprintable."""
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise UsageError(f"the {what} {_shown(text)} is not 1 to {NAME_MAX} printable characters")
    return name


def category(text: str) -> str:
    """Return a category's name as it is stored: up to 50 of `a-z0-9_.-`. Raises UsageError."""
    name = text.strip()
    if not _CATEGORY.fullmatch(name):
        like = "a category is like newsletter or order.shipped: at most 50 of a-z, 0-9, _, . and -"
        raise UsageError(f"{_shown(text)} is no name of a category", like)
    return name


def language(text: str) -> str:
    """Return a BCP 47 tag (RFC 5646) in its usual case: `de`, `pt-BR`, `zh-Hant-TW`. Raises UsageError."""
    tag = text.strip()
    if len(tag) > LANGUAGE_MAX or not _LANGUAGE.fullmatch(tag):
        raise UsageError(f"{_shown(text)} is no language tag", "a language is like en, de-AT or zh-Hant")
    first, *rest = tag.split("-")
    single = next((place for place, part in enumerate(rest) if len(part) == 1), len(rest))
    return "-".join([first.lower(), *(_cased(part) for part in rest[:single]), *map(str.lower, rest[single:])])


def _cased(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    return part.title() if len(part) == 4 and part.isalpha() else part.lower()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
