"""Files of very many rows: killed anywhere and repeated, beside a dispatcher, and behind a pooler."""

from __future__ import annotations

import json
import random
import subprocess
import time
import uuid
from hashlib import sha256
from pathlib import Path

from sqlalchemy import insert, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications, users
from tests.benchmarks.processes import memory_mb
from tests.reliability.bouncer import POOL, Bouncer
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import Stub
from tests.reliability.test_pgbouncer import left_behind
from tests.support import campaign
from tests.support.command import Cli
from tests.support.databases import PostgreSQLMaker

n = notifications.c
MOST_MB = 150.0


def people(database: Database, count: int) -> None:
    """Make person0, person1 and so on."""
    made = [
        {"id": str(uuid.uuid4()), "username": f"person{each}", "email": f"p{each}@example.org"} for each in range(count)
    ]
    for begin in range(0, count, 5_000):
        database.write(lambda tx, some=made[begin : begin + 5_000]: tx.execute(insert(users), some))  # type: ignore[misc]


def texts(database: Database) -> tuple[int, str]:
    """How many mails there are, and the digest of all their texts, in order."""
    digest, count = sha256(), 0
    with database.read() as tx:
        payloads = tx.execute(select(n.payload).execution_options(yield_per=10_000)).scalars()
        found = sorted(json.loads(payload)["text"] for payload in payloads)
    for text in found:
        digest.update(f"{text}\n".encode())
        count += 1
    return count, digest.hexdigest()


def expected(count: int, of: int) -> tuple[int, str]:
    """What `texts` returns when each good row is there once."""
    digest, good = sha256(), 0
    for text in sorted(row["body"] for number, row in enumerate(campaign.rows(count, of)) if number % 100 != 99):
        digest.update(f"{text}\n".encode())
        good += 1
    return good, digest.hexdigest()


@sizes((44_000, 3, 50), (1_000_000, 10, 5_000))
def test_an_import_that_is_killed_and_repeated(
    postgresql_scene: Scene, tmp_path: Path, tell: Tell, size: tuple[int, int, int]
) -> None:
    """Killed at random moments and repeated, it comes to what a run without a kill comes to; again it adds nothing."""
    _killed_and_repeated(postgresql_scene, tmp_path, tell, size)


@sizes((6_000, 3, 50), (100_000, 10, 5_000))
def test_an_import_into_a_file_that_is_killed_and_repeated(
    sqlite_scene: Scene, tmp_path: Path, tell: Tell, size: tuple[int, int, int]
) -> None:
    """The same on SQLite."""
    _killed_and_repeated(sqlite_scene, tmp_path, tell, size)


def _killed_and_repeated(scene: Scene, folder: Path, tell: Tell, size: tuple[int, int, int]) -> None:
    count, kills, of = size
    chance = random.Random(11)
    people(scene.db, of)
    file, rejects = folder / "campaign.csv", folder / "rejects.csv"
    campaign.write(file, count, of)
    command = ("send", "-f", str(file), "--batch", "spring", "--rejects", str(rejects), "-o", "json")
    hit = list[int]()
    for number in range(kills):
        running = scene.cli.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = scene.count()
        # Most of them when something more is stored, so that each run has a beginning, a middle and no end.
        while number and running.poll() is None and scene.count() == before:
            time.sleep(0.01 if count < 100_000 else 0.5)
        time.sleep(chance.uniform(0, 0.5 * count / 44_000))
        running.kill()
        running.wait()
        hit.append(scene.count())
    code, most_mb = _measured(scene.cli, *command)
    assert code == 6
    assert most_mb <= MOST_MB
    assert texts(scene.db) == expected(count, of)
    assert campaign.wrong(rejects, count) == []
    again = scene.cli.run(*command, timeout=600)
    good = count - count // campaign.EVERY
    assert (again.json()["accepted"], again.json()["deduplicated"]) == (0, good)
    assert scene.count() == good
    assert scene.count(n.batch_id == again.json()["batch"]) == good
    found = {"rows": count, "stored at each kill": hit, "rejected": again.json()["rejected"], "MB": f"{most_mb:.0f}"}
    tell("an import, killed", found)


def _measured(cli: Cli, *command: str) -> tuple[int, float]:
    """Run a command; return its exit code and the most memory that it had, in MB."""
    running = cli.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0.0
    while running.poll() is None:
        most = max(most, memory_mb(running.pid))
        time.sleep(0.02)
    return running.returncode, most


@sizes(8_000, 100_000)
def test_an_import_into_a_file_beside_a_dispatcher(sqlite_scene: Scene, tmp_path: Path, tell: Tell, size: int) -> None:
    """Both work on the one SQLite file and finish: nobody waits for ever, and nobody hears of a lock."""
    scene = sqlite_scene
    scene.patience(30)
    people(scene.db, 50)
    file = tmp_path / "campaign.ndjson"
    lines = (json.dumps({"user": f"person{each % 50}", "body": f"Hello {each}"}) + "\n" for each in range(size))
    file.write_text("".join(lines))
    scene.seed(200)
    dispatcher = scene.dispatch("--concurrency", "16")
    scene.wait(lambda: dispatcher.id is not None, 60)
    started = time.monotonic()
    running = scene.cli.start("send", "-f", str(file), "--channel", "email", "--subject", "Hi", "-o", "json")
    sent_meanwhile = 0
    while running.poll() is None:
        sent_meanwhile = scene.count(n.status == "sent")
        time.sleep(0.2)
    out, said = running.communicate()
    took = time.monotonic() - started
    assert running.returncode == 0, said
    assert json.loads(out)["accepted"] == size
    scene.wait_until_all_ended(120 + size / 200)
    dispatcher.stop()
    assert dispatcher.said == "exit code 0: "
    assert "lock" not in said
    assert sent_meanwhile > 0
    assert scene.count(n.status == "sent") == size + 200
    tell("SQLite import beside dispatch", {"rows": size, "seconds": f"{took:.1f}", "sent meanwhile": sent_meanwhile})


def test_imports_behind_pgbouncer(postgresql_maker: PostgreSQLMaker, tmp_path: Path, stub: Stub, tell: Tell) -> None:
    """In transaction mode two files come in at once: each row once, and nothing is left on a server connection."""
    count = 5_000
    with (
        postgresql_maker.migrated() as url,
        Bouncer(url) as bouncer,
        Scene(bouncer.url, tmp_path, stub) as scene,
    ):
        people(scene.db, 50)
        files = [tmp_path / "a.csv", tmp_path / "b.csv"]
        campaign.write(files[0], count, 50)
        header, *lines = files[0].read_text().splitlines(keepends=True)
        files[1].write_text(header + "".join(reversed(lines)))  # the same rows, from the other end
        running = [scene.cli.start("send", "-f", str(each), "--batch", "spring", "-o", "json") for each in files]
        ended = [(each.communicate(timeout=120), each.returncode) for each in running]
        if 5 in {code for _, code in ended}:  # both made the batch at the same moment
            ended.append(((scene.cli.run("send", "-f", str(files[1]), "--batch", "spring").stdout, ""), 6))
        assert {code for _, code in ended} <= {5, 6}, ended
        assert texts(scene.db) == expected(count, 50)
        assert left_behind(bouncer) == [[]] * POOL
        assert "pooler error" not in bouncer.log
    tell("imports behind PgBouncer", {"rows": count, "files": 2})
