"""What the rows of a file would come to, were they submitted now; nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from hashlib import sha256

from notifyctl.core.errors import NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.gate import PutOff, Refuse
from notifyctl.core.model import Category, Channel, Message
from notifyctl.core.notification import State
from notifyctl.core.pace import Outflow
from notifyctl.core.rowfile.drafting import reason_of
from notifyctl.core.rowfile.rows import BadRow, RowDraft
from notifyctl.core.segments import segments
from notifyctl.core.submission import Former, Plan, other_content
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.source import Source
from notifyctl.services import importing, planning, previews
from notifyctl.services.ahead import DueLines
from notifyctl.services.importing import DraftedRows, ImportOrder
from notifyctl.services.planning import Planned
from notifyctl.services.rowfiles.tallying import RowTally
from notifyctl.services.using import Seen, Using
from notifyctl.store import status, template_sources
from notifyctl.store.db.database import Database


@dataclass(slots=True)
class Estimate(RowTally):
    """What rows would come to.

    `segments` are those of all texts, `last_at` is when the last one would go out under the providers' limits
    (milliseconds since the epoch), `providers` when that is for each.
    """

    segments: int = 0
    last_at: int | None = None
    providers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What an estimate is given: what tells keys apart, and keys with their contents; whom it tells how far it is."""

    keys: Seen
    same: Seen
    watch: Callable[[RowTally], None]


_AHEAD = (State.DUE, State.RETRYING, State.HELD, State.UNKNOWN)
"""What waits at a provider now, and goes before what is submitted."""


def estimate(
    db: Database, rows: DraftedRows, order: ImportOrder, rejected: Callable[[BadRow], None], look: Look
) -> Estimate:
    """Return what rows would come to. `rejected` is told of each row that would not be taken."""
    return _Estimating(db, order, rejected, look).run(rows)


class _Estimating:
    """One estimate."""

    def __init__(self, db: Database, order: ImportOrder, rejected: Callable[[BadRow], None], look: Look) -> None:
        self._db, self._order, self._tell, self._look = db, order, rejected, look
        self._found = Estimate()
        self._using = Using(look.same)
        self._lines = DueLines(order.terms.policy, db.moment())
        self._outflows: dict[str, Outflow] = {}
        self._sources: dict[tuple[str, int], Source | None] = {}
        self._checkers: planning.Checkers = {}

    def run(self, rows: DraftedRows) -> Estimate:
        """Look at all rows."""
        found = self._found
        for portion in importing.portions(rows):
            fitting = list(map(self._order.fitting, portion))
            drafts = [row.draft for row in fitting if isinstance(row, RowDraft)]
            planned = iter(importing.plans(self._db, drafts, self._order, self._lines))
            for row in fitting:
                came_to = row if isinstance(row, BadRow) else self._seen(next(planned))
                if isinstance(came_to, Plan):
                    came_to = self._accepted(came_to)
                if isinstance(came_to, Former):
                    found.deduplicated += 1
                elif isinstance(came_to, NotifyctlError):
                    found.refusal = found.refusal or came_to.refusal
                    came_to = BadRow(row.line, reason_of(came_to), row.cells, row.identity)
                if isinstance(came_to, BadRow):
                    found.reject(came_to.reason)
                    self._tell(came_to)
            found.read += len(portion)
            self._look.watch(found)
        self._reckon()
        return found

    def _seen(self, planned: Planned) -> Planned:
        """Return what a plan comes to after the file's rows before it."""
        if not isinstance(planned, Plan):
            return planned
        row = planned.row
        key = bytes.fromhex(row.idempotency_key)
        same = self._look.same.next(sha256(key + row.content_hash.encode()).digest()[:16])
        if self._look.keys.next(key[:16]) == 1:
            return planned
        return Former(row.id, row.content_hash) if same > 1 else other_content(planned.key, row.id)

    def _accepted(self, planned: Plan) -> Plan | NotifyctlError:
        """Count what would be accepted; return why it would not be after all."""
        message, problem = self._said(planned)
        if problem is not None and not isinstance(problem, TemplateError):
            return problem
        found = self._found
        found.accepted += 1
        verdict = self._using.verdict(planned)
        if problem is not None and (verdict is None or isinstance(verdict, PutOff)):
            # Put off or not: that is what it will end as.
            found.stop(Refuse(Category.TEMPLATE_ERROR, problem.message))
            return planned
        if verdict is not None:
            found.stop(verdict)
        if verdict is None or isinstance(verdict, PutOff):
            self._goes(planned, message, planned.row.due_at if verdict is None else verdict.until)
        return planned

    def _goes(self, planned: Plan, message: Message, due_at: int) -> None:
        """Count what would be sent."""
        if message.channel is Channel.SMS and (body := message.content.get("body")):
            self._found.segments += segments(body).count
        name = planned.provider.provider_name
        if name not in self._outflows:
            self._outflows[name] = Outflow(planned.provider.rate_limit)
        self._outflows[name].add(due_at)

    def _said(self, planned: Plan) -> tuple[Message, NotifyctlError | None]:
        """Return the message as it would be sent, and what is wrong with it."""
        ref = planned.message.template
        if ref is None:
            return planned.message, None
        source = self._source((ref.id, ref.version))
        if source is None:
            return planned.message, None
        try:
            message = previews.rendered(source, previews.linked(planned.message, previews.SOMEWHERE))
        except NotifyctlError as error:
            return planned.message, error
        return message, planning.refused(planned, message, self._order.terms, self._checkers)

    def _source(self, key: tuple[str, int]) -> Source | None:
        if key not in self._sources:
            self._sources[key] = self._db.consult(lambda tx: template_sources.source(tx, key))
        return self._sources[key]

    def _reckon(self) -> None:
        """Say when the last of each provider's would go out, behind what waits there now."""
        with self._db.read() as tx:
            now, waiting = tx.now, status.waiting(tx)
        for each in waiting:
            if each.state in _AHEAD and each.provider in self._outflows:
                self._outflows[each.provider].add(now, each.count)
        self._found.providers = {name: flow.ends_at(now) for name, flow in sorted(self._outflows.items())}
        self._found.last_at = max(self._found.providers.values(), default=None)
