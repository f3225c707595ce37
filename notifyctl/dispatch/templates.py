"""The templates from which the notifications that are being sent are rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from notifyctl.core.model import Message, TemplateRef
from notifyctl.core.template.failure import TemplateError
from notifyctl.dispatch.storethreads import StoreThreads

if TYPE_CHECKING:
    from notifyctl.core.template.source import Source
    from notifyctl.store.templates import VersionKey

KEPT = 500
"""How many versions are kept: they never change."""


class Templates:
    """Reads each version once, and renders messages from it."""

    def __init__(self, threads: StoreThreads) -> None:
        self._threads = threads
        self._kept: dict[VersionKey, Source] = {}
        self._turn = asyncio.Lock()
        self._render: Callable[[Source, Message], Message] | None = None

    def kept(self, wanted: TemplateRef) -> Source | None:
        """Return what is rendered, where it was read before."""
        return self._kept.get((wanted.id, wanted.version))

    def render(self, source: Source, message: Message) -> Message:
        """Return the message with its text. Raises TemplateError."""
        render = self._render = self._render or _renderer()
        return render(source, message)

    async def read(self, wanted: TemplateRef) -> Source:
        """Return what is rendered. Raises TemplateError where it is gone."""
        from notifyctl.store import template_sources  # with the first template

        key = (wanted.id, wanted.version)
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


def _renderer() -> Callable[[Source, Message], Message]:
    # Here: the engine is loaded by whoever needs it.
    from notifyctl.core.rendering import render
    from notifyctl.core.template.render import Renderer

    return partial(render, Renderer())
