"""The files of a mail, which are stored apart from its payload: taken out of it, and put back.

In a payload that is stored an attachment has, instead of its `content` (a file as base64), `digest`, the SHA-256 of
that text in hexadecimal, and `size`, its length. So a file is stored once for all who receive it, and is read when it
is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from notifyctl.core.patterns import pattern

FIELD = "attachments"

_DIGEST = pattern(r"[0-9a-f]{64}")
_STEP = 1 << 20


def apart(payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return a payload as it is stored, and the contents that were taken out of it, by their digests."""
    given = payload.get(FIELD)
    if not given or not isinstance(given, list):
        return payload, {}
    files: dict[str, str] = {}
    return {**payload, FIELD: [_stored(each, files) for each in given]}, files


def digests(payload: Any) -> tuple[str, ...]:
    """Return the digests of the files that a stored payload refers to, each once."""
    if isinstance(payload, dict) and FIELD not in payload:
        return ()  # as nearly all
    return tuple(dict.fromkeys(each["digest"] for _, each in _references(payload)))


def size(payload: Any) -> int:
    """Return how many characters the files have, together, that a stored payload refers to."""
    sizes = (each.get("size") for _, each in _references(payload))
    return sum(each for each in sizes if isinstance(each, int))


def whole(payload: Mapping[str, Any], files: Mapping[str, str | None]) -> Mapping[str, Any]:
    """Return a payload with those of its files that are given; a reference to another one stays as it is."""
    found = {place: _put_back(each, content) for place, each in _references(payload) if (content := _of(each, files))}
    if not found:
        return payload
    return {**payload, FIELD: [found.get(place, each) for place, each in enumerate(payload[FIELD])]}


def lost(payload: Mapping[str, Any], files: Mapping[str, str | None]) -> str | None:
    """Say which file of a payload cannot be had and why: it is not among `files`, or None there for one damaged."""
    for place, each in _references(payload):
        if _of(each, files) is None:
            how = "is damaged" if each["digest"] in files else "is gone"
            return f"{FIELD}.{place}: {each.get('filename')} {how} in the database"
    return None


def digest_of(content: str) -> str:
    """Return the digest under which a content is stored."""
    found = hashlib.sha256()
    for begin in range(0, len(content), _STEP):  # in one piece it would be in memory twice
        found.update(content[begin : begin + _STEP].encode())
    return found.hexdigest()


def _stored(attachment: Any, files: dict[str, str]) -> Any:
    content = attachment.get("content") if isinstance(attachment, Mapping) else None
    if not isinstance(content, str) or not content:
        return attachment  # none that could be sent, as its provider will say
    digest = digest_of(content)
    files[digest] = content
    described = {key: value for key, value in attachment.items() if key != "content"}
    return {**described, "digest": digest, "size": len(content)}


def _references(payload: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the attachments that are stored apart, with their places."""
    given = payload.get(FIELD) if isinstance(payload, Mapping) else None
    for place, each in enumerate(given if isinstance(given, list) else ()):
        if isinstance(each, Mapping) and "content" not in each and _is_digest(each.get("digest")):
            yield place, each


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _of(reference: Mapping[str, Any], files: Mapping[str, str | None]) -> str | None:
    return files.get(reference["digest"])


def _put_back(reference: Mapping[str, Any], content: str) -> dict[str, Any]:
    described = {key: value for key, value in reference.items() if key not in ("digest", "size")}
    return {**described, "content": content}
