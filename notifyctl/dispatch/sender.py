"""One attempt as a pipe: token → render → build → send → read. It always returns an outcome, whatever went wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notifyctl.core.content import InvalidPayload
from notifyctl.core.errors import DatabaseUnavailable, NotifyctlError
from notifyctl.core.model import Category, Message, Subscription, TemplateRef
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.text import one_line
from notifyctl.core.unsubscribe import VARIABLE, with_link
from notifyctl.dispatch.files import Files
from notifyctl.dispatch.oneclick import OneClick
from notifyctl.dispatch.templates import Templates
from notifyctl.providers.contract import (
    Adapter,
    Builder,
    Credentials,
    Failure,
    InvalidMessage,
    Request,
    Response,
    builder,
)
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.wire import Wire, outcome_of

if TYPE_CHECKING:
    from notifyctl.core.template.source import Source

log = logging.getLogger(__name__)

TOKEN_REFUSED = "UNAUTHENTICATED"  # noqa: S105 - a code of answers


class Sender:
    """Delivers messages through one provider with one set of credentials.

    `problem` is what is missing in the provider's settings: no message can be sent, and none is to blame.
    """

    def __init__(
        self,
        adapter: Adapter,
        credentials: Credentials,
        wire: Wire,
        tokens: TokenSource,
        files: Files,
        templates: Templates,
        one_click: OneClick,
        problem: str | None = None,
    ) -> None:
        self._adapter = adapter
        self._credentials = credentials
        self._wire = wire
        self._tokens = tokens
        self._files = files
        self._templates = templates
        self._one_click = one_click
        self._problem = problem
        self._token: str | None = None
        self._build = builder(adapter, credentials)

    async def deliver(self, message: Message, seconds: float, end: float) -> Outcome:
        """Return the attempt's outcome. A call may take so many seconds, and as many go into an access token before.

        No call is begun that could last until the monotonic moment `end`. Every trouble is an outcome, but for being
        cancelled, and for DatabaseUnavailable where there was no time to read the message's template or files: no call
        was begun.
        """
        if self._problem is not None:
            return Outcome(Kind.CONFIG, self._problem, asked=False)
        account = self._credentials.service_account
        if account is None:
            return await self._call(self._build, message, seconds, end)
        return await self._with_token(account, message, seconds, end)

    # Token

    async def _with_token(self, account: Mapping[str, Any], message: Message, seconds: float, end: float) -> Outcome:
        build = await self._authorised(account, seconds)
        if isinstance(build, Outcome):
            return build
        token, outcome = self._token, await self._call(build, message, seconds, end)
        if outcome.kind is not Kind.CONFIG or outcome.code != TOKEN_REFUSED:
            return outcome
        # The token may have been withdrawn before its time: a fresh one decides.
        self._tokens.invalidate(account, token or "")
        fresh = await self._authorised(account, seconds)
        return fresh if isinstance(fresh, Outcome) else await self._call(fresh, message, seconds, end)

    async def _authorised(self, account: Mapping[str, Any], seconds: float) -> Builder | Outcome:
        """Return a builder with a token that is good now; made anew only where the token is another."""
        try:
            async with asyncio.timeout(seconds):
                token = await self._tokens.token(account)
        except TimeoutError:
            return Outcome(Kind.TRANSIENT, "no access token within the provider's time limit", counts=False)
        if isinstance(token, Outcome):
            return replace(token, counts=False)
        if token != self._token:
            self._token, self._build = token, builder(self._adapter, replace(self._credentials, access_token=token))
        return self._build

    # Build, send, read

    async def _call(self, build: Builder, message: Message, seconds: float, end: float) -> Outcome:
        if message.subscription is not None:
            linked = await self._linked(message, message.subscription, end - seconds)
            if isinstance(linked, Outcome):
                return linked
            message = linked
        if message.template is not None:
            source = self._templates.kept(message.template) or await self._source(message.template, end - seconds)
            rendered = source if isinstance(source, Outcome) else self._rendered(source, message)
            if isinstance(rendered, Outcome):
                return rendered
            message = rendered
        if "attachments" in message.content:
            request = await self._built_with_files(build, message, end - seconds)
        else:
            request = self._built(build, message)
        if isinstance(request, Outcome):
            return request
        if end - time.monotonic() < seconds:  # this process stood still: the lease may be over
            return Outcome(Kind.TRANSIENT, "no time was left to call the provider", asked=False, counts=False)
        response = await self._wire.send(request, seconds)
        return outcome_of(response) if isinstance(response, Failure) else self._read(response, message)

    def _read(self, response: Response, message: Message) -> Outcome:
        try:
            return _apart(_sound(self._adapter.read(response)), message)
        except Exception as error:  # a third party's adapter: the provider may have taken it
            log.exception("provider %s: reading the answer failed", self._adapter.name)
            return Outcome(Kind.UNKNOWN, f"the answer could not be read: {type(error).__name__}")

    async def _linked(self, message: Message, subscription: Subscription, end: float) -> Message | Outcome:
        """Return the message with the link by which the person leaves its category, where there is an address for it.

        Those of templates find it among their variables.
        """
        try:
            async with asyncio.timeout(end - time.monotonic()):
                link = await self._one_click.link(subscription)
            return message if link is None else with_link(message, link)
        except InvalidPayload as error:
            return _unfit(str(error))
        except NotifyctlError as error:  # no key, or the database is away: what has no such link needs none
            why = one_line(f"its link to unsubscribe could not be signed: {error.message}")
            return Outcome(Kind.TRANSIENT, why, asked=False, counts=False)
        except TimeoutError:
            raise DatabaseUnavailable("the key that signs could not be read in time") from None
        except asyncio.CancelledError:  # at shutdown: nothing was sent
            raise DatabaseUnavailable("broken off before the key that signs was read") from None

    def _rendered(self, source: Source, message: Message) -> Message | Outcome:
        """Return the message with its text, or that its template has none for it."""
        try:
            return self._templates.render(source, message)
        except TemplateError as error:
            lacks_link = error.variable == VARIABLE and message.subscription is not None and not message.one_click
            return _unrendered(f"{error.message}; the profile names no {VARIABLE}" if lacks_link else error.message)
        except Exception as error:  # of the engine: what it cannot render now, it cannot render later
            log.exception("rendering notification %s failed", message.notification_id)
            return _unrendered(f"it could not be rendered: {type(error).__name__}")

    async def _source(self, template: TemplateRef, end: float) -> Source | Outcome:
        """Return what a message is rendered from, or that there is none."""
        try:
            async with asyncio.timeout(end - time.monotonic()):
                return await self._templates.read(template)
        except TemplateError as error:
            return _unrendered(error.message)
        except NotifyctlError as error:  # the database is away, or something is wrong with it
            why = one_line(f"its template could not be read: {error.message}")
            return Outcome(Kind.TRANSIENT, why, asked=False, counts=False)
        except TimeoutError:
            raise DatabaseUnavailable("a template could not be read in time") from None
        except asyncio.CancelledError:  # at shutdown: nothing was sent
            raise DatabaseUnavailable("broken off before a template was read") from None
        except Exception as error:  # of what is stored: what nobody can read now, nobody can read later
            log.exception("reading version %s of template %s failed", template.version, template.id)
            return _unrendered(f"its template could not be read: {type(error).__name__}")

    async def _built_with_files(self, build: Builder, message: Message, end: float) -> Request | Outcome:
        """Build a mail's request; what is read for it is let go of before it is sent."""
        try:
            async with asyncio.timeout(end - time.monotonic()), self._files.turn:
                return self._built(build, await self._files.whole(message))
        except InvalidPayload as error:
            return _unfit(str(error))
        except NotifyctlError as error:  # the database is away, or something is wrong with it: others need no files
            why = one_line(f"its files could not be read: {error.message}")
            return Outcome(Kind.TRANSIENT, why, asked=False, counts=False)
        except TimeoutError:
            raise DatabaseUnavailable("the files of a mail could not be read in time") from None
        except asyncio.CancelledError:  # at shutdown: nothing was sent
            raise DatabaseUnavailable("broken off before the files of a mail were read") from None

    def _built(self, build: Builder, message: Message) -> Request | Outcome:
        try:
            return build(message)
        except InvalidMessage as error:
            return _unfit(str(error))
        except Exception as error:  # what an adapter cannot build now, it cannot build later
            log.exception("provider %s: building the request failed", self._adapter.name)
            return _unfit(f"no request could be built: {type(error).__name__}")


def _unrendered(why: str) -> Outcome:
    """Return that a template has no text for the message."""
    return Outcome(Kind.PERMANENT, one_line(why), category=Category.TEMPLATE_ERROR, asked=False)


def _unfit(why: str) -> Outcome:
    """Return that no request can be made of the message, now or later."""
    return Outcome(Kind.PERMANENT, one_line(why), category=Category.INVALID_PAYLOAD, asked=False)


def _sound(outcome: Outcome) -> Outcome:
    """Return what an adapter made of an answer. Raises where a third party's made something else of it."""
    if not isinstance(outcome.kind, Kind):
        raise TypeError
    wish = outcome.retry_after_ms
    return outcome if wish is None or type(wish) is int else replace(outcome, retry_after_ms=int(wish))


def _apart(outcome: Outcome, message: Message) -> Outcome:
    """Return the outcome; where it blames what this message alone says, it is this message's failure.

    A sender that only one message names must not pause the provider for all others.
    """
    own = outcome.kind is Kind.CONFIG and outcome.field is not None and bool(message.content.get(outcome.field))
    return replace(outcome, kind=Kind.PERMANENT) if own else outcome
