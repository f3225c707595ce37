"""Behind PgBouncer in transaction mode each transaction may be another server connection's: nothing may be left on one.

Debian's `pgbouncer` is needed; without it these are skipped, and say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from notifyctl.core.errors import DatabaseUnavailable
from notifyctl.core.notification import Notification
from notifyctl.services import exporting
from notifyctl.services.exporting import Snapshot
from notifyctl.services.notifications import NotificationQuery
from notifyctl.store import hints
from tests.reliability.bouncer import POOL, Bouncer
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell
from tests.reliability.stub import Stub, never, sometimes
from tests.support import seed
from tests.support.command import Cli
from tests.support.databases import PostgreSQLMaker

pytestmark = pytest.mark.full

# Of each it is known whether the mail went out, so that nothing may go out twice.
FAULTS = {"503": 0.1, "429": 0.03, "400": 0.07, "reset": 0.05}
SUBMITTERS, EACH = 4, 150

STATE = """
    SELECT 'setting ' || name FROM pg_settings
    WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
        'standard_conforming_strings')
    UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE statement NOT LIKE '%%pg_cursors%%'
    UNION ALL SELECT 'lock ' || classid || ' ' || objid FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel WHERE channel = %s
"""


@pytest.fixture
def bouncer(postgresql_maker: PostgreSQLMaker) -> Iterator[Bouncer]:
    """PgBouncer before an empty database."""
    with postgresql_maker.empty() as url, Bouncer(url) as running:
        yield running


@pytest.fixture
def scene(bouncer: Bouncer, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """The scene, all of it through PgBouncer, the migration too."""
    Cli(tmp_path, bouncer.url).call("migrate", "up").ok()
    with Scene(bouncer.url, tmp_path, stub) as made:
        yield made


def test_all_of_it_works_behind_pgbouncer(scene: Scene, bouncer: Bouncer, tell: Tell) -> None:
    """Commands, submitters and dispatchers at once, with faults: nothing lost, nothing twice, no state left behind."""
    scene.patience(30)
    scene.stub.faults = sometimes(FAULTS, seed=7)
    scene.cli.call("keys", "create", "anna", "--name", "ci").ok()
    briefly = {"throttled_ms": 50}  # so many of the answers are 429, and each lets everybody wait
    dispatchers = [scene.dispatch("--concurrency", "16", tricks=briefly) for _ in range(2)]
    submitters = [scene.submit(f"s{number}", EACH) for number in range(SUBMITTERS)]
    assert scene.cli.call("status", "-o", "json").ok().json()["dispatchers"] is not None
    for each in submitters:
        each.finish(120)
    scene.wait_until_all_ended(240)
    letters = scene.cli.call("dlq", "list", "-o", "json").ok().json()
    scene.stub.faults = never
    scene.cli.call("dlq", "retry", "--reason", "provider_rejected", "--yes").ok()
    scene.wait_until_all_ended(120)
    for dispatcher in dispatchers:
        dispatcher.stop()
        assert dispatcher.said == "exit code 0: "
    verdict = scene.verdict(*(each.ledger for each in submitters))
    tell("PgBouncer, transaction mode", {**verdict.counts(), "retried dead letters": len(letters)})
    assert not verdict.wrong
    assert not verdict.repeated
    assert letters
    assert (verdict.sent, verdict.failed) == (SUBMITTERS * EACH, 0)
    assert left_behind(bouncer) == [[]] * POOL
    assert "pooler error" not in bouncer.log


def test_exports_are_whole_behind_pgbouncer(scene: Scene, bouncer: Bouncer) -> None:
    """A snapshot and its cursor live in one transaction: others get on meanwhile, and nothing is left behind."""
    anna = seed.user(scene.db, "zoe")
    seed.pending(scene.db, anna, count=3_000)

    def take(found: Snapshot[Notification]) -> int:
        next(found.rows)
        for _ in range(POOL):
            seed.pending(scene.db, anna)
        return 1 + sum(1 for _ in found.rows)

    assert exporting.notifications(scene.db, NotificationQuery(), take) == 3_000
    assert len(scene.cli.call("users", "export", "-o", "ndjson").ok().stdout.splitlines()) >= 1
    assert left_behind(bouncer) == [[]] * POOL


def test_a_listener_knows_that_it_cannot_hear(scene: Scene, bouncer: Bouncer) -> None:
    """LISTEN succeeds there and hears nothing: hints count as unavailable, and what is due is found by looking."""

    async def proved() -> None:
        async with hints.listener(scene.db, "me") as listener:
            scene.db.write(lambda tx: hints.test(tx, "me"))
            await listener.prove()

    with pytest.raises(DatabaseUnavailable, match="did not arrive"):
        asyncio.run(proved())
    dispatcher = scene.dispatch()
    scene.submit("s", 3).finish(60)
    scene.wait_until_all_ended(60)
    dispatcher.stop()
    assert left_behind(bouncer) == [[]] * POOL


def test_24_a_pooler_that_changes_its_mode(
    postgresql_maker: PostgreSQLMaker, tmp_path: Path, stub: Stub, tell: Tell
) -> None:
    """From keeping sessions to not, under two dispatchers with prepared statements: they go on without."""
    with (
        postgresql_maker.migrated() as url,
        Bouncer(url, "session", 40) as bouncer,
        Scene(bouncer.url, tmp_path, stub) as scene,
    ):
        scene.patience(30)
        scene.stub.latency = 0.01
        dispatchers = [scene.dispatch("--concurrency", "16") for _ in range(2)]
        scene.wait(lambda: all(each.id for each in dispatchers), 60)
        for mode in ("session", "transaction", "transaction"):
            bouncer.change(mode)
            scene.seed(300)
            scene.wait_until_all_ended(60)
        for dispatcher in dispatchers:
            dispatcher.stop()
            assert "prepared statement" not in dispatcher.said
        verdict = scene.verdict()
    tell("24 pooler's mode changed", verdict.counts())
    assert not verdict.wrong
    assert not verdict.repeated


def test_a_setting_of_a_transaction_is_not_the_next_clients(scene: Scene) -> None:
    """What a transaction sets with SET LOCAL ends with it, on the server connection that others get next."""
    shown = "SHOW idle_in_transaction_session_timeout"
    with psycopg.connect(scene.url, autocommit=True) as next_client:
        before = next_client.execute(shown).fetchone()
        for _ in range(5):
            during, pid = scene.db.write(
                lambda tx: (
                    tx.conn.exec_driver_sql(shown).scalar_one(),
                    tx.conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one(),
                )
            )
            assert during == "15s"
            assert next_client.execute("SELECT pg_backend_pid()").fetchone() == (pid,)  # or it would show nothing
            assert next_client.execute(shown).fetchone() == before == ("0",)


def left_behind(bouncer: Bouncer) -> list[list[str]]:
    """Return what is left on each of the pool's connections: held at once, they are different ones."""
    with ExitStack() as stack:
        held = [stack.enter_context(psycopg.connect(bouncer.url, prepare_threshold=None)) for _ in range(POOL)]
        found = [(conn.execute("SELECT pg_backend_pid()").fetchone(), conn) for conn in held]
        assert len({pid for pid, _ in found}) == POOL
        return [[row[0] for row in conn.execute(STATE, (hints.CHANNEL,)).fetchall()] for _, conn in found]
