"""What a sender does while the files of its mail are being read."""

from __future__ import annotations

import asyncio
import time

import pytest

from notifyctl.core import attached
from notifyctl.core.errors import DatabaseUnavailable
from notifyctl.core.model import Channel, Message
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.files import Files
from notifyctl.dispatch.oneclick import OneClick
from notifyctl.dispatch.sender import Sender
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.templates import Templates
from notifyctl.providers.contract import Credentials
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.sendgrid import SendGrid
from notifyctl.providers.wire import Wire
from notifyctl.store.db.database import Database

CONTENT, _ = attached.apart({"subject": "x", "text": "x", "attachments": [{"filename": "a", "content": "QUJD"}]})
MAIL = Message("n1", Channel.EMAIL, "anna@example.org", CONTENT)


@pytest.mark.parametrize("left_s", [0.1, 30.0])
def test_a_call_that_was_never_begun_is_given_back(database: Database, left_s: float) -> None:
    """No time left, or told to stop, before the files were read: nothing was sent, and nobody has to wonder."""

    async def deliver() -> None:
        threads, wire = StoreThreads(database), Wire()
        files = Files(threads)
        settings = Credentials("SG.key", config={"base_url": "http://127.0.0.1:1", "from": "alerts@example.com"})
        sender = Sender(
            SendGrid(), settings, wire, TokenSource(), files, Templates(threads), OneClick(threads, Keyring({}), None)
        )
        try:
            async with files.turn:  # another mail's are being read, for long
                attempt = asyncio.create_task(sender.deliver(MAIL, 1.0, time.monotonic() + 1.0 + left_s))
                await asyncio.sleep(0.05)
                if left_s > 1:
                    attempt.cancel()
                with pytest.raises(DatabaseUnavailable):
                    await attempt
        finally:
            threads.close()
            await wire.aclose()

    asyncio.run(deliver())
