"""What an API key may be for: a scope is declared on each command, and a key may what one of its scopes covers.

A scope of reading covers no writing, and the other way round; `users:read` and `users:write` cover `users:list`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

from notifyctl.core.errors import UsageError


class Scope(StrEnum):
    """One of the names in a key's `scopes`. What each is for is in `ABOUT`."""

    MIGRATE_READ = "migrate:read"
    MIGRATE_WRITE = "migrate:write"
    USERS_LIST = "users:list"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    PROVIDERS_READ = "providers:read"
    PROVIDERS_WRITE = "providers:write"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_WRITE = "templates:write"
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_SUBMIT = "notifications:submit"
    NOTIFICATIONS_WRITE = "notifications:write"
    BATCHES_READ = "batches:read"
    BATCHES_WRITE = "batches:write"
    DISPATCH_RUN = "dispatch:run"
    DLQ_READ = "dlq:read"
    DLQ_WRITE = "dlq:write"
    SUPPRESSIONS_READ = "suppressions:read"
    SUPPRESSIONS_WRITE = "suppressions:write"
    CATEGORIES_READ = "categories:read"
    CATEGORIES_WRITE = "categories:write"
    PREFS_READ = "prefs:read"
    PREFS_WRITE = "prefs:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    LIMITS_READ = "limits:read"
    LIMITS_WRITE = "limits:write"
    FIXTURES_READ = "fixtures:read"
    FIXTURES_WRITE = "fixtures:write"
    RECEIPTS_WRITE = "receipts:write"
    METRICS_READ = "metrics:read"
    METRICS_WRITE = "metrics:write"
    STATUS_READ = "status:read"
    AUDIT_READ = "audit:read"
    AUDIT_WRITE = "audit:write"
    SECRETS_READ = "secrets:read"
    SECRETS_WRITE = "secrets:write"


OPEN: Final = None
"""The declaration of a command for which no scope is asked: it works on no database."""

ABOUT = {
    Scope.MIGRATE_READ: "look at the schema's version",
    Scope.MIGRATE_WRITE: "create, upgrade and take back the schema",
    Scope.USERS_LIST: "look at users, their addresses masked",
    Scope.USERS_READ: "look at users, and see addresses in full wherever one is shown",
    Scope.USERS_WRITE: "create, change, import and delete users and their contact points",
    Scope.KEYS_READ: "look at API keys",
    Scope.KEYS_WRITE: "make, rotate and revoke API keys: none that may more than this one",
    Scope.PROVIDERS_READ: "look at providers, never at their secrets",
    Scope.PROVIDERS_WRITE: "set up, test, pause and remove providers",
    Scope.TEMPLATES_READ: "look at templates, render and check them",
    Scope.TEMPLATES_WRITE: "write, publish and remove templates",
    Scope.NOTIFICATIONS_READ: "look at notifications, their content too",
    Scope.NOTIFICATIONS_SUBMIT: "submit notifications, and send sent ones again",
    Scope.NOTIFICATIONS_WRITE: "cancel, restore and reschedule notifications",
    Scope.BATCHES_READ: "look at batches",
    Scope.BATCHES_WRITE: "pause, resume and cancel batches",
    Scope.DISPATCH_RUN: "run a dispatcher",
    Scope.DLQ_READ: "look at dead letters",
    Scope.DLQ_WRITE: "retry, resolve and reopen dead letters",
    Scope.SUPPRESSIONS_READ: "look at suppressed addresses",
    Scope.SUPPRESSIONS_WRITE: "suppress addresses, and lift that",
    Scope.CATEGORIES_READ: "look at categories",
    Scope.CATEGORIES_WRITE: "create, change and delete categories",
    Scope.PREFS_READ: "look at what people want",
    Scope.PREFS_WRITE: "set what people want, opt them out and in",
    Scope.WEBHOOKS_READ: "look at webhooks and their deliveries",
    Scope.WEBHOOKS_WRITE: "create, change, test and remove webhooks, deliver again",
    Scope.LIMITS_READ: "look at users' limits",
    Scope.LIMITS_WRITE: "set users' limits",
    Scope.FIXTURES_READ: "dump all that a fixture can say",
    Scope.FIXTURES_WRITE: "apply fixtures: all that such a file can say, API keys as with keys:write",
    Scope.RECEIPTS_WRITE: "take in what providers say later",
    Scope.METRICS_READ: "look at metrics",
    Scope.METRICS_WRITE: "roll metrics up",
    Scope.STATUS_READ: "look at the whole system",
    Scope.AUDIT_READ: "look at the audit trail, and verify it",
    Scope.AUDIT_WRITE: "seal, anchor and purge the audit trail",
    Scope.SECRETS_READ: "look at which encryption keys are in use",
    Scope.SECRETS_WRITE: "rotate encryption keys",
}

_COVERED_BY = {Scope.USERS_LIST: (Scope.USERS_READ, Scope.USERS_WRITE)}

Scopes = tuple[str, ...] | None
"""The scopes that a key has by name; None: all there are, now and later."""


def covers(scopes: Scopes, wanted: Scope) -> bool:
    """Return whether a key with these scopes may what `wanted` is declared on."""
    return scopes is None or any(each in scopes for each in (wanted, *_COVERED_BY.get(wanted, ())))


def covered(scope: Scope) -> list[Scope]:
    """Return the scopes whose commands a key with this one may call: its own, and what it covers besides."""
    return [scope, *(other for other, wider in _COVERED_BY.items() if scope in wider)]


def stored(text: str | None) -> Scopes:
    """Return the scopes of a row of `api_keys`. What is no JSON array of names is none at all: it lets nothing pass."""
    if text is None:
        return None
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def written(scopes: Iterable[str] | None) -> str | None:
    """Return scopes as a row of `api_keys` has them."""
    return None if scopes is None else json.dumps(list(dict.fromkeys(scopes)), ensure_ascii=False)


def named(words: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes that words name, each once. Raises UsageError for one that there is not."""
    known = {*Scope}
    for word in words:
        if word not in known:
            noun = word.partition(":")[0]
            near = [each for each in Scope if each.partition(":")[0] == noun]
            hint = f"there are {', '.join(near)}" if near else "notifyctl keys scopes lists them"
            raise UsageError(f"there is no scope {word[:60]!r}", hint)
    return tuple(dict.fromkeys(words))
