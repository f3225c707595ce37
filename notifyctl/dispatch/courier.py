"""One attempt: build the request, send it, read the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from notifyctl.core.model import Category, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.text import one_line
from notifyctl.providers.contract import Adapter, Credentials, Failure, InvalidMessage, Request
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.wire import Wire, outcome_of

log = logging.getLogger(__name__)

TOKEN_REFUSED = "UNAUTHENTICATED"  # noqa: S105 - a code of answers
SHORTEST_CALL_S = 0.05


@dataclass(frozen=True, slots=True)
class Courier:
    """Delivers messages through one provider."""

    adapter: Adapter
    credentials: Credentials
    wire: Wire
    tokens: TokenSource
    problem: str | None = None
    """What is missing in the provider's settings: no message can be sent, and none is to blame."""

    async def deliver(self, message: Message, end: float) -> Outcome:
        """Return what the attempt came to, before the monotonic moment `end`, after which no call is begun.

        Never raises but for being cancelled: every trouble is an outcome.
        """
        if self.problem is not None:
            return Outcome(Kind.CONFIG, self.problem, asked=False)
        account = self.credentials.service_account
        if account is None:
            return await self._call(message, self.credentials, end)
        token = await self._token(account, end)
        if isinstance(token, Outcome):
            return token
        outcome = await self._call(message, replace(self.credentials, access_token=token), end)
        if outcome.kind is not Kind.CONFIG or outcome.code != TOKEN_REFUSED:
            return outcome
        # The token may have been withdrawn before its time: a fresh one decides.
        self.tokens.invalidate(account, token)
        fresh = await self._token(account, end)
        if isinstance(fresh, Outcome):
            return fresh
        return await self._call(message, replace(self.credentials, access_token=fresh), end)

    async def _token(self, account: Mapping[str, Any], end: float) -> str | Outcome:
        try:
            async with asyncio.timeout(end - time.monotonic()):
                return await self.tokens.token(account)
        except TimeoutError:
            return Outcome(Kind.TRANSIENT, "no access token within the provider's time limit")

    async def _call(self, message: Message, credentials: Credentials, end: float) -> Outcome:
        request = self._request(message, credentials)
        if isinstance(request, Outcome):
            return request
        if (left := end - time.monotonic()) < SHORTEST_CALL_S:  # this process stood still: the lease may be over
            return Outcome(Kind.TRANSIENT, "no time was left to call the provider", asked=False)
        response = await self.wire.send(request, left)
        if isinstance(response, Failure):
            return outcome_of(response)
        try:
            return _apart(self.adapter.read(response), message)
        except Exception as error:  # a third party's adapter: the provider may have taken it
            log.exception("provider %s: reading the answer failed", self.adapter.name)
            return Outcome(Kind.UNKNOWN, f"the answer could not be read: {type(error).__name__}")

    def _request(self, message: Message, credentials: Credentials) -> Request | Outcome:
        try:
            return self.adapter.build(message, credentials)
        except InvalidMessage as error:
            return Outcome(Kind.PERMANENT, one_line(str(error)), category=Category.INVALID_PAYLOAD, asked=False)
        except Exception as error:  # what an adapter cannot build now, it cannot build later
            log.exception("provider %s: building the request failed", self.adapter.name)
            what = f"no request could be built: {type(error).__name__}"
            return Outcome(Kind.PERMANENT, what, category=Category.INVALID_PAYLOAD, asked=False)


def _apart(outcome: Outcome, message: Message) -> Outcome:
    """Return the outcome; where it blames what this message alone says, it is this message's failure.

    A sender that only one message names must not pause the provider for all others.
    """
    own = outcome.kind is Kind.CONFIG and outcome.blames is not None and bool(message.content.get(outcome.blames))
    return replace(outcome, kind=Kind.PERMANENT) if own else outcome
