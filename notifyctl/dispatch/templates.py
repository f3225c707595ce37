"""The templates from which the notifications that are being sent are rendered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from notifyctl.core.model import Message
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.source import Source
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import template_sources
from notifyctl.store.templates import VersionKey

if TYPE_CHECKING:
    from notifyctl.core.template.render import Renderer

KEPT = 500
"""How many versions are kept: they never change."""


class Templates:
    """Reads each version once, and renders messages from it."""

    def __init__(self, threads: StoreThreads) -> None:
        self._threads = threads
        self._kept: dict[VersionKey, Source] = {}
        self._turn = asyncio.Lock()
        self._renderer: Renderer | None = None

    async def rendered(self, message: Message) -> Message:
        """Return the message with its text. Raises TemplateError."""
        if message.template is None:
            return message
        # Here: the engine is loaded by whoever needs it.
        from notifyctl.core.rendering import render
        from notifyctl.core.template.render import Renderer

        self._renderer = self._renderer or Renderer()
        id_, number, _ = message.template
        source = self._kept.get((id_, number)) or await self._read((id_, number))
        return render(self._renderer, source, message)

    async def _read(self, key: VersionKey) -> Source:
        async with self._turn:  # of many that want it at once, one reads
            if key in self._kept:
                return self._kept[key]
            source = await self._threads.read(lambda tx: template_sources.source(tx, key))
            if source is None:
                raise TemplateError(f"version {key[1]} of template {key[0]} is gone")
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = source
            return source
