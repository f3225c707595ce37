"""Whether providers' credentials work: each is asked something that sends nothing, all at the same time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from notifyctl.core.errors import AnswerIsNo, NotAllowed, NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Kind
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring, holds_secret
from notifyctl.core.text import one_line
from notifyctl.providers import registry
from notifyctl.providers.contract import Adapter, Checkable, Credentials, Failure, Request, Response
from notifyctl.providers.oauth import TIMEOUT_SECONDS, TokenSource
from notifyctl.providers.reading import kind_of_status
from notifyctl.providers.unseal import open_credentials
from notifyctl.providers.wire import Wire
from notifyctl.services import credentials
from notifyctl.services.credentials import Given
from notifyctl.services.providers import find
from notifyctl.store import providers as store
from notifyctl.store.db.database import Database

log = logging.getLogger(__name__)

SETTINGS = "settings"
CREDENTIALS = "settings, credentials"
_LOGIN = frozenset({401, 530, 534, 535, 538})  # what says that the login is refused: HTTP's, and a mail server's


class CheckupResult(StrEnum):
    """The result of a check-up. UNREACHABLE: no answer, or one of a provider in trouble: nothing is known."""

    OK = "ok"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SETTINGS = "settings"
    UNREADABLE = "unreadable"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out; `checked` says how far it went, `hint` what helps."""

    result: CheckupResult
    checked: str | None = None
    problem: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """A provider's check-up. `paused` is why it is paused, if it is; `duration_ms` is what the answer took.

    `exposed` is a warning where its credentials go over a network unencrypted.
    """

    id: str
    provider_name: str
    channel: str | None
    ok: bool
    result: str
    checked: str | None
    problem: str | None
    hint: str | None
    duration_ms: int
    paused: str | None
    exposed: str | None


def examine(db: Database, keyring: Keyring, urls: Mapping[str, str], refs: Sequence[str]) -> list[Checkup]:
    """Check the named providers, or all active ones; raise NotFound. `urls` stand above the configured base URLs.

    Each has its `timeout_seconds`. Nothing is written, and no transaction is open meanwhile.
    """
    with db.read() as tx:
        now = tx.now
        configs = [find(tx, ref) for ref in refs] if refs else store.load_active(tx)
    configs = list({config.id: config for config in configs}.values())
    return asyncio.run(_examined(configs, keyring, urls, now))


def require(db: Database, keyring: Keyring, urls: Mapping[str, str], ref: str, given: Given) -> None:
    """Raise AnswerIsNo unless a provider's credentials work with what is given for them; else as `providers.update`."""
    with db.read() as tx:
        old, now = find(tx, ref), tx.now
        config = credentials.applied(old, given, keyring)
    credentials.refuse_leaving(old, config, given, db.actor)
    credentials.checked(config, keyring)
    (found,) = asyncio.run(_examined([config], keyring, urls, now))
    if not found.ok:
        raise AnswerIsNo(f"nothing was changed: {found.provider_name}: {found.problem}", found.hint)


async def _examined(
    configs: Sequence[ProviderConfig], keyring: Keyring, urls: Mapping[str, str], now: int
) -> list[Checkup]:
    wire = Wire()
    try:
        return await asyncio.gather(*(_examine(config, keyring, urls, now, wire) for config in configs))
    finally:
        await wire.aclose()


async def _examine(config: ProviderConfig, keyring: Keyring, urls: Mapping[str, str], now: int, wire: Wire) -> Checkup:
    began = time.monotonic()
    tokens = TokenSource(timeout_s=min(TIMEOUT_SECONDS, config.timeout_seconds))
    adapter: Adapter | None = None
    try:
        adapter = registry.get(config.provider_name)
        opened = open_credentials(config, keyring, urls)
        finding = await _Examination(adapter, opened, wire, tokens, began + config.timeout_seconds).finding()
    except NotAllowed as error:
        finding = Finding(CheckupResult.UNREADABLE, None, error.message, error.hint)
    except NotifyctlError as error:  # not installed here, or it cannot be loaded
        finding = Finding(CheckupResult.UNAVAILABLE, None, error.message, error.hint)
    except Exception as error:  # a third party's adapter
        log.exception("provider %s: the check-up failed", config.provider_name)
        finding = Finding(CheckupResult.UNAVAILABLE, None, f"its adapter failed: {type(error).__name__}")
    finally:
        await tokens.aclose()
    return Checkup(
        id=config.id,
        provider_name=config.provider_name,
        channel=None if adapter is None else adapter.channel.value,
        ok=finding.result is CheckupResult.OK,
        result=finding.result.value,
        checked=finding.checked,
        problem=None if finding.problem is None else one_line(finding.problem),
        hint=finding.hint,
        duration_ms=int((time.monotonic() - began) * 1_000),
        paused=_pause(config, now),
        exposed=credentials.exposed(config.provider_name, config.config, urls, secrets=_has_secrets(config)),
    )


def _pause(config: ProviderConfig, now: int) -> str | None:
    """Return why a provider is paused for longer than a moment, None when it is not."""
    hold = config.health.hold(now)
    return None if hold is None or not hold.lasts else config.health.pause_reason or "no reason given"


def _has_secrets(config: ProviderConfig) -> bool:
    return holds_secret(config.api_key) or holds_secret(config.api_secret) or bool(config.service_account)


@dataclass(frozen=True, slots=True)
class _Examination:
    """One provider's, until the monotonic moment `end`."""

    adapter: Adapter
    credentials: Credentials
    wire: Wire
    tokens: TokenSource
    end: float

    async def finding(self) -> Finding:
        """Return what is found: in the settings first, then by asking the provider."""
        name = self.adapter.name
        problems = self.adapter.check(self.credentials)
        if problems:
            return Finding(
                CheckupResult.SETTINGS, SETTINGS, "; ".join(problems), f"notifyctl providers update {name} --help"
            )
        if not isinstance(self.adapter, Checkable):
            return Finding(CheckupResult.OK, f"{SETTINGS}; the adapter can check no more")
        token = await self._token()
        if isinstance(token, Finding):
            return token
        request = self.adapter.checkup(replace(self.credentials, access_token=token))
        answer = await self.wire.send(request, max(0.001, self.end - time.monotonic()))
        if isinstance(answer, Failure):
            return self._unreachable(answer.message)
        if (trouble := _trouble(request, answer)) is not None:
            return self._unreachable(trouble)
        problem = self.adapter.read_checkup(answer)
        if problem is None:
            return Finding(CheckupResult.OK, CREDENTIALS)
        return self._refused(problem, by_login=answer.status in _LOGIN)

    async def _token(self) -> str | Finding | None:
        account = self.credentials.service_account
        if account is None:
            return None
        try:
            async with asyncio.timeout(self.end - time.monotonic()):
                token = await self.tokens.token(account)
        except TimeoutError:
            return self._unreachable("no access token within the provider's time limit")
        if isinstance(token, str):
            return token
        if token.kind is Kind.CONFIG:
            return self._refused(token.message, by_login=True)
        return self._unreachable(token.message)

    def _refused(self, problem: str, *, by_login: bool) -> Finding:
        again = f"notifyctl providers test {self.adapter.name}"
        hint = credentials.replacing(self.adapter.name) if by_login else f"when that is done: {again}"
        return Finding(CheckupResult.REFUSED, CREDENTIALS, problem, hint)

    def _unreachable(self, problem: str) -> Finding:
        where = "host and port" if self.adapter.name == "smtp" else "base_url"
        hint = f"try again later, or look at its {where}: notifyctl providers show {self.adapter.name}"
        return Finding(CheckupResult.UNREACHABLE, SETTINGS, problem, hint)


def _trouble(request: Request, answer: Response) -> str | None:
    """Return why an answer says nothing about the credentials, None when it does."""
    if request.url.startswith("smtp"):  # 4 is "not now" there, and 5 "no" (RFC 5321, 4.2.1)
        return f"answered {answer.status}: it is in trouble itself" if 400 <= answer.status < 500 else None
    if 300 <= answer.status < 400:
        return f"answered with a redirect (HTTP {answer.status}), which is never followed"
    if answer.status == 429 or (answer.status >= 400 and kind_of_status(answer.status) is not Kind.PERMANENT):
        return f"answered HTTP {answer.status}: it is in trouble itself"
    return None
