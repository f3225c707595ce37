"""One delivery as it was claimed, what its receiver said, and what becomes of it."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import encode, stored
from notifyctl.core.text import one_line
from notifyctl.core.webhook.schedule import is_given_up, wait_ms

KEPT = 20
"""How many attempts are kept of a delivery, the last ones."""
LONGEST_PROBLEM = 200
GONE = 410
ASKS_FOR_LESS = frozenset({429, 502, 503, 504})
GIVEN_UP, DISABLED = "given_up", "disabled"
"""Why a delivery is not tried any more."""


class Delivery(NamedTuple):
    """A delivery that was claimed, with what is needed of its webhook. Times are milliseconds since the epoch.

    `attempt` counts from 1, `due_at` is when it was due, `attempts` are the past ones as they are stored. Where the
    receiver asked for less the last time (`slowed`), this one is a probe. `more`: it is the last one that was taken of
    its receiver's, for which more is due. A tuple: one for each attempt.
    """

    id: str
    webhook_id: str
    notification_id: str
    payload: str
    attempts: str | None
    attempt: int
    due_at: int
    created_at: int
    url: str
    secret_key: str
    previous_secret: str | None
    previous_secret_ends: int | None
    retry_count: int
    timeout_seconds: int
    slowed: int
    lease_id: str
    lease_ms: int
    more: int

    @property
    def probe(self) -> bool:
        """Whether it is to find out whether a receiver that asked for less still does."""
        return self.slowed > 0


@dataclass(frozen=True, slots=True)
class HookCall:
    """One attempt: `body` goes out as it is, signed at `at_s` (since the epoch) by each of the secrets.

    `timeout_s` is the deadline for everything: name, connection, TLS, answer.
    """

    url: str = field(repr=False)
    webhook_id: str
    body: bytes = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    at_s: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class HookReply:
    """What came of an attempt that began `at` (milliseconds since the epoch) and took `ms`.

    `status` is None where there was no answer; then `problem` says why, without more of the URL than its host.
    `probe`: it was to find out whether a receiver that asked for less still does. `counts` is False where it says
    nothing of the receiver: a proxy on the way lets nobody through.
    """

    at: int
    ms: int
    status: int | None = None
    body: str | None = None
    retry_after_ms: int | None = None
    problem: str | None = None
    probe: bool = False
    counts: bool = True

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it: any 2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == GONE

    @property
    def asks_for_less(self) -> bool:
        """Whether it, or what stands before it, has too much to do."""
        return self.status in ASKS_FOR_LESS


class Settlement(NamedTuple):
    """What is written of a delivery after an attempt; its fields behind `fence` are columns."""

    id: str
    fence: str
    response_status: int | None
    response_body: str | None
    attempts: str
    delivered: bool
    delivered_at: int | None
    next_retry_at: int | None
    ended: str | None


def settled(of: Delivery, reply: HookReply, now: int, chance: float) -> Settlement:
    """Return what becomes of a delivery; `chance` (0 to 1) spreads the wait for the next attempt."""
    said = (of.id, of.lease_id, reply.status, reply.body, past_with(of.attempts, reply))
    if reply.is_success:
        return Settlement(*said, delivered=True, delivered_at=now, next_retry_at=None, ended=None)
    given_up = is_given_up(of.attempt, of.retry_count)
    again = None if given_up else now + wait_ms(of.attempt, chance, reply.retry_after_ms)
    return Settlement(
        *said, delivered=False, delivered_at=None, next_retry_at=again, ended=GIVEN_UP if given_up else None
    )


def past_with(attempts: str | None, reply: HookReply) -> str:
    """Return the past attempts and this one, as they are stored: the last ones."""
    return encode([*past(attempts), _entry(reply)][-KEPT:]).decode()


def past(attempts: str | None) -> list[dict[str, Any]]:
    """Return the past attempts: `at`, `ms`, and `status` or `problem`; of what cannot be read nothing."""
    return [each for each in stored(attempts, list[Any]()) if isinstance(each, dict)]


def _entry(reply: HookReply) -> dict[str, Any]:
    said: dict[str, Any] = {"at": reply.at, "ms": reply.ms}
    if reply.status is not None:
        return {**said, "status": reply.status}
    return {**said, "problem": one_line(reply.problem or "no answer")[:LONGEST_PROBLEM]}
