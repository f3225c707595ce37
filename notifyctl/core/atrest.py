"""Addresses at rest: sealed, and found by a keyed hash of the form by which they are compared.

While the hash's key is exchanged, or addresses begin or cease to be sealed, each is looked for in both ways. HMAC is
that of RFC 2104, with SHA-256, of which 144 bits are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection
from functools import reduce
from typing import Any, NamedTuple

from notifyctl.core import history
from notifyctl.core.sealing import Place
from notifyctl.core.spelling import without
from notifyctl.core.suppression import AddressKey

BEGINNING = "#"
HASH_BYTES = 18
SECRET_BYTES = 32


class AddressLookup(NamedTuple):
    """One way to find addresses: by a hash with a key; without a `secret` by the form in which they are compared."""

    generation: int
    secret: bytes | None = None

    @property
    def hashes(self) -> bool:
        """Whether it finds them by a hash; then addresses are sealed."""
        return self.secret is not None

    @property
    def beginning(self) -> str:
        """What all hashes of this key begin with, and no others."""
        return f"{BEGINNING}{self.generation}."

    def form(self, key: AddressKey) -> str:
        """Return what an address is found by."""
        if self.secret is None:
            return key.folded
        digest = hmac.digest(self.secret, f"{key.channel}|{key.folded}".encode(), hashlib.sha256)
        return self.beginning + base64.urlsafe_b64encode(digest[:HASH_BYTES]).decode()


class AddressLookups(NamedTuple):
    """How addresses are found: by what is written now, and by what was `before`, as long as there may be such."""

    now: AddressLookup
    before: AddressLookup | None = None

    @property
    def are_being_sealed(self) -> bool:
        """Whether some are sealed and some may not be yet."""
        return self.now.hashes and self.before is not None and not self.before.hashes

    @property
    def are_plain(self) -> bool:
        """Whether all addresses are as people write them."""
        return not self.now.hashes and self.before is None

    def forms(self, key: AddressKey) -> tuple[str, ...]:
        """Return all that an address may be found by."""
        return (self.now.form(key),) if self.before is None else (self.now.form(key), self.before.form(key))

    def form_before(self, key: AddressKey) -> str | None:
        """Return what an address is also found by, for rows that were not written anew."""
        return None if self.before is None else self.before.form(key)


PLAIN = AddressLookups(AddressLookup(0))
"""How addresses are found where none are sealed."""


def place(user_id: str, channel: str) -> Place:
    """Return what the sealed address of a user's on a channel is bound to, wherever a copy of it stands."""
    return Place("contact_points", f"{user_id}/{channel}", "address")


def without_those(past: str | None, kept: Collection[str | None] = ()) -> str | None:
    """Return stored attempts without the addresses to which they went, but for those that are `kept`."""
    gone = went_to(past).difference(kept)
    if not gone:
        return past
    entries = history.parse(past)
    return history.written([{name: _less(gone, value) for name, value in each.items()} for each in entries])


def went_to(past: str | None) -> set[str]:
    """Return the addresses to which stored attempts went."""
    return {each["address"] for each in history.parse(past) if isinstance(each.get("address"), str)}


def _less(gone: Collection[str], value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return None if value in gone else reduce(lambda text, address: without(address, text), gone, value)
