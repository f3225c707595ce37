"""Large mails are bounded in bytes: what a dispatcher holds does not follow from how many are due."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import func, select

from notifyctl.core import attached
from notifyctl.store import attachments as files
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.reliability import worker
from tests.reliability.sizes import Tell, sizes
from tests.support import nursery, seed
from tests.support.command import Cli
from tests.support.scripted import Answer, Asked, Scripted, reply
from tests.support.threefold import add_providers

MB = 1_000_000
FILE_BYTES = 20 * MB
IN_FLIGHT_MB = 64
MEMORY_MB = 64
FILES = 3
n = notifications.c


class Office:
    """A provider that takes whatever comes, and keeps nothing of it."""

    def __init__(self, server: Scripted) -> None:
        self.bytes = 0
        self._server = server
        server.script = self._answer

    def _answer(self, asked: Asked) -> Answer:
        self.bytes += len(asked.body)
        self._server.asked.clear()
        return reply(202)


@pytest.fixture
def office(cli: Cli) -> Iterator[Office]:
    """The provider of all mails."""
    with ExitStack() as stack:
        server = stack.enter_context(Scripted(lambda _: reply(500)))
        add_providers(cli, server.url, "sendgrid")
        yield Office(server)


@sizes(6, 500)
def test_26_bounded_in_bytes(
    cli: Cli, database: Database, office: Office, tell: Tell, size: int, tmp_path: Path
) -> None:
    """Mails of 20 MB, far more than would fit: memory grows by a bound and what is in flight, and all are sent."""
    anna = seed.user(database)
    seed.pending(database, anna, count=50)
    command = ["dispatch", "--poll", "50ms", "--lease", "65s"]
    process = nursery.start(worker.work, {}, command, env=cli.env, folder=tmp_path, name="dispatcher")
    try:
        _wait_for(database, 50)
        before = _most_megabytes(process)
        _seed(database, anna, size)
        _wait_for(database, 50 + size)
        growth = _most_megabytes(process) - before
    finally:
        process.terminate()
        process.join(60)
    tell("26 bounded in bytes", {"mails": size, "MB sent": office.bytes // MB, "memory MB": round(growth)})
    assert process.exitcode == 0
    assert office.bytes > size * FILE_BYTES * 4 / 3
    assert growth <= MEMORY_MB + IN_FLIGHT_MB


def _seed(db: Database, user_id: str, count: int) -> None:
    contents = [base64.b64encode(os.urandom(FILE_BYTES)).decode() for _ in range(FILES)]
    for content in contents:
        digest = attached.digest_of(content)
        db.write(lambda tx, digest=digest, content=content: files.keep(tx, {digest: content}))  # type: ignore[misc]
    mails = [attached.apart({**seed.CONTENT["email"], "attachments": [_file(content)]})[0] for content in contents]
    for number in range(count):
        mail = mails[number % FILES]
        (id_,) = seed.pending(db, user_id, payload=json.dumps(mail), attached_bytes=attached.size(mail), due_at=10**15)
        db.write(lambda tx, id_=id_, mail=mail: files.link(tx, [(id_, attached.digests(mail)[0])]))  # type: ignore[misc]
    db.write(lambda tx: tx.execute(notifications.update().where(n.due_at == 10**15).values(due_at=2_000)))


def _file(content: str) -> dict[str, str]:
    return {"filename": "film.mp4", "content": content}


def _wait_for(db: Database, sent: int) -> None:
    end = time.monotonic() + 60 + 3 * sent
    while True:
        with db.read() as tx:
            found = tx.execute(select(func.count()).where(n.status == "sent")).scalar_one()
        if found == sent:
            return
        assert time.monotonic() < end, f"{found} of {sent} were sent"
        time.sleep(0.1)


def _most_megabytes(process: BaseProcess) -> float:
    """Return the most memory that the process had at any time."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1_024 / MB
