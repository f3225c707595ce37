"""Why a notification is where it is, and what comes next: put together from what the gate and the provider say."""

from __future__ import annotations

from typing import NamedTuple

from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import GateName, PutOff, Refuse, Suppress, Verdict
from notifyctl.core.model import Category, Channel, OnUnknown, Status
from notifyctl.core.notification import Notification, State
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.suppression import LeftOut
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.text import word
from notifyctl.core.walk import GateStep
from notifyctl.core.webhook.hearer import Hearer
from notifyctl.core.when import written

NotSent = InvalidPayload | NewerPayload | TemplateError
"""Why a notification cannot be sent as it is: what it says cannot be read, or not be rendered."""

LATER = (State.SCHEDULED, State.RETRYING, State.DEFERRED)
"""The states of what waits for its own moment."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The provider that would deliver it. `hold` is why it sends nothing now; None where it does.

    `until` is when that ends, where it is known, `remedy` the command that ends it or shows more. `stand_in` is who
    delivers instead.
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

    @property
    def passes_by_itself(self) -> bool:
        """Whether nothing has to be done that it sends again: there is no command that ends it."""
        return self.remedy is not None and self.remedy.startswith("notifyctl providers show")

    def holds_at(self, at: int | None) -> bool:
        """Whether it will not send at that moment either, as far as is known."""
        return not self.sends and (at is None or self.until is None or at < self.until)


class HoldingBack(NamedTuple):
    """What holds a notification back, whoever delivers: its template, its batch; and the command that ends it."""

    why: str
    remedy: str


class Next(NamedTuple):
    """What happens next, when that is known, and what the operator could do about it (commands).

    `is_end`: it is not sent, whatever else is done meanwhile.
    """

    words: str
    at: int | None = None
    remedies: tuple[str, ...] = ()
    is_end: bool = False


class Outlook(NamedTuple):
    """What is known of a notification's next moment.

    `objecting` is the first gate that does when it is judged next, `at_once` the first that would now. `problem` is why
    its content cannot be read or rendered. `rules_changed`: what rules put off is judged again at once. `is_resolved`:
    it is a dead letter with which somebody has dealt. `elsewhere`: what suppresses its address is not shown with the
    user's own addresses, as it is of another one, or of a group of mails alone.
    """

    carrier: Carrier
    objecting: GateStep | None = None
    at_once: GateStep | None = None
    held: tuple[HoldingBack, ...] = ()
    problem: NotSent | None = None
    on_unknown: OnUnknown = OnUnknown.RETRY
    rules_changed: bool = False
    is_resolved: bool = False
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """One notification explained; `id` is None for one that does not exist. Times are milliseconds since the epoch.

    `gates` were walked as of the moment `at`, `asked_at` was when; they are empty for what has ended. `twins` say the
    same to the same user within a day, `told` are the webhooks that heard of it, `left_out` copies that would not be
    sent. `tzdata` is the edition of the time zones that was used. `policy_differs`: those who dispatch go by another
    configuration than whoever asked, so that their answer may be another one.
    """

    id: str | None
    user_id: str
    username: str
    message_type: str
    category: str | None
    status: str
    state: str
    asked_at: int
    at: int
    gates: tuple[GateStep, ...]
    carrier: Carrier
    held: tuple[HoldingBack, ...]
    attempt_count: int
    max_retries: int
    twins: tuple[str, ...]
    next: Next
    dispatched: bool
    tzdata: str
    policy_differs: bool
    told: tuple[Hearer, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def next_of_supposed(username: str, channel: Channel, outlook: Outlook, at: int | None) -> Next:
    """Return what would become of a notification that does not exist, at a moment; None is now."""
    carrier, found = outlook.carrier, outlook.objecting
    if carrier.name is None:
        return Next("nothing: no provider delivers on this channel", None, ("notifyctl providers list",), is_end=True)
    after = _objecting(username, channel, outlook, found, "it would be") if found is not None else None
    if after is None:
        after = Next(f"sent by {carrier.sender}{', now' if at is None else ''}", at)
    if not carrier.holds_at(at):
        return after
    return _waiting(after, outlook, "it would wait")


def next_of(row: Notification, outlook: Outlook) -> Next:
    """Return what becomes of a notification."""
    if row.status != Status.PENDING:
        return _ended(row, outlook)
    if row.state == State.IN_FLIGHT:
        return Next("its attempt is being made, until the lease ends at the latest", row.leased_until)
    if _lost(row, outlook) is not None:  # a claim ends it before it asks what holds it back
        outlook = outlook._replace(held=())
    if row.state not in LATER or outlook.rules_changed:
        after = _judged(row, outlook, None)
        return _waiting(after, outlook) if outlook.held or not outlook.carrier.sends else after
    at = None if row.due_at is None else behind_a_pause(row.due_at, outlook.carrier)
    after = _judged(row, outlook, at)
    after = after._replace(at=at) if after.at is None else after
    reasons = [each.why for each in outlook.held]
    if outlook.carrier.holds_at(row.due_at):
        reasons.append(f"{outlook.carrier.name} is {outlook.carrier.hold}")
    elif outlook.carrier.passes_by_itself:
        outlook = outlook._replace(carrier=Carrier(row.provider))
    return _with_remedies(after, outlook, f"{after.words}; held now: {'; '.join(reasons)}" if reasons else after.words)


def moment_of(row: Notification, carrier: Carrier, now: int) -> int:
    """Return as of when it is judged: its own moment, or when a provider that is paused until then goes on."""
    if row.status != Status.PENDING or row.state == State.DEFERRED:
        return now
    return behind_a_pause(row.due_at or now if row.state in LATER else now, carrier)


def behind_a_pause(at: int, carrier: Carrier) -> int:
    """Return the moment, or the end of a pause in which it lies."""
    return at if carrier.until is None or carrier.passes_by_itself or not carrier.holds_at(at) else carrier.until


# What becomes of it once nothing holds it back


def _judged(row: Notification, outlook: Outlook, at: int | None) -> Next:
    """Return what becomes of it at that moment, None being now, when it is claimed."""
    problem, objecting = outlook.problem, outlook.objecting
    if (lost := _lost(row, outlook)) is not None:
        return _dead(Category.OUTCOME_UNKNOWN, lost)
    if isinstance(problem, NewerPayload):
        return Next(f"left to a newer dispatcher: {problem}", at)
    if isinstance(problem, InvalidPayload):
        return _dead(Category.INVALID_PAYLOAD, str(problem), at)
    verdict = None if objecting is None else objecting.verdict
    if row.state == State.DEFERRED and not outlook.rules_changed and not isinstance(verdict, (Suppress, Refuse)):
        return _judged_again(row, outlook, verdict)
    if objecting is not None:
        found = _objecting(row.username, Channel(row.message_type), outlook, objecting, "it will be")
        if _is_for_good(objecting):
            return found
        return found._replace(remedies=_instead(row, outlook), is_end=found.is_end and outlook.at_once is not None)
    if problem is not None:  # it is rendered when no gate objects
        return _dead(Category.TEMPLATE_ERROR, problem.message, at, *_previewed(row))
    if at is None:
        return Next(f"sent by {outlook.carrier.sender}, now")
    made = "another attempt" if row.state == State.RETRYING else "sent"
    return Next(f"{made} by {outlook.carrier.sender}", at, _at_once(row, outlook.at_once))


def _previewed(row: Notification) -> tuple[str, ...]:
    """Return the command that shows what is wrong with its template, while there is one."""
    return (
        ()
        if row.template is None
        else (f"notifyctl templates preview {word(row.template)} --from-notification {row.id[:8]}",)
    )


def _judged_again(row: Notification, outlook: Outlook, verdict: Verdict) -> Next:
    if isinstance(verdict, PutOff):
        words = f"judged again: {verdict.reason}"
        return Next(words, row.due_at, _way_around(row, outlook.objecting))
    words = f"judged again; it was put off: {row.error_message or row.deferred_by}"
    return Next(words, row.due_at, _at_once(row, outlook.at_once))


def _lost(row: Notification, outlook: Outlook) -> str | None:
    """Return why it is not tried again, its dispatcher being gone; None where it is, or none is gone."""
    if row.state != State.UNKNOWN:
        return None
    if outlook.on_unknown is OnUnknown.HOLD:
        return "nobody knows whether it was sent (on_unknown = hold)"
    return "nobody knows whether its last attempt was taken" if row.attempt_count > row.max_retries else None


def _dead(category: Category, reason: str, at: int | None = None, *remedies: str) -> Next:
    return Next(f"it will be a dead letter ({category}): {reason}", at, remedies, is_end=True)


def _objecting(username: str, channel: Channel, outlook: Outlook, objecting: GateStep, will_be: str) -> Next:
    """Return what an objection makes of it; not everything that suppresses an address is shown with the user's own."""
    found = _objection(username, channel, objecting, will_be)
    if objecting.gate is GateName.ADDRESS and isinstance(objecting.verdict, Suppress) and outlook.elsewhere:
        return found._replace(remedies=(f"notifyctl suppressions remove {channel} ADDRESS",))
    return found


def _objection(username: str, channel: Channel, objecting: GateStep, will_be: str) -> Next:
    remedies = _shown_by(username, objecting)
    match objecting.verdict:
        case PutOff(until, reason):
            return Next(f"{will_be} put off: {reason}", until, remedies)
        case Refuse(category, reason):
            hint = f"notifyctl users contacts add {word(username)} {channel} ADDRESS"
            remedies = (hint,) if category is Category.NO_ADDRESS else ("notifyctl secrets status",)
            return Next(f"{will_be} a dead letter ({category}): {reason}", None, remedies, is_end=True)
    assert isinstance(objecting.verdict, Suppress)  # noqa: S101 - there is nothing else
    return Next(f"{will_be} cancelled: {objecting.verdict.reason}", None, remedies, is_end=True)


def _shown_by(username: str, objecting: GateStep) -> tuple[str, ...]:
    """Return the command that shows what stands against a notification; nothing changes a moment that is past."""
    match objecting.gate:
        case GateName.EXPIRY:
            return ()
        case GateName.ADDRESS:
            return (f"notifyctl users contacts list {word(username)}",)
        case GateName.CONTACT:
            return ("notifyctl config show --origin",)
        case GateName.LIMIT:
            return (f"notifyctl limits show {word(username)}",)
    return (f"notifyctl prefs show {word(username)}",)


def _is_for_good(objecting: GateStep) -> bool:
    """Whether another moment would not change what a gate says: who left stays away."""
    return objecting.gate in (GateName.ADDRESS, GateName.CHANNEL, GateName.CATEGORY)


def _way_around(row: Notification, objecting: GateStep | None) -> tuple[str, ...]:
    """Return the command by which it passes a gate: only quiet hours and caps can be passed."""
    if objecting is not None and objecting.gate in (GateName.QUIET_HOURS, GateName.CAP):
        return (f"{_now(row)} --critical",)
    return () if objecting is None else _shown_by(row.username, objecting)


def _instead(row: Notification, outlook: Outlook) -> tuple[str, ...]:
    """Return the command by which it goes now, or what shows why it does not."""
    if outlook.at_once is None:
        return (_now(row),) if row.state in LATER else ()
    return _way_around(row, outlook.at_once)


def _at_once(row: Notification, objecting: GateStep | None) -> tuple[str, ...]:
    """Return the command by which it goes now, where there is one."""
    if objecting is None:
        return (_now(row),)
    return _way_around(row, objecting) if objecting.gate in (GateName.QUIET_HOURS, GateName.CAP) else ()


def _now(row: Notification) -> str:
    return f"notifyctl notifications reschedule {row.id[:8]} --at now"


# What holds it back


def _waiting(after: Next, outlook: Outlook, waits: str = "it waits") -> Next:
    """Return that it waits, and what becomes of it afterwards, where it is not just sent."""
    carrier = outlook.carrier
    reasons = [each.why for each in outlook.held]
    holds = carrier.holds_at(None)
    words = [f"{waits}: {' and '.join(reasons)}"] if reasons else []
    words += [f"{'and' if reasons else waits} for {carrier.name}: {carrier.hold}"] if holds else []
    if not after.words.startswith("sent by"):
        until = "" if after.at is None else f", until {written(after.at)}"
        words.append(f"then {after.words}{until}")
    at = carrier.until if holds and not reasons else None
    return _with_remedies(after, outlook, "; ".join(words))._replace(at=at)


def _with_remedies(after: Next, outlook: Outlook, words: str) -> Next:
    """Return what comes next with all that would have to be done; nothing where nothing makes it go out."""
    if after.is_end and not after.remedies:
        return after._replace(words=words)
    holds = tuple(each.remedy for each in outlook.held)
    if not outlook.carrier.sends and outlook.carrier.remedy is not None:
        holds = (*holds, outlook.carrier.remedy)
    # What ends it is to be mended before it is let go.
    return after._replace(
        words=words, remedies=(*after.remedies, *holds) if after.is_end else (*holds, *after.remedies)
    )


# What has ended


def _ended(row: Notification, outlook: Outlook) -> Next:
    if row.status == Status.SENT:
        if row.bounced_at is None:
            return Next(f"nothing: {'delivered' if row.delivered_at is not None else 'taken'} by {row.provider}")
        return _again(row, outlook, f"nothing: bounced by {row.provider}", "resend")
    why = row.error_message or "no reason was kept"
    if row.status == Status.FAILED:
        return _again(row, outlook, f"nothing by itself, a dead letter: {why}", "retry")
    return _again(row, outlook, f"nothing, cancelled: {why}", "restore" if why == BY_OPERATOR else "resend")


def _again(row: Notification, outlook: Outlook, words: str, how: str) -> Next:
    """Return how it is sent once more, and what would stand against that by now."""
    found, problem = outlook.objecting, outlook.problem
    remedies: tuple[str, ...] = ()
    if found is not None and found.gate is GateName.EXPIRY:  # a copy has a time of its own
        words, how = f"{words}; it has expired", "resend"
    elif found is not None:
        after = _objecting(row.username, Channel(row.message_type), outlook, found, "sent again it would be")
        words, remedies = f"{words}; {after.words}", after.remedies
    command = f"notifyctl {'dlq' if how == 'retry' else 'notifications'} {how} {row.id[:8]}"
    if how == "retry" and outlook.is_resolved:
        words, command = f"{words}; it is resolved", f"{command} --force"
    if row.template_id is not None and row.template is None:
        return Next(f"{words}; its template is deleted: there is nothing to make its text from", is_end=True)
    if found is None and isinstance(problem, TemplateError):
        remedies = _previewed(row)
        command = f"{command} --latest-template" if how == "retry" else command
    reasons = [each.why for each in outlook.held]
    if not outlook.carrier.sends:
        reasons.append(f"{outlook.carrier.name} is {outlook.carrier.hold}")
    words = f"{words}; held now: {'; '.join(reasons)}" if reasons else words
    ended = Next(words, None, (*remedies, command))
    return _with_remedies(ended, outlook, words) if reasons else ended
