"""Every command that there is, in every format and with every kind of stream: it walks the tree, whoever adds to it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert, update

from notifyctl.cli.noun import FORMATS
from notifyctl.cli.streams import WholeWriter
from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema import tables
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.databases import SQLiteMaker
from tests.support.tree import LEAVES, NOT_HERE, SHOWING, line

# Control characters, and those that turn text around: none of them reaches a reader as it is.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]")
HOSTILE = '=[/b]\x1b[31m\x9b5m\u202e\u2028\t\r\nline,"two" | <b>`x`'
WIDE = "très long 寬 " * 40
DATA = ("empty", "one", "many", "wide", "hostile")
TEXTS = {"wide": WIDE, "hostile": HOSTILE}
KNOWN = ("users", "keys", "providers", "notifications", "dlq", "metrics", "config", "webhooks")
LISTS = {"json", "yaml", "ndjson", "csv", "id"}


class World:
    """Databases with each kind of content, made once, copied for whoever changes them."""

    def __init__(self, maker: SQLiteMaker, folder: Path) -> None:
        self.folder = folder
        self.ids: dict[str, dict[str, str]] = {}
        for name in DATA:
            (folder / name).mkdir()
            self.ids[name] = _filled(maker.migrated(folder / name), name)

    def copy(self, name: str, into: Path) -> str:
        """Copy a database into a folder and return its URL."""
        source = next((self.folder / name).glob("*.db"))
        return f"sqlite:///{shutil.copy(source, into / 'copy.db')}"


def _filled(url: str, name: str) -> dict[str, str]:
    count = {"empty": 0, "many": 60}.get(name, 1)
    if not count:
        return {}
    db, text = Database(url), TEXTS.get(name, "words")
    whom = seed.user(db)
    for number in range(1, count):
        seed.user(db, f"user{number}")
    provider = seed.provider(db, config_json=json.dumps({"from": "a@example.org"}))
    for other in ("twilio", "fcm"):
        seed.provider(db, other)
    payload = json.dumps({"v": 1, "subject": text, "text": text, "from": "a@example.org"})
    made = seed.pending(db, whom, count=count, payload=payload, due_at=2**41)
    failed = seed.pending(
        db, whom, count=count, payload=payload, status="failed", failed_at=2_000, error_message=text, attempt_count=1
    )
    ids = {"notifications": made[0], "dlq": failed[0], "providers": provider}
    ids["keys"] = _more(db, whom, failed, text)
    ids["webhooks"] = _told(db, whom, failed, text)
    db.close()
    return ids


def _more(db: Database, whom: str, failed: list[str], text: str) -> str:
    """Write dead letters, a key, a contact point and a pause, each with this text; return the key's id."""
    key = f"{1:08d}-0000-4000-8000-000000000000"
    letters = [
        {"id": f"{n:08d}-0000-4000-8000-000000000001", "notification_id": id_, "failure_reason": "retries_exhausted",
         "error_message": text, "moved_to_dlq_at": 3_000, "retry_history": json.dumps([{"message": text, "at": 1}])}
        for n, id_ in enumerate(failed)
    ]  # fmt: skip
    held = {"paused_at": 1, "pause_reason": text[:200], "pause_cause": "person"}

    def write(tx: Any) -> None:
        tx.execute(insert(tables.notification_dlq), letters)
        tx.execute(update(tables.provider_states).values(held))
        tx.execute(
            insert(tables.api_keys),
            [
                {
                    "id": key,
                    "user_id": whom,
                    "name": text[:50],
                    "key_hash": "0" * 64,
                    "prefix": "nctl_x",
                    "last_four": "abcd",
                }
            ],
        )
        tx.execute(
            insert(tables.contact_points), [{"id": key, "user_id": whom, "channel": "push", "address": text[:150]}]
        )

    db.write(write)
    return key


def _told(db: Database, whom: str, failed: list[str], text: str) -> str:
    """Write a webhook and what it was told, each with this text; return a delivery's id."""
    off = {"is_active": False, "disabled_at": 2_000, "disabled_because": text}
    hook = seed.webhook(db, whom, name="orders", failing_since=1_000, **off)
    rows = [
        {"id": f"{n:08d}-0000-7000-8000-000000000001", "webhook_id": hook, "notification_id": id_, "payload": text,
         "event_type": "notification.failed", "attempt_count": 1, "ended": "given_up", "response_body": text,
         "attempts": json.dumps([{"at": 1_000, "ms": 5, "problem": text}, {"at": 2_000, "ms": 7, "status": 500}])}
        for n, id_ in enumerate(failed)
    ]  # fmt: skip
    db.write(lambda tx: tx.execute(insert(tables.webhook_deliveries), rows))
    return rows[0]["id"]


@pytest.fixture(scope="module")
def world(sqlite_maker: SQLiteMaker, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The databases."""
    return World(sqlite_maker, tmp_path_factory.mktemp("world"))


@pytest.fixture
def at_hand(bare_cli: Cli) -> Cli:
    """The command line with a key, and providers that nobody answers for."""
    bare_cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = format_key("k1", bytes(64))
    for name in ("SENDGRID", "TWILIO", "FCM"):
        bare_cli.env[f"NOTIFYCTL_{name}_URL"] = "http://127.0.0.1:1"
    return bare_cli


HERE = sorted(path for path in LEAVES if path not in NOT_HERE)


@pytest.mark.slow
@pytest.mark.parametrize("path", HERE)
def test_every_leaf_in_every_format(world: World, at_hand: Cli, tmp_path: Path, path: str) -> None:
    """Nothing, one, many, wide and hostile: each format is what it says, and no leaf calls its data a defect."""
    has = [form for form in FORMATS if form in LEAVES[path].formats]
    looks = path.split()[-1] in SHOWING
    for data in DATA:
        at_hand.env["NOTIFYCTL_DATABASE_URL"] = world.copy(data, tmp_path)
        # An act shows the same record whatever else there is.
        for form in has if looks or data == "hostile" else has[:3]:
            done = at_hand.call(*line(path, world.ids[data]), "-o", form)
            _require_fit(done, path, form, data)


def _require_fit(done: Result, path: str, form: str, data: str) -> None:
    what = f"{path} -o {form} ({data}): {done}"
    assert done.exit_code != 1 and "Traceback" not in done.stderr, what
    assert not STEERING.search(done.stderr), what
    assert form == "csv" or not STEERING.search(done.stdout.replace("\t", "") if form == "plain" else done.stdout), what
    if path.split()[-1] in SHOWING and data != "empty":
        # What `show` is asked for may not be among the texts here.
        assert done.exit_code in ((0,) if path.split()[0] in KNOWN or path.split()[-1] != "show" else (0, 3)), what
    if done.exit_code == 0 and form in LISTS:
        _parse(done.stdout, form, what)


def _parse(text: str, form: str, what: str) -> None:
    if form == "json":
        assert text == "" or isinstance(json.loads(text), list | dict), what
    elif form == "yaml":
        assert text == "" or isinstance(yaml.safe_load(text), list | dict), what
    elif form == "ndjson":
        assert all(isinstance(json.loads(each), dict) for each in text.splitlines()), what
    elif form == "csv":
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert len({len(row) for row in rows}) <= 1, what
        assert not [cell for row in rows[1:] for cell in row if re.match("[=@\t\r]", cell)], what
    else:
        assert "" not in text.splitlines(), what


@contextmanager
def _taking_nothing(kind: str) -> Iterator[io.TextIOWrapper]:
    """Yield a stdout that is full, or whose reader is gone."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, descriptor = os.pipe()
        os.close(reading)
    stream = io.TextIOWrapper(io.BufferedWriter(WholeWriter(descriptor)), "utf-8", "backslashreplace")
    try:
        yield stream
    finally:
        stream.close()
        os.close(descriptor)


@pytest.mark.slow
@pytest.mark.parametrize("path", HERE)
def test_every_leaf_with_every_stream(world: World, at_hand: Cli, tmp_path: Path, path: str) -> None:
    """What printed something before does not end with 0 where nobody gets it; a closed stdin is no defect."""
    words = line(path, world.ids["one"])

    def call(**streams: Any) -> Result:
        at_hand.env["NOTIFYCTL_DATABASE_URL"] = world.copy("one", tmp_path)
        return at_hand.call(*words, **streams)

    usual = call()
    closed = call(closed_stdin=True)
    assert closed.exit_code in (usual.exit_code, 2), closed
    assert "Traceback" not in closed.stderr and "defect" not in closed.stderr
    for kind, code in (("full", 1), ("gone", 141)):
        with _taking_nothing(kind) as stdout:
            done = call(stdout=stdout)
        assert "defect" not in done.stderr and "Traceback" not in done.stderr, done
        if usual.exit_code == 0 and usual.stdout:
            assert done.exit_code == code, f"{kind}: {done}"
            assert ("cut short" in done.stderr) is (kind == "full")
        else:
            assert done.exit_code != 0 or not usual.stdout
