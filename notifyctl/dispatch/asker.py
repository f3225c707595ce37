"""One question after receipts: build the request, send it, read the answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from notifyctl.core.errors import NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Kind
from notifyctl.core.receipt import Arrival
from notifyctl.core.text import one_line
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Failure, Trace, Traceable
from notifyctl.providers.wire import Wire

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one provider for receipts."""

    provider: str
    adapter: Traceable
    credentials: Credentials
    wire: Wire
    timeout_s: float

    async def ask(self, message_ids: Sequence[str]) -> Trace:
        """Return what is said of messages, by the provider's ids of them. Never raises but for being cancelled."""
        try:
            request = self.adapter.trace(message_ids, self.credentials)
        except Exception as error:  # a third party's adapter
            log.exception("provider %s: no question could be built", self.provider)
            return Trace(Kind.UNKNOWN, message=f"no question could be built: {type(error).__name__}")
        response = await self.wire.send(request, self.timeout_s)
        if isinstance(response, Failure):
            return Trace(Kind.UNKNOWN, message=one_line(response.message))
        try:
            return _sound(self.adapter.read_trace(response, message_ids))
        except Exception as error:
            log.exception("provider %s: reading the answer failed", self.provider)
            return Trace(Kind.UNKNOWN, message=f"the answer could not be read: {type(error).__name__}")


def traceable(provider: str) -> Traceable | None:
    """Return the provider's adapter, if it is one that can be asked for receipts."""
    try:
        adapter = registry.get(provider)
    except NotifyctlError:
        return None
    return adapter if isinstance(adapter, Traceable) and _makes_sense(adapter) else None


def _sound(trace: Trace) -> Trace:
    """Return what an adapter made of an answer. Raises where a third party's made something else of it."""
    arrivals = [*trace.arrivals, *trace.unclear.values()]
    if not isinstance(trace.kind, Kind) or not all(isinstance(each, Arrival) for each in arrivals):
        raise TypeError
    wish = trace.retry_after_ms
    return trace if wish is None or type(wish) is int else replace(trace, retry_after_ms=int(wish))


def _makes_sense(adapter: Traceable) -> bool:
    """Return whether a third party's adapter can be followed: its numbers are divided by."""
    numbers = (adapter.traced_at_once, 1 if adapter.traces_per_minute is None else adapter.traces_per_minute)
    return all(isinstance(each, int) and each > 0 for each in numbers)
