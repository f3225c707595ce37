"""The links by which people leave what a mail is about; signed with a key that is read once."""

from __future__ import annotations

import asyncio

from notifyctl.core import unsubscribe
from notifyctl.core.model import Subscription
from notifyctl.core.sealing import Keyring
from notifyctl.core.unsubscribe import SigningKey
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import signing


class OneClick:
    """Makes the links; without a `url`, none is made."""

    def __init__(self, threads: StoreThreads, keyring: Keyring, url: str | None) -> None:
        self._threads = threads
        self._keyring = keyring
        self._url = url
        self._key: SigningKey | None = None
        self._turn = asyncio.Lock()

    async def link(self, subscription: Subscription) -> str | None:
        """Return the link. Raises NotAllowed without the encryption key, and whatever keeps the database away."""
        if self._url is None:
            return None
        key = self._key or await self._read()
        return unsubscribe.link(self._url, unsubscribe.token(key, subscription))

    async def _read(self) -> SigningKey:
        async with self._turn:  # of many that want it at once, one reads
            if self._key is None:
                keyring, purpose = self._keyring, unsubscribe.PURPOSE
                self._key = await self._threads.write(lambda tx: signing.find_or_make(tx, keyring, purpose))
            return self._key
