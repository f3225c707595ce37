"""What happens beside a result never costs one: a remark, a row that the database refuses, a terminal that closes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import update

from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import Faults
from tests.support.refusal import allow, refuse


@contextmanager
def nowhere(kind: str) -> Iterator[int]:
    """Yield where writing fails: a pipe without a reader, a disk without room, a pager that nobody reads on."""
    reader, end = os.pipe()
    if kind == "full":
        os.close(end)
        end = os.open("/dev/full", os.O_WRONLY)
    elif kind == "dead":
        os.close(reader)
        reader = os.open(os.devnull, os.O_RDONLY)
    else:
        os.set_blocking(end, False)
        with suppress(BlockingIOError):
            while os.write(end, b"x" * 4_096):
                pass
        os.set_blocking(end, True)
    try:
        yield end
    finally:
        os.close(end)
        os.close(reader)


def failing_at_first() -> Faults:
    """Fail the first requests, so that the breaker opens and says so, and closes again, and says that."""
    numbers = itertools.count()
    return lambda _, __: "503" if next(numbers) < 30 else None


@pytest.mark.parametrize("kind", ["full", "dead", "unread"])
@sizes(150, 20_000)
def test_23_nobody_hears_the_remarks(scene: Scene, tell: Tell, kind: str, size: int) -> None:
    """Breakers open and close while stderr leads nowhere: every result is recorded, and nothing is sent again."""
    scene.patience(30)
    scene.stub.faults = failing_at_first()
    scene.seed(size, max_retries=20)
    with nowhere(kind) as end:
        process = scene.cli.start("dispatch", "--poll", "50ms", stderr=end, stdout=subprocess.DEVNULL)
        try:
            scene.wait_until_all_ended(120 + size / 50)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    verdict = scene.verdict()
    tell("23 nobody hears the remarks", verdict.counts())
    assert verdict.wrong == {}
    assert not verdict.repeated
    assert verdict.sent == size


@sizes(40, 20_000)
def test_23_a_row_that_is_refused_costs_no_other(scene: Scene, tell: Tell, size: int) -> None:
    """All others are recorded; --once says by its exit code that one is not, and it was sent once."""
    scene.patience(30)
    ids = scene.seed(size)
    refuse(scene.db, ids[size // 2])
    done = scene.cli.run("dispatch", "--once", timeout=120 + size / 50)
    assert done.exit_code == 6, done.stderr
    assert "this row is not for you" in done.stderr
    assert "1 results could not be recorded" in done.stderr
    assert scene.count(notifications.c.status == "sent") == size - 1
    sent = scene.stub.deliveries()
    tell("23 a row that is refused", {"sent": len(sent), "repeated": sum(each > 1 for each in sent.values())})
    assert sent == dict.fromkeys(ids, 1)


def test_23_a_refused_result_is_kept_until_it_is_taken(scene: Scene) -> None:
    """Longer than its lease would have run: nobody makes the attempt again meanwhile, and it is recorded in the end."""
    scene.patience(4)
    ids = scene.seed(5)
    refuse(scene.db, ids[0])
    first, second = scene.dispatch(), scene.dispatch()
    scene.wait(lambda: scene.count(notifications.c.status == "sent") == 4, 60)
    scene.db.write(
        lambda tx: tx.execute(
            update(notifications).where(notifications.c.id == ids[0]).values(leased_until=tx.now + 3_000)
        )
    )
    scene.wait(lambda: scene.count(notifications.c.leased_until > scene.db.moment() + 20_000) == 1, 60)
    allow(scene.db)
    scene.wait_until_all_ended(60)
    first.stop(), second.stop()
    assert scene.stub.deliveries() == dict.fromkeys(ids, 1)
    assert scene.verdict().wrong == {}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_23_a_terminal_that_closes_drains(scene: Scene, processes: str) -> None:
    """SIGHUP goes to all of a terminal's processes: what is in flight is recorded, and no lease is left."""
    scene.patience(30)
    scene.stub.latency = 0.5
    scene.seed(2_000)
    process = scene.cli.start("dispatch", "-o", "json", "--processes", processes, start_new_session=True)
    try:
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) >= 16, 60)
        os.killpg(process.pid, signal.SIGHUP)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert scene.count(notifications.c.lease_id.is_not(None)) == 0
    sent = scene.count(notifications.c.status == "sent")
    assert sent == json.loads(out)["accepted"] == len(scene.stub.deliveries()) < 2_000


def test_23_nohup_is_heeded(sqlite_scene: Scene) -> None:
    """Whoever was started to outlive its terminal does."""
    scene = sqlite_scene
    process = scene.cli.start(
        "dispatch", "--poll", "50ms", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    try:
        scene.seed(1)
        scene.wait_until_all_ended(60)
        process.send_signal(signal.SIGHUP)
        scene.seed(1)
        scene.wait_until_all_ended(60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


POISON: dict[str, Callable[[], str]] = {
    "brackets": lambda: "[" * 100_000,
    "nested": lambda: '{"v":1,"text":' + "[" * 5_000 + "]" * 5_000 + "}",
    "a number": lambda: "1e999999",
    "half a pair in an entry": lambda: '[{"attempt":1,"outcome":"unknown","message":"\\ud800"}]',
    "entries of all kinds": lambda: (
        '[1,null,"x",[],{"outcome":[],"attempt":{},"began_at":"x","at":1e300,"ended_at":{},"message":[1]},'
        '{"ended_at":99999999999999999999,"began_at":-99999999999999999,"times":"x"}]'
    ),
    "half a pair": lambda: '{"v":1,"subject":"\\ud800","text":"x"}',
}


@pytest.mark.parametrize("column", ["retry_history", "payload"])
@pytest.mark.parametrize("kind", list(POISON))
def test_23_poison_in_stored_json_is_one_rows_trouble(scene: Scene, column: str, kind: str) -> None:
    """Whatever a row's JSON is, the others are sent, and every look at the row answers."""
    scene.patience(30)
    (bad,) = scene.seed(1, **{column: POISON[kind]()})
    ids = scene.seed(9)
    done = scene.cli.run("dispatch", "--once")
    assert done.exit_code == 0, done.stderr
    assert scene.count(notifications.c.id.in_(ids), notifications.c.status == "sent") == 9
    scene.db.write(
        lambda tx: tx.execute(update(notifications).where(notifications.c.id == bad).values(receipt=POISON[kind]()))
    )
    for look in (("notifications", "show", bad), ("notifications", "list"), ("dlq", "list"), ("status",)):
        for form in ("json", "table"):
            shown = scene.cli.call(*look, "-o", form)
            assert shown.exit_code == (1 if look == ("status",) and shown.exit_code else 0), (look, shown.stderr)
            assert "Recursion" not in shown.stderr


def test_a_signal_counts_where_the_kernel_leaves_it_to_the_process(tmp_path: Path, sqlite_scene: Scene) -> None:
    """As the first process of a container: SIGTERM while the program is loaded, and while `send --wait` waits."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host lets nobody have processes numbered anew")
    command = sqlite_scene.cli.command("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--wait")
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *command],
        env=sqlite_scene.cli.env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        sqlite_scene.wait(lambda: sqlite_scene.count() == 1, 60)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def test_23_details_that_are_refused_cost_the_details(scene: Scene) -> None:
    """The attempt counts, and what the history says of those before it stays: whether one may have gone out."""
    scene.patience(30)
    scene.stub.faults = lambda _, __: "503"
    before = '[{"attempt":1,"provider":"sendgrid","outcome":"unknown","message":"\u00f6"}]'
    ids = scene.seed(3, retry_history=before)
    n = notifications.c
    refuse(scene.db, ids[1], "NEW.error_message <> 'not recordable'")
    done = scene.cli.run("dispatch", "--once")
    assert done.exit_code == 0, done.stderr
    assert "recorded without its details" in done.stderr
    assert scene.count(n.lease_id.is_(None), n.retry_history.like("%unknown%transient%")) == 3
    assert len(scene.stub.requests()) == 3
