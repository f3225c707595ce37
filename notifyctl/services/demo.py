"""What the demo fills its database with, and what it picks out of it afterwards."""

from __future__ import annotations

import uuid
from random import Random

from sqlalchemy import select

from notifyctl.core import content
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Category, Channel
from notifyctl.core.submission import Draft
from notifyctl.services import contacts, sending, users
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notification_dlq, notifications

PEOPLE = 24
NOTIFICATIONS = 300
LATER_MS = 6 * 3_600_000

# Numbers and tokens for which the providers (and the sandbox) say: there is nobody.
_DEAD_PHONES = {"omar": "+15005550001", "person07": "+15005550009"}
_DEAD_DEVICES = {"li.wei": "unregistered-li-wei", "person11": "unregistered-person11"}
_SENTENCES = ("Your order is on its way", "Your table is booked", "Somebody replied to you", "Your report is ready")


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters to show what an operator does: ids of notifications, None where there is none of that kind."""

    unregistered: str | None
    invalid: str | None


def populate(db: Database) -> None:
    """Create people with phones and devices; a few of those are dead, and one person has none."""
    for number, name in enumerate(_names()):
        users.create(db, name, f"{name}@example.org")
        if name == "person23":
            continue
        contacts.add(db, name, Channel.SMS, _DEAD_PHONES.get(name, f"+1415555{2400 + number}"))
        contacts.add(db, name, Channel.PUSH, _DEAD_DEVICES.get(name, f"device-{name.replace('.', '-')}"))


def submit_many(db: Database) -> int:
    """Submit notifications to everybody on all channels, each tenth for later; return how many."""
    chance = Random(7)  # noqa: S311 - the same story each time
    names = _names()
    for number in range(NOTIFICATIONS):
        name = names[number % len(names)]
        channel = tuple(Channel)[(number + number // len(names)) % 3]
        subject = None if channel is Channel.SMS else f"News for {name}"
        payload = content.build(channel, subject=subject, body=chance.choice(_SENTENCES))
        draft = Draft(name, channel, payload, uuid.uuid4().hex, delay_ms=_delay_ms(number, chance))
        sending.submit(db, draft, {})
    return NOTIFICATIONS


def _delay_ms(number: int, chance: Random) -> int | None:
    """Let one in twelve wait past the end of the demo, so that something is left to look at, and some a few seconds."""
    if number % 12 == 11:
        return LATER_MS + number * 1_000
    return chance.randrange(1_000, 8_000) if number % 10 == 0 else None


def letters(db: Database) -> Letters:
    """Return a push to li.wei's old device and an SMS to a number that never was, as dead letters."""

    def one(channel: Channel, address: str) -> str | None:
        n = notifications.c
        statement = (
            select(n.id)
            .join_from(notifications, notification_dlq)
            .where(
                n.message_type == channel.value,
                notification_dlq.c.failure_reason == Category.INVALID_RECIPIENT.value,
                n.user_id == users.get(db, address).id,
            )
        )
        with db.read() as tx:
            return tx.execute(statement.limit(1)).scalar()

    return Letters(one(Channel.PUSH, "li.wei"), one(Channel.SMS, "omar"))


def _names() -> list[str]:
    return ["omar", "li.wei", *(f"person{number:02}" for number in range(2, PEOPLE))]
