"""Dump, apply into an empty database, dump: the same text, on both databases and across them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from notifyctl.core import apikey
from notifyctl.core.fixtures import text
from notifyctl.core.fixtures.reading import FixtureReader
from notifyctl.core.fixtures.types import SecretRef
from notifyctl.core.sealing import Keyring
from notifyctl.core.webhook.signing import secret_text
from notifyctl.core.zones import names as zones
from notifyctl.services.fixtures import applying, dumping
from notifyctl.services.fixtures.shelf import Means
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import metadata
from tests.support.databases import PostgreSQLMaker, SQLiteMaker

LETTERS = "aZ0 \n\t'\"\\#:-é\u00a0\u2028😀|>&*!%@`,[]?~=+."
WORDS = st.sampled_from(
    ["no", "null", "~", "12:30", "0700", "1e3", "true", "2030-10-25", "+44", "<<", "- a", "a: b", "#"]
)
TEXTS = WORDS | st.text(st.sampled_from(LETTERS), min_size=1, max_size=30).filter(str.strip)
LABELS = WORDS | st.text(st.sampled_from("aZ0.'\"#:é😀|&*"), min_size=1, max_size=12)
USERNAMES = LABELS.filter(lambda name: not any(char.isspace() or char == "@" for char in name) and name[0] != "-")
NAMES = st.sampled_from(["a", "no", "0700", "1e3", "news.letter", "b-c", "x_1"])
LANGUAGES = st.sampled_from(["no", "de-AT", "zh-Hant-TW", "en"])
MOMENTS = st.sampled_from(["2030-10-25T09:00:00+01:00", "1970-01-01T00:00:00.001Z", "9999-12-31T23:59:59.999Z"])
NUMBERS = st.integers(1, 1_000_000)
PHONES = st.integers(0, 9).map(lambda last: f"+4477009001{last}3")
QUIET = st.sampled_from(["22:00-07:00", "00:00-12:30", "23:59-00:00"])
DATA = st.dictionaries(LABELS, TEXTS, min_size=1, max_size=3)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return maps of which any field may be absent."""
    return st.fixed_dictionaries({}, optional=fields)


PREFERENCES = st.lists(
    st.builds(
        dict,
        some(enabled=st.booleans(), cap=NUMBERS, quiet=QUIET, timezone=st.sampled_from(sorted(zones()))),
        channel=st.sampled_from(["email", "sms", "push"]),
    ),
    max_size=3,
    unique_by=lambda each: each["channel"],
)
CONTACTS = st.lists(PHONES.map(lambda phone: {"channel": "sms", "address": phone}), max_size=2, unique_by=str)
USERS = st.lists(
    st.builds(dict, some(language=LANGUAGES, contacts=CONTACTS, preferences=PREFERENCES), username=USERNAMES),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each["username"],
)
CATEGORIES = st.lists(
    st.builds(dict, some(kind=st.just("marketing"), description=TEXTS, provider_group=st.just("012")), name=NAMES),
    max_size=3,
    unique_by=lambda each: each["name"],
)
SUPPRESSIONS = st.lists(
    st.builds(
        dict,
        some(cause=st.sampled_from(["bounce", "complaint", "operator"])),
        channel=st.just("sms"),
        address=PHONES,
        reason=TEXTS,
    ),
    max_size=3,
    unique_by=lambda each: (each["address"], each.get("cause", "operator")),
)
TEMPLATES = st.lists(
    st.builds(
        dict,
        some(
            enabled=st.booleans(),
            published=st.booleans(),
            language=st.just("en"),
            title=TEXTS,
            data=DATA,
            variables=st.just(["name", {"name": "n", "type": "integer", "default": 1, "example": None}]),
            variants=st.dictionaries(
                st.sampled_from(["no", "de"]), st.builds(dict, body=TEXTS), min_size=1, max_size=2
            ),
        ),
        name=st.sampled_from(["a", "no", "x.y", "l/b"]),
        channel=st.just("push"),
        body=TEXTS,
    ),
    max_size=3,
    unique_by=lambda each: each["name"],
)
PROVIDERS = st.lists(
    st.builds(
        dict,
        some(enabled=st.booleans(), rate_limit=NUMBERS, timeout=st.integers(1, 300), priority=st.integers(-5, 5)),
        name=st.just("twilio"),
        api_key=st.just({"env": "ACCOUNT"}),
        api_secret=st.just({"env": "SECRET"}),
        settings=st.just({"from": "+14155552345"}),
    ),
    max_size=1,
)
KEYS = st.lists(
    st.builds(dict, some(scopes=st.lists(LABELS, max_size=3, unique=True), expires_at=MOMENTS), name=LABELS),
    max_size=3,
    unique_by=lambda each: each["name"].strip(),
)

WEBHOOKS = st.lists(
    st.builds(
        dict,
        some(
            all_users=st.booleans(),
            retries=st.integers(0, 50),
            timeout=st.integers(1, 60),
            enabled=st.booleans(),
            url=st.just("https://example.org/told?by=anna"),
        ),
        name=LABELS.filter(lambda name: not name.strip().startswith("-")),
        events=st.just(["*"]) | st.lists(st.sampled_from(["sent", "notification.failed"]), min_size=1, unique=True),
    ),
    max_size=3,
    unique_by=lambda each: each["name"].strip(),
)


@st.composite
def fixtures(draw: st.DrawFn) -> dict[str, Any]:
    """Return what a fixture says, of every kind but notifications."""
    people = [{**each, "email": f"u{number}@example.org"} for number, each in enumerate(draw(USERS))]
    categories, first = draw(CATEGORIES), people[0]["username"]
    keys = [{**each, "user": first, "secret": {"env": f"K{number}"}} for number, each in enumerate(draw(KEYS))]
    return {
        "users": people,
        "limits": [{"user": first, "per_minute": draw(NUMBERS)}] if draw(st.booleans()) else [],
        "categories": categories,
        "opt_outs": [{"user": first, "category": each["name"]} for each in categories],
        "suppressions": draw(SUPPRESSIONS),
        "templates": [{**each, "by": first} for each in draw(TEMPLATES)],
        "providers": draw(PROVIDERS),
        "api_keys": keys,
        "webhooks": [
            {"url": {"env": "HOOK_URL"}, **each, "user": first, "secret": {"env": f"HOOK_SECRET{number}"}}
            for number, each in enumerate(draw(WEBHOOKS))
        ],
    }


class _AnySecrets:
    """Has a secret for whatever variable is named: for each API key and webhook another, for providers the same."""

    def text(self, ref: SecretRef) -> str:
        is_key = str(ref.env).startswith(("K", "NOTIFYCTL_FIXTURE_KEY"))
        digest = hashlib.sha256(str(ref.env).encode()).digest()
        if str(ref.env).startswith(("HOOK", "NOTIFYCTL_FIXTURE_WEBHOOK")):
            return "https://example.org/hook" if "_URL" in str(ref.env) else secret_text(digest[:24])
        return apikey.generate("ci", digest).secret if is_key else f"AC{'0' * 32}"

    def making(self, refs: Sequence[SecretRef]) -> AbstractContextManager[None]:
        return nullcontext()


MEANS = Means(None, _AnySecrets(), lambda: Keyring({"k1": bytes(range(64))}))
PRUNING = applying.Pruning(None, False, lambda _: None)


def apply(db: Database, raw: str, name: str = "f.yaml") -> applying.AppliedFixture:
    """Apply a text."""
    reader = FixtureReader()
    reader.read(text.parse(raw.encode(), name, text.form_of(name, raw.encode())))
    assert reader.told == [], [str(each) for each in reader.told]
    return applying.apply(db, reader.fixture, MEANS, PRUNING)


def dump(db: Database) -> str:
    """Return the dump's text."""
    return "".join(f"{line}\n" for line in dumping.dump(db, dumping.sections()).lines)


def empty(db: Database) -> None:
    """Take everything out."""
    db.write(lambda tx: [tx.execute(delete(each)) for each in reversed(metadata.sorted_tables)])


@pytest.fixture(params=["sqlite", "postgresql"])
def other(
    request: pytest.FixtureRequest, sqlite_maker: SQLiteMaker, postgresql_maker: PostgreSQLMaker, tmp_path: Path
) -> Iterator[Database]:
    """Another database."""
    if request.param == "sqlite":
        (tmp_path / "other").mkdir()
        db = Database(sqlite_maker.migrated(tmp_path / "other"))
        yield db
        db.close()
        return
    with postgresql_maker.migrated() as url:
        db = Database(url)
        yield db
        db.close()


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=fixtures())
def test_dump_apply_dump_is_the_same_text(database: Database, other: Database, said: dict[str, Any]) -> None:
    """Whatever texts there are; and what was dumped, applied where it came from, changes nothing."""
    empty(database)
    empty(other)
    apply(database, json.dumps(said), "f.json")
    first = dump(database)
    again = apply(database, first).changes  # the variables of a dump have names of their own, and so other keys
    assert [each.name for each in again if not each.fields.keys() <= {"secret", "url"}] == []
    apply(other, first)
    assert dump(other) == first
