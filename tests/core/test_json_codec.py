"""JSON by orjson: the standard library's answers to whatever comes in and goes out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import json_codec
from notifyctl.core.content import InvalidPayload, NewerPayload, parse
from notifyctl.core.model import Channel

LIMITS = [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**18, 10**19, 10**400, -(10**30)]
# Halves of surrogate pairs and control characters are among the characters.
texts = st.text(st.characters(), max_size=12) | st.sampled_from(["\ud800", "\udfff\ud800", "\x00", "null", "1" * 25])
scalars = st.none() | st.booleans() | st.integers() | st.sampled_from(LIMITS) | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
pointless = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
tokens = st.lists(
    st.sampled_from(
        [
            *(
                "{",
                "}",
                "[",
                "]",
                ":",
                ",",
                '"',
                '"a"',
                '"v"',
                '"\\ud800"',
                '"\\ud83d\\ude00"',
                '"\\u0000"',
                "\\",
                "\ufeff",
            ),
            *(
                "0",
                "-0",
                "-0.0",
                "01",
                "1.",
                "1e5",
                "1E400",
                "-1e400",
                "1e-400",
                "NaN",
                "Infinity",
                "-Infinity",
                "null",
            ),
            *(
                "true",
                "9" * 18,
                "9" * 19,
                "-" + "9" * 20,
                "9" * 320,
                "9" * 20 + ".5",
                " ",
                "\n",
                "\x0b",
                "\xa0",
                "\x7f",
            ),
        ]
    ),
    max_size=12,
).map("".join)
written = (
    tokens
    | st.text(st.characters(), max_size=30)
    | st.tuples(values, st.booleans(), st.sampled_from([None, 2])).map(
        lambda how: json.dumps(how[0], ensure_ascii=how[1], indent=how[2])
    )
    | tokens.map(lambda inner: f'{{"v": {inner}}}')
)


def came_to(work: Callable[[], Any]) -> str:
    """Return what it returned, types and signs and all, or the class of what it raised."""
    try:
        return repr(work())
    except (ValueError, RecursionError, TypeError) as error:
        return repr(error)


@given(written)
def test_text_is_read_as_by_the_standard_library(text: str) -> None:
    """No number, character or key is another one because another program reads it; trouble is the same trouble."""
    assert came_to(lambda: json_codec.decode(text)) == came_to(lambda: json.loads(text))


@given(written, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"]))
def test_bytes_are_read_as_by_the_standard_library(text: str, encoding: str) -> None:
    """Also in the encodings that only the standard library knows, and with half a surrogate pair in them."""
    body = text.encode(encoding, errors="surrogatepass")
    assert came_to(lambda: json_codec.decode(body)) == came_to(lambda: json.loads(body))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_by_the_standard_library(body: bytes) -> None:
    """What is no JSON is none."""
    assert came_to(lambda: json_codec.decode(body)) == came_to(lambda: json.loads(body))


@given(values)
def test_what_is_written_says_the_same(value: Any) -> None:
    """It is read back as it was, or refused as the standard library refuses it; NaN never becomes null."""
    try:
        expected = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError) as refused:
        with pytest.raises(type(refused)):
            json_codec.encode(value)
    else:
        assert repr(json.loads(json_codec.encode(value))) == repr(json.loads(expected))


@given(pointless)
def test_canonical_json_is_the_standard_librarys(value: Any) -> None:
    """The stored hashes of contents were made of that text: a digit or an order of another kind is another content.

    But for numbers with a point, which are written as SQL writes them: see `test_content`.
    """
    expected = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    assert came_to(lambda: json_codec.canonical(value)) == came_to(lambda: expected.encode(value))


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, {"a": "\ud800"}, {"a": {1}}, object()])
def test_what_is_no_json_is_not_written(value: object) -> None:
    """orjson would write null for some of it."""
    with pytest.raises((ValueError, TypeError)):
        json_codec.encode(value)


@pytest.mark.parametrize("depth", [99, 101, 200, 300])
def test_nesting_is_kept(depth: int) -> None:
    """What the standard library can read and write, orjson's own limits do not refuse."""
    text = "[" * depth + '{"a":1}' + "]" * depth
    value = json_codec.decode(text)
    assert value == json.loads(text)
    assert json_codec.encode(value).decode() == text


@pytest.mark.parametrize("depth", [900, 1_000, 1_020, 1_030, 100_000])
@pytest.mark.parametrize("one", ["[", '{"data":'])
def test_what_is_nested_too_deep_is_refused(depth: int, one: str) -> None:
    """Nothing is taken that the standard library could not write again: it would be poison for whoever does."""
    text = one * depth + "1" + ("]" if one == "[" else "}") * depth

    def taken(read: Callable[[str], Any]) -> bool:
        with suppress(RecursionError):
            return read(text) is not None
        return False

    assert taken(json_codec.decode) == taken(json.loads)


def slowly_parsed(payload: str, channel: Channel) -> Any:
    """What `parse` says, written with the standard library alone."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        content = json.loads(payload, parse_constant=refuse)
    except ValueError:
        return InvalidPayload
    version = content.get("v") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        return InvalidPayload
    if version > 1:
        return NewerPayload
    own = ("token", "fid", "topic", "condition") if channel is Channel.PUSH else ("to",)
    fine = all(content.get(key) is None or (isinstance(content[key], str) and content[key]) for key in own)
    return content if fine else InvalidPayload


payloads = st.fixed_dictionaries(
    {"v": st.just(1) | values},
    optional=dict.fromkeys(("to", "token", "fid", "topic", "condition", "subject", "data", "headers"), values),
).map(json.dumps)


@given(payloads | written, st.sampled_from(Channel))
def test_payloads_are_what_they_were(payload: str, channel: Channel) -> None:
    """The same payloads are taken, refused and left alone as with the standard library alone, and say the same."""
    try:
        found = parse(payload, channel)
    except (InvalidPayload, NewerPayload) as refused:
        found = type(refused)
    assert repr(found) == repr(slowly_parsed(payload, channel))


class TestLenient:
    """What was stored is read without an error, whatever is stored."""

    @given(written | st.none())
    def test_it_is_what_was_written_or_the_default(self, text: str | None) -> None:
        """What is JSON is read as ever; of another type, or no JSON, it is the default."""
        try:
            expected = json.loads(text or "")
        except (ValueError, RecursionError):
            expected = None
        assert repr(json_codec.lenient(text)) == repr(expected)
        assert repr(json_codec.stored(text, {})) == repr(expected if isinstance(expected, dict) else {})
        assert repr(json_codec.stored(text, [])) == repr(expected if isinstance(expected, list) else [])

    @given(st.binary(max_size=40))
    def test_any_bytes_are_read(self, body: bytes) -> None:
        """Also in no encoding at all."""
        json_codec.lenient(body)

    @pytest.mark.parametrize("depth", [201, 900, 100_000])
    @pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
    def test_what_is_nested_too_deep_says_nothing(self, depth: int, opens: str, closes: str) -> None:
        """It is no RecursionError, neither here nor where it would be written again."""
        assert json_codec.lenient(opens * depth + "1" + closes * depth, "as it is") == "as it is"

    def test_what_is_read_can_be_written_again(self) -> None:
        """The deepest that is read, with an indentation, which Python writes with a call for each level."""
        deepest = "[" * json_codec.DEEPEST + "1" + "]" * json_codec.DEEPEST
        assert json.loads(json.dumps(json_codec.lenient(deepest), indent=2)) == json.loads(deepest)

    def test_what_is_too_long_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A text that somebody else stored does not take the memory of a multiple of it."""
        monkeypatch.setattr(json_codec, "LONGEST", 10)
        assert json_codec.lenient('"12345678"') == "12345678"
        assert json_codec.lenient('"123456789"') is None


def test_a_payload_that_cannot_be_looked_through_is_not_sent() -> None:
    """Sent, its receipts would be taken for those of another address: none was found in it."""
    deep = '{"a":' * 201 + "1" + "}" * 201
    with pytest.raises(InvalidPayload, match="nested too deep"):
        parse(f'{{"v": 1, "to": "anna@example.org", "template_data": {deep}}}', Channel.EMAIL)
