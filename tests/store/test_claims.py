"""Claiming: what is due and nothing else, once, in order, through the gate."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from notifyctl.core import history
from notifyctl.core.gate import PutOff, Wait
from notifyctl.core.model import Channel, OnUnknown
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.core.triage import NEWER_PAYLOAD_WAIT_MS
from notifyctl.store import contacts, providers, suppressions
from notifyctl.store import users as people
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.claim import Batch, ClaimRequest, StandIn, claim
from notifyctl.store.schema.tables import contact_points, users
from notifyctl.store.suppressions import AddressNews
from tests.support import seed

NOW = 10_000
ME = "11111111-1111-4111-8111-111111111111"


def take(db: Database, now: int = NOW, provider: str = "sendgrid", limit: int = 10, **order: Any) -> Batch:
    """Claim in a transaction of its own."""
    asked = ClaimRequest(provider=provider, holder=ME, limit=limit, lease_ms=order.pop("lease_ms", 65_000), **order)
    return db.write(lambda tx: claim(tx.at(now), asked))


@pytest.fixture
def anna(database: Database) -> str:
    """A user, with sendgrid configured."""
    seed.provider(database)
    return seed.user(database)


def test_takes_what_is_due_critical_first_then_oldest(database: Database, anna: str) -> None:
    """Order is the promise: critical before the rest, the oldest due before the newer, nothing before its time."""
    newer, older, critical = (
        seed.pending(database, anna, due_at=due, is_critical=flag)[0]
        for due, flag in ((9_000, False), (2_000, False), (9_500, True))
    )
    seed.pending(database, anna, due_at=NOW + 1)
    assert [each.id for each in take(database).claims] == [critical, older, newer]


def test_a_claim_leases_and_counts_the_attempt(database: Database, anna: str) -> None:
    """The attempt is counted before the call, so that a process dying in it cannot loop for ever."""
    (id_,) = seed.pending(database, anna)
    (claimed,) = take(database).claims
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.last_attempted, row.due_at) == ("pending", 1, NOW, claimed.due_at)
    assert (row.lease_id, row.leased_by, row.leased_until) == (claimed.lease_id, ME, NOW + 65_000)
    assert (claimed.attempt, claimed.due_at, claimed.message.to) == (1, 1_000, "anna@example.org")
    assert take(database, now=NOW + 64_999).claims == ()


def test_the_limit_and_the_moment_bound_a_claim(database: Database, anna: str) -> None:
    """No more is taken than has room, and `--once` takes nothing that became due after its start."""
    seed.pending(database, anna, count=5)
    seed.pending(database, anna, due_at=9_000)
    assert len(take(database, limit=3).claims) == 3
    assert len(take(database, due_by=8_999).claims) == 2
    assert len(take(database).claims) == 1


def test_each_provider_is_claimed_by_itself(database: Database, anna: str) -> None:
    """A backlog of one provider is never looked at for another."""
    seed.provider(database, "twilio")
    seed.pending(database, anna, count=3)
    (sms,) = seed.pending(database, anna, "twilio")
    assert [each.id for each in take(database, provider="twilio").claims] == [sms]


def test_the_lease_covers_two_deadlines(database: Database, anna: str) -> None:
    """A provider's long deadline lengthens the lease, read anew at each claim."""
    seed.provider(database, "twilio", timeout_seconds=300)
    seed.pending(database, anna, "twilio")
    batch = take(database, provider="twilio")
    assert (batch.deadline_ms, batch.lease_ms) == (300_000, 605_000)


def test_who_asks_for_a_longer_lease_has_it(database: Database, anna: str) -> None:
    """`--lease` is the least that it is: until then nobody else takes what it holds, and then somebody may."""
    (id_,) = seed.pending(database, anna)
    assert take(database, lease_ms=200_000).lease_ms == 200_000
    assert seed.notification(database, id_).leased_until == NOW + 200_000
    assert take(database, now=NOW + 199_999).claims == ()
    assert [each.id for each in take(database, now=NOW + 200_000).claims] == [id_]


def test_an_expired_lease_is_due_again_and_says_what_is_unknown(database: Database, anna: str) -> None:
    """What a lost dispatcher did nobody knows: the history says so, and the next attempt is counted."""
    (id_,) = seed.pending(database, anna)
    take(database)
    (again,) = take(database, now=NOW + 65_000).claims
    assert again.attempt == 2
    (entry,) = json.loads(seed.notification(database, id_).retry_history)
    assert (entry["attempt"], entry["outcome"], entry["began_at"]) == (1, "unknown", NOW)
    assert json.loads(again.retry_history or "[]") == [entry]


@pytest.mark.parametrize(
    ("values", "policy"), [({"max_retries": 0}, {}), ({"max_retries": 5}, {Channel.EMAIL: OnUnknown.HOLD})]
)
def test_a_lost_attempt_may_be_the_last(database: Database, anna: str, values: Any, policy: Any) -> None:
    """With no attempt left, or where the channel's policy holds, an unknown outcome goes to a person."""
    (id_,) = seed.pending(database, anna, **values)
    take(database)
    assert take(database, now=NOW + 65_000, on_unknown=policy).claims == ()
    assert seed.notification(database, id_).status == "failed"
    letter = seed.dead_letter(database, id_)
    assert letter.failure_reason == "outcome_unknown"
    assert len(json.loads(letter.retry_history)) == 1


def test_what_expired_is_cancelled_without_a_dead_letter(database: Database, anna: str) -> None:
    """An old message is not sent: policy cancels it and says why."""
    (id_,) = seed.pending(database, anna, expires_at=NOW)
    assert take(database).claims == ()
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.error_message) == ("cancelled", 0, "expired before it was sent")
    assert seed.dead_letter(database, id_) is None


def test_without_an_address_it_is_a_dead_letter(database: Database, anna: str) -> None:
    """A push to somebody without a device cannot be sent, and costs no attempt."""
    seed.provider(database, "fcm")
    (id_,) = seed.pending(database, anna, "fcm", payload='{"v":1,"body":"x"}')
    assert take(database, provider="fcm").claims == ()
    assert seed.dead_letter(database, id_).failure_reason == "no_address"
    assert seed.notification(database, id_).attempt_count == 0


def test_a_topic_needs_no_address(database: Database, anna: str) -> None:
    """A push to a topic goes out without one."""
    seed.provider(database, "fcm")
    seed.pending(database, anna, "fcm", payload='{"v":1,"body":"x","topic":"news"}')
    (claimed,) = take(database, provider="fcm").claims
    assert claimed.message.to is None


def _contact(db: Database, user_id: str, address: str, created_at: int) -> None:
    row = {"id": address.ljust(36, "0")[:36], "user_id": user_id, "channel": "email", "address": address}
    db.write(lambda tx: tx.execute(insert(contact_points).values(**row, created_at=created_at)))


def _suppress(db: Database, address: str) -> None:
    said = AddressNews(Channel.EMAIL, Refusal(address, SuppressionCause.BOUNCE, "bounced"))
    db.write(lambda tx: suppressions.learn(tx.at(NOW), [said]))


def test_the_newest_contact_point_that_is_not_suppressed_is_used(database: Database, anna: str) -> None:
    """A dead address gives way to the one before it, at last to the user's own e-mail."""
    _contact(database, anna, "old@example.org", 1)
    _contact(database, anna, "new@example.org", 2)
    used = []
    for dead in ("new@example.org", "old@example.org", "anna@example.org"):
        seed.pending(database, anna)
        used += [each.message.to for each in take(database).claims]
        _suppress(database, dead)
    assert used == ["new@example.org", "old@example.org", "anna@example.org"]


def test_a_suppressed_address_cancels(database: Database, anna: str) -> None:
    """Nothing is sent to an address that is known to be dead, also when the payload names it itself."""
    for address in ("anna@example.org", "other@example.org"):
        _suppress(database, address)
    (own,) = seed.pending(database, anna)
    (named,) = seed.pending(database, anna, payload=json.dumps({**seed.CONTENT["email"], "to": "other@example.org"}))
    assert take(database).claims == ()
    for id_ in (own, named):
        row = seed.notification(database, id_)
        assert (row.status, row.error_message) == ("cancelled", "the address is suppressed: bounced")


@pytest.mark.parametrize("payload", ["{", "[]", '"x"', '{"v":0}', '{"body":"no version"}'])
def test_a_malformed_payload_is_a_dead_letter(database: Database, anna: str, payload: str) -> None:
    """What cannot be read is put aside by itself, and the good ones beside it are sent."""
    (bad,) = seed.pending(database, anna, payload=payload)
    (good,) = seed.pending(database, anna)
    assert [each.id for each in take(database).claims] == [good]
    assert seed.dead_letter(database, bad).failure_reason == "invalid_payload"


def test_a_newer_payload_is_left_alone(database: Database, anna: str) -> None:
    """During a rolling upgrade an old dispatcher must not destroy what a new program submitted."""
    (id_,) = seed.pending(database, anna, payload='{"v":2}')
    assert take(database).claims == ()
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.due_at) == ("pending", 0, NOW + NEWER_PAYLOAD_WAIT_MS)
    assert "version 2" in row.error_message


def test_a_deferral_costs_no_attempt(database: Database, anna: str) -> None:
    """Policy may put off: the row waits, unleased, with all its attempts."""
    (id_,) = seed.pending(database, anna)
    assert take(database, gate=lambda facts: PutOff(facts.now + 500, "later", Wait.LIMIT)).claims == ()
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.due_at, row.lease_id) == ("pending", 0, NOW + 500, None)


def test_a_paused_or_disabled_provider_holds_and_moves_nothing(database: Database, anna: str) -> None:
    """Hold is not defer: no row changes, and the pause ends by itself at its time."""
    (id_,) = seed.pending(database, anna)
    before = seed.notification(database, id_)
    database.write(lambda tx: providers.pause(tx.at(NOW), "sendgrid", "test", NOW + 1_000))
    assert take(database).held == "paused"
    assert seed.notification(database, id_) == before
    assert len(take(database, now=NOW + 1_000).claims) == 1
    seed.provider(database, "twilio", is_active=False)
    assert take(database, provider="twilio").held == "disabled"


def test_the_rate_limit_is_shared_and_smooth(database: Database, anna: str) -> None:
    """120 a minute are two at once and then one each half second, whoever asks; what is not sent takes no permit."""
    seed.provider(database, "twilio", rate_limit=120)
    seed.pending(database, anna, "twilio", expires_at=5_000)
    seed.pending(database, anna, "twilio", count=9, due_at=2_000)
    assert len(take(database, provider="twilio").claims) == 1
    taken = [len(take(database, now=NOW + 100 * step, provider="twilio").claims) for step in range(13)]
    assert taken == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    held = take(database, now=NOW + 1_300, provider="twilio")
    assert (held.held, held.wait_ms) == ("rate limit", 237)


def test_claims_at_once_share_and_never_overlap(database: Database, anna: str) -> None:
    """Four dispatchers claiming together take every row once."""
    ids = seed.pending(database, anna, count=200)
    taken: list[str] = []

    def work() -> None:
        while batch := take(database, limit=7).claims:
            taken.extend(each.id for each in batch)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


# Bounded in bytes

MB = 1_000_000


def test_large_messages_are_taken_as_far_as_they_fit(database: Database, anna: str) -> None:
    """In their order, up to what may be in flight; the small ones among them are taken all the same."""
    ids = [seed.pending(database, anna, due_at=due, attached_bytes=20 * MB)[0] for due in (2_000, 3_000, 5_000, 6_000)]
    small = [seed.pending(database, anna, due_at=due)[0] for due in (4_000, 7_000)]
    batch = take(database, room=64 * MB, alone=True)
    assert [each.id for each in batch.claims] == [*ids[:2], small[0], ids[2], small[1]]
    assert [each.weight // MB for each in batch.claims] == [20, 20, 0, 20, 0]
    assert batch.crowded
    left = seed.notification(database, ids[3])
    assert (left.lease_id, left.attempt_count) == (None, 0)
    assert take(database, room=4 * MB, alone=False).claims == ()
    assert [each.id for each in take(database, room=21 * MB, alone=False).claims] == [ids[3]]
    assert not take(database, room=64 * MB).crowded


def test_one_that_is_larger_than_all_may_be_goes_alone(database: Database, anna: str) -> None:
    """It is not stuck for ever, nor passed over by smaller ones that are due later."""
    (before,), (huge,), (after,) = (
        seed.pending(database, anna, due_at=due, attached_bytes=size * MB)
        for due, size in ((2_000, 20), (3_000, 90), (4_000, 1))
    )
    first = take(database, room=64 * MB, alone=True)
    assert ([each.id for each in first.claims], first.crowded) == ([before], True)
    assert take(database, room=44 * MB, alone=False).claims == ()
    second = take(database, room=64 * MB, alone=True)
    assert ([each.id for each in second.claims], second.crowded) == ([huge], True)
    assert [each.id for each in take(database, room=64 * MB, alone=True).claims] == [after]


def test_what_is_in_the_payload_itself_counts_too(database: Database, anna: str) -> None:
    """Other programs may leave a file in the payload, in characters of several bytes: its size is known before."""
    large = json.dumps({**seed.CONTENT["email"], "text": "ä" * 500_000}, ensure_ascii=False)
    ids = [seed.pending(database, anna, due_at=due, payload=large)[0] for due in (2_000, 3_000, 4_000)]
    batch = take(database, room=5 * MB // 2, alone=True)
    assert [each.id for each in batch.claims] == ids[:2]
    assert all(MB < each.weight < MB + 200 for each in batch.claims)


def test_critical_ones_go_first_in_bytes_too(database: Database, anna: str) -> None:
    """What is critical has the room before what is older; of those due at one moment each is counted once."""
    old = seed.pending(database, anna, count=2, attached_bytes=30 * MB)
    (critical,) = seed.pending(database, anna, due_at=9_000, is_critical=True, attached_bytes=30 * MB)
    batch = take(database, room=64 * MB, alone=True)
    assert (batch.claims[0].id, len(batch.claims)) == (critical, 2)
    assert batch.claims[1].id in old


@pytest.mark.parametrize("room", [50 * MB, 20 * MB])
def test_those_of_another_provider_share_the_room(database: Database, anna: str, room: int) -> None:
    """Whoever stands in for another has one room for what is its own and what it takes over."""
    seed.provider(database, "smtp")
    now = 1_000_000
    database.write(lambda tx: providers.pause(tx.at(now), "sendgrid", "down", now + 900_000))
    mine = [seed.pending(database, anna, "smtp", due_at=due, attached_bytes=20 * MB)[0] for due in (2_000, 4_000)]
    theirs = [seed.pending(database, anna, due_at=due, attached_bytes=20 * MB)[0] for due in (3_000, 5_000)]
    batch = take(database, now=now, provider="smtp", room=room, stands_in_for=(StandIn("sendgrid"),))
    expected = [mine[0], theirs[0]] if room > 40 * MB else [mine[0]]
    assert ([each.id for each in batch.claims], batch.crowded) == (expected, True)


def test_a_claim_touches_no_index(postgresql_url: str) -> None:
    """On PostgreSQL its writes stay within their pages: all that a lease changes is in no index, and there is room."""
    db = Database(postgresql_url)
    seed.provider(db)
    seed.pending(db, seed.user(db), count=40)

    def work(tx: Tx) -> tuple[int, int]:
        batch = claim(tx.at(NOW), ClaimRequest("sendgrid", ME, 40, 65_000))
        told = "SELECT pg_stat_get_xact_tuples_hot_updated('notifications'::regclass)"
        return len(batch.claims), tx.execute(text(told)).scalar_one()

    claimed, within_their_pages = db.write(work)
    db.close()
    assert (claimed, within_their_pages) == (40, 40)


# Every address of a message


@pytest.mark.parametrize(
    "written",
    ["anna@example.org", "ANNA@Example.ORG", "anna@EXAMPLE.org."],
)
def test_an_address_is_suppressed_however_it_was_written(database: Database, anna: str, written: str) -> None:
    """Case makes no other address, whether the user's own is meant or one that the payload names."""
    _suppress(database, written)
    seed.pending(database, anna)
    seed.pending(database, anna, payload=json.dumps({**seed.CONTENT["email"], "to": "Anna@eXample.org"}))
    assert take(database).claims == ()


def test_a_domain_in_unicode_is_its_a_label(database: Database) -> None:
    """What no database can fold is compared all the same, for users, contact points and payloads."""
    seed.provider(database)
    user, other = seed.user(database, "ida"), seed.user(database, "otto")
    database.write(
        lambda tx: tx.execute(update(users).where(users.c.id == user).values(email="ida@m\u00fcller.example"))
    )
    _suppress(database, "IDA@xn--mller-kva.example")
    seed.pending(database, user)
    seed.pending(database, other, payload=json.dumps({**seed.CONTENT["email"], "to": "ida@mu\u0308ller.example"}))
    assert take(database).claims == ()


def test_a_contact_point_in_unicode_gives_way_to_the_one_before(database: Database, anna: str) -> None:
    """It is as dead as its A-label, and the next one is used."""
    with database.read() as tx:
        person = people.find(tx, anna)
    for number, address in enumerate(("old@example.org", "new@m\u00fcller.example")):
        row_id = f"{number}".ljust(36, "0")
        database.write(
            lambda tx, at=number, row_id=row_id, address=address: contacts.add(
                tx.at(at), person, row_id, Channel.EMAIL, address
            )
        )
    _suppress(database, "new@xn--mller-kva.example")
    seed.pending(database, anna)
    assert [each.message.to for each in take(database).claims] == ["old@example.org"]
    with database.read() as tx:
        assert [(each.address, each.suppressed, each.used) for each in contacts.listed(tx, person)] == [
            ("new@m\u00fcller.example", True, False),
            ("old@example.org", False, True),
            ("anna@example.org", False, False),
        ]


COPIES = {
    **seed.CONTENT["email"],
    "cc": ["Dead <DEAD@example.org>", "alive@example.org"],
    "bcc": "hidden@m\u00fcller.example",
}


def test_suppressed_copies_are_left_out_and_recorded(database: Database, anna: str) -> None:
    """The mail goes to the others; the history says who got no copy and why, once, however often it is tried."""
    _suppress(database, "dead@example.org")
    _suppress(database, "hidden@xn--mller-kva.example")
    (id_,) = seed.pending(database, anna, payload=json.dumps(COPIES))
    (claimed,) = take(database).claims
    assert claimed.message.to == "anna@example.org"
    assert {key: claimed.message.content.get(key) for key in ("cc", "bcc")} == {
        "cc": ["alive@example.org"],
        "bcc": None,
    }
    (entry,) = history.parse(seed.notification(database, id_).retry_history)
    assert entry["event"] == "copy_suppressed"
    assert [(each["field"], each["address"], each["reason"]) for each in entry["copies"]] == [
        ("cc", "Dead <DEAD@example.org>", "bounced"),
        ("bcc", "hidden@m\u00fcller.example", "bounced"),
    ]
    (again,) = take(database, now=NOW + 65_000).claims
    assert again.message.content["cc"] == ["alive@example.org"]
    events = [each.get("event") for each in history.parse(seed.notification(database, id_).retry_history)]
    assert events.count("copy_suppressed") == 1


def test_a_suppressed_recipient_cancels_a_mail_with_copies(database: Database, anna: str) -> None:
    """Nobody gets a copy of what its recipient does not get."""
    _suppress(database, "anna@example.org")
    (id_,) = seed.pending(database, anna, payload=json.dumps(COPIES))
    assert take(database).claims == ()
    assert seed.notification(database, id_).status == "cancelled"


@pytest.mark.parametrize("group", [7, "7"])
def test_who_left_a_group_gets_its_mails_no_more(database: Database, anna: str, group: object) -> None:
    """Of a group that somebody left nothing is sent, to and copies alike; of other groups, and of none, it is."""
    left = Refusal("anna@example.org", SuppressionCause.OPT_OUT, "left group 7", group="7")
    copy = Refusal("alive@example.org", SuppressionCause.OPT_OUT, "left group 8", group="8")
    database.write(
        lambda tx: suppressions.learn(tx, [AddressNews(Channel.EMAIL, left), AddressNews(Channel.EMAIL, copy)])
    )
    content = {**seed.CONTENT["email"], "cc": ["alive@example.org"]}
    (of_it,) = seed.pending(database, anna, payload=json.dumps({**content, "asm": {"group_id": group}}))
    (of_another,) = seed.pending(database, anna, payload=json.dumps({**content, "asm": {"group_id": 8}}))
    (of_none,) = seed.pending(database, anna, payload=json.dumps(content))
    claims = {each.id: each.message.content.get("cc") for each in take(database).claims}
    assert claims == {of_another: None, of_none: ["alive@example.org"]}
    row = seed.notification(database, of_it)
    assert (row.status, row.error_message) == ("cancelled", "the address is suppressed: left group 7")


def test_a_usual_mail_asks_nothing_more(database: Database, anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only copies, groups and what no database can fold are looked up by themselves."""
    monkeypatch.setattr(suppressions, "_REASONS", None)
    seed.pending(database, anna, count=3)
    assert len(take(database).claims) == 3
