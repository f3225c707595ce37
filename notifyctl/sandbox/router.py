"""Gives each request to the provider whose path it has, injects the fault that is due, and logs it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Protocol

from aiohttp import web

from notifyctl.core.frozen import dataclass
from notifyctl.sandbox import damage, oneclick, pages, previews
from notifyctl.sandbox.callbacks import Callbacks
from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply, page
from notifyctl.sandbox.faults import SILENCES, Injector, Rule, refusal
from notifyctl.sandbox.fcm import FcmServer
from notifyctl.sandbox.identity import service_account
from notifyctl.sandbox.journal import Journal
from notifyctl.sandbox.script import Line, Script
from notifyctl.sandbox.sendgrid import SendGridServer
from notifyctl.sandbox.tokens import Tokens
from notifyctl.sandbox.twilio import TwilioServer

TOKEN_SECONDS = 3_599
RECEIPT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What a sandbox is to do.

    `port` 0 takes a free one. `script` says what happens to exactly which request, `rules` to those it says nothing
    about. `latency_s` is waited before every answer of a provider, `receipts_s` is how long it takes until a message is
    delivered. `log` is a file that is appended to. `service_account` is where FCM's key file is written; without one
    FCM knows no account; `next_service_account` gets another key of the same. `seed` makes ids and faults repeatable.
    `token_life_s` is how long an access token is valid.
    """

    port: int = 0
    rules: tuple[Rule, ...] = ()
    latency_s: float = 0.0
    log: Path | None = None
    service_account: Path | None = None
    next_service_account: Path | None = None
    seed: int | None = None
    token_life_s: int = TOKEN_SECONDS
    script: tuple[Line, ...] = ()
    receipts_s: float = RECEIPT_SECONDS


class _Provider(Protocol):
    """One provider's HTTP protocol, as the sandbox serves it; `challenge` says how to sign in (RFC 9110, 11.6.1)."""

    name: str
    challenge: str

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to this provider."""

    def handle(self, call: IncomingRequest) -> Handled:
        """Return the answer to a request."""


class Router:
    """Answers every HTTP request. `url` is the server's own base URL, `journal` logs the requests."""

    def __init__(self, config: SandboxConfig, url: str, journal: Journal) -> None:
        # Ids are drawn apart from faults, so that the faults of a seed do not depend on what was accepted before.
        ids, self._noise = Random(config.seed), Random(config.seed)  # noqa: S311  # nothing here is a secret
        files = (config.service_account, config.next_service_account)
        accounts = [service_account(file, f"{url}/token") for file in files if file is not None]
        tokens = Tokens(ids, accounts, config.token_life_s)
        self._callbacks = Callbacks()
        self._providers: tuple[_Provider, ...] = (
            SendGridServer(ids, config.receipts_s),
            TwilioServer(ids, config.receipts_s, self._callbacks),
            FcmServer(ids, tokens),
            tokens,
        )
        self._injector = Injector(config.rules, config.seed)
        self._script = Script(config.script)
        self._latency_s = config.latency_s
        self.journal = journal

    def strike(self, provider: str, recipient: str | None, *, sends: bool = True) -> Rule | None:
        """Return the rule whose fault the next request to a provider gets, None for none."""
        told, rule = self._script.play(provider, recipient, sends=sends)
        return rule if told else self._injector.strike(provider, recipient, sends=sends)

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer to one HTTP request; by a fault it may be damaged, or never come."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = IncomingRequest(
            request.method, request.path, headers, await request.read(), time.time(), request.query_string
        )
        provider = next((each for each in self._providers if each.answers(call.path)), None)
        if provider is None and (answered := oneclick.answer(call)) is not None:
            self.journal.write("one-click", call, Handled(answered, sends=False), answered.status, None)
            return damage.response(answered)
        if provider is None:
            own = previews.take(call, self.journal) or pages.show(call, self.journal.inbox)
            return damage.response(own or page(404))
        handled = provider.handle(call)
        rule = self.strike(provider.name, handled.recipient, sends=handled.sends)
        if handled.accept and (rule is None or rule.accepts):
            handled.accept(self._injector.fate(provider.name, handled.recipient))
        reply = self._reply(provider.name, handled.reply, rule, call.now)
        fault = rule.fault if rule else None
        self.journal.write(provider.name, call, handled, None if fault in SILENCES else reply.status, fault)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        if reply.status == 401:
            reply = replace(reply, headers={"WWW-Authenticate": provider.challenge, **reply.headers})
        way = damage.DAMAGES.get(fault or "")
        return damage.response(reply) if way is None else await way(request, reply)

    async def aclose(self) -> None:
        """Cancel the callbacks that are still to be made."""
        await self._callbacks.aclose()

    def _reply(self, provider: str, reply: Reply, rule: Rule | None, now: float) -> Reply:
        """Return the answer, by the rule another one."""
        fault = rule.fault if rule else None
        if rule is None or fault in damage.DAMAGES:
            return reply
        if fault == "html":
            return page(502)
        if fault == "redirect":
            return damage.redirect(reply)
        if fault == "garbage":
            return damage.garbage(reply, self._noise)
        return refusal(provider, rule, now) or reply
