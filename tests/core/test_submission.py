"""What becomes of a submission: judged by what is known, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from notifyctl.core import content
from notifyctl.core.errors import Conflict, NotFound, UsageError
from notifyctl.core.health import Cause, Health
from notifyctl.core.model import Channel
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.submission import Draft, Former, New, NoProvider, Plan, Recipient, SubmissionFacts, is_held, plan

NOW = 1_700_000_000_000
ANNA = Recipient("u1", "anna", "anna@example.org", None)
MAIL = {"v": 1, "subject": "Hello", "text": "It works"}
DAY_MS = 86_400_000


def provider(name: str = "sendgrid", **values: Any) -> ProviderConfig:
    """A provider of mails."""
    plain: dict[str, Any] = {
        "id": name,
        "provider_name": name,
        "api_key": "unused",
        "api_secret": None,
        "config": {},
        "service_account": None,
        "is_active": True,
        "rate_limit": None,
        "timeout_seconds": 30,
        "priority": 0,
        "created_at": 0,
        "updated_at": 0,
        "channel": Channel.EMAIL,
    }
    return ProviderConfig(**{**plain, **values})


def draft(**values: Any) -> Draft:
    """A mail to anna."""
    return Draft(**{"user": "anna", "channel": Channel.EMAIL, "payload": MAIL, "key": "k", **values})


def known(*providers: ProviderConfig, who: Any = ANNA, former: Former | None = None) -> SubmissionFacts:
    """What is known of a draft; without more, one provider that works."""
    return SubmissionFacts(who, former, providers or (provider(),))


def planned(draft: Draft, known: SubmissionFacts) -> Plan:
    """Return the plan of what is not refused."""
    made = plan(draft, known, "n1", NOW)
    assert isinstance(made, Plan), made
    return made


def test_the_row() -> None:
    """It is for whom, by what and when the draft says, and its key and digest are the user's own."""
    row = planned(draft(delay_ms=5, expires_in_ms=7, max_retries=2), known()).row
    assert row == New(
        id="n1",
        user_id="u1",
        idempotency_key=content.idempotency_key("u1", "k"),
        message_type="email",
        provider="sendgrid",
        payload=content.canonical(MAIL),
        max_retries=2,
        created_at=NOW,
        send_at=NOW + 5,
        due_at=NOW + 5,
        expires_at=NOW + 12,
        content_hash=content.content_hash("u1", Channel.EMAIL, MAIL),
        resent_from=None,
        fails_over=True,
    )
    assert not row.wakes
    assert planned(draft(), known()).row.wakes


def test_a_repetition_goes_before_all_that_could_be_wrong() -> None:
    """Same content: the one that was stored, whatever became of times and providers; other content is a conflict."""
    former = Former("n0", content.content_hash("u1", Channel.EMAIL, MAIL))
    bare = SubmissionFacts(ANNA, former, ())
    assert plan(draft(send_at=1), bare, "n1", NOW) is former
    refusal = plan(draft(payload={**MAIL, "text": "Other"}), bare, "n1", NOW)
    assert isinstance(refusal, Conflict)
    assert "other content" in refusal.message
    nobody = NotFound("there is no user")
    assert plan(draft(), bare._replace(recipient=nobody), "n1", NOW) is nobody


def test_the_provider() -> None:
    """The first active one of the channel, or the one that was asked for: then no other ever takes it."""
    three = (
        provider("twilio", channel=Channel.SMS),
        provider("smtp", is_active=False),
        provider("sendgrid"),
        provider("spare"),
    )
    best = planned(draft(), known(*three)).row
    given = planned(draft(provider="spare"), known(*three)).row
    assert (best.provider, best.fails_over) == ("sendgrid", True)
    assert (given.provider, given.fails_over) == ("spare", False)
    refusals = {name: plan(draft(provider=name), known(*three), "n1", NOW) for name in ("nobody", "twilio", "smtp")}
    assert [type(each) for each in refusals.values()] == [NotFound, UsageError, Conflict]
    assert isinstance(plan(draft(), known(three[0], three[1]), "n1", NOW), NoProvider)


@pytest.mark.parametrize("times", [{"send_at": NOW - 1}, {"delay_ms": 10**16}, {"expires_in_ms": 10**16}])
def test_impossible_times(times: dict[str, int]) -> None:
    """What is past or beyond the calendar is a usage error."""
    assert isinstance(plan(draft(**times), known(), "n1", NOW), UsageError)


@pytest.mark.parametrize(
    ("who", "values", "words"),
    [
        (ANNA, {}, None),
        (ANNA, {"expires_in_ms": DAY_MS, "delay_ms": DAY_MS}, None),
        (
            ANNA._replace(address=None),
            {},
            "anna has no email address: without one it becomes a dead letter (no_address)",
        ),
        (ANNA._replace(suppression="bounced"), {}, "cancelled and not sent: the address is suppressed: bounced"),
        (ANNA, {"expires_in_ms": 0}, "cancelled and not sent: expired before it was sent"),
        (
            ANNA._replace(address=None, suppression="x"),
            {"channel": Channel.PUSH, "payload": {"v": 1, "topic": "news", "title": "x"}},
            None,
        ),
    ],
)
def test_what_the_gate_will_say_is_said_now(who: Recipient, values: dict[str, Any], words: str | None) -> None:
    """The warning is what the gate would object when it is due; a topic has no address that could be missing."""
    providers = (provider(), provider("fcm", channel=Channel.PUSH))
    remark = planned(draft(**values), known(*providers, who=who)).remark
    assert (remark is None) if words is None else (words in (remark or ""))


PAUSED = Health(paused_at=NOW - 1, pause_cause=Cause.OPERATOR)
THROTTLED = Health(paused_at=NOW - 1, pause_cause=Cause.THROTTLED, paused_until=NOW + 5)


@pytest.mark.parametrize(
    ("providers", "held"),
    [
        ((provider(),), False),
        ((provider(health=PAUSED),), True),
        ((provider(health=replace(PAUSED, paused_until=NOW)),), False),
        ((provider(is_active=False), provider("smtp")), True),
        ((provider(health=PAUSED), provider("smtp")), False),
        ((provider(health=PAUSED), provider("smtp", health=PAUSED)), True),
        ((provider(health=PAUSED), provider("twilio", channel=Channel.SMS)), True),
        ((provider(health=THROTTLED), provider("smtp")), True),
    ],
)
def test_held(providers: tuple[ProviderConfig, ...], held: bool) -> None:
    """It waits where its provider sends nothing and no other of the channel stands in."""
    row = planned(draft(), known()).row
    assert is_held(row, providers, NOW) is held
    assert is_held(row._replace(fails_over=False), providers, NOW) is (providers[0].hold(NOW) is not None)
