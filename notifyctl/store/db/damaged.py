"""Text that is none: SQLite keeps whatever bytes somebody wrote as text, and its driver refuses to read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from notifyctl.store.db.dialect import SQLITE
from notifyctl.store.db.tx import Tx


@contextmanager
def any_text(tx: Tx) -> Iterator[None]:
    """Read such text meanwhile, each byte that belongs to no character as a lone surrogate (PEP 383)."""
    driver = tx.conn.connection.driver_connection if tx.dialect is SQLITE else None
    if driver is None:
        yield
        return
    before, driver.text_factory = driver.text_factory, _decoded
    try:
        yield
    finally:
        driver.text_factory = before


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
