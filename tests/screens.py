"""What the README shows: screens of the demo's data at a fixed moment, drawn by the commands themselves.

`make screens` writes them to `docs/screens/`; a test compares what they say with what would be drawn now.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from rich.console import Console
from rich.text import Text
from sqlalchemy import insert, select, update

from notifyctl.cli.app import main
from notifyctl.cli.live import View
from notifyctl.core.model import Channel
from notifyctl.core.sealing import Place, format_key, parse_keys
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.tally import Tally
from notifyctl.services import contacts, demo, users
from notifyctl.store.db.database import Database
from notifyctl.store.schema import revisions, tables
from tests.support import seed

FOLDER = Path(__file__).parents[1] / "docs" / "screens"
NOW = 1_793_000_000_000
COLUMNS = 80
KEY = format_key("k1", bytes(64))
COMMANDS = {"status": ("status",), "dlq-list": ("dlq", "list"), "metrics-show": ("metrics", "show")}
_HOUR = 3_600_000
_PROVIDERS = {"sendgrid": Channel.EMAIL, "twilio": Channel.SMS, "fcm": Channel.PUSH}
_ENDS = ("Retry", "retries_exhausted", "503 service unavailable"), ("Bad", "invalid_recipient", "21211 no such number")


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def drawn() -> dict[str, str]:
    """Return each screen as SVG."""
    with tempfile.TemporaryDirectory() as folder, _fixed(Path(folder)):
        _fill("sqlite:///notifyctl.db")
        shots = {name: _shot(args) for name, args in COMMANDS.items()}
    return {name: _svg(name, text) for name, text in {**shots, "dispatch": _live()}.items()}


def said(svg: str) -> list[str]:
    """Return the texts of a screen, in order, without what the library draws around them."""
    return [re.sub(r"\s+|&#160;", " ", text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


@contextmanager
def _fixed(folder: Path) -> Iterator[None]:
    """Hold the clock, the chance and the environment."""
    chance = Random(7)
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(
        PATH=kept.get("PATH", ""), HOME=str(folder), TZ="UTC", TERM="xterm-256color", COLORTERM="truecolor",
        COLUMNS=str(COLUMNS), NOTIFYCTL_DATABASE_URL="sqlite:///notifyctl.db", NOTIFYCTL_ENCRYPTION_KEYS=KEY,
    )  # fmt: skip
    before = Path.cwd()
    os.chdir(folder)
    (folder / "c.toml").write_text("[profiles.demo]\n")
    os.environ.update(NOTIFYCTL_CONFIG=str(folder / "c.toml"), NOTIFYCTL_PROFILE="demo")
    time.tzset()
    try:
        with (
            patch.object(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)),
            patch.dict(Database.__init__.__kwdefaults__, clock=lambda: NOW),
        ):
            yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(kept)
        time.tzset()


def _fill(url: str) -> None:
    """Write the demo's people, and three hundred notifications of the last day as its dispatch leaves them."""
    db = Database(url)
    revisions.up(db)
    for name in _PROVIDERS:
        id_ = str(uuid.uuid4())
        sealed = parse_keys(KEY, "").seal("not a real key", Place("provider_configs", id_, "api_key"))
        seed.provider(db, name, id=id_, api_key=sealed, config_json=json.dumps({"from": "alerts@example.com"}))
    demo.populate(db)
    users.create(db, "anna", "anna@example.org")
    contacts.add(db, "anna", Channel.SMS, "+14155552345")
    chance = Random(11)
    with db.read() as tx:
        people = list(tx.execute(select(tables.users.c.id).order_by(tables.users.c.username)).scalars())
    rows = [_row(number, people[number % len(people)], chance) for number in range(demo.NOTIFICATIONS)]
    letters = [_letter(row, number) for number, row in enumerate(row for row in rows if row["status"] == "failed")]
    db.write(
        lambda tx: (
            tx.execute(insert(tables.notifications), rows),
            tx.execute(insert(tables.notification_dlq), letters),
        )
    )
    paused = {"paused_at": NOW - 240_000, "pause_reason": "401 key revoked", "pause_cause": "credentials"}
    states = tables.provider_states
    held = select(tables.provider_configs.c.id).where(tables.provider_configs.c.provider_name == "sendgrid")
    db.write(lambda tx: tx.execute(update(states).where(states.c.provider_id.in_(held)).values(paused)))
    db.close()


def _row(number: int, whom: str, chance: Random) -> dict[str, Any]:
    provider = tuple(_PROVIDERS)[number % 3]
    at = NOW - int(chance.triangular(0, 24, 4) * _HOUR)
    if number % 30 == 0:  # waits for its provider, which is paused
        at = NOW - 60_000 - number
    status = "pending" if number % 12 == 11 or number % 30 == 0 else "failed" if number % 17 == 3 else "sent"
    row: dict[str, Any] = dict.fromkeys(("sent_at", "failed_at", "error_message", "last_attempted", "send_at"))
    row |= {
        "id": str(uuid.uuid4()), "user_id": whom, "idempotency_key": uuid.uuid4().hex, "provider": provider,
        "message_type": _PROVIDERS[provider],
        "payload": json.dumps(seed.CONTENT[_PROVIDERS[provider]]), "content_hash": "0" * 64,
        "created_at": at, "due_at": at, "status": status, "attempt_count": 1,
    }  # fmt: skip
    if status == "pending" and number % 30 == 0:
        return row | {"attempt_count": 0}
    if status == "pending":
        later = NOW + demo.LATER_MS + number * 1_000
        return row | {"attempt_count": 0, "created_at": NOW - 60_000, "due_at": later, "send_at": later}
    done = at + chance.randrange(80, 1_400)
    if status == "sent":
        return row | {"sent_at": done, "last_attempted": at}
    return row | {"failed_at": done, "last_attempted": at, "error_message": _ENDS[number % 2][2]}


def _letter(row: dict[str, Any], number: int) -> dict[str, Any]:
    _, reason, message = _ENDS[_ends(row)]
    entry = {
        "attempt": 1,
        "outcome": "failed",
        "code": message.split()[0],
        "message": message,
        "ended_at": row["failed_at"],
    }
    return {
        "id": str(uuid.uuid4()), "notification_id": row["id"], "failure_reason": reason, "error_message": message,
        "moved_to_dlq_at": row["failed_at"] + number, "retry_history": json.dumps([entry]),
    }  # fmt: skip


def _ends(row: dict[str, Any]) -> int:
    return next(index for index, (_, _, message) in enumerate(_ENDS) if message == row["error_message"])


def _shot(args: tuple[str, ...]) -> str:
    """Return what a command writes to a terminal, with its colours."""
    raw = io.BytesIO()
    with _Terminal(raw, encoding="utf-8", write_through=True) as screen:
        with redirect_stdout(screen), redirect_stderr(screen):
            code = main(list(args))
        text = raw.getvalue().decode()
    assert code == 0, text
    return f"$ notifyctl {' '.join(args)}\n{text}"


def _live() -> str:
    """Return the live view of a dispatcher in the midst of the demo."""
    tally = Tally()
    for name, accepted, retried, dead, flying, held in (
        ("sendgrid", 61, 0, 0, 0, "paused: 401"), ("twilio", 88, 9, 4, 12, None), ("fcm", 97, 3, 2, 20, None),
    ):  # fmt: skip
        each = tally.of(name)
        each.accepted, each.retried, each.dead, each.in_flight, each.held = accepted, retried, dead, flying, held
        each.latencies.extend((40.0 + 7 * number) for number in range(30))
    out = io.StringIO()
    moments = iter([100.0] + [100.0 + 0.5 * step for step in range(1, 40) for _ in range(2)])
    with patch("time.monotonic", lambda: next(moments)):
        view = View(SimpleNamespace(tally=tally, options=DispatchOptions()), "demo")  # type: ignore[arg-type]
        picture = view.draw()
    Console(file=out, force_terminal=True, width=COLUMNS, color_system="standard").print(picture)
    return f"$ notifyctl dispatch\n{out.getvalue()}"


def _svg(name: str, text: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text.rstrip("\n")), highlight=False)
    return console.export_svg(title="notifyctl", unique_id=f"screen-{name}")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for screen, picture in drawn().items():
        (FOLDER / f"{screen}.svg").write_text(picture, encoding="utf-8")
