"""Who must not be written to: why, on whose word, and what that means for one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from notifyctl.core import history
from notifyctl.core.address import fold, meant
from notifyctl.core.audience import copies, group
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, Message
from notifyctl.core.text import one_line


class SuppressionCause(StrEnum):
    """Why an address must not be written to; each holds by itself, until it is lifted.

    BOUNCE: nobody is reached there. OPT_OUT: the person said no. COMPLAINT: the person called it spam. OPERATOR: an
    operator said so.
    """

    BOUNCE = "bounce"
    OPT_OUT = "opt_out"
    COMPLAINT = "complaint"
    OPERATOR = "operator"

    @property
    def is_wish(self) -> bool:
        """Whether it is the person's own will, which nobody overrides by mistake."""
        return self in (SuppressionCause.OPT_OUT, SuppressionCause.COMPLAINT)


@dataclass(frozen=True, slots=True)
class Refusal:
    """That an address must not be written to any more; or, where it `lifts`, that it may be again.

    `group` is the one group of mails that it is about, empty for all. `at` is when it was said, in milliseconds since
    the epoch; None: now.
    """

    address: str
    cause: SuppressionCause
    reason: str
    group: str = ""
    at: int | None = None
    lifts: bool = False


class AddressKey(NamedTuple):
    """An address in the form by which it is compared."""

    channel: str
    folded: str


Reasons = Mapping[AddressKey, Mapping[str, str]]
"""Why addresses are suppressed: by group, "" for whatever is sent."""


_ASKING = frozenset({"to", "token", "fid", "topic", "condition", "cc", "bcc", "asm"})
"""The fields that may name another address, or a group."""


class LeftOut(NamedTuple):
    """A copy that is not sent: the field that has it, as it stands there, and why."""

    field: str
    address: str
    reason: str


class Stops(NamedTuple):
    """What stands against the addresses of one message: `to` is why it is not sent at all."""

    to: str | None = None
    left_out: Sequence[LeftOut] = ()


NOTHING = Stops()


def stated(reason: str) -> str:
    """Return the reason on one line; raise UsageError where there is none."""
    why = one_line(reason)
    if not why:
        raise UsageError("the reason is empty", "it says why nobody shall write there")
    return why


def shown(channel: Channel, address: str, own: str | None = None) -> str:
    """Return an address as it is kept: as the user's `own` is written where it is that, else as others are stored."""
    if own is not None and fold(channel, own) == fold(channel, address):
        return own
    try:
        return meant(channel, address)
    except UsageError:  # what somebody else took for one
        return address.strip()


def key(channel: Channel, address: str) -> AddressKey:
    """Return the form by which an address is compared, or that of a mailbox."""
    return AddressKey(channel.value, fold(channel, address))


def asks_none(content: Mapping[str, Any], own: str | None) -> bool:
    """Return whether a message of this content to the user's `own` address is a usual one, for which `asked` is none.

    Said of nearly all, without making the message.
    """
    return own is not None and own.isascii() and _ASKING.isdisjoint(content)


def asked(message: Message, own: str | None) -> list[AddressKey]:
    """Return which addresses of a message have to be looked up; none for a usual one.

    `own` is the user's own address, which was looked up already, as far as a database can fold it.
    """
    to = message.to
    found = [each.key for each in _copies(message)]
    if to is not None and (to != own or not to.isascii() or _groups(message)):
        found.append(key(message.channel, to))
    return found


def stops(message: Message, own: str | None, suppression: str | None, known: Reasons) -> Stops:
    """Return what stands against a message; `suppression` is why the user's `own` address must not be written to."""
    if message.to is None or (not known and suppression is None):
        return NOTHING
    why = suppression if message.to == own else None
    groups = _groups(message)
    if not known:
        return Stops(why)
    left_out = [
        LeftOut(each.field, each.address, reason)
        for each in _copies(message)
        if (reason := _why(known, each.key, groups)) is not None
    ]
    return Stops(why or _why(known, key(message.channel, message.to), groups), left_out)


def without(message: Message, left_out: Sequence[LeftOut]) -> Message:
    """Return the message without the copies that are left out."""
    if not left_out:
        return message
    content: dict[str, Any] = dict(message.content)
    for field in {each.field for each in left_out}:
        gone = {each.address for each in left_out if each.field == field}
        content[field] = [address for address in copies(content, field) if address not in gone]
        if not content[field]:
            del content[field]
    return message._replace(content=content)


def noted(past: str | None, left_out: Sequence[LeftOut], now: int) -> str | None:
    """Return the history with the copies that are left out, unless it has them already."""
    if not left_out:
        return past
    said = [each._asdict() for each in left_out]
    if any(each.get("event") == EVENT and each.get("copies") == said for each in history.parse(past)):
        return past
    reason = "; ".join(f"{each.field} {each.address}: {each.reason}" for each in left_out)
    return history.append(past, {"event": EVENT, "at": now, "copies": said, "reason": reason})


EVENT = "copy_suppressed"
"""What `retry_history` calls it."""


class _Copy(NamedTuple):
    field: str
    address: str
    key: AddressKey


def _copies(message: Message) -> Iterable[_Copy]:
    if message.channel is not Channel.EMAIL:
        return
    for field in ("cc", "bcc"):
        for address in copies(message.content, field):
            yield _Copy(field, address, key(Channel.EMAIL, address))


def _groups(message: Message) -> list[str]:
    """Return the groups of mails that it is one of, each of which people can leave: the content's, its category's."""
    return [each for each in (group(message.content), message.group) if each]


def _why(known: Reasons, address: AddressKey, groups: Sequence[str]) -> str | None:
    found = known.get(address)
    if not found:
        return None
    return next((why for each in ("", *groups) if (why := found.get(each))), None)
