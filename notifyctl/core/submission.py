"""Judging a submission: one pure function from a draft, and what the store knows, to the row to insert or to an error.

The store reads what is known (`store.submissions`) and writes the row with what follows from it
(`store.queue.submit`); neither judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from notifyctl.core import attached, content, when
from notifyctl.core.audience import message, needs_address
from notifyctl.core.change import Audit
from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
from notifyctl.core.gate import Person, PutOff, Refuse, Suppress, Verdict, closed, facts, gate
from notifyctl.core.model import MAX_RETRIES as MAX_RETRIES
from notifyctl.core.model import MOST_RETRIES as MOST_RETRIES
from notifyctl.core.model import Category, Channel, Message, Subscription, TemplateRef
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.suppression import LeftOut, Reasons, Stops, stops
from notifyctl.core.text import word
from notifyctl.core.wording import Template, TemplateKind


class Draft(NamedTuple):
    """What is to be submitted. `user` is an id, username or e-mail address, `payload` a payload (`core.content`).

    `send_at` is a moment in milliseconds since the epoch, `delay_ms` counts from now; at most one of them is given.
    `key` makes a repeated submission the same submission. `expires_in_ms` counts from the moment it is for. With a
    `template` (a name or id) its text is rendered when it is sent, from the payload's `variables`. Without a `category`
    it is the template's. `critical` passes quiet hours and caps, and goes before others. `written` is the payload as
    canonical JSON (`core.content.written`), for who has it.
    """

    user: str
    channel: Channel
    payload: Mapping[str, Any]
    key: str
    provider: str | None = None
    send_at: int | None = None
    delay_ms: int | None = None
    expires_in_ms: int | None = None
    max_retries: int = MAX_RETRIES
    template: str | None = None
    category: str | None = None
    critical: bool = False
    written: str | None = None

    def due_at(self, now: int) -> int:
        """Return the moment that it is for, where that is one."""
        return self.send_at if self.send_at is not None else now + (self.delay_ms or 0)


class Recipient(NamedTuple):
    """The user a draft is for. `address` is where it would go now, `suppression` why that must not be written to.

    `ruled`: the user has wishes of the channel, or a limit. `closed`: there is an address, which does not open.
    """

    id: str
    username: str
    address: str | None
    suppression: str | None
    language: str | None = None
    ruled: bool = False
    closed: bool = False


class Former(NamedTuple):
    """The notification that an earlier submission with the same key stored, and what its content was."""

    id: str
    content_hash: str


class SubmissionFacts(NamedTuple):
    """What is stored about a draft: its recipient or the error, an earlier submission with its key, the providers.

    The preferred provider stands first. `suppressed` is why addresses are that were looked up besides the recipient's,
    `template` the one that was named, or why it cannot be meant; so is `category`. `person` is what rules know.
    """

    recipient: Recipient | NotifyctlError
    former: Former | None
    providers: Sequence[ProviderConfig]
    suppressed: Reasons = MappingProxyType({})
    template: Template | NotifyctlError | None = None
    category: str | NotifyctlError | None = None
    person: Person | None = None


NO_COLUMNS = ("files",)


class New(NamedTuple):
    """A notification to insert; it starts `pending`. Times are milliseconds since the epoch. A tuple: made by millions.

    Its fields are columns, but for those that `NO_COLUMNS` names. `files` are the digests of the files that its payload
    refers to, `attached_bytes` how large they are, together. `batch_id` is what it is submitted with, `parked_at` since
    when that holds it back.
    """

    id: str
    user_id: str
    idempotency_key: str
    message_type: str
    provider: str
    payload: str
    max_retries: int
    created_at: int
    send_at: int | None
    due_at: int
    expires_at: int | None
    content_hash: str
    resent_from: str | None = None
    fails_over: bool = True
    attached_bytes: int | None = None
    files: tuple[str, ...] = ()
    template_id: str | None = None
    template_version: int | None = None
    category: str | None = None
    is_critical: bool = False
    batch_id: str | None = None
    parked_at: int | None = None

    @property
    def wakes(self) -> bool:
        """Whether it is due at once, which dispatchers do not know of themselves."""
        return self.due_at <= self.created_at and self.parked_at is None

    @property
    def audit(self) -> Audit:
        """What the audit trail says of it."""
        if self.resent_from is not None:
            return Audit("resend", {"resent_from": self.resent_from})
        names = ("user_id", "message_type", "provider", "send_at")
        more = [each for each in ("template_id", "template_version", "category", "is_critical") if getattr(self, each)]
        return Audit("create", {name: getattr(self, name) for name in (*names, *more)})


class Plan(NamedTuple):
    """A row to insert, with its provider and its recipient. What will stop it is judged where somebody asks.

    `key` is the idempotency key as it was given, `known` what was stored when it was planned, `files` the contents that
    the row's payload refers to, by digest.
    """

    key: str
    row: New
    recipient: Recipient
    provider: ProviderConfig
    message: Message
    known: SubmissionFacts
    files: Mapping[str, str] = MappingProxyType({})
    template: Template | None = None

    @property
    def objection(self) -> Verdict:
        """What will stop it when it is due."""
        row = self.row
        verdict = gate(facts(self.message, row.expires_at, self._stops.to, row.due_at, self.known.person))
        return closed(verdict) if self.recipient.closed else verdict

    @property
    def may_be_stopped(self) -> bool:
        """Whether there is anything by which it could be: of most there is nothing, and very many are asked about."""
        who, known = self.recipient, self.known
        if known.person is not None or who.suppression is not None or who.closed or self.message.to is None:
            return True
        return bool(known.suppressed) or self.row.expires_at is not None

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """The copies that will not be sent."""
        return self._stops.left_out

    @property
    def _stops(self) -> Stops:
        who = self.recipient
        return stops(self.message, who.address, who.suppression, self.known.suppressed)

    @property
    def unaddressed(self) -> Conflict | None:
        """That it needs an address and there is none; None where it may be delivered."""
        if self.message.to is not None or not needs_address(self.message.channel, self.message.content):
            return None
        name, channel = self.recipient.username, self.message.channel
        hint = f"notifyctl users contacts add {word(name)} {channel} ADDRESS, or send --to ADDRESS"
        lacks = f"the {channel} address of {name} does not open"
        return Conflict(lacks if self.recipient.closed else f"{name} has no {channel} address", hint)

    @property
    def remark(self) -> str | None:
        """What to warn of. It is accepted all the same: what stands against it may change before it is due."""
        match self.objection:
            case Refuse(Category.NO_ADDRESS as category) if (problem := self.unaddressed) is not None:
                said = f"{problem.message}: without one it becomes a dead letter ({category})"
                return f"{said}\nhint: {problem.hint}"
            case Refuse(category, reason):
                return f"it becomes a dead letter ({category}): {reason}"
            case Suppress(reason):
                return f"it will be cancelled and not sent: {reason}"
            case PutOff(until, reason):
                return f"it will be put off until {when.written(until)}: {reason}"
        copies = "; ".join(f"{each.field} {each.address} ({each.reason})" for each in self.left_out)
        return f"copies that are suppressed will be left out: {copies}" if copies else None


class NoProvider(Conflict):
    """No active provider delivers on the channel. Which could be added is known to those who know the adapters."""


def plan(
    draft: Draft, known: SubmissionFacts, id_: str, now: int, batch_id: str | None = None
) -> Plan | Former | NotifyctlError:
    """Return the row with the id `id_`, what the same submission stored before, or why it is refused.

    A repetition is recognised before anything else is checked: its time may be past by now. Whether the provider would
    take the content is left to its adapter.
    """
    who = known.recipient
    if isinstance(who, NotifyctlError):
        return who
    template = _template(draft, known.template)
    named = template.name if isinstance(template, Template) else draft.template
    category = known.category if isinstance(known.category, str) else draft.category
    written = content.canonical(draft.payload) if draft.written is None else draft.written
    digest = content.content_hash(who.id, draft.channel, draft.payload, draft.provider, named, category, written)
    if known.former is not None:
        return repeated(draft, known.former, digest)
    if isinstance(template, NotifyctlError):
        return template
    if isinstance(known.category, NotifyctlError):
        return known.category
    provider = _provider(draft, known.providers)
    if isinstance(provider, NotifyctlError):
        return provider
    times = _times(draft, now)
    if isinstance(times, NotifyctlError):
        return times
    payload, files = attached.apart(draft.payload)
    stored = written if payload is draft.payload else content.canonical(payload)
    pinned = None if template is None else TemplateRef(template.id, template.published_version, who.language)
    row = _row(draft, (payload, stored, digest), who, provider, id_, now, times, pinned, known.category, batch_id)
    to = message(id_, draft.channel, draft.payload, who.address, template=pinned)
    to = to if known.person is None else known.person.addressed(to)
    if known.person is not None and known.person.marketing and draft.channel is Channel.EMAIL:
        to = to._replace(subscription=Subscription(who.id, known.person.category or "", now))
    return Plan(draft.key, row, who, provider, to, known, files, template)


def repeated(draft: Draft, former: Former, digest: str) -> Former | NotifyctlError:
    """Return what the submission before it stored, or that this one says something else under the same key."""
    return former if former.content_hash == digest else other_content(draft.key, former.id)


def other_content(key: str, former_id: str) -> Conflict:
    """Return that an idempotency key was used for a notification that says something else."""
    return Conflict(
        f"the idempotency key {key!r} was used for notification {former_id}, with other content",
        f"notifyctl notifications show {former_id}, or choose another key",
    )


def is_held(row: New, providers: Sequence[ProviderConfig], now: int) -> bool:
    """Return whether it waits although it is due: its provider sends nothing, and no other stands in for it."""
    own = next((each for each in providers if each.provider_name == row.provider), None)
    if own is not None and own.hold(now) is None:
        return False
    of_channel = [each for each in providers if each.channel is not None and each.channel.value == row.message_type]
    fails = own in of_channel and own is not None and own.fails(now)
    return not (row.fails_over and fails and any(each.hold(now) is None for each in of_channel))


# Helpers


def _template(draft: Draft, found: Template | NotifyctlError | None) -> Template | NotifyctlError | None:
    """Return the template that is meant, or why nothing can be sent by it."""
    if not isinstance(found, Template):
        return found
    name = found.name
    if found.channel is not draft.channel:
        return UsageError(f"--template: {name} is for {found.channel}, not {draft.channel}", "notifyctl templates list")
    if found.kind != TemplateKind.MESSAGE:
        return UsageError(f"--template: {name} is a {found.kind}, a part of others", "notifyctl templates list")
    if not found.is_active:
        return Conflict(f"template {name} is disabled", f"notifyctl templates enable {name}")
    if not found.published_version:
        return Conflict(f"template {name} is a draft", f"notifyctl templates publish {name}")
    return found


def _provider(draft: Draft, providers: Sequence[ProviderConfig]) -> ProviderConfig | NotifyctlError:
    if draft.provider is not None:
        return _given_provider(draft.provider, draft.channel, providers)
    for each in providers:
        if each.is_active and each.channel is draft.channel:
            return each
    return NoProvider(f"no active provider delivers {draft.channel}")


def _given_provider(
    name: str, channel: Channel, providers: Sequence[ProviderConfig]
) -> ProviderConfig | NotifyctlError:
    found = next((each for each in providers if each.provider_name == name), None)
    if found is None:
        return NotFound(f"there is no provider {name!r}", "notifyctl providers list")
    if found.channel is not channel:
        return UsageError(f"--provider: {name} delivers {found.channel}, not {channel}", "notifyctl providers list")
    if not found.is_active:
        return Conflict(f"provider {name} is disabled", f"notifyctl providers enable {name}")
    return found


def _times(draft: Draft, now: int) -> tuple[int | None, int | None] | NotifyctlError:
    """Return `send_at` and `expires_at`."""
    try:
        send_at = None
        if draft.send_at is not None:
            send_at = when.not_past(draft.send_at, now, "--at")
        elif draft.delay_ms is not None:
            send_at = when.after(now, draft.delay_ms, "--in")
        if draft.expires_in_ms is None:
            return send_at, None
        return send_at, when.after(now if send_at is None else send_at, draft.expires_in_ms, "--expires-in")
    except UsageError as error:
        return error


def _row(
    draft: Draft,
    said: tuple[Mapping[str, Any], str, str],
    who: Recipient,
    provider: ProviderConfig,
    id_: str,
    now: int,
    times: tuple[int | None, int | None],
    template: TemplateRef | None,
    category: str | None,
    batch_id: str | None,
) -> New:
    """Return the row; of what is `said` the payload as it is stored, as text, too, and the hash of all of it."""
    (payload, written, digest), (send_at, expires_at) = said, times
    digests = attached.digests(payload)
    return New(  # by their places: with names it takes twice as long, by millions
        id_,
        who.id,
        content.idempotency_key(who.id, draft.key),
        str(draft.channel),
        provider.provider_name,
        written,
        draft.max_retries,
        now,
        send_at,
        now if send_at is None else send_at,
        expires_at,
        digest,
        None,
        draft.provider is None,
        (attached.size(payload) or None) if digests else None,
        digests,
        None if template is None else template.id,
        None if template is None else template.version,
        category,
        draft.critical,
        batch_id,
    )
