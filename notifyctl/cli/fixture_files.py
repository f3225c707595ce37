"""The files of fixtures: one, those of a folder, or stdin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from notifyctl.cli.stdin import stdin_bytes
from notifyctl.config import contents, expanded
from notifyctl.core.errors import NotFound, UsageError
from notifyctl.core.fixtures import text
from notifyctl.core.fixtures.reading import Fixture, FixtureReader
from notifyctl.core.fixtures.tree import Unreadable, refusal

_SUFFIXES = (".yaml", ".yml", ".json")


def read(names: Sequence[str]) -> Fixture:
    """Return what files, a folder's files or stdin say together. Raises UsageError with all that is wrong."""
    reader = FixtureReader()
    for path, raw in chain.from_iterable(map(_texts, dict.fromkeys(names))):
        try:
            reader.read(text.parse(raw, path, text.form_of(path, raw)))
        except Unreadable as error:
            reader.flaws.append(error.flaw)
    if reader.flaws:
        raise refusal(reader.told)
    return reader.fixture


def _texts(name: str) -> Iterator[tuple[str, bytes]]:
    if name == "-":
        yield "-", stdin_bytes("-f: ")
        return
    if not name:  # of a script's variable without a value; the folder where it runs was not meant
        raise UsageError("-f: '' names no file")
    path = expanded(name)
    try:
        files = _of_folder(path) if path.is_dir() else [path]
        for each in files:
            yield str(each), contents(each, "-f: ")
    except FileNotFoundError:
        raise NotFound(f"-f: there is no file {name}") from None
    except (OSError, ValueError) as error:  # ValueError: no name that a file can have
        raise UsageError(f"-f: {name}: {getattr(error, 'strerror', None) or error}") from error


def _of_folder(folder: Path) -> list[Path]:
    found = sorted(each for each in folder.iterdir() if each.suffix in _SUFFIXES and not each.name.startswith("."))
    if not found:
        raise NotFound(f"-f: {folder} holds no fixture", f"files that end in {', '.join(_SUFFIXES)} are read")
    return found
