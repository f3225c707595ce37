"""Changing webhooks: their settings, whether they are told anything, their secrets, and their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, field, replace
from typing import Any

from notifyctl.core.audit.entry import AuditEntry
from notifyctl.core.errors import Conflict, NotAllowed, NotFound, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_hearing
from notifyctl.core.scope import Scope
from notifyctl.core.sealing import Keyring
from notifyctl.core.text import one_line, word
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.health import HookHealth
from notifyctl.core.webhook.signing import secret_text
from notifyctl.core.webhook.target import HookReach, host_of
from notifyctl.core.webhook.webhook import PREVIOUS_SECRET, SECRET, Webhook
from notifyctl.services.webhooks import WHAT, Setup, WebhookReport, called, report
from notifyctl.store import audit, users
from notifyctl.store import webhooks as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import deliveries as queue
from notifyctl.store.queue import redelivery
from notifyctl.store.webhooks import OwnedWebhook

TOLD = 10
WELL: Mapping[str, Any] = asdict(HookHealth())
"""The columns of a receiver of whom nothing bad is known: the window of failures begins anew."""


@dataclass(frozen=True, slots=True)
class RotatedWebhook(WebhookReport):
    """A webhook with a new secret, which is known only now; None where it was given.

    `dropped`: a secret from before the last rotation signed until now, and signs no more.
    """

    dropped: bool
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EnabledWebhook(WebhookReport):
    """A webhook that is told again; `queued` deliveries are sent once more."""

    queued: int


def update(db: Database, ref: str, setup: Setup, reach: HookReach) -> WebhookReport:
    """Change what is given. Of another URL's receiver nothing is known yet: whatever was counted begins anew.

    Of one that is disabled it stays, since it says from when on to send again, until it is enabled.
    Raises NotFound, UsageError for what cannot be meant, Conflict for the name of another one of the user's.
    """
    given = setup.columns(reach)
    if not given:
        raise UsageError("nothing to change was given", "notifyctl webhooks update --help")

    def work(tx: Tx) -> WebhookReport:
        users.lock(tx, store.find(tx, ref).webhook.user_id)  # so that nobody takes the name meanwhile
        owned = locked(tx, ref)
        old = owned.webhook
        new = {name: value for name, value in given.items() if getattr(old, name) != value}
        if not new:
            return report(tx, owned)
        other = store.named(tx, old.user_id, new["name"]) if "name" in new else None
        if other is not None:
            raise Conflict(f"{owned.username} has a webhook {other.name!r} already", "another --name")
        refuse_hearing(tx, old, all_users=new.get("all_users", old.all_users))
        tx.audit("update", WHAT, [(old.id, _told(old, new))])
        return _become(tx, owned, {**new, **(WELL if "url" in new and old.is_active else {})})

    return db.write(work)


def enable(db: Database, ref: str, *, redeliver: bool = False, interval_ms: float = 0.0) -> EnabledWebhook:
    """Let a webhook be told again, from now on; the window of its failures begins anew.

    `redeliver`: what was not delivered since they began is sent as well, tried or not, each so long after the one
    before. Raises NotFound, Conflict for a redelivery to one that neither failed nor was disabled.
    """

    def work(tx: Tx) -> EnabledWebhook:
        # Wholly: what somebody who read that it is disabled has yet to commit is to be found, and none comes after.
        owned = locked(tx, ref, store.lock_wholly)
        old = owned.webhook
        refuse_hearing(tx, old)
        began = [at for at in (old.failing_since, old.disabled_at) if at is not None]
        if redeliver and not began:
            raise Conflict(
                f"webhook {called(owned)} works, and was not disabled: since when is not known",
                f"notifyctl webhooks redeliver --webhook {word(called(owned))} --failed",
            )
        if not old.is_active:
            queue.end_waiting(tx, old.id)
        queued = redelivery.owed(tx, old.id, min(began), interval_ms) if redeliver else 0
        facts = {"is_active": [old.is_active, True], "failing_since": [old.failing_since, None]}
        now_well = {**WELL, "is_active": True, "disabled_at": None, "disabled_because": None}
        if queued or any(getattr(old, name) != value for name, value in now_well.items()):
            tx.audit("enable", WHAT, [(old.id, {**facts, **({"redelivered": queued} if redeliver else {})})])
        return EnabledWebhook(**asdict(_become(tx, owned, now_well)), queued=queued)

    return db.write(work)


def disable(db: Database, ref: str, reason: str | None) -> WebhookReport:
    """Tell a webhook nothing until it is enabled; what happens is kept, and what waits is too. Raises NotFound."""

    def work(tx: Tx) -> WebhookReport:
        owned = locked(tx, ref)
        old = owned.webhook
        if old.is_active:
            waiting = queue.disable(tx, old.id, None)
            facts = {"is_active": [True, False], "waiting": waiting, "reason": reason and one_line(reason)}
            tx.audit("disable", WHAT, [(old.id, facts)])
        return report(tx, store.find(tx, old.id))

    return db.write(work)


def rotate(db: Database, keyring: Keyring, ref: str, secret: bytes, grace_ms: int, *, is_new: bool) -> RotatedWebhook:
    """Put another secret in the place of a webhook's; the old one signs as well for the grace.

    `is_new`: nobody knows it yet. Raises NotFound, UsageError for the secret that it has, NotAllowed for the keys.
    """

    def work(tx: Tx) -> RotatedWebhook:
        owned = locked(tx, ref)
        old = owned.webhook
        refuse_hearing(tx, old)
        new = {SECRET: keeping.sealed(keyring, secret, keeping.place(old.id)), PREVIOUS_SECRET: None}
        ends = tx.now + grace_ms if grace_ms else None
        signing = _signing(owned, keyring, may_be_lost=ends is None)
        if secret == signing:
            raise UsageError(f"webhook {called(owned)} has that secret already", "another one, or none: one is made")
        if ends is not None and signing is not None:
            new[PREVIOUS_SECRET] = keeping.sealed(keyring, signing, keeping.place(old.id, PREVIOUS_SECRET))
        tx.audit("rotate", WHAT, [(old.id, {"grace_ms": grace_ms, "grace_ends": ends})])
        shown = _become(tx, owned, {**new, "previous_secret_ends": ends})
        dropped = old.previous_secret is not None and (old.previous_secret_ends or 0) > tx.now
        return RotatedWebhook(**asdict(shown), dropped=dropped, secret=secret_text(secret) if is_new else None)

    return db.write(work)


def find(db: Database, ref: str) -> WebhookReport:
    """Return a webhook as it is shown. Raises NotFound, UsageError where several are meant."""
    with db.read() as tx:
        return report(tx, store.find(tx, ref))


def url_of(db: Database, webhook_id: str) -> str:
    """Return a webhook's whole URL, which may be a secret. Raises NotAllowed for a key that only looks at webhooks."""
    with db.read() as tx:
        found = store.find(tx, webhook_id).webhook
        if tx.actor.grant is not None:
            tx.actor.grant.require(Scope.WEBHOOKS_WRITE)
        refuse_hearing(tx, found)
        return found.url


def timeline(db: Database, webhook_id: str) -> list[AuditEntry]:
    """Return what was done to a webhook last, the newest first."""
    with db.read() as tx:
        return audit.newest(tx, WHAT, webhook_id, TOLD)


def remove(db: Database, webhook_id: str) -> WebhookReport:
    """Delete a webhook with its deliveries. Raises NotFound."""

    def work(tx: Tx) -> WebhookReport:
        owned = locked(tx, webhook_id)
        shown = report(tx, owned)
        store.remove(tx, owned.webhook.id)
        tx.audit("delete", WHAT, [(owned.webhook.id, {"name": [shown.name, None], "host": [shown.host, None]})])
        return shown

    return db.write(work)


def refuse_hearing(tx: Tx, webhook: Webhook, *, all_users: bool | None = None) -> None:
    """Raise NotAllowed where the key may not submit for all of whom a webhook is told, or would be with `all_users`.

    To hold it, to delete it and to test it is for anybody who may write webhooks.
    """
    wide = webhook.all_users or bool(all_users)
    require_hearing(tx.actor.grant, webhook.user_id, all_users=wide)


def locked(tx: Tx, ref: str, lock: Callable[[Tx, str], Webhook | None] = store.lock) -> OwnedWebhook:
    """Return the webhook that is meant, locked. Raises NotFound, UsageError where several are meant."""
    found = store.find(tx, ref)
    webhook = lock(tx, found.webhook.id)
    if webhook is None:
        raise NotFound(f"webhook {called(found)} was deleted at this moment", "notifyctl webhooks list")
    return OwnedWebhook(webhook, found.username)


def _become(tx: Tx, owned: OwnedWebhook, values: Mapping[str, Any]) -> WebhookReport:
    """Write columns of a webhook where they are others, and return it as it is shown."""
    new = {name: value for name, value in values.items() if getattr(owned.webhook, name) != value}
    if new:
        new["updated_at"] = tx.now
        store.change(tx, owned.webhook.id, new)
    return report(tx, OwnedWebhook(replace(owned.webhook, **new), owned.username))


def _signing(owned: OwnedWebhook, keyring: Keyring, *, may_be_lost: bool) -> bytes | None:
    """Return the secret that signs now; None where it does not open any more, and that may be."""
    try:
        return keeping.opened(keyring, owned.webhook.id, owned.webhook.secret_key, None)[0]
    except NotAllowed:
        if may_be_lost:
            return None
        raise


def _told(old: Webhook, new: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit trail says of changes: of a URL its host, and that it is another where that stays."""
    told = {name: [getattr(old, name), value] for name, value in new.items() if name != "url"}
    if "url" in new:
        told["host"] = [host_of(old.url), host_of(new["url"])]
    return told
