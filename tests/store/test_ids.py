"""From what is typed to an id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from notifyctl.core.errors import NotFound, NotifyctlError, UsageError
from notifyctl.store import ids
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import users

FIRST = "cafebabe-0000-4000-8000-000000000001"
SECOND = "cafebabe-0000-4000-8000-000000000002"
NINE = "99999999-ffff-4fff-8fff-ffffffffffff"


@pytest.fixture
def stored(database: Database) -> Database:
    """A database with three users, two of which begin alike."""
    rows: list[dict[str, Any]] = [
        {"id": id_, "username": f"u{number}", "email": f"u{number}@example.org"}
        for number, id_ in enumerate((FIRST, SECOND, NINE))
    ]
    database.write(lambda tx: tx.execute(insert(users), rows))
    return database


@given(st.uuids(), st.integers(1, 36))
def test_bounds_hold_what_begins_so_and_nothing_else(uuid: object, length: int) -> None:
    """The range of a beginning contains the ids that begin with it, and its ends are ids that do."""
    text = str(uuid)
    bounds = ids.bounds(text[:length].upper())
    assert bounds is not None
    low, high = bounds
    assert low <= text <= high
    assert (str(UUID(low)), str(UUID(high))) == (low, high)
    assert low.startswith(text[:length])
    assert high.startswith(text[:length])


@given(st.text(max_size=50))
def test_any_text_has_bounds_or_none(text: str) -> None:
    """What cannot begin an id has no range, whatever it is."""
    bounds = ids.bounds(text)
    assert bounds is None or bounds[0].startswith(text.strip().lower())


@pytest.mark.parametrize("text", [NINE, NINE.upper(), "99999999", "99999999-f", NINE[:35], f" {NINE} "])
def test_a_unique_beginning(stored: Database, text: str) -> None:
    """A whole id and every beginning of at least 8 characters mean the row, in any case."""
    with stored.read() as tx:
        assert ids.resolve(tx, users, text, "user") == NINE


@pytest.mark.parametrize("text", ["cafebabe", "cafebabe-0000-4000-8000-00000000000"])
def test_an_ambiguous_beginning(stored: Database, text: str) -> None:
    """A beginning of several names them all and chooses none."""
    with stored.read() as tx, pytest.raises(UsageError, match="more than one user") as refused:
        ids.resolve(tx, users, text, "user")
    assert refused.value.hint == f"candidates: {FIRST}, {SECOND}"


def test_a_short_beginning(stored: Database) -> None:
    """Seven characters are not enough even where they are unique: they may not be tomorrow."""
    with stored.read() as tx, pytest.raises(UsageError, match="at least 8") as refused:
        ids.resolve(tx, users, "9999999", "user")
    assert refused.value.hint == f"candidates: {NINE}"


@pytest.mark.parametrize(
    "text", ["cafebabf", "nope", "", "9999999%", "________", "x" * 5_000, "cafe\x00babe", "\udcff"]
)
def test_what_is_not_there(stored: Database, text: str) -> None:
    """What no id begins with is not found: no wildcard, and no text that upsets the database."""
    with stored.read() as tx, pytest.raises(NotFound, match="there is no user") as refused:
        ids.resolve(tx, users, text, "user")
    assert len(refused.value.message) < 500


def test_many_at_once(stored: Database) -> None:
    """A set of texts is answered one by one, as each alone would be."""
    texts = ["cafebabe", SECOND, "nope", "99999999", NINE, "9999999"]
    with stored.read() as tx:
        found = ids.resolve_many(tx, users, texts, "user")
        alone = {text: _alone(tx, text) for text in texts}
        assert ids.resolve_many(tx, users, [], "user") == {}
    assert list(found) == texts
    assert {text: _plain(result) for text, result in found.items()} == alone


def _alone(conn: Any, text: str) -> tuple[str, str | None]:
    try:
        return ids.resolve(conn, users, text, "user"), None
    except NotifyctlError as error:
        return _plain(error)


def _plain(result: str | NotifyctlError) -> tuple[str, str | None]:
    return (result, None) if isinstance(result, str) else (result.message, result.hint)
