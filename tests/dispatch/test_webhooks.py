"""Webhooks in the dispatch loop: who is told what, by whom, how often, and what it costs the others."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from notifyctl.core.sealing import parse_keys
from notifyctl.core.webhook.target import HookReach
from notifyctl.dispatch.dispatcher import Dispatcher
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.store.db.database import Database
from notifyctl.wiring import make_dispatcher
from tests.support import seed
from tests.support.receiver import OLD, RING, SECRET, Receiver, webhook
from tests.support.scripted import Peer, Scripted, reply
from tests.support.world import KEYS, World, stop

Receivers = Callable[..., Receiver]


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """Starts receivers."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(Receiver(*args))


def run(db: Database, **options: Any) -> Dispatcher:
    """Run a dispatcher with `once` to its end."""
    said: list[str] = []
    given = DispatchOptions(once=True, webhook_reach=HookReach(loopback=True), **options)
    dispatcher = make_dispatcher(db, RING, given, notify=lambda notice: said.append(notice.text))
    asyncio.run(dispatcher.run())
    dispatcher.tally.notices.extend(said)
    return dispatcher


def test_the_whole_way(world: World, database: Database, receivers: Receivers) -> None:
    """One run of cron's sends, and tells of it: each event once, in its order, signed, with its own id."""
    receiver = receivers()
    anna = str(world.ok("users", "show", "anna", "-o", "json").json()["id"])
    id_ = webhook(database, anna, receiver.url)
    sent = [world.send("email") for _ in range(5)]
    dispatcher = run(database)
    assert (dispatcher.tally.accepted, dispatcher.tally.webhooks.delivered) == (5, 10)
    assert [each.wrong for each in receiver.told] == [None] * 10
    for notification_id in sent:
        about = [each for each in receiver.told if each.event["data"]["notification_id"] == notification_id]
        assert [each.event["type"] for each in about] == ["notification.created", "notification.sent"]
    rows = seed.deliveries(database)
    assert {row.id for row in rows} == set(receiver.ids())
    assert all(row.delivered and row.lease_id is None and row.webhook_id == id_ for row in rows)


def test_a_loop_tells_at_once(world: World, database: Database, receivers: Receivers) -> None:
    """What it sent itself it tells without waiting for its next look; SIGTERM leaves no lease."""
    receiver = receivers()
    anna = str(world.ok("users", "show", "anna", "-o", "json").json()["id"])
    webhook(database, anna, receiver.url, events=["notification.sent"])
    (world.cli.home / "config.toml").write_text("[profiles.test]\nwebhook_loopback = true\n")
    config = ("--config", str(world.cli.home / "config.toml"), "--profile", "test")
    process = world.cli.start(*config, "dispatch", "--poll", "2s", "-o", "json")
    try:
        for number in range(3):
            world.send("email")
            end = time.monotonic() + 20
            while len(receiver.told) <= number and time.monotonic() < end:
                time.sleep(0.02)
        sent = [request["at"] for request in world.sandbox.requests("sendgrid") if "at" in request]
    finally:
        code, out, err = stop(process)
    assert (code, len(receiver.told)) == (0, 3), (out, err, sent)
    assert '"webhooks"' in out
    assert seed.deliveries(database, delivered=False) == []


@pytest.fixture
def anna(database: Database) -> str:
    """A user's id; what is owed is written straight into the tables."""
    seed.provider(database, is_active=False)
    return seed.user(database)


def owe(db: Database, webhook_id: str, user_id: str, count: int = 1, each: int = 1, **values: Any) -> list[str]:
    """Write `each` deliveries of `count` notifications, due now; return their ids in their order."""
    notes = seed.pending(db, user_id, count=count, status="sent")
    return [id_ for note in notes for id_ in seed.owed(db, webhook_id, note, each, **values)]


def test_during_a_rotation_both_secrets_sign(database: Database, anna: str, receivers: Receivers) -> None:
    """Until its grace ends a receiver may know either; then the new one alone."""
    hour = database.moment() + 3_600_000
    for secrets, ends, believed in (([SECRET], hour, True), ([OLD], hour, True), ([OLD], 1, False)):
        receiver = receivers()
        receiver.secrets = secrets
        id_ = webhook(database, anna, receiver.url, previous=OLD, previous_secret_ends=ends)
        owe(database, id_, anna)
        run(database)
        assert [each.wrong is None for each in receiver.told] == [believed]


def test_a_failure_waits_for_its_retry(database: Database, anna: str, receivers: Receivers) -> None:
    """A run of cron's does not wait for it; what follows it is not held up; and the next tells the same bytes."""
    receiver = receivers(lambda _: 500 if len(receiver.told) == 1 else 200)
    id_ = webhook(database, anna, receiver.url)
    first, second = owe(database, id_, anna, each=2)
    tally = run(database).tally.webhooks
    assert (tally.delivered, tally.failed) == (1, 1)
    assert [each.id for each in receiver.told] == [first, second], "it would be told again if it were waited for"
    seed.change_delivery(database, first, next_retry_at=1)
    run(database)
    assert [each.id for each in receiver.told] == [first, second, first]
    assert receiver.told[0].event == receiver.told[2].event
    assert receiver.told[2].wrong is None
    assert seed.deliveries(database, delivered=False) == []


def test_a_hiccup_does_not_end_the_run(database: Database, anna: str, receivers: Receivers) -> None:
    """One lost connection lets a receiver be for a moment, and what else it is owed comes in the same run."""
    receiver = receivers(lambda _: _reset if len(receiver.told) == 1 else 200)
    id_ = webhook(database, anna, receiver.url)
    owed = owe(database, id_, anna, 60)
    tally = run(database).tally.webhooks
    assert set(receiver.ids()) == set(owed)
    assert (tally.delivered, tally.failed) == (59, 1)


async def _reset(peer: Peer) -> None:
    peer.reset()


def test_who_hangs_takes_nobody_elses_places(database: Database, anna: str, receivers: Receivers) -> None:
    """Others have all they are owed long before the first call to who hangs has reached its deadline."""

    async def never(peer: Peer) -> None:
        await peer.reader.read()

    silent, good = receivers(lambda _: never), receivers()
    hung = webhook(database, anna, silent.url, timeout_seconds=5)
    quick = webhook(database, anna, good.url)
    owe(database, hung, anna, 60)
    owe(database, quick, anna, 60)
    tally = run(database).tally.webhooks
    assert len(good.told) == 60
    assert max(each.at for each in good.told) - silent.told[0].at < 5
    assert tally.delivered == 60
    assert 1 <= tally.failed <= 32
    left = seed.deliveries(database, webhook_id=hung)
    assert {row.lease_id for row in left} == {None}
    assert sum(row.attempt_count for row in left) == tally.failed, "what was not tried is not counted"


def test_a_receiver_that_is_gone_is_told_of_once(database: Database, anna: str, receivers: Receivers) -> None:
    """It is disabled, people are told by its name and host, and nothing more is sent to it."""
    receiver = receivers(lambda _: 410)
    id_ = webhook(database, anna, receiver.url, name="crm")
    owe(database, id_, anna, each=5)
    notices = run(database).tally.notices
    assert any("webhook crm (127.0.0.1) disabled: its receiver answered that it is gone" in each for each in notices)
    assert not seed.get_webhook(database, id_).is_active
    assert {row.ended for row in seed.deliveries(database)} == {"disabled"}
    calls = len(receiver.told)
    run(database)
    assert len(receiver.told) == calls


def test_a_secret_that_does_not_open(database: Database, anna: str, receivers: Receivers) -> None:
    """That webhook is left alone, and what it is owed waits without an attempt; the others are told."""
    receiver = receivers()
    others = parse_keys(KEYS.replace("QUJD", "QUJE"), "another machine")
    locked = webhook(database, anna, receiver.url, others)
    good = webhook(database, anna, receiver.url)
    owe(database, locked, anna, 3)
    told = owe(database, good, anna, 3)
    dispatcher = run(database)
    assert set(receiver.ids()) == set(told)
    about = [each for each in dispatcher.tally.notices if "leaves it alone" in each]
    assert len(set(about)) <= 2, "once in the notices, once where they are said"
    assert "whsec" not in str(about)
    for row in seed.deliveries(database, webhook_id=locked):
        assert (row.attempt_count, row.lease_id, row.delivered) == (0, None, False)


def test_where_loopback_is_not_allowed(database: Database, anna: str, receivers: Receivers) -> None:
    """What our own check refuses is a failure like any other, and nobody is called."""
    receiver = receivers()
    id_ = webhook(database, anna, receiver.url)
    owe(database, id_, anna)
    dispatcher = make_dispatcher(database, RING, DispatchOptions(once=True))
    asyncio.run(dispatcher.run())
    assert receiver.told == []
    [row] = seed.deliveries(database)
    assert (row.attempt_count, row.delivered, row.ended) == (1, False, None)
    assert "problem" in row.attempts


def test_a_proxy_that_is_not_there_costs_no_receiver_anything(database: Database, anna: str) -> None:
    """It is this machine's way out: nothing is counted, and people are told which proxy it is, without the URL."""
    id_ = webhook(database, anna, "https://93.184.216.34/T0pSecret")
    owe(database, id_, anna, 3)
    dispatcher = run(database, webhook_proxy="http://127.0.0.1:1")
    [row, *others] = seed.deliveries(database)
    assert (row.attempt_count, row.delivered, row.lease_id, len(others)) == (0, False, None, 2)
    about = "webhooks wait: not connected: the proxy 127.0.0.1:1: Connection refused"
    assert about in dispatcher.tally.notices
    assert "T0pSecret" not in str(dispatcher.tally.notices)
    assert seed.get_webhook(database, id_).failing_since is None


@pytest.mark.parametrize("status", [403, 502, 503])
def test_a_proxy_that_lets_nobody_through_makes_nobody_fail(database: Database, anna: str, status: int) -> None:
    """Each attempt failed, and is made again; but a proxy with wrong rules must not disable everybody's webhooks."""
    id_ = webhook(database, anna, "https://93.184.216.34/T0pSecret")
    owe(database, id_, anna)
    with Scripted(lambda _: reply(status)) as proxy:
        run(database, webhook_proxy=proxy.url)
    [row] = seed.deliveries(database)
    assert (row.attempt_count, row.delivered) == (1, False)
    assert f"refused: HTTP {status}" in row.attempts
    assert seed.get_webhook(database, id_).failing_since is None


def test_what_the_receiver_says_is_kept(database: Database, anna: str, receivers: Receivers) -> None:
    """Its status and the beginning of its answer."""
    receiver = receivers(lambda _: reply(422, b"no such \x00 thing" + b"x" * 5_000))
    owe(database, webhook(database, anna, receiver.url), anna)
    run(database)
    [row] = seed.deliveries(database)
    assert row.response_status == 422
    assert row.response_body.startswith("no such  thing")
    assert len(row.response_body.encode()) <= 2_048


HOUR_MS = 3_600_000


def test_after_three_hours_down_all_of_it_is_believed(
    database: Database, anna: str, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt is signed at its own time: a receiver that accepts five minutes finds nothing too old.

    The clock is simulated. While it is down it fails in every way.
    """
    ahead_ms, begin = 0, type(database.dialect).begin

    def later(dialect: Any, *args: Any, **kwargs: Any) -> int:
        return int(begin(dialect, *args, **kwargs)) + ahead_ms

    monkeypatch.setattr(type(database.dialect), "begin", later)
    ways = itertools.cycle([500, 502, _reset, 404, 301])
    receiver = receivers(lambda _: next(ways))
    id_ = webhook(database, anna, receiver.url)
    owed = list[str]()
    for half_hours in range(2 * 15):
        ahead_ms = half_hours * HOUR_MS // 2
        receiver.ahead_s = ahead_ms / 1_000
        if half_hours < 6:
            now = database.moment()
            owed += owe(database, id_, anna, 3, created_at=now, next_retry_at=now)
        else:
            receiver.answers = lambda _: 200
        run(database)
        if half_hours >= 6 and not seed.deliveries(database, delivered=False):
            break
    assert set(receiver.ids()) == set(owed)
    assert {each.wrong for each in receiver.told} == {None}
    assert seed.deliveries(database, delivered=False) == []


def test_where_there_is_no_webhook_nothing_is_asked(world: World, database: Database) -> None:
    """A dispatcher without one looks whether there is any, now and then; its sending asks nothing."""
    world.send("email")
    tally = run(database).tally
    assert (tally.accepted, tally.webhooks.delivered) == (1, 0)
    assert seed.deliveries(database) == []
