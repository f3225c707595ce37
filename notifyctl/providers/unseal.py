"""From a provider's stored configuration to the credentials that its adapter takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.errors import NotAllowed
from notifyctl.core.json_codec import lenient
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring
from notifyctl.providers.contract import Credentials


def open_credentials(config: ProviderConfig, keyring: Keyring, urls: Mapping[str, str]) -> Credentials:
    """Return the decrypted credentials; `urls` holds base URLs by provider that stand above the configured ones.

    Raises NotAllowed for a secret that does not open.
    """
    settings = dict(config.config)
    if config.provider_name in urls:
        settings["base_url"] = urls[config.provider_name]
    sealed_secret, sealed_account = config.api_secret, config.service_account
    return Credentials(
        api_key=keyring.open(config.api_key, config.place("api_key")),
        api_secret=None if sealed_secret is None else keyring.open(sealed_secret, config.place("api_secret")),
        config=settings,
        service_account=None if sealed_account is None else _account(config, sealed_account, keyring),
    )


def _account(config: ProviderConfig, sealed: str, keyring: Keyring) -> dict[str, Any]:
    account = lenient(keyring.open(sealed, config.place("config_json")))
    if not isinstance(account, dict):
        raise NotAllowed(f"the service account of {config.provider_name} is not JSON", "enter the credential again")
    return account
