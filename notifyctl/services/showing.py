"""Showing a preview on a sandbox's page: it gets the request by which a provider would be asked to send it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from urllib.parse import urlsplit

from notifyctl.core.errors import AnswerIsNo, UsageError
from notifyctl.core.model import Channel, Message
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Failure, Request, Response
from notifyctl.providers.wire import Wire
from notifyctl.services.planning import built
from notifyctl.services.previews import RenderedTemplate

TIMEOUT_S = 5.0
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_AS = {Channel.EMAIL: "sendgrid", Channel.SMS: "twilio", Channel.PUSH: "fcm"}
_TO = {Channel.EMAIL: "somebody@example.org", Channel.SMS: "+14155552345", Channel.PUSH: "somebody"}
_FROM = {Channel.EMAIL: "alerts@example.com", Channel.SMS: "+15005550006"}


def show(rendered: RenderedTemplate, url: str) -> str:
    """Put a preview on the page of the sandbox at that URL; return the address where it is shown.

    Raises UsageError for another machine's URL (previews go nowhere else) and for what a provider would refuse,
    AnswerIsNo where no sandbox answers.
    """
    base = _base(url)
    channel = Channel(rendered.message_type)
    request = replace(_request(rendered, channel), url=f"{base}/previews/{_AS[channel]}")
    answer = asyncio.run(_sent(request))
    if isinstance(answer, Failure) or answer.status != 201 or "location" not in answer.headers:
        why = answer.message if isinstance(answer, Failure) else f"it answered {answer.status}"
        raise AnswerIsNo(f"there is no sandbox at {base}: {why}", "notifyctl sandbox starts one, and says where")
    return f"{base}{answer.headers['location']}"


def _base(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        local = parts.scheme == "http" and parts.hostname in _LOCAL and parts.username is None
        port = parts.port
    except ValueError:
        raise UsageError(f"--sandbox {url!r} is no URL", "like http://127.0.0.1:8025") from None
    if not local:
        raise UsageError(f"--sandbox {url!r} is not on this machine", "like http://127.0.0.1:8025")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{host}:{port or 80}"


def _request(rendered: RenderedTemplate, channel: Channel) -> Request:
    message = Message(str(uuid.uuid4()), channel, _TO[channel], rendered.content, one_click=rendered.one_click)
    settings = {"from": _FROM[channel]} if channel in _FROM else {}
    account = {"project_id": "preview"} if channel is Channel.PUSH else None
    # Who asks needs no secret: the sandbox does not look at it here.
    nobody = Credentials("preview", "preview", settings, account, "preview")
    return built(registry.get(_AS[channel]), message, nobody)


async def _sent(request: Request) -> Response | Failure:
    wire = Wire()
    try:
        return await wire.send(request, TIMEOUT_S)
    finally:
        await wire.aclose()
