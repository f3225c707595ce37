"""`notifyctl_submit`: SQL submits in the caller's transaction, and stores exactly what `send` stores."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import insert, select, update

from notifyctl.core import content
from notifyctl.core.batch import ids_digest
from notifyctl.core.content import FIELDS
from notifyctl.core.model import Channel
from notifyctl.core.submission import Draft
from notifyctl.services import sending
from notifyctl.store.db.database import Database
from notifyctl.store.schema import functions
from notifyctl.store.schema.tables import (
    attachment_pieces,
    audit_logs,
    batches,
    categories,
    notification_attachments,
    notification_templates,
    notifications,
    provider_configs,
    users,
)
from tests import goldens
from tests.support import seed
from tests.support.databases import PostgreSQLMaker

MAIL = {"subject": "Hello", "text": "It works"}
ARGUMENTS = {
    "user": "text",
    "channel": "text",
    "content": "jsonb",
    "key": "text",
    "send_at": "timestamptz",
    "delay": "interval",
    "expires_in": "interval",
    "template": "text",
    "variables": "jsonb",
    "category": "text",
    "provider": "text",
    "max_retries": "integer",
    "critical": "boolean",
    "wake": "boolean",
}


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(words, values, max_size=4)


def submit(conn: psycopg.Connection[Any], **given: Any) -> tuple[str, bool]:
    """Call it with arguments by name; a content that is text is JSON already."""
    given = {"user": "anna", "channel": "email", **given}
    named = ", ".join(f'"{name}" => %({name})s::{ARGUMENTS[name]}' for name in given)
    values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in given.items()}
    row = conn.execute(f"SELECT id, deduplicated FROM notifyctl_submit({named})", values).fetchone()
    assert row is not None
    return str(row[0]), bool(row[1])


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Yield a database with people, providers, a template and a category."""
    db = Database(url)
    for name in ("anna", "omar"):
        seed.user(db, name)
    seed.provider(db, "sendgrid", priority=1, config_json='{"from":"alerts@example.com"}')
    seed.provider(db, "smtp", config_json='{"from":"alerts@example.com"}')
    seed.provider(db, "twilio", config_json='{"from":"+15005550006"}')
    seed.provider(db, "fcm")
    db.write(lambda tx: tx.execute(insert(categories).values(id=str(uuid.uuid4()), name="news", kind="marketing")))
    template(db, "welcome", category="news")
    yield db
    db.close()


@pytest.fixture
def db(postgresql_url: str) -> Iterator[Database]:
    """A database of the test's own."""
    with opened(postgresql_url) as made:
        yield made


@pytest.fixture(scope="module")
def common(postgresql_maker: PostgreSQLMaker) -> Iterator[str]:
    """A database of many tests', in which none leaves anything, with what can be refused."""
    with postgresql_maker.migrated() as url, opened(url) as db:
        like = [{"id": f"00000000-0000-4000-8000-{n:012}", "username": f"u{n}", "email": f"u{n}@a.org"} for n in (1, 2)]
        db.write(lambda tx: tx.execute(insert(users), like))
        template(db, "draft", published_version=0)
        template(db, "off", is_active=False)
        template(db, "page", kind="layout")
        off = update(provider_configs).where(provider_configs.c.provider_name == "fcm").values(is_active=False)
        db.write(lambda tx: tx.execute(off))
        yield url


@pytest.fixture
def asking(common: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to that one, whose transaction is rolled back."""
    with psycopg.connect(common) as conn:
        yield conn
        conn.rollback()


def template(db: Database, name: str, **values: Any) -> str:
    """Write a template and return its id."""
    id_ = str(uuid.uuid4())
    anna = select(users.c.id).where(users.c.username == "anna").scalar_subquery()
    row = {"id": id_, "name": name, "message_type": "email", "subject": "Hi", "body": "Hi {{ name }}", **values}
    db.write(lambda tx: tx.execute(insert(notification_templates).values(created_by=anna, **row)))
    return id_


@pytest.fixture
def conn(db: Database, postgresql_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An application's connection."""
    with psycopg.connect(postgresql_url) as opened:
        yield opened


def row(db: Database, id_: str) -> dict[str, Any]:
    """A notification as it is stored."""
    with db.read() as tx:
        return dict(tx.execute(select(notifications).where(notifications.c.id == id_)).mappings().one())


def audit(db: Database, id_: str) -> tuple[str, dict[str, Any], str]:
    """What the audit trail says of it: the action, the changes and who did it."""
    a = audit_logs.c
    with db.read() as tx:
        found = tx.execute(select(a.action, a.changes, a.user_agent).where(a.resource_id == id_)).one()
    return found.action, json.loads(found.changes), found.user_agent


# One rule for contents


@pytest.mark.parametrize("case", goldens.content()["canonical"], ids=lambda case: case["name"])
def test_canonical_json_is_what_python_makes_of_it(asking: psycopg.Connection[Any], case: dict[str, str]) -> None:
    """The same cases as in `tests/core/test_content.py`."""
    made = asking.execute("SELECT notifyctl_canonical(%s::jsonb)", [case["given"]]).fetchone()
    assert made == (case["canonical"],)


@pytest.mark.parametrize("case", goldens.content()["refused"], ids=lambda case: case["name"])
def test_what_python_refuses_is_refused(asking: psycopg.Connection[Any], case: dict[str, str]) -> None:
    """By the function, or by `jsonb` itself (22): nothing is stored that `send` would not store."""
    with pytest.raises(psycopg.Error) as caught:
        submit(asking, content=f'{{"text": "x", "template_data": {case["given"]}}}')
    assert (caught.value.sqlstate or "")[:2] in ("NC", "22")


@pytest.mark.parametrize("case", goldens.content()["hashes"], ids=lambda case: case["name"])
def test_hash_is_the_documented_one(db: Database, conn: psycopg.Connection[Any], case: dict[str, Any]) -> None:
    """Of user, channel, content, and what was asked for."""
    person = {"id": case["user"], "username": "eve", "email": "eve@example.org"}
    db.write(lambda tx: tx.execute(insert(users).values(person)))
    db.write(lambda tx: tx.execute(update(notification_templates).values(category=None)))
    asked = {name: case[name] for name in ("channel", "provider", "category", "template") if name in case}
    said = json.loads(case["content"])
    if variables := said.pop("variables", None):
        text = case["content"]
        written = re.search(r'"variables":(\{.*?\})', text)
        asked["variables"] = written[1] if written else variables
    asked["content"] = json.dumps(said) if variables else case["content"]
    id_, _ = submit(conn, user="eve", key="Bestellung 7 – é😀", **asked)
    conn.commit()
    stored = row(db, id_)
    assert stored["content_hash"] == case["hash"]
    assert stored["idempotency_key"] == goldens.content()["keys"][1]["stored"]


@given(st.lists(objects, min_size=5, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_content_is_the_same_text(asking: psycopg.Connection[Any], values: list[dict[str, Any]]) -> None:
    """Whatever JSON there is: Python's text of it, and SQL's."""
    asked = "SELECT notifyctl_canonical(v) FROM unnest(%s::jsonb[]) WITH ORDINALITY AS e(v, n) ORDER BY n"
    texts = [json.dumps(value) for value in values]
    made = [text for (text,) in asking.execute(asked, [texts]).fetchall()]
    asking.rollback()
    assert made == [content.canonical(content.as_given(text)) for text in texts]
    assert made == [content.canonical(value) for value in values]


def test_the_fields_of_a_channel_are_pythons() -> None:
    """A field that is added to one is added to the other."""
    text = functions.expected()["notifyctl_payload"]
    for channel in Channel:
        found = re.search(rf"WHEN '{channel}' THEN '\{{([a-z_,]+)\}}'", text)
        assert found is not None and tuple(found[1].split(",")) == FIELDS[channel]


# The same row as `send`


SAME: list[dict[str, Any]] = [
    {"content": MAIL},
    {"channel": "sms", "content": {"body": "Hi", "to": "+1 (415) 555-2345"}},
    {"channel": "push", "content": {"title": "Hi", "token": " device-1 ", "data": {"b": "2", "a": "1"}}},
    {"channel": "push", "content": {"body": "Hi", "topic": "news", "webpush": {"headers": {"TTL": "1"}}}},
    {"channel": "sms", "content": {"body": "Grüße 😀\n\"'\\ \u2028", "validity_seconds": 600}},
    {"content": {**MAIL, "to": "Anna  Smith <Anna@EXAMPLE.org>"}},
    {"content": {**MAIL, "to": '"Smith, Anna" <anna@example.org>'}, "provider": "smtp"},
    {"content": {**MAIL, "to": " anna@Example.ORG ", "html": None}},
    {"content": {**MAIL, "to": "anna@bu\u0308cher.example"}, "provider": "smtp"},
    {"channel": "sms", "content": {"body": "Hi", "to": "+49 30/123-456.78"}},
    {"channel": "sms", "content": {"body": "Hi", "to": "+39 06 1234 5678"}},
    {"content": {**MAIL, "template_data": {"n": 1.5, "big": 1e16, "deep": [{"z": 1, "a": [None, True]}]}}},
    {"content": MAIL, "category": "news", "critical": True, "max_retries": 0, "provider": "smtp"},
    {"content": {"to": "a@example.org"}, "template": "welcome", "variables": {"name": "Anna", "n": 2}},
    {"template": "welcome"},
    {"content": {**MAIL, "attachments": [{"filename": "a.txt", "content": "aGVsbG8="}]}},
    {"content": {**MAIL, "attachments": [{"filename": f"{n}", "content": "eA=="} for n in range(2)]}, "user": "omar"},
]


def as_draft(given: dict[str, Any], key: str) -> Draft:
    """The same as what `send` makes of its options."""
    said = {"user": "anna", "channel": "email", "content": {}, **given}
    channel, data = Channel(said.pop("channel")), said.pop("content")
    if "template" in said:
        payload = content.of_template(channel, said.pop("variables", {}), data=data)
    else:
        payload = content.build(channel, data=data)
    return Draft(channel=channel, payload=payload, key=key, **said)


@pytest.mark.parametrize("given", SAME, ids=lambda given: json.dumps(given)[:60])
def test_the_same_submission_is_recognised(db: Database, conn: psycopg.Connection[Any], given: dict[str, Any]) -> None:
    """By `send` after SQL and by SQL after `send`; and what either stores is the same, to the letter."""
    first, again = submit(conn, key="k1", **given)
    conn.commit()
    assert not again
    by_send = sending.submit(db, as_draft(given, "k1"), {})
    assert (by_send.notification.id, by_send.deduplicated) == (first, True)
    second = sending.submit(db, as_draft(given, "k2"), {}).notification.id
    assert submit(conn, key="k2", **given) == (second, True)
    one, other = row(db, first), row(db, second)
    for name in ("id", "idempotency_key"):
        assert one.pop(name) != other.pop(name)
    for name in ("created_at", "due_at"):
        assert abs(one.pop(name) - other.pop(name)) < 60_000
    assert one == other
    assert audit(db, first)[:2] == audit(db, second)[:2]
    with db.read() as tx:
        of = notification_attachments.c
        files = [
            set(tx.execute(select(of.digest).where(of.notification_id == id_)).scalars()) for id_ in (first, second)
        ]
    assert files[0] == files[1]


def test_a_large_file_is_read_as_it_was(db: Database, conn: psycopg.Connection[Any]) -> None:
    """It is stored in pieces, as `send` stores it."""
    file = "YWJj" * 400_000 + "é"
    submit(conn, content={**MAIL, "attachments": [{"filename": "a", "content": file}]})
    conn.commit()
    with db.read() as tx:
        p = attachment_pieces.c
        pieces = list(tx.execute(select(p.content).order_by(p.number)).scalars())
        digests = set(tx.execute(select(p.digest)).scalars())
    assert "".join(pieces) == file and [len(each) for each in pieces] == [1 << 20, len(file) - (1 << 20)]
    assert digests == {hashlib.sha256(file.encode()).hexdigest()}


@pytest.mark.parametrize("way", ["{name}", " {name} ", "{name}@EXAMPLE.org", "{id}", "{start}", "{upper}"])
def test_every_way_to_say_who(db: Database, conn: psycopg.Connection[Any], way: str) -> None:
    """As `send` takes it: id, the beginning of one, username, address with its domain in any case."""
    with db.read() as tx:
        id_ = tx.execute(select(users.c.id).where(users.c.username == "omar")).scalar_one()
    ref = way.format(name="omar", id=id_, start=id_[:9], upper=id_.upper())
    made, _ = submit(conn, user=ref, content=MAIL)
    conn.commit()
    assert row(db, made)["user_id"] == id_


def test_times(db: Database, conn: psycopg.Connection[Any]) -> None:
    """A moment, a delay and an end: milliseconds by the clock, not by the transaction's beginning."""
    at = datetime(2030, 1, 2, 3, 4, 5, 678_900, UTC)
    first, _ = submit(conn, content=MAIL, send_at=at, expires_in="90 minutes")
    conn.execute("SELECT pg_sleep(0.05)")
    second, _ = submit(conn, content=MAIL, delay="1.5 seconds", expires_in="1 day")
    third, _ = submit(conn, content=MAIL)
    began = conn.execute("SELECT floor(extract(epoch from now()) * 1000)::bigint").fetchone()
    # The transaction's own `now()` is not past for it.
    fourth = conn.execute(
        "SELECT id FROM notifyctl_submit('anna', 'email', '{\"text\": \"x\"}', send_at => now())"
    ).fetchone()
    conn.commit()
    assert began is not None and fourth is not None
    one, two, three = (row(db, id_) for id_ in (first, second, third))
    ms = int(at.timestamp() * 1000)
    assert (one["send_at"], one["due_at"], one["expires_at"]) == (ms, ms, ms + 5_400_000)
    assert two["send_at"] == two["due_at"] == two["created_at"] + 1_500
    assert two["expires_at"] == two["send_at"] + 86_400_000
    assert (three["send_at"], three["due_at"]) == (None, three["created_at"])
    assert three["created_at"] >= began[0] + 50
    assert row(db, fourth[0])["send_at"] == began[0]


def test_the_trail_says_who_had_logged_in(db: Database, conn: psycopg.Connection[Any]) -> None:
    """The function acts with its owner's rights, and in the name of the session's user."""
    id_, _ = submit(conn, content=MAIL)
    conn.commit()
    asked = conn.execute("SELECT session_user").fetchone()
    assert asked is not None
    assert audit(db, id_)[::2] == ("create", f"notifyctl_submit {asked[0]}")


# What webhooks are told


def told(db: Database, id_: str) -> list[dict[str, Any]]:
    """The deliveries of a notification, by their webhook, without what is each one's own; the body as it is sent."""
    rows = [{**row._mapping, "id": uuid.UUID(row.id).version} for row in seed.deliveries(db, notification_id=id_)]
    kept = ("id", "webhook_id", "event_type", "payload", "attempt_count", "delivered", "ended", "is_replay", "attempts")
    due = [None if row["next_retry_at"] is None else row["next_retry_at"] - row["created_at"] for row in rows]
    found = [{name: row[name] for name in kept} | {"due": at} for row, at in zip(rows, due, strict=True)]
    return sorted(found, key=lambda each: each["webhook_id"])


def listeners(db: Database) -> None:
    """Who listens in every way that there is, and who does not."""
    with db.read() as tx:
        ids = {row.username: row.id for row in tx.execute(select(users.c.username, users.c.id))}
    seed.webhook(db, ids["anna"])
    seed.webhook(db, ids["anna"], events=("notification.sent", "notification.created"))
    seed.webhook(db, ids["anna"], events=("notification.sent",))
    seed.webhook(db, ids["anna"], is_active=False)
    seed.webhook(db, ids["anna"], all_users=True)
    seed.webhook(db, ids["omar"])
    seed.webhook(db, ids["omar"], all_users=True, events=("notification.created",))


@pytest.mark.parametrize("given", SAME, ids=lambda given: json.dumps(given)[:60])
def test_webhooks_are_told_the_same(db: Database, conn: psycopg.Connection[Any], given: dict[str, Any]) -> None:
    """Of what SQL submits as of what `send` submits: who listens, and the body to the letter but for ids and times."""
    listeners(db)
    said = {**given, "category": 'Über "uns"'} if "category" in given else given
    row_ = {"id": str(uuid.uuid4()), "name": 'Über "uns"', "kind": "marketing"}
    db.write(lambda tx: tx.execute(insert(categories).values(row_)))
    first, _ = submit(conn, key="k1", **said)
    conn.commit()
    second = sending.submit(db, as_draft(said, "k2"), {}).notification.id
    of_each = []
    for id_ in (first, second):
        found = told(db, id_)
        when = datetime.fromtimestamp(row(db, id_)["created_at"] / 1_000, UTC).isoformat(timespec="milliseconds")
        for each in found:
            assert json.loads(each["payload"])["timestamp"] == when.replace("+00:00", "Z")
            each["payload"] = each["payload"].replace(id_, "ID").replace(when.removesuffix("+00:00"), "WHEN")
        of_each.append(found)
    assert of_each[0] == of_each[1]
    assert len(of_each[0]) == (3 if said.get("user") == "omar" else 5)


def test_webhooks_are_told_of_each_of_many(db: Database, conn: psycopg.Connection[Any]) -> None:
    """Of what is new, once, with its batch; of a repetition nothing; nothing without the caller's commit."""
    listeners(db)
    [(first, _), (again, known)] = many(conn, {"key": "a"}, {"key": "a"})
    assert (again, known) == (first, True)
    conn.commit()
    assert len(told(db, first)) == 5
    submit(conn, key="a", content=MAIL)
    conn.commit()
    assert len(told(db, first)) == 5
    new = many(conn, {"key": "b"}, {"key": "c", "user": "omar"})
    conn.rollback()
    new = many(conn, {"key": "b"}, {"key": "c", "user": "omar"})
    conn.commit()
    for id_, _ in new:
        assert {json.loads(each["payload"])["data"]["batch_id"] for each in told(db, id_)} == {row(db, id_)["batch_id"]}
    assert len(seed.deliveries(db)) == 5 + 5 + 3


def test_a_webhook_deleted_meanwhile_is_waited_for(
    db: Database, conn: psycopg.Connection[Any], postgresql_url: str
) -> None:
    """Who submits is not refused because a webhook went: it is told nothing any more."""
    with db.read() as tx:
        anna = tx.execute(select(users.c.id).where(users.c.username == "anna")).scalar_one()
    hook, other = seed.webhook(db, anna), seed.webhook(db, anna)
    with psycopg.connect(postgresql_url) as deleting, ThreadPoolExecutor(1) as pool:
        deleting.execute("DELETE FROM notification_webhooks WHERE id = %s", [hook])
        waiting = pool.submit(submit, conn, content=MAIL)
        asked = f"SELECT cardinality(pg_blocking_pids({conn.info.backend_pid})) > 0"
        with db.read() as tx:
            while not tx.conn.exec_driver_sql(asked).scalar():
                assert not waiting.done()
                time.sleep(0.02)
        deleting.commit()
        id_, _ = waiting.result(30)
    conn.commit()
    assert [each["webhook_id"] for each in told(db, id_)] == [other]


# What is refused


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"user": "nobody"}, "NC003", "there is no user 'nobody'"),
    ({"user": None}, "NC003", "there is no user"),
    ({"user": "00000000"}, "NC002", "means more than one user"),
    ({"channel": "fax"}, "NC002", "email, sms or push"),
    ({"channel": None}, "NC002", "email, sms or push"),
    ({"content": None}, "NC002", "nothing to send"),
    ({"content": "[]"}, "NC002", "objects"),
    ({"content": '"x"'}, "NC002", "objects"),
    ({"content": {"subjekt": "x"}}, "NC002", "email has no subjekt"),
    ({"content": {"v": 2, "text": "x"}}, "NC002", "v is 1"),
    ({"content": {"text": "x", "to": ["a@example.org"]}}, "NC002", "to: must be text"),
    ({"content": {"text": "x", "to": ""}}, "NC002", "to: must be text"),
    ({"content": {"text": "x", "to": "nobody"}}, "NC002", "no e-mail address"),
    ({"channel": "sms", "content": {"body": "x", "to": "0700 900123"}}, "NC002", "no telephone number"),
    ({"channel": "sms", "content": {"body": "x", "to": "+44 (0)20 7946 0018"}}, "NC002", "has a (0)"),
    ({"channel": "push", "content": {"body": "x", "token": "a b"}}, "NC002", "token"),
    ({"content": {"text": "x", "to": "Anna <a@example.org>", "to_name": "Eve"}}, "NC002", "to_name"),
    ({"variables": {"a": 1}}, "NC002", "variables go with a template"),
    ({"template": "welcome"}, "NC002", "the template says that"),
    ({"template": "nobody", "content": None}, "NC003", "there is no template 'nobody'"),
    ({"template": "draft", "content": None}, "NC005", "draft is a draft"),
    ({"template": "off", "content": None}, "NC005", "off is disabled"),
    ({"template": "page", "content": None}, "NC002", "page is a layout"),
    ({"template": "welcome", "channel": "sms", "content": None}, "NC002", "is for email, not sms"),
    ({"category": "olds"}, "NC003", "there is no category 'olds'"),
    ({"provider": "nobody"}, "NC003", "there is no provider 'nobody'"),
    ({"provider": "twilio"}, "NC002", "twilio delivers sms, not email"),
    ({"provider": "fcm", "channel": "push", "content": {"body": "x"}}, "NC005", "fcm is disabled"),
    ({"channel": "push", "content": {"body": "x"}}, "NC005", "no active provider delivers push"),
    ({"key": " "}, "NC002", "key"),
    ({"key": "used"}, "NC005", "was used for notification"),
    ({"max_retries": -1}, "NC002", "max_retries"),
    ({"max_retries": 1_001}, "NC002", "max_retries"),
    ({"send_at": "2020-01-01T00:00:00Z"}, "NC002", "is past"),
    ({"send_at": "infinity"}, "NC002", "out of range"),
    ({"send_at": "2030-01-01T00:00:00Z", "delay": "1 hour"}, "NC002", "exclude each other"),
    ({"delay": "-1 hour"}, "NC002", "delay"),
    ({"delay": "9000 years"}, "NC002", "delay"),
    ({"expires_in": "-1 second"}, "NC002", "expires_in"),
    ({"expires_in": "0 seconds"}, "NC002", "expires_in"),
]


@pytest.mark.parametrize(("given", "state", "said"), REFUSED, ids=lambda value: str(value)[:50])
def test_refusals(asking: psycopg.Connection[Any], given: dict[str, Any], state: str, said: str) -> None:
    """Each has a class of its own, says what is wrong with what, and has a hint; nothing is written."""
    submit(asking, content={"text": "other"}, key="used")
    with pytest.raises(psycopg.Error) as caught, asking.transaction():
        submit(asking, **{"content": MAIL, **given})
    assert caught.value.sqlstate == state
    assert said in f"{caught.value.diag.message_primary} {caught.value.diag.message_hint}"
    assert caught.value.diag.message_hint
    # The savepoint kept the transaction usable.
    assert asking.execute("SELECT count(*) FROM notifications").fetchone() == (1,)


def test_what_it_cannot_check_is_stored(db: Database, conn: psycopg.Connection[Any]) -> None:
    """That a mail without a text is none, its provider's adapter knows: it becomes a dead letter."""
    id_, _ = submit(conn, content={"subject": "no text"})
    conn.commit()
    assert row(db, id_)["status"] == "pending"


# Many in one call


def many(conn: psycopg.Connection[Any], *submissions: dict[str, Any]) -> list[tuple[str, bool]]:
    """Submit many in one call."""
    given = [{"user": "anna", "channel": "email", "content": MAIL, **each} for each in submissions]
    return conn.execute("SELECT id, deduplicated FROM notifyctl_submit_many(%s)", [Jsonb(given)]).fetchall()


def test_many_are_a_batch(db: Database, conn: psycopg.Connection[Any]) -> None:
    """One audit row for all; results in the order given, whatever the order in which they are stored."""
    before, _ = submit(conn, content=MAIL, key="k3")
    given = [
        {
            "key": f"k{number}",
            "content": {"text": f"{number}" if number != 3 else None, **({} if number != 3 else MAIL)},
        }
        for number in range(6)
    ]
    given += [
        {"user": "omar", "channel": "sms", "content": {"body": "x"}, "delay": "1 hour", "critical": True},
        given[0],
    ]
    found = many(conn, *given)
    conn.commit()
    assert [again for _, again in found] == [False, False, False, True, False, False, False, True]
    assert found[3][0] == before and found[7][0] == found[0][0]
    for (id_, _), said in zip(found[:3], given[:3], strict=True):
        assert json.loads(row(db, id_)["payload"])["text"] == said["content"]["text"]
    new = [id_ for id_, again in found if not again]
    (batch,) = {row(db, id_)["batch_id"] for id_ in new}
    assert row(db, before)["batch_id"] is None
    action, changes, _ = audit(db, batch)
    assert (action, changes) == ("submit", {"count": 6, "ids_sha256": ids_digest(new)})
    with db.read() as tx:
        assert tx.execute(select(batches.c.source)).scalars().all() == ["application"]
        by_row = select(audit_logs.c.id).where(audit_logs.c.resource_id.in_(new))
        assert tx.execute(by_row).all() == []


def test_one_and_none_are_no_batch(db: Database, conn: psycopg.Connection[Any]) -> None:
    """One is submitted as by `notifyctl_submit`; where nothing is new nothing is written."""
    [(id_, _)] = many(conn, {"key": "a"})
    assert many(conn) == []
    assert many(conn, {"key": "a"}, {"key": "a"}) == [(id_, True)] * 2
    conn.commit()
    assert audit(db, id_)[0] == "create" and row(db, id_)["batch_id"] is None
    with db.read() as tx:
        assert tx.execute(select(batches)).all() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{}, {"user": "nobody"}], "submission 2: there is no user"),
        ([{}, {"content": {"x": 1}}], "submission 2: content: email has no x"),
        ([{}, {"kee": "a"}], "submission 2: there is no argument kee"),
        ([{"send_at": "2030-01-01T00:00:00"}, {}], "submission 1: send_at"),
        ([{"key": "a"}, {"key": "a", "content": {"text": "y"}}], "submission 2: the idempotency key 'a'"),
        ([{"user": "nobody"}, {}, {}], "submission 1: there is no user"),
        ([{}, {"user": None}, {}], "submission 2: there is no user NULL"),
        ([{}, {"key": "\u00a0"}], "submission 2: key: it is empty"),
        ([{}, {"key": {"order": 1}}], "submission 2: key: is an object"),
        ([{}, {"template": ["a"]}], "submission 2: template: is an array"),
        ([{}, {"delay": True}], "submission 2: delay: is a boolean"),
        ([{"delay": "soon"}, {}], "submission 1: invalid input syntax for type interval"),
        ([{"send_at": "2030-13-01T00:00:00Z"}, {}], "submission 1: date/time field value out of range"),
        ([{}, {"max_retries": 1.5}], "submission 2: invalid input syntax for type integer"),
        ([{}, {"max_retries": 10**20}], 'submission 2: value "100000000000000000000" is out of range'),
        ([{}, {"critical": "perhaps"}], "submission 2: invalid input syntax for type boolean"),
    ],
)
def test_one_that_is_refused_refuses_all(
    db: Database, conn: psycopg.Connection[Any], given: list[dict[str, Any]], said: str
) -> None:
    """Which one it is, is said."""
    with pytest.raises(psycopg.Error, match=re.escape(said)) as refused, conn.transaction():
        many(conn, *given)
    assert refused.value.sqlstate in ("NC002", "NC003", "NC005")
    assert refused.value.diag.message_hint
    conn.commit()
    with db.read() as tx:
        assert tx.execute(select(notifications.c.id)).all() == []


@pytest.mark.parametrize("given", ["null", "{}", "[1]", '["a"]'])
def test_what_is_no_list_of_submissions(asking: psycopg.Connection[Any], given: str) -> None:
    """The refusal says what it takes."""
    with pytest.raises(psycopg.Error, match="object"):
        asking.execute("SELECT notifyctl_submit_many(%s::jsonb)", [given])


def test_as_one_column(asking: psycopg.Connection[Any]) -> None:
    """Whoever calls it in a select list gets both values, and one notification."""
    with asking.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute("SELECT notifyctl_submit('anna', 'email', '{\"text\": \"x\"}')::text AS made").fetchone()
        assert found is not None and re.fullmatch(r"\([0-9a-f-]{36},f\)", found["made"])
        assert cursor.execute("SELECT count(*) AS n FROM notifications").fetchone() == {"n": 1}
