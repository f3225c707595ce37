"""Receivers of webhooks on loopback, and what they were told."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from notifyctl.core.sealing import Keyring, parse_keys
from notifyctl.core.webhook import keeping, signing
from notifyctl.core.webhook.webhook import PREVIOUS_SECRET
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.scripted import Answer, Asked, Scripted, reply
from tests.support.world import KEYS

RING = parse_keys(KEYS, "the tests")
SECRET, OLD = bytes(range(24)), bytes(range(100, 124))


@dataclass(frozen=True)
class Told:
    """One request: when it came (monotonic seconds), the event's id and what it says; `wrong` is why it is not to be
    believed."""

    at: float
    id: str
    event: dict[str, Any]
    wrong: str | None


class Receiver:
    """Listens from `with` on. `answers` may be exchanged at any time: from a request to a status, or to an answer.

    Its clock is `ahead_s` ahead of this machine's.
    """

    def __init__(self, answers: Callable[[Asked], int | Answer] = lambda _: 200) -> None:
        self.answers = answers
        self.told: list[Told] = []
        self.server = Scripted(self._script)
        self.secrets = [SECRET]
        self.ahead_s = 0.0

    def __enter__(self) -> Receiver:
        self.server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.__exit__(*error)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.server.url}/hook"

    def ids(self) -> Counter[str]:
        """Return how often each event came."""
        return Counter(each.id for each in self.told)

    def events(self) -> list[str]:
        """Return the kinds of events, in the order in which they came."""
        return [each.event["type"].removeprefix("notification.") for each in self.told]

    def _script(self, asked: Asked) -> Answer:
        wrong = signing.objection(asked.headers, asked.body, self.secrets, time.time() + self.ahead_s)
        self.told.append(Told(time.monotonic(), asked.headers["webhook-id"], json.loads(asked.body), wrong))
        answer = self.answers(asked)
        return reply(answer) if isinstance(answer, int) else answer


def webhook(db: Database, user_id: str, url: str, ring: Keyring = RING, **values: Any) -> str:
    """Write a webhook that is signed by SECRET, and return its id; `previous` is a secret that signs as well."""
    id_ = seed.webhook(db, user_id, url)
    previous = values.pop("previous", None)
    sealed = {"secret_key": keeping.sealed(ring, SECRET, keeping.place(id_)), **values}
    if previous is not None:
        sealed["previous_secret"] = keeping.sealed(ring, previous, keeping.place(id_, PREVIOUS_SECRET))
    seed.change_webhook(db, id_, **sealed)
    return id_
