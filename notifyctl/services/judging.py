"""What the gate is asked of a notification that is stored, or of one that is not: whom it is for, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifyctl.core import content
from notifyctl.core.audience import message
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.gate import Facts, Person, facts
from notifyctl.core.model import Channel, Message
from notifyctl.core.submission import Draft, SubmissionFacts
from notifyctl.core.suppression import Stops, stops
from notifyctl.store import submissions
from notifyctl.store.db.tx import Tx

Saying = tuple[str, Channel, Mapping[str, Any], str | None]
"""Whose a notification is, its channel, what it says, and its category."""


def known(tx: Tx, asked: Sequence[Saying]) -> list[SubmissionFacts]:
    """Return what is known of notifications, each of which says that; what rules know is not among it."""
    drafts = [Draft(user, channel, says, key="", category=category) for user, channel, says, category in asked]
    return submissions.known(tx, drafts, None, likely_new=True) if drafts else []


def said(user_id: str, channel: str, payload: str, category: str | None) -> Saying | None:
    """Return what one says that is stored, which decides where it goes; None where that cannot be read."""
    of = Channel(channel)
    try:
        return user_id, of, content.parse(payload, of), category
    except (InvalidPayload, NewerPayload):
        return None


def against(
    about: SubmissionFacts, channel: Channel, says: Mapping[str, Any], person: Person | None
) -> tuple[Message, Stops]:
    """Return what is to be delivered, and what stands against its addresses. Raises what the user's reference is."""
    who = about.recipient
    if isinstance(who, NotifyctlError):
        raise who
    mail = message("", channel, says, who.address)
    mail = mail if person is None else person.addressed(mail)
    return mail, stops(mail, who.address, who.suppression, about.suppressed)


def asked(
    about: SubmissionFacts,
    channel: Channel,
    says: Mapping[str, Any],
    expires_at: int | None,
    at: int,
    person: Person | None,
) -> Facts:
    """Return what the gate looks at as of a moment."""
    mail, stands = against(about, channel, says, person)
    return facts(mail, expires_at, stands.to, at, person)
