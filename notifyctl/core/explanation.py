"""Why a notification is where it is, and what comes next: put together from what the gate and the provider say."""

from __future__ import annotations

from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import PutOff, Refuse, Suppress, Verdict, Wait
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import Notification, State
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.walk import GateStep
from notifyctl.core.webhook.hearer import Hearer


@dataclass(frozen=True, slots=True)
class Carrier:
    """The provider that would deliver it. `hold` is why it sends nothing now; None where it does.

    Where it is not the provider's hold, `remedy` is the command that ends it.
    """

    name: str | None
    hold: str | None = None
    until: int | None = None
    remedy: str | None = None


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
    within a day, `told` are the webhooks that heard of it. `tzdata` is the edition of the time zones that was used.
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


def next_of_supposed(username: str, channel: Channel, verdict: Verdict, carrier: Carrier) -> Next:
    """Return what would become of a notification that does not exist."""
    return _objection(username, channel, verdict, "it would be") or _carried(carrier)


def next_of(row: Notification, verdict: Verdict, carrier: Carrier) -> Next:
    """Return what becomes of a notification; `verdict` is the gate's, for what is pending."""
    if row.status != Status.PENDING:
        return _ended(row)
    if row.state == State.IN_FLIGHT:
        return Next("its attempt is being made, until the lease ends at the latest", row.leased_until)
    if carrier.remedy is not None:
        return _carried(carrier)
    if row.state == State.RETRYING:
        return Next(f"another attempt by {carrier.name}", row.due_at, _now(row))
    if isinstance(verdict, PutOff) and row.state == State.DEFERRED:
        return Next(f"judged again: {verdict.reason}", row.due_at, _way_around(row, verdict.wait))
    objection = _objection(row.username, Channel(row.message_type), verdict, "it will be")
    if objection is not None:
        return objection
    if row.state == State.SCHEDULED:
        return Next(f"sent by {carrier.name}", row.due_at, _now(row))
    return _carried(carrier)


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


def _objection(username: str, channel: Channel, verdict: Verdict, will_be: str) -> Next | None:
    match verdict:
        case PutOff(until, reason):
            return Next(f"{will_be} put off: {reason}", until)
        case Suppress(reason):
            return Next(f"{will_be} cancelled: {reason}", None, f"notifyctl prefs show {username}")
        case Refuse(category, reason):
            hint = f"notifyctl users contacts add {username} {channel} ADDRESS"
            return Next(f"{will_be} a dead letter ({category}): {reason}", None, hint)
    return None


def _carried(carrier: Carrier) -> Next:
    if carrier.name is None:
        return Next("nothing: no provider delivers on this channel", None, "notifyctl providers list")
    if carrier.remedy is not None:
        return Next(f"it waits: {carrier.hold}", carrier.until, carrier.remedy)
    if carrier.hold is not None:
        words = f"it waits for {carrier.name}: {carrier.hold}"
        return Next(words, carrier.until, f"notifyctl providers show {carrier.name}")
    return Next(f"sent by {carrier.name}, now")


def _way_around(row: Notification, wait: Wait) -> str:
    return _now(row, critical=wait in (Wait.QUIET_HOURS, Wait.CAP))


def _now(row: Notification, *, critical: bool = False) -> str:
    return f"notifyctl notifications reschedule {row.id[:8]} --at now{' --critical' if critical else ''}"
