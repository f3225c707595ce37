"""Acting on many: what was chosen, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from notifyctl.core.errors import NotFound, NotifyctlError
from notifyctl.store.picks import Pick

SAMPLES = 3


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
    """What became of one id. `result` is the act's word, `skipped` or `failed`; `detail` says why not.

    `error` is set where it failed. `new_id` is the copy that was made.
    """

    id: str
    result: str
    detail: str | None = None
    error: NotifyctlError | None = None
    new_id: str | None = None

    @property
    def done(self) -> bool:
        """Whether the act was done."""
        return self.error is None and self.result != SKIPPED


SKIPPED = "skipped"
FAILED = "failed"


def selection(picks: Sequence[Pick], reason: str) -> Selection:
    """Return the picks as they are shown before the act; `reason` is what their reason is called."""
    return Selection(
        ids=tuple(pick.id for pick in picks),
        people=len({pick.username for pick in picks}),
        split={
            "channel": _counts(pick.channel for pick in picks),
            "provider": _counts(pick.provider for pick in picks),
            reason: _counts(pick.reason for pick in picks),
        },
        oldest=min((pick.at for pick in picks), default=None),
        newest=max((pick.at for pick in picks), default=None),
        samples=_spread(picks),
    )


def failed(id_: str, error: NotifyctlError) -> Acted:
    """Return that it could not be done."""
    return Acted(id_, FAILED, error.message, error)


def skipped(id_: str, why: str) -> Acted:
    """Return that it was chosen by a filter that no longer holds."""
    return Acted(id_, SKIPPED, why)


def changed(id_: str, error: NotifyctlError, *, by_filter: bool) -> Acted:
    """Return that its state does not allow the act: news if a filter chose it, a failure if it was named."""
    return skipped(id_, error.message) if by_filter else failed(id_, error)


def gone(id_: str, what: str, *, by_filter: bool) -> Acted:
    """Return that there is no such thing, or no longer."""
    return changed(id_, NotFound(f"there is no {what} {id_}"), by_filter=by_filter)


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _spread(picks: Sequence[Pick]) -> tuple[Pick, ...]:
    if len(picks) <= SAMPLES:
        return tuple(picks)
    step = (len(picks) - 1) / (SAMPLES - 1)
    return tuple(picks[round(index * step)] for index in range(SAMPLES))
