"""OAuth2 access tokens for FCM: kept until shortly before they end, fetched by one refresh at a time.

Source: developers.google.com/identity/protocols/oauth2/service-account.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Fault, Kind, Outcome
from notifyctl.providers.fault import reason_of

TIMEOUT_SECONDS = 10.0
EARLY_SECONDS = 225  # as google-auth does: a token that ends during a call is of no use
FAILURE_SECONDS = 5.0
LONGEST_REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and when it ends, in seconds since the epoch."""

    value: str = field(repr=False)
    expires_at: float


FetchToken = Callable[[Mapping[str, Any], float], Token | Outcome]


@dataclass(slots=True)
class _Account:
    """What is known of one service account."""

    token: Token | None = None
    failure: Outcome | None = None
    failed_at: float = 0.0
    refresh: asyncio.Task[None] | None = None


def _fetch(account: Mapping[str, Any], timeout_s: float) -> Token | Outcome:
    # Here, because it takes a tenth of a second, only push needs it, and this runs in a thread of its own.
    from notifyctl.providers.google_token import fetch

    return fetch(account, timeout_s)


class TokenSource:
    """Access tokens by service account (its e-mail and key id). Use it in one event loop; `aclose` it at the end.

    `now` is the time in seconds since the epoch; `fetch` asks the token endpoint, in a thread, for `timeout_s` at most.
    """

    def __init__(
        self, now: Callable[[], float] = time.time, fetch: FetchToken = _fetch, timeout_s: float = TIMEOUT_SECONDS
    ) -> None:
        self._now = now
        self._fetch = fetch
        self._timeout_s = timeout_s
        self._accounts: dict[tuple[str, str], _Account] = {}

    async def token(self, service_account: Mapping[str, Any]) -> str | Outcome:
        """Return a token that is valid now, or why there is none: CONFIG (key refused or malformed) or TRANSIENT.

        Shortly before its end the old token is handed out while a new one is fetched. After a failure the token
        endpoint is left in peace for `FAILURE_SECONDS`, or as long as it asks (at most `LONGEST_REST_SECONDS`), and the
        failure is returned meanwhile.
        """
        account = self._accounts.setdefault(_key(service_account), _Account())
        token = account.token
        if token is not None and self._now() < token.expires_at - EARLY_SECONDS:
            return token.value
        refresh = self._start(account, service_account)
        if token is not None and self._now() < token.expires_at:
            return token.value
        if refresh is not None:
            await asyncio.shield(refresh)  # others wait for it too: one that is cancelled must not end it
        if account.token is not None and account.token is not token:
            return account.token.value
        return account.failure if account.failure is not None else await self.token(service_account)

    def invalidate(self, service_account: Mapping[str, Any], token: str) -> None:
        """Forget `token`, which the provider refused; one that has replaced it meanwhile stays."""
        account = self._accounts.get(_key(service_account))
        if account is not None and account.token is not None and account.token.value == token:
            account.token = None

    async def aclose(self) -> None:
        """Wait until no refresh runs any more (at most a few seconds: each has a deadline)."""
        await asyncio.gather(*(account.refresh for account in self._accounts.values() if account.refresh))

    def _start(self, account: _Account, service_account: Mapping[str, Any]) -> asyncio.Task[None] | None:
        """Return the running refresh, begin one, or return None while the last failure still counts."""
        if account.refresh is None and not self._resting(account):
            account.refresh = asyncio.create_task(self._refresh(account, service_account))
        return account.refresh

    def _resting(self, account: _Account) -> bool:
        if account.failure is None:
            return False
        rest_s = max(FAILURE_SECONDS, (account.failure.retry_after_ms or 0) / 1000)
        return 0 <= self._now() - account.failed_at < min(rest_s, LONGEST_REST_SECONDS)

    async def _refresh(self, account: _Account, service_account: Mapping[str, Any]) -> None:
        try:
            found = await asyncio.to_thread(self._fetch, service_account, self._timeout_s)
            if isinstance(found, Token):
                account.token, account.failure = found, None
            else:
                account.failure, account.failed_at = found, self._now()
        except (OSError, RuntimeError, MemoryError) as error:  # no thread could be started
            account.failure, account.failed_at = _not_asked(error), self._now()
        finally:
            account.refresh = None


def _not_asked(error: BaseException) -> Outcome:
    return Outcome(Kind.TRANSIENT, f"no access token: {reason_of(error)}", fault=Fault.HOST)


def _key(service_account: Mapping[str, Any]) -> tuple[str, str]:
    return str(service_account.get("client_email")), str(service_account.get("private_key_id"))
