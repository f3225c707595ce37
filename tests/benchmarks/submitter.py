"""Submits in one process: `submitter.py URL`. The one place where the benchmarks call notifyctl's code.

For each line on stdin it submits a notification and prints its id, when the submission had returned (seconds since the
epoch), how long it took and how much of that was this process's CPU time (both microseconds). It runs with the Python
of the notifyctl that is measured, which may be the earlier commit's: what it needs is taken from the one module that
both have.
"""

from __future__ import annotations

import importlib
import sys
import time
import uuid

from notifyctl.core.model import Channel

CONTENT = {"v": 1, "subject": "Your parcel", "text": "Hello, your parcel left our house today."}


def main(url: str) -> None:
    """Submit until stdin ends."""
    sending = importlib.import_module("notifyctl.services.sending")
    # 6df74a0 is told who submits beside the database.
    by = (sending.Actor(),) if hasattr(sending, "Actor") else ()
    db = sending.Database(url)
    for _ in sys.stdin:
        draft = sending.Draft("person1", Channel.EMAIL, CONTENT, uuid.uuid4().hex)
        began, cpu = time.perf_counter(), time.process_time()
        id_ = sending.submit(db, *by, draft, {}).notification.id
        took, used = time.perf_counter() - began, time.process_time() - cpu
        print(id_, time.time(), took * 1e6, used * 1e6, flush=True)
    db.close()


if __name__ == "__main__":
    main(sys.argv[1])
