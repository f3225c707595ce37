"""Applying receipts to the notifications that they are about: pure decisions over what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field, fields

from notifyctl.core.address import fold
from notifyctl.core.change import Acknowledge
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, Status
from notifyctl.core.receipt import UNKNOWN_GROUP, Arrival, DeliveryState, Receipt, Stage, settle
from notifyctl.core.suppression import Refusal


@dataclass(slots=True)
class Counts:
    """How many receipts said what; each counts once, `suppressed` and `lifted` count addresses.

    `underway` says only that it is on its way, `ignored` nothing new of how far it is, `unknown` is of no notification
    that is here. So many of them are `kept`, or are of one whose result is not recorded yet.
    """

    delivered: int = 0
    bounced: int = 0
    underway: int = 0
    ignored: int = 0
    unknown: int = 0
    kept: int = 0
    suppressed: int = 0
    lifted: int = 0

    def add(self, more: Counts) -> None:
        """Add others to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))


@dataclass(frozen=True, slots=True)
class Addressee:
    """A notification that receipts are about. `own` is its recipient, `copies` are cc and bcc, folded.

    `veiled`: the recipient's address is sealed where it is stored, and is written down nowhere else.
    Times are milliseconds since the epoch.
    """

    id: str
    lease_id: str | None
    channel: Channel
    provider: str
    status: str
    sent_at: int
    metric_at: int
    known: DeliveryState
    receipt_due_at: int | None
    own: str | None
    copies: frozenset[str]
    leased_until: int | None = None
    attempt_count: int = 0
    last_attempted: int | None = None
    retry_history: str | None = None
    group: str = ""
    veiled: bool = False

    @property
    def noted(self) -> str | None:
        """The recipient as attempts note it."""
        return None if self.veiled else self.own

    def heard(self, arrival: Arrival) -> Arrival:
        """Return what may be written down of a receipt."""
        return arrival.without(self.own) if self.veiled else arrival

    def is_copy(self, address: str | None) -> bool:
        """Return whether that is somebody else than whom the notification is for."""
        if address is None or not self.copies:
            return False
        folded = fold(self.channel, address)
        return folded in self.copies and folded != fold(self.channel, self.own or "")


@dataclass(slots=True)
class Weighed:
    """The changes that receipts lead to. `complaints` are about the account, each with when the message was sent.

    `refusals` are what was said of addresses, each with the notification that it was said of. `early` are those that
    are to be kept: they may be of a call whose result is not recorded yet.
    """

    counts: Counts = field(default_factory=Counts)
    known: dict[str, tuple[Addressee, DeliveryState]] = field(default_factory=dict)
    refusals: list[tuple[Refusal, Addressee | None]] = field(default_factory=list)
    complaints: list[tuple[Receipt, int]] = field(default_factory=list)
    early: list[Arrival] = field(default_factory=list)

    @property
    def changes(self) -> list[Acknowledge]:
        """What is to be written, in the order of the ids."""
        return [self._change(*self.known[id_]) for id_ in sorted(self.known)]

    def _change(self, row: Addressee, known: DeliveryState) -> Acknowledge:
        final = known.delivered_at is not None or known.bounced_at is not None
        return Acknowledge(
            row,
            delivered_at=known.delivered_at,
            bounced_at=known.bounced_at,
            receipt=known.receipt,
            receipt_due_at=None if final else row.receipt_due_at,
        )


def weigh(
    found: Iterable[tuple[Arrival, Addressee | None]], provider: str, now: int, *, again: bool = False
) -> Weighed:
    """Return what the receipts of one provider come to, in their order, each with the notification that it is of.

    A notification that is not `sent`, or went by another provider in the end, is left as it is; a receipt of one that
    is pending, or not known, is early. What it says of its address holds at once; looked at `again`, that was done.
    """
    weighed = Weighed()
    for arrival, row in found:
        if _is_early(arrival, row):
            weighed.counts.kept += 1
            weighed.early.append(arrival)
            if row is not None and not again:
                _refuse(weighed, arrival.receipt, row)
            if row is not None:
                continue
        heard = arrival if row is None else row.heard(arrival)
        _weigh_one(weighed, heard.receipt, row, provider, now)
    return weighed


def reason_to_pause(complaints: Sequence[tuple[Receipt, int]], changed_at: int, now: int) -> str | None:
    """Return why the provider is to be paused: the first complaint that still says something about its account."""
    return next((each.pause for each, sent_at in complaints if each.still_pauses(changed_at, sent_at, now)), None)


def _is_early(arrival: Arrival, row: Addressee | None) -> bool:
    if arrival.receipt is None or arrival.receipt.stage is None:
        return False
    if row is None:
        return bool(arrival.notification_id or arrival.provider_message_id)
    return row.status == Status.PENDING


def _weigh_one(weighed: Weighed, receipt: Receipt | None, row: Addressee | None, provider: str, now: int) -> None:
    if row is None:
        if receipt is not None and receipt.stage is None:
            weighed.counts.ignored += 1
        else:
            weighed.counts.unknown += 1
        _refuse(weighed, receipt, None)
        return
    if receipt is None or row.status != Status.SENT or row.provider != provider:
        weighed.counts.ignored += 1
        _refuse(weighed, receipt, row)
        return
    beside = receipt.stage is None or row.is_copy(receipt.address)
    _, known = weighed.known.get(row.id, (row, row.known))
    settled = known if beside else settle(known, receipt, now)
    if beside or settled != known:  # else it was said before, and may have been lifted since
        _refuse(weighed, receipt, row)
    if settled == known:
        weighed.counts.ignored += 1
        return
    weighed.known[row.id] = (row, settled)
    _take_note(weighed, receipt, row, known)


def _refuse(weighed: Weighed, receipt: Receipt | None, row: Addressee | None) -> None:
    """Take note of what a receipt says of its address, which holds whatever became of the message."""
    if receipt is None or not (receipt.dead or receipt.lifts):
        return
    address = receipt.address or (row.own if row is not None and row.status == Status.SENT else None)
    if address:
        group = receipt.group
        if group == UNKNOWN_GROUP:
            group = "" if row is None else row.group
        refusal = Refusal(address, receipt.cause, receipt.text, group, receipt.at, receipt.lifts)
        weighed.refusals.append((refusal, row))


def _take_note(weighed: Weighed, receipt: Receipt, row: Addressee, known: DeliveryState) -> None:
    match receipt.stage:
        case Stage.UNDERWAY | None:
            weighed.counts.underway += 1
            return
        case Stage.DELIVERED:
            weighed.counts.delivered += 1
        case Stage.BOUNCED if known.bounced_at is not None:  # only why is new, and what follows from it
            weighed.counts.ignored += 1
        case Stage.BOUNCED:
            weighed.counts.bounced += 1
    if receipt.pause:
        weighed.complaints.append((receipt, row.sent_at))
