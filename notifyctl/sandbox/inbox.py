"""What the sandbox received: a request as it is logged, and the last messages, kept in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from notifyctl.core.frozen import dataclass
from notifyctl.sandbox.exchange import IncomingRequest

KEPT = 1_000
KEPT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A request and its answer; `status` is None when it got no answer, `fault` None when nothing went wrong.

    `checks`: the message was only to be checked.
    """

    number: int
    provider: str
    call: IncomingRequest
    recipient: str | None
    notification_id: str | None
    status: int | None
    fault: str | None
    checks: bool = False

    def line(self) -> dict[str, Any]:
        """Return it as it is logged, secrets left out."""
        return {
            "time": int(self.call.now * 1000),
            "provider": self.provider,
            "method": self.call.method,
            "path": self.call.path,
            "status": self.status,
            "fault": self.fault,
            "notification_id": self.notification_id,
            "recipient": self.recipient,
            "headers": _redacted(self.call),
            "body": _body(self.provider, self.call),
        }


class Inbox:
    """The last messages: `KEPT` of them, and no more than `KEPT_BYTES` of bodies, but always the last one.

    Counted are all that came: `messages` to be sent, `checks` that were only to be checked, and `questions`.
    """

    def __init__(self) -> None:
        self.messages = self.checks = self.questions = 0
        self._received: deque[Received] = deque()
        self._bytes = 0

    def add(self, received: Received) -> None:
        """Keep a message; the oldest leave when there are too many."""
        if received.checks:
            self.checks += 1
        else:
            self.messages += 1
        self._received.append(received)
        self._bytes += len(received.call.body)
        while len(self._received) > 1 and (len(self._received) > KEPT or self._bytes > KEPT_BYTES):
            self._bytes -= len(self._received.popleft().call.body)

    def find(self, number: int) -> Received | None:
        """Return the message of that number, None when it is not kept (any more)."""
        return next((received for received in self._received if received.number == number), None)

    def newest(self) -> Iterator[Received]:
        """Return all of them, the newest first."""
        return reversed(self._received)

    def __len__(self) -> int:
        return len(self._received)


def _redacted(call: IncomingRequest) -> dict[str, str]:
    headers = dict(call.headers)
    if "authorization" in headers:
        headers["authorization"] = headers["authorization"].partition(" ")[0] + " ***"
    return headers


def _body(provider: str, call: IncomingRequest) -> Any:
    text = call.body.decode(errors="replace")
    # Whoever has the assertion gets a token.
    return {"grant_type": parse_qs(text).get("grant_type", [None])[0]} if provider == "token" else text
