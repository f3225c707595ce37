"""Secrets that may be found nowhere, and the search for them in every encoding in which they could leak."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy import inspect, literal_column, select
from sqlalchemy import table as sql_table

from notifyctl.store.db.database import Database

# What is made of secrets on the way: signed assertions, and access tokens as Google's look.
_DERIVED = {"assertion": re.compile(r"eyJ[\w-]{20,}\.[\w-]{20,}\.[\w-]{20,}"), "access token": re.compile(r"ya29\.\w+")}


def encodings(secret: bytes) -> dict[str, str]:
    """Return the texts by which a secret would be recognised, by the name of the encoding."""
    text = secret.decode("utf-8", "surrogateescape")
    found = {
        "plain": text,
        "JSON": json.dumps(text, ensure_ascii=False)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(text))[3:-3],
        "URL": quote(secret, safe=""),
        "URL, slashes kept": quote(secret),
        "form": quote_plus(secret),
        "Python": repr(text)[1:-1],
        "Python bytes": repr(secret)[2:-1],
        "hex": secret.hex(),
        "HEX": secret.hex().upper(),
    }
    for shift in range(3):  # after 0, 1 or 2 other bytes, as in "user:secret"
        standard, urlsafe = (
            encode(bytes(shift) + secret).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)
        )
        # The first and last characters depend on the neighbours.
        inner = slice(4 if shift else 0, len(standard) - 4)
        found[f"base64 +{shift}"], found[f"base64url +{shift}"] = standard[inner], urlsafe[inner]
    return found


@dataclass
class Canaries:
    """The secrets of a test, by name. Add them as they come to be; search at the end, when all are known."""

    secrets: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, secret: str | bytes) -> str:
        """Take note of a secret, and return it as text."""
        raw = secret.encode() if isinstance(secret, str) else secret
        assert len(raw) >= 12, "too short to be recognised"
        self.secrets[name] = raw
        return raw.decode("utf-8", "surrogateescape")

    def found_in(self, text: str, allowed: Iterable[str] = ()) -> list[str]:
        """Return which secrets are in a text, and how they are written there; `allowed` names those that may be."""
        hits = [
            f"{name} ({encoding})"
            for name, secret in self.secrets.items()
            if name not in allowed
            for encoding, needle in encodings(secret).items()
            if needle in text
        ]
        return hits + [name for name, pattern in _DERIVED.items() if pattern.search(text)]

    def leaks(self, places: Mapping[str, str]) -> dict[str, list[str]]:
        """Return the places in which secrets were found, and which."""
        return {place: hits for place, text in places.items() if (hits := self.found_in(text))}


def contents(database: Database) -> dict[str, str]:
    """Return every column of every table, as text, by its name; for SQLite also the files as they are on disk."""
    places: dict[str, str] = {}
    with database.read() as tx:
        for name in inspect(tx.conn).get_table_names():
            rows = tx.execute(select(literal_column("*")).select_from(sql_table(name))).mappings().all()
            for column in rows[0] if rows else ():
                places[f"{name}.{column}"] = "\n".join(str(row[column]) for row in rows)
    if database.path is not None:
        for file in sorted(database.path.parent.glob(f"{database.path.name}*")):
            places[f"file {file.name}"] = file.read_bytes().decode("latin-1")
    return places


def arguments(pid: int) -> dict[str, str]:
    """Return what everybody can read of a process and its descendants in the process list, by process."""
    places: dict[str, str] = {}
    waiting = [pid]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            places[f"arguments of {process.name}"] = (process / "cmdline").read_text().replace("\x00", " ")
            for task in (process / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return places
