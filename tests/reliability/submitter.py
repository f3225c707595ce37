"""Submits notifications one after the other and keeps the ledger: a process to be killed.

The keys are PREFIX-0 to PREFIX-(COUNT-1). Started again with the same ledger it goes on: what
was tried and not acknowledged is repeated with its key, as everybody must who does not know.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from notifyctl.core.errors import CommitUnknown, Conflict, DatabaseUnavailable
from notifyctl.core.model import Channel
from notifyctl.core.submission import Draft, New
from notifyctl.services import planning
from notifyctl.services.sending import submit
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notifications

LOOKING_TIME_S = 0.05


def work(url: str, ledger: str, prefix: str, count: int, options: dict[str, Any]) -> int:
    """Submit until all are acknowledged.

    Options: `body`; `lax`: insert as if there were no unique key; `until`: end when there is a file of that name.
    """
    body = options.get("body", "Hello there")
    if options.get("lax"):
        planning.queue.submit = _insert_anyway  # type: ignore[attr-defined]
    words = [line.split() for line in Path(ledger).read_text().splitlines()] if Path(ledger).exists() else []
    done = {word[1] for word in words if word[0] in ("ok", "refused")}
    db = Database(url)
    out = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for key in (f"{prefix}-{number}" for number in range(count)):
        if "until" in options and Path(options["until"]).exists():
            break
        if key not in done:
            os.write(out, f"try {key}\n".encode())
            os.write(out, f"{_submit(db, key, body)}\n".encode())
    db.close()
    os.close(out)
    return 0


def _insert_anyway(tx: Tx, rows: Sequence[New], _files: object) -> set[str]:
    # Time for the others to look before this is written: they pass quickly over what is stored already, and so catch up
    # with whoever is ahead.
    time.sleep(LOOKING_TIME_S)
    tx.execute(insert(notifications), [row._asdict() for row in rows])
    return {row.id for row in rows}


def _submit(db: Database, key: str, body: str) -> str:
    """Return the line for the ledger; repeat with the same key for as long as nobody knows."""
    draft = Draft("anna", Channel.EMAIL, {"v": 1, "subject": "Hello", "text": body}, key)
    while True:
        try:
            return f"ok {key} {submit(db, draft, {}).notification.id}"
        except (CommitUnknown, DatabaseUnavailable):
            time.sleep(0.1)
        except Conflict:
            return f"refused {key}"
