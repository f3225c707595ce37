"""The files of the mails that are being sent."""

from __future__ import annotations

import asyncio

from notifyctl.core import attached
from notifyctl.core.content import InvalidPayload
from notifyctl.core.model import Message
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import attachments


class Files:
    """Reads them when their mail's request is built.

    `turn` is for one mail at a time: while a request is built its files are in memory a few times over.
    """

    def __init__(self, threads: StoreThreads) -> None:
        self.turn = asyncio.Lock()
        self._threads = threads

    async def whole(self, message: Message) -> Message:
        """Return the message with its files. Raises InvalidPayload, naming one that is gone or damaged."""
        if not (digests := attached.digests(message.content)):
            return message
        files = await self._threads.read(lambda tx: attachments.read(tx, digests))
        if (why := attached.lost(message.content, files)) is not None:
            raise InvalidPayload(why)
        return message._replace(content=attached.whole(message.content, files))
