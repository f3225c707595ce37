"""A network to PostgreSQL that acknowledges everything and answers nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import Stub
from tests.support import seed
from tests.support.command import Cli
from tests.support.swallower import Swallower

MARGIN_S = 15.0
"""What a drain or a maximum of time may last longer on a silent database."""
TIMEOUT_MARGIN_S = 5.0
"""What a `--timeout` may last longer there."""
DRAIN_S = 2


@pytest.fixture
def network(postgresql_url: str) -> Iterator[Swallower]:
    """A network that can fall silent."""
    with Swallower(postgresql_url) as running:
        yield running


@pytest.fixture
def scene(postgresql_url: str, network: Swallower, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """The scene, whose dispatchers go through that network while the test itself does not."""
    with Scene(postgresql_url, tmp_path, stub) as made:
        yield made


@sizes(1, 20)
def test_24_sigterm_holds(scene: Scene, network: Swallower, tell: Tell, size: int) -> None:
    """A dispatcher whose database is silent in the middle of work ends within its drain's time and the margin."""
    longest = 0.0
    for _ in range(size):
        network.silent = False
        scene.stub.latency = 0.2
        dispatcher = scene.dispatch("--drain", f"{DRAIN_S}s", url=network.url)
        scene.wait(lambda each=dispatcher: each.id is not None, 60)  # type: ignore[misc]
        scene.seed(20)
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) > 0, 60)
        network.silent = True
        began = time.monotonic()
        dispatcher.process.terminate()
        dispatcher.process.join(60)
        longest = max(longest, time.monotonic() - began)
        assert dispatcher.process.exitcode in (0, 6), dispatcher.said
    tell("24 silent: SIGTERM", {"runs": size, "longest s": round(longest, 1)})
    assert longest < DRAIN_S + MARGIN_S


@sizes(1, 20)
def test_24_max_time_holds(scene: Scene, network: Swallower, tell: Tell, size: int) -> None:
    """A run that has a time of its own ends when that is over, and says that the database is away."""
    longest = 0.0
    for _ in range(size):
        network.silent = False
        scene.stub.latency = 0.5
        scene.seed(200)
        limits = ("--once", "--max-time", "8s", "--drain", f"{DRAIN_S}s", "--concurrency", "8")
        dispatcher = scene.dispatch(*limits, url=network.url)
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) > 0, 60)
        network.silent = True
        began = time.monotonic()
        dispatcher.process.join(60)
        longest = max(longest, time.monotonic() - began)
        assert dispatcher.process.exitcode in (6, 10), dispatcher.said
        assert "silent" in dispatcher.said or "did not answer" in dispatcher.said, dispatcher.said
    tell("24 silent: --max-time", {"runs": size, "longest s": round(longest, 1)})
    assert longest < 8 + DRAIN_S + MARGIN_S


@sizes(1, 10)
def test_24_it_goes_on(scene: Scene, network: Swallower, tell: Tell, size: int) -> None:
    """After the silence a dispatcher that was left running does all that there is, and says what was wrong."""
    scene.patience(30)
    scene.stub.latency = 0.05
    dispatcher = scene.dispatch("--concurrency", "8", url=network.url)
    scene.wait(lambda: dispatcher.id is not None, 60)
    for _ in range(size):
        scene.seed(50)
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) > 0, 60)
        network.silent = True
        time.sleep(6)
        network.silent = False
        scene.wait_until_all_ended(90)
    dispatcher.stop()
    verdict = scene.verdict()
    tell("24 silent, then not", {**verdict.counts(), "silences": size})
    assert not verdict.wrong
    assert "silent" in dispatcher.said


@pytest.mark.slow
def test_24_timeout_holds(postgresql_url: str, network: Swallower, tmp_path: Path) -> None:
    """`send --wait --timeout` ends within its time and the margin when the database falls silent after accepting.

    What was accepted is still told, and that it is under way: exit 11, as when the time is over in any other way.
    """
    db = Database(postgresql_url)
    seed.user(db)
    seed.provider(db, config_json='{"from": "a@example.org"}')
    cli = Cli(tmp_path, network.url)
    send = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b")
    waiting = cli.start(*send, "--wait", "--timeout", "8s", "-o", "id")
    try:
        until = time.monotonic() + 30
        while not (stored := _stored(db)) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(4)  # what answers the COMMIT is on its way, and then the waiting begins
        network.silent, began = True, time.monotonic()
        stdout, stderr = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
        db.close()
    assert (waiting.returncode, stdout) == (11, f"{stored[0]}\n"), stderr
    assert "still pending" in stderr
    assert time.monotonic() - began < 8 + TIMEOUT_MARGIN_S


def _stored(db: Database) -> list[str]:
    with db.read() as tx:
        return list(tx.execute(select(notifications.c.id)).scalars())
