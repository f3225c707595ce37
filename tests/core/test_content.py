"""What a notification says: payloads from options, stored text, hashes and keys."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import content
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel

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
    assert content.parse(content.canonical(payload), channel) == payload


@given(payloads)
def test_canonical_json_knows_no_order(made: tuple[Channel, dict[str, Any]]) -> None:
    """The same content is the same text however it was put together: or repeating a submission would be a conflict."""
    _, payload = made
    reordered = dict(reversed(payload.items()))
    text = content.canonical(payload)
    assert content.canonical(reordered) == text
    assert json.loads(text) == payload


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


def test_hash_counts_the_address() -> None:
    """The same words to another address are another submission."""
    hashes = {
        content.content_hash(USER, Channel.SMS, content.build(Channel.SMS, body="Hi", to=to))
        for to in (None, "+14155552345", "+14155552346")
    }
    assert len(hashes) == 3


def test_idempotency_key_is_the_documented_one() -> None:
    """SHA-256 of user id, NUL, key: other programs that write to this database compute the same."""
    assert content.idempotency_key("u", "k") == "bda0adc1cb9a33551adf169dd39c5aef9f34c8feddf48dc7a9b389775add7040"


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
