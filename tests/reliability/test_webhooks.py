"""Webhooks under kills: what was committed is told, to everybody who listens, and nothing else is."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from contextlib import ExitStack
from importlib import import_module

from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Dispatching, Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.worker import HOOK_POINTS, POINTS
from tests.support import seed
from tests.support.receiver import Receiver, webhook
from tests.support.scripted import Peer, reply

ANSWERS_S = 0.02


async def _slowly(peer: Peer) -> None:
    await asyncio.sleep(ANSWERS_S)
    await peer.say(reply(204))


@sizes((6, 100), (50, 2_000))
def test_2_kills_lose_no_event_and_invent_none(scene: Scene, tell: Tell, size: tuple[int, int]) -> None:
    """Two listen. Each event of each notification comes at least once, with its id and its bytes each time."""
    kills, count = size
    scene.call_loopback()
    scene.patience(3)
    with ExitStack() as stack:
        own, wide = (stack.enter_context(Receiver(lambda _: _slowly)) for _ in range(2))
        hooks = {
            webhook(scene.db, scene.anna, own.url, timeout_seconds=1): own,
            webhook(scene.db, seed.user(scene.db, "bert"), wide.url, timeout_seconds=1, all_users=True): wide,
        }
        ids = scene.seed(count, max_retries=1_000)
        killed = _kill(scene, kills, own)
        last = scene.dispatch("--concurrency", "64")
        scene.wait(lambda: _all_told(scene), 120 + kills)
        last.stop()
        rows = seed.deliveries(scene.db)
        told = {id_: list(receiver.told) for id_, receiver in hooks.items()}
    repeats = {id_: len(some) - len({each.id for each in some}) for id_, some in told.items()}
    tell("2 kill -9: webhooks", {"kills": killed, "events": len(rows), "told again": sum(repeats.values())})
    for id_, some in told.items():
        theirs = [row for row in rows if row.webhook_id == id_]
        assert sorted(row.notification_id for row in theirs) == sorted(ids), "one event for each change that committed"
        assert {each.id for each in some} == {row.id for row in theirs}, "every event came, and no other"
        assert {each.wrong for each in some} == {None}
        said = defaultdict(set)
        for each in some:
            said[each.id].add(str(each.event))
        assert all(len(bodies) == 1 for bodies in said.values())
    assert killed == kills


def _all_told(scene: Scene) -> bool:
    pending = scene.count(notifications.c.status == "pending")
    return not pending and not seed.deliveries(scene.db, delivered=False)


def _kill(scene: Scene, kills: int, receiver: Receiver) -> int:
    """Kill dispatchers, every other one at a named point; return how many were killed before all was done."""
    chance = random.Random(2)
    points = itertools.cycle([*HOOK_POINTS, *POINTS])
    killed = 0
    for number in range(kills):
        heard = len(receiver.told)
        if number % 2:
            tricks = {"stop": [next(points), chance.randint(1, 3), "KILL"]}
            victim = scene.dispatch("--concurrency", "4", tricks=tricks)
            scene.wait(lambda victim=victim: not victim.runs or _all_told(scene), 60)  # type: ignore[misc]
        else:
            victim = scene.dispatch("--concurrency", "4")
            enough = heard + chance.randint(1, 8)
            scene.wait(lambda enough=enough: len(receiver.told) >= enough or _all_told(scene), 60)  # type: ignore[misc]
        killed += _ended(victim)
    return killed


def _ended(victim: Dispatching) -> bool:
    """Kill it, unless that is done; return whether it died of that."""
    victim.kill()
    return victim.process.exitcode == -9


@sizes(200, 3_000)
def test_3_without_faults_each_is_told_once(scene: Scene, tell: Tell, size: int) -> None:
    """Three dispatchers share two webhooks: nobody is told anything twice, and SIGTERM leaves no lease."""
    scene.call_loopback()
    scene.patience(30)
    with ExitStack() as stack:
        receivers = [stack.enter_context(Receiver()) for _ in range(2)]
        for receiver in receivers:
            webhook(scene.db, scene.anna, receiver.url, timeout_seconds=30)
        dispatchers = [scene.dispatch("--concurrency", "16") for _ in range(3)]
        scene.seed(size)
        scene.wait(lambda: _all_told(scene), 120)
        reports = [each.stop() for each in dispatchers]
        told = [receiver.ids() for receiver in receivers]
    delivered = sum(each["webhooks"]["delivered"] for each in reports)
    tell(
        "3 no faults: webhooks",
        {"delivered": delivered, "told twice": sum(sum(each.values()) for each in told) - 2 * size},
    )
    assert [len(each) for each in told] == [size, size]
    assert all(times == 1 for each in told for times in each.values())
    assert delivered == 2 * size
    assert {row.lease_id for row in seed.deliveries(scene.db)} == {None}


@sizes(60, 2_000)
def test_1_a_whole_run_is_believed_through_a_rotation(scene: Scene, tell: Tell, size: int) -> None:
    """By the standard's library and Svix's: by the old secret, and from the rotation on by the new one as well."""
    scene.call_loopback()
    with Receiver() as receiver:
        args = ("anna", receiver.url, "--event", "*", "--name", "orders", "--secret-file", "old.key")
        scene.cli.call("webhooks", "create", *args).ok()
        dispatcher = scene.dispatch("--concurrency", "64")
        scene.seed(size // 2)
        scene.wait(lambda: len(receiver.told) >= size // 3, 60)
        before = len(receiver.told)
        scene.cli.call("webhooks", "rotate-secret", "orders", "--grace", "1h", "--secret-file", "new.key").ok()
        scene.seed(size - size // 2)
        scene.wait(lambda: _all_told(scene), 120)
        dispatcher.stop()
        asked = receiver.server.asked
    old, new = ((scene.home / name).read_text().strip() for name in ("old.key", "new.key"))
    both = [each for each in asked if len(each.headers["webhook-signature"].split()) == 2]
    tell("16 webhooks verify", {"deliveries": len(asked), "by both": len(both), "before the rotation": before})
    # Imported here: Svix's takes a second for that.
    for library in map(import_module, ("standardwebhooks", "svix.webhooks")):
        for each in asked:
            library.Webhook(old).verify(each.body, dict(each.headers))
        for each in both:
            library.Webhook(new).verify(each.body, dict(each.headers))
    assert len({each.headers["webhook-id"] for each in asked}) == len(asked) == size
    assert len(both) >= size - size // 2, "what happened after the rotation is signed by both"


def test_every_point_of_a_delivery_is_reached(scene: Scene, tell: Tell) -> None:
    """A crash point that nobody passes would prove nothing: at each of them a dispatcher dies."""
    scene.call_loopback()
    with Receiver() as receiver:
        id_ = webhook(scene.db, scene.anna, receiver.url, timeout_seconds=1)
        for note in scene.seed(20, status="sent"):
            seed.owed(scene.db, id_, note)
        doomed = [scene.dispatch(tricks={"stop": [point, 1, "KILL"]}) for point in HOOK_POINTS]
        scene.wait(lambda: not any(each.runs for each in doomed), 60)
    codes = [each.process.exitcode for each in doomed]
    tell("2 kill -9: points of webhooks", {"points": len(HOOK_POINTS), "died there": codes.count(-9)})
    assert codes == [-9] * len(HOOK_POINTS)
