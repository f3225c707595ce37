"""A provider's settings, as people write them."""

from __future__ import annotations

from notifyctl.core.errors import UsageError

# `config_json` is not encrypted.
_SECRET_WORDS = ("api_key", "api_secret", "password", "private_key", "service_account", "token", "secret")


def setting(name: str, text: str) -> str | bool | None:
    """Return what a setting is stored as, None for no text. Raises UsageError for what would be a secret."""
    if any(word in name.lower() for word in _SECRET_WORDS):
        raise UsageError(f"{name}: settings are not encrypted", "--api-key, --api-secret or --credentials")
    return {"": None, "true": True, "false": False}.get(text, text)
