"""A provider that hangs on every call, and what it costs the others: `python -m tests.benchmarks hanging`.

As a script, `python -m tests.benchmarks.hanging URL STUB HANGING SECONDS`, it is the dispatcher that is measured: it
prints how many a second went through the provider that answers.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid

import psycopg
import uvloop

from notifyctl.dispatch.loop import Dispatcher
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.services.credentials import Given, applied
from notifyctl.store import providers
from notifyctl.store.engine import Database
from notifyctl.store.providers import ProviderConfig
from tests.benchmarks import ground, runs, stub
from tests.benchmarks.report import Table, rate, ratio
from tests.benchmarks.runs import Place

HANGS_MS = 20_000
SECONDS = 6
PENDING, HANGING = 50_000, 2_000
WARM_S = 1.0


def measure(place: Place) -> list[Table]:
    """Run without and with the one that hangs, in turn."""
    alone, beside = "e-mail alone", f"beside SMS that hang for {HANGS_MS // 1_000} s"
    rates: dict[str, list[float]] = {alone: [], beside: []}
    with stub.instant() as answers, stub.slow(HANGS_MS) as hangs:
        for _ in range(place.rounds):
            for name in rates:
                rates[name].append(_run(place, answers, hangs, hanging=name == beside))
    by = ratio(rates[beside], rates[alone])
    rows = [(name, rate(found), f"{by:.2f} ×" if name == beside else "") for name, found in rates.items()]
    facts = {"per_second": rates, "ratio": by}
    return [
        Table("A provider that hangs (the others keep 0.9 of their rate)", ("", "per second", "ratio"), rows, facts)
    ]


def _run(place: Place, answers: str, hangs: str, *, hanging: bool) -> float:
    with ground.ours(place.server) as database:
        ground.fill(database, PENDING)
        if hanging:
            _add_sms(database)
        command = [sys.executable, "-m", "tests.benchmarks.hanging", database, answers, hangs, str(SECONDS)]
        done = subprocess.run(
            command, cwd=runs.ROOT, env=runs.environment(database), stdout=subprocess.PIPE, text=True, check=True
        )
    return float(json.loads(done.stdout))


def _add_sms(url: str) -> None:
    """Add the provider that hangs, and make some of what is due its own."""
    db = Database(url)
    empty = ProviderConfig(str(uuid.uuid4()), "twilio", "", None, {}, None, True, None, 30, 0, 1, 1)
    given = Given(api_key="AC" + "5a" * 16, api_secret="secret", settings={"from": "+15005550006"})
    db.write(lambda conn: providers.create(conn, db.dialect, applied(empty, given, ground.keyring())))
    db.close()
    content = json.dumps({"v": 1, "to": "+14155552345", "body": "Your parcel comes"})
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "UPDATE notifications SET provider = 'twilio', message_type = 'sms', payload = %s"
            " WHERE id IN (SELECT id FROM notifications LIMIT %s)",
            (content, HANGING),
        )


async def _dispatch(db: Database, urls: dict[str, str], seconds: float) -> float:
    dispatcher = Dispatcher(db, ground.keyring(), DispatchOptions(provider_urls=urls, drain_s=0.1))
    running = asyncio.create_task(dispatcher.run())
    await asyncio.sleep(WARM_S)
    before = dispatcher.tally.of("sendgrid").accepted
    await asyncio.sleep(seconds)
    sent = dispatcher.tally.of("sendgrid").accepted - before
    dispatcher.stop()
    await running
    return sent / seconds


if __name__ == "__main__":
    url, answers, hangs, seconds = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(_dispatch(Database(url), {"sendgrid": answers, "twilio": hangs}, float(seconds))))
