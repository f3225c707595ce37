"""Judging a notification that is due: send it, put it off, cancel it or bury it. One pure function.

The claim, `send`'s warning and `explain` ask the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import NamedTuple

from notifyctl.core import content, failover, history
from notifyctl.core.audience import message
from notifyctl.core.change import Bury, Cancel, Change, Confirm, Defer, Park, Remember, Retry, Row
from notifyctl.core.confirmation import LOST, confirmed, with_lost
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Facts, Objection, Person, PutOff, Refuse, Suppress, Verdict, Wait, facts, gate
from notifyctl.core.model import Category, Channel, Claim, Message, OnUnknown, TemplateRef
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.policy import Policy
from notifyctl.core.receipt import Arrival
from notifyctl.core.suppression import Stops, noted, without

SENDER_HELD = "the queue of its sender is full at the provider"
NEWER_PAYLOAD_WAIT_MS = 5 * 60_000
KEY_WAIT_MS = 60_000

_CHANNELS = {each.value: each for each in Channel}
_LOST = Outcome(Kind.UNKNOWN, LOST)


class Due(NamedTuple):
    """A row that is due, as it was before it was leased; `lease_id` is an earlier lease that has ended.

    `sent_to` is the user's address that an earlier claim took, `address` the one for this, `suppression` why that must
    not be written to. `weight` is how many bytes it has with its files, where those are many, `language` the user's.
    `counted_at` is when it was counted for its user's cap; `standing` what is stored of the user for it, where it has a
    category, or the user a wish or a limit; `template_held`: its template is disabled, `batch_held`: its batch is
    paused; `keyed`: addresses are sealed here, or were until now. Times are milliseconds since the epoch. A tuple: one
    is made of every row.
    """

    id: str
    user_id: str
    message_type: str
    payload: str
    attempt_count: int
    max_retries: int
    due_at: int
    lease_id: str | None
    last_attempted: int | None
    expires_at: int | None
    metric_at: int
    retry_history: str | None
    is_critical: bool
    provider: str
    fails_over: bool
    sent_to: str | None
    address: str | None
    suppression: str | None
    weight: int | None = None
    template_id: str | None = None
    template_version: int | None = None
    language: str | None = None
    category: str | None = None
    counted_at: int | None = None
    standing: str | None = None
    template_held: bool | None = None
    batch_id: str | None = None
    batch_held: bool | None = None
    keyed: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """The circumstances of a claim, the same for all its rows.

    `lease_id` is the new lease's, `version` that of `provider`'s configuration. `taken_over` says of other providers
    whose rows may be among them why they do not send themselves, `waits_until` which messages' senders are held until
    when. `probe`, `watched` and `polled` are as in `Claim`.
    """

    now: int
    lease_id: str
    provider: str
    version: int
    probe: bool = False
    watched: bool = False
    polled: bool = False
    on_unknown: Mapping[Channel, OnUnknown] = field(default_factory=dict)
    taken_over: Mapping[str, str] = field(default_factory=dict)
    gate: Callable[[Facts], Verdict] = gate
    policy: Policy = field(default_factory=Policy)
    waits_until: Callable[[Message], int | None] | None = None


class SealedElsewhere(Exception):
    """Its address is sealed with a key that is not on this host: left alone for one that has it."""


Reading = Message | InvalidPayload | NewerPayload | SealedElsewhere
"""A payload that was read: what is to be delivered, or why it could not be."""


def read(due: Due) -> Reading:
    """Return what a row's payload says. Never raises."""
    channel = _CHANNELS[due.message_type]
    try:
        said = content.parse(due.payload, channel)
    except (InvalidPayload, NewerPayload) as problem:
        return problem
    made_of = due.template_id
    template = None if made_of is None else TemplateRef(made_of, due.template_version or 0, due.language)
    return message(due.id, channel, said, due.address, due.attempt_count + 1, template)


def triage(due: Due, reading: Reading, stops: Stops, terms: Terms, person: Person | None = None) -> Claim | Change:
    """Return a claim where a leased row shall be sent, else the change that ends it or puts it off.

    `stops` says to which of the message's addresses nothing may be sent, `person` what rules know of its user.
    """
    if due.lease_id is not None:
        lost = _lost_attempt(due, reading, terms)
        if not isinstance(lost, str):
            return lost
        due = due._replace(retry_history=lost, fails_over=False)  # it may have gone out
    if due.template_held or due.batch_held:
        past, row = due.retry_history, _row(due, terms)
        return Park(row, terms.now, due.attempt_count, due.last_attempted, past, due.fails_over)
    if not isinstance(reading, Message):
        return _unreadable(due, reading, terms)
    verdict = terms.gate(facts(reading, due.expires_at, stops.to, terms.now, person))
    if verdict is not None:
        return _objected(due, verdict, terms)
    until = None if terms.waits_until is None else terms.waits_until(reading)
    if until is not None:
        return _deferred(due, until, SENDER_HELD, terms, Wait.SENDER)
    return _taken(due, reading, stops, terms)


def answered(due: Due, arrival: Arrival, terms: Terms) -> Confirm:
    """Return that a row whose lease had ended is sent: a receipt says that the attempt that was lost was taken."""
    began_at = due.last_attempted or due.due_at
    went_to = _went_to(due, read(due))
    past = with_lost(due.retry_history, due.attempt_count, due.provider, began_at, terms.now, went_to)
    change = confirmed(_row(due, terms), arrival, due.provider, past, began_at, terms.now)
    return replace(change, attempt_count=due.attempt_count, last_attempted=due.last_attempted)


def remembered(claim: Claim, due: Due) -> Remember | None:
    """Return what is to be written of a claim beside its lease: what its past has gained; None where nothing has."""
    return None if claim.retry_history == due.retry_history else Remember(claim, claim.retry_history)


def _taken(due: Due, reading: Message, stops: Stops, terms: Terms) -> Claim:
    past = due.retry_history
    if stops.left_out:
        past = noted(past, stops.left_out, terms.now)
        reading = without(reading, stops.left_out)
    if due.provider != terms.provider:
        reason = terms.taken_over[due.provider]
        past = history.append(past, failover.entry(due.provider, terms.provider, terms.now, reason))
    return _claim(due, reading, terms, past)


def _claim(due: Due, reading: Message, terms: Terms, past: str | None) -> Claim:
    return Claim(
        due.id,
        due.user_id,
        terms.lease_id,
        terms.provider,
        reading.channel,
        reading,
        due.attempt_count + 1,
        due.max_retries,
        due.due_at,
        due.last_attempted,
        terms.now,
        due.metric_at,
        terms.version,
        past,
        due.fails_over,
        terms.probe,
        terms.watched,
        terms.polled,
        due.weight or 0,
    )


def _lost_attempt(due: Due, reading: Reading, terms: Terms) -> Change | str:
    """Decide what a lease that ended without a result means: its end, or the history to go on with."""
    channel = _CHANNELS[due.message_type]
    whom = (
        reading._replace(to=_went_to(due, reading))
        if isinstance(reading, Message)
        else Message(due.id, channel, None, {})
    )
    before = _claim(due, whom, terms, due.retry_history)._replace(
        provider=due.provider,
        attempt=due.attempt_count,
        claimed_at=due.last_attempted or due.due_at,
    )
    attempt = Attempt(before, began_at=before.claimed_at, ended_at=terms.now)
    change = decide(attempt, _LOST, 0.0, terms.on_unknown.get(channel, OnUnknown.RETRY))
    return change.retry_history if isinstance(change, Retry) else change


def _went_to(due: Due, reading: Reading) -> str | None:
    """Return where the attempt before this one went: the user may have another address by now."""
    if not isinstance(reading, Message):
        return due.sent_to
    return message(due.id, reading.channel, reading.content, due.sent_to).to


def _objected(due: Due, verdict: Objection, terms: Terms) -> Change:
    match verdict:
        case PutOff(_, reason, wait):
            return _deferred(due, verdict.due_at(_chance(due)), reason, terms, wait)
        case Suppress(reason):
            row = _row(due, terms)
            return Cancel(row, reason, due.attempt_count, due.last_attempted, due.retry_history, due.fails_over)
        case Refuse(category, reason):
            return _buried(due, category, reason, terms)


def _unreadable(due: Due, problem: InvalidPayload | NewerPayload | SealedElsewhere, terms: Terms) -> Change:
    if isinstance(problem, NewerPayload):
        return _deferred(due, terms.now + NEWER_PAYLOAD_WAIT_MS, str(problem), terms, Wait.NEWER_PAYLOAD)
    if isinstance(problem, SealedElsewhere):
        return _deferred(due, terms.now + KEY_WAIT_MS, str(problem), terms, Wait.KEY)
    return _buried(due, Category.INVALID_PAYLOAD, str(problem), terms)


def _deferred(due: Due, until: int, reason: str, terms: Terms, wait: Wait) -> Defer:
    past, row = due.retry_history, _row(due, terms)
    return Defer(row, until, reason, due.attempt_count, due.last_attempted, past, due.fails_over, wait.value)


def _chance(due: Due) -> float:
    """Return a draw from [0, 1) that is the notification's own: its id is random (UUIDv4, RFC 9562)."""
    return int(due.id[:8], 16) / 2**32


def _buried(due: Due, category: Category, reason: str, terms: Terms) -> Bury:
    return Bury(
        _row(due, terms),
        failed_at=terms.now,
        attempt_count=due.attempt_count,
        last_attempted=due.last_attempted,
        error_message=reason,
        provider_response=None,
        retry_history=due.retry_history,
        fails_over=due.fails_over,
        category=category,
    )


def _row(due: Due, terms: Terms) -> Row:
    return Row(due.id, terms.lease_id, due.provider, _CHANNELS[due.message_type], due.metric_at)
