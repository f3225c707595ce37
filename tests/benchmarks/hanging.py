"""A provider that hangs on every call, and what it costs the others."""

from __future__ import annotations

import json
import signal
import time

import psycopg

from tests.benchmarks import ground, stub
from tests.benchmarks.program import provider_url
from tests.benchmarks.report import Figure, Goal, Table, ratio, ratios, spread
from tests.benchmarks.runs import Place
from tests.benchmarks.stub import Stub

HANGS_MS = 20_000
SECONDS = 6
PENDING, HANGING = 100_000, 2_000
WARM_S = 1.0
GOAL = 0.9


def measure(place: Place) -> list[Table]:
    """Run without and with the one that hangs, in turn."""
    alone, beside = "e-mail alone", f"beside SMS that hang for {HANGS_MS // 1_000} s"
    rates: dict[str, list[float]] = {alone: [], beside: []}
    with stub.instant() as answers, stub.slow(HANGS_MS) as hangs:
        for _ in range(place.rounds):
            for name, found in rates.items():
                found.append(_run(place, answers, hangs, hanging=name == beside))
    by = ratio(rates[beside], rates[alone])
    rows = [(name, spread(found), f"{by:.2f} ×" if name == beside else "") for name, found in rates.items()]
    figures = [Figure(f"{name}: rate", "notifications/s", found) for name, found in rates.items()]
    goal = Goal("rate beside it, to alone", GOAL, ratios(rates[beside], rates[alone]))
    facts = {"per_second": rates, "ratio": by}
    columns = ("", "per second", "ratio")
    return [Table("A provider that hangs", columns, rows, facts, figures=figures, goals=(goal,))]


def _run(place: Place, answers: Stub, hangs: Stub, *, hanging: bool) -> float:
    """Return how many mails a second were sent in the middle of a dispatcher's work."""
    with place.database(place.ours) as url:
        ground.fill(url, PENDING)
        if hanging:
            _add_sms(place, url)
        since = time.time()
        urls = provider_url("sendgrid", answers.url) | provider_url("twilio", hangs.url)
        dispatcher = place.ours.dispatch(url, "--drain", "1s", urls=urls)
        try:
            _await_first(url, since)
            time.sleep(WARM_S + SECONDS)
        finally:
            dispatcher.send_signal(signal.SIGTERM)
            dispatcher.wait(60)
        moments = ground.moments(url, since)
    first = moments[0] + WARM_S * 1_000
    return sum(1 for each in moments if first <= each < first + SECONDS * 1_000) / SECONDS


def _await_first(url: str, since: float) -> None:
    until = time.monotonic() + 30
    while not ground.moments(url, since):
        if time.monotonic() > until:
            raise RuntimeError("the dispatcher sends nothing")
        time.sleep(0.1)


def _add_sms(place: Place, url: str) -> None:
    """Add the provider that hangs, and make some of what is due its own."""
    account = place.folder / "account"
    account.write_text("AC" + "5a" * 16)
    settings = ("--api-key", f"@{account}", "--api-secret", "-", "--set", "from=+15005550006")
    place.ours.run(url, "providers", "add", "twilio", *settings, stdin="secret")
    content = json.dumps({"v": 1, "to": "+14155552345", "body": "Your parcel comes"})
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "UPDATE notifications SET provider = 'twilio', message_type = 'sms', payload = %s"
            " WHERE id IN (SELECT id FROM notifications LIMIT %s)",
            (content, HANGING),
        )
