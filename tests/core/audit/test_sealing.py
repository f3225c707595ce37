"""What authenticates the audit trail: every field counts, and none can be moved into another."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.audit.sealing import FIELDS, derived, encoded, mac_key_id, newest_key, row_mac, seal
from notifyctl.core.sealing import Keyring

KEY = derived("k1", bytes(range(64)))
ROW: dict[str, Any] = {name: f"{name}!" for name in FIELDS} | {"created_at": 1, "mac": None}
TEXTS = st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=5), max_size=5)


@given(TEXTS, TEXTS)
def test_no_two_lists_of_texts_are_the_same_bytes(one: list[str | None], other: list[str | None]) -> None:
    """NULL is not the empty text, and no boundary can be shifted."""
    assert (encoded(one) == encoded(other)) == (one == other)


def test_the_key_is_derived_as_the_standard_says() -> None:
    """HKDF-SHA256 of RFC 5869 without a salt, as another implementation has it."""
    by_library = HKDF(SHA256(), 32, None, b"notifyctl audit trail 1").derive(bytes(range(64)))
    assert KEY.secret == by_library
    assert newest_key(Keyring({"k2": bytes(64), "k1": bytes(range(64))})) == derived("k2", bytes(64))
    assert newest_key(Keyring({})) is None
    assert KEY.digest(b"x") == hmac.new(KEY.secret, b"x", hashlib.sha256).digest()
    assert KEY.secret.hex() not in repr(KEY)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("other", [None, "", "x"])
def test_every_field_counts(name: str, other: str | None) -> None:
    """Another value, an empty one and none give other MACs and other seals, all of them different."""
    rows = [ROW, {**ROW, name: other}]
    if other is None:
        rows.append({**ROW, name: ""})
    assert len({row_mac(KEY, row) for row in rows}) == len(rows)
    for key in (KEY, None):
        assert len({seal(key, 1, "", row, 5).value for row in rows}) == len(rows)


def test_a_seal_stands_at_its_place() -> None:
    """It depends on position, the seal before, the moment, the key and the row's own MAC."""
    seals = {
        seal(KEY, 1, "", ROW, 5).value,
        seal(KEY, 2, "", ROW, 5).value,
        seal(KEY, 1, "a", ROW, 5).value,
        seal(KEY, 1, "", ROW, 6).value,
        seal(KEY, 1, "", {**ROW, "mac": "m1.k1.x"}, 5).value,
        seal(derived("k2", bytes(range(64))), 1, "", ROW, 5).value,
        seal(None, 1, "", ROW, 5).value,
    }
    assert len(seals) == 7


def test_a_mac_names_its_key_and_fits_its_column() -> None:
    """By that a row can be checked when another key is the newest."""
    mac = row_mac(derived("abcdef", bytes(64)), ROW)
    assert (mac_key_id(mac), len(mac) <= 64) == ("abcdef", True)
    assert mac_key_id("v1.k1.x") is None and mac_key_id("") is None and mac_key_id("m1.k1.") is None
    padded = {**ROW, "resource_id": "ab"}
    assert row_mac(KEY, padded) == row_mac(KEY, {**padded, "resource_id": f"{'ab':<36}"})
