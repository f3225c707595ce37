"""One transaction: the one door for statements and for audit rows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import Connection, CursorResult, Executable, Table, insert, select
from sqlalchemy.sql.selectable import TypedReturnsRows

from notifyctl.core.audit.masking import masked, masked_text
from notifyctl.core.audit.sealing import MacKey, row_mac
from notifyctl.core.audit.words import Action, Resource
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Actor
from notifyctl.core.sealing import Keyring
from notifyctl.store.db.dialect import Dialect
from notifyctl.store.db.functions import epoch_ms
from notifyctl.store.db.hot import Hot, as_sqlalchemy, fetch
from notifyctl.store.schema.tables import audit_logs

if TYPE_CHECKING:
    from notifyctl.core.webhook.offer import Offer

R = TypeVar("R")
Values = TypeVarTuple("Values")

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

Changed = Sequence[tuple[str | None, Mapping[str, Any]]]
"""Changed resources: the id of each, and `{"field": [old, new]}` or other facts; `core.audit.masking` masks them."""

FindMacKey = Callable[[], MacKey | None]
"""Returns the key by which audit rows are authenticated; None where there is none."""

FindKeyring = Callable[[], Keyring]
"""Returns the encryption keys. Raises a NotifyctlError where they cannot be read."""


_AUDITING = insert(audit_logs)


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction of `actor`'s. `now` is the moment that decides what is due, in milliseconds since the epoch.

    Where there is a server it is its clock at the transaction's beginning. `mac_key` is asked when a row is audited.
    `stores`: what it does is committed when it has ended, and it is no rehearsal. `keyring` opens sealed addresses;
    None on a connection that is somebody else's: there they stay sealed. `offer`: what of the deliveries that it makes
    whoever runs it takes at once.
    """

    conn: Connection
    dialect: Dialect
    now: int
    actor: Actor
    mac_key: FindMacKey = field(default=lambda: None)
    stores: bool = True
    keyring: FindKeyring | None = None
    offer: Offer | None = None

    @overload
    def execute(
        self, statement: TypedReturnsRows[*Values], parameters: Parameters | None = None
    ) -> CursorResult[*Values]: ...

    @overload
    def execute(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[*tuple[Any, ...]]: ...

    def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement."""
        return self.conn.execute(statement, parameters)

    def rows(self, statement: Hot[R], parameters: Mapping[str, Any]) -> list[R]:
        """Run a statement of the dispatch loop below SQLAlchemy and return its rows."""
        return fetch(self.conn, self.dialect, statement, parameters)

    def insert_many(self, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], unique: str) -> int:
        """Insert very many rows, but for those whose value of `unique` is there already; return how many.

        Below SQLAlchemy: values go to the driver as they are.
        """
        try:
            return self.dialect.insert_many(self.conn, table, columns, rows, unique)
        except Exception as error:
            raise as_sqlalchemy(self.conn, f"INSERT INTO {table.name}", error) from error

    def audit(self, action: Action, resource_type: Resource, changed: Changed) -> None:
        """Write what was done to resources into the audit trail, one row for each."""
        if changed:
            key = self.mac_key()
            self.conn.execute(_AUDITING, [self._entry(key, action, resource_type, *each) for each in changed])

    def serialize(self, name: str) -> None:
        """Let one transaction at a time pass this point for `name`; released when the transaction ends."""
        self.dialect.serialize(self.conn, name)

    def as_of_now(self) -> Tx:
        """Return the same transaction, seen from the moment by now: after it has waited for a lock."""
        return self if self.dialect.one_writer else self.at(self.execute(select(epoch_ms())).scalar_one())

    def notify(self, channel: str, payloads: Sequence[str]) -> None:
        """Tell those who listen to a channel each of the payloads, when the transaction commits."""
        self.dialect.notify(self.conn, channel, payloads)

    def offering(self, offer: Offer | None) -> Tx:
        """Return the same transaction, of whose deliveries somebody takes some at once; None: nobody."""
        if offer is None:
            return self
        offer.begin()
        return replace(self, offer=offer)

    def at(self, moment: int) -> Tx:
        """Return the same transaction, seen from another moment (milliseconds since the epoch)."""
        return replace(self, now=moment)

    def _entry(
        self, key: MacKey | None, action: str, resource_type: str, resource_id: str | None, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        actor = self.actor
        row = {
            "id": str(uuid.uuid4()),
            "user_id": actor.user_id,
            "action": action,
            "resource_type": resource_type,
            "resource_id": resource_id,
            "actor_id": actor.user_id,
            "actor": actor.name,
            "key_id": actor.key_id,
            "ip_address": actor.ip_address,
            "user_agent": actor.agent,
            "reason": actor.reason and masked_text(actor.reason),
            "changes": json.dumps(masked(changes), ensure_ascii=False, separators=(",", ":"), default=str),
            "created_at": self.now,
        }
        return {**row, "mac": None if key is None else row_mac(key, row)}
