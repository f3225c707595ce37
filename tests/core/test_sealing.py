"""Secrets at rest: what was sealed opens in its place only, and fits its column."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notifyctl.core.errors import NotAllowed, UsageError
from notifyctl.core.sealing import Keyring, Place, format_key, holds_secret, parse_keys

KEY = bytes(range(64))
OTHER = bytes(reversed(range(64)))
PLACE = Place("provider_configs", "3f9c2a71-4b4b-4b4b-8b8b-123456789012", "api_key")
RING = Keyring({"k1": KEY})

SECRETS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
KEYS = st.binary(min_size=64, max_size=64).filter(lambda key: key[:32] != key[32:])
PLACES = st.builds(
    Place, st.sampled_from(["provider_configs", "notification_webhooks"]), st.uuids().map(str), st.text()
)


@given(SECRETS, PLACES, KEYS)
def test_round_trip(secret: str, place: Place, key: bytes) -> None:
    """What was sealed opens again, and the sealed form is `v1.kid.` and base64url without padding."""
    ring = Keyring({"key9": key})
    sealed = ring.seal(secret, place)
    assert ring.open(sealed, place) == secret
    assert sealed.startswith("v1.key9.")
    assert sealed.removeprefix("v1.key9.").replace("-", "").replace("_", "").isalnum()


@given(SECRETS, PLACES)
def test_nothing_is_seen_to_be_nothing(secret: str, place: Place) -> None:
    """Whether there is a secret at all can be said without the key; nothing else can."""
    assert holds_secret(RING.seal(secret, place)) == bool(secret)
    assert not holds_secret(None) and not holds_secret("")


@given(SECRETS, PLACES, PLACES)
def test_a_moved_value_does_not_open(secret: str, place: Place, elsewhere: Place) -> None:
    """A value that was copied to another row, column or table is refused, and the error does not show it."""
    assume(place != elsewhere)
    with pytest.raises(NotAllowed) as refused:
        RING.open(RING.seal(f"canary{secret}", place), elsewhere)
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("field", ["table", "row_id", "column"])
def test_each_part_of_the_place_counts(field: str) -> None:
    """Table, row and column are each bound."""
    with pytest.raises(NotAllowed, match="does not open"):
        RING.open(RING.seal("secret", PLACE), replace(PLACE, **{field: "another"}))


@given(SECRETS, st.data())
def test_a_changed_value_does_not_open(secret: str, data: st.DataObject) -> None:
    """No damage to a sealed value gives another secret: it opens to the same, or not at all."""
    sealed = RING.seal(secret, PLACE)
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:place] + data.draw(st.characters(codec="ascii")) + sealed[place + 1 :]
    try:
        assert RING.open(changed, PLACE) == secret
    except NotAllowed:
        assert changed != sealed


@pytest.mark.parametrize(("width", "longest"), [(255, 167), (64, 24)])
def test_widths(width: int, longest: int) -> None:
    """With the longest key id 167 bytes fit VARCHAR(255) and a webhook's 24 bytes VARCHAR(64); more is refused."""
    ring = Keyring({"kidkid": KEY})
    assert len(ring.seal("x" * longest, PLACE, width)) <= width
    with pytest.raises(UsageError, match=f"at most {longest} fit") as refused:
        ring.seal("x" * (longest + 3), PLACE, width)
    assert "xxx" not in refused.value.message


@given(st.integers(0, 300), st.sampled_from(["k", "kidkid"]), st.sampled_from([64, 255]))
def test_what_is_said_to_fit_fits(length: int, kid: str, width: int) -> None:
    """The number in the message is the truth: that many bytes fit, one more does not."""
    ring = Keyring({kid: KEY})
    try:
        assert len(ring.seal("x" * length, PLACE, width)) <= width
    except UsageError as refused:
        room = int(refused.message.rpartition(" fit")[0].rpartition(" ")[2])
        assert room < length
        assert len(ring.seal("x" * room, PLACE, width)) <= width
        with pytest.raises(UsageError):
            ring.seal("x" * (room + 1), PLACE, width)


def test_the_newest_key_seals_and_all_open() -> None:
    """Keys rotate: what an older key sealed still opens, and new values carry the newest key's id."""
    both = Keyring({"k2": OTHER, "k1": KEY})
    assert both.open(RING.seal("secret", PLACE), PLACE) == "secret"
    assert both.seal("secret", PLACE).startswith("v1.k2.")


def test_a_missing_key_is_named() -> None:
    """The error names the key that is needed; a key of the same id but other bytes is told apart from damage."""
    sealed = RING.seal("secret", PLACE)
    with pytest.raises(NotAllowed, match="needs encryption key 'k1'"):
        Keyring({"k2": OTHER}).open(sealed, PLACE)
    with pytest.raises(NotAllowed, match="does not open with encryption key 'k1'"):
        Keyring({"k1": OTHER}).open(sealed, PLACE)
    with pytest.raises(NotAllowed, match="no encryption key"):
        Keyring({}).seal("secret", PLACE)
    with pytest.raises(NotAllowed, match="is not a sealed value"):
        RING.open("SG.plain", PLACE)


@given(st.lists(st.tuples(st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), KEYS), max_size=4, unique_by=lambda k: k[0]))
def test_keys_are_read_as_they_were_written(keys: list[tuple[str, bytes]]) -> None:
    """A keys file of any number of keys comes back in its order, from lines or from one line."""
    for separator in ("\n", ","):
        text = separator.join(format_key(kid, key) for kid, key in keys)
        assert list(parse_keys(text, "here").keys.items()) == keys


@pytest.mark.parametrize("text", ["k1:short", "K1:" + "QUJD" * 21 + "QQ==", "toolong:" + "QUJD" * 21 + "QQ==", "k1"])
def test_a_malformed_key_is_refused_without_being_shown(text: str) -> None:
    """The error says which key of which source, never what it holds."""
    with pytest.raises(UsageError, match="here: key 1 is not") as refused:
        parse_keys(text, "here")
    assert text not in refused.value.message
    assert text not in repr(Keyring({"k1": text.encode()}))
