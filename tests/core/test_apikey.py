"""API keys: the form of reliability.md, and nothing of the key in what is stored or shown."""

from __future__ import annotations

import hashlib
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import apikey

RANDOM = st.binary(min_size=32, max_size=32)
ENVIRONMENT = st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 62 + BASE62.index(digit)
    return value


@given(RANDOM, ENVIRONMENT)
def test_a_key_holds_all_of_its_randomness_and_its_checksum(random: bytes, environment: str) -> None:
    """43 characters are the 32 bytes, 6 the CRC32 of all before them: an independent reading gives both back."""
    secret = apikey.generate(environment, random).secret
    match = re.fullmatch(rf"nctl_{environment}_([0-9A-Za-z]{{43}})([0-9A-Za-z]{{6}})", secret)
    assert match is not None
    assert _number(match[1]).to_bytes(32) == random
    assert _number(match[2]) == zlib.crc32(secret[:-6].encode())


@given(RANDOM, ENVIRONMENT)
def test_parse_knows_what_generate_made(random: bytes, environment: str) -> None:
    """A key survives being written down and read."""
    key = apikey.generate(environment, random)
    assert apikey.parse(key.secret) == key


@given(RANDOM, st.integers(10, 58), st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(random: bytes, place: int, other: str) -> None:
    """A typing error is a typing error, not an unknown key: CRC32 finds every change within one character."""
    secret = apikey.generate("live", random).secret
    changed = secret[:place] + other + secret[place + 1 :]
    assert (apikey.parse(changed) is None) == (changed != secret)


@given(st.text(max_size=80))
def test_parse_takes_any_text(text: str) -> None:
    """What a person pastes is refused, not raised about."""
    assert apikey.parse(text) is None


@given(RANDOM)
def test_what_is_stored_gives_little_away(random: bytes) -> None:
    """The prefix fits its column and shows four characters of the key; its repr shows none."""
    key = apikey.generate("a" * 40, random)
    assert len(key.prefix) <= 32
    assert key.prefix == f"nctl_{'a' * 16}_" + key.secret[22:26]
    assert key.last_four == key.secret[-4:]
    assert key.hash == hashlib.sha256(key.secret.encode()).hexdigest()
    assert key.secret not in repr(key)


@pytest.mark.parametrize(
    ("profile", "environment"), [("prod", "prod"), ("EU-1 staging", "eu1staging"), ("---", "live")]
)
def test_a_profile_names_the_environment(profile: str, environment: str) -> None:
    """Any profile's name makes a key that can be read again."""
    assert apikey.generate(profile, bytes(32)).environment == environment


def test_too_little_randomness_is_refused() -> None:
    """A caller that gives fewer bytes is wrong, and must not get a weak key."""
    with pytest.raises(ValueError, match="32 random bytes"):
        apikey.generate("live", bytes(31))
