"""The outline of the command tree that completion reads, so that it loads no command: `commands.json`.

`make completions` writes it with the shells' scripts; a test compares it with the tree.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from typer import Context
from typer.main import get_command

from notifyctl.cli.app import COMMANDS, app, load
from notifyctl.cli.completion import SHELLS
from notifyctl.cli.noun import FORMATS
from notifyctl.services import providers

_FILES = ("DIR", "FILE", "F", "FILE|-")
_IDS = {"notifications": "notification", "dlq": "dead_letter", "keys": "key"}
_BY_NAME = {"user": "user", "provider": "provider", "profile": "profile", "config": "file", "settings": "setting",
            "by": "user", "reassign_templates_to": "user", "names": "provider",
            "template": "template", "from_notification": "notification", "notification": "notification",
            "save": "file", "category": "category"}  # fmt: skip


def outline() -> dict[str, Any]:
    """Return what completion knows: the commands, and the settings of the providers that come with the program."""
    known = {name: dict(settings) for name, settings in sorted(providers.settings().items())}
    nouns = {name: help_ for name, _, help_ in COMMANDS}
    leaves = {path: _leaf(path, command) for path, command in walk()}
    return {"settings": known, "nouns": nouns, "globals": _options("", get_command(app)), "leaves": leaves}


def written() -> str:
    """Return the outline as it is kept: a line for each command, so that changes of two do not meet."""
    found = outline()
    lines = [f"  {json.dumps(path)}: {json.dumps(leaf, ensure_ascii=False)}" for path, leaf in found["leaves"].items()]
    head = "".join(
        f'"{key}": {json.dumps(found[key], ensure_ascii=False)},\n' for key in ("settings", "nouns", "globals")
    )
    body = ",\n".join(lines)
    return f'{{{head}"leaves": {{\n{body}\n}}}}\n'


def walk() -> Iterator[tuple[str, Any]]:
    """Yield every command with its path; all of them are loaded."""

    def below(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        verbs = getattr(command, "commands", None)
        if verbs is None:
            yield path, command
            return
        for name, verb in verbs.items():
            yield from below(verb, f"{path} {name}")

    for name, _, _ in COMMANDS:
        yield from below(load(name), name)


def _leaf(path: str, command: Any) -> dict[str, Any]:
    arguments = [_kind(path, command, param) for param in command.params if not _is_option(param)]
    more = any(not _is_option(param) and param.nargs != 1 for param in command.params)
    return {
        "help": (command.help or "").split("\n")[0],
        "arguments": arguments,
        "more": more,
        "options": _options(path, command),
    }


def _options(path: str, command: Any) -> dict[str, Any]:
    return {
        name: [_kind(path, command, param), "" if param.hidden else (param.help or "").split("\n")[0]]
        for param in command.params
        if _is_option(param)
        for name in (*param.opts, *param.secondary_opts)  # `--enable/--disable` is one option
    }


def _is_option(param: Any) -> bool:
    return bool(param.opts[0].startswith("-"))


def _kind(path: str, command: Any, param: Any) -> str | list[str] | None:
    """Return what the value is: words, the name of a kind, "" for anything; None where there is no value."""
    if getattr(param, "is_flag", False) or getattr(param, "count", False):
        return None
    words = getattr(param.type, "choices", None) or getattr(getattr(param.type, "func", None), "words", None)
    words = words or _completed(command, param)
    if words:
        return [str(getattr(word, "value", word)) for word in words]
    noun, metavar = path.partition(" ")[0], (param.metavar or "").strip("[].")
    if param.name == "output":
        return list(getattr(command, "formats", FORMATS))
    if param.name == "fields":
        return list(command.field_names()) if path else ""
    if param.name == "shell":
        return list(SHELLS)
    if metavar == "ID" and noun in _IDS and not _is_option(param):
        return _IDS[noun]
    if param.name == "name" and noun == "providers":
        return sorted(providers.settings()) if path == "providers add" else "provider"
    if param.name in ("name", "names") and noun == "templates":
        return "" if path == "templates create" else "template"
    if metavar == "ZONE|none":
        return "zone"
    if metavar == "WEBHOOK":
        return "webhook"
    if metavar == "BATCH":
        return "batch"
    if metavar == "CATEGORY":
        return "category" if path != "categories create" else ""
    return "file" if metavar in _FILES else _BY_NAME.get(param.name or "", "")


def _completed(command: Any, param: Any) -> list[str]:
    """Return the words that an option of its own account offers: what is typed there may be something else, too."""
    own = getattr(param, "_custom_shell_complete", None)
    return [] if own is None else [each.value for each in param.shell_complete(Context(command), "")]


if __name__ == "__main__":
    sys.stdout.write(written())
