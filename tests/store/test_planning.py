"""Many submissions at once, on both databases: planned as one is, stored once, and told of by one audit row."""

from __future__ import annotations

import gc
import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import sha256

import pytest
from sqlalchemy import select

from notifyctl.core import content
from notifyctl.core.batch import BatchSource
from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
from notifyctl.core.model import Channel
from notifyctl.core.rowfile.rows import BadRow
from notifyctl.core.submission import Draft, Former, Plan
from notifyctl.services import importing, planning, sending
from notifyctl.services.planning import Planned, SubmissionTerms
from notifyctl.services.rowfiles.ordinals import Ordinals
from notifyctl.store import batches, submissions
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_logs, notifications
from tests.support import seed

MAIL = content.build(Channel.EMAIL, subject="Hello", body="It works")
OTHER = content.build(Channel.EMAIL, subject="Hello", body="It works no more")


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider of mails."""
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    return seed.user(database)


def mail(key: str, user: str = "anna", body: dict[str, object] = MAIL) -> Draft:
    """A mail to submit."""
    return Draft(user, Channel.EMAIL, body, key)


def planned(tx: Tx, drafts: Sequence[Draft]) -> list[Planned]:
    """What drafts come to."""
    return planning.plan_all(tx, drafts, [str(uuid.uuid4()) for _ in drafts], SubmissionTerms())


def together(database: Database, drafts: Sequence[Draft], name: str | None = "spring") -> dict[str, Planned]:
    """Store drafts as a batch."""

    def work(tx: Tx) -> dict[str, Planned]:
        batch, _ = batches.opened(tx, name, BatchSource.FILE)
        plans = [each for each in planned(tx, drafts) if isinstance(each, Plan)]
        return planning.store_all(tx, [each._replace(row=each.row._replace(batch_id=batch.id)) for each in plans])

    return database.write(work)


def test_a_text_that_is_known_changes_nothing(database: Database, anna: str) -> None:
    """Whoever has the payload written, and who has not, submits the same row, with its files apart."""
    file = {"filename": "a.txt", "content": "aGk=", "type": "text/plain"}
    for payload in (MAIL, content.build(Channel.EMAIL, subject="S", body="é", attachments=[file])):
        drafts = [mail("same", body=payload), mail("same", body=payload)._replace(written=content.written(payload))]
        with database.read() as tx:
            first, again = (planning.plan_all(tx, [each], ["id"], SubmissionTerms())[0] for each in drafts)
        assert isinstance(first, Plan)
        assert isinstance(again, Plan)
        assert (first.row, first.files) == (again.row, again.files)


def test_an_import_leaves_the_interpreter_as_it_was(database: Database, anna: str) -> None:
    """Also where the file breaks off: what suits very many rows suits nothing else."""

    def broken() -> Iterator[BadRow]:
        yield BadRow(2, "bad", ["x"])
        raise UsageError("the file ends here")

    before = gc.isenabled(), sys.getswitchinterval()
    order = importing.ImportOrder(importing.begin(database, "spring")[0])
    with closing(Ordinals()) as seen, pytest.raises(UsageError, match="ends here"):
        importing.Importer(database, order, lambda row: None, lambda tally: None, seen).run(broken())
    assert (gc.isenabled(), sys.getswitchinterval()) == before


def test_each_draft_has_its_own_answer(database: Database, anna: str) -> None:
    """In the order of the drafts: what is wrong with one concerns no other."""
    before = sending.submit(database, mail("before"), {}).notification.id
    asked = [mail("a"), mail("b", "nobody"), mail("before"), mail("before", body=OTHER), mail("c", body={"v": 1})]
    with database.read() as tx:
        a, b, same, other, empty = planned(tx, asked)
    assert isinstance(a, Plan)
    assert isinstance(b, NotFound)
    assert isinstance(same, Former)
    assert same.id == before
    assert isinstance(other, Conflict)
    assert isinstance(empty, UsageError)


def test_a_key_that_is_used_twice_in_one_call_is_one_submission(database: Database, anna: str) -> None:
    """The second repeats the first, or is refused because it says something else: never two rows, never a clash."""
    with database.read() as tx:
        first, again, other = planned(tx, [mail("k"), mail("k"), mail("k", body=OTHER)])
    assert isinstance(first, Plan)
    assert again == Former(first.row.id, first.row.content_hash)
    assert isinstance(other, Conflict)


def test_one_audit_row_tells_of_all(database: Database, anna: str) -> None:
    """Of a transaction that submits many there is one row: how many, and the SHA-256 of their ids, of the batch."""
    stored = together(database, [mail(str(each)) for each in range(5)])
    ids = sorted(stored)
    with database.read() as tx:
        [batch_id] = set(tx.execute(select(notifications.c.batch_id)).scalars())
        a = audit_logs.c
        rows = tx.execute(select(a.action, a.resource_id, a.changes).where(a.resource_type == "batch")).all()
        of_each = tx.execute(select(a.id).where(a.resource_type == "notification")).all()
    digest = sha256("\n".join(ids).encode()).hexdigest()
    assert [(action, where, json.loads(said)) for action, where, said in rows] == [
        ("submit", batch_id, {"count": 5, "ids_sha256": digest})
    ]
    assert not of_each


def test_a_batch_is_found_again_by_its_name(database: Database, anna: str) -> None:
    """The same name is the same batch; without one each is its own."""
    together(database, [mail("1")])
    together(database, [mail("2")])
    together(database, [mail("3")], None)
    together(database, [mail("4")], None)
    with database.read() as tx:
        of = tx.execute(select(notifications.c.batch_id)).scalars().all()
        assert len(of) == 4
        assert len(set(of)) == 3
        found = batches.find(tx, "spring")
        assert batches.counts(tx, [found.id])[found.id].pending == 2


def test_what_another_stores_at_this_moment_is_found(database: Database, anna: str) -> None:
    """Planned before the other one committed: it comes out as the other's, or as refused where that says otherwise."""
    with database.read() as tx:
        same, other = planned(tx, [mail("same"), mail("other", body=OTHER)])
    assert isinstance(same, Plan)
    assert isinstance(other, Plan)
    theirs = sending.submit(database, mail("same"), {}).notification.id
    sending.submit(database, mail("other"), {})
    became = database.write(lambda tx: planning.store_all(tx, [same, other]))
    first = became[same.row.id]
    assert isinstance(first, Former)
    assert first.id == theirs
    second = became[other.row.id]
    assert isinstance(second, NotifyctlError)
    assert "with other content" in second.message
    assert "'other'" in second.message


def test_what_is_likely_new_comes_to_the_same(database: Database, anna: str) -> None:
    """Nobody is asked whether it is there: storing finds out, and what would be refused is looked for after all."""
    for key in ("before", "past", "other"):
        sending.submit(database, mail(key), {})
    late = mail("past")._replace(send_at=1)
    asked = [mail("a"), mail("before"), late, mail("other", body=OTHER), mail("b")._replace(send_at=1), mail("a")]

    def work(tx: Tx, *, likely_new: bool) -> list[object]:
        new = [str(uuid.uuid4()) for _ in asked]
        found = planning.plan_all(tx, asked, new, SubmissionTerms(), likely_new=likely_new)
        stored = planning.store_all(tx, [each for each in found if isinstance(each, Plan)])
        return [told(stored[each.row.id] if isinstance(each, Plan) else each) for each in found]

    def told(became: Planned) -> object:
        if isinstance(became, NotifyctlError):
            return became.message
        return "stored" if isinstance(became, Plan) else type(became)

    rehearsed = database.rehearsal()
    asking, taking = (rehearsed.write(lambda tx, new=new: work(tx, likely_new=new)) for new in (False, True))
    assert asking == taking
    assert [asking[each] for each in (0, 1, 2, 5)] == ["stored", Former, Former, Former]


def test_what_is_likely_new_is_not_asked_for(database: Database, anna: str) -> None:
    """Most rows of a file are: a look at the index for each would cost as much as half of its storing."""
    sending.submit(database, mail("before"), {})
    with database.read() as tx:
        known, unknown = (submissions.known(tx, [mail("before")], likely_new=new)[0].former for new in (False, True))
    assert known is not None
    assert unknown is None
