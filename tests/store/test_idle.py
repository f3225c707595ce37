"""A run that ends asks whether anything is due before its claims are compiled, and takes what any other would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from notifyctl.core.health import Cause
from notifyctl.store import providers
from notifyctl.store.db.database import Database
from notifyctl.store.db.hot import Hot
from notifyctl.store.queue import due_deliveries, take
from notifyctl.store.queue.claim import Batch, ClaimRequest, claim
from notifyctl.store.queue.due_deliveries import DeliveryRequest
from tests.support import seed
from tests.support.command import Cli

NOW = 10_000
ME, LEASE, TEMPLATE = (digit * 8 + "-1111-4111-8111-111111111111" for digit in "123")

NOTIFICATIONS: dict[str, tuple[dict[str, Any], bool]] = {
    "none that waits": ({"status": "cancelled"}, True),
    "one that is due": ({}, False),
    "one that is due this moment": ({"due_at": NOW}, False),
    "one that is due later": ({"due_at": NOW + 1}, True),
    "a critical one that is due": ({"is_critical": True}, False),
    "one that another provider is for": ({"provider": "smtp"}, True),
    "one that is held back": ({"parked_at": 1}, True),
    "one that is in flight": ({"lease_id": LEASE, "leased_until": NOW + 9}, False),
    "one that expired": ({"expires_at": 5}, False),
}
PROVIDERS: dict[str, tuple[dict[str, Any], Callable[[Database], object] | None, bool]] = {
    "usual": ({}, None, True),
    "disabled": ({"is_active": False}, None, False),
    "limited": ({"rate_limit": 60}, None, False),
    "paused": ({}, lambda db: db.write(lambda tx: providers.pause(tx, "sendgrid", "no", None, Cause.OPERATOR)), False),
    "slowed": ({}, lambda db: seed.health(db, "sendgrid", ceiling=2), False),
    "with a held sender": ({}, lambda db: seed.health(db, "sendgrid", held_senders='{"x":[99999,1,false]}'), False),
}


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was compiled yet."""
    for module, name in ((take, "USUAL"), (due_deliveries, "_CLAIMING")):
        old: Hot[Any] = getattr(module, name)
        monkeypatch.setattr(module, name, Hot(old.build, old.row))


def _claimed(db: Database) -> Batch:
    order = ClaimRequest("sendgrid", ME, 50, 65_000, due_by=NOW, lease_id=LEASE)
    found = db.rehearsal().write(lambda tx: claim(tx.at(NOW), order))
    return found if found.claims else replace(found, lease_ms=0, deadline_ms=0, version=0)  # of calls: there are none


@pytest.mark.parametrize(
    ("stored", "provider"),
    [*((stored, "usual") for stored in NOTIFICATIONS)]
    + [(stored, name) for name in [*PROVIDERS][1:] for stored in ("none that waits", "one that is due")],
)
def test_the_first_claim_finds_what_any_other_does(database: Database, stored: str, provider: str) -> None:
    """Whatever waits, and however its provider is; where nothing is due the claim was never compiled for it."""
    (settings, happened, is_free), (row, is_idle) = PROVIDERS[provider], NOTIFICATIONS[stored]
    seed.provider(database, **settings)
    seed.provider(database, "smtp")
    seed.pending(database, seed.user(database), **row)
    if happened is not None:
        happened(database)
    first = _claimed(database)
    assert take.USUAL.is_compiled(database.dialect) is not (is_idle and is_free)
    database.rehearsal().write(lambda tx: take.usual(tx, take.LeaseRequest("smtp", 0, 1, LEASE, ME, NOW, 1)))
    assert _claimed(database) == first
    finds = not is_idle and stored != "one that is in flight" and provider not in ("disabled", "paused")
    assert bool(first.claims or first.settled) is finds


@pytest.mark.parametrize(("owed", "finds"), [(None, 0), (NOW, 1), (NOW + 1, 0)])
def test_the_first_claim_of_deliveries_finds_what_any_other_does(
    database: Database, owed: int | None, finds: int
) -> None:
    """What is owed only later counts as something: the claim says so."""
    seed.provider(database)
    anna = seed.user(database)
    hook = seed.webhook(database, anna)
    seed.owed(database, hook, *seed.pending(database, anna), next_retry_at=owed)
    wanted = DeliveryRequest(ME, LEASE, most=9, lease_ms=65_000, usual=5, room={}, due_by=NOW)
    found = [database.rehearsal().write(lambda tx: due_deliveries.claim(tx.at(NOW), wanted)) for _ in range(2)]
    assert due_deliveries._CLAIMING.is_compiled(database.dialect) is (owed is not None)
    assert len(found[0]) == finds and found[0] == found[1]


@pytest.mark.parametrize("due", [False, True])
def test_a_run_with_nothing_due_compiles_no_claim(cli: Cli, database: Database, due: bool) -> None:
    """And one with something due does: it is the same run."""
    cli.call("secrets", "generate-key", "--save").ok()
    sets = ("--set", "from=alerts@example.com")
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *sets, input="SG.x").ok()
    if due:
        seed.pending(database, seed.user(database), expires_at=5)
    cli.call("dispatch", "--once").ok()
    assert take.USUAL.is_compiled(database.dialect) is due
    assert not due_deliveries._CLAIMING.is_compiled(database.dialect)
