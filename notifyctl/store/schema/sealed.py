"""The registry of encrypted columns: what is sealed anew when the encryption key changes.

A column that is not here would be lost with the key that sealed it: a test looks for such.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table

from notifyctl.core.frozen import dataclass
from notifyctl.core.provider import SERVICE_ACCOUNT
from notifyctl.core.sealing import Place
from notifyctl.store.schema.tables import notification_webhooks, provider_configs, signing_keys


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column whose values are sealed to the id of their row; `known_by` says to people which row that is.

    `member`: the column holds a JSON object, of which only this member is sealed.
    """

    column: Column[Any]
    known_by: Column[Any]
    member: str | None = None

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

    def place(self, row_id: str) -> Place:
        """Return what the value of a row is bound to."""
        return Place(self.table.name, row_id, self.column.name)


_PROVIDER = provider_configs.c.provider_name
SEALED = (
    SealedColumn(provider_configs.c.api_key, _PROVIDER),
    SealedColumn(provider_configs.c.api_secret, _PROVIDER),
    SealedColumn(provider_configs.c.config_json, _PROVIDER, SERVICE_ACCOUNT),
    SealedColumn(signing_keys.c.secret, signing_keys.c.purpose),
    SealedColumn(notification_webhooks.c.secret_key, notification_webhooks.c.name),
    SealedColumn(notification_webhooks.c.previous_secret, notification_webhooks.c.name),
)
