"""What each setting may be."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from notifyctl.core.amount import MOST
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel, OnCap, OnUnknown

if TYPE_CHECKING:
    from notifyctl.core.audit.anchoring import AnchorTerms
    from notifyctl.core.contact import CountryRules

ENVIRONMENT = {
    "database_url": "NOTIFYCTL_DATABASE_URL",
    "encryption_keys": "NOTIFYCTL_ENCRYPTION_KEYS",
    "encryption_keys_file": "NOTIFYCTL_ENCRYPTION_KEYS_FILE",
    "api_key": "NOTIFYCTL_API_KEY",
    "log_format": "NOTIFYCTL_LOG_FORMAT",
    "log_level": "NOTIFYCTL_LOG_LEVEL",
}
DISPATCH = ("concurrency", "batch_size", "processes", "lease", "poll", "drain", "bytes_in_flight")
_COUNTS = DISPATCH[:3]
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_POLICY = (
    "on_unknown",
    "on_cap",
    "cap_counts_transactional",
    "default_timezone",
    "contact_windows",
    "notification_limit",
    "api_limit",
)
_OTHERS = ("operator", "audit_anchor", "protected", "require_api_key", "provider_urls", "unsubscribe_url", "dispatch")
_COMMANDS = ("on_change",)
_WEBHOOKS = ("webhook_loopback", "webhook_ports", "webhook_proxy", "webhook_proxy_login_file")
SETTINGS = (*ENVIRONMENT, *_OTHERS, *_COMMANDS, *_WEBHOOKS, *_POLICY)
_TEXTS = (
    *("database_url", "encryption_keys", "encryption_keys_file", "api_key", "operator"),
    "webhook_proxy_login_file",
)
_FLAGS = ("protected", "require_api_key", "cap_counts_transactional", "webhook_loopback")
_WORDS = {str: "text", bool: "true or false", dict: "a table"}


def checked(key: str, value: Any, origin: str) -> Any:
    """Return a setting's value; raise UsageError, which names where it is from, for one that cannot be meant."""
    try:
        if key in _TEXTS:
            return _typed(value, str)
        if key in _FLAGS:
            return _typed(value, bool)
        if key == "provider_urls":
            return _provider_urls(_typed(value, dict), origin)
        if key == "on_unknown":
            return dict(_on_unknown(*each) for each in _typed(value, dict).items())
        if key == "dispatch":
            return {name: _of_dispatch(name, item) for name, item in _typed(value, dict).items()}
        if key == "on_cap":
            return OnCap(_one_of(value, tuple(OnCap)))
        if key == "default_timezone":
            return _zone(_typed(value, str), origin)
        if key in ("notification_limit", "api_limit"):
            return _limit(value, "notifications" if key == "notification_limit" else "calls")
        if key == "contact_windows":
            return _contact_windows(_typed(value, dict))
        if key == "unsubscribe_url":
            return _unsubscribe_url(_typed(value, str))
        if key == "audit_anchor":
            return _audit_anchor(_typed(value, dict))
        if key in ("webhook_ports", "webhook_proxy", "on_change"):
            return {"webhook_ports": _ports, "webhook_proxy": _proxy, "on_change": _words}[key](value)
        if key == "log_format":
            return _one_of(value, ("text", "json"))
        if key == "log_level":
            return _one_of(str(value).upper(), _LOG_LEVELS)
    except KeyError as error:
        raise UsageError(f"{origin}: {key}.{error.args[0]} is no setting", f"{key}: {', '.join(DISPATCH)}") from error
    except (ValueError, TypeError) as error:
        where = ENVIRONMENT[key] if origin == "environment" and key in ENVIRONMENT else f"{origin}: {key}"
        raise UsageError(f"{where}: {error}") from error
    raise UsageError(f"{origin}: {key} is no setting", f"settings: {', '.join(SETTINGS)}")


def _of_dispatch(name: str, value: Any) -> int | str:
    if name not in DISPATCH:
        raise KeyError(name)
    if name not in _COUNTS:
        return str(value)
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is a number from 1 on, not {value!r}")
    return value


def _limit(value: Any, what: str) -> int:
    if type(value) is not int or not 1 <= value <= MOST:
        raise ValueError(f"is a number of {what} a minute, 1 to {MOST:,}, not {value!r}")
    return value


def _provider_urls(urls: Mapping[str, Any], origin: str) -> dict[str, str]:
    return {str(name): _provider_url(str(name), _typed(url, str), origin) for name, url in urls.items()}


def _provider_url(name: str, url: str, origin: str) -> str:
    whose = f"NOTIFYCTL_{name.upper()}_URL: " if origin == "environment" else f"{name}: "
    if urlsplit(url).password:
        raise ValueError(f"{whose}holds a password, which would be shown and not sent")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ValueError(f"{whose}{url!r} is no http or https address")
    return url.rstrip("/")


def _zone(name: str, origin: str) -> str:
    from notifyctl.core.zones import parse  # loaded where it is configured

    return parse(name, f"{origin}: default_timezone")


def _contact_windows(table: Mapping[str, Any]) -> dict[str, CountryRules]:
    from notifyctl.core.contact import ANYBODY, parse

    return {country: parse(country, rules, of_anybody=ANYBODY in table) for country, rules in table.items()}


def _unsubscribe_url(url: str) -> str:
    from notifyctl.core.unsubscribe import checked_url  # loaded where it is configured

    return checked_url(url)


def _ports(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(each) is int and 0 < each < 65_536 for each in value):
        raise ValueError(f"is a list of ports, such as [443, 8443, 9443], not {value!r}")
    return tuple(sorted(set(value)))


def _proxy(url: Any) -> str:
    from notifyctl.core.webhook.proxy import proxy  # loaded where it is configured

    return f"http://{proxy(_typed(url, str))}"


def _audit_anchor(table: Mapping[str, Any]) -> AnchorTerms:
    from notifyctl.core.audit.anchoring import parse

    return parse(table)


def _words(value: Any) -> tuple[str, ...]:
    """Return a command: a list of its words, or a text that is split as a shell does; no shell runs it."""
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(each, str) and "\0" not in each for each in words):
        raise TypeError("is neither a command nor a list of its words")
    if not words or not words[0]:
        raise ValueError("names no command")
    return tuple(words)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"is not {_WORDS[kind]}")  # without the value: it may be a secret
    return value


def _on_unknown(channel: str, act: str) -> tuple[Channel, OnUnknown]:
    return Channel(_one_of(channel, tuple(Channel))), OnUnknown(_one_of(act, tuple(OnUnknown)))


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value
