"""A webhook's secrets as they are kept: sealed as bytes, for whose base64 their columns have no room."""

from __future__ import annotations

from typing import Protocol

from notifyctl.core.sealing import Keyring, Place
from notifyctl.core.webhook.webhook import PREVIOUS_SECRET, SECRET, TABLE, Webhook

WIDTH = 64
"""Of the columns: 24 bytes fit, whatever key seals them."""


def place(webhook_id: str, column: str = SECRET) -> Place:
    """Return where a webhook's secret stands, or its previous one."""
    return Place(TABLE, webhook_id, column)


def sealed(keyring: Keyring, secret: bytes, at: Place) -> str:
    """Return a secret as it is stored. Raises NotAllowed without an encryption key, UsageError for one too long."""
    return keyring.seal_bytes(secret, at, WIDTH)


class HoldsSecrets(Protocol):
    """A webhook's columns, wherever they were read."""

    # ruff: noqa: D102
    @property
    def secret_key(self) -> str: ...
    @property
    def previous_secret(self) -> str | None: ...
    @property
    def previous_secret_ends(self) -> int | None: ...


def secrets(webhook: Webhook, keyring: Keyring, now: int) -> tuple[bytes, ...]:
    """Return the secrets that sign at a moment, the newest first. Raises NotAllowed for one that does not open."""
    return opened(webhook.id, webhook, keyring, now)


def opened(webhook_id: str, of: HoldsSecrets, keyring: Keyring, now: int) -> tuple[bytes, ...]:
    """The same, of the webhook with that id."""
    newest = keyring.open_bytes(of.secret_key, place(webhook_id))
    if of.previous_secret is None or (of.previous_secret_ends or 0) <= now:
        return (newest,)
    return newest, keyring.open_bytes(of.previous_secret, place(webhook_id, PREVIOUS_SECRET))
