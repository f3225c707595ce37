"""Templates as files, to be kept beside the code that sends them.

A template is `NAME.txt`: a front matter in YAML with what it is, and behind that the body, to the byte. The HTML of a
mail is `NAME.html` beside it; another language is `NAME@TAG.txt`, with the parts that differ. What is read of what was
written is the same again: line ends, the last newline, and `no` for Norwegian.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from notifyctl.core import names
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.wording import TemplateKind, Wording, template_name, variables

if TYPE_CHECKING:
    from yaml.nodes import Node as YamlNode

_Word = TypeVar("_Word", bound=StrEnum)

DEEPEST = 50
"""Levels of lists and objects in a front matter; the reader's time grows with the square of it."""
OWN_FIELDS = ("template", "channel", "kind", "category", "language", "subject", "title", "image", "data", "variables")
VARIANT_FIELDS = ("template", "variant", "subject", "title", "image", "data")


@dataclass(frozen=True, slots=True)
class TextPlace:
    """Where a text begins in a file: of its own lines the first in `column`, the others behind `indent`.

    These begin at 1 and at 0; None where they are not what the file has, as behind escapes.
    """

    path: str
    line: int = 1
    column: int | None = 1
    indent: int | None = 0

    def at(self, line: int | None = None, column: int | None = None) -> str:
        """Return the place of a line and a column of the text, as editors open it: `welcome.txt:3:14`."""
        if line is None:
            return f"{self.path}:{self.line}"
        before = self.column if line == 1 else None if self.indent is None else self.indent + 1
        if self.indent is None and line > 1:
            line = 1
        found = f"{self.path}:{self.line + line - 1}"
        return found if before is None or column is None else f"{found}:{before + column - 1}"


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template as it is kept in files; `places` are where its parts and fields begin, by languages and names."""

    name: str
    channel: Channel
    said: Wording
    kind: TemplateKind = TemplateKind.MESSAGE
    category: str | None = None
    places: Mapping[tuple[str | None, str], TextPlace] = field(default_factory=dict, compare=False, repr=False)


def files(template: TemplateFile) -> dict[str, str]:
    """Return the texts of a template's files by their paths, which may have directories in them."""
    said = template.said
    about: dict[str, Any] = {"template": template.name, "channel": template.channel.value}
    if template.kind is not TemplateKind.MESSAGE:
        about["kind"] = template.kind.value
    about |= {"category": template.category, "language": said.language, **said.parts, "variables": list(said.variables)}
    found = _written(template.name, about)
    for tag, parts in (said.variants or {}).items():
        found |= _written(f"{template.name}@{tag}", {"template": template.name, "variant": tag, **parts})
    return found


def templates(found: Mapping[str, str]) -> list[TemplateFile]:
    """Return the templates of these files, by name. Raises UsageError, which names the file, for what is none."""
    documents = {path: _document(path, found) for path in sorted(found) if path.endswith(".txt")}
    for path in found:
        if path.endswith(".html") and f"{path.removesuffix('.html')}.txt" not in documents:
            stem = path.removesuffix(".html")
            raise UsageError(f"{path}: there is no {stem}.txt beside it", "which says what template it is of")
    known: dict[str, TemplateFile] = {}
    for document in documents.values():
        if "variant" not in document.about:
            one = _own(document)
            if (other := known.get(one.name)) is not None:
                raise UsageError(f"the template {one.name} is in two files: {_path(other)} and {document.path}")
            known[one.name] = one
    for document in documents.values():
        if "variant" in document.about:
            _add_variant(document, known)
    return [known[name] for name in sorted(known)]


def _path(file: TemplateFile) -> str:
    return file.places[None, "template"].path


def write(about: Mapping[str, Any], body: str) -> str:
    """Return a file with a front matter; what is None or empty there is left out."""
    import yaml  # here: it is read and written by few commands

    dumper: Any = type("Dumper", (yaml.SafeDumper,), {})  # puts quotes around every text that is read as something else
    dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-0123456789"))
    dumper.add_representer(str, _represented)
    said = {name: value for name, value in about.items() if value not in (None, "", [], {})}
    front = yaml.dump(said, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    return f"{_FENCE}\n{front}{_FENCE}\n{body}"


def parse(text: str, where: str) -> tuple[dict[str, Any], str]:
    """Return the front matter of a file and what follows it. Raises UsageError, which begins with `where`.

    All scalars are text, but for the defaults and examples of variables, which are what JSON takes them for.
    """
    front, body = _divided(text, where)
    _, said = _fields(text[slice(*front)], where)
    return said, text[body:]


def _divided(text: str, where: str) -> tuple[tuple[int, int], int]:
    """Return from where to where a front matter goes, and where the body begins."""
    opening = _OPENING.match(text)
    if opening is None:
        raise UsageError(f"{where}:1: has no front matter", "the first line is ---, then come template and channel")
    closing = _CLOSING.search(text, opening.end() - 1)
    if closing is None:
        raise UsageError(f"{where}:1: the front matter has no end", "it ends with a line ---")
    return (opening.end(), closing.start() + 1), closing.end()


def _represented(dumper: Any, text: str) -> Any:
    """Return a text for YAML, with escapes where it has line ends of other kinds: a reader would fold those."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


def _written(stem: str, about: dict[str, Any]) -> dict[str, str]:
    body, markup = about.pop("body", None) or "", about.pop("html", None)
    found = {f"{stem}.txt": write(about, body)}
    if markup:
        found[f"{stem}.html"] = f"{_MARK}{markup}" if markup.startswith(_MARK) else markup
    return found


@dataclass(frozen=True, slots=True)
class _Document:
    """A file that was read: what its front matter says, its body and HTML among that, and where each begins."""

    path: str
    about: Mapping[str, Any]
    places: Mapping[str, TextPlace]

    def place(self, name: str) -> str:
        """Return where a field is, else the first line."""
        return self.places.get(name, TextPlace(self.path)).at()

    def of(self, tag: str | None) -> dict[tuple[str | None, str], TextPlace]:
        """Return the places as those of a language."""
        return {(tag, name): place for name, place in self.places.items()}


def _document(path: str, found: Mapping[str, str]) -> _Document:
    text = found[path]
    front, body = _divided(text, path)
    places, about = _fields(text[slice(*front)], path)
    fields = VARIANT_FIELDS if "variant" in about else OWN_FIELDS
    if unknown := [name for name in about if name not in fields]:
        raise UsageError(f"{places[unknown[0]].at()}: there is no {', '.join(unknown)}", f"it has {', '.join(fields)}")
    for name, value in about.items():
        if name not in ("data", "variables") and not isinstance(value, str):
            raise UsageError(f"{places[name].at()}: {name} must be a text")
    if "template" not in about:
        raise UsageError(f"{path}:1: does not say which template it is", "template: NAME")
    beside = f"{path.removesuffix('.txt')}.html"
    said = {**about, "body": text[body:], "html": found.get(beside, "").removeprefix(_MARK)}
    mine = {"body": TextPlace(path, text.count("\n", 0, body) + 1), "html": TextPlace(beside)}
    return _Document(path, said, {**places, **mine})


def _own(document: _Document) -> TemplateFile:
    about, name = document.about, "template"
    try:
        named = template_name(about[name])
        name = "language"
        language = names.language(about[name]) if name in about else None
        name = "variables"
        said = Wording(_parts(about), variables(about.get(name, []), name), language)
        name = "channel"
        channel = _one_of(Channel, about.get(name, ""), name)
        name = "kind"
        kind = _one_of(TemplateKind, about.get(name, TemplateKind.MESSAGE.value), name)
    except UsageError as error:
        raise UsageError(f"{document.place(name)}: {error.message}", error.hint) from None
    return TemplateFile(named, channel, said, kind, about.get("category"), document.of(None))


def _one_of(words: type[_Word], text: str, what: str) -> _Word:
    try:
        return words(text)
    except ValueError:
        raise UsageError(f"{text!r} is no {what}", f"it is {', '.join(words)}") from None


def _add_variant(document: _Document, known: dict[str, TemplateFile]) -> None:
    about = document.about
    template = known.get(about["template"])
    if template is None:
        raise UsageError(f"{document.place('template')}: there is no file of the template {about['template']}")
    try:
        tag = names.language(about["variant"])
    except UsageError as error:
        raise UsageError(f"{document.place('variant')}: {error.message}", error.hint) from None
    others = dict(template.said.variants or {})
    if tag in others or tag == template.said.language:
        raise UsageError(f"{document.place('variant')}: {template.name} is in {tag} in two files")
    others[tag] = _parts(about)
    said, places = replace(template.said, variants=others), {**template.places, **document.of(tag)}
    known[template.name] = replace(template, said=said, places=places)


def _parts(about: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("subject", "title", "image", "data", "body", "html")
    return {name: about[name] for name in wanted if about.get(name)}


def _fields(front: str, where: str) -> tuple[dict[str, TextPlace], dict[str, Any]]:
    """Return where each field of a front matter begins, and what it says; of the data each as `data.key`, too."""
    import yaml

    try:
        depth = 0
        for event in yaml.parse(front, Loader=yaml.SafeLoader):
            _refuse(event, where)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise UsageError(f"{_marked(event.start_mark, where)}: the front matter is nested too deep")
        node = yaml.compose(front, Loader=yaml.SafeLoader)
        said = {} if node is None else _plain(node, where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise UsageError(f"{where if mark is None else _marked(mark, where)}: is no YAML: {problem}") from None
    if not isinstance(said, dict):
        raise UsageError(f"{where}:2: the front matter must have lines like template: NAME")
    found = {name: _typed(value) if name == "variables" else _as_text(value) for name, value in said.items()}
    return ({} if node is None else _places(node, front, where)), found


def _places(node: YamlNode, front: str, where: str, under: str = "") -> dict[str, TextPlace]:
    found: dict[str, TextPlace] = {}
    for key, value in node.value:
        found[f"{under}{key.value}"] = _place(value, front, where)
        if key.value == "data" and not under and value.id == "mapping":
            found |= _places(value, front, where, "data.")
    return found


def _place(node: YamlNode, front: str, where: str) -> TextPlace:
    """Return where a value begins: exactly, if it stands in the file as it is."""
    import yaml

    line, column = node.start_mark.line + _FRONT, node.start_mark.column + 1
    if not isinstance(node, yaml.ScalarNode):
        return TextPlace(where, line, column, None)
    if node.style == "|":
        first = front.split("\n")[node.start_mark.line + 1 :][:1] or [""]
        return TextPlace(where, line + 1, (indent := len(first[0]) - len(first[0].lstrip(" "))) + 1, indent)
    quote = len(node.style or "") if node.style != ">" else 0
    written = front[node.start_mark.index + quote : node.end_mark.index - quote]
    return TextPlace(where, line, column + quote if written == node.value else None, None)


def _marked(mark: Any, where: str) -> str:
    return f"{where}:{mark.line + _FRONT}:{mark.column + 1}"


def _refuse(event: Any, where: str) -> None:
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise UsageError(f"{_marked(event.start_mark, where)}: anchors and aliases are not read")
    if getattr(event, "tag", None):
        raise UsageError(f"{_marked(event.start_mark, where)}: tags are not read")


@dataclass(frozen=True, slots=True)
class _Scalar:
    """A scalar as it is written; `bare` without quotes, so that it may be more than text."""

    text: str
    bare: bool


def _plain(node: YamlNode, where: str) -> Any:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return _Scalar(node.value, node.style is None)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, where) for each in node.value]
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in found:
            name = f"{getattr(key, 'value', 'a key')!s:.40}"
            raise UsageError(f"{_marked(key.start_mark, where)}: {name} is there twice, or no name")
        found[key.value] = _plain(value, where)
    return found


def _as_text(value: Any) -> Any:
    if isinstance(value, _Scalar):
        return value.text
    if isinstance(value, dict):
        return {name: _as_text(each) for name, each in value.items()}
    return [_as_text(each) for each in value]


def _typed(value: Any) -> Any:
    """Return declarations of variables: their defaults and examples as JSON, all else as text."""
    if not isinstance(value, list):
        return _as_text(value)
    return [
        {name: _as_json(said) if name in ("default", "example") else _as_text(said) for name, said in each.items()}
        if isinstance(each, dict)
        else _as_text(each)
        for each in value
    ]


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if value.bare and (value.text in _CONSTANTS or _NUMBER.fullmatch(value.text)):
        return json.loads(value.text)
    return None if value.bare and not value.text else value.text


_FENCE = "---"
_MARK = "\ufeff"
"""What editors put before a text to tell its encoding; one that is a part of the text stands behind another."""
_FRONT = 2
"""The line in which a front matter begins."""
_OPENING = re.compile("\ufeff?---[ \\t]*\\r?\\n")
_CLOSING = re.compile(r"\n---[ \t]*(\r?\n|$)")
_CONSTANTS = ("null", "true", "false")
_NUMBER = re.compile(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$")
