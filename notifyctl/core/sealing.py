"""Secrets at rest: AES-SIV, bound to their row and column.

A sealed value is `v1.KID.BASE64URL`. AES-SIV (RFC 5297) is deterministic and misuse-resistant: it needs no nonce and
adds 16 bytes, so that sealed values fit the columns of the schema. The associated data `table|row id|column` makes a
value that was copied to another row or column undecryptable.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from notifyctl.core.errors import EncryptionKeyAway, NotAllowed, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES = 64
KID_CHARS = 6
_KID = pattern(rf"[a-z0-9]{{1,{KID_CHARS}}}")
_ENVELOPE = pattern(rf"v1\.([a-z0-9]{{1,{KID_CHARS}}})\.[A-Za-z0-9_-]{{22,}}")
_CREDENTIALS = ("provider_configs", "notification_webhooks")
_SEALED_NOTHING = pattern(r"v1\.[a-z0-9]{1,6}\.[A-Za-z0-9_-]{22}")  # the cipher's own 16 bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value is stored; a value opens nowhere else."""

    table: str
    row_id: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of {self.row_id}"

    def associated_data(self) -> bytes:
        """Return what the cipher binds."""
        return f"{self.table}|{self.row_id}|{self.column}".encode()


class Keyring:
    """Encryption keys by id: the first seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)})"

    @property
    def keys(self) -> Mapping[str, bytes]:
        """The keys by their ids, the one that seals first."""
        return self._keys

    def find(self, kid: str) -> bytes | None:
        """Return the key of that id."""
        return self.keys.get(kid)

    def seal(self, plain: str, place: Place, width: int | None = None) -> str:
        """Return the sealed value; `width` is the column's, in characters. Raises UsageError when it does not fit.

        What fits does so whatever key seals it next: room is kept for the longest id.
        """
        return self.seal_bytes(plain.encode(), place, width)

    def seal_bytes(self, secret: bytes, place: Place, width: int | None = None) -> str:
        """Do the same for a secret that is no text."""
        kid, key = next(iter(self.keys.items()), (None, b""))
        if kid is None:
            raise no_keys()
        if width is not None and len(secret) > (room := (width - len("v1..") - KID_CHARS) * 3 // 4 - 16):
            raise UsageError(f"{place.column} is too long: {len(secret)} bytes, at most {room} fit")
        return f"v1.{kid}.{_encoded(_cipher(key).encrypt(secret, [place.associated_data()]))}"

    def open(self, sealed: str, place: Place) -> str:
        """Return the secret. Raises NotAllowed, naming the row, where it does not open; EncryptionKeyAway for a key."""
        try:
            return self.open_bytes(sealed, place).decode()
        except UnicodeDecodeError as error:
            raise _damaged(place, sealed) from error

    def open_bytes(self, sealed: str, place: Place) -> bytes:
        """Do the same for a secret that is no text."""
        from cryptography.exceptions import InvalidTag

        version, _, rest = sealed.partition(".")
        kid, _, body = rest.partition(".")
        if version != "v1" or not body:
            raise NotAllowed(f"{place} is not a sealed value", "enter the credential again")
        key = self.find(kid)
        if key is None:
            raise EncryptionKeyAway(f"{place} needs encryption key {kid!r}, which is not here", _KEYS_HINT)
        try:
            return _cipher(key).decrypt(_decoded(body), [place.associated_data()])
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise _damaged(place, sealed) from error


def _damaged(place: Place, sealed: str) -> NotAllowed:
    kid = sealed.split(".")[1]
    remedy = "enter the credential again" if place.table in _CREDENTIALS else "notifyctl secrets status says what helps"
    return NotAllowed(
        f"{place} does not open with encryption key {kid!r}",
        f"another key has that id, or the value was moved or damaged: {remedy}",
    )


_KEYS_HINT = "set NOTIFYCTL_ENCRYPTION_KEYS_FILE to the file with it, newest first"


def no_keys() -> NotAllowed:
    """Return the error for sealing without a key."""
    return NotAllowed("there is no encryption key to keep a credential with", "notifyctl secrets generate-key --save")


def parse_keys(text: str, origin: str) -> Keyring:
    """Return the keys of `kid:base64,...` (commas or lines), newest first. Raises UsageError without showing a key."""
    keys: dict[str, bytes] = {}
    for number, item in enumerate(filter(None, re.split(r"[,\s]+", text.strip())), 1):
        kid, _, encoded = item.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not _KID.fullmatch(kid) or len(key) != KEY_BYTES:
            raise UsageError(
                f"{origin}: key {number} is not kid:base64 (kid: 1 to 6 of a-z 0-9; base64 of {KEY_BYTES} bytes)",
                "notifyctl secrets generate-key",
            )
        if kid in keys:
            raise UsageError(f"{origin}: two keys have the id {kid!r}")
        keys[kid] = key
    return Keyring(keys)


def format_key(kid: str, key: bytes) -> str:
    """Return `kid:base64` of a 64-byte key. Raises UsageError for what is no id of a key."""
    if not _KID.fullmatch(kid):
        raise UsageError(f"{kid!r} is no id of a key", "it is 1 to 6 of a-z 0-9")
    return f"{kid}:{base64.b64encode(key).decode()}"


def is_kid(text: object) -> bool:
    """Return whether something may be the id of a key."""
    return isinstance(text, str) and _KID.fullmatch(text) is not None


def kid_of(value: str | None) -> str | None:
    """Return the id of the key that sealed a stored value; None for one that is not sealed."""
    found = _ENVELOPE.fullmatch(value or "")
    return None if found is None else found[1]


def holds_secret(sealed: str | None) -> bool:
    """Return whether a stored value, sealed or not, is more than an empty text; no key is needed to know that."""
    return sealed is not None and sealed != "" and not _SEALED_NOTHING.fullmatch(sealed)


def _cipher(key: bytes) -> AESSIV:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    return AESSIV(key)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
