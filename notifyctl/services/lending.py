"""Submitting on a connection to a SQLite file that is an application's: the planner works in its transaction."""

from __future__ import annotations

import getpass
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy

from notifyctl.core import content
from notifyctl.core.application import Accepted, Submission, at_place, milliseconds, require_plain
from notifyctl.core.audit.sealing import EMBEDDED
from notifyctl.core.batch import BatchSource
from notifyctl.core.errors import NotifyctlError, SchemaMismatch, UsageError
from notifyctl.core.model import Actor, Channel
from notifyctl.core.submission import Draft, Former, Plan
from notifyctl.services.planning import Planned, SubmissionTerms, plan_all, store_all
from notifyctl.store import batches
from notifyctl.store.db.database import only_writer
from notifyctl.store.db.lent import lent, plain_cursor
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.version import SCHEMA_VERSION

_LOCKED = dict[int, Any]()
"""The connections whose transactions stand under the lock, by their identity."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGIN = "connection.execute('BEGIN IMMEDIATE') within notifyctl.locked"


@contextmanager
def locked(connection: Any) -> Iterator[None]:
    """Hold the lock that orders all who write to the connection's file. Raises as `embedding.locked`."""
    driver = _driver(connection)
    if id(driver) in _LOCKED:
        yield
        return
    if driver.in_transaction and _begins_by_itself(driver) is not True:
        raise UsageError("the transaction began before the lock", "enter notifyctl.locked first")
    with only_writer(_file(driver)):
        _LOCKED[id(driver)] = driver
        try:
            yield
        finally:
            del _LOCKED[id(driver)]
        if _is_open(connection, driver):
            raise UsageError("the transaction is still open where the lock ends", "commit it within notifyctl.locked")


def submit(connection: Any, submissions: Sequence[Submission]) -> list[Accepted]:
    """Submit them in the connection's transaction. Raises as `embedding.submit`."""
    driver = _driver(connection)
    if id(driver) not in _LOCKED:
        raise UsageError("on SQLite others may be writing", "with notifyctl.locked(connection): around the transaction")
    if not driver.in_transaction and _begins_by_itself(driver) is False:
        raise UsageError("there is no transaction: the connection commits each statement by itself", _BEGIN)
    if isinstance(connection, sqlalchemy.Connection):
        connection.execute(sqlalchemy.text("SELECT 1"))  # or its commit() would not know of anything to commit
    drafts = _drafts(submissions)
    with lent(driver, Actor(agent=f"{EMBEDDED} {_person()}", name=_person())) as tx:
        _require_version(tx)
        return _stored(tx, drafts)


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container knows numbers alone
        return str(os.getuid())


def _drafts(submissions: Sequence[Submission]) -> list[Draft]:
    drafts = list[Draft]()
    for place, each in enumerate(submissions, 1):
        try:
            drafts.append(_draft(each))
        except NotifyctlError as error:
            raise at_place(error, place, len(submissions)) from error
    return drafts


def _draft(submission: Submission) -> Draft:
    require_plain(submission)
    channel = _channel(submission.channel)
    send_at = None if submission.send_at is None else (submission.send_at - _EPOCH) // timedelta(milliseconds=1)
    return Draft(
        user=submission.user,
        channel=channel,
        payload=_payload(channel, submission),
        key=str(uuid.uuid4()) if submission.key is None else submission.key,
        provider=submission.provider,
        send_at=send_at,
        delay_ms=milliseconds(submission.delay),
        expires_in_ms=milliseconds(submission.expires_in),
        max_retries=submission.max_retries,
        template=submission.template,
        category=submission.category,
        critical=submission.critical,
    )


def _payload(channel: Channel, submission: Submission) -> dict[str, Any]:
    if submission.template is not None:
        return content.of_template(channel, submission.variables or {}, data=submission.content or {})
    if submission.content is None:
        raise UsageError("there is nothing to send", "content, or the name of a template")
    if submission.variables is not None:
        raise UsageError("variables go with a template", 'template="NAME"')
    return content.build(channel, data=submission.content)


def _channel(name: str) -> Channel:
    try:
        return Channel(name)
    except ValueError:
        raise UsageError(f"channel: {name!r} is none", "email, sms or push") from None


def _stored(tx: Tx, drafts: Sequence[Draft]) -> list[Accepted]:
    ids = [str(uuid.uuid4()) for _ in drafts]
    planned = plan_all(tx, drafts, ids, SubmissionTerms())
    _require(planned)
    plans = [each for each in planned if isinstance(each, Plan)]
    if plans and len(drafts) > 1:
        batch, _ = batches.opened(tx, None, BatchSource.APPLICATION)
        plans = [each._replace(row=each.row._replace(batch_id=batch.id)) for each in plans]
    became = store_all(tx, plans)
    _require(list(became.values()))
    return [_accepted(each, new_id) for each, new_id in zip(planned, ids, strict=True)]


def _require(planned: Sequence[Planned]) -> None:
    for place, each in enumerate(planned, 1):
        if isinstance(each, NotifyctlError):
            raise at_place(each, place, len(planned))


def _accepted(planned: Planned, new_id: str) -> Accepted:
    return Accepted(planned.id, deduplicated=True) if isinstance(planned, Former) else Accepted(new_id, False)


def _require_version(tx: Tx) -> None:
    found = tx.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    if found != SCHEMA_VERSION:
        raise SchemaMismatch(f"the database has schema {found or 'none'}, this program needs {SCHEMA_VERSION}")


def _driver(connection: Any) -> sqlite3.Connection:
    if isinstance(connection, sqlite3.Connection):
        return connection
    found = connection.connection.driver_connection
    if isinstance(found, sqlite3.Connection):
        return found
    raise TypeError(f"{type(found).__qualname__} is no connection of sqlite3")


def _begins_by_itself(driver: sqlite3.Connection) -> bool | None:
    """Return True where there is always a transaction (PEP 249), False where there is none until BEGIN.

    None: one begins with the first change. Source: the `sqlite3` module, "Transaction control"; `autocommit` is new in
    Python 3.12.
    """
    mode = getattr(driver, "autocommit", -1)
    if isinstance(mode, bool):
        return not mode
    return False if driver.isolation_level is None else None


def _is_open(connection: Any, driver: sqlite3.Connection) -> bool:
    given_back = isinstance(connection, sqlalchemy.Connection) and connection.closed
    return not given_back and driver.in_transaction and _begins_by_itself(driver) is not True


def _file(driver: sqlite3.Connection) -> Path:
    factory, driver.text_factory = driver.text_factory, str
    try:
        found = plain_cursor(driver).execute("PRAGMA database_list").fetchall()
    finally:
        driver.text_factory = factory
    path = next((file for _, name, file in found if name == "main"), "")
    if not path:
        raise UsageError("the connection's database is no file", "notifyctl's database on SQLite is a file")
    return Path(path)
