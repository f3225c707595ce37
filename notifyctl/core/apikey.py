"""API keys: `nctl_ENVIRONMENT_` + 43 base62 characters of 32 random bytes + 6 of their CRC32.

The checksum, as in GitHub's tokens, lets a typing error be told from an unknown key and lets scanners recognise a
leaked one; it is no security. Stored are the SHA-256, a readable beginning and the last four characters.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import field

from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern

RANDOM_BYTES = 32
DEFAULT_ENVIRONMENT = "live"

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY = 43  # 62 ** 43 > 2 ** 256
_CHECK = 6  # 62 ** 6 > 2 ** 32
_SHOWN = 4
_ENVIRONMENT_MAX = 16
_WRITTEN = pattern(
    rf"nctl_(?P<environment>[a-z0-9]{{1,{_ENVIRONMENT_MAX}}})_[0-9A-Za-z]{{{_BODY}}}(?P<check>[0-9A-Za-z]{{{_CHECK}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key. `secret` is the whole of it."""

    secret: str = field(repr=False)
    environment: str

    @property
    def hash(self) -> str:
        """What is stored instead of the key."""
        return hash_of(self.secret)

    @property
    def prefix(self) -> str:
        """The readable beginning: `nctl_ENVIRONMENT_` and four characters, at most 26."""
        return self.secret[: len(f"nctl_{self.environment}_") + _SHOWN]

    @property
    def last_four(self) -> str:
        """The last four characters."""
        return self.secret[-4:]


def generate(environment: str, random: bytes) -> ApiKey:
    """Return the key of 32 random bytes; raise ValueError for another number of them."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an API key is made of {RANDOM_BYTES} random bytes")
    name = environment_of(environment)
    begin = f"nctl_{name}_{_base62(int.from_bytes(random), _BODY)}"
    return ApiKey(begin + checksum(begin), name)


def parse(text: str) -> ApiKey | None:
    """Return the key that `text` is; None when it is none, or was mistyped."""
    match = _WRITTEN.fullmatch(text)
    if match is None or checksum(text[:-_CHECK]) != match["check"]:
        return None
    return ApiKey(text, match["environment"])


def looks_like_one(text: str) -> bool:
    """Return whether somebody meant `text` to be an API key, mistyped or not."""
    return text.startswith("nctl_")


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a key, in hex: the key has 256 random bits, so that a slow hash would add nothing."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def checksum(begin: str) -> str:
    """Return the CRC32 of all that stands before it, as 6 base62 characters."""
    return _base62(zlib.crc32(begin.encode()), _CHECK)


def environment_of(name: str) -> str:
    """Return `name` as it may stand in a key: a-z and 0-9, 1 to 16 of them."""
    return re.sub(r"[^a-z0-9]", "", name.lower())[:_ENVIRONMENT_MAX] or DEFAULT_ENVIRONMENT


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(width, _ALPHABET[0])
