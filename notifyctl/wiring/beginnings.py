"""What completion reads of the database: without writing a thing, and only for an API key that may."""

from __future__ import annotations

from dataclasses import replace

from notifyctl.config import Settings
from notifyctl.core.errors import NotAllowed
from notifyctl.core.model import Actor
from notifyctl.core.scope import Scope
from notifyctl.services import beginnings as service
from notifyctl.services.admission import judged
from notifyctl.wiring import System

_SCOPES = {
    "user": Scope.USERS_LIST,
    "provider": Scope.PROVIDERS_READ,
    "template": Scope.TEMPLATES_READ,
    "notification": Scope.NOTIFICATIONS_READ,
    "dead_letter": Scope.DLQ_READ,
    "key": Scope.KEYS_READ,
    "category": Scope.CATEGORIES_READ,
    "batch": Scope.BATCHES_READ,
    "webhook": Scope.WEBHOOKS_READ,
}
"""What a key needs to have values of a kind completed."""


def beginnings(settings: Settings, kind: str, beginning: str) -> list[tuple[str, str]]:
    """Return values of a kind that begin so, each with a description.

    Raises NotAllowed without the key that the settings demand, or with one that is not good for this.
    """
    if kind not in _SCOPES:
        return []
    system = System(_for_reading(settings), _SCOPES[kind])
    try:
        system.unchecked.require_version()
        return service.find(system.unchecked.acting_for(_actor(system)), kind, beginning)
    finally:
        system.close()


def _actor(system: System) -> Actor:
    """Return who asks. Raises as `System.admitted` does, but only looks at the key: its last use stays as it is."""
    settings = system.settings
    if settings.api_key is not None:
        key, _ = judged(system.unchecked, settings.api_key, system.scope)
        return Actor(key.user_id, grant=key.grant)
    if settings.require_api_key:
        raise NotAllowed("this profile demands an API key")
    return Actor()


def _for_reading(settings: Settings) -> Settings:
    url = settings.database_url
    if not url.startswith("sqlite:"):
        return settings
    return replace(settings, database_url=f"{url}{'&' if '?timeout=' in url else '?'}mode=ro")
