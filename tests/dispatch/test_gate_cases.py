"""Hundreds of people with rules of every kind: an oracle, `explain` and the claim say the same of each notification.

Everything is written by the use-cases of the commands, policies are read from configuration files, and what counts for
caps and limits was claimed and recorded before; only the moment is the test's.
"""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from notifyctl import config
from notifyctl.core.category import CategoryKind
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.explanation import Explanation
from notifyctl.core.gate import PutOff, Refuse, Suppress, Verdict
from notifyctl.core.model import Channel, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.policy import Policy, digest
from notifyctl.core.submission import Draft
from notifyctl.core.suppression import SuppressionCause
from notifyctl.core.userlimit import LimitType
from notifyctl.services import categories, contacts, explaining, limits, preferences, sending, suppressions, users
from notifyctl.services.preferences import Wish
from notifyctl.store import adopting
from notifyctl.store.db.database import Database
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.claim import Batch, ClaimRequest, claim
from notifyctl.store.schema import tables
from tests.support import oracle, seed
from tests.support.gatecases import (
    BEGIN,
    COUNTRY,
    DAY_MS,
    HOUR_MS,
    NUMBERS,
    WINDOWS,
    Case,
    Judgement,
    drawn,
    fits,
    judged,
)
from tests.support.joined import at

pytestmark = pytest.mark.slow

ME = "11111111-1111-4111-8111-111111111111"
PROVIDERS = {Channel.EMAIL: "sendgrid", Channel.SMS: "twilio"}
BEFORE_MS = (26 * HOUR_MS, 20 * HOUR_MS, 9 * HOUR_MS, 3 * HOUR_MS, 75_000, 61_000, 60_000, 59_000, 20_000, 1_000, 0)
"""How long before the moment something may have been sent to a user."""
ENDS = {type(None): "send", Suppress: "cancel", Refuse: "fail", PutOff: "defer"}
WORDS = {"send", "cancel", "fail", "contact_window", "quiet_hours", "cap", "limit", "too late"}
NOTHING_ELSE = {
    "zone": "Australia/Lord_Howe",
    "number": "DE",
    "quiet": None,
    "expires_at": None,
    "suppressed": False,
    "enabled": True,
    "left": False,
}
"""What lets a case come as far as caps and limits."""
MANY = "1000"
"""A cap or a limit that stops nothing."""


@dataclass(frozen=True)
class Past:
    """What was sent to a user, how long before, and what came of it."""

    ago: int
    category: str | None
    kind: Kind


@dataclass
class Member:
    """One user, with what was sent before and `many` notifications that are alike, due and to be judged."""

    name: str
    case: Case
    past: Sequence[Past]
    was_capped: bool
    many: int
    number: str
    ids: list[str] = field(default_factory=list)

    @property
    def channel(self) -> Channel:
        return self.case.channel


# What is drawn


def configured(path: Path, turn: int, chance: random.Random) -> Policy:
    """Return the policy of a turn, which stands in a configuration file."""
    windows = [
        f'{country} = {{ sms = "{hours}", email = "{hours}", except = {[str(each) for each in hours.holidays]} }}'
        for country, hours in WINDOWS.items()
    ]
    zone = chance.choice([None, None, *COUNTRY])
    lines = [
        *([] if zone is None else [f'default_timezone = "{zone}"']),
        *(["notification_limit = 3"] if turn % 5 == 2 else []),
        "[policy]",
        f'on_cap = "{"cancel" if turn % 4 == 3 else "defer"}"',
        f"cap_counts_transactional = {'false' if turn % 3 == 1 else 'true'}",
        "[policy.contact_windows]",
        *windows,
    ]
    path.write_text("\n".join(lines))
    return config.load(config=str(path), env={}).policy


def members(policy: Policy, now: int, many: int, chance: random.Random) -> Iterator[Member]:
    """Yield users of whom a policy and a moment decide."""
    for index in range(many):
        case = drawn(chance, chance.choice([Channel.SMS, Channel.EMAIL]))
        if index % 2:
            case = replace(case, **NOTHING_ELSE)
        case = replace(
            case,
            now=now,
            expires_at=None if case.expires_at is None else now + case.expires_at - case.now,
            default_zone=policy.default_timezone,
            cap=case.cap or None,  # a cap of 0 is refused: --disable says that
            limit=case.limit or policy.notification_limit,
            cancels=policy.on_cap.value == "cancel",
            counts_transactional=policy.cap_counts_transactional,
        )
        was_capped = case.cap is not None and chance.random() < 0.5
        kinds = [Kind.ACCEPTED] * 3 + [Kind.PERMANENT, Kind.UNKNOWN]
        past = [
            Past(chance.choice(BEFORE_MS), chance.choice([None, "bills", "offers"]), chance.choice(kinds))
            for _ in range(chance.randrange(6))
        ]
        number = NUMBERS[case.number or "DE"].format(index)
        yield Member(f"user{index}", _with(case, past), past, was_capped, chance.randrange(1, 4), number)


def _with(case: Case, past: Sequence[Past]) -> Case:
    """Return a case in which that was sent: for the cap what may have gone out today, for the limit every attempt."""
    own = oracle.zone(case.own)
    today = oracle.moment(case.now).astimezone(own).date()
    counted = [
        each
        for each in past
        if oracle.moment(case.now - each.ago).astimezone(own).date() == today
        and each.kind is not Kind.PERMANENT
        and (case.counts_transactional or each.category == "offers")
    ]
    seconds = Counter((case.now - each.ago) // 1_000 for each in past)
    return replace(case, used=len(counted), sent=tuple(sorted(seconds.items())))


# What is written, and done


def enter(db: Any, asked: Sequence[Member]) -> None:
    """Make the users, with the caps and limits that there were before."""
    for each in asked:
        users.create(db, each.name, f"{each.name}@example.org")
        contacts.add(db, each.name, Channel.SMS, each.number)
        if each.was_capped:
            preferences.change(db, each.name, each.channel, Wish(cap=MANY))
        if each.case.limit is not None:
            limits.change(db, each.name, LimitType.NOTIFICATION, MANY, None)


def remember(db: Database, asked: Sequence[Member], policy: Policy, now: int) -> None:
    """Let be sent what was sent before, each at its moment."""
    with db.read() as tx:
        ids = dict(tx.execute(select(tables.users.c.username, tables.users.c.id)).all())
    kinds: dict[str, Kind] = {}
    rows = []
    for each in asked:
        for past in each.past:
            rows.append(_row(ids[each.name], each.channel, past, now))
            kinds[rows[-1]["id"]] = past.kind
    if rows:
        db.write(lambda tx: tx.execute(insert(tables.notifications), rows))
    for ago in BEFORE_MS:
        for batch in (taken(db, channel, policy, now - ago) for channel in PROVIDERS):
            changes = [
                decide(Attempt(one, now - ago, now - ago), Outcome(kinds[one.id], "so"), 0.0, OnUnknown.HOLD)
                for one in batch.claims
            ]
            assert not batch.settled
            if changes:
                db.write(lambda tx, made=changes, ago=ago: apply(tx.at(now - ago), made))


def _row(user_id: str, channel: Channel, past: Past, now: int) -> dict[str, Any]:
    content = {key: value for key, value in seed.CONTENT[channel.value].items() if key != "to"}
    return {
        "id": str(uuid.uuid4()),
        "user_id": user_id,
        "idempotency_key": uuid.uuid4().hex,
        "message_type": channel.value,
        "provider": PROVIDERS[channel],
        "payload": json.dumps(content),
        "content_hash": "0" * 64,
        "category": past.category,
        "created_at": now - past.ago,
        "due_at": now - past.ago,
    }


def taken(db: Database, channel: Channel, policy: Policy, now: int) -> Batch:
    """Claim all that is due then."""
    order = ClaimRequest(PROVIDERS[channel], ME, 5_000, 65_000, policy=policy, on_unknown={})
    return db.write(lambda tx: claim(tx.at(now), order))


def rule(db: Any, asked: Sequence[Member]) -> None:
    """Write what holds now."""
    for each in asked:
        case, name = each.case, each.name
        wish = Wish(
            enabled=False if not case.enabled else None,
            cap="none" if case.cap is None else str(case.cap),
            quiet=None if case.quiet is None else str(case.quiet),
            timezone=case.zone,
        )
        preferences.change(db, name, each.channel, wish)
        if case.limit is not None:
            limits.change(db, name, LimitType.NOTIFICATION, str(case.limit), None)
        if case.left and case.category is not None:
            preferences.leave(db, name, case.category)
        if case.number is None:
            contacts.remove(db, name, Channel.SMS, each.number)
        if case.suppressed:
            address = f"{name}@example.org" if each.channel is Channel.EMAIL else each.number
            suppressions.add(db, each.channel, address, "asked", SuppressionCause.OPERATOR)


def submit(db: Any, asked: Sequence[Member], policy: Policy) -> None:
    """Submit what is to be judged, at this moment."""
    for each in asked:
        content = {key: value for key, value in seed.CONTENT[each.channel.value].items() if key != "to"}
        for _ in range(each.many):
            draft = Draft(
                each.name,
                each.channel,
                content,
                key=uuid.uuid4().hex,
                expires_in_ms=None if each.case.expires_at is None else each.case.expires_at - db.moment(),
                category=each.case.category,
                critical=each.case.critical,
            )
            each.ids.append(sending.submit(db, draft, {}, policy).notification.id)


def forget(db: Database) -> None:
    """Remove everybody, with all that is theirs."""
    for table in (tables.notifications, tables.users, tables.suppressions):
        db.write(lambda tx, table=table: tx.execute(delete(table)))


# What is compared


@dataclass(frozen=True)
class Done:
    """What a claim did: to which `rows` (by id), and which it took. `before` and `after` is what was explained."""

    before: dict[str, Explanation]
    rows: dict[str, Any]
    leased: set[str]
    after: dict[str, Explanation]


def check(member: Member, done: Done) -> Iterator[str]:
    """Compare what an oracle says of a user's notifications with what the claim did; yield what was said of each.

    All were explained as the claim found them, each behind those that are due before it; what was put off, once more
    when the claim had done its work.
    """
    case, rows = member.case, done.rows
    for id_ in sorted(member.ids):
        row = rows[id_]
        meant = judged(case, row.due_at if row.deferred_by else None)
        told = (case, meant, row, done.before[id_])
        assert _end(row, done.leased) == meant.end, told
        _check_row(case, meant, row, told)
        _check_said(meant, _verdict(done.before[id_]), row, told)
        if id_ in done.after:
            _check_said(meant, _verdict(done.after[id_]), row, told)
        if meant.word == "send":
            second = case.now // 1_000
            case = replace(case, used=case.used + int(case.counted), sent=(*case.sent, (second, 1)))
        yield meant.word


def _end(row: Any, leased: set[str]) -> str:
    if row.status == "pending":
        return "send" if row.id in leased and row.deferred_by is None else "defer"
    return {"cancelled": "cancel", "failed": "fail"}[row.status]


def _check_row(case: Case, meant: Judgement, row: Any, told: object) -> None:
    if meant.end == "defer":
        assert row.deferred_by == meant.word, told
        assert row.due_at == meant.until if meant.word == "limit" else fits(case, meant, row.due_at), told
    assert row.attempt_count == (1 if meant.end == "send" else 0), told


def _check_said(meant: Judgement, verdict: Verdict, row: Any, told: object) -> None:
    """What was explained is what the claim did, with the reason that it wrote down."""
    assert ENDS[type(verdict)] == meant.end, told
    if verdict is not None:
        assert verdict.reason == row.error_message, told
    if isinstance(verdict, PutOff):
        assert (verdict.wait.value, verdict.until) == (meant.word, meant.until), told


def _verdict(said: Explanation) -> Verdict:
    return next((each.verdict for each in said.gates if each.verdict is not None), None)


def compare(db: Database, path: Path, rounds: int, many: int, chance: random.Random) -> Counter[str]:
    """Judge so many users in each round; return what was said how often."""
    seen: Counter[str] = Counter()
    for turn in range(rounds):
        seen += one_round(db, configured(path, turn, chance), many, chance)
        forget(db)
    return seen


def one_round(db: Database, policy: Policy, many: int, chance: random.Random) -> Counter[str]:
    """Let users be judged by one policy at one moment."""
    now = BEGIN + chance.randrange(400 * DAY_MS)
    asked = list(members(policy, now, many, chance))
    at(db, now - 2 * DAY_MS, lambda joined: enter(joined, asked))
    before = Policy(notification_limit=policy.notification_limit and int(MANY))
    remember(db, asked, before, now)
    db.write(lambda tx: adopting.adopt(tx.at(now), digest(policy)))
    at(db, now, lambda joined: rule(joined, asked))
    at(db, now - 2 * HOUR_MS, lambda joined: submit(joined, asked, policy))
    ids = [id_ for each in asked for id_ in each.ids]
    said = explained(db, ids, policy, now)
    batches = [taken(db, channel, policy, now) for channel in PROVIDERS]
    leased = {each.id for batch in batches for each in batch.claims}
    n = tables.notifications
    with db.read() as tx:
        rows = {row.id: row for row in tx.execute(select(n).where(n.c.id.in_(ids)))}
    assert leased <= rows.keys()
    done = Done(said, rows, leased, explained(db, [id_ for id_ in ids if rows[id_].deferred_by], policy, now))
    return Counter(word for each in asked for word in check(each, done))


def explained(db: Database, ids: Sequence[str], policy: Policy, now: int) -> dict[str, Explanation]:
    """Return what is said of notifications at that moment, by id."""
    return {each.id: each for each in at(db, now, lambda joined: explaining.explain(joined, ids, policy, {}))}


@pytest.fixture
def ready(database: Database) -> Database:
    """A database with two providers and two categories."""
    for name in PROVIDERS.values():
        seed.provider(database, name)
    categories.create(database, "offers", CategoryKind.MARKETING, None, None, keep=False)
    categories.create(database, "bills", CategoryKind.TRANSACTIONAL, None, None, keep=False)
    return database


def test_some_hundred_notifications(ready: Database, tmp_path: Path) -> None:
    """Of each end and of each rule there are some among them."""
    seen = compare(ready, tmp_path / "config.toml", rounds=5, many=25, chance=random.Random(11))
    assert seen.keys() >= WORDS


@pytest.mark.full
def test_ten_thousand_notifications(ready: Database, tmp_path: Path) -> None:
    """A hundred moments and policies."""
    seen = compare(ready, tmp_path / "config.toml", rounds=100, many=55, chance=random.Random(12))
    assert seen.keys() >= {*WORDS, "never"}
    assert seen.total() >= 10_000
