"""Logging to stderr, as text or JSON lines: ids and hashes of addresses, never an address or what somebody wrote."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from notifyctl.config import Settings
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.private import derived, without_people
from notifyctl.core.sealing import Keyring

KeysByNeed = Callable[[], Keyring]

EACH_SEND = "notifyctl.dispatch.books"
"""The logger that has a line for each notification: at DEBUG, or with `-v`."""
_TIME = "%Y-%m-%dT%H:%M:%S%z"  # whoever reads a log after weeks, or elsewhere, has no other clock to go by
# httpx logs URLs at INFO, and Twilio's carry the account.
_NOISY = ("httpx", "httpcore", "asyncio", "aiohttp.access", "google", "urllib3")


def configure(settings: Settings, keys: KeysByNeed, *, debug: bool, verbose: bool) -> None:
    """Set up the root logger: WARNING by default, INFO with `-v`, DEBUG with `--debug`.

    `keys` are read where there is an address to hash.
    """
    level = "DEBUG" if debug else settings.log_level or ("INFO" if verbose else "WARNING")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings.log_format, keys))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger(EACH_SEND).setLevel(logging.DEBUG if verbose else logging.NOTSET)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter(form: str, keys: KeysByNeed) -> logging.Formatter:
    """Return what makes lines of what is logged."""
    if form == "json":
        from pythonjsonlogger.json import JsonFormatter

        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        written = "%(asctime)s %(levelname)s %(name)s %(message)s"
        return _Private(JsonFormatter(written, _TIME, rename_fields=names), keys)
    return _Private(logging.Formatter("%(asctime)s %(levelname)s %(message)s", _TIME), keys)


class _Private(logging.Formatter):
    """Writes lines as another does, but for what tells of people."""

    def __init__(self, inner: logging.Formatter, keys: KeysByNeed) -> None:
        super().__init__()
        self._inner = inner
        self._keys = keys
        inner.formatException = _without_words  # type: ignore[method-assign, assignment]

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return without_people(self._inner.format(record), self._key)

    def _key(self) -> bytes | None:
        try:
            return next((derived(each) for each in self._keys().keys.values()), None)
        except NotifyctlError:
            return None


def _without_words(error: Any) -> str:
    """Return a traceback; what exceptions say may quote anything, but for our own."""
    return "\n".join(line for each in _chain(error[1]) for line in _told(each))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.insert(0, error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    yield from seen


def _told(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__))
    yield f"{type(error).__name__}: {error.message}" if isinstance(error, NotifyctlError) else type(error).__name__
