"""Logging to stderr, as text or JSON lines."""

from __future__ import annotations

import logging
import sys

from notifyctl.config import Settings

# httpx logs URLs at INFO, and Twilio's carry the account.
_NOISY = ("httpx", "httpcore", "asyncio", "aiohttp.access", "google", "urllib3")


def configure(settings: Settings, *, debug: bool, verbose: bool) -> None:
    """Set up the root logger: WARNING by default, INFO with `-v`, DEBUG with `--debug`."""
    level = "DEBUG" if debug else settings.log_level or ("INFO" if verbose else "WARNING")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings.log_format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _formatter(form: str) -> logging.Formatter:
    if form == "json":
        from pythonjsonlogger.json import JsonFormatter

        return JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
