"""What completion reads of the database: without writing a thing, and only for an API key that may."""

from __future__ import annotations

from dataclasses import replace

from notifyctl.config import Settings
from notifyctl.core.errors import NotAllowed
from notifyctl.services import beginnings as service
from notifyctl.services import keys
from notifyctl.wiring import System


def beginnings(settings: Settings, kind: str, beginning: str) -> list[tuple[str, str]]:
    """Return values of a kind that begin so, each with a description.

    Raises NotAllowed without the key that the settings demand, or with one that is not valid.
    """
    system = System(_for_reading(settings))
    try:
        _require_admission(system)
        return service.find(system.unchecked, kind, beginning)
    finally:
        system.close()


def _require_admission(system: System) -> None:
    """Raise as `System.admitted` does, but only look at the key: its last use stays as it is."""
    settings = system.settings
    system.unchecked.require_version()
    if settings.api_key is not None:
        verdict = keys.verify(system.unchecked, settings.api_key)
        if not verdict.valid:
            raise NotAllowed(verdict.reason or "the key is not valid")
    elif settings.require_api_key:
        raise NotAllowed("this profile demands an API key")


def _for_reading(settings: Settings) -> Settings:
    url = settings.database_url
    if not url.startswith("sqlite:"):
        return settings
    return replace(settings, database_url=f"{url}{'&' if '?timeout=' in url else '?'}mode=ro")
