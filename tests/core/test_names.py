"""Usernames and language tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import names
from notifyctl.core.errors import UsageError


@pytest.mark.parametrize("name", ["anna", "li.wei", "J", "müller", "cafebabe", "20231104", "a" * 100, "a-b_c"])
def test_usernames(name: str) -> None:
    """Ordinary names pass, also those that could be the beginning of an id: numbers are common as names."""
    assert names.username(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("a" * 101, "longer than 100"),
        ("a@b", "@"),
        ("3f9c2a71-4b4b-4b4b-8b8b-123456789012", "shape of an id"),
        ("3F9C2A714B4B4B4B8B8B123456789012", "shape of an id"),
        ("-o", "option"),
        ("a b", "blank"),
        ("a\x00b", "control"),
        ("a\u202eb", "control"),
    ],
)
def test_what_is_no_username(name: str, why: str) -> None:
    """A name that could be taken for an address, an id or an option is refused, and the message says which."""
    with pytest.raises(UsageError, match=why):
        names.username(name)


@given(st.text(max_size=120))
def test_any_username_is_stable(text: str) -> None:
    """A stored name is its own stored form, so that it can be looked up by what was shown."""
    try:
        name = names.username(text)
    except UsageError:
        return
    assert names.username(name) == name


@pytest.mark.parametrize(
    ("given_as", "stored"),
    [
        *(("EN", "en"), ("de-at", "de-AT"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419")),
        *(("EN-us-U-CA-Gregory", "en-US-u-ca-gregory"), ("en-X-us", "en-x-us")),
    ],
)
def test_languages(given_as: str, stored: str) -> None:
    """A tag is stored in the case of RFC 5646, so that equal tags are equal."""
    assert names.language(given_as) == stored


@pytest.mark.parametrize("text", ["", "e", "de_AT", "12", "de-", "a" * 40, "de AT"])
def test_what_is_no_language(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(UsageError, match="language tag"):
        names.language(text)
