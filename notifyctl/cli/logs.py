"""Logging to stderr, as text or JSON lines."""

from __future__ import annotations

import logging
import sys

from notifyctl.config import Settings

EACH_SEND = "notifyctl.dispatch.books"
"""The logger that has a line for each notification: at DEBUG, or with `-v`."""
_TIME = "%Y-%m-%dT%H:%M:%S%z"  # whoever reads a log after weeks, or elsewhere, has no other clock to go by
# httpx logs URLs at INFO, and Twilio's carry the account.
_NOISY = ("httpx", "httpcore", "asyncio", "aiohttp.access", "google", "urllib3")


def configure(settings: Settings, *, debug: bool, verbose: bool) -> None:
    """Set up the root logger: WARNING by default, INFO with `-v`, DEBUG with `--debug`."""
    level = "DEBUG" if debug else settings.log_level or ("INFO" if verbose else "WARNING")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger(EACH_SEND).setLevel(logging.DEBUG if verbose else logging.NOTSET)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """Return what makes lines of what is logged."""
    if form == "json":
        from pythonjsonlogger.json import JsonFormatter

        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        return JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", _TIME, rename_fields=names)
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s", _TIME)
