"""Commands on many notifications: which were chosen, and the result for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from notifyctl.core.errors import Conflict, NotAllowed, NotFound, NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import Verdict
from notifyctl.store.selections import PAST, PERHAPS_SENT, Pick

__all__ = ["PAST", "PERHAPS_SENT", "Acted", "Selection"]

Found = TypeVar("Found")

SAMPLES = 3
SKIPPED = "skipped"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a filter chose: the ids are fixed from here on. `oldest` and `newest` are milliseconds since the epoch."""

    ids: tuple[str, ...]
    people: int
    split: Mapping[str, Mapping[str, int]]
    oldest: int | None
    newest: int | None
    samples: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Acted:
    """The result for one id: `result` is `cancelled`, `retried` and so on, `skipped` or `failed`; `detail` says why.

    `error` is set where it failed. `new_id` is the copy that was made. `stands` is what will stop what is to be sent,
    `remark` a warning of that, where it is the only one.
    """

    id: str
    result: str
    detail: str | None = None
    error: NotifyctlError | None = None
    new_id: str | None = None
    stands: Verdict = None
    remark: str | None = None

    @property
    def code(self) -> str | None:
        """The machine-readable reason why it failed."""
        return None if self.error is None else self.error.code

    @property
    def done(self) -> bool:
        """Whether the act was done."""
        return self.error is None and self.result != SKIPPED


def selection(picks: Sequence[Pick], reason: str, channel: str = "channel", provider: str = "provider") -> Selection:
    """Return the picks as they are shown before the act; what their parts are called, if not so, is said."""
    return Selection(
        ids=tuple(pick.id for pick in picks),
        people=len({pick.username for pick in picks}),
        split={
            channel: _counts(pick.channel for pick in picks),
            provider: _counts(pick.provider for pick in picks),
            reason: _counts(pick.reason for pick in picks),
        },
        oldest=min((pick.at for pick in picks), default=None),
        newest=max((pick.at for pick in picks), default=None),
        samples=_spread(picks),
    )


class Standing(Conflict):
    """An objection that also holds for what a filter chose: it is a failure, where others would only be skipped."""


def split(
    chosen: Sequence[str],
    found: Mapping[str, Found],
    objection: Callable[[Found], NotifyctlError | None],
    what: str,
    *,
    by_filter: bool,
) -> tuple[list[Found], dict[str, Acted]]:
    """Return the rows that may be acted on, and the results for the other ids.

    What a filter chose and is no longer as the filter said is skipped; what was named, or is not allowed, has failed.
    `what` names such a thing.
    """
    may, others = [], {}
    for id_ in dict.fromkeys(chosen):
        row = found.get(id_)
        error = NotFound(f"there is no {what} {id_}") if row is None else objection(row)
        if row is not None and error is None:
            may.append(row)
        elif error is not None:
            passed_over = by_filter and not isinstance(error, Standing | NotAllowed)
            others[id_] = Acted(id_, SKIPPED, error.message) if passed_over else failed(id_, error)
    return may, others


def in_order(chosen: Sequence[str], done: set[str], result: str, others: Mapping[str, Acted]) -> list[Acted]:
    """Return the result for each id, in the order in which they were chosen."""
    lost = Conflict("something else changed it at this moment", "look at it and repeat")
    return [
        others.get(id_) or (Acted(id_, result) if id_ in done else failed(id_, lost)) for id_ in dict.fromkeys(chosen)
    ]


def failed(id_: str, error: NotifyctlError) -> Acted:
    """Return that it could not be done."""
    return Acted(id_, FAILED, error.message, error)


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _spread(picks: Sequence[Pick]) -> tuple[Pick, ...]:
    if len(picks) <= SAMPLES:
        return tuple(picks)
    step = (len(picks) - 1) / (SAMPLES - 1)
    return tuple(picks[round(index * step)] for index in range(SAMPLES))
