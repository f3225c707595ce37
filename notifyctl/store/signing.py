"""The keys that sign: random, made when first used, and kept sealed.

What was signed stays valid when the encryption key is another: that only opens them.
"""

from __future__ import annotations

import secrets
import uuid

from sqlalchemy import select

from notifyctl.core.sealing import Keyring, Place
from notifyctl.core.unsubscribe import SigningKey
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import signing_keys

SECRET_BYTES = 32
_k = signing_keys.c


def find(tx: Tx, keyring: Keyring, purpose: str) -> SigningKey | None:
    """Return the key for a purpose, if one was made. Raises NotAllowed where no encryption key opens it."""
    row = tx.execute(select(_k.id, _k.secret).where(_k.purpose == purpose)).first()
    return None if row is None else SigningKey(row.id, bytes.fromhex(keyring.open(row.secret, _place(row.id))))


def find_or_make(tx: Tx, keyring: Keyring, purpose: str) -> SigningKey:
    """Return the key for a purpose, made now where there is none. Raises NotAllowed without an encryption key.

    Of several that make one at a time, the first one's stands: the others wait for it, and get it.
    """
    found = find(tx, keyring, purpose)
    if found is not None:
        return found
    id_, secret = str(uuid.uuid4()), secrets.token_hex(SECRET_BYTES)
    row = {"id": id_, "purpose": purpose, "secret": keyring.seal(secret, _place(id_)), "created_at": tx.now}
    made = tx.dialect.insert(signing_keys).values(row).on_conflict_do_nothing().returning(_k.id)
    if tx.execute(made).first() is None:
        found = find(tx, keyring, purpose)
        assert found is not None  # noqa: S101 - whoever was first has committed it
        return found
    tx.audit("create", "signing_key", [(id_, {"purpose": purpose})])
    return SigningKey(id_, bytes.fromhex(secret))


def _place(id_: str) -> Place:
    return Place("signing_keys", id_, "secret")
