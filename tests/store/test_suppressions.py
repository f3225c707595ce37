"""Suppressed addresses."""

from __future__ import annotations

from notifyctl.core.model import Channel
from notifyctl.store import suppressions
from notifyctl.store.db.database import Database

NUMBER = "+14155552345"


def test_the_first_reason_stays(database: Database) -> None:
    """A set of entries, with repetitions, adds each address once and says which were new."""
    entries = [
        (Channel.SMS, NUMBER, "unknown number", None),
        ("sms", NUMBER, "again", None),
        ("email", NUMBER, "another channel", None),
    ]
    added = database.write(lambda tx: suppressions.add(tx.at(5), entries))
    assert sorted(added) == [("email", NUMBER), ("sms", NUMBER)]
    assert database.write(lambda tx: suppressions.add(tx.at(9), entries)) == []
    assert database.write(lambda tx: suppressions.add(tx.at(9), [])) == []
    with database.read() as tx:
        kept = suppressions.get(tx, Channel.SMS, NUMBER)
    assert (kept.reason, kept.created_at) == ("unknown number", 5)


def test_lifting_it_says_why_it_was(database: Database) -> None:
    """Lifted once, on that channel only."""
    entries = [("sms", NUMBER, "stop", None), ("email", NUMBER, "bounce", None)]
    database.write(lambda tx: suppressions.add(tx.at(5), entries))
    assert database.write(lambda tx: suppressions.remove(tx, Channel.SMS, NUMBER)) == "stop"
    assert database.write(lambda tx: suppressions.remove(tx, Channel.SMS, NUMBER)) is None
    with database.read() as tx:
        assert suppressions.get(tx, Channel.EMAIL, NUMBER).reason == "bounce"
