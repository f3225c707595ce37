"""Changing a provider's credentials and settings: what was given is checked, sealed and put over the old ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any
from urllib.parse import urlsplit

from notifyctl.core.errors import NotAllowed, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Cause, Hold
from notifyctl.core.host import is_loopback
from notifyctl.core.model import Actor
from notifyctl.core.provider import SECRET_WIDTH, ProviderConfig
from notifyctl.core.sealing import Keyring, holds_secret
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Described, Traceable
from notifyctl.providers.shapes import meant
from notifyctl.providers.unseal import open_credentials

_OF_CREDENTIALS = re.compile(r"\b40[13]\b|credential|\bkey\b|token|authori|authenti", re.IGNORECASE)
_BOTH = "--api-key - --api-secret -"
_WHERE = ("base_url", "host", "port", "security")
"""Settings that say where the secrets go, and whether everybody on the way reads them."""
_HINT = "--api-key, --api-secret, --credentials and --set KEY=VALUE give them"


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be set; None leaves a thing as it is. A setting of None is removed, a rate limit of 0 too."""

    api_key: str | None = field(default=None, repr=False)
    api_secret: str | None = field(default=None, repr=False)
    service_account: Mapping[str, Any] | None = field(default=None, repr=False)
    settings: Mapping[str, str | bool | None] = field(default_factory=dict)
    rate_limit: int | None = None
    timeout_seconds: int | None = None
    priority: int | None = None
    keep_credentials: bool = False

    @property
    def touches_credentials(self) -> bool:
        """Whether the adapter has to look at it."""
        secrets = (self.api_key, self.api_secret, self.service_account)
        return bool(self.settings) or any(each is not None for each in secrets)

    def plain(self) -> dict[str, Any]:
        """Return what is set of the columns that are no secret."""
        values = {
            "rate_limit": self.rate_limit,
            "timeout_seconds": self.timeout_seconds,
            "priority": self.priority,
        }
        chosen: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
        if chosen.get("rate_limit") == 0:
            chosen["rate_limit"] = None
        return chosen


def applied(config: ProviderConfig, given: Given, keyring: Keyring) -> ProviderConfig:
    """Return `config` with what is given in it, secrets sealed; what is not given keeps its sealed form.

    Of a service account's key file the `private_key_id` is the API key. Raises UsageError for a setting that the
    provider does not have and a secret that is too long, NotAllowed without an encryption key.
    """
    _refuse_unknown(config.provider_name, given.settings)
    settings = {**config.config, **given.settings}
    api_key, api_secret, account = config.api_key, config.api_secret, config.service_account
    plain_key = given.api_key if given.service_account is None else given.service_account["private_key_id"]
    if plain_key is not None:
        api_key = keyring.seal(plain_key, config.place("api_key"), SECRET_WIDTH)
    if given.api_secret is not None:
        api_secret = None  # which an empty one comes to
    if given.api_secret:
        api_secret = keyring.seal(given.api_secret, config.place("api_secret"), SECRET_WIDTH)
    if given.service_account is not None:
        account = keyring.seal(json.dumps(dict(given.service_account)), config.place("config_json"))
    return replace(
        config,
        api_key=api_key,
        api_secret=api_secret,
        service_account=account,
        config={key: value for key, value in settings.items() if value is not None},
        **given.plain(),
    )


def refuse_leaving(old: ProviderConfig, new: ProviderConfig, given: Given, actor: Actor) -> None:
    """Refuse to send secrets that were entrusted to one address to another one: whoever repoints it knows them.

    An operator may say that they stay the same; the user of an API key may not. Raises UsageError, NotAllowed.
    """
    moved = [name for name in _WHERE if _place(old, name) != _place(new, name)]
    plain = {"api_key": given.api_key, "api_secret": given.api_secret, "service_account": given.service_account}
    if given.service_account is not None:
        plain["api_key"] = given.service_account
    stored = {"api_key": old.api_key, "api_secret": old.api_secret, "service_account": old.service_account}
    kept = [name for name, sealed in stored.items() if sealed and holds_secret(sealed) and plain[name] is None]
    if not moved or not kept:
        return
    if not given.keep_credentials:
        raise UsageError(
            f"{old.provider_name}: {', '.join(moved)} is another, and the stored credentials would go there",
            f"give the credentials again, or as an operator --keep-credentials: {replacing(old.provider_name)}",
        )
    if actor.user_id is not None:
        raise NotAllowed(
            "--keep-credentials is for an operator without an API key",
            f"give them again: {replacing(old.provider_name)}",
        )


def _place(config: ProviderConfig, name: str) -> str:
    return str(config.config.get(name) or "").rstrip("/")


def checked(config: ProviderConfig, keyring: Keyring) -> Credentials:
    """Return the credentials in plain; raise UsageError with all that the provider's adapter objects to.

    Raises NotAllowed for a secret that does not open.
    """
    opened = open_credentials(config, keyring, {})
    adapter = registry.get(config.provider_name)
    problems = adapter.check(opened)
    if config.polled and not isinstance(adapter, Traceable):
        problems = [*problems, "it cannot be asked what became of messages: receipts must be absent"]
    if problems:
        raise UsageError(f"{config.provider_name}: {'; '.join(problems)}", _HINT)
    return opened


def exposed(provider: str, settings: Mapping[str, Any], urls: Mapping[str, str], *, secrets: bool) -> str | None:
    """Return a warning where the secrets go over a network for everybody to read, None where they do not.

    `urls` stand above the configured base URLs; `secrets` says whether there are any.
    """
    if provider == "smtp":
        host = str(settings.get("host") or "") if settings.get("security") == "none" else ""
        instead = "--set security=starttls"
    else:
        host, instead = _plain_host(urls.get(provider) or str(settings.get("base_url") or "")), "an https address"
    if not host or not secrets or is_loopback(host):
        return None
    return f"warning: {provider}: the credentials go to {host} unencrypted; {instead} prevents that"


def replacing(provider: str) -> str:
    """Return the command that gives a provider other credentials."""
    options = {"fcm": "--credentials FILE", "twilio": _BOTH, "smtp": _BOTH}
    return f"notifyctl providers update {provider} {options.get(provider, '--api-key -')}"


def out_of_hold(provider: str, hold: str, cause: str | None, reason: str | None) -> str:
    """Return the command that ends a provider's hold, or shows more of one that ends by itself."""
    if hold == Hold.DISABLED:
        return f"notifyctl providers enable {provider}"
    if hold != Hold.PAUSED:  # it closes by itself: what can be done is to look
        return f"notifyctl providers show {provider}"
    if cause != Cause.CONFIG or not _OF_CREDENTIALS.search(reason or ""):
        return f"notifyctl providers resume {provider}"
    return replacing(provider)


def _plain_host(url: str) -> str:
    """Return the host of an http address; an empty text for any other, and for what is no address."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme == "http" else ""
    except ValueError:
        return ""


def _refuse_unknown(provider: str, given: Mapping[str, Any]) -> None:
    """Raise UsageError for a setting that the adapter does not declare; one that is stored can be removed."""
    adapter = registry.get(provider)
    if not isinstance(adapter, Described):
        return
    unknown = [name for name, value in given.items() if value is not None and name not in adapter.settings]
    if unknown:
        said = "; ".join(f"no setting is called {name!r}{meant(name, adapter.settings)}" for name in unknown)
        raise UsageError(f"{provider}: {said}", f"{provider} has: {', '.join(adapter.settings)}")


def parse_service_account(text: str, source: str) -> dict[str, Any]:
    """Return the key file of a service account, whose key can sign. Raises UsageError without showing it."""
    try:
        account = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        account = None
    if not isinstance(account, dict) or not isinstance(account.get("private_key_id"), str):
        raise UsageError(f"{source} is no key file of a service account: JSON with a private_key_id")
    key = account.get("private_key")
    if isinstance(key, str) and key and not _is_rsa(key):
        raise UsageError(f"{source}: the private_key is no RSA key in PEM, which Google's tokens need", _hint(key))
    return account


def _is_rsa(key: str) -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return isinstance(load_pem_private_key(key.encode(), None), RSAPrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _hint(key: str) -> str:
    whole = "give the file as it was downloaded, or make a new key file"
    if "\\n" in key:
        return rf"its line breaks became \n in letters, as where it was escaped twice (JSON wants \n once); {whole}"
    return f"it is cut, changed, encrypted or of another kind; {whole}"
