"""The words of the audit trail: what can be done, and to what. `Tx.audit` takes no others."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Action = Literal[
    "adopt",
    "cancel",
    "close",
    "confirm",
    "create",
    "decrypt",
    "delete",
    "disable",
    "enable",
    "encrypt",
    "import",
    "ingest",
    "migrate",
    "open",
    "opt_in",
    "opt_out",
    "pause",
    "publish",
    "purge",
    "redeliver",
    "reopen",
    "reschedule",
    "resend",
    "resolve",
    "restore",
    "resume",
    "retry",
    "revoke",
    "rollback",
    "rotate",
    "submit",
    "suppress",
    "test",
    "unsuppress",
    "update",
]

Resource = Literal[
    "api_key",
    "audit",
    "batch",
    "category",
    "contact_point",
    "dead_letter",
    "encryption_key",
    "limit",
    "notification",
    "policy",
    "preference",
    "provider",
    "receipt",
    "schema",
    "signing_key",
    "suppression",
    "template",
    "user",
    "webhook",
]

ACTIONS: tuple[str, ...] = get_args(Action)
RESOURCES: tuple[str, ...] = get_args(Resource)


class AuditWord(NamedTuple):
    """An action, what it means, and what it is done to."""

    action: Action
    meaning: str
    resources: tuple[Resource, ...]


WORDS = (
    AuditWord("adopt", "a dispatcher began to work by another policy", ("policy",)),
    AuditWord("cancel", "an operator gave up what was pending", ("notification", "batch")),
    AuditWord("close", "a provider's breaker closed: it works again", ("provider",)),
    AuditWord("confirm", "a receipt said that an attempt of unknown outcome had gone out", ("notification",)),
    AuditWord(
        "create",
        "it was made",
        (
            "user",
            "contact_point",
            "api_key",
            "provider",
            "template",
            "category",
            "preference",
            "notification",
            "webhook",
            "signing_key",
            "encryption_key",
        ),
    ),
    AuditWord("decrypt", "addresses are stored in clear again", ("contact_point",)),
    AuditWord(
        "delete",
        "it was removed",
        (
            "user",
            "contact_point",
            "api_key",
            "provider",
            "template",
            "category",
            "preference",
            "webhook",
            "encryption_key",
        ),
    ),
    AuditWord("disable", "it was put out of use", ("provider", "template", "webhook")),
    AuditWord("enable", "it was put to use", ("provider", "template", "webhook")),
    AuditWord("encrypt", "addresses are stored sealed from now on", ("contact_point",)),
    AuditWord("import", "many were written from a file, by one transaction", ("user",)),
    AuditWord("ingest", "what a provider said later was taken in, by one transaction", ("receipt",)),
    AuditWord("migrate", "the schema came to another revision", ("schema",)),
    AuditWord("open", "a provider's breaker opened: it failed too often", ("provider",)),
    AuditWord("opt_in", "somebody came back to a category", ("category",)),
    AuditWord("opt_out", "somebody left a category", ("category",)),
    AuditWord("pause", "it is held until somebody resumes it, or for a time", ("provider", "batch")),
    AuditWord("publish", "a draft became what is sent", ("template",)),
    AuditWord("purge", "the oldest part of the trail was removed", ("audit",)),
    AuditWord("redeliver", "deliveries are sent to it once more, or made for what it was not told", ("webhook",)),
    AuditWord("reopen", "a resolved dead letter is unresolved again", ("dead_letter",)),
    AuditWord("reschedule", "it is due at another time", ("notification",)),
    AuditWord("resend", "a copy of it was submitted", ("notification",)),
    AuditWord("resolve", "a dead letter was dealt with", ("dead_letter",)),
    AuditWord("restore", "an operator's cancellation was taken back", ("notification",)),
    AuditWord("resume", "it is no longer held", ("provider", "batch")),
    AuditWord("retry", "a dead letter is sent once more", ("notification",)),
    AuditWord("revoke", "a key was ended for good", ("api_key",)),
    AuditWord("rollback", "an earlier version became what is sent", ("template",)),
    AuditWord("rotate", "a secret was replaced by another", ("api_key", "webhook", "encryption_key")),
    AuditWord("submit", "many notifications were submitted by one transaction", ("batch",)),
    AuditWord("suppress", "an address must not be written to", ("suppression",)),
    AuditWord("test", "a test event was sent to it", ("webhook",)),
    AuditWord("unsuppress", "an address may be written to again", ("suppression",)),
    AuditWord(
        "update",
        "it was changed",
        (
            "user",
            "api_key",
            "provider",
            "template",
            "category",
            "preference",
            "limit",
            "webhook",
            "policy",
            "contact_point",
        ),
    ),
)


def knows(action: str, resource: str) -> bool:
    """Return whether the vocabulary has this."""
    return any(word.action == action and resource in word.resources for word in WORDS)
