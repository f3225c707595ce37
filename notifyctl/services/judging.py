"""What the gate is asked of a notification that is stored, or of one that is not: whom it is for, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifyctl.core.audience import message
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.gate import Facts, Person, facts
from notifyctl.core.model import Channel, Message
from notifyctl.core.submission import Draft, SubmissionFacts
from notifyctl.core.suppression import Stops, stops
from notifyctl.store import submissions
from notifyctl.store.db.tx import Tx

Saying = tuple[Channel, Mapping[str, Any], str | None]
"""The channel of a notification, what it says, and its category."""


def known(tx: Tx, user: str, said: Sequence[Saying]) -> list[SubmissionFacts]:
    """Return what is known of notifications of one user, each of which says that."""
    drafts = [Draft(user, channel, content, key="", category=category) for channel, content, category in said]
    return submissions.known(tx, drafts, likely_new=True)


def against(
    about: SubmissionFacts, channel: Channel, said: Mapping[str, Any], person: Person | None
) -> tuple[Message, Stops]:
    """Return what is to be delivered, and what stands against its addresses. Raises what the user's reference is."""
    who = about.recipient
    if isinstance(who, NotifyctlError):
        raise who
    mail = message("", channel, said, who.address)
    mail = mail if person is None else person.addressed(mail)
    return mail, stops(mail, who.address, who.suppression, about.suppressed)


def asked(
    about: SubmissionFacts,
    channel: Channel,
    said: Mapping[str, Any],
    expires_at: int | None,
    at: int,
    person: Person | None,
) -> Facts:
    """Return what the gate looks at as of a moment."""
    mail, stands = against(about, channel, said, person)
    return facts(mail, expires_at, stands.to, at, person)
