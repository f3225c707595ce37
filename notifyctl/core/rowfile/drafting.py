"""From a row to a draft: what `send` of one would make of the same options, with the same checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from notifyctl.core import composition
from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.rowfile import schema
from notifyctl.core.rowfile.columns import VARIABLE, Columns, by_key, by_target, kept
from notifyctl.core.rowfile.identity import ROW, TEXT, UNCORRECTED, digest, identity
from notifyctl.core.rowfile.rows import BadRow, FileRow, RowDraft
from notifyctl.core.submission import MAX_RETRIES, Draft
from notifyctl.core.template.source import described

_CACHED = ("channel", "at", "in", "expires_in", "max_retries")


@dataclass(frozen=True, slots=True)
class RowDefaults:
    """What holds for rows that do not say it themselves: the command's own options, read as `send` reads them."""

    user: str | None = None
    channel: Channel | None = None
    template: str | None = None
    subject: str | None = None
    body: str | None = None
    html: str | None = None
    to: str | None = None
    provider: str | None = None
    category: str | None = None
    send_at: int | None = None
    delay_ms: int | None = None
    expires_in_ms: int | None = None
    max_retries: int = MAX_RETRIES
    critical: bool = False
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    variables: Mapping[str, Any] = field(default_factory=dict, hash=False)


def columns(maps: Sequence[str] = ()) -> Columns:
    """Return what the columns of a file to be sent may be. Raises UsageError for a `--map` that cannot be meant."""
    return Columns([*schema.WRITTEN, *schema.SPELLED], maps, variables=True)


class Drafter:
    """Makes drafts of rows. Raises UsageError for a header that cannot be meant; of a row it says why it is refused.

    `header` are the names of the file's columns, None where each row names its own. With a `batch` a row without a key
    of its own has one that is the same whenever it comes again: `ordinal` says which it is of those with a digest.
    Without one its key is `fresh`.
    """

    def __init__(
        self,
        header: Sequence[str] | None,
        known: Columns,
        defaults: RowDefaults,
        batch: str | None,
        ordinal: Callable[[bytes], int],
        fresh: Callable[[], str],
    ) -> None:
        self._header, self._columns = header, known
        self._targets = None if header is None else known.of_header(header)
        if self._targets is not None:
            _require(self._targets, defaults)
        self._defaults, self._batch = defaults, batch
        self._ordinal, self._fresh = ordinal, fresh
        readings = schema.TYPED if header is None else schema.WRITTEN
        self._readings = {
            name: schema.remembering(each) if name in _CACHED and header is not None else each
            for name, each in readings.items()
            if each is not schema.text
        }
        # Of a file with a header it is known which columns have to be looked at.
        targets = None if self._targets is None else [schema.SPELLED.get(each or "", each) for each in self._targets]
        self._few = None if targets is None else [each for each in targets if each in self._readings]
        self._variables = None if targets is None else [each for each in targets if each and each.startswith(VARIABLE)]

    def __call__(self, row: FileRow | BadRow) -> RowDraft | BadRow:
        """Return what a row submits, or why it cannot; a bad row with its identity."""
        if isinstance(row, BadRow):
            return row._replace(identity=self._identity_of_bad(row)) if row.cells else row
        line, cells = row
        try:
            if self._targets is None:
                said: dict[str, Any] = by_key(self._columns, cells)  # type: ignore[arg-type]
            else:
                said = by_target(self._targets, cells)  # type: ignore[arg-type]
        except UsageError as error:
            return self(BadRow(line, error.message, cells))
        for other, name in schema.SPELLED.items():
            if other in said:
                said[name] = said.pop(other)
        own, before = said.pop("key", None), said.pop(ROW, None)
        key = own or before or self._key(said)
        try:
            if own or before:
                _require_key(key)
            return RowDraft(line, key, self._draft(said, key), cells)
        except NotifyctlError as error:
            return BadRow(line, reason_of(error), cells, str(key))

    def _key(self, said: Any) -> str:
        if self._batch is None:
            return self._fresh()
        same = digest(said)
        return identity(self._batch, same, self._ordinal(same))

    def _identity_of_bad(self, row: BadRow) -> str:
        cells = row.cells
        said = cells if isinstance(cells, str) else dict(cells) if isinstance(cells, Mapping) else list(cells)
        before = kept(self._header, cells)
        return self._key([said]) if before is None else before

    def _draft(self, said: dict[str, Any], key: str) -> Draft:
        d, variables = self._defaults, self._typed(said)
        if TEXT in said:
            raise UsageError(UNCORRECTED)
        get = said.get
        channel = get("channel", d.channel)
        user, template = get("user", d.user), get("template", d.template)
        if not user or channel is None:
            raise UsageError(f"{'channel' if user else 'user'}: is missing")
        if "at" in said and "in" in said:
            raise UsageError("at and in exclude each other")
        timed = "at" in said or "in" in said
        payload, written = composition.said(
            channel,
            template=template,
            subject=get("subject", d.subject),
            body=get("body", d.body),
            html=get("html", d.html),
            to=get("to", d.to),
            data=get("data", d.data),
            variables={**d.variables, **variables} if d.variables and template is not None else variables,
        )
        return Draft(
            user,
            channel,
            payload,
            key,
            get("provider", d.provider),
            get("at") if timed else d.send_at,
            get("in") if timed else d.delay_ms,
            get("expires_in", d.expires_in_ms),
            get("max_retries", d.max_retries),
            template,
            get("category", d.category),
            get("critical", d.critical),
            written,
        )

    def _typed(self, said: dict[str, Any]) -> dict[str, Any]:
        """Give what a row says its types; return the template's variables among it."""
        for name in said if self._few is None else self._few:
            if name in said and (read := self._readings.get(name)) is not None:
                try:
                    said[name] = read(said[name])
                except UsageError as error:
                    raise UsageError(_named(name, error.message)) from None
        variables = [each for each in said if each.startswith(VARIABLE)] if self._variables is None else self._variables
        if not variables:
            return {}
        return {
            name[len(VARIABLE) :].removesuffix(":"): self._variable(name, said[name])
            for name in variables
            if name in said
        }

    def _variable(self, name: str, value: Any) -> Any:
        if self._targets is None or not name.endswith(":"):
            return value
        try:
            return schema.any_json(value)
        except UsageError as error:
            raise UsageError(f"{name} {error.message}") from None


def _require(targets: Sequence[str | None], defaults: RowDefaults) -> None:
    """Raise UsageError where no row could say what each has to."""
    for name, known, remedy in (("user", defaults.user, ""), ("channel", defaults.channel, "--channel C, or ")):
        if name not in targets and known is None:
            raise UsageError(f"the header: no column is {name}", f"{remedy}--map COLUMN={name}")
    if defaults.variables and defaults.template is None and "template" not in targets:
        raise UsageError("--var goes with --template", "or with a column template")


def _require_key(given: Any) -> None:
    """Raise UsageError for a key of a row's own that is none."""
    if not isinstance(given, str):
        raise UsageError(f"key: is {described(given)}, not text")
    composition.stated_key(given, "key")


def reason_of(error: NotifyctlError) -> str:
    """Return a message whose options are columns here."""
    return error.message.removeprefix("--").replace("html-file", "html", 1)


def _named(name: str, message: str) -> str:
    bare = message.removeprefix("--")
    return bare if bare.startswith(name) else f"{name}: {bare}"
