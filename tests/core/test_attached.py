"""A payload without its files, and with them again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import attached

names = st.text(min_size=1, max_size=5)
files = st.fixed_dictionaries(
    {"filename": names, "content": st.sampled_from(["QUJD", "eHl6", "A" * 40])},
    optional={"type": st.just("text/plain"), "content_id": names, "disposition": st.just("inline")},
)
payloads = st.fixed_dictionaries(
    {"v": st.just(1), "text": names}, optional={"attachments": st.lists(files, max_size=4), "html": names}
)


@given(payloads)
def test_what_is_taken_apart_is_put_together_again(payload: dict[str, Any]) -> None:
    """Nothing is lost, nothing is left in what is stored, and the same file is there once."""
    stored, found = attached.apart(payload)
    given_files = payload.get("attachments", [])
    assert attached.whole(stored, found) == payload
    assert set(found.values()) == {each["content"] for each in given_files}
    assert all("content" not in each for each in stored.get("attachments", []))
    assert set(attached.digests(stored)) == set(found)
    assert attached.size(stored) == sum(len(each["content"]) for each in given_files)
    assert attached.lost(stored, found) is None


def test_a_digest_is_that_of_the_standard() -> None:
    """SHA-256 (FIPS 180-4) of the base64, as anybody can check, however long it is."""
    for content in ("QUJD", "QUJD" * 1_000_000):
        assert attached.digest_of(content) == hashlib.sha256(content.encode()).hexdigest()


def test_what_cannot_be_had_is_named() -> None:
    """The first file that is gone or damaged, by its place and its name."""
    mail = {"attachments": [{"filename": "a.pdf", "content": "QUJD"}, {"filename": "b.pdf", "content": "eHl6"}]}
    stored, found = attached.apart(mail)
    first, second = attached.digests(stored)
    assert attached.lost(stored, {first: found[first]}) == "attachments.1: b.pdf is gone in the database"
    assert attached.lost(stored, {**found, first: None}) == "attachments.0: a.pdf is damaged in the database"
    half = attached.whole(stored, {second: found[second]})
    assert half["attachments"] == [stored["attachments"][0], mail["attachments"][1]]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {"attachments": "a.pdf"},
        {"attachments": {"a": 1}},
        {
            "attachments": [
                1,
                None,
                {"content": 5},
                {"content": ""},
                {"digest": 7},
                {"digest": "x"},
                {"digest": "é" * 64},
            ]
        },
    ],
)
def test_what_is_no_file_is_left_as_it_is(payload: Any) -> None:
    """Other programs may store anything there; whoever is to send it says what is wrong."""
    assert (attached.digests(payload), attached.size(payload)) == ((), 0)
    if isinstance(payload, dict):
        assert attached.apart(payload) == (payload, {})
        assert attached.whole(json.loads(json.dumps(payload)), {}) == payload
        assert attached.lost(payload, {}) is None
