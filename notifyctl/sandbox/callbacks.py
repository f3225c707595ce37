"""Twilio's StatusCallback: signed POSTs of a message's status to the address that the message names.

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
"""How many messages may have callbacks pending; further messages get none."""
TIMEOUT_SECONDS = 5

Step = tuple[float, Mapping[str, str]]
"""Seconds after the message's acceptance, and the form that is posted then."""


def signature(url: str, form: Mapping[str, str], token: str = TWILIO_TOKEN) -> str:
    """Return the X-Twilio-Signature of a form that is posted to this address."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return b64encode(hmac(token.encode(), signed.encode(errors="replace"), sha1).digest()).decode()


def is_ours_to_call(url: str) -> bool:
    """Return whether an address is on this machine (loopback); no other is ever called."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
    except ValueError:
        return False


class Callbacks:
    """Makes the callbacks at their time, in this event loop. Close it at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def plan(self, url: str, steps: Sequence[Step]) -> None:
        """Post these forms to `url` at their times, once each, whatever it answers; only if it is loopback."""
        if not is_ours_to_call(url) or len(self._tasks) >= WAITING:
            return
        task = asyncio.get_running_loop().create_task(_call(url, steps))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Cancel the callbacks that are still to be made."""
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
