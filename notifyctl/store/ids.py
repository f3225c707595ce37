"""From what a person types to a row's id: the whole id, or a unique beginning of at least 8 characters."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table, and_, literal, select

from notifyctl.core.errors import NotFound, NotifyctlError, UsageError
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx

PREFIX_MIN = 8
_DIGITS = frozenset("0123456789abcdef")
SHOWN_CANDIDATES = 5
SHOWN_CHARS = 80

_TEMPLATE = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
_NOWHERE = ("", "")
_LISTS = {
    "notification": "notifyctl notifications list",
    "dead letter": "notifyctl dlq list",
    "API key": "notifyctl keys list",
    "provider": "notifyctl providers list",
    "template": "notifyctl templates list",
}


def bounds(text: str) -> tuple[str, str] | None:
    """Return the lowest and the highest id that begin with `text`; None when no id can.

    Compared as a range, because on PostgreSQL `LIKE` on CHAR(36) also looks at the padding, and in a collation other
    than C it finds no index. Both ends are whole ids: their dashes stand at the same places, so that every collation
    orders them alike.
    """
    digits = text.strip().lower()
    if digits[:1] not in _DIGITS or any(
        char != place and not (place == "x" and char in _DIGITS)
        for char, place in zip(digits, _TEMPLATE + "?" * len(digits), strict=False)
    ):
        return None
    rest = _TEMPLATE[len(digits) :]
    return digits + rest.replace("x", "0"), digits + rest.replace("x", "f")


def begins(col: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return the condition that the id in `col` begins with `text`; false when no id can."""
    low, high = bounds(text) or _NOWHERE
    return col.between(literal(low, ID), literal(high, ID))


def resolve(tx: Tx, table: Table, text: str, what: str, column: str = "id") -> str:
    """Return the id that `text` means among `table.column`; `what` names such a thing ("notification").

    Raises NotFound, or UsageError when `text` is too short or means several.
    """
    col = table.c[column]
    found = tx.execute(
        select(col).distinct().where(begins(col, text)).order_by(col).limit(SHOWN_CANDIDATES + 1)
    ).scalars()
    return _only(text, list(found), what)


def resolve_many(
    tx: Tx, table: Table, texts: Sequence[str], what: str, column: str = "id"
) -> dict[str, str | NotifyctlError]:
    """Return for each text its id, or the error that `resolve` would raise; one statement, whatever their number."""
    ranges = [(text, *(bounds(text) or _NOWHERE)) for text in dict.fromkeys(texts)]
    found: dict[str, list[str]] = {text: [] for text, _, _ in ranges}
    if not ranges:
        return {}
    col = table.c[column]
    asked = tx.dialect.rowset("asked", {"n": ID, "low": ID, "high": ID}, _numbered(ranges))
    within = and_(col >= asked.c.low, col <= asked.c.high)
    for number, row_id in tx.execute(select(asked.c.n, col).join_from(asked, table, within)):
        found[ranges[int(number)][0]].append(row_id)
    return {text: _only_or_error(text, sorted(ids), what) for text, ids in found.items()}


def _numbered(ranges: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    # The text itself stays here: it may be longer than an id.
    return [(str(number), low, high) for number, (_, low, high) in enumerate(ranges)]


def _only_or_error(text: str, found: list[str], what: str) -> str | NotifyctlError:
    try:
        return _only(text, found, what)
    except NotifyctlError as error:
        return error


def _only(text: str, found: list[str], what: str) -> str:
    if not found:
        raise NotFound(f"there is no {what} {shown(text)}", _LISTS.get(what))
    if len(text.strip()) < PREFIX_MIN:
        raise UsageError(f"{shown(text)} is too short for an id: at least {PREFIX_MIN} characters", candidates(found))
    if len(found) > 1:
        raise UsageError(f"{shown(text)} means more than one {what}", candidates(found))
    return found[0]


def shown(text: str) -> str:
    """Return what a person typed, quoted for a message; cut, because it may come from a file."""
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…")


def candidates(found: Sequence[str]) -> str:
    """Return the hint that names the first few of `found`."""
    more = ", ..." if len(found) > SHOWN_CANDIDATES else ""
    return f"candidates: {', '.join(found[:SHOWN_CANDIDATES])}{more}"
