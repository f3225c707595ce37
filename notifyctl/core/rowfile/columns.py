"""What the columns of a file are: each by its name, or as `--map` says; one that nobody knows is an error."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from typing import Any

from notifyctl.core.errors import UsageError
from notifyctl.core.rowfile.identity import LINE, OURS, REASON, ROW

VARIABLE = "var."
"""What stands before the name of a template's variable; a colon behind the name says that the cell is JSON."""
_IGNORED = (LINE, REASON)
_ALIKE = 0.6
_KEPT = 10_000
_DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'"}
_SHOWN = 60


class Columns:
    """Says which target a column is; `known` are the targets that there are. A target is asked for by its name.

    With `variables` there are also those of templates (`VARIABLE`). Raises UsageError for a `--map` that says none.
    """

    def __init__(self, known: Collection[str], maps: Sequence[str] = (), *, variables: bool = False) -> None:
        self._known = {_plain(each): each for each in known}
        self._variables = variables
        self._mapped: dict[str, str | None] = {}
        self._found: dict[str, str | None] = {}
        for text in maps:
            column, target = self._map(text)
            if column in self._mapped:
                raise UsageError(f"--map: {_shown(column)} is mapped twice", "map it once")
            self._mapped[column] = target

    def of_header(self, names: Sequence[str]) -> list[str | None]:
        """Return the target of each column, None for one that is left out. Raises UsageError."""
        for column in self._mapped:
            if column not in names:
                raise UsageError(f"--map: there is no column {_shown(column)}", f"there are: {', '.join(names)}"[:300])
        targets = [self.target(name) for name in names]
        once: dict[str, str] = {}
        for name, target in zip(names, targets, strict=True):
            if target is not None and (other := once.setdefault(target, name)) != name:
                raise UsageError(
                    f"the header: {_shown(other)} and {_shown(name)} are both {target}", "--map one of them"
                )
        return targets

    def target(self, name: str) -> str | None:
        """Return the target of one column. Raises UsageError, with the name that is probably meant."""
        if name in self._found:
            return self._found[name]
        found = self._mapped[name] if name in self._mapped else self._own(name)
        if len(self._found) < _KEPT and len(name) < _SHOWN:  # of NDJSON each row has names of its own
            self._found[name] = found
        return found

    def _own(self, name: str) -> str | None:
        if name in OURS:
            return None if name in _IGNORED else name
        target = self._meant(name)
        if target is None:
            raise self._unknown(name)
        return target

    def _meant(self, name: str) -> str | None:
        if self._variables and name.startswith(VARIABLE) and name.removeprefix(VARIABLE).removesuffix(":").strip():
            return name
        return self._known.get(_plain(name))

    def _map(self, text: str) -> tuple[str, str | None]:
        column, equals, target = text.rpartition("=")
        if not equals or not column:
            raise UsageError(f"--map {_shown(text)}: is no COLUMN=TARGET", "--map Name=var.name, or --map Note=")
        if not target:
            return column, None
        found = self._meant(target)
        if found is None:
            raise UsageError(f"--map {_shown(text)}: {self._nothing(target)}", self._all())
        return column, found

    def _unknown(self, name: str) -> UsageError:
        quoted = name if name.isidentifier() else f"'{name[:_SHOWN]}'"
        more = f", --map {quoted}={VARIABLE}NAME gives it to the template" if self._variables else ""
        hint = f"--map {quoted}= leaves it out{more}; {self._all()}"
        if (other := next((each for each in _DELIMITERS if each in name), None)) is not None:
            hint = f"--delimiter {_DELIMITERS[other]}, if that is what stands between the cells; {hint}"
        return UsageError(f"column {_shown(name)}: {self._nothing(name)}", hint)

    def _nothing(self, name: str) -> str:
        from difflib import get_close_matches

        alike = get_close_matches(_plain(name[:_SHOWN]), self._known, 1, _ALIKE)
        return "is unknown" + (f": probably {self._known[alike[0]]}" if alike else "")

    def _all(self) -> str:
        return f"there are: {', '.join([*self._known.values(), *([f'{VARIABLE}NAME'] if self._variables else [])])}"


def unfit_header(names: Sequence[str]) -> str | None:
    """Return what is wrong with the names of columns, whatever they mean, or None."""
    places: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if not name.strip():
            return f"the header: column {place} has no name"
        if (first := places.setdefault(name, place)) != place:
            return f"the header: {_shown(name)} is there twice, columns {first} and {place}"
    return None


def by_target(targets: Sequence[str | None], cells: Sequence[str]) -> dict[str, str]:
    """Return what cells say, by their columns' targets; an empty cell says nothing. There are as many of both."""
    said: dict[Any, str] = dict(compress(zip(targets, cells), cells))  # noqa: B905 - to be strict would take half of it
    said.pop(None, None)
    return said


def by_key(columns: Columns, values: Mapping[str, object]) -> dict[str, object]:
    """Return what an object says, by its keys' targets; null says nothing. Raises UsageError."""
    found: dict[str, object] = {}
    for name, value in values.items():
        target = columns.target(name)
        if target is None or value is None:
            continue
        if target in found:
            raise UsageError(f"{_shown(name)}: {target} is given twice", "give it once")
        found[target] = value
    return found


def kept(columns: Sequence[str] | None, cells: object) -> str | None:
    """Return the identity that a row brings along from a file of rejected rows, also where it cannot be read.

    None where the file is none, empty for a row of which nothing could be kept.
    """
    if isinstance(cells, Mapping):
        value = cells.get(ROW)
        return value if isinstance(value, str) else None
    if columns is None or ROW not in columns or not isinstance(cells, Sequence) or isinstance(cells, str):
        return None
    place = list(columns).index(ROW)
    return str(cells[place]) if place < len(cells) else ""


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
