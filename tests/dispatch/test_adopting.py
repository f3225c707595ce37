"""A dispatcher with another policy than the last one makes due again what that one put off, and nothing else."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from notifyctl.core.presence import Heartbeat
from notifyctl.store import adopting
from notifyctl.store.db.database import Database
from notifyctl.store.dispatchers import beat
from notifyctl.store.schema.tables import audit_logs, cap_usage, notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import Scripted, reply
from tests.support.threefold import add_providers

LATE = 2**41
RULES = ("contact_window", "quiet_hours", "cap", "limit")
OLD = "[policy]\non_cap = 'defer'\n"
NEW = "[policy]\non_cap = 'cancel'\n"


@pytest.fixture
def anna(cli: Cli) -> Iterator[str]:
    """A user whose mails a provider takes."""
    with ExitStack() as stack:
        server = stack.enter_context(Scripted(lambda _: reply(202)))
        add_providers(cli, server.url, "sendgrid")
        made = cli.call("users", "create", "anna", "--email", "anna@example.org", "-o", "id").ok()
        yield made.stdout.strip()


def dispatch(cli: Cli, policy: str, *args: str) -> Any:
    """Send what is due under a policy, and return the result."""
    path = cli.home / "policy.toml"
    path.write_text(policy)
    return cli.call("dispatch", "--config", str(path), *(args or ("--once",))).ok()


def deferred(db: Database, user: str, *rules: str) -> list[str]:
    """Write notifications that these rules, or all of them, put off for long."""
    return [id_ for each in rules or RULES for id_ in seed.pending(db, user, due_at=LATE, deferred_by=each)]


def statuses(db: Database, ids: list[str]) -> set[str]:
    """Return what became of notifications."""
    return {seed.notification(db, each).status for each in ids}


def adoptions(db: Database) -> list[str]:
    """Return what the audit trail has of adopted policies."""
    with db.read() as tx:
        found = select(audit_logs.c.changes).where(
            audit_logs.c.action == "adopt", audit_logs.c.resource_type == "policy"
        )
        return list(tx.execute(found).scalars())


def test_another_policy_wakes_what_the_last_put_off(cli: Cli, database: Database, anna: str) -> None:
    """Each rule's rows are judged anew and sent by that same run; scheduled, retrying and held ones keep their time."""
    dispatch(cli, OLD)
    woken = deferred(database, anna)
    kept = [
        *seed.pending(database, anna, due_at=LATE, send_at=LATE),
        *seed.pending(database, anna, due_at=LATE, attempt_count=1),
        *seed.pending(database, anna, due_at=LATE, deferred_by="sender"),
    ]
    assert dispatch(cli, OLD).stderr == ""
    assert statuses(database, woken) == {"pending"}
    assert "the policy changed" in dispatch(cli, NEW).stderr
    assert statuses(database, woken) == {"sent"}
    assert {(seed.notification(database, each).status, seed.notification(database, each).due_at) for each in kept} == {
        ("pending", LATE)
    }
    (told,) = adoptions(database)
    assert told.startswith('{"digest":["')
    assert dispatch(cli, NEW).stderr == ""
    assert len(adoptions(database)) == 1


def test_the_first_policy_is_no_other_one(cli: Cli, database: Database, anna: str) -> None:
    """A new system says nothing; a policy that is only written differently is the same."""
    assert dispatch(cli, OLD).stderr == ""
    assert dispatch(cli, "").stderr == ""  # defer is the default
    assert adoptions(database) == []


def test_several_processes_adopt_once(cli: Cli, database: Database, anna: str) -> None:
    """What is woken belongs to the run of all of them."""
    dispatch(cli, OLD)
    ids = deferred(database, anna)
    dispatch(cli, NEW, "--once", "--processes", "2")
    assert statuses(database, ids) == {"sent"}
    assert len(adoptions(database)) == 1


@pytest.mark.slow
def test_a_running_dispatcher_goes_on_with_waking(cli: Cli, database: Database, anna: str) -> None:
    """What was broken off by a kill is woken by whoever runs, beside the sending."""
    dispatch(cli, OLD)
    ids = deferred(database, anna)
    dispatch(cli, NEW, "--once", "--channel", "sms", "--max-time", "10s")
    more = deferred(database, anna)
    database.write(lambda tx: adopting.leave(tx, "another"))
    dispatch(cli, NEW, "--max-time", "4s", "--poll", "100ms")
    assert statuses(database, [*ids, *more]) == {"sent"}


def test_of_several_at_once_one_adopts(database: Database) -> None:
    """One audit row, and no error, also where none was adopted before."""
    for digest in ("a" * 64, "b" * 64):
        start, found = threading.Barrier(4), []

        def enter(digest: str = digest, start: threading.Barrier = start, found: list[bool] = found) -> None:
            start.wait()
            found.append(database.write(lambda tx: adopting.adopt(tx, digest)))

        threads = [threading.Thread(target=enter) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [False, False, False, digest == "b" * 64]
    assert len(adoptions(database)) == 1


def _adopted(db: Database) -> str:
    """Let a second policy be adopted, and return the user of a database without providers."""
    anna = seed.user(db)
    for digest in ("a" * 64, "b" * 64):
        db.write(lambda tx, digest=digest: adopting.adopt(tx, digest))
    return anna


def test_waking_goes_on_where_it_was_broken_off(database: Database) -> None:
    """Each is woken once: what the new policy puts off meanwhile is not woken again, so that it comes to its end."""
    ids = deferred(database, _adopted(database))
    n, woken = notifications.c, []
    while database.write(lambda tx: adopting.wake_portion(tx, by=5_000, most=1)):
        with database.read() as tx:
            woken += tx.execute(select(n.id).where(n.due_at == 5_000, n.deferred_by.is_(None))).scalars().all()
            assert adopting.is_waking(tx)
        again = update(notifications).where(n.due_at == 5_000).values(due_at=LATE, deferred_by="cap")
        database.write(lambda tx, again=again: tx.execute(again))
    assert woken == sorted(ids)
    with database.read() as tx:
        assert not adopting.is_waking(tx)
    assert database.write(lambda tx: adopting.wake_portion(tx)) is False


def test_who_leaves_with_an_older_policy_lets_it_be_judged_anew(database: Database) -> None:
    """While hosts are restarted one by one, the old policy still puts off; the last of it does not stay."""
    anna = _adopted(database)
    while database.write(adopting.wake_portion):
        pass
    ids = deferred(database, anna)
    database.write(lambda tx: adopting.leave(tx, "b" * 64))
    assert database.write(adopting.wake_portion) is False
    database.write(lambda tx: adopting.leave(tx, "a" * 64))
    assert database.write(adopting.wake_portion) is True
    assert {seed.notification(database, each).deferred_by for each in ids} == {None}


def test_what_one_put_off_that_died_with_an_older_policy_is_judged_anew(database: Database) -> None:
    """It cannot say that it leaves; who finds it dead wakes once. One that lives on, or had the same, is no reason."""
    anna = _adopted(database)
    while database.write(adopting.wake_portion):
        pass

    def seen(policy: str, ago: int) -> None:
        heart = Heartbeat(str(uuid.uuid4()), "web1", 1, 0, 0, policy=policy)
        database.write(lambda tx: beat(tx.at(tx.now - ago), heart))

    seen("a" * 64, 0)
    seen("b" * 64, 60_000)
    with database.read() as tx:
        assert not adopting.is_waking(tx)
    ids = deferred(database, anna)
    seen("a" * 64, 60_000)
    with database.read() as tx:
        assert adopting.is_waking(tx)
    assert database.write(adopting.wake_portion) is True
    assert {seed.notification(database, each).deferred_by for each in ids} == {None}
    assert database.write(adopting.wake_portion) is False
    with database.read() as tx:
        assert not adopting.is_waking(tx)


def test_what_counts_for_caps_is_counted_again(database: Database) -> None:
    """Whether a notification counts is the policy's to say."""
    anna = seed.user(database)
    database.write(lambda tx: adopting.adopt(tx, "a" * 64))
    row = {"user_id": anna, "channel": "email", "day_began": 0, "used": 3}
    database.write(lambda tx: tx.execute(insert(cap_usage).values(row)))
    for digest, left in (("a" * 64, 1), ("b" * 64, 0)):
        database.write(lambda tx, digest=digest: adopting.adopt(tx, digest))
        with database.read() as tx:
            assert len(tx.execute(select(cap_usage.c.used)).all()) == left
