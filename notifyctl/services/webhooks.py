"""Webhooks: set up, looked at, changed, switched off and on, their secrets exchanged, deleted."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from typing import Any, Final

from notifyctl.core import names
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_hearing
from notifyctl.core.sealing import Keyring
from notifyctl.core.text import word
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.event import subscription
from notifyctl.core.webhook.schedule import RETRIES, TIMEOUT_S
from notifyctl.core.webhook.signing import SECRET_BYTES, secret_text
from notifyctl.core.webhook.target import HookReach, host_of
from notifyctl.core.webhook.webhook import Webhook, webhook_name
from notifyctl.store import users
from notifyctl.store import webhooks as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.webhooks import Backlog, OwnedWebhook, WebhookFilter

WHAT: Final = "webhook"
_NONE = Backlog(0, 0)
_USUAL: Final[dict[str, Any]] = {"retry_count": RETRIES, "timeout_seconds": TIMEOUT_S, "all_users": False}
"""What a new webhook is like where nothing else is said."""


@dataclass(frozen=True, slots=True)
class WebhookReport:
    """A webhook as it is shown: of its URL the host, of its secrets how long the previous one signs.

    `state` is `active`, `failing`, `resting` (it asked for less), or `disabled`. `undelivered` counts the deliveries
    that did not arrive, whether they are still tried or not. Times are milliseconds since the epoch.
    """

    id: str
    user_id: str
    username: str
    name: str
    host: str
    events: tuple[str, ...]
    all_users: bool
    state: str
    is_active: bool
    failing_since: int | None
    undelivered: int
    oldest_undelivered_at: int | None
    retry_count: int
    timeout_seconds: int
    rests_until: int | None
    disabled_at: int | None
    disabled_because: str | None
    previous_secret_ends: int | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class NewWebhook(WebhookReport):
    """A webhook that was to be made. `secret` is known only now, and None where it was given or nothing was made."""

    created: bool
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a webhook is to be like; None leaves a thing as it is, or to what is usual."""

    url: str | None = field(default=None, repr=False)
    events: Sequence[str] | None = None
    name: str | None = None
    all_users: bool | None = None
    retry_count: int | None = None
    timeout_seconds: int | None = None

    def columns(self, reach: HookReach) -> dict[str, Any]:
        """Return what is given, as it is stored. Raises UsageError for what cannot be meant."""
        if self.url is not None:
            reach.target(self.url)
        given = {
            **asdict(self),
            "name": None if self.name is None else webhook_name(self.name),
            "events": None if self.events is None else subscription(self.events),
        }
        return {key: value for key, value in given.items() if value is not None}


def new_secret() -> bytes:
    """Return a secret for signatures."""
    return secrets.token_bytes(SECRET_BYTES)


def create(
    db: Database, keyring: Keyring, ref: str, setup: Setup, secret: bytes, reach: HookReach, *, is_new: bool
) -> NewWebhook:
    """Store a new webhook of a user's; `is_new`: nobody knows its secret yet.

    Raises UsageError for what cannot be meant, NotFound for the user, Conflict where the user has one of that name,
    NotAllowed without an encryption key.
    """
    given = _given(setup, reach)
    values = _USUAL | given
    id_ = str(uuid.uuid4())
    sealed = keeping.sealed(keyring, secret, keeping.place(id_))

    def work(tx: Tx) -> NewWebhook:
        user = users.lock(tx, users.find(tx, ref).id)
        made = Webhook(id_, user.id, secret_key=sealed, created_at=tx.now, updated_at=tx.now, **values)
        if not put(tx, made):
            raise _taken(user.username, made.name, "")
        shown = _shown(OwnedWebhook(made, user.username), _NONE, tx.now)
        return NewWebhook(**asdict(shown), created=True, secret=secret_text(secret) if is_new else None)

    return db.write(work)


def put(tx: Tx, made: Webhook) -> bool:
    """Store a new webhook, with its audit row; return False where its user has one of that name.

    Raises NotAllowed for a key that may not submit for all of whom it would be told.
    """
    require_hearing(tx.actor.grant, made.user_id, all_users=made.all_users)
    if not store.create(tx, made):
        return False
    tx.audit("create", WHAT, [(made.id, _created(made))])
    return True


def present(
    db: Database, keyring: Keyring, ref: str, setup: Setup, secret: bytes | None, reach: HookReach
) -> NewWebhook | None:
    """Return the webhook that `create` would make, where it is there and says the same; None where there is none.

    Raises as `create`, Conflict where it says something else.
    """
    given = _given(setup, reach)
    with db.read() as tx:
        user = users.find(tx, ref)
        found = store.named(tx, user.id, given["name"])
        if found is None:
            return None
        same = all(getattr(found, key) == value for key, value in (_USUAL | given).items())
        if not same or (secret is not None and keeping.secrets(found, keyring, tx.now)[0] != secret):
            raise _taken(user.username, found.name, ", and it is another")
        return NewWebhook(**asdict(report(tx, OwnedWebhook(found, user.username))), created=False)


def ask(db: Database, user: str | None, *, failing: bool, disabled: bool) -> WebhookFilter:
    """Return which webhooks are meant. Raises NotFound for the user."""
    with db.read() as tx:
        return WebhookFilter(None if user is None else users.find(tx, user).id, failing, disabled)


def listed(db: Database, wanted: WebhookFilter, after: Cursor | None, limit: int) -> list[WebhookReport]:
    """Return at most `limit` webhooks after the cursor, newest first."""
    with db.read() as tx:
        backlogs = store.backlogs(tx)
        found = store.page(tx, wanted, after, limit)
        return [_shown(each, backlogs.get(each.webhook.id, _NONE), tx.now) for each in found]


def count(db: Database, wanted: WebhookFilter) -> int:
    """Return how many match."""
    with db.read() as tx:
        return store.count(tx, wanted)


def report(tx: Tx, found: OwnedWebhook) -> WebhookReport:
    """Return a webhook as it is shown."""
    return _shown(found, store.backlogs(tx).get(found.webhook.id, _NONE), tx.now)


def called(owned: OwnedWebhook) -> str:
    """Return what people call a webhook, whoever has others of that name."""
    return f"{owned.username}/{owned.webhook.name}"


def _given(setup: Setup, reach: HookReach) -> dict[str, Any]:
    """Return the columns of a webhook that is to be made; it is called after its host where nothing is said."""
    given = setup.columns(reach)
    return {"name": reach.target(given["url"]).host[: names.NAME_MAX], **given}


def _taken(username: str, name: str, how: str) -> Conflict:
    return Conflict(
        f"{username} has a webhook {name!r} already{how}",
        f"--name N makes another one; notifyctl webhooks update {word(f'{username}/{name}')} changes it",
    )


def _created(made: Webhook) -> Mapping[str, Any]:
    news = ("name", "events", "all_users", "retry_count", "timeout_seconds")
    return {"user_id": made.user_id, "host": [None, host_of(made.url)]} | {
        name: [None, getattr(made, name)] for name in news
    }


def _shown(found: OwnedWebhook, backlog: Backlog, now: int) -> WebhookReport:
    one = found.webhook
    signs_as_well = one.previous_secret is not None and (one.previous_secret_ends or 0) > now
    return WebhookReport(
        id=one.id,
        user_id=one.user_id,
        username=found.username,
        name=one.name,
        host=host_of(one.url),
        events=one.events,
        all_users=one.all_users,
        state=state_of(one, now),
        is_active=one.is_active,
        failing_since=one.failing_since,
        undelivered=backlog.undelivered,
        oldest_undelivered_at=backlog.oldest_at if backlog.undelivered else None,
        retry_count=one.retry_count,
        timeout_seconds=one.timeout_seconds,
        rests_until=one.rests_until if (one.rests_until or 0) > now else None,
        disabled_at=one.disabled_at,
        disabled_because=one.disabled_because,
        previous_secret_ends=one.previous_secret_ends if signs_as_well else None,
        created_at=one.created_at,
        updated_at=one.updated_at,
    )


def state_of(one: Webhook, now: int) -> str:
    """Return how a webhook does, in a word."""
    if not one.is_active:
        return "disabled"
    if one.failing_since is not None:
        return "failing"
    return "resting" if (one.rests_until or 0) > now else "active"
