"""Submitting a notification: the provider is chosen, the content checked, and the same submission stored once."""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from notifyctl.core import submission
from notifyctl.core.discretion import discreet, discreet_body
from notifyctl.core.errors import (
    AnswerIsNo,
    CommitUnknown,
    Conflict,
    DatabaseUnavailable,
    NotFound,
    NotifyctlError,
    TimedOut,
)
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Refuse, Suppress
from notifyctl.core.model import Category, Status
from notifyctl.core.notification import Notification
from notifyctl.core.patterns import pattern
from notifyctl.core.policy import UNCONFIGURED, Policy
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring
from notifyctl.core.submission import Draft, Former, Plan
from notifyctl.core.suppression import without
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.source import Source
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Request
from notifyctl.providers.unseal import open_credentials
from notifyctl.services import planning, previews
from notifyctl.services.ahead import last_in_line
from notifyctl.services.planning import Planned, SubmissionTerms
from notifyctl.store import notifications as store
from notifyctl.store import submissions, template_sources
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx

FIRST_POLL_S = 0.05
LONGEST_ANSWER_S = 5.0
LONGEST_POLL_S = 1.0
HIDDEN = "***"
_SERVER = pattern(r"[^:/?#]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A stored notification. `deduplicated`: an earlier submission with the same key stored it. `remark`: a warning."""

    notification: Notification
    deduplicated: bool
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """The request that would deliver a notification, with its secrets hidden: to be shown, not sent.

    `content` is what it says, `remark` a warning.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    content: Mapping[str, Any]
    remark: str | None = None


def submit(
    db: Database,
    draft: Draft,
    urls: Mapping[str, str],
    policy: Policy = UNCONFIGURED,
    unsubscribe_url: str | None = None,
) -> Submitted:
    """Store the notification, or return the one that the same submission stored before.

    With an `unsubscribe_url` it is checked as mail that has a link there, where it is of marketing.

    Raises Conflict for a key that was used with other content and where no provider can take it, NotFound for an
    unknown user or provider, UsageError for content the provider would refuse and a time that is past, CommitUnknown
    (with the key to repeat it with) when nobody knows whether it was stored.
    """
    # Made before the transaction: run again, it recognises its own row.
    new_id = str(uuid.uuid4())
    terms = SubmissionTerms(urls, policy, unsubscribe_url)
    rehearsed = None if draft.template is None else _rehearsed(db, draft, terms, new_id)

    def work(tx: Tx) -> Submitted:
        [known] = submissions.known(tx, [draft], policy)
        planned = _required(planning.plan(draft, known, new_id, tx.now, tx.actor.grant))
        if isinstance(planned, Former):
            return _before(tx, planned, new_id)
        _required(planning.checked(planned, terms))
        return _stored(tx, _behind_others(tx, planned, policy), known.providers, rehearsed)

    try:
        return db.write(work)
    except CommitUnknown as error:
        raise CommitUnknown(
            error.message,
            f"repeat it with --idempotency-key {shlex.quote(draft.key)}: it is stored once, whatever happened",
        ) from error


def preview(
    db: Database,
    keyring: Keyring,
    draft: Draft,
    urls: Mapping[str, str],
    policy: Policy = UNCONFIGURED,
    unsubscribe_url: str | None = None,
) -> Preview:
    """Return the request that would deliver it, with the secrets hidden; write nothing.

    With an `unsubscribe_url` mail of marketing has a link there whose token acts for nobody.

    Raises as `submit` does, and Conflict when the user has no address.
    """
    planned, template = _without_storing(db, draft, policy, str(uuid.uuid4()), again=True)
    assert isinstance(planned, Plan)  # noqa: S101 - nothing was stored before
    remark = planned.remark
    message = previews.linked(without(planned.message, planned.left_out), unsubscribe_url)
    planned = planned._replace(message=message if template is None else previews.rendered(template, message))
    if (problem := planned.unaddressed) is not None:
        raise problem
    credentials = open_credentials(planned.provider, keyring, urls)
    if credentials.service_account is not None:
        credentials = replace(credentials, access_token=HIDDEN)
    request = planning.built(registry.get(planned.provider.provider_name), planned.message, credentials)
    found = replace(_hidden(request, credentials, planned.message.content), remark=remark)
    return found if db.actor.sees_addresses else _discreet(found)


def wait(
    db: Database, notification: Notification, timeout_ms: int, sleep: Callable[[float], None] = time.sleep
) -> Notification:
    """Return the notification as it is when it has ended, or when `timeout_ms` are over.

    A database that goes away meanwhile is asked again: the notification is stored.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    pause = FIRST_POLL_S
    while notification.status == Status.PENDING and (left := deadline - time.monotonic()) > 0:
        sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_POLL_S)
        notification = _latest(db, notification)
    return notification


def require_sent(notification: Notification) -> None:
    """Raise TimedOut for a notification that is still pending, AnswerIsNo for one that ended otherwise than sent."""
    hint = f"notifyctl notifications show {notification.id}"
    if notification.status == Status.PENDING:
        raise TimedOut(f"notification {notification.id} is still pending ({notification.state})", hint)
    if notification.status != Status.SENT:
        why = f": {notification.error_message}" if notification.error_message else ""
        raise AnswerIsNo(f"notification {notification.id} ended as {notification.status}{why}", hint)


# Helpers


def _without_storing(
    db: Database, draft: Draft, policy: Policy, new_id: str, *, again: bool
) -> tuple[Plan | Former, Source | None]:
    """Return what the draft would come to, and what it would be rendered from. `again`: as if it were the first."""
    with db.read() as tx:
        [known] = submissions.known(tx, [draft], policy)
        known = known._replace(former=None) if again else known
        planned = _required(planning.plan(draft, known, new_id, tx.now, tx.actor.grant))
        if isinstance(planned, Former):
            return planned, None
        planned = _behind_others(tx, planned, policy)
        if planned.message.template is None:
            return planned, None
        id_, number, _ = planned.message.template
        return planned, template_sources.source(tx, (id_, number))


def _behind_others(tx: Tx, planned: Plan, policy: Policy) -> Plan:
    """Return the plan with what rules will know of its user when those that are due have gone."""
    row, known = planned.row, planned.known
    if row.due_at > tx.now:
        return planned
    person = last_in_line(tx, row.user_id, known.person, policy)
    return planned._replace(known=known._replace(person=person))


def _rehearsed(db: Database, draft: Draft, terms: SubmissionTerms, new_id: str) -> str | None:
    """Return what to warn of when it is rendered now; raise UsageError where a provider would refuse the result."""
    planned, template = _without_storing(db, draft, terms.policy, new_id, again=False)
    if isinstance(planned, Former) or template is None:
        return None
    try:
        message = previews.rendered(template, previews.linked(planned.message, previews.SOMEWHERE))
    except TemplateError as error:
        hint = error.hint or previews.value_hint(error)
        told = f"it becomes a dead letter ({Category.TEMPLATE_ERROR}): {error.message}"
        return f"{told}\nhint: {hint}" if hint else told
    if (problem := planning.refused(planned, message, terms)) is not None:
        raise problem
    return None


def _joined(*remarks: str | None) -> str | None:
    return "\n".join(remark for remark in remarks if remark) or None


def _stored(tx: Tx, planned: Plan, providers: Sequence[ProviderConfig], rehearsed: str | None) -> Submitted:
    """Store it; `rehearsed` is what to warn of when it is rendered, which what a rule ends is not."""
    row = planned.row
    became = planning.store_all(tx, [planned])[row.id]
    if isinstance(became, NotifyctlError):
        raise became
    if isinstance(became, Former):
        return _before(tx, became, row.id)
    held = submission.is_held(row, providers, tx.now)
    name = None if planned.template is None else planned.template.name
    begun = store.begun(row, planned.recipient.username, held=held, template=name)
    ends = isinstance(planned.objection, (Suppress, Refuse))
    return Submitted(begun, False, planned.remark if ends else _joined(planned.remark, rehearsed))


def _before(tx: Tx, former: Former, new_id: str) -> Submitted:
    found = store.get(tx, [former.id])
    if former.id not in found:
        raise Conflict(f"notification {former.id} was deleted at this moment", "repeat the command")
    row, is_again = found[former.id], former.id != new_id
    remark = None
    if is_again and row.status in (Status.FAILED, Status.CANCELLED):
        remark = f"nothing is sent: what has this key is {row.status}; notifyctl notifications explain {row.id[:8]}"
    return Submitted(row, deduplicated=is_again, remark=remark)


def _required(planned: Planned) -> Plan | Former:
    if isinstance(planned, NotifyctlError):
        raise planned
    return planned


def _hidden(request: Request, credentials: Credentials, content: Mapping[str, Any]) -> Preview:
    """Return the request with its secrets replaced; the scheme of an Authorization header stays."""
    headers = {
        name: f"{value.partition(' ')[0]} {HIDDEN}" if name.casefold() == "authorization" else value
        for name, value in request.headers.items()
    }
    # A user's name may well be in the host's: it is no secret there.
    where = _SERVER.match(request.url)
    end = where.end() if where else 0
    rest = request.url[end:]
    for secret in (credentials.api_key, credentials.api_secret):
        rest = rest.replace(secret, HIDDEN) if secret else rest
    return Preview(request.method, request.url[:end] + rest, headers, request.body, content)


def _discreet(request: Preview) -> Preview:
    """Return the request for whoever may not see addresses."""
    body = discreet_body(request.body, request.headers.get("Content-Type", ""))
    return replace(request, headers=discreet("", request.headers), body=body)


def _latest(db: Database, notification: Notification) -> Notification:
    try:
        with db.answering_within(LONGEST_ANSWER_S).read() as tx:
            found = store.get(tx, [notification.id])
    except DatabaseUnavailable:
        return notification
    if notification.id not in found:
        raise NotFound(f"notification {notification.id} was deleted")
    return found[notification.id]
