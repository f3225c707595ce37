"""What a notification says: payloads from options, stored text, hashes and keys."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import content
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from tests import goldens

USER = "7b0e4a52-93c5-4b8e-8f57-3a3f5e6d1c20"

channels = st.sampled_from(Channel)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words
)
audience = {"to", "token", "fid", "topic", "condition"}


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return `inner`, or a short list or object of it."""
    return inner | st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2)


def payloads_of(channel: Channel) -> st.SearchStrategy[tuple[Channel, dict[str, Any]]]:
    """Return the channel with payloads that `build` makes for it."""
    names = [name for name in content.FIELDS[channel] if name not in audience]
    data = st.dictionaries(st.sampled_from(names), nested(nested(scalars)), max_size=3)
    return data.map(lambda chosen: (channel, content.build(channel, data=chosen)))


payloads = st.one_of(map(payloads_of, Channel))  # made once, not at each draw


@given(payloads)
def test_what_is_stored_is_read_again(made: tuple[Channel, dict[str, Any]]) -> None:
    """No content is lost or changed between submission and dispatch."""
    channel, payload = made
    assert as_floats(content.parse(content.canonical(payload), channel)) == as_floats(payload)


@given(payloads)
def test_it_is_written_as_it_is_stored(made: tuple[Channel, dict[str, Any]]) -> None:
    """What options make comes with its text, by which the row is stored, and known again when it comes twice."""
    assert content.written(made[1]) == content.canonical(made[1])


@pytest.mark.parametrize("case", goldens.content()["canonical"], ids=lambda case: case["name"])
def test_canonical_json_is_what_sql_makes_of_it(case: dict[str, str]) -> None:
    """Keys by code point, numbers as `jsonb` prints them; `tests/store/test_submit_sql.py` asks PostgreSQL the same."""
    given = content.as_given(case["given"])
    assert content.canonical(given) == case["canonical"]
    assert content.canonical(content.as_given(case["canonical"])) == case["canonical"]


@pytest.mark.parametrize("case", goldens.content()["refused"], ids=lambda case: case["name"])
def test_what_sql_refuses_is_refused(case: dict[str, str]) -> None:
    """No content is accepted by one road and refused by another."""
    with pytest.raises(UsageError):
        content.build(Channel.EMAIL, data={"template_data": content.parse_data(case["given"])})


@pytest.mark.parametrize("case", goldens.content()["hashes"], ids=lambda case: case["name"])
def test_hash_is_the_documented_one(case: dict[str, Any]) -> None:
    """Whoever writes a submission elsewhere computes the same."""
    said = content.as_given(case["content"])
    more = (case.get("provider"), case.get("template"), case.get("category"))
    assert content.content_hash(case["user"], Channel(case["channel"]), said, *more) == case["hash"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_written_without_an_exponent(number: float) -> None:
    """As `jsonb` prints it, and it is the same number when it is read again."""
    text = content.canonical({"a": number})[5:-1]
    assert "e" not in text and not text.startswith("-0.0}")
    assert float(text) == number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 10**400, -(10**309)])
def test_what_is_no_number_is_not_written(number: float) -> None:
    """Whoever makes a payload of values, not of text: those that JSON or a float does not have are refused."""
    with pytest.raises(ValueError):
        content.canonical({"a": number})
    with pytest.raises(UsageError):
        content.build(Channel.EMAIL, data={"template_data": {"a": [number]}})


@given(payloads)
def test_canonical_json_knows_no_order(made: tuple[Channel, dict[str, Any]]) -> None:
    """The same content is the same text however it was put together: or repeating a submission would be a conflict."""
    _, payload = made
    reordered = dict(reversed(payload.items()))
    text = content.canonical(payload)
    assert content.canonical(reordered) == text
    assert as_floats(json.loads(text)) == as_floats(payload)


def as_floats(value: Any) -> Any:
    """Return the same with every number as a float: 1e23 is written, and read again, as an integer."""
    if isinstance(value, dict):
        return {key: as_floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(payloads, words, words)
def test_hash_tells_contents_apart(made: tuple[Channel, dict[str, Any]], one: str, other: str) -> None:
    """User, channel, provider asked for, and content each count; the payload's version does not."""
    channel, payload = made
    before = content.content_hash(USER, channel, payload)
    assert len(before) == 64
    assert content.content_hash(USER, channel, {**payload, "v": 2}) == before
    assert content.content_hash(USER, channel, payload, "sendgrid") != before
    assert content.content_hash(USER[::-1], channel, payload) != before
    with_one, with_other = ({**payload, "body": text} for text in (one, other))
    same = content.content_hash(USER, channel, with_one) == content.content_hash(USER, channel, with_other)
    assert same == (one == other)


_NAMES = st.sampled_from(["v", "text", "variables", 'x","v', "a"])
_SAID = st.recursive(
    st.integers(0, 2) | st.text('ab"\\é\n', max_size=3) | st.sampled_from([',"v":1}', True, None]),
    lambda each: st.dictionaries(_NAMES, each, max_size=3) | st.lists(each, max_size=2),
    max_leaves=6,
)


@given(
    st.dictionaries(_NAMES, _SAID, max_size=4),
    st.none() | st.just('the "other"'),
    st.none() | st.just("t\n"),
    st.none() | st.just("é"),
)
def test_hash_is_that_of_the_canonical_json(
    said: dict[str, Any], provider: str | None, template: str | None, category: str | None
) -> None:
    """SHA-256 over what is said as one JSON object, without the payload's own version, wherever else a "v" stands."""
    more = {"provider": provider, "template": template, "category": category}
    facts = {
        "user": USER,
        "channel": "push",
        "content": {name: value for name, value in said.items() if name != "v"},
        **{name: value for name, value in more.items() if value is not None},
    }
    documented = sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())
    for written in (None, content.canonical(said)):
        found = content.content_hash(USER, Channel.PUSH, said, provider, template, category, written)
        assert found == documented.hexdigest()


def test_hash_counts_the_address() -> None:
    """The same words to another address are another submission."""
    hashes = {
        content.content_hash(USER, Channel.SMS, content.build(Channel.SMS, body="Hi", to=to))
        for to in (None, "+14155552345", "+14155552346")
    }
    assert len(hashes) == 3


@pytest.mark.parametrize("case", goldens.content()["keys"])
def test_idempotency_key_is_the_documented_one(case: dict[str, str]) -> None:
    """SHA-256 of user id, NUL, key: other programs that write to this database compute the same."""
    assert content.idempotency_key(case["user"], case["key"]) == case["stored"]


@given(words, words, words, words)
def test_idempotency_keys_do_not_run_into_each_other(user: str, key: str, user2: str, key2: str) -> None:
    """No user's key can be another user's: the NUL keeps them apart."""
    if "\0" in user or "\0" in user2:
        return
    same = content.idempotency_key(user, key) == content.idempotency_key(user2, key2)
    assert same == ((user, key) == (user2, key2))


@given(channels, st.text(max_size=40))
def test_any_stored_text_is_a_payload_or_refused(channel: Channel, text: str) -> None:
    """Poison in the table becomes one of two known exceptions, never another."""
    with suppress(InvalidPayload, NewerPayload):
        assert content.parse(text, channel)["v"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"v"',
        "{}",
        '{"v": true}',
        '{"v": 0}',
        '{"v": -1}',
        '{"v": 1.0}',
        '{"v": "1"}',
        '{"v": NaN}',
        '{"v": 1, "to": ["a@example.org"]}',
        '{"v": 1, "to": ""}',
        "[" * 100_000,
        '{"v": 1, "x": ' + "1" * 5_000 + "}",
    ],
)
def test_malformed_payloads(text: str) -> None:
    """What can never be sent is told from what a newer program may send."""
    with pytest.raises(InvalidPayload):
        content.parse(text, Channel.EMAIL)


def test_newer_payloads_are_left_alone() -> None:
    """During a rolling upgrade the old program must not bury what the new one wrote."""
    with pytest.raises(NewerPayload) as caught:
        content.parse('{"v": 2, "to": {"shape": "unknown"}}', Channel.EMAIL)
    assert caught.value.version == 2


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (Channel.EMAIL, {"v": 1, "subject": "S", "text": "B", "to": "a@example.org"}),
        (Channel.PUSH, {"v": 1, "title": "S", "body": "B", "token": "device"}),
    ],
)
def test_options_become_fields(channel: Channel, expected: dict[str, Any]) -> None:
    """--subject, --body and --to go where the channel has them."""
    to = expected.get("to") or expected["token"]
    assert content.build(channel, subject="S", body="B", to=to) == expected


def test_addresses_are_normalised() -> None:
    """Suppressions are found by the stored form, so the payload holds it too, also when it came with --data."""
    assert content.build(Channel.SMS, body="B", to="+1 (415) 555-2345")["to"] == "+14155552345"
    assert content.build(Channel.EMAIL, data={"to": "anna@EXAMPLE.org"})["to"] == "anna@example.org"


@pytest.mark.parametrize(
    ("channel", "options", "names"),
    [
        (Channel.SMS, {"subject": "S"}, "subject"),
        (Channel.EMAIL, {"data": {"sbject": "S", "bdy": "B"}}, "bdy, sbject"),
        (Channel.EMAIL, {"data": {"title": "S"}}, "title"),
        (Channel.EMAIL, {"data": {"v": 2}}, "v is 1"),
        (Channel.EMAIL, {"data": {"v": True}}, "v is 1"),
        (Channel.EMAIL, {"subject": "S", "data": {"subject": "T"}}, "subject"),
        (Channel.EMAIL, {"to": "anna"}, "anna"),
        (Channel.EMAIL, {"data": {"to": ["a@example.org"]}}, "to"),
        (Channel.PUSH, {"data": {"topic": 7}}, "topic"),
        (Channel.EMAIL, {"body": "\udc80"}, "text"),
        (Channel.PUSH, {"data": {"data": {"\ud800": "x"}}}, "data"),
    ],
)
def test_what_is_refused(channel: Channel, options: dict[str, Any], names: str) -> None:
    """A mistake is found at submission, and the message names the field."""
    with pytest.raises(UsageError) as caught:
        content.build(channel, **options)
    assert names in caught.value.message


def test_data_merges_into_the_options() -> None:
    """--data adds to what the options said; the same value twice is no contradiction, null is nothing."""
    made = content.build(Channel.EMAIL, subject="S", data={"v": 1, "subject": "S", "html": "<p>", "cc": None})
    assert made == {"v": 1, "subject": "S", "html": "<p>"}


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", '{"a": NaN}', "[" * 100_000])
def test_data_must_be_an_object(text: str) -> None:
    """--data that is no JSON object is a mistake on the command line."""
    with pytest.raises(UsageError, match="--data"):
        content.parse_data(text)
