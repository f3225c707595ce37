"""Templates and a folder of files, made to say the same: pushed into the database, or pulled out of it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol, TypeVar

from notifyctl.core import names
from notifyctl.core.errors import Conflict, NotFound, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.template import frontmatter
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.frontmatter import TemplateFile
from notifyctl.core.wording import Template, TemplateKind, Wording, template_name
from notifyctl.services import inclusion, templates
from notifyctl.services.locating import located
from notifyctl.services.templates import NewTemplate, TemplateChanges
from notifyctl.store import templates as store
from notifyctl.store import users
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.templates import TemplateFilter

_UNENDED = "\\ No newline at end of file"
_TEXT = ".txt"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # a carriage return by itself, and what else Python divides at, ends no line
CREATED, UPDATED, UNCHANGED, PUBLISHED, REMOVED = "created", "updated", "unchanged", "published", "removed"


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
    """A file that a template is in, whether it is new or says something else, and the difference.

    One that was removed is of a language, or the HTML, that the template does not have.
    """

    path: str
    result: str
    text: str
    diff: str


def push(
    db: Database, files: Mapping[str, str], *, by: str | None, note: str | None = None, publish: bool = False
) -> list[Pushed]:
    """Make and change templates so that they say what files say (texts by their paths); all of them, or none.

    A new one is published, a change is a draft unless `publish`, which goes for what includes it, too. Raises
    UsageError, NotFound, Conflict.
    """
    found = in_order(frontmatter.templates(files))

    def work(tx: Tx) -> list[Pushed]:
        who = None if by is None else users.find(tx, by).id
        if who is None and len(store.by_name(tx, [each.name for each in found])) < len(found):
            raise UsageError("nobody is named who makes it", '--by USER, or operator = "USER" in the profile')
        return [_filed(tx, each, who, note, publish=publish) for each in found]

    return db.write(work)


def pull(db: Database, present: Mapping[str, str]) -> list[PulledFile]:
    """Return the files that all templates are in: their drafts, else what is published. `present` are those there.

    A file that means the same stays as it is, however it is written. Raises Conflict where one would be a folder, too.
    """
    with db.read() as tx:
        found = [_as_file(tx, each) for each in store.page(tx, TemplateFilter(), None, None)]
    homes = _homes(present)
    written = {path: text for each in found for path, text in frontmatter.files(each).items()}
    texts = {_at_home(path, homes): text for path, text in written.items()}
    for path in texts:
        if twice := next((str(each) for each in PurePosixPath(path).parents if str(each) in texts), None):
            raise Conflict(f"{twice} would be a file and a folder", "rename one of the two templates")
    done = {path: _pulled(path, text, present.get(path)) for path, text in texts.items()}
    for path in _left_over(present, homes, texts, {each.name for each in found}):
        done[path] = PulledFile(path, REMOVED, "", _compared(path, present[path], ""))
    return [done[path] for path in sorted(done)]


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


def _filed(tx: Tx, file: TemplateFile, by: str | None, note: str | None, *, publish: bool) -> Pushed:
    try:
        return _pushed(tx, file, by, note, publish=publish)
    except (UsageError, NotFound, Conflict, TemplateError) as error:
        raise located(tx, file, error) from None


def _pushed(tx: Tx, file: TemplateFile, by: str | None, note: str | None, *, publish: bool) -> Pushed:
    template = store.by_name(tx, [file.name]).get(file.name)
    if template is None:
        return _made(tx, file, by, note)
    if (template.channel, template.kind) != (file.channel, file.kind.value):
        there = f"a {template.kind} for {template.channel}"
        raise Conflict(f"{file.name} is {there}, in the file it is a {file.kind} for {file.channel}")
    before = _as_file(tx, template)
    diff = "" if before.said.is_same(file.said) and before.category == (file.category or None) else _diff(before, file)
    if diff:
        said = TemplateChanges(category=file.category or "", note=note)
        template = templates.change(tx, template, said, lambda _: file.said, by)
    if publish and (template.draft_version is not None or inclusion.behind(tx, template)):
        template = templates.release(tx, template)
        return Pushed(file.name, PUBLISHED, template.published_version, diff)
    number = template.draft_version or template.published_version
    return Pushed(file.name, UPDATED if diff else UNCHANGED, number, diff)


def _made(tx: Tx, file: TemplateFile, by: str | None, note: str | None) -> Pushed:
    wanted = NewTemplate(file.name, file.channel, file.said, file.kind, file.category, note, by or "")
    templates.make(tx, wanted)
    told = "\n".join(_compared(path, "", text) for path, text in frontmatter.files(file).items())
    return Pushed(file.name, CREATED, 1, told)


def _homes(present: Mapping[str, str]) -> dict[str, str]:
    """Return where templates and their languages are kept, by the names that their files would have."""
    found: dict[str, str] = {}
    for path, text in present.items():
        meant = _meant(path, text) if path.endswith(_TEXT) else None
        name = None if meant is None else meant[0].get("template")
        if meant is not None and isinstance(name, str):
            variant = meant[0].get("variant")
            found[f"{name}@{variant}" if variant else name] = path.removesuffix(_TEXT)
    return found


def _left_over(
    present: Mapping[str, str], homes: Mapping[str, str], texts: Mapping[str, str], known: Collection[str]
) -> list[str]:
    """Return which files would give a template a language, or HTML, that it does not have."""
    mine = {home for key, home in homes.items() if key.partition("@")[0] in known}
    paths = [f"{home}{suffix}" for home in mine for suffix in (_TEXT, ".html")]
    return [path for path in paths if path in present and path not in texts]


def _meant(path: str, text: str) -> tuple[Mapping[str, Any], str, str] | None:
    """Return what a file says, however it is written: its fields, those of variables apart, and its body.

    None if it is none of a template.
    """
    try:
        about, body = frontmatter.parse(text, path)
        said = {name: value for name, value in about.items() if value not in ("", [], {})}
        for name in ("language", "variant"):
            if isinstance(said.get(name), str):
                said[name] = names.language(said[name])
    except UsageError:
        return None
    if said.get("kind") == TemplateKind.MESSAGE:
        del said["kind"]
    return said, json.dumps(said.pop("variables", []), sort_keys=True), body


def _at_home(path: str, homes: Mapping[str, str]) -> str:
    """Return where a file is kept: beside one of that name in which another template is, if there is such a one."""
    stem, dot, suffix = path.rpartition(".")
    home = homes.get(stem, stem)
    while stem not in homes and home in homes.values():
        home += "_"
    return f"{home}{dot}{suffix}"


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
    same = present.removeprefix("\ufeff") == text.removeprefix("\ufeff")  # what editors put before a text is none of it
    if same or ((meant := _meant(path, present)) is not None and meant == _meant(path, text)):
        return PulledFile(path, UNCHANGED, present, "")
    return PulledFile(path, UPDATED, text, _compared(path, present, text))


def _compared(path: str, before: str, after: str) -> str:
    if before == after:
        return ""
    old, new = _LINE.findall(before), _LINE.findall(after)
    told = difflib.unified_diff(old, new, path, path)
    return "\n".join(line.removesuffix("\n") if line.endswith("\n") else f"{line}\n{_UNENDED}" for line in told)
