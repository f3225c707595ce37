"""One provider's trouble as the database has it: probes, the breaker, who is slowed down, who stands in for whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, update

from notifyctl.core import failover, health, senders
from notifyctl.core.change import Release
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.health import Cause, Hold
from notifyctl.core.model import Claim
from notifyctl.core.notification import State
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.provider import ProviderConfig
from notifyctl.store import providers
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import Batch, ClaimRequest, StandIn, claim
from notifyctl.store.queue.record import AttemptResult, Recorded, record
from notifyctl.store.schema.tables import audit_logs, notifications
from notifyctl.store.status import waiting
from tests.support import seed

NOW = 1_700_000_000_000
LEASE_MS = 65_000
ME = "11111111-1111-4111-8111-111111111111"
BUSY = Outcome(Kind.TRANSIENT, "busy", http_status=503)
FINE = Outcome(Kind.ACCEPTED, provider_message_id="m")
REVOKED = Outcome(Kind.CONFIG, "key revoked", http_status=401)


@pytest.fixture
def anna(database: Database) -> str:
    """A user, and two providers of e-mail: sendgrid is preferred to smtp."""
    seed.provider(database, priority=9)
    seed.provider(database, "smtp")
    return seed.user(database)


def take(db: Database, now: int, limit: int = 100, provider: str = "sendgrid", **order: Any) -> Batch:
    """Claim in a transaction of its own."""
    asked = ClaimRequest(provider, ME, limit, LEASE_MS, **order)
    return db.write(lambda tx: claim(tx.at(now), asked))


def learn(db: Database, answers: list[tuple[Claim, Outcome]], now: int) -> Recorded:
    """Decide and record as a dispatcher does."""
    results = [AttemptResult(each, _decided(each, outcome, now), outcome) for each, outcome in answers]
    return db.write(lambda tx: record(tx.at(now), results))


def _decided(each: Claim, outcome: Outcome, now: int) -> Any:
    attempt = Attempt(each, now - 1, now)
    return failover.back(attempt, outcome) or decide(attempt, outcome, 0.0)


def pause(db: Database, cause: Cause, provider: str = "sendgrid", now: int = NOW, until: int | None = None) -> bool:
    """Pause a provider."""
    return db.write(lambda tx: providers.pause(tx.at(now), provider, "why", until, cause)) is not None


def config(db: Database, provider: str = "sendgrid") -> ProviderConfig:
    """Read a provider."""
    with db.read() as tx:
        found = providers.get(tx, provider)
    assert found is not None
    return found


def audited(db: Database) -> list[str]:
    """Return the actions in the audit trail, oldest first."""
    with db.read() as tx:
        return list(tx.execute(select(audit_logs.c.action).order_by(audit_logs.c.created_at)).scalars())


def what(report: Recorded) -> list[str]:
    """Return what a batch changed."""
    return [told.text for told in report.told]


# Probes


@pytest.mark.parametrize(("cause", "word"), [(Cause.CONFIG, "paused"), (Cause.BREAKER, "open")])
def test_of_many_dispatchers_one_makes_the_probe(database: Database, anna: str, cause: Cause, word: str) -> None:
    """When it is time, one row is taken by one of those who claim at once, and none until its lease has ended."""
    seed.pending(database, anna, count=20)
    pause(database, cause)
    due = NOW + (health.probe_wait_ms(cause, 0) or 0)
    early = take(database, due - 1)
    assert (early.claims, early.held) == ((), word)
    taken: list[Claim] = []
    threads = [threading.Thread(target=lambda: taken.extend(take(database, due).claims)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.probe for each in taken] == [True]
    assert (config(database).health.probe_at or 0) >= due + LEASE_MS
    assert take(database, due + LEASE_MS - 1).claims == ()


@pytest.mark.parametrize("length", [10, 80_000, 150_000], ids=["small", "large", "larger than all may be"])
def test_a_large_probe_is_another_one_than_the_last(database: Database, anna: str, length: int) -> None:
    """Where there is one, however large both are: it may be that very message that is refused."""
    payload = json.dumps({**seed.CONTENT["email"], "text": "x" * length})
    (first,) = seed.pending(database, anna, payload=payload, is_critical=True)  # always the first by its place
    (second,) = seed.pending(database, anna, payload=payload, due_at=2_000)
    pause(database, Cause.CONFIG)
    asked = []
    for _ in range(3):
        now = config(database).health.probe_at or 0
        (probe,) = take(database, now, room=100_000).claims
        asked.append(probe.id)
        learn(database, [(probe, REVOKED)], now)
    assert asked[:2] == [first, second]
    assert asked[2] == first


def test_probes_become_rare(database: Database, anna: str) -> None:
    """Each in vain lets the next one wait twice as long, up to the longest wait; none costs an attempt."""
    seed.pending(database, anna)
    pause(database, Cause.CONFIG)
    now, waits = NOW, []
    for _ in range(7):
        probe_at = config(database).health.probe_at or 0
        waits.append((probe_at - now) // 1_000)
        now = probe_at
        (probe,) = take(database, now).claims
        assert probe.attempt == 1
        assert what(learn(database, [(probe, REVOKED)], now)) == []
    assert waits == [60, 120, 240, 480, 960, 1_800, 1_800]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (FINE, "a probe was accepted"),
        (Outcome(Kind.PERMANENT, "too long"), "a probe was answered"),
        (Outcome(Kind.RECIPIENT, "no such mailbox"), "a probe was answered"),
        (Outcome(Kind.TRANSIENT, "greylisted", blames=Blame.RECIPIENT), "a probe was answered"),
        (Outcome(Kind.THROTTLED, "this sender's queue is full", blames=Blame.SENDER), "a probe was answered"),
        (Outcome(Kind.TRANSIENT, "this device gets too many", blames=Blame.TARGET), "a probe was answered"),
        (Outcome(Kind.CONFIG, "not to that country", code="21659", blames=Blame.PAIR), "a probe was answered"),
    ],
)
@pytest.mark.parametrize(("cause", "action"), [(Cause.CONFIG, "resume"), (Cause.BREAKER, "close")])
def test_a_probe_that_works_ends_it(
    database: Database, anna: str, cause: Cause, action: str, outcome: Outcome, reason: str
) -> None:
    """Whoever deals with a message works, be it by refusing this one: one notice, one audit row, and all may go."""
    seed.pending(database, anna, count=3)
    pause(database, cause)
    now = config(database).health.probe_at or 0
    (probe,) = take(database, now).claims
    said = {"resume": f"resumed: {reason}", "close": f"breaker closed: {reason}"}[action]
    assert what(learn(database, [(probe, outcome)], now + 5)) == [said]
    assert audited(database).count(action) == 1
    assert config(database).hold(now + 6) is None
    assert take(database, now + 6).held is None


@pytest.mark.parametrize(
    "outcome", [BUSY, Outcome(Kind.UNKNOWN, "?"), Outcome(Kind.PERMANENT, "cannot be built", asked=False)]
)
def test_a_probe_that_shows_nothing_leaves_it(database: Database, anna: str, outcome: Outcome) -> None:
    """Neither does a message of which no request could be made: the provider was not even asked."""
    seed.pending(database, anna, count=3)
    pause(database, Cause.BREAKER)
    now = config(database).health.probe_at or 0
    (probe,) = take(database, now).claims
    assert what(learn(database, [(probe, outcome)], now)) == []
    assert config(database).hold(now) is Hold.OPEN
    assert config(database).health.probe_at == now + 10_000


def test_a_probe_that_finds_the_credentials_refused(database: Database, anna: str) -> None:
    """What opened the breaker may turn out to be the key: then people are told that, and it is probed as seldom."""
    seed.pending(database, anna, count=3)
    pause(database, Cause.BREAKER)
    now = config(database).health.probe_at or 0
    (probe,) = take(database, now).claims
    assert what(learn(database, [(probe, REVOKED)], now)) == [f"paused: {REVOKED.message}"]
    found = config(database).health
    assert (found.pause_cause, found.pause_reason, found.probe_at) == ("config", REVOKED.message, now + 60_000)
    assert audited(database) == ["pause"]


def test_nobody_probes_what_an_operator_paused(database: Database, anna: str) -> None:
    """What a person has stopped stays stopped, also where it was open before; a probe under way does not end it."""
    seed.pending(database, anna)
    pause(database, Cause.BREAKER)
    now = config(database).health.probe_at or 0
    (probe,) = take(database, now).claims
    by_hand = config(database).health.with_pause(Cause.OPERATOR, "by hand", now)
    database.write(lambda tx: providers.set_health(tx, config(database).id, by_hand))
    assert what(learn(database, [(probe, FINE)], now)) == []
    assert (config(database).health.pause_cause, config(database).health.probe_at) == ("operator", None)
    assert take(database, now + 10**9).held == "paused"


def test_a_probe_is_another_message_than_the_last(database: Database, anna: str) -> None:
    """One whose own fault it is must not keep the provider shut; where there is no other, it is that one again."""
    seed.pending(database, anna, due_at=1, is_critical=True)  # always the first by its place
    (other,) = seed.pending(database, anna)
    pause(database, Cause.BREAKER)
    probed = []
    for _ in range(3):
        now = config(database).health.probe_at or 0
        (probe,) = take(database, now).claims
        results = [AttemptResult(probe, Release(probe, probe.due_at, 0, None), BUSY)]
        database.write(lambda tx, now=now, results=results: record(tx.at(now), results))  # type: ignore[misc]
        probed.append(probe.id)
    assert probed[0] == probed[2] != probed[1] == other
    database.write(
        lambda tx: tx.execute(update(notifications).where(notifications.c.id == other).values(due_at=10**15))
    )
    for _ in range(2):
        now = config(database).health.probe_at or 0
        (probe,) = take(database, now).claims
        learn(database, [(probe, REVOKED)], now)
        assert probe.id == probed[0]


# Refusals that are not about the account

PLAIN = json.dumps({"v": 1, "subject": "Hello", "text": "Hello there"})  # the sender is the configured one
ABROAD = Outcome(Kind.CONFIG, "the sender cannot send", code="21659", http_status=400, blames=Blame.PAIR)


def test_one_recipients_refusal_pauses_nobody(database: Database, anna: str) -> None:
    """However often the same message is refused, the others go; its attempts count, and so it comes to an end."""
    (id_,) = seed.pending(database, anna, max_retries=3)
    now = NOW
    for _ in range(4):
        (each,) = take(database, now).claims
        assert what(learn(database, [(each, ABROAD)], now)) == []
        now = seed.notification(database, id_).due_at + 60_000
    assert seed.notification(database, id_).status == "failed"
    letter = seed.dead_letter(database, id_)
    assert letter is not None and letter.failure_reason == "provider_rejected"
    assert config(database).hold(now) is None


def test_the_same_refusal_for_different_recipients_is_the_configuration(database: Database, anna: str) -> None:
    """Nothing went out in between: it is paused with the reason, by whichever dispatcher hears the second one."""
    ben = seed.user(database, "ben")
    seed.pending(database, anna)
    seed.pending(database, ben)
    a, b = take(database, NOW).claims
    assert a.message.to != b.message.to
    assert what(learn(database, [(a, ABROAD)], NOW)) == []
    assert what(learn(database, [(b, ABROAD)], NOW + 3_600_000)) == [f"paused: 21659 {ABROAD.message}"]
    probe_at = config(database).health.probe_at or 0
    (probe,) = take(database, probe_at).claims
    learn(database, [(probe, ABROAD)], probe_at)
    assert (config(database).health.pause_cause, config(database).health.probe_at) == ("config", probe_at + 120_000)


@pytest.mark.parametrize("apart", [False, True])
def test_what_goes_out_shows_that_the_sender_works(database: Database, anna: str, apart: bool) -> None:
    """Two refusals with an acceptance between them, or beside them, are about their recipients."""
    users = [anna, seed.user(database, "ben"), seed.user(database, "cleo")]
    for user in users:
        seed.pending(database, user, payload=PLAIN)
    a, b, c = take(database, NOW).claims
    answers = [(a, ABROAD), (c._replace(watched=True), FINE), (b, ABROAD)]
    for batch in [[each] for each in answers] if apart else [answers]:
        assert what(learn(database, batch, NOW)) == []
    assert config(database).hold(NOW) is None


def test_while_in_doubt_what_succeeds_matters(database: Database, anna: str) -> None:
    """The usual claim knows of a refusal, so that the next acceptance settles it; then all is as usual again."""
    seed.pending(database, anna, count=3, payload=PLAIN)
    (first,) = take(database, NOW, 1).claims
    learn(database, [(first, ABROAD)], NOW)
    (second,) = take(database, NOW, 1).claims
    assert second.watched
    learn(database, [(second, FINE)], NOW)
    assert [each.watched for each in take(database, NOW, 1).claims] == [False]


# The breaker


def test_the_breaker_opens_once(database: Database, anna: str) -> None:
    """Enough failures that are half of the attempts open it, whoever counted them; exactly one batch is told so."""
    seed.pending(database, anna, count=60)
    claims = take(database, NOW).claims
    answers = [(each, FINE if number % 3 == 0 else BUSY) for number, each in enumerate(claims)]
    said = [what(learn(database, answers[start : start + 6], NOW + start)) for start in range(0, 60, 6)]
    assert [each for each in said if each] == [["breaker opened: 503 in 20 of 30"]]
    assert audited(database) == ["open"]
    assert take(database, NOW + 100).held == "open"


@pytest.mark.parametrize(
    ("outcomes", "apart_ms"),
    [
        ([BUSY] * 19, 0),
        ([BUSY] * 20 + [FINE] * 21, 0),
        ([BUSY] * 38, 1_600),
        ([Outcome(Kind.THROTTLED, "slowly")] * 40, 0),
        ([Outcome(Kind.PERMANENT, "no")] * 40, 0),
        ([Outcome(Kind.TRANSIENT, "not called", asked=False)] * 40, 0),
        ([Outcome(Kind.TRANSIENT, "greylisted", blames=Blame.RECIPIENT)] * 40, 0),
        ([Outcome(Kind.TRANSIENT, "this device gets too many", blames=Blame.TARGET)] * 40, 0),
    ],
)
def test_the_breaker_stays_closed(database: Database, anna: str, outcomes: list[Outcome], apart_ms: int) -> None:
    """Too few, too small a part, too far apart, or nothing that the provider failed at."""
    seed.pending(database, anna, count=len(outcomes))
    claims = take(database, NOW).claims
    batches = [list(zip(claims, reversed(outcomes), strict=True))]
    if apart_ms:
        batches = [[answer] for answer in batches[0]]
    for number, batch in enumerate(batches):
        assert what(learn(database, batch, NOW + number * apart_ms)) == []
    assert "open" not in audited(database)


def test_a_sound_provider_costs_no_statement(database: Database, anna: str) -> None:
    """Without failures nothing is written about the provider, and nothing is looked up."""
    seed.pending(database, anna, count=20)
    claims = take(database, NOW).claims
    assert _about_providers(lambda: learn(database, [(each, FINE) for each in claims], NOW)) == []
    assert _about_providers(lambda: take(database, NOW)) == []  # but in the claim's own statement


def test_while_it_fails_what_succeeds_counts_too(database: Database, anna: str) -> None:
    """A dispatcher whose own calls succeed says so as soon as it knows that others fail."""
    seed.pending(database, anna, count=100)
    first, second = take(database, NOW, 19).claims, take(database, NOW, 19).claims
    learn(database, [(each, BUSY) for each in first], NOW)
    watched = take(database, NOW + 1, 30).claims
    assert [each.watched for each in (*second, *watched)] == [False] * 19 + [True] * 30
    learn(database, [(each, FINE) for each in watched], NOW + 2)
    assert what(learn(database, [(each, BUSY) for each in second[:5]], NOW + 3)) == []
    assert take(database, NOW + health.WINDOW_MS, 1).claims[0].watched is False


def _about_providers(act: Callable[[], object]) -> list[str]:
    """Return the statements of an act that look at a provider's rows, or write them."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "provider_states" in statement or "provider_configs" in statement:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return seen


# Throttled


def test_a_throttled_provider_is_left_alone_by_all(database: Database, anna: str) -> None:
    """As long as it wishes, and up to a quarter longer; that is no news, costs no attempt and ends by itself."""
    (first, second, *_) = seed.pending(database, anna, count=3)
    a, b = take(database, NOW, 2).claims
    wishes = [Outcome(Kind.THROTTLED, "slowly", retry_after_ms=wish) for wish in (None, 7_000)]
    assert what(learn(database, [(a, wishes[0]), (b, wishes[1])], NOW)) == []
    ends = config(database).health.probe_at or 0
    assert NOW + 7_000 <= ends <= NOW + 8_750
    held = take(database, ends - 1)
    assert (held.claims, held.held, held.wait_ms) == ((), "throttled", 1)
    assert [seed.notification(database, id_).attempt_count for id_ in (first, second)] == [0, 0]
    assert [each.probe for each in take(database, ends).claims] == [True]
    assert audited(database) == []


def test_after_a_throttle_the_number_in_flight_grows_from_one(database: Database, anna: str) -> None:
    """A success lets one more go beside it, as TCP starts slowly; after enough of them there is no bound any more."""
    seed.pending(database, anna, count=900)
    (first,) = take(database, NOW, 1).claims
    learn(database, [(first, Outcome(Kind.THROTTLED, "slowly"))], NOW)
    now, sizes = (config(database).health.probe_at or 0), []
    while not sizes or sizes[-1] < 300:
        batch = take(database, now, 300)
        sizes.append(len(batch.claims))
        learn(database, [(each, FINE) for each in batch.claims], now)
    assert sizes == [1, 1, 2, 4, 8, 16, 32, 64, 128, 300]


def test_consecutive_throttles_double_up_to_a_quarter_of_an_hour(database: Database, anna: str) -> None:
    """Without a word of when: 2 s, 4 s ... 15 min, so that an hour sees 12 requests at the most, one at a time."""
    seed.pending(database, anna, count=20)
    claims = take(database, NOW).claims
    learn(database, [(each, Outcome(Kind.THROTTLED, "slowly")) for each in claims], NOW)
    now, waits = NOW, []
    while now < NOW + 3_600_000:
        probe_at = config(database).health.probe_at or 0
        waits.append((probe_at - now) / 1_000)
        now = probe_at
        batch = take(database, now)
        assert len(batch.claims) == 1
        learn(database, [(batch.claims[0], Outcome(Kind.THROTTLED, "slowly"))], now)
    expected = [2.0 * 2**number for number in range(9)] + [900.0] * 20
    assert all(least <= wait <= 1.25 * least for least, wait in zip(expected, waits, strict=False)), waits
    assert len(waits) <= 12
    assert {seed.notification(database, each.id).attempt_count for each in claims} == {0}


def test_each_success_halves_the_next_wait(database: Database, anna: str) -> None:
    """After an hour of refusals it works again, but for too many at once: it is soon asked as often as at first."""
    seed.pending(database, anna, count=20)
    slowly = Outcome(Kind.THROTTLED, "slowly")
    learn(database, [(each, slowly) for each in take(database, NOW).claims], NOW)
    now, waits = config(database).health.probe_at or 0, list[float]()
    while now < NOW + 3_600_000:
        learn(database, [(each, slowly) for each in take(database, now).claims], now)
        now = config(database).health.probe_at or 0
    for _ in range(10):
        learn(database, [(each, FINE) for each in take(database, now).claims], now)
        learn(database, [(each, slowly) for each in take(database, now).claims], now)
        waits.append(((config(database).health.probe_at or 0) - now) / 1_000)
        now = config(database).health.probe_at or 0
    expected = [512.0 / 2**number for number in range(9)] + [2.0]
    assert all(least <= wait <= 1.25 * least for least, wait in zip(expected, waits, strict=True)), waits


def test_a_days_limit_is_told_and_waits_for_the_next_day(database: Database, anna: str) -> None:
    """Nothing is asked for 24 hours; who looks after it is told of the pause and of its end."""
    seed.pending(database, anna, count=2)
    claims = take(database, NOW).claims
    spent = Outcome(Kind.THROTTLED, "the day's messages are used up", lasts_ms=86_400_000)
    assert what(learn(database, [(each, spent) for each in claims], NOW)) == [f"paused: {spent.message}"]
    probe_at = config(database).health.probe_at or 0
    assert NOW + 86_400_000 <= probe_at <= NOW + 1.25 * 86_400_000
    (probe,) = take(database, probe_at).claims
    assert what(learn(database, [(probe, FINE)], probe_at)) == ["resumed: a probe was accepted"]


def test_a_provider_that_refuses_a_few_is_asked_on(database: Database, anna: str) -> None:
    """Too many at once for its taste, and no word of when: the refused come back by themselves, nobody else waits."""
    seed.pending(database, anna, count=4)
    a, b, c = take(database, NOW, 3).claims
    learn(database, [(a, Outcome(Kind.THROTTLED, "too many at once")), (b, FINE), (c, FINE)], NOW)
    later = take(database, NOW + 2_000)
    assert (len(later.claims), later.held) == (2, None)


def test_throttled_gives_way_to_every_other_cause(database: Database, anna: str) -> None:
    """It never stands in the way of a pause that matters, never shortens one, and never hides one."""
    assert pause(database, Cause.THROTTLED)
    assert not pause(database, Cause.THROTTLED)
    assert pause(database, Cause.CONFIG, now=NOW + 1)
    assert not pause(database, Cause.THROTTLED, now=NOW + 2)
    assert config(database).health.pause_cause == "config"


# Failover

FOR_SENDGRID = (StandIn("sendgrid"),)


def test_the_next_provider_takes_what_may_go_by_another(database: Database, anna: str) -> None:
    """Critical first, then oldest due, over both; what is pinned or may have gone out stays, and history says why."""
    (mine,) = seed.pending(database, anna, "smtp", due_at=3_000)
    (old,) = seed.pending(database, anna, due_at=2_000)
    (critical,) = seed.pending(database, anna, due_at=9_000, is_critical=True)
    (pinned,) = seed.pending(database, anna, fails_over=False)
    (lost,) = seed.pending(database, anna, lease_id="2" * 36, leased_until=5, attempt_count=1)
    assert [each.id for each in take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims] == [mine]
    database.write(lambda tx: tx.execute(update(notifications).where(notifications.c.id == mine).values(**_FREE)))
    pause(database, Cause.BREAKER)
    taken = take(database, NOW, 2, provider="smtp", stands_in_for=FOR_SENDGRID).claims
    assert [(each.id, each.provider) for each in taken] == [(critical, "smtp"), (old, "smtp")]
    row = seed.notification(database, old)
    assert (row.provider, row.attempt_count) == ("smtp", 1)
    (entry,) = json.loads(row.retry_history)
    assert entry == {
        "event": "failover", "from": "sendgrid", "to": "smtp", "at": NOW, "reason": "sendgrid is open: why"
    }  # fmt: skip
    rest = take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims
    assert [each.id for each in rest] == [mine]
    assert {seed.notification(database, id_).provider for id_ in (pinned, lost)} == {"sendgrid"}


_FREE: dict[str, Any] = {"lease_id": None, "leased_until": None, "attempt_count": 0}


@pytest.mark.parametrize("cause", [Cause.THROTTLED, None])
def test_who_works_keeps_his_own(database: Database, anna: str, cause: Cause | None) -> None:
    """Nobody stands in for a provider that only wants a moment, nor for one that is back since somebody looked."""
    seed.pending(database, anna)
    if cause is not None:
        pause(database, cause, until=NOW + 60_000)
    assert take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims == ()


def test_a_due_probe_is_left_to_whoever_works_for_that_provider(database: Database, anna: str) -> None:
    """Else a provider whose work is taken by another would never be tried again."""
    seed.pending(database, anna, count=5)
    pause(database, Cause.BREAKER)
    due, spares = config(database).health.probe_at or 0, (StandIn("sendgrid", spares_probes=True),)
    assert len(take(database, due - 1, 1, provider="smtp", stands_in_for=spares).claims) == 1
    left = take(database, due, provider="smtp", stands_in_for=spares)
    assert (left.claims, left.spared) == ((), True)
    assert [each.probe for each in take(database, due).claims] == [True]
    assert len(take(database, due, provider="smtp", stands_in_for=spares).claims) == 3


def test_what_may_have_gone_out_never_changes_its_provider(database: Database, anna: str) -> None:
    """After an unknown outcome, or a lease that ended without a result, another provider could send it twice."""
    answered, lost = seed.pending(database, anna, count=2)
    first, _ = take(database, NOW).claims
    learn(database, [(first, Outcome(Kind.UNKNOWN, "no answer"))], NOW)
    (again,) = [each for each in take(database, NOW + LEASE_MS, provider="sendgrid").claims if each.id == lost]
    assert not again.fails_over
    assert [seed.notification(database, id_).fails_over for id_ in (answered, lost)] == [False, False]


def test_what_is_not_sent_keeps_its_provider(database: Database, anna: str) -> None:
    """Who stood in only looked at it: it was put off, or came to its end, and the numbers are its own provider's."""
    newer = json.dumps({**seed.CONTENT["email"], "v": 99})
    (expired,) = seed.pending(database, anna, expires_at=2_000)
    (broken,) = seed.pending(database, anna, payload="[")
    (waits,) = seed.pending(database, anna, payload=newer)
    pause(database, Cause.BREAKER)
    assert take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims == ()
    rows = [seed.notification(database, id_) for id_ in (expired, broken, waits)]
    assert [row.status for row in rows] == ["cancelled", "failed", "pending"]
    assert {(row.provider, row.retry_history, row.lease_id) for row in rows} == {("sendgrid", None, None)}


def test_what_the_other_cannot_deliver_goes_home(database: Database, anna: str) -> None:
    """No notification dies because another provider stood in: it is as before, and waits for its own."""
    (id_,) = seed.pending(database, anna)
    pause(database, Cause.CONFIG)
    (taken,) = take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims
    learn(database, [(taken, Outcome(Kind.PERMANENT, "no template here", asked=False))], NOW)
    row = seed.notification(database, id_)
    assert (row.status, row.provider, row.attempt_count, row.fails_over) == ("pending", "sendgrid", 0, False)
    assert row.due_at == 1_000
    assert "smtp cannot deliver it: no template here" in row.error_message
    assert [entry["to"] for entry in json.loads(row.retry_history)] == ["smtp", "sendgrid"]
    assert take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims == ()


@pytest.mark.parametrize("cause", [*Cause, None])
def test_the_states_say_what_a_claim_does(database: Database, anna: str, cause: Cause | None) -> None:
    """`held` is what no claim takes: not what another provider stands in for, but what may go by its own alone."""
    seed.pending(database, anna, count=2)
    seed.pending(database, anna, count=3, fails_over=False)
    if cause is not None:
        pause(database, cause, until=NOW + 60_000 if cause is Cause.THROTTLED else None)
    with database.read() as tx:
        counted = {each.state: each.count for each in waiting(tx.at(NOW))}
    taken = [*take(database, NOW).claims, *take(database, NOW, provider="smtp", stands_in_for=FOR_SENDGRID).claims]
    assert counted.get(State.DUE, 0) == len(taken)
    assert counted.get(State.HELD, 0) == 5 - len(taken)


def test_released_probes_are_made_again(database: Database, anna: str) -> None:
    """A probe whose call never began shows nothing, and the next one does not wait for its lease to end."""
    seed.pending(database, anna)
    pause(database, Cause.BREAKER)
    now = config(database).health.probe_at or 0
    (probe,) = take(database, now).claims
    results = [AttemptResult(probe, Release(probe, probe.due_at, probe.attempt - 1, probe.last_attempted))]
    database.write(lambda tx: record(tx.at(now), results))
    assert config(database).health.probe_at == now + 10_000
    with database.read() as tx:
        assert tx.execute(select(func.count()).where(notifications.c.lease_id.is_not(None))).scalar_one() == 0


# Senders

FULL = Outcome(Kind.THROTTLED, "its queue is full", code="21611", blames=Blame.SENDER)


def test_a_full_queue_holds_that_sender_only(database: Database, anna: str) -> None:
    """Others go on by the same provider; the held ones are asked for ever more rarely, by one of them first."""
    own = json.dumps({"v": 1, "subject": "Hello", "text": "Hello", "from": "news@example.com"})
    held = seed.pending(database, anna, count=20, payload=own)
    claims = take(database, NOW, 20).claims
    assert what(learn(database, [(each, FULL) for each in claims], NOW)) == []
    others = seed.pending(database, anna, count=3, payload=PLAIN, due_at=NOW)
    gone = take(database, NOW).claims
    assert sorted(each.id for each in gone) == sorted(others)
    learn(database, [(each, FINE) for each in gone], NOW)
    asked, now = 0, NOW
    while now < NOW + 3_600_000:
        now += 10_000
        for each in take(database, now).claims:
            assert each.id in held
            learn(database, [(each, FULL)], now)
            asked += 1
    assert asked <= 12
    assert {seed.notification(database, id_).attempt_count for id_ in held} == {0}
    assert config(database).hold(now) is None


def test_a_sender_that_is_used_no_more_slows_nobody(database: Database, anna: str) -> None:
    """Its last campaign is over: an hour after its time, others are claimed by one statement again."""
    seed.health(database, "sendgrid", held_senders=json.dumps({"old@example.com": [NOW, 3, False]}))
    seed.pending(database, anna, count=2)
    for now, held in ((NOW + 60_000, True), (NOW + 2 * 3_600_000, False)):
        (each,) = take(database, now, 1).claims
        learn(database, [(each, FINE)], now)
        assert (config(database).health.held_senders is not None) == held


def test_a_held_sender_goes_on_after_one_was_taken(database: Database, anna: str) -> None:
    """Nothing is as it was before until then: what succeeds of those in flight when it began shows nothing."""
    seed.pending(database, anna, count=10)
    first, second, *_ = take(database, NOW, 3).claims
    learn(database, [(first, FULL), (second, FINE)], NOW)
    assert take(database, NOW + 1_999).claims == ()
    (probe,) = take(database, NOW + 3_000).claims
    assert take(database, NOW + 3_001).claims == ()
    learn(database, [(probe, FINE)], NOW + 3_100)
    later = NOW + 3_100 + senders.MEANWHILE_MS
    assert len(take(database, later).claims) > 1
    assert config(database).health.held_senders is None
