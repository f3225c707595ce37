"""Goal 1's work over TLS: what the HTTP engine costs where every provider in life has a certificate."""

from __future__ import annotations

from tests.benchmarks import peer, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT, System, in_turn, table
from tests.benchmarks.program import Program
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Order, Place, Run
from tests.benchmarks.stub import Stub

CLIENTS = ("pyreqwest", "aiohttp")


def measure(place: Place) -> list[Table]:
    """Run ours with and without TLS, the earlier one with it, and bare clients with it."""
    peer.install()
    with stub.instant() as plain, stub.instant_tls() as provider:
        systems: dict[str, System] = {
            f"{each.name}, TLS": lambda each=each: _ours(place, each, provider)  # type: ignore[misc]
            for each in place.programs
        }
        systems[f"{place.ours.name}, no TLS"] = lambda: _ours(place, place.ours, plain)
        for client in CLIENTS:
            systems[f"bare {client}, TLS"] = lambda client=client: peer.bare(  # type: ignore[misc]
                client, provider, place.size(10_000), IN_FLIGHT
            )
        done = in_turn(systems, place.rounds)
    note = f"The stub is {stub.name()}; connections are kept, so this is encryption and not handshakes."
    return [table(f"Dispatch over TLS, {IN_FLIGHT} in flight, answers at once", done, (), (note,))]


def _ours(place: Place, program: Program, provider: Stub) -> Run:
    with place.database(program) as url:
        return runs.work_off(place, program, url, provider, place.size(10_000), Order(IN_FLIGHT))
