"""Servers of HTTP on loopback, without a framework's parts that are not needed here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

_log = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether a record is of a defect here: what is no HTTP is the caller's, and so is that it went."""
    return record.exc_info is None or not isinstance(record.exc_info[1], (HttpProcessingError, ConnectionError))


_log.addFilter(_is_ours)


def server(take: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], max_bytes: int, **how: Any) -> web.Server:
    """Return a server, made in the event loop that runs it; a body of more than so many bytes is refused."""
    loop = asyncio.get_running_loop()

    def request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_bytes)

    return web.Server(take, request_factory=request, access_log=None, logger=_log, **how)
