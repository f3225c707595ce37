"""How the trail is kept from being changed unseen: a MAC for each row, and a chain of seals over them.

What is authenticated is the stored text of a row's fields, each with its length before it, so that no two rows are the
same bytes, and NULL is not the empty text. Not among them is `user_id`, which the deletion of a user rewrites: the
snapshot of the actor stands for it.

A MAC is HMAC-SHA256 (RFC 2104). Its key is derived from an encryption key (HKDF, RFC 5869), so that whoever can write
to the database alone can make none; its key's id is in the row. Seals are made the same way, each over its place, the
seal before it and the row; where there is no encryption key they are plain SHA-256, and only anchors protect them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

from notifyctl.core.frozen import dataclass
from notifyctl.core.sealing import Keyring, is_kid

FIELDS = (
    "id",
    "action",
    "resource_type",
    "resource_id",
    "actor_id",
    "actor",
    "key_id",
    "ip_address",
    "user_agent",
    "reason",
    "changes",
    "created_at",
)
IN_SQL = "notifyctl_submit"
EMBEDDED = "notifyctl.submit"
"""How the user agents of submissions by applications begin, which have no key: in SQL, and in Python on SQLite."""
_KINDS = tuple((name, name.endswith("id")) for name in FIELDS)
_ROW = "notifyctl audit row 1"
_SEAL = "notifyctl audit seal 1"
_INFO = b"notifyctl audit trail 1"


@dataclass(frozen=True, slots=True)
class MacKey:
    """A key that authenticates; `id` is that of the encryption key that it was derived from."""

    id: str
    secret: bytes = field(repr=False)

    @property
    def mark(self) -> str:
        """A few digits that tell it from another key which was given the same id."""
        return self.digest(b"mark").hex()[:12]

    def digest(self, data: bytes) -> bytes:
        """Return the MAC of data."""
        return hmac.digest(self.secret, data, "sha256")


class KnownKeys(NamedTuple):
    """Keys that authenticate, by the id of the encryption key.

    `closed` are ids of those that were kept and are lacking: none here opens them. Without any key here all are.
    """

    found: Mapping[str, list[MacKey]]
    closed: set[str]

    def get(self, kid: str) -> Sequence[MacKey]:
        """Return the keys that have an id."""
        return self.found.get(kid, ())

    def lacks(self, kid: str) -> bool:
        """Return whether there was a key of that id which is not here."""
        return kid in self.closed or (not self.found and is_kid(kid))


class Seal(NamedTuple):
    """One link of the chain: which row stands at a position. `key_id` is None where it is a plain digest.

    `value` is in hex, `sealed_at` in milliseconds since the epoch.
    """

    position: int
    audit_id: str
    key_id: str | None
    value: str
    sealed_at: int


class Anchor(NamedTuple):
    """What was noted of the chain outside of the database: the seal at a position; `at` is in milliseconds."""

    position: int
    value: str
    at: int


def derived(kid: str, encryption_key: bytes) -> MacKey:
    """Return the key that authenticates, of an encryption key."""
    extracted = hmac.digest(bytes(hashlib.sha256().digest_size), encryption_key, "sha256")
    return MacKey(kid, hmac.digest(extracted, _INFO + b"\x01", "sha256"))


def newest_key(keyring: Keyring) -> MacKey | None:
    """Return the key that writers use; None without encryption keys."""
    return next((derived(*each) for each in keyring.keys.items()), None)


def row_mac(key: MacKey, row: Mapping[str, Any]) -> str:
    """Return the MAC of a row, `m1.KEY.BASE64URL`, by its fields."""
    return body_mac(key, body(row))


def body_mac(key: MacKey, said: bytes) -> str:
    """Return the MAC of a row, by its `body`."""
    digest = key.digest(encoded((_ROW, key.id)) + said)
    return f"m1.{key.id}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def mac_key_id(mac: object) -> str | None:
    """Return which key a MAC says that it was made with; None for what is no MAC."""
    if not isinstance(mac, str):
        return None
    version, _, rest = mac.partition(".")
    kid, _, value = rest.partition(".")
    return kid if version == "m1" and kid and value else None


def seal(key: MacKey | None, position: int, before: str, row: Mapping[str, Any], sealed_at: int) -> Seal:
    """Return the seal of a row at a position, after the seal `before`; the first one has none before it: empty."""
    value = seal_value(key, position, before, row["mac"], body(row), sealed_at)
    return Seal(position, row["id"], None if key is None else key.id, value, sealed_at)


def is_same(made: str, found: object) -> bool:
    """Return whether what is stored, whatever that is, is the MAC or the seal that was made."""
    return isinstance(found, str) and hmac.compare_digest(made.encode(), found.encode("utf-8", "surrogatepass"))


def seal_value(key: MacKey | None, position: int, before: str, mac: str | None, said: bytes, sealed_at: int) -> str:
    """Return what a seal is, in hex, of a row's MAC and `body`."""
    kid = None if key is None else key.id
    place = encoded((_SEAL, kid, str(position), before, str(sealed_at), mac))
    return hashlib.sha256(place + said).hexdigest() if key is None else key.digest(place + said).hex()


def body(row: Mapping[str, Any]) -> bytes:
    """Return what is authenticated of a row's fields."""
    # A column of fixed width gives shorter values back with blanks.
    return encoded(
        value.rstrip(" ") if is_id and isinstance(value, str) else value if value is None else _said(value)
        for value, is_id in ((row[name], is_id) for name, is_id in _KINDS)
    )


def _said(value: object) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def encoded(texts: Iterable[str | bytes | None]) -> bytes:
    """Return texts as bytes that no other texts have; SQLite holds bytes in columns of text as well."""
    parts = []
    for text in texts:
        if text is None:
            parts.append(b"\x00")
        elif isinstance(text, bytes):
            parts.append(b"\x02" + len(text).to_bytes(8, "big") + text)
        else:
            raw = text.encode("utf-8", "surrogatepass")
            parts.append(b"\x01" + len(raw).to_bytes(8, "big") + raw)
    return b"".join(parts)
