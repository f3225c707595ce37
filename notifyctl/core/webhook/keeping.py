"""A webhook's secrets as they are kept: sealed as bytes, for whose base64 their columns have no room."""

from __future__ import annotations

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


def secrets(webhook: Webhook, keyring: Keyring, now: int) -> tuple[bytes, ...]:
    """Return the secrets that sign at a moment, the newest first. Raises NotAllowed for one that does not open."""
    return opened(
        keyring, webhook.id, webhook.secret_key, signing(webhook.previous_secret, webhook.previous_secret_ends, now)
    )


def newest(webhook: Webhook, keyring: Keyring) -> bytes:
    """Return the current secret, whether the one before it opens or not. Raises NotAllowed where this one does not."""
    return keyring.open_bytes(webhook.secret_key, place(webhook.id))


def signing(previous_secret: str | None, ends: int | None, now: int) -> str | None:
    """Return a previous secret, if it signs as well at a moment."""
    return previous_secret if (ends or 0) > now else None


def opened(keyring: Keyring, webhook_id: str, secret_key: str, previous_secret: str | None) -> tuple[bytes, ...]:
    """Return the secrets of these columns. Raises NotAllowed for one that does not open."""
    newest = keyring.open_bytes(secret_key, place(webhook_id))
    if previous_secret is None:
        return (newest,)
    return newest, keyring.open_bytes(previous_secret, place(webhook_id, PREVIOUS_SECRET))
