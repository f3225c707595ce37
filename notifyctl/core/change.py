"""The changes that a notification can undergo: sent, retried, buried, cancelled, put off and so on.

A change says what the columns of its names become; `store.queue.apply` makes the statements of that. It holds only
where the row still has the status BEFORE and the lease that `of` was read with, so that nobody who lost a lease
overwrites what happened since. After it the status is AFTER and, but for KEEPS_LEASE, there is no lease. What else
follows from it stands here as facts, and `store.queue.follow` does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from notifyctl.core.audit.words import Action
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Category, Channel, Status
from notifyctl.core.suppression import Refusal


class Subject(Protocol):
    """The notification that a change is about, as it was when it was read.

    `lease_id` is that of its lease, None without one: the change holds only while the row still has it. `metric_at` is
    the moment whose hour counts it in the metrics.
    """

    # ruff: noqa: D102
    @property
    def id(self) -> str: ...
    @property
    def lease_id(self) -> str | None: ...
    @property
    def provider(self) -> str: ...
    @property
    def channel(self) -> Channel: ...
    @property
    def metric_at(self) -> int: ...


class Row(NamedTuple):
    """A subject that holds no more than a subject must."""

    id: str
    lease_id: str | None
    provider: str
    channel: Channel
    metric_at: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit trail says of a change of a notification: `changes` has old and new values, or other facts."""

    action: Action
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one notification; its fields are columns, but for those that `ASIDE` names. Times are milliseconds.

    KEEPS: columns that stay as they are where the value is None. CLEARS: columns that become NULL.
    """

    BEFORE: ClassVar[Status] = Status.PENDING
    AFTER: ClassVar[Status] = Status.PENDING
    KEEPS: ClassVar[tuple[str, ...]] = ()
    CLEARS: ClassVar[tuple[str, ...]] = ()
    ASIDE: ClassVar[tuple[str, ...]] = ("of",)
    KEEPS_LEASE: ClassVar[bool] = False

    of: Subject

    @property
    def recounts(self) -> bool:
        """Whether the metrics of the hour to which it belongs are to be counted again."""
        return self.BEFORE is not self.AFTER

    @property
    def wakes_at(self) -> int | None:
        """When it is due, where dispatchers do not know that of themselves."""
        return None

    @property
    def uncounts(self) -> bool:
        """Whether what its claim counted for its user's cap is taken back: it did not go out, for all that is known."""
        return False

    @property
    def is_in_doubt(self) -> bool:
        """Whether the attempt may have gone out although nobody said so."""
        return False

    @property
    def refusals(self) -> Sequence[Refusal]:
        """The addresses that must not be written to any more."""
        return ()

    @property
    def audit(self) -> Audit | None:
        """What the audit trail says of it; None for what dispatchers do all the time."""
        return None


@dataclass(frozen=True, slots=True)
class Sent(Change):
    """A provider accepted it. `receipt_due_at` is when to ask it whether the message was delivered.

    `refusals` are those who were to get a copy and do not.
    """

    AFTER: ClassVar[Status] = Status.SENT
    CLEARS: ClassVar[tuple[str, ...]] = ("error_message",)
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "refusals")

    sent_at: int
    provider_message_id: str | None
    provider_response: str | None
    receipt_due_at: int | None = None
    refusals: Sequence[Refusal] = ()


@dataclass(frozen=True, slots=True)
class Retry(Change):
    """Another attempt is made at `due_at`, by `provider`. `attempt_count` is what counts from now on.

    `in_doubt`: the one before may have gone out.
    """

    KEEPS: ClassVar[tuple[str, ...]] = ("provider_response",)
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "in_doubt")

    due_at: int
    attempt_count: int
    error_message: str
    provider_response: str | None
    retry_history: str
    fails_over: bool
    provider: str
    in_doubt: bool = False

    @property
    def uncounts(self) -> bool:
        """Unless it may have gone out."""
        return not self.in_doubt

    @property
    def is_in_doubt(self) -> bool:
        """Where the one before may have."""
        return self.in_doubt


@dataclass(frozen=True, slots=True)
class Bury(Change):
    """It will not be tried again by itself, and becomes a dead letter of that category."""

    AFTER: ClassVar[Status] = Status.FAILED
    KEEPS: ClassVar[tuple[str, ...]] = ("provider_response",)
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "category", "refusals")

    failed_at: int
    attempt_count: int
    last_attempted: int | None
    error_message: str
    provider_response: str | None
    retry_history: str | None
    fails_over: bool
    category: Category
    refusals: Sequence[Refusal] = ()

    @property
    def uncounts(self) -> bool:
        """Unless it may have gone out."""
        return not self.is_in_doubt

    @property
    def is_in_doubt(self) -> bool:
        """Where that is why."""
        return self.category is Category.OUTCOME_UNKNOWN


@dataclass(frozen=True, slots=True)
class Cancel(Change):
    """It shall not be sent: by policy, or an operator said so (`by_operator`)."""

    AFTER: ClassVar[Status] = Status.CANCELLED
    CLEARS: ClassVar[tuple[str, ...]] = ("parked_at",)
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "by_operator")

    error_message: str
    attempt_count: int
    last_attempted: int | None
    retry_history: str | None
    fails_over: bool
    by_operator: bool = False

    @property
    def audit(self) -> Audit | None:
        """What an operator did."""
        return Audit("cancel", {"status": [self.BEFORE.value, self.AFTER.value]}) if self.by_operator else None


@dataclass(frozen=True, slots=True)
class Defer(Change):
    """Put off until `due_at`, without an attempt. `deferred_by` is the rule that did, which may be loosened."""

    due_at: int
    error_message: str
    attempt_count: int
    last_attempted: int | None
    retry_history: str | None
    fails_over: bool
    deferred_by: str | None = None


@dataclass(frozen=True, slots=True)
class Wake(Change):
    """The rule that had put it off was loosened: it is due, and judged anew."""

    CLEARS: ClassVar[tuple[str, ...]] = ("deferred_by", "error_message")

    due_at: int

    @property
    def wakes_at(self) -> int | None:
        """At once."""
        return self.due_at


@dataclass(frozen=True, slots=True)
class Park(Change):
    """Its template or batch is held back: it leaves the queue until that ends, without an attempt; its time stays."""

    parked_at: int
    attempt_count: int
    last_attempted: int | None
    retry_history: str | None
    fails_over: bool


@dataclass(frozen=True, slots=True)
class Release(Change):
    """No call was begun: the attempt and the place in the queue are given back."""

    due_at: int
    attempt_count: int
    last_attempted: int | None

    @property
    def uncounts(self) -> bool:
        """Nothing went out."""
        return True


@dataclass(frozen=True, slots=True)
class Remember(Change):
    """A new history for a notification that stays leased: its earlier attempt was lost, or its provider changed."""

    KEEPS_LEASE: ClassVar[bool] = True

    retry_history: str | None


@dataclass(frozen=True, slots=True)
class Reschedule(Change):
    """An operator moved it to another time; `before` is the old `send_at`. `is_critical` None leaves that as it is."""

    KEEPS: ClassVar[tuple[str, ...]] = ("is_critical",)
    CLEARS: ClassVar[tuple[str, ...]] = ("deferred_by",)
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "before")

    send_at: int
    due_at: int
    retry_history: str | None
    fails_over: bool
    before: int | None
    is_critical: bool | None = None

    @property
    def recounts(self) -> bool:
        """It leaves its hour."""
        return True

    @property
    def wakes_at(self) -> int | None:
        """The new moment."""
        return self.due_at

    @property
    def audit(self) -> Audit | None:
        """The old and the new moment."""
        more = {} if self.is_critical is None else {"is_critical": self.is_critical}
        return Audit("reschedule", {"send_at": [self.before, self.send_at], **more})


@dataclass(frozen=True, slots=True)
class Restore(Change):
    """An operator took a cancellation back: it is due when it was, at `due_at`."""

    BEFORE: ClassVar[Status] = Status.CANCELLED
    CLEARS: ClassVar[tuple[str, ...]] = ("error_message",)

    due_at: int

    @property
    def wakes_at(self) -> int | None:
        """The old moment."""
        return self.due_at

    @property
    def audit(self) -> Audit | None:
        """What an operator did."""
        return Audit("restore", {"status": [self.BEFORE.value, self.AFTER.value]})


@dataclass(frozen=True, slots=True)
class Requeue(Change):
    """An operator took it out of the dead letters, where it was for `failure_reason`.

    `template_version` is another version of its template, from which it is rendered now.
    """

    BEFORE: ClassVar[Status] = Status.FAILED
    KEEPS: ClassVar[tuple[str, ...]] = ("template_version",)
    CLEARS: ClassVar[tuple[str, ...]] = ("failed_at", "error_message")
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "failure_reason")

    due_at: int
    max_retries: int
    retry_history: str
    failure_reason: str
    template_version: int | None = None

    @property
    def wakes_at(self) -> int | None:
        """When it is tried."""
        return self.due_at

    @property
    def audit(self) -> Audit | None:
        """Why it had failed."""
        more = {} if self.template_version is None else {"template_version": self.template_version}
        return Audit("retry", {"failure_reason": self.failure_reason, **more})


@dataclass(frozen=True, slots=True)
class Confirm(Change):
    """A receipt answered an attempt of which nobody knew what came: `provider` had taken it, and it is sent."""

    AFTER: ClassVar[Status] = Status.SENT
    KEEPS: ClassVar[tuple[str, ...]] = ("provider_message_id", "attempt_count", "last_attempted")
    CLEARS: ClassVar[tuple[str, ...]] = ("error_message", "failed_at")
    ASIDE: ClassVar[tuple[str, ...]] = ("of", "said")

    provider: str
    sent_at: int
    provider_message_id: str | None
    retry_history: str
    attempt_count: int | None = None
    last_attempted: int | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmFailed(Confirm):
    """The same of one that had become a dead letter."""

    BEFORE: ClassVar[Status] = Status.FAILED

    @property
    def audit(self) -> Audit | None:
        """What said so; the letter is gone with it."""
        return Audit("confirm", {"status": [self.BEFORE.value, self.AFTER.value], "receipt": self.said})


@dataclass(frozen=True, slots=True)
class ConfirmCancelled(ConfirmFailed):
    """The same of one that was cancelled when it had gone out already: to restore it would send it twice."""

    BEFORE: ClassVar[Status] = Status.CANCELLED


@dataclass(frozen=True, slots=True)
class Acknowledge(Change):
    """Receipts said that it was delivered or bounced."""

    BEFORE: ClassVar[Status] = Status.SENT
    AFTER: ClassVar[Status] = Status.SENT
    delivered_at: int | None
    bounced_at: int | None
    receipt: str | None
    receipt_due_at: int | None

    @property
    def recounts(self) -> bool:
        """What is only on its way changes no number."""
        return self.delivered_at is not None or self.bounced_at is not None
