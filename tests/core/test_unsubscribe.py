"""The token of a link, and the address that it is added to."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.errors import AnswerIsNo, UsageError
from notifyctl.core.model import Subscription
from notifyctl.core.unsubscribe import VALID_MS, SigningKey, checked_url, link, preview_token, read, token

KEY = SigningKey("0f8fad5b-d9cb-469f-a165-70867728950e", b"k" * 32)
OTHER = SigningKey("7c9e6679-7425-40de-944b-e07fc1f90ae7", b"o" * 32)
URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

subscriptions = st.builds(
    Subscription,
    st.uuids().map(str),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=50),
    st.integers(0, 2**42),
)


@given(subscriptions)
def test_a_token_says_for_whom_and_what_it_is(of: Subscription) -> None:
    """It can stand in an address as it is, and fits with it on a header's line of 998 characters."""
    made = token(KEY, of)
    assert set(made) <= set(URL_SAFE)
    assert len(made) < 500
    assert read(made, KEY, of.at) == of
    assert read(f" {made}\r\n", KEY, of.at + VALID_MS - 1) == of


@given(subscriptions, st.data())
def test_every_change_is_noticed(of: Subscription, data: st.DataObject) -> None:
    """Another character anywhere, also where base64 would decode to the same, and one more or less."""
    made = token(KEY, of)
    place = data.draw(st.integers(0, len(made) - 1))
    letter = data.draw(st.sampled_from(URL_SAFE))
    for changed in (f"{made[:place]}{letter}{made[place + 1 :]}", made[:place] + made[place + 1 :], f"{made}{letter}"):
        if changed != made:
            with pytest.raises((AnswerIsNo, UsageError)):
                read(changed, KEY, of.at)


@given(subscriptions)
def test_it_is_refused_when_it_is_old_or_of_another_key(of: Subscription) -> None:
    """A year after it was made, and where its key is not, or none is yet."""
    made = token(KEY, of)
    with pytest.raises(AnswerIsNo, match="older than a year"):
        read(made, KEY, of.at + VALID_MS)
    for key in (OTHER, None):
        with pytest.raises(AnswerIsNo, match="another system"):
            read(made, key, of.at)
    with pytest.raises(AnswerIsNo, match="was changed"):  # a key of the same name
        read(made, SigningKey(KEY.id, OTHER.secret), of.at)


@given(subscriptions)
def test_the_token_of_a_preview_acts_for_nobody(of: Subscription) -> None:
    """It is as long as another, so that what is previewed is laid out like what is sent, and names nobody."""
    made = preview_token(of)
    assert len(made) == len(token(KEY, of))
    for key in (KEY, None):
        with pytest.raises(AnswerIsNo, match="preview"):
            read(made, key, of.at)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/u",
        "https://example.org",
        "https://example.org/u?",
        "https://example.org/u?list=a%26b&x",
        "https://example.org/u?a=1&",
        "https://example.org:8443/u/?q=%3Ctoken%3E",
        "http://127.0.0.1:8025/unsubscribe",
        "http://localhost/u",
        "http://[::1]:80/u",
    ],
)
def test_the_token_is_added_whatever_the_query(url: str) -> None:
    """All that the address says stays, and the token is a parameter of it."""
    made = token(KEY, Subscription("0" * 36, "news", 1))
    before, after = urlsplit(checked_url(url)), urlsplit(link(url, made))
    kept = parse_qsl(before.query, keep_blank_values=True)
    assert parse_qsl(after.query, keep_blank_values=True) == [*kept, ("token", made)]
    assert (after.scheme, after.netloc, after.path) == (before.scheme, before.netloc, before.path or "/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/u",
        "http://example.org/u",
        "ftp://example.org/u",
        "mailto:u@example.org",
        "https://",
        "https:///u",
        "https://example.org:0/u",
        "https://example.org:99999/u",
        "https://example.org/u#part",
        "https://anna:secret@example.org/u",
        "https://example.org/u?token=1",
        "https://example.org/a b",
        "https://example.org/>,<https://evil.example/",
        "https://example.org/u\r\nX: y",
        "https://exämple.org/u",
        "https://[::1/u",
        f"https://example.org/{'u' * 400}",
    ],
)
def test_an_address_that_cannot_stand_in_the_header_is_refused(url: str) -> None:
    """RFC 8058, 3.1 wants https; what ends the <...> or the line would be another header."""
    with pytest.raises(ValueError, match=r"\w"):
        checked_url(url)
