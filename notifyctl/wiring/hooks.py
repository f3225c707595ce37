"""The way out to receivers of webhooks, as the configuration says."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from notifyctl.config import read_login
from notifyctl.core.webhook.target import HookReach
from notifyctl.providers.hookwire import HookWire


def hook_wire(reach: HookReach, proxy: str | None, login_file: Path | None) -> HookWire:
    """Return the connections to receivers. The file is read for each tunnel: it may be another by then."""
    login = None if login_file is None else partial(read_login, login_file)
    return HookWire(loopback=reach.loopback, ports=reach.ports, proxy=proxy, login=login)
