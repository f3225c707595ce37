"""Why a notification is where it is, and what comes next; by the rules of the claim, at this moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from notifyctl.core import content, failover, ratelimit, senders, zones
from notifyctl.core.allowed import first_allowed
from notifyctl.core.audience import message, own_address
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.explanation import (
    Carrier,
    Explanation,
    HoldingBack,
    Outlook,
    behind_a_pause,
    moment_of,
    next_of,
    next_of_supposed,
)
from notifyctl.core.gate import BY_RULES, Facts, Person, all_rules, closed, in_words
from notifyctl.core.model import Channel, Message, OnUnknown, Status, Subscription, TemplateRef
from notifyctl.core.notification import Notification, State
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.policy import UNCONFIGURED, Policy, digest
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.submission import SubmissionFacts
from notifyctl.core.suppression import NOTHING
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.triage import SENDER_HELD
from notifyctl.core.walk import GateStep, walk
from notifyctl.core.webhook.hearer import Hearer
from notifyctl.services import credentials, hearing, holding, judging, previews
from notifyctl.services.ahead import in_line, last_in_line
from notifyctl.services.notifications import meant_by
from notifyctl.store import (
    adopting,
    batches,
    categories,
    dlq,
    standings,
    status,
    template_sources,
    templates,
)
from notifyctl.store import notifications as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.standings import Whom

SUPPOSED = "supposed"
"""The state of a notification that does not exist."""


class Supposed(NamedTuple):
    """A notification that does not exist; `at` None is now."""

    user: str
    channel: Channel
    category: str | None = None
    at: int | None = None
    critical: bool = False


def explain(
    db: Database, ids: Sequence[str], policy: Policy, on_unknown: Mapping[Channel, OnUnknown]
) -> list[Explanation]:
    """Explain notifications. Raises NotFound, UsageError for an id."""
    with db.read() as tx:
        found = meant_by(tx, ids)
        told = hearing.hearers(tx, [row.id for row in found])
        return [_of_row(tx, row, policy, on_unknown, told.get(row.id, ())) for row in found]


def suppose(db: Database, asked: Supposed, policy: Policy) -> Explanation:
    """Say what would become of a notification. Raises NotFound for the user or the category."""
    with db.read() as tx:
        if asked.category is not None:
            asked = asked._replace(category=categories.find(tx, asked.category).name)
        at = tx.now if asked.at is None else asked.at
        known = _known(tx, asked.user, asked.channel, {}, asked.category)
        who = known.recipient
        if isinstance(who, NotifyctlError):
            raise who
        carrier = _stood_in_for(_carrier(_preferred(known.providers, asked.channel), at), known, asked.channel, at)
        at = behind_a_pause(at, carrier)
        whom = Whom(who.id, asked.channel.value, asked.category)
        person = standings.of(tx.at(at), [whom], policy).person(whom, critical=asked.critical)
        person = last_in_line(tx, who.id, person, policy) if at == tx.now else person
        steps = _walked(known, judging.asked(known, asked.channel, {}, None, at, person), is_now=at == tx.now)
        outlook = Outlook(carrier, _objecting(steps), elsewhere=_is_elsewhere(known, asked.channel, {}))
        return Explanation(
            id=None,
            user_id=who.id,
            username=who.username,
            message_type=asked.channel.value,
            category=asked.category,
            status=SUPPOSED,
            state=SUPPOSED,
            asked_at=tx.now,
            at=at,
            gates=steps,
            carrier=carrier,
            held=(),
            attempt_count=0,
            max_retries=0,
            twins=(),
            next=next_of_supposed(who.username, asked.channel, outlook, asked.at),
            dispatched=bool(status.alive(tx)),
            tzdata=zones.version(),
            policy_differs=adopting.differs(tx, digest(policy)),
        )


def never_reached(db: Database, user: str, channel: Channel, policy: Policy) -> str | None:
    """Return why no marketing can ever be sent to a user on a channel; None where some can. Raises NotFound."""
    if not policy.contact_windows:
        return None
    with db.read() as tx:
        known = _known(tx, user, channel, {}, None)
        if isinstance(known.recipient, NotifyctlError):
            raise known.recipient
        whom = Whom(known.recipient.id, channel.value, None)
        person = standings.of(tx, [whom], policy).persons[whom]._replace(marketing=True)
        rules = all_rules(judging.asked(known, channel, {}, None, tx.now, person), person)
        if first_allowed(rules, tx.now) is not None:
            return None
        return in_words(rules)


def mail_is_suppressed(db: Database, user: str, category: str) -> str | None:
    """Return why no mail of a category is sent to a user's address, whatever the user wants; None where it is."""
    with db.read() as tx:
        known, whom = _known(tx, user, Channel.EMAIL, {}, category), Whom(user, Channel.EMAIL.value, category)
        person = standings.of(tx, [whom], UNCONFIGURED).persons[whom]  # for the category's group at a provider
        return judging.against(known, Channel.EMAIL, {}, person)[1].to


# Helpers


class _Subject(NamedTuple):
    """A notification with what is known of whom it is for, and what it says."""

    row: Notification
    channel: Channel
    said: Mapping[str, Any]
    known: SubmissionFacts
    policy: Policy

    def walked(self, tx: Tx, at: int) -> tuple[tuple[GateStep, ...], Person | None]:
        """Return what the gates say of it as of a moment, and what rules know of its user then."""
        row = self.row
        whom = Whom(row.user_id, row.message_type, row.category)
        found = standings.of(tx.at(at), [whom], self.policy, row.lease_id)
        person = found.person(whom, critical=row.is_critical, counted_at=row.counted_at)
        person = in_line(tx, row, person, self.policy)
        is_copied = row.status == Status.SENT or (row.status == Status.CANCELLED and row.error_message != BY_OPERATOR)
        expires_at = row.copy_expires_at(at) if is_copied else row.expires_at
        asked = judging.asked(self.known, self.channel, self.said, expires_at, at, person)
        return _walked(self.known, asked, is_now=at == tx.now), person


def _of_row(
    tx: Tx, row: Notification, policy: Policy, on_unknown: Mapping[Channel, OnUnknown], told: Sequence[Hearer]
) -> Explanation:
    channel = Channel(row.message_type)
    said, unread = _content(row, channel)
    subject = _Subject(row, channel, said, _known(tx, row.user_id, channel, said, row.category), policy)
    carrier = _carrier_of(row, subject.known, said, tx.now)
    at = moment_of(row, carrier, tx.now)
    steps, person = ((), None) if unread is not None else subject.walked(tx, at)
    outlook = _outlook(tx, subject, steps, Outlook(carrier, problem=unread), person, at)
    is_pending = row.status == Status.PENDING
    stopped = judging.against(subject.known, channel, said, person)[1] if is_pending and unread is None else NOTHING
    return Explanation(
        id=row.id,
        user_id=row.user_id,
        username=row.username,
        message_type=row.message_type,
        category=row.category,
        status=row.status,
        state=row.state,
        asked_at=tx.now,
        at=at,
        gates=steps if is_pending else (),
        carrier=carrier,
        held=outlook.held,
        attempt_count=row.attempt_count,
        max_retries=row.max_retries,
        twins=tuple(store.twins(tx, row)),
        next=next_of(row, outlook._replace(on_unknown=on_unknown.get(channel, OnUnknown.RETRY))),
        dispatched=bool(status.alive(tx)),
        tzdata=zones.version(),
        policy_differs=adopting.differs(tx, digest(policy)),
        told=tuple(told),
        left_out=tuple(stopped.left_out),
    )


def _outlook(
    tx: Tx, subject: _Subject, steps: tuple[GateStep, ...], outlook: Outlook, person: Person | None, at: int
) -> Outlook:
    """Return the outlook with what the gates, the template and what holds it back say."""
    row = subject.row
    if outlook.problem is None:
        is_marketing = person is not None and person.marketing
        outlook = outlook._replace(
            objecting=_objecting(steps),
            at_once=_objecting(steps if at == tx.now else subject.walked(tx, tx.now)[0]),
            problem=_template_error(tx, row, subject.said, subject.known, is_marketing=is_marketing),
        )
    letter = dlq.get(tx, [row.id]).get(row.id) if row.status == Status.FAILED else None
    return outlook._replace(
        held=tuple(_held(tx, row)),
        rules_changed=_rules_changed(tx, row, subject.policy),
        is_resolved=letter is not None and letter.resolved,
        elsewhere=_is_elsewhere(subject.known, subject.channel, subject.said),
    )


def _rules_changed(tx: Tx, row: Notification, policy: Policy) -> bool:
    """Return whether dispatchers are to judge it again at once: the configuration changed, or what a category is."""
    if row.state != State.DEFERRED or row.deferred_by not in BY_RULES:
        return False
    return adopting.will_wake(tx, digest(policy))


def _template_error(
    tx: Tx, row: Notification, said: Mapping[str, Any], known: SubmissionFacts, *, is_marketing: bool
) -> TemplateError | None:
    """Return why its template cannot be rendered with what it says; None where it can."""
    who = known.recipient
    if row.template_id is None or isinstance(who, NotifyctlError):
        return None
    key = (row.template_id, row.template_version or 0)
    source, channel = template_sources.source(tx, key), Channel(row.message_type)
    if source is None:
        return TemplateError(f"version {key[1]} of template {row.template or key[0]} is gone")
    mail = message(row.id, channel, said, who.address, template=TemplateRef(*key, who.language))
    if is_marketing and channel is Channel.EMAIL:
        mail = mail._replace(subscription=Subscription(row.user_id, row.category or "", tx.now))
    try:
        previews.rendered(source, previews.linked(mail, previews.SOMEWHERE))
    except TemplateError as error:
        return error
    return None


def _held(tx: Tx, row: Notification) -> Iterator[HoldingBack]:
    """Yield what holds it back before all else: its template, its batch."""
    if row.template_id is not None and templates.held(tx, [row.template_id]):
        yield HoldingBack(*holding.of_template(row.template or ""))
    batch = None if row.batch_id is None else batches.holding_back(tx, row.id)
    if batch is not None:
        yield HoldingBack(*holding.of_batch(batch))


def _carrier_of(row: Notification, known: SubmissionFacts, said: Mapping[str, Any], now: int) -> Carrier:
    config = next((each for each in known.providers if each.provider_name == row.provider), None)
    if config is None:
        return Carrier(row.provider, "it is not configured", remedy="notifyctl providers list")
    carrier, channel = _carrier(config, now), Channel(row.message_type)
    if carrier.hold is None:
        return _sender_held(config, message(row.id, channel, said, None), now) or carrier
    return _stood_in_for(carrier, known, channel, now) if row.fails_over else carrier


def _sender_held(config: ProviderConfig, mail: Message, now: int) -> Carrier | None:
    """Return that the sender of a message is left alone for now, where it is."""
    until = senders.Gate(senders.parse(config.health.held_senders), now, 0).waits_until(mail)
    shown = f"notifyctl providers show {config.provider_name}"
    return None if until is None else Carrier(config.provider_name, SENDER_HELD, until, shown)


def _stood_in_for(carrier: Carrier, known: SubmissionFacts, channel: Channel, now: int) -> Carrier:
    """Return who delivers, where another one of the channel stands in for a provider that fails."""
    preferred = [(each.provider_name, each.fails(now)) for each in known.providers if _delivers(each, channel)]
    best = [who for who, failing in failover.stand_ins(preferred).items() if carrier.name in failing]
    return replace(carrier, stand_in=best[0]) if best else carrier


def _known(tx: Tx, user: str, channel: Channel, said: Mapping[str, Any], category: str | None) -> SubmissionFacts:
    [known] = judging.known(tx, [(user, channel, said, category)])
    return known


def _content(row: Notification, channel: Channel) -> tuple[Mapping[str, Any], InvalidPayload | NewerPayload | None]:
    """Return what it says; nothing, and why, where that cannot be read."""
    try:
        return content.parse(row.payload, channel), None
    except (InvalidPayload, NewerPayload) as problem:
        return {}, problem


def _walked(known: SubmissionFacts, asked: Facts, *, is_now: bool) -> tuple[GateStep, ...]:
    steps, who = walk(asked, is_now=is_now), known.recipient
    if isinstance(who, NotifyctlError) or not who.closed:
        return steps
    found = ((each, closed(each.verdict)) for each in steps)
    return tuple(
        each if verdict == each.verdict else each._replace(verdict=verdict, words="does not open")
        for each, verdict in found
    )


def _is_elsewhere(known: SubmissionFacts, channel: Channel, said: Mapping[str, Any]) -> bool:
    """Return whether its address, if it is suppressed, is so by something that is not shown with the user's own."""
    who = known.recipient
    return own_address(channel, said) is not None or isinstance(who, NotifyctlError) or who.suppression is None


def _objecting(steps: Sequence[GateStep]) -> GateStep | None:
    return next((each for each in steps if each.verdict is not None), None)


def _preferred(providers: Sequence[ProviderConfig], channel: Channel) -> ProviderConfig | None:
    return next((each for each in providers if _delivers(each, channel)), None)


def _delivers(provider: ProviderConfig, channel: Channel) -> bool:
    return provider.is_active and provider.channel is channel


def _carrier(config: ProviderConfig | None, now: int) -> Carrier:
    if config is None:
        return Carrier(None)
    name, health, hold = config.provider_name, config.health, config.hold(now)
    if hold is None:
        next_at = ratelimit.next_at(config.next_permit_us, now, config.rate_limit)
        why = None if next_at is None else f"its limit of {config.rate_limit} a minute is reached"
        return Carrier(name, why, next_at, None if why is None else f"notifyctl providers show {name}")
    why = f"{hold}: {health.pause_reason}" if health.pause_reason else str(hold)
    remedy = credentials.out_of_hold(name, hold, health.pause_cause, health.pause_reason)
    return Carrier(name, why, health.paused_until, remedy)
