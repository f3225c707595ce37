"""Addresses that must not be written to: listed, added, lifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from notifyctl.core import when
from notifyctl.core.address import meant
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.suppression import Refusal, SuppressionCause, stated
from notifyctl.core.suppression_list import Defaults, ListedAddress, parsed
from notifyctl.core.when import Ago, Point
from notifyctl.store import suppressions as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.suppressions import AddressNews, Suppression, SuppressionFilter

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AddedSuppression(Suppression):
    """What holds of an address, and whether that is new; `mended`: it was there, and did not open."""

    created: bool
    mended: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows of a file were read, suppressed an address, said nothing new, and were rejected, with why."""

    read: int
    added: int
    known: int
    rejected: int
    rejects: tuple[str, ...] = ()


def page(db: Database, wanted: SuppressionFilter, after: Cursor | None, limit: int | None) -> Sequence[Suppression]:
    """Return a page of suppressions, newest first."""
    with db.read() as tx:
        return store.page(tx, wanted, after, limit)


def count(db: Database, wanted: SuppressionFilter) -> int:
    """Return how many suppressions a filter matches."""
    with db.read() as tx:
        return store.count(tx, wanted)


def of_address(db: Database, channel: Channel | None, address: str) -> list[Suppression]:
    """Return what holds of an address on a channel or on any, however it is written."""
    channels = list(Channel) if channel is None else [channel]
    with db.read() as tx:
        return [each for one in channels for each in store.of_address(tx, one, address)]


def wanted(db: Database, *, since: Point | None = None, until: Point | None = None, **more: Any) -> SuppressionFilter:
    """Return the filter that the options mean; of times ago the database's clock says which moments they are.

    Raises UsageError for a reason that says nothing.
    """
    if (said := more.get("reason")) is not None and not said.strip():  # every reason contains it
        raise UsageError("--reason: nothing was given")
    now = db.moment() if isinstance(since, Ago) or isinstance(until, Ago) else 0
    return SuppressionFilter(since=when.at(since, now), until=when.at(until, now), **more)


def add(
    db: Database, channel: Channel, address: str, reason: str, cause: SuppressionCause, group: str = ""
) -> AddedSuppression:
    """Suppress an address, whoever has it; what holds for that cause already keeps its reason and its time.

    Raises UsageError for an address that is none, and without a reason.
    """
    normal, why = meant(channel, address), stated(reason)
    if group and cause is not SuppressionCause.OPT_OUT:
        raise UsageError("--group is for who left a group of mails", f"--cause {SuppressionCause.OPT_OUT}")
    return db.write(lambda tx: suppress(tx, channel, Refusal(normal, cause, why, group.strip())))


def suppress(tx: Tx, channel: Channel, refusal: Refusal) -> AddedSuppression:
    """Suppress an address, and return what holds of it: of what was said before, the first, else what is said now.

    What was said before and does not open is written anew.
    """
    mended = store.mend(tx, channel, refusal.address) > 0
    created = store.learn(tx, [AddressNews(channel, refusal)]).suppressed > 0
    holding = store.of_address(tx, channel, refusal.address)
    mine = next(each for each in holding if each.cause == refusal.cause and each.group_id == refusal.group)
    return AddedSuppression(**asdict(mine), created=created, mended=mended)


def lift(db: Database, channel: Channel, address: str) -> list[Suppression]:
    """Let an address be written to again; return what held of it until now, nothing where it might be all along.

    Raises UsageError for an address that is none.
    """
    return db.write(lambda tx: store.lift(tx, channel, address))


def take_in(
    db: Database, text: str, *, channel: Channel | None, cause: SuppressionCause, reason: str | None
) -> Imported:
    """Suppress the addresses of a file; `channel`, `cause` and `reason` are for rows that say none.

    Raises UsageError for a text that is none of the forms that are read; then nothing is written.
    """
    rows = list(parsed(text, Defaults(channel, cause, reason or "imported")))
    good = [AddressNews(each.channel, each.refusal) for each in rows if isinstance(each, ListedAddress)]
    rejects = tuple(each for each in rows if isinstance(each, str))
    added = 0
    for start in range(0, len(good), AT_ONCE):
        portion = good[start : start + AT_ONCE]
        added += db.write(partial(store.learn, said=portion)).suppressed
    return Imported(len(rows), added, len(good) - added, len(rejects), rejects)
