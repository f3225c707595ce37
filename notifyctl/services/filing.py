"""Templates and a folder of files, made to say the same: pushed into the database, or pulled out of it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.template import frontmatter
from notifyctl.core.template.frontmatter import TemplateFile
from notifyctl.core.wording import Template, TemplateKind, Wording, template_name
from notifyctl.services import inclusion, templates
from notifyctl.services.templates import NewTemplate, TemplateChanges
from notifyctl.store import templates as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.templates import TemplateFilter

_UNENDED = "\\ No newline at end of file"
_TEXT = ".txt"
CREATED, UPDATED, UNCHANGED, PUBLISHED = "created", "updated", "unchanged", "published"


class NamedWording(Protocol):
    """What a template of that name is to say."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def said(self) -> Wording:
        """What it says."""


N = TypeVar("N", bound=NamedWording)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a template: `result` is one of the words above; `version` is what holds, or the draft.

    `diff` is a unified diff of its files, empty where nothing changed.
    """

    name: str
    result: str
    version: int
    diff: str


@dataclass(frozen=True, slots=True)
class PulledFile:
    """A file that a template is in, whether it is new or says something else, and the difference."""

    path: str
    result: str
    text: str
    diff: str


def push(
    db: Database, files: Mapping[str, str], *, by: str | None, note: str | None = None, publish: bool = False
) -> list[Pushed]:
    """Make and change templates so that they say what files say (texts by their paths); all of them, or none.

    A new one is published, a change is a draft unless `publish`. Raises UsageError, NotFound, Conflict.
    """
    found = in_order(frontmatter.templates(files))
    return db.write(lambda tx: [_pushed(tx, each, by, note, publish=publish) for each in found])


def pull(db: Database, present: Mapping[str, str]) -> list[PulledFile]:
    """Return the files that all templates are in: their drafts, else what is published. `present` are those there."""
    with db.read() as tx:
        found = [_as_file(tx, each) for each in store.page(tx, TemplateFilter(), None, None)]
    homes = _homes(present)
    texts = {_at_home(path, homes): text for each in found for path, text in frontmatter.files(each).items()}
    return [_pulled(path, texts[path], present.get(path)) for path in sorted(texts)]


# Helpers


def in_order(found: Sequence[N]) -> list[N]:
    """Return them so that what is included comes before what includes it. Raises UsageError for a ring."""
    left, done = {each.name: each for each in found}, list[N]()
    while left:
        ready = [each for each in left.values() if not left.keys() & set(inclusion.references(each.said)) - {each.name}]
        if not ready:
            raise UsageError(f"{', '.join(sorted(left))} include each other")
        done += ready
        left = {name: each for name, each in left.items() if each not in ready}
    return done


def _pushed(tx: Tx, file: TemplateFile, by: str | None, note: str | None, *, publish: bool) -> Pushed:
    template = store.by_name(tx, [file.name]).get(file.name)
    if template is None:
        return _made(tx, file, by, note)
    if (template.channel, template.kind) != (file.channel, file.kind.value):
        there = f"a {template.kind} for {template.channel}"
        raise Conflict(f"{file.name} is {there}, in the file it is a {file.kind} for {file.channel}")
    before = _as_file(tx, template)
    diff = _diff(before, file)
    if diff:
        said = TemplateChanges(category=file.category or "", note=note)
        template = templates.change(tx, template, said, lambda _: file.said, by)
    if publish and template.draft_version is not None:
        template = templates.release(tx, template)
        return Pushed(file.name, PUBLISHED, template.published_version, diff)
    number = template.draft_version or template.published_version
    return Pushed(file.name, UPDATED if diff else UNCHANGED, number, diff)


def _made(tx: Tx, file: TemplateFile, by: str | None, note: str | None) -> Pushed:
    if by is None:
        raise UsageError("nobody is named who makes it", '--by USER, or operator = "USER" in the profile')
    wanted = NewTemplate(file.name, file.channel, file.said, file.kind, file.category, note, by)
    templates.make(tx, wanted)
    told = "\n".join(_compared(path, "", text) for path, text in frontmatter.files(file).items())
    return Pushed(file.name, CREATED, 1, told)


def _homes(present: Mapping[str, str]) -> dict[str, str]:
    """Return where templates and their languages are kept that are in other files than they would be written into."""
    found: dict[str, str] = {}
    for path, text in present.items():
        if not path.endswith(_TEXT):
            continue
        try:
            about, _ = frontmatter.parse(text, path)
        except UsageError:  # whatever it is, it is no template
            continue
        name, variant = about.get("template"), about.get("variant")
        if isinstance(name, str):
            found[f"{name}@{variant}" if variant else name] = path.removesuffix(_TEXT)
    return found


def _at_home(path: str, homes: Mapping[str, str]) -> str:
    stem, dot, suffix = path.rpartition(".")
    return f"{homes.get(stem, stem)}{dot}{suffix}"


def _as_file(tx: Tx, template: Template) -> TemplateFile:
    try:
        name = template_name(template.name)
    except UsageError as error:  # another program's
        raise Conflict(f"{error.message}, and none of a file", "rename it") from None
    row = templates.chosen(tx, template, template.draft_version)
    return TemplateFile(name, template.channel, row.wording, TemplateKind(template.kind), template.category)


def _diff(old: TemplateFile, new: TemplateFile) -> str:
    before, after = frontmatter.files(old), frontmatter.files(new)
    found = (_compared(path, before.get(path, ""), after.get(path, "")) for path in sorted({**before, **after}))
    return "\n".join(each for each in found if each)


def _pulled(path: str, text: str, present: str | None) -> PulledFile:
    if present is None:
        return PulledFile(path, CREATED, text, _compared(path, "", text))
    return PulledFile(path, UNCHANGED if present == text else UPDATED, text, _compared(path, present, text))


def _compared(path: str, before: str, after: str) -> str:
    if before == after:
        return ""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    told = difflib.unified_diff(old, new, path, path)
    return "\n".join(line.removesuffix("\n") if line.endswith("\n") else f"{line}\n{_UNENDED}" for line in told)
