"""Who a rehearsed import would have stored by now, in a temporary file: its database takes every portion back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from notifyctl.core.model import Channel
from notifyctl.services.rowfiles.scratch import scratch
from notifyctl.store.users import User


class Newcomers:
    """Keeps users with their contact points, by name and by e-mail address."""

    def __init__(self) -> None:
        self._file = scratch(
            "CREATE TABLE people (username TEXT PRIMARY KEY, email TEXT, said TEXT) WITHOUT ROWID",
            "CREATE INDEX by_email ON people (email)",
        )

    def keep(self, people: Iterable[tuple[User, set[tuple[Channel, str]]]]) -> None:
        """Keep what they are now."""
        rows = [(user.username, user.email, json.dumps([asdict(user), sorted(points)])) for user, points in people]
        self._file.executemany("INSERT OR REPLACE INTO people VALUES (?, ?, ?)", rows)

    def of(self, usernames: Iterable[str], emails: Iterable[str]) -> Iterator[tuple[User, set[tuple[Channel, str]]]]:
        """Yield those with one of these names or addresses."""
        asked = {"names": json.dumps(list(usernames)), "emails": json.dumps(list(emails))}
        for (said,) in self._file.execute(_ASKED, asked):
            user, points = json.loads(said)
            yield User(**user), {(Channel(channel), address) for channel, address in points}

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


_ASKED = (
    "SELECT said FROM people WHERE username IN (SELECT value FROM json_each(:names))"
    " UNION SELECT said FROM people WHERE email IN (SELECT value FROM json_each(:emails))"
)
