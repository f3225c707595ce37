"""The registry of encrypted columns: what is sealed anew when the encryption key changes.

A column that is not here would be lost with the key that sealed it: a test looks for such.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Table

from notifyctl.core.frozen import dataclass
from notifyctl.core.provider import SERVICE_ACCOUNT
from notifyctl.core.sealing import Place
from notifyctl.store.schema.tables import (
    address_lookups,
    contact_points,
    notification_webhooks,
    notifications,
    provider_configs,
    signing_keys,
    suppressions,
)


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column whose values are sealed to the id of their row; `known_by` says to people which row that is.

    `member`: the column holds a JSON object, of which only this member is sealed. `owner` is what a value is bound to
    where that is not its row, `home` the column that it is a copy of. `may_be_clear`: only some values are sealed.
    """

    column: Column[Any]
    known_by: Column[Any]
    member: str | None = None
    owner: ColumnElement[str] | None = None
    home: Column[Any] | None = None
    may_be_clear: bool = False

    @property
    def table(self) -> Table:
        """The table it is in."""
        found = self.column.table
        assert isinstance(found, Table)  # noqa: S101 - no alias is registered
        return found

    @property
    def waits(self) -> bool:
        """Whether rows are changed one at a time, as others read and write them whole under a lock of their own."""
        return self.table is provider_configs

    @property
    def name(self) -> str:
        """The column's name for people, with its table's."""
        return f"{self.table.name}.{self.column.name}"

    @property
    def width(self) -> int | None:
        """How many characters a sealed value may have; None for any number."""
        found: int | None = getattr(self.column.type, "length", None)
        return found

    @property
    def bound_to(self) -> ColumnElement[str]:
        """What a value is bound to: its row's id, or its owner."""
        return self.table.c.id if self.owner is None else self.owner

    def place(self, bound_to: str) -> Place:
        """Return the place of a value."""
        home = self.column if self.home is None else self.home
        return Place(home.table.name, bound_to, home.name)


_c, _n = contact_points.c, notifications.c
_PROVIDER = provider_configs.c.provider_name
SEALED = (
    SealedColumn(provider_configs.c.api_key, _PROVIDER),
    SealedColumn(provider_configs.c.api_secret, _PROVIDER),
    SealedColumn(provider_configs.c.config_json, _PROVIDER, SERVICE_ACCOUNT),
    SealedColumn(signing_keys.c.secret, signing_keys.c.purpose),
    SealedColumn(notification_webhooks.c.secret_key, notification_webhooks.c.name),
    SealedColumn(notification_webhooks.c.previous_secret, notification_webhooks.c.name),
    SealedColumn(address_lookups.c.secret, address_lookups.c.generation),
    SealedColumn(_c.address, _c.id, owner=_c.user_id + "/" + _c.channel, may_be_clear=True),
    SealedColumn(suppressions.c.written, suppressions.c.id, may_be_clear=True),
    SealedColumn(_n.sent_to, _n.id, owner=_n.user_id + "/" + _n.message_type, home=_c.address, may_be_clear=True),
)
