"""How the changes of a fixture are shown: records for programs, a diff for people."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from notifyctl.cli.output import Field, FieldKind
from notifyctl.core.fixtures.changes import ChangeAction, FixtureChange
from notifyctl.core.frozen import dataclass

CHANGES = (
    Field("kind", title="KIND"),
    Field("name", title="NAME"),
    Field("action", title="ACTION"),
    Field("fields", FieldKind.JSON, "FIELDS"),
    Field("id", FieldKind.ID),
)
_SIGNS = {
    ChangeAction.CREATE: "+",
    ChangeAction.UPDATE: "~",
    ChangeAction.DELETE: "-",
    ChangeAction.REVOKE: "-",
}
_DONE = {
    ChangeAction.CREATE: "created",
    ChangeAction.UPDATE: "changed",
    ChangeAction.DELETE: "deleted",
    ChangeAction.REVOKE: "revoked",
}


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A change as programs read it: `fields` are `[old, new]` by name; `id` is None for what is new."""

    kind: str
    name: str
    action: str
    fields: Mapping[str, Any]
    id: str | None


def shown(change: FixtureChange) -> ShownChange:
    """Return a change as a record."""
    fields = {name: list(pair) for name, pair in change.fields.items()}
    name = " ".join(each for each in change.key if each)
    return ShownChange(change.kind.name, name, change.action.value, fields, change.stored.id if change.stored else None)


def diff(change: FixtureChange) -> str:
    """Return a change as people read it: what it is of, and each field below."""
    return "\n".join([f"{_SIGNS[change.action]} {change.name}", *_fields(change)])


def summary(done: Any, *, dry: bool) -> str:
    """Return what was done, in one line."""
    counts = Counter(_DONE[each.action] for each in done.changes)
    told = [f"{counts[word]:,} {word}" for word in _DONE.values() if counts[word]] + [f"{done.unchanged:,} unchanged"]
    if done.woken:
        told.append(f"{count_of(done.woken, 'deferred notification')} due again")
    ending = "; nothing was done" if dry else ""
    return f"{'would be: ' if dry and done.changes else ''}{', '.join(told)}{ending}"


def count_of(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _fields(change: FixtureChange) -> Iterator[str]:
    width = max(map(len, change.fields), default=0)
    for name, (old, new) in change.fields.items():
        if "\n" in str(old or "") or "\n" in str(new or ""):
            yield f"    {name}"
            yield from _lines(str(old or ""), str(new or ""))
        elif change.action is ChangeAction.CREATE:
            yield f"    {name:<{width}}  {_text(new)}"
        else:
            yield f"    {name:<{width}}  {_text(old)} -> {_text(new)}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(old: str, new: str) -> Iterator[str]:
    told = difflib.unified_diff(old.splitlines(), new.splitlines(), n=2, lineterm="")
    return (f"      {line}" for line in list(told)[2:])
