"""Hints on PostgreSQL: what becomes due is looked at at once, by a dispatcher that would poll in an hour."""

from __future__ import annotations

import asyncio
import random
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text, update

from notifyctl.core.model import Channel
from notifyctl.core.sealing import parse_keys
from notifyctl.core.submission import Draft
from notifyctl.dispatch import dispatcher as dispatcher_module
from notifyctl.dispatch import lane, wakeup
from notifyctl.dispatch.dispatcher import Dispatcher
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.queues import notifications
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.wakeup import BRIEF_S, LONG_S, Wakeup, hear
from notifyctl.services import sending
from notifyctl.store import hints
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import provider_configs
from notifyctl.wiring import make_dispatcher
from tests.dispatch.test_many_dispatchers import running, wait_until
from tests.support import seed
from tests.support.world import KEYS, World, stop

Make = Callable[..., World]
NEVER = ("--poll", "1h")
LONG = 3_600.0

LISTENERS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN "notifyctl_due"' AND state = 'idle'
"""


@pytest.fixture
def backend() -> str:
    """Hints are PostgreSQL's."""
    return "postgresql"


@pytest.fixture
def quick(world: World, database: Database) -> Iterator[World]:
    """The world with a dispatcher that hears hints and otherwise sleeps; it must end well, without a word."""
    with listening(world, database) as process:
        yield world
        assert stop(process)[::2] == (0, "")


@contextmanager
def listening(world: World, database: Database) -> Iterator[subprocess.Popen[str]]:
    """Run a dispatcher until it hears hints, and on."""
    with running(world, 1, *NEVER) as (process,):
        wait_until(lambda: len(listeners(database)) == 1)
        yield process


def listeners(database: Database) -> list[int]:
    """Return the server processes that hear hints."""
    with database.read() as tx:
        return list(tx.execute(text(LISTENERS)).scalars())


class Ear:
    """Hears what a dispatcher would. In order of the commits, so that what was not said before the end was not said."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._conn = psycopg.connect(url, autocommit=True)
        self._conn.execute(f"LISTEN {hints.CHANNEL}".encode())

    def heard(self) -> list[str]:
        """Return the hints since the last question."""
        with psycopg.connect(self._url, autocommit=True) as other:
            other.execute("SELECT pg_notify(%s, 'end')", (hints.CHANNEL,))
        found: list[str] = []
        for each in self._conn.notifies(timeout=60):
            if each.payload == "end":
                return found
            found.append(each.payload)
        raise AssertionError("its own notification did not come")

    def close(self) -> None:
        """End the connection."""
        self._conn.close()


@pytest.fixture
def ear(database_url: str) -> Iterator[Ear]:
    """An ear on the test's database."""
    made = Ear(database_url)
    yield made
    made.close()


# Who gives hints


def test_a_submission_that_is_due_gives_one_hint(world: World, ear: Ear) -> None:
    """Of its provider. What is for later gives none, and what was stored before gives none."""
    ear.heard()
    world.send("sms")
    assert ear.heard() == ["twilio"]
    world.send("email", "--in", "1h")
    assert ear.heard() == []
    world.send("email", "--idempotency-key", "k")
    assert ear.heard() == ["sendgrid"]
    world.send("email", "--idempotency-key", "k")
    other = ("send", "anna", "--channel", "email", "--subject", "Other", "--body", "Other", "--idempotency-key", "k")
    assert world.cli.call(*other).exit_code == 5
    assert ear.heard() == []


def test_what_is_rolled_back_gives_no_hint(world: World, database: Database, ear: Ear) -> None:
    """A hint tells of what was committed, or is not heard."""
    ear.heard()

    def fails(tx: Tx) -> None:
        hints.give(tx, ["sendgrid"])
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        database.write(fails)
    assert ear.heard() == []
    database.write(lambda tx: hints.give(tx, ["twilio", "sendgrid", "twilio"]))
    assert sorted(ear.heard()) == ["sendgrid", "twilio"]


def test_acts_on_many_give_one_hint_for_each_provider(make_world: Make, ear: Ear) -> None:
    """Retry, resend and a reschedule to now; what makes nothing due at once gives none."""
    world = make_world("--inject", "sendgrid=400x2")
    dead = [world.send("email") for _ in range(2)]
    world.dispatch()
    ear.heard()
    world.ok("dlq", "retry", *dead)
    assert ear.heard() == ["sendgrid"]
    world.dispatch()
    assert ear.heard() == []  # what dispatchers write makes nothing due at once
    world.ok("notifications", "resend", *dead)
    assert ear.heard() == ["sendgrid"]
    later = [world.send("email", "--in", "1h"), world.send("sms", "--in", "1h")]
    world.ok("notifications", "reschedule", *later, "--at", "2099-01-01T00:00:00Z")
    assert ear.heard() == []
    world.ok("notifications", "reschedule", *later, "--at", "now")
    assert sorted(ear.heard()) == ["sendgrid", "twilio"]
    world.ok("notifications", "cancel", *later)
    assert ear.heard() == []


def test_a_provider_that_may_send_again_gives_a_hint(world: World, ear: Ear) -> None:
    """Resume, enable and update; not what only holds, and not what changes nothing."""
    ear.heard()
    for act, expected in (
        (("pause", "twilio", "--reason", "test"), []),
        (("resume", "twilio"), ["twilio"]),
        (("resume", "twilio"), []),
        (("disable", "twilio"), []),
        (("enable", "twilio"), ["twilio"]),
        (("enable", "twilio"), []),
        (("update", "twilio", "--rate-limit", "600"), ["twilio"]),
        (("delete", "twilio", "--yes"), []),
    ):
        world.cli.call("providers", *act)
        assert ear.heard() == expected, act
    secrets = "AC" + "0" * 32 + "\nsecret\n"
    settings = ("--set", "from=+15005550006")
    world.ok("providers", "add", "twilio", "--api-key", "-", "--api-secret", "-", *settings, input=secrets)
    assert ear.heard() == ["twilio"]


# Who follows them


def test_what_is_submitted_is_sent_at_once(quick: World) -> None:
    """One after the other, each to a dispatcher that waits for its next look."""
    for _ in range(3):
        for channel in ("email", "sms", "push"):
            sent(quick, quick.send(channel))


def test_every_act_that_makes_something_due_is_followed(make_world: Make, database: Database) -> None:
    """A dead letter retried, a copy sent again, a time moved to now, a provider resumed, and one enabled."""
    world = make_world("--inject", "sendgrid=400x1")
    with listening(world, database):
        dead = world.send("email")
        wait_until(lambda: world.show(dead)["status"] == "failed")
        world.ok("dlq", "retry", dead)
        sent(world, dead)
        copied = world.ok("notifications", "resend", dead, "-o", "json").json()
        sent(world, copied[0]["new_id"])
        later = world.send("email", "--in", "1h")
        world.ok("notifications", "reschedule", later, "--at", "now")
        sent(world, later)
        world.ok("providers", "pause", "sendgrid", "--reason", "test")
        held = world.send("email")
        world.ok("providers", "disable", "sendgrid")
        world.ok("providers", "resume", "sendgrid")
        assert world.show(held)["status"] == "pending"
        world.ok("providers", "enable", "sendgrid")
        sent(world, held)
        world.ok("providers", "pause", "sendgrid", "--reason", "test")
        held = world.send("email")
        world.ok("providers", "resume", "sendgrid")
        sent(world, held)


def test_what_sql_submits_is_followed(quick: World, database: Database) -> None:
    """Its hint names no provider: whoever is asleep looks, for each of them."""
    texts = {"email": {"subject": "Hello", "text": "Hello"}, "sms": {"body": "Hello", "to": "+14155552345"}}
    with psycopg.connect(database.url.render_as_string(hide_password=False)) as conn:
        for channel, said in texts.items():
            asked = "SELECT id FROM notifyctl_submit('anna', %s, %s)"
            (id_,) = conn.execute(asked, [channel, Jsonb(said)]).fetchone() or ("",)
            conn.commit()
            sent(quick, id_)


def test_a_listener_that_is_cut_off_comes_back(quick: World, database: Database) -> None:
    """Its server process is ended, twice: it listens again, by another one, and hears."""
    for _ in range(2):
        (before,) = listeners(database)
        with psycopg.connect(database.url.render_as_string(hide_password=False), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 60000)", (before,))
        wait_until(lambda: listeners(database) not in ([], [before]))  # noqa: B023
        for _ in range(2):  # the first may be found by the look that follows the coming back
            sent(quick, quick.send("email"))


@pytest.mark.parametrize("busy", [1, 0])
def test_a_run_that_ends_by_itself_does_not_listen(world: World, monkeypatch: pytest.MonkeyPatch, busy: int) -> None:
    """`--once` looks until nothing is left; a connection more would only cost, but where there is much to do."""
    monkeypatch.setattr(wakeup, "BUSY", busy)
    listened = calls(monkeypatch, hints, "listener")
    id_ = world.send("email")
    world.dispatch()
    assert (world.show(id_)["status"], len(listened)) == ("sent", 1 - busy)


def test_where_hints_are_heard_statements_are_prepared(database_url: str) -> None:
    """A server that passes hints on keeps sessions: what is asked again and again is planned once."""
    database = Database(database_url)
    threads = StoreThreads(database)

    async def story() -> tuple[int, int]:
        known = asyncio.Event()

        async def heard(_: str | None) -> None:
            known.set()

        before = await threads.read(prepared)
        hearing = asyncio.create_task(hear(threads, str(uuid.uuid4()), heard))
        async with asyncio.timeout(60):
            await known.wait()
        meanwhile = await threads.read(prepared)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        return before, meanwhile

    before, meanwhile = asyncio.run(story())
    threads.close()
    database.close()
    assert (before, meanwhile > 0, database.connections.keep_sessions) == (0, True, False)


def test_a_long_run_that_ends_by_itself_prepares_too(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what it claims for the hundredth time nothing is parsed and planned once more; a short run hears nothing."""
    monkeypatch.setattr(wakeup, "BUSY_LOOK_S", 0.001)
    attempts, kept = [0], []
    threads = StoreThreads(database)

    async def story() -> None:
        preparing = asyncio.create_task(wakeup.prepare_when_busy(threads, str(uuid.uuid4()), lambda: attempts[0]))
        for number in (0, wakeup.BUSY - 1, wakeup.BUSY):
            attempts[0] = number
            async with asyncio.timeout(60):
                while number == wakeup.BUSY and not database.connections.keep_sessions:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            kept.append((database.connections.keep_sessions, len(listeners(database))))
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)

    asyncio.run(story())
    threads.close()
    assert kept == [(False, 0), (False, 0), (True, 1)]


def prepared(tx: Tx) -> int:
    """Ask the same several times and count what the server keeps prepared for this session."""
    for number in range(5):
        tx.execute(text("SELECT CAST(:number AS int)"), {"number": number})
    return int(tx.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one())


@pytest.mark.parametrize("backend", ["sqlite"])
def test_on_sqlite_the_poll_remains(world: World, database: Database) -> None:
    """There is nothing to listen to; what is due is found at the next look."""
    with running(world, 1, "--poll", "100ms") as (process,):
        for _ in range(2):
            sent(world, world.send("email"))
        assert stop(process)[::2] == (0, "")


def sent(world: World, id_: str) -> None:
    """Wait until the notification is sent; it would be so in an hour by itself."""
    wait_until(lambda: world.show(id_)["status"] == "sent")


# In this process


def test_a_provider_that_is_enabled_gets_its_lane_at_once(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher that has not seen it before does not wait until it looks for providers."""
    monkeypatch.setattr(dispatcher_module, "LOOK_FOR_PROVIDERS_S", LONG)
    world.ok("providers", "disable", "twilio")

    async def story() -> None:
        await asyncio.to_thread(world.cli.run, "providers", "enable", "twilio")
        id_ = await asyncio.to_thread(submit, database, Channel.SMS, {"v": 1, "body": "Hello"})
        await until(lambda: seed.notification(database, id_).status == "sent")

    asyncio.run(beside(database, story))


def test_a_hint_does_not_make_more_permits(world: World, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that waits for its rate limit looks when the next permit is there, whatever is hinted meanwhile."""
    database.write(lambda tx: tx.execute(update(provider_configs).values(rate_limit=1)))
    claims, rings = calls(monkeypatch, notifications, "claim"), calls(monkeypatch, lane.Lane, "hint")
    mail = {"v": 1, "subject": "Hello", "text": "Hello"}
    held: list[Any] = []

    def looks() -> int:
        return sum(order.provider == "sendgrid" for _, order in claims)

    async def story() -> None:
        ids = [await asyncio.to_thread(submit, database, Channel.EMAIL, mail) for _ in range(2)]
        await until(lambda: seed.notification(database, ids[0]).status == "sent")
        await until(lambda: running_now[0].tally.of("sendgrid").held == "rate limit")
        before, heard = looks(), len(rings)
        for _ in range(5):
            await asyncio.to_thread(submit, database, Channel.EMAIL, mail)
        await until(lambda: len(rings) >= heard + 5)
        await asyncio.sleep(2 * LONG_S)
        held.append(looks() - before)

    running_now: list[Dispatcher] = []
    asyncio.run(beside(database, story, running_now))
    assert held == [0]


def test_a_ring_during_a_look_is_not_lost() -> None:
    """What a look may have missed is looked at; what rang before the look is done with it."""

    async def story() -> None:
        wakeup = Wakeup()
        wakeup.ring()
        wakeup.look()
        assert await wakeup.wait(0.01) == 0.0  # nobody rang since: the whole wait is over
        wakeup.ring()
        assert 0.0 <= await wakeup.wait(LONG) <= BRIEF_S

    asyncio.run(story())


def test_who_looks_in_vain_hesitates_longer() -> None:
    """So that of many that hear a hint few look in vain; never long, and not at all once there was something."""
    random.seed(1)

    async def waits(wakeup: Wakeup, *, in_vain: bool) -> list[float]:
        found = []
        for _ in range(50):
            wakeup.ring()
            found.append(await wakeup.wait(LONG))
            wakeup.look()
            wakeup.looked(in_vain=in_vain)
        return found

    async def story() -> None:
        wakeup = Wakeup()
        vain, good = await waits(wakeup, in_vain=True), await waits(wakeup, in_vain=False)
        assert BRIEF_S < max(vain) <= LONG_S
        assert max(good[1:]) <= BRIEF_S

    asyncio.run(story())


async def beside(database: Database, story: Callable[[], Any], found: list[Dispatcher] | None = None) -> None:
    """Run a dispatcher that hears hints, and otherwise sleeps, until the story is told."""
    dispatcher = make_dispatcher(database, parse_keys(KEYS, "the tests"), DispatchOptions(poll_s=LONG))
    if found is not None:
        found.append(dispatcher)
    running = asyncio.create_task(dispatcher.run())
    try:
        await until(lambda: len(listeners(database)) == 1)
        await story()
    finally:
        dispatcher.stop()
        await running


async def until(done: Callable[[], bool]) -> None:
    """Wait for something to become true, and let the dispatcher work meanwhile."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110 - it happens in the database
            await asyncio.sleep(0.05)


def submit(database: Database, channel: Channel, payload: dict[str, Any]) -> str:
    """Submit to anna and return the id."""
    draft = Draft("anna", channel, payload, uuid.uuid4().hex)
    return sending.submit(database, draft, {}).notification.id


def calls(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> list[tuple[Any, ...]]:
    """Return the list into which the arguments of a function's calls go; it does what it did."""
    found: list[tuple[Any, ...]] = []
    real = getattr(where, name)

    def call(*args: Any) -> Any:
        found.append(args)
        return real(*args)

    monkeypatch.setattr(where, name, call)
    return found
