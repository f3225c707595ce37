"""Twilio's StatusCallback: it tells the address that a message names how the message is doing, signed.

Source: twilio.com/docs/messaging/guides/track-outbound-message-status and .../usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha1
from hmac import new as hmac
from urllib.parse import urlsplit

import aiohttp

from notifyctl.core.host import is_loopback
from notifyctl.sandbox.identity import TWILIO_TOKEN

WAITING = 1_000
"""How many messages may have calls ahead of them; those of further messages are left out."""
TIMEOUT_SECONDS = 5

Step = tuple[float, Mapping[str, str]]
"""After how many seconds from the message's acceptance what is told."""


def signature(url: str, form: Mapping[str, str], token: str = TWILIO_TOKEN) -> str:
    """Return the X-Twilio-Signature of a form that is posted to this address."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return b64encode(hmac(token.encode(), signed.encode(errors="replace"), sha1).digest()).decode()


def is_ours_to_call(url: str) -> bool:
    """Return whether an address is on this machine; nothing else is ever called."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
    except ValueError:
        return False


class Callbacks:
    """The calls that are still to be made, in this event loop. Close it at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def plan(self, url: str, steps: Sequence[Step]) -> None:
        """Make these calls in time, each once and whatever comes of it, where the address is ours to call."""
        if not is_ours_to_call(url) or len(self._tasks) >= WAITING:
            return
        task = asyncio.get_running_loop().create_task(_call(url, steps))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Leave out what is still to come."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _call(url: str, steps: Sequence[Step]) -> None:
    began = asyncio.get_running_loop().time()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for after_s, form in steps:
            await asyncio.sleep(began + after_s - asyncio.get_running_loop().time())
            headers = {"X-Twilio-Signature": signature(url, form), "User-Agent": "TwilioProxy/1.1"}
            try:
                async with session.post(url, data=form, headers=headers, allow_redirects=False):
                    pass
            except (aiohttp.ClientError, TimeoutError):
                continue
