"""Templates as files, to be kept beside the code that sends them.

A template is `NAME.txt`: a front matter in YAML with what it is, and behind that the body, to the byte. The HTML of a
mail is `NAME.html` beside it; another language is `NAME@TAG.txt`, with the parts that differ. What is read of what was
written is the same again: line ends, the last newline, and `no` for Norwegian.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
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
class TemplateFile:
    """A template as it is kept in files."""

    name: str
    channel: Channel
    said: Wording
    kind: TemplateKind = TemplateKind.MESSAGE
    category: str | None = None


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
    own = [_own(path, about) for path, about in documents.items() if "variant" not in about]
    known = {each.name: each for each in own}
    if twice := next((each.name for each in own if known[each.name] is not each), None):
        raise UsageError(f"the template {twice} is in two files")
    for path, about in documents.items():
        if "variant" in about:
            _add_variant(path, about, known)
    return [known[name] for name in sorted(known)]


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
    opening = _OPENING.match(text)
    if opening is None:
        raise UsageError(f"{where}: has no front matter", "the first line is ---, then come template and channel")
    closing = _CLOSING.search(text, opening.end() - 1)
    if closing is None:
        raise UsageError(f"{where}: the front matter has no end", "it ends with a line ---")
    front = text[opening.end() : closing.start() + 1]
    return _fields(front, where), text[closing.end() :]


def _represented(dumper: Any, text: str) -> Any:
    """Return a text for YAML, with escapes where it has line ends of other kinds: a reader would fold those."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


def _written(stem: str, about: dict[str, Any]) -> dict[str, str]:
    body, markup = about.pop("body", None) or "", about.pop("html", None)
    found = {f"{stem}.txt": write(about, body)}
    return {**found, f"{stem}.html": markup} if markup else found


def _document(path: str, found: Mapping[str, str]) -> dict[str, Any]:
    about, body = parse(found[path], path)
    fields = VARIANT_FIELDS if "variant" in about else OWN_FIELDS
    if unknown := [name for name in about if name not in fields]:
        raise UsageError(f"{path}: there is no {', '.join(unknown)}", f"it has {', '.join(fields)}")
    for name, value in about.items():
        if name not in ("data", "variables") and not isinstance(value, str):
            raise UsageError(f"{path}: {name} must be a text")
    if "template" not in about:
        raise UsageError(f"{path}: does not say which template it is", "template: NAME")
    markup = found.get(f"{path.removesuffix('.txt')}.html")
    return {**about, "body": body, "html": markup}


def _own(path: str, about: Mapping[str, Any]) -> TemplateFile:
    try:
        language = names.language(about["language"]) if "language" in about else None
        said = Wording(_parts(about), variables(about.get("variables", []), "variables"), language)
        channel = _one_of(Channel, about.get("channel", ""), "channel")
        kind = _one_of(TemplateKind, about.get("kind", TemplateKind.MESSAGE.value), "kind")
        return TemplateFile(template_name(about["template"]), channel, said, kind, about.get("category"))
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from None


def _one_of(words: type[_Word], text: str, what: str) -> _Word:
    try:
        return words(text)
    except ValueError:
        raise UsageError(f"{text!r} is no {what}", f"it is {', '.join(words)}") from None


def _add_variant(path: str, about: Mapping[str, Any], known: dict[str, TemplateFile]) -> None:
    template = known.get(about["template"])
    if template is None:
        raise UsageError(f"{path}: there is no file of the template {about['template']}")
    try:
        tag = names.language(about["variant"])
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from None
    others = dict(template.said.variants or {})
    if tag in others or tag == template.said.language:
        raise UsageError(f"{path}: {template.name} is in {tag} in two files")
    others[tag] = _parts(about)
    known[template.name] = replace(template, said=replace(template.said, variants=others))


def _parts(about: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("subject", "title", "image", "data", "body", "html")
    return {name: about[name] for name in wanted if about.get(name)}


def _fields(front: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        depth = 0
        for event in yaml.parse(front, Loader=yaml.SafeLoader):
            _refuse(event, where)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise UsageError(f"{where}: the front matter is nested too deep")
        node = yaml.compose(front, Loader=yaml.SafeLoader)
        said = {} if node is None else _plain(node, where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 2}"
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise UsageError(f"{where}{line}: is no YAML: {problem}") from None
    if not isinstance(said, dict):
        raise UsageError(f"{where}: the front matter must have lines like template: NAME")
    return {name: _typed(value) if name == "variables" else _as_text(value) for name, value in said.items()}


def _refuse(event: Any, where: str) -> None:
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise UsageError(f"{where}, line {event.start_mark.line + 2}: anchors and aliases are not read")
    if getattr(event, "tag", None):
        raise UsageError(f"{where}, line {event.start_mark.line + 2}: tags are not read")


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
            line = key.start_mark.line + 2
            raise UsageError(f"{where}, line {line}: {getattr(key, 'value', 'a key')!s:.40} is there twice, or no name")
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
_OPENING = re.compile("\ufeff?---[ \\t]*\\r?\\n")
_CLOSING = re.compile(r"\n---[ \t]*(\r?\n|$)")
_CONSTANTS = ("null", "true", "false")
_NUMBER = re.compile(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$")
