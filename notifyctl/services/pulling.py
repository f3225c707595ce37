"""Taking over the addresses that a provider itself does not write to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import field, replace
from functools import partial
from typing import Protocol

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.outcome import Kind
from notifyctl.core.sealing import Keyring
from notifyctl.core.suppression import Refusal, shown
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Failure, ListPage, SuppressionLists
from notifyctl.providers.unseal import open_credentials
from notifyctl.providers.wire import Wire
from notifyctl.services.providers import find
from notifyctl.store import suppressions as store
from notifyctl.store.db.database import Database
from notifyctl.store.suppressions import AddressNews

PAGE = 50
"""Rows asked for at once: so many fit into what is read of an answer, with the reasons of bounces."""
LONGEST_WAIT_S = 60.0
TRIES = 5
SHOWN = 5


class _Named(SuppressionLists, Protocol):
    name: str
    channel: Channel


@dataclass(slots=True)
class Pulled:
    """What came of one list: how many were on it, and how many addresses are suppressed by it that were not before.

    `only_shown`: who is on it is not suppressed; `samples` are the first of them. `problem` is why it is not complete.
    """

    name: str
    read: int = 0
    suppressed: int = 0
    only_shown: bool = False
    problem: str | None = None
    samples: list[Refusal] = field(default_factory=list)


def pull(db: Database, keyring: Keyring, urls: Mapping[str, str], provider: str, *, dry_run: bool) -> list[Pulled]:
    """Read a provider's lists, and suppress who is on them; with `dry_run` nothing is written.

    What was lifted here later than it was said there stays lifted. A list that cannot be read has a `problem`, and the
    others are taken. Raises NotFound, NotAllowed for credentials that cannot be read, UsageError for one without lists.
    """
    adapter = registry.get(provider)
    if not isinstance(adapter, SuppressionLists):
        raise UsageError(f"{provider} keeps no lists that could be read here", "notifyctl suppressions pull sendgrid")
    with db.read() as tx:
        config = find(tx, provider)
    opened = open_credentials(config, keyring, urls)
    return asyncio.run(_Pull(db, adapter, opened, float(config.timeout_seconds), dry_run).everything())


@dataclass(frozen=True, slots=True)
class _Pull:
    db: Database
    adapter: _Named
    credentials: Credentials
    timeout_s: float
    dry_run: bool

    async def everything(self) -> list[Pulled]:
        wire = Wire()
        try:
            return [await self._list(wire, name) for name in self.adapter.lists]
        finally:
            await wire.aclose()

    async def _list(self, wire: Wire, name: str) -> Pulled:
        done = Pulled(name, only_shown=not self.adapter.suppresses(name))
        offset, limit, before = 0, PAGE, None
        while True:
            page = await self._page(wire, name, offset, limit)
            if page.kind is Kind.UNKNOWN and limit > 1:  # larger than what is read of an answer
                limit //= 2
                continue
            if page.kind is not Kind.ACCEPTED:
                done.problem = page.message
                return done
            if page.said == before and before:  # one that knows no pages gives the same ones again
                return done
            before = page.said
            self._take(done, page)
            offset += page.count
            if page.count < limit:
                return done

    async def _page(self, wire: Wire, name: str, offset: int, limit: int) -> ListPage:
        """Return a page; where the provider wants to be asked more slowly, it is asked again when it says."""
        request = self.adapter.list_request(name, offset, limit, self.credentials)
        for _ in range(TRIES):
            answer = await wire.send(request, self.timeout_s)
            if isinstance(answer, Failure):
                return ListPage(Kind.TRANSIENT, message=answer.message)
            page = self.adapter.read_list(name, answer)
            if page.kind is not Kind.THROTTLED:
                return page
            await asyncio.sleep(min((page.retry_after_ms or 1_000) / 1_000, LONGEST_WAIT_S))
        return page

    def _take(self, done: Pulled, page: ListPage) -> None:
        done.read += page.count
        done.samples += page.said[: max(0, SHOWN - len(done.samples))]
        if done.only_shown or self.dry_run:
            return
        channel = self.adapter.channel
        said = [AddressNews(channel, replace(each, address=shown(channel, each.address))) for each in page.said]
        done.suppressed += self.db.write(partial(store.learn, said=said)).suppressed
