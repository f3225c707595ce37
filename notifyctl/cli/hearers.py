"""The webhooks that were told of a notification, as JSON and in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.output import iso
from notifyctl.core.webhook.hearer import Hearer, Hearing


def document(found: Iterable[Hearer]) -> list[dict[str, Any]]:
    """Return them as JSON has them."""
    return [
        {
            "webhook_id": each.webhook_id,
            "webhook": each.webhook,
            "host": each.host,
            "state": each.state.value,
            "events": each.events,
            "delivered": each.delivered,
            "next_at": None if each.next_at is None else iso(each.next_at),
            "answer": each.answer,
        }
        for each in found
    ]


def words(run: Invocation, one: Hearer) -> str:
    """Return one as a person reads it, without its name."""
    count = f"{one.delivered:,} of {one.events:,} delivered"
    if one.state is Hearing.DELIVERED:
        return f"{one.delivered:,} delivered"
    until = "" if one.next_at is None else f" until {run.out.time(one.next_at)}"
    answer = "" if one.answer is None else f", the last answer was {one.answer}"
    return f"{one.state.value}{until}, {count}{answer}"
