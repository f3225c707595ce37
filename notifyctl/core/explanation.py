"""Why a notification is where it is, and what comes next: put together from what the gate and the provider say."""

from __future__ import annotations

from dataclasses import replace

from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import GateName, PutOff, Refuse, Suppress, Verdict, Wait
from notifyctl.core.model import Category, Channel, OnUnknown, Status
from notifyctl.core.notification import Notification, State
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.suppression import LeftOut
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.text import word
from notifyctl.core.walk import GateStep
from notifyctl.core.webhook.hearer import Hearer

NotSent = InvalidPayload | NewerPayload | TemplateError
"""Why a notification cannot be sent as it is: what it says cannot be read, or not be rendered."""

_LATER = (State.SCHEDULED, State.RETRYING, State.DEFERRED)


@dataclass(frozen=True, slots=True)
class Carrier:
    """The provider that would deliver it. `hold` is why it sends nothing now; None where it does.

    Where it is not the provider's hold, `remedy` is the command that ends it. `stand_in` is who delivers instead.
    """

    name: str | None
    hold: str | None = None
    until: int | None = None
    remedy: str | None = None
    stand_in: str | None = None

    @property
    def sends(self) -> bool:
        """Whether it goes out when its time has come, as things are."""
        return self.name is not None and (self.hold is None or self.stand_in is not None)

    @property
    def sender(self) -> str | None:
        """Who it goes by."""
        return self.stand_in or self.name


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next, when that is known, and what the operator could do about it (a command)."""

    words: str
    at: int | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One notification explained; `id` is None for one that does not exist. Times are milliseconds since the epoch.

    `gates` were walked at the moment `at`; they are empty for what has ended. `twins` say the same to the same user
    within a day, `told` are the webhooks that heard of it, `left_out` copies that would not be sent. `tzdata` is the
    edition of the time zones that was used.
    """

    id: str | None
    user_id: str
    username: str
    message_type: str
    category: str | None
    status: str
    state: str
    at: int
    gates: tuple[GateStep, ...]
    carrier: Carrier
    attempt_count: int
    max_retries: int
    twins: tuple[str, ...]
    next: Next
    dispatched: bool
    tzdata: str
    told: tuple[Hearer, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def next_of_supposed(username: str, channel: Channel, objecting: GateStep | None, carrier: Carrier) -> Next:
    """Return what would become of a notification that does not exist."""
    return _objection(username, channel, objecting, "it would be") or _carried(carrier)


def next_of(
    row: Notification,
    objecting: GateStep | None,
    carrier: Carrier,
    problem: NotSent | None = None,
    on_unknown: OnUnknown = OnUnknown.RETRY,
) -> Next:
    """Return what becomes of a notification.

    `objecting` is the first gate that does, `problem` why its content cannot be read or rendered, `on_unknown` what the
    configuration says of those whose dispatcher is gone.
    """
    if row.status != Status.PENDING:
        return _ended(row)
    if row.state == State.IN_FLIGHT:
        return Next("its attempt is being made, until the lease ends at the latest", row.leased_until)
    if row.state == State.UNKNOWN and (lost := _lost(row, on_unknown)) is not None:
        return _dead(Category.OUTCOME_UNKNOWN, lost)
    if carrier.remedy is not None:
        return _carried(carrier)
    at = row.due_at if row.state in _LATER else None
    if isinstance(problem, TemplateError):  # it is rendered when no gate objects
        return _pending(row, objecting, carrier) if objecting is not None else _not_rendered(row, problem, at)
    return _pending(row, objecting, carrier) if problem is None else _unreadable(problem, at)


def _pending(row: Notification, objecting: GateStep | None, carrier: Carrier) -> Next:
    verdict = None if objecting is None else objecting.verdict
    if row.state == State.DEFERRED and not isinstance(verdict, (Suppress, Refuse)):
        return _judged_again(row, verdict)
    objection = _objection(row.username, Channel(row.message_type), objecting, "it will be")
    if row.state not in _LATER:
        return objection or _carried(carrier)
    if objection is not None:  # what is put off has its moment, what ends does so when it is looked at
        return replace(objection, at=objection.at or row.due_at)
    made = "another attempt" if row.state == State.RETRYING else "sent"
    by = f"{made} by {carrier.sender}{'' if carrier.sends else f', which is now {carrier.hold}'}"
    return Next(by, row.due_at, _now(row))


def _lost(row: Notification, on_unknown: OnUnknown) -> str | None:
    """Return why it is not tried again, its dispatcher being gone; None where it is."""
    if on_unknown is OnUnknown.HOLD:
        return "nobody knows whether it was sent (on_unknown = hold)"
    return "nobody knows whether its last attempt was taken" if row.attempt_count > row.max_retries else None


def _unreadable(problem: InvalidPayload | NewerPayload, at: int | None) -> Next:
    if isinstance(problem, NewerPayload):
        return Next(f"left to a newer dispatcher: {problem}", at)
    return _dead(Category.INVALID_PAYLOAD, str(problem), at)


def _not_rendered(row: Notification, problem: TemplateError, at: int | None) -> Next:
    shown = f"notifyctl templates preview {row.template} --from-notification {row.id[:8]}"
    return _dead(Category.TEMPLATE_ERROR, problem.message, at, shown)


def _dead(category: Category, reason: str, at: int | None = None, remedy: str | None = None) -> Next:
    return Next(f"it will be a dead letter ({category}): {reason}", at, remedy)


def _judged_again(row: Notification, verdict: Verdict) -> Next:
    if isinstance(verdict, PutOff):
        return Next(f"judged again: {verdict.reason}", row.due_at, _way_around(row, verdict.wait))
    wait = row.deferred_by or ""
    remedy = _way_around(row, Wait(wait)) if wait in tuple(Wait) else None
    return Next(f"judged again; it was put off: {row.error_message or wait}", row.due_at, remedy)


def _ended(row: Notification) -> Next:
    if row.status == Status.SENT:
        after = "bounced" if row.bounced_at is not None else "delivered" if row.delivered_at is not None else "taken"
        remedy = f"notifyctl notifications resend {row.id[:8]}" if row.bounced_at is not None else None
        return Next(f"nothing: {after} by {row.provider}", None, remedy)
    why = row.error_message or "no reason was kept"
    if row.status == Status.FAILED:
        return Next(f"nothing by itself, a dead letter: {why}", None, f"notifyctl dlq retry {row.id[:8]}")
    again = "restore" if why == BY_OPERATOR else "resend"
    return Next(f"nothing, cancelled: {why}", None, f"notifyctl notifications {again} {row.id[:8]}")


def _objection(username: str, channel: Channel, objecting: GateStep | None, will_be: str) -> Next | None:
    match None if objecting is None else objecting.verdict:
        case PutOff(until, reason):
            return Next(f"{will_be} put off: {reason}", until)
        case Suppress(reason):
            return Next(f"{will_be} cancelled: {reason}", None, _shown_by(username, objecting))
        case Refuse(category, reason):
            hint = f"notifyctl users contacts add {word(username)} {channel} ADDRESS"
            return Next(f"{will_be} a dead letter ({category}): {reason}", None, hint)
    return None


def _shown_by(username: str, objecting: GateStep | None) -> str | None:
    """Return the command that shows what stands against a notification for good."""
    gate = None if objecting is None else objecting.gate
    if gate is GateName.EXPIRY:
        return None
    return f"notifyctl {'users contacts list' if gate is GateName.ADDRESS else 'prefs show'} {word(username)}"


def _carried(carrier: Carrier) -> Next:
    if carrier.name is None:
        return Next("nothing: no provider delivers on this channel", None, "notifyctl providers list")
    if carrier.remedy is not None:
        return Next(f"it waits: {carrier.hold}", carrier.until, carrier.remedy)
    if carrier.sends:
        return Next(f"sent by {carrier.sender}, now")
    words = f"it waits for {carrier.name}: {carrier.hold}"
    return Next(words, carrier.until, f"notifyctl providers show {carrier.name}")


def _way_around(row: Notification, wait: Wait) -> str | None:
    match wait:
        case Wait.QUIET_HOURS | Wait.CAP:
            return f"{_now(row)} --critical"
        case Wait.LIMIT:
            return f"notifyctl limits show {word(row.username)}"
        case Wait.SENDER:
            return f"notifyctl providers show {row.provider}"
    return None


def _now(row: Notification) -> str:
    return f"notifyctl notifications reschedule {row.id[:8]} --at now"
