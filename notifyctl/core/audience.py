"""The address that a notification goes to: the one in its payload, else the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.mailbox import bare_address
from notifyctl.core.model import Channel, Message, TemplateRef

_OWN = {Channel.EMAIL: ("to",), Channel.SMS: ("to",), Channel.PUSH: ("token", "fid")}
_GROUPS = ("topic", "condition")
_NAMING = frozenset({*_GROUPS, *(key for keys in _OWN.values() for key in keys)})


def own_address(channel: Channel, content: Mapping[str, Any]) -> str | None:
    """Return the address that the payload itself names; it goes before the user's contact points."""
    for key in _OWN[channel]:
        value = content.get(key)
        if isinstance(value, str) and value:
            return bare_address(value) if channel is Channel.EMAIL else value
    return None


def copies(content: Mapping[str, Any], field: str) -> list[str]:
    """Return who gets a copy by that field (`cc`, `bcc`), as it stands there."""
    value = content.get(field)
    if value is None:
        return []
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each]


def group(content: Mapping[str, Any]) -> str:
    """Return the group of mails that it is one of, which people can leave by itself; empty for none."""
    asm = content.get("asm")
    id_ = asm.get("group_id") if isinstance(asm, dict) else None
    return str(id_) if isinstance(id_, int | str) and not isinstance(id_, bool) else ""


def needs_address(channel: Channel, content: Mapping[str, Any]) -> bool:
    """Return whether one address is to be found: not for a push topic or condition."""
    return not (channel is Channel.PUSH and any(content.get(key) for key in _GROUPS))


def message(
    notification_id: str,
    channel: Channel,
    content: Mapping[str, Any],
    contact: str | None,
    attempt: int = 1,
    template: TemplateRef | None = None,
) -> Message:
    """Return what a provider is to deliver: to the payload's own address, else to `contact`, the user's."""
    if _NAMING.isdisjoint(content):  # as nearly all
        to = contact
    else:
        to = own_address(channel, content) or contact if needs_address(channel, content) else None
    return Message(notification_id, channel, to, content, attempt, template)
