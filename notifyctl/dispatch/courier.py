"""One attempt: build the request, send it, read the answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from notifyctl.core.model import Category, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.text import one_line
from notifyctl.providers.contract import Adapter, Credentials, Failure, InvalidMessage, Request
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.wire import Wire, outcome_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Courier:
    """Delivers messages through one provider."""

    adapter: Adapter
    credentials: Credentials
    wire: Wire
    tokens: TokenSource

    async def deliver(self, message: Message, deadline_s: float) -> Outcome:
        """Return what the attempt came to. Never raises but for being cancelled: every trouble is an outcome."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._attempt(message, deadline_s)
        except TimeoutError:
            return Outcome(Kind.UNKNOWN, f"no answer within {deadline_s:g} s")

    async def _attempt(self, message: Message, deadline_s: float) -> Outcome:
        account = self.credentials.service_account
        if account is None:
            return await self._call(message, self.credentials, deadline_s)
        token = await self.tokens.token(account)
        if isinstance(token, Outcome):
            return token
        outcome = await self._call(message, replace(self.credentials, access_token=token), deadline_s)
        if outcome.kind is not Kind.CONFIG or outcome.http_status != 401:
            return outcome
        # The token may have been withdrawn before its time: a fresh one decides.
        self.tokens.invalidate(account, token)
        fresh = await self.tokens.token(account)
        if isinstance(fresh, Outcome):
            return fresh
        return await self._call(message, replace(self.credentials, access_token=fresh), deadline_s)

    async def _call(self, message: Message, credentials: Credentials, deadline_s: float) -> Outcome:
        request = self._request(message, credentials)
        if isinstance(request, Outcome):
            return request
        response = await self.wire.send(request, deadline_s)
        if isinstance(response, Failure):
            return outcome_of(response)
        try:
            return self.adapter.read(response)
        except Exception as error:  # a third party's adapter: the provider may have taken it
            log.exception("provider %s: reading the answer failed", self.adapter.name)
            return Outcome(Kind.UNKNOWN, f"the answer could not be read: {type(error).__name__}")

    def _request(self, message: Message, credentials: Credentials) -> Request | Outcome:
        try:
            return self.adapter.build(message, credentials)
        except InvalidMessage as error:
            return Outcome(Kind.PERMANENT, one_line(str(error)), category=Category.INVALID_PAYLOAD)
        except Exception as error:  # what an adapter cannot build now, it cannot build later
            log.exception("provider %s: building the request failed", self.adapter.name)
            return Outcome(
                Kind.PERMANENT, f"no request could be built: {type(error).__name__}", category=Category.INVALID_PAYLOAD
            )
