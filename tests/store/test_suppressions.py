"""Suppressed addresses."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql

from notifyctl.core.model import Channel
from notifyctl.core.suppression import AddressKey, Refusal, SuppressionCause
from notifyctl.store import suppressions
from notifyctl.store.addresses import reason_of
from notifyctl.store.db.database import Database
from notifyctl.store.db.functions import folded
from notifyctl.store.schema.tables import audit_logs, contact_points
from notifyctl.store.suppressions import AddressNews, Learned, SuppressionFilter

NUMBER = "+14155552345"
SMS, EMAIL = Channel.SMS, Channel.EMAIL
BOUNCE, OPT_OUT = SuppressionCause.BOUNCE, SuppressionCause.OPT_OUT


def said(
    address: str, reason: str, cause: SuppressionCause = BOUNCE, channel: Channel = SMS, **more: Any
) -> AddressNews:
    """Return a word on an address."""
    return AddressNews(channel, Refusal(address, cause, reason, **more))


def learn(db: Database, *words: AddressNews, now: int = 100) -> Learned:
    """Write what was said, at a moment."""
    return db.write(lambda tx: suppressions.learn(tx.at(now), words))


def reasons(db: Database, address: str, channel: Channel = SMS) -> list[str]:
    """Return why an address is suppressed."""
    with db.read() as tx:
        return [each.reason for each in suppressions.of_address(tx, channel, address)]


def test_the_first_reason_stays(database: Database) -> None:
    """A set of words, with repetitions, suppresses each address once and says how many were new."""
    words = [
        said(NUMBER, "unknown number"),
        said(NUMBER, "again"),
        said(NUMBER, "another channel", channel=EMAIL),
    ]
    assert learn(database, *words, now=5) == Learned(suppressed=2)
    assert learn(database, *words, now=9) == Learned()
    assert learn(database) == Learned()
    with database.read() as tx:
        [kept] = suppressions.of_address(tx, SMS, NUMBER)
    assert (kept.reason, kept.created_at) == ("unknown number", 5)


def test_lifting_it_says_why_it_was(database: Database) -> None:
    """Lifted once, whatever it was for, on that channel only."""
    learn(database, said(NUMBER, "stop", OPT_OUT), said(NUMBER, "dead"), said(NUMBER, "bounce", channel=EMAIL))
    lifted = database.write(lambda tx: suppressions.lift(tx.at(200), SMS, "+1 415 555 2345"))
    assert {each.reason for each in lifted} == {"stop", "dead"}
    assert database.write(lambda tx: suppressions.lift(tx.at(200), SMS, NUMBER)) == []
    assert reasons(database, NUMBER, EMAIL) == ["bounce"]


def test_an_address_is_the_same_however_it_is_written(database: Database) -> None:
    """What was said of one way to write it holds for all others, and is not written twice."""
    learn(database, said("Anna@M\u00dcLLER.example", "550", channel=EMAIL))
    assert learn(database, said("anna@xn--mller-kva.example", "552", channel=EMAIL)) == Learned()
    assert reasons(database, "ANNA@mu\u0308ller.example", EMAIL) == ["550"]
    assert reasons(database, "anna+x@m\u00fcller.example", EMAIL) == []


@pytest.mark.parametrize(
    "written", ['"anna"@example.org', "Anna <anna@example.org>", "<ANNA@example.org>", "anna@example.org (home)"]
)
def test_whatever_stands_around_an_address_it_is_suppressed(database: Database, written: str) -> None:
    """RFC 5322, 3.4: quotes, a name and comments are no part of the address that must not be written to."""
    learn(database, said(written, "550", channel=EMAIL))
    assert reasons(database, "anna@example.org", EMAIL) == ["550"]
    assert learn(database, said("anna@example.org", "552", channel=EMAIL)) == Learned()
    with database.read() as tx:
        assert suppressions.reasons(tx, [AddressKey("email", "anna@example.org")]) != {}


def test_start_lifts_the_opt_out_and_nothing_else(database: Database) -> None:
    """A number that is dead as well stays suppressed when its owner opts in again."""
    learn(database, said(NUMBER, "dead"), said(NUMBER, "STOP", OPT_OUT))
    assert learn(database, said(NUMBER, "START", OPT_OUT, lifts=True), now=200) == Learned(lifted=1)
    assert reasons(database, NUMBER) == ["dead"]
    assert learn(database, said(NUMBER, "START", OPT_OUT, lifts=True), now=200) == Learned()


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "three batches"])
def test_the_last_word_holds_in_whatever_order_it_comes(
    database: Database, order: tuple[int, ...], together: bool
) -> None:
    """Events come late and out of order: what was said last, by its own time, is what holds."""
    words = [
        said("a@example.org", "left", OPT_OUT, EMAIL, group="7", at=10),
        said("a@example.org", "came back", OPT_OUT, EMAIL, group="7", at=20, lifts=True),
        said("b@example.org", "left", OPT_OUT, EMAIL, at=30),
    ]
    shuffled = [words[index] for index in order]
    for batch in [shuffled] if together else [[each] for each in shuffled]:
        learn(database, *batch)
    assert (reasons(database, "a@example.org", EMAIL), reasons(database, "b@example.org", EMAIL)) == ([], ["left"])


def test_an_old_word_does_not_undo_what_was_lifted_since(database: Database) -> None:
    """The same event, delivered again after an operator lifted it, changes nothing; a new one does."""
    complaint = said("a@example.org", "spamreport", SuppressionCause.COMPLAINT, EMAIL, at=50)
    learn(database, complaint)
    database.write(lambda tx: suppressions.lift(tx.at(200), EMAIL, "a@example.org"))
    assert learn(database, complaint, now=300) == Learned()
    assert reasons(database, "a@example.org", EMAIL) == []
    again = complaint._replace(refusal=Refusal("a@example.org", SuppressionCause.COMPLAINT, "again", at=250))
    assert learn(database, again, now=300) == Learned(suppressed=1)
    assert reasons(database, "a@example.org", EMAIL) == ["again"]


def test_stop_after_start_in_one_batch(database: Database) -> None:
    """Messages without a time of their own count in their order; and no word is from the future."""
    start, stop = said(NUMBER, "START", OPT_OUT, lifts=True), said(NUMBER, "STOP", OPT_OUT)
    learn(database, start, stop)
    assert reasons(database, NUMBER) == ["STOP"]
    learn(database, stop, start)
    assert reasons(database, NUMBER) == []
    learn(database, said("+14155552346", "STOP", OPT_OUT, at=10**15))
    with database.read() as tx:
        assert [each.created_at for each in suppressions.of_address(tx, SMS, "+14155552346")] == [100]


def test_a_group_is_kept_apart(database: Database) -> None:
    """Who left one group of mails is named with that group, beside what holds for all."""
    learn(
        database, said("a@example.org", "left", OPT_OUT, EMAIL, group="7"), said("a@example.org", "550", channel=EMAIL)
    )
    key = AddressKey("email", "a@example.org")
    with database.read() as tx:
        assert suppressions.reasons(tx, [key]) == {key: {"7": "left", "": "550"}}
        assert suppressions.holding(tx, [key])[key].reason == "550"


def test_the_audit_trail_names_no_address(database: Database) -> None:
    """It points to the row, so that nothing of a person stays in it that cannot be removed."""
    learn(database, said(NUMBER, "STOP", OPT_OUT))
    database.write(lambda tx: suppressions.lift(tx.at(200), SMS, NUMBER))
    with database.read() as tx:
        rows = tx.execute(select(audit_logs).order_by(audit_logs.c.created_at)).all()
    assert [(row.action, row.resource_type) for row in rows] == [
        ("suppress", "suppression"),
        ("unsuppress", "suppression"),
    ]
    assert len({row.resource_id for row in rows}) == 1
    assert all(json.loads(row.changes) == {"channel": "sms", "cause": "opt_out", "reason": "STOP"} for row in rows)


def test_filters(database: Database) -> None:
    """By address however written, channel, cause or a part of the reason, group and time; lifted ones are not there."""
    learn(
        database,
        said(NUMBER, "STOP", OPT_OUT, at=10),
        said("a@example.org", "550 5.1.1 No such user", channel=EMAIL, at=20),
        said("b@example.org", "left", OPT_OUT, EMAIL, group="7", at=30),
        said("c@example.org", "gone", channel=EMAIL, at=40),
    )
    database.write(lambda tx: suppressions.lift(tx, EMAIL, "c@example.org"))

    def found(**wanted: Any) -> list[str]:
        with database.read() as tx:
            rows = suppressions.page(tx, SuppressionFilter(**wanted), None, None)
            assert suppressions.count(tx, SuppressionFilter(**wanted)) == len(rows)
            return [row.address for row in rows]

    assert found() == ["b@example.org", "a@example.org", NUMBER]
    assert found(address="A@EXAMPLE.org") == ["a@example.org"]
    assert found(address="+1 (415) 555-2345", channel=SMS) == [NUMBER]
    assert found(channel=EMAIL) == ["b@example.org", "a@example.org"]
    assert found(reason="opt-out") == ["b@example.org", NUMBER]
    assert found(reason="no such") == ["a@example.org"]
    assert found(group="7") == ["b@example.org"]
    assert found(since=20, until=30) == ["a@example.org"]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_an_address_is_found_by_its_index(database: Database) -> None:
    """The claim's folding leaves the comparison to the usual collation, so that the index on the address serves it."""
    c = contact_points.c
    point = select(c.id, reason_of(c.channel, folded(c.address)))
    statement = point.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with database.read() as tx:
        tx.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(tx.execute(text(f"EXPLAIN {statement}")).scalars())
    condition = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert "idx_suppression_address" in plan
    assert "lower" in condition
