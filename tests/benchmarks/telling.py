"""Goal 10: what webhooks cost: dispatch with one subscriber to all events, beside the same without.

It is twice the HTTP, and twice the rows that are written. With a subscriber a run is over when it has been told of
the last notification, by the rows' own `delivered_at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT, System, in_turn, table
from tests.benchmarks.report import Goal, Table, ratios
from tests.benchmarks.runs import Order, Place, Run
from tests.benchmarks.stub import Stub

COUNT = 10_000
GOAL = 0.45
WITHOUT, POSTGRESQL, SQLITE = "no webhook", "one subscriber, PostgreSQL", "one subscriber, SQLite"
_PROFILE = "[profiles.bench]\nwebhook_loopback = true\n"


def measure(place: Place) -> list[Table]:
    """Run them in turn, each on a database of its own."""
    with stub.instant() as provider, stub.instant() as receiver:
        systems: Mapping[str, System] = {
            POSTGRESQL: lambda: _told(place, provider, receiver),
            WITHOUT: lambda: _sent(place, provider),
            SQLITE: lambda: _told(place, provider, receiver, sqlite=True),
        }
        done = in_turn(systems, place.rounds)
    rates = {name: [each.per_second for each in found] for name, found in done.items()}
    goal = Goal("rate with a subscriber, to without", GOAL, ratios(rates[POSTGRESQL], rates[WITHOUT]))
    note = "The stub of this table is the provider; the receiver is another process, and counts among the others."
    return [table("Goal 10: one subscriber to all events", done, [goal], (note,))]


def _sent(place: Place, provider: Stub) -> Run:
    with place.database(place.ours) as url:
        return runs.work_off(place, place.ours, url, provider, place.size(COUNT), Order(IN_FLIGHT))


def _told(place: Place, provider: Stub, receiver: Stub, *, sqlite: bool = False) -> Run:
    count = place.size(COUNT)
    config = place.folder / "webhooks.toml"
    config.write_text(_PROFILE)
    settings = {"NOTIFYCTL_CONFIG": str(config), "NOTIFYCTL_PROFILE": "bench"}
    with place.database(place.ours, sqlite=sqlite) as url:
        listens = ("person1", receiver.url, "--event", "*", "--all-users")
        place.ours.run(url, "webhooks", "create", *listens, settings=settings)
        ground.fill(url, count)
        there = replace(provider, trust={**provider.trust, **settings})
        done = runs.send(place, place.ours, url, there, Order(IN_FLIGHT), moments=ground.told)
        if left := count - len(ground.told(url, done.began)) + 1:
            raise RuntimeError(f"of {left} notifications nobody was told")
        return done
