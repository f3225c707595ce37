"""Opening the addresses of what was leased, where they are sealed; elsewhere nothing is asked and nothing done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from notifyctl.core.atrest import PLAIN, AddressLookups, without_those
from notifyctl.core.content import InvalidPayload
from notifyctl.core.errors import EncryptionKeyAway, NotAllowed
from notifyctl.core.frozen import dataclass
from notifyctl.core.triage import Due, SealedElsewhere
from notifyctl.store import lookups
from notifyctl.store.db.tx import Tx


@dataclass(frozen=True, slots=True)
class Opened:
    """Rows with their addresses as people write them. `known` says how suppressions are found.

    `closed` says of rows, by their ids, why their address did not open: it was damaged, or its key is only on other
    hosts. `sealed` are those whose address is sealed, or may be from now on. Of an earlier claim's address nothing is
    kept that was sealed.
    """

    due: Sequence[Due]
    known: AddressLookups = PLAIN
    closed: Mapping[str, InvalidPayload | SealedElsewhere] = field(default_factory=dict)
    sealed: frozenset[str] = frozenset()


def opened(tx: Tx, due: Sequence[Due]) -> Opened:
    """Open the addresses of rows. Raises NotAllowed where the encryption keys for that are not here."""
    if not due or not due[0].keyed:
        return Opened(due)
    known, closed, rows = lookups.read(tx), dict[str, InvalidPayload | SealedElsewhere](), list[Due]()
    moves = known.are_being_sealed
    for row in due:
        address = row.address
        try:
            address = None if address is None else lookups.opened(tx, row.user_id, row.message_type, address)
        except EncryptionKeyAway as error:
            address, closed[row.id] = None, SealedElsewhere(error.message)
        except NotAllowed as error:
            address, closed[row.id] = None, InvalidPayload(error.message)
        sent_to = None if moves or lookups.is_sealed(row.sent_to) else row.sent_to
        # What is written from this claim's memory was perhaps taken out of the row by then.
        past = without_those(row.retry_history) if moves else row.retry_history
        rows.append(row._replace(address=address, sent_to=sent_to, retry_history=past))
    return Opened(rows, known, closed, frozenset(row.id for row in due if moves or lookups.is_sealed(row.address)))
