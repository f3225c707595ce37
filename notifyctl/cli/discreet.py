"""Output of which nobody learns an address who may not see any: an API key without the scope `users:read`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notifyctl.cli.output import Field, Output
from notifyctl.core.discretion import discreet, discreet_record, discreet_text, unreserved
from notifyctl.core.errors import NotifyctlError

if TYPE_CHECKING:
    from rich.text import Text

    from notifyctl.cli.exportforms import ExportColumn


class DiscreetRow:
    """A record of which addresses can be read in outline only, whatever reads it."""

    __slots__ = ("_as_seen", "_row")

    def __init__(self, row: Any, as_seen: Callable[[str, Any], Any] = discreet) -> None:
        self._row, self._as_seen = row, as_seen

    def __getattr__(self, name: str) -> Any:
        return self._as_seen(name, getattr(self._row, name))


class DiscreetOutput(Output):
    """Output that shows addresses unless `hides` says that they are to be hidden.

    `is_for_few`: whoever it is for may see no address of people, so that at least none stands in free words.
    """

    def __init__(self, form: str | None, hides: Callable[[], bool], is_for_few: Callable[[], bool], **how: Any) -> None:
        super().__init__(form, **how)
        self.hides, self.is_for_few = hides, is_for_few

    def row(self, row: Any) -> Any:
        """Return a record as it may be seen."""
        if self.hides():
            return DiscreetRow(row)
        return DiscreetRow(row, unreserved) if self.is_for_few() else row

    def columns(self, of: Sequence[ExportColumn]) -> Sequence[ExportColumn]:
        """Return the columns of an export as they may be seen."""
        return [_discreet_column(each) for each in of] if self.hides() else of

    def error(self, error: NotifyctlError) -> NotifyctlError:
        """Return an error as it may be seen."""
        if self.hides():
            error.message = discreet_text(error.message)
            error.hint = error.hint and discreet_text(error.hint)
            error.problems = [(discreet_text(line), discreet("", facts)) for line, facts in error.problems]
        return error

    def say(self, text: str) -> None:
        """Tell the person something that is not data."""
        super().say(discreet_text(text) if self.is_for_few() else text)

    def write(self, text: str) -> None:
        """Write a line of data."""
        super().write(self._seen(text))

    def write_exactly(self, text: str) -> None:
        """Write data, no line end added."""
        super().write_exactly(self._seen(text))

    def document(self, value: Any) -> None:
        """Write one document."""
        if self.hides():
            value = discreet_record(value) if isinstance(value, Mapping) else discreet("", value)
        super().document(value)

    def records(self, rows: Iterable[Any], fields: Sequence[Field], *, id_name: str = "id") -> None:
        """Write many records."""
        super().records(map(self.row, rows), fields, id_name=id_name)

    def _record(self, row: Any, fields: Sequence[Field], id_name: str) -> None:
        super()._record(self.row(row), fields, id_name)

    def rich_lines(self, lines: Iterable[Text]) -> None:
        """Print rich lines."""
        super().rich_lines(self.lines(lines))

    def lines(self, lines: Iterable[Text]) -> list[Text]:
        """Return rich lines as they may be seen."""
        return [_discreet_line(each) for each in lines] if self.hides() else list(lines)

    def _seen(self, text: str) -> str:
        return discreet_text(text) if self.hides() else text


def _discreet_line(line: Text) -> Text:
    """Return a line as it is, with its styles, or without them where something had to be hidden."""
    seen = discreet_text(line.plain)
    return line if seen == line.plain else type(line)(seen)


def _discreet_column(column: ExportColumn) -> ExportColumn:
    return replace(column, value=lambda row: discreet(column.name, column.value(row)))
