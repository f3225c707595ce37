"""What is wrong with templates, found before anybody is sent anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from notifyctl.core import names
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.template.source import Source
from notifyctl.core.wording import Template, TemplateKind
from notifyctl.services import inclusion, templates
from notifyctl.store import templates as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.templates import TemplateFilter

ERROR = "error"


@dataclass(frozen=True, slots=True)
class LintFinding:
    """What was found in a version of a template: `severity` is `error`, where sending fails, or `warning`.

    `part` is of the template's own language, else as in `de:subject`; lines and columns begin at 1.
    """

    template: str
    version: int
    severity: str
    part: str | None
    line: int | None
    message: str
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Linted:
    """How many templates were looked at, and what was found in them."""

    templates: int
    findings: Sequence[LintFinding]

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(each.severity == ERROR for each in self.findings)


def lint(db: Database, refs: Sequence[str] = (), languages: Sequence[str] = ()) -> Linted:
    """Look at templates, or at all: at the draft where there is one, else at what is published.

    `languages` are those that each of them should speak. Raises NotFound, UsageError.
    """
    wanted = [names.language(tag) for tag in languages]
    with db.read() as tx:
        found = [store.find(tx, ref) for ref in refs] if refs else store.page(tx, TemplateFilter(), None, None)
        sources = [(each, *_source(tx, each)) for each in found]
        behind = [one for each in found if each.draft_version is None for one in _behind(tx, each)]
    return Linted(len(found), [*(one for each in sources for one in _findings(*each, wanted)), *behind])


def _source(tx: Tx, template: Template) -> tuple[int, Source | NotifyctlError]:
    """Return what is looked at: the number of the version and its source, or why that cannot be had."""
    row = templates.chosen(tx, template, template.draft_version)
    try:
        return row.number, inclusion.source_of(tx, template, row)
    except NotifyctlError as error:
        return row.number, error


def _behind(tx: Tx, template: Template) -> Iterator[LintFinding]:
    """Yield what a template includes in another version than holds now, and so will until it is published anew."""
    for name, (number, now) in inclusion.behind(tx, template).items():
        message = f"includes version {number} of {name}, of which {now} is published"
        yield LintFinding(template.name, template.published_version, "warning", None, None, message)


def _findings(
    template: Template, number: int, source: Source | NotifyctlError, languages: Sequence[str]
) -> list[LintFinding]:
    # Here: the engine is loaded by whoever needs it.
    from notifyctl.core.template import lint as linter
    from notifyctl.core.template.render import Renderer

    if isinstance(source, NotifyctlError):
        return [LintFinding(template.name, number, ERROR, None, None, source.message)]
    remarks = linter.lint(source, Renderer(), languages, is_part=template.kind != TemplateKind.MESSAGE)
    found = [
        LintFinding(template.name, number, each.severity.value, each.part or None, each.line, each.message, each.column)
        for each in remarks
    ]
    if _lacks_a_subject(template, source):
        found.append(
            LintFinding(template.name, number, "warning", "subject", None, "is missing: SendGrid refuses that")
        )
    return found


def _lacks_a_subject(template: Template, source: Source) -> bool:
    return template.channel is Channel.EMAIL and template.kind == TemplateKind.MESSAGE and "subject" not in source.parts
