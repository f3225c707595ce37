"""`templates push` and `pull`: a folder of files, and what the database says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.output import Field, FieldKind, escaped_lines
from notifyctl.config import contents, expanded
from notifyctl.core.errors import NotFound, UsageError
from notifyctl.services import filing

PUSHED = (
    Field("name", title="NAME"),
    Field("result", title="RESULT"),
    Field("version", FieldKind.NUMBER, "VERSION"),
    Field("diff"),
)
PULLED = (Field("path", title="FILE"), Field("result", title="RESULT"), Field("diff"))
_SUFFIXES = (".txt", ".html")
SOME = 5
"""How many names stand in a sentence."""

_Dir = Annotated[str, typer.Argument(metavar="DIR", help="A folder with files NAME.txt and NAME.html.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the differences, and change nothing.")]


def push(
    ctx: typer.Context,
    folder: _Dir,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish what changes, too, and what includes that.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="USER", help="Who does it.  [the API key's user, or the operator]")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="N", help="What the versions are about.")] = None,
    dry_run: _DryRun = False,
) -> None:
    """Make templates say what the files of a folder say: all of them, or none.

    New ones are published; a change is a draft unless --publish says otherwise. Nothing is deleted.
    """
    with invocation(ctx) as run:
        db = run.system.db.rehearsal() if dry_run else run.system.db
        root = _existing(folder)
        who = run.maker(by)
        texts = {str(Path(folder) / path): text for path, text in _texts(root).items()}  # errors name them so
        done = filing.push(db, texts, by=who, note=note, publish=publish)
        _show(run, done, PUSHED, "name", dry=dry_run)
        drafts = [each.name for each in done if each.result == filing.UPDATED]
        if drafts and not dry_run:
            run.out.say(f"drafts: {some(drafts)}; notifyctl templates publish NAME, or push --publish")


def pull(ctx: typer.Context, folder: _Dir, dry_run: _DryRun = False) -> None:
    """Write all templates into a folder, one or more files each: their drafts, else what is published.

    What is pushed from there again changes nothing: a file that means the same stays as it is written, and one of a
    language that a template does not have is removed. Files of templates that there are not stay.
    """
    with invocation(ctx) as run:
        root = expanded(folder)
        done = filing.pull(run.system.db, _texts(root) if _is_folder(root) else {})
        if not dry_run:
            for each in done:
                if each.result != filing.UNCHANGED:
                    _write(root, each.path, None if each.result == filing.REMOVED else each.text)
        _warn(run, [each.path for each in done if each.result != filing.REMOVED])
        _show(run, done, PULLED, "path", dry=dry_run)


def some(names: Sequence[str]) -> str:
    """Return names for a sentence: the first of them, and how many others there are."""
    if len(names) <= SOME + 1:
        return ", ".join(names)
    return f"{', '.join(names[:SOME])} and {len(names) - SOME:,} others"


def _existing(folder: str) -> Path:
    root = expanded(folder)
    if not _is_folder(root):
        raise NotFound(f"there is no folder {folder}", "notifyctl templates pull DIR makes one")
    return root


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no name that a folder can have
        return False


def _texts(root: Path) -> dict[str, str]:
    """Return the texts of a folder's files by their paths in it, their bytes as they are."""
    found: dict[str, str] = {}
    try:
        paths = sorted(root.rglob("*"))
    except OSError as error:
        raise UsageError(f"{root}: {error.strerror}") from error
    for path in paths:
        if path.suffix not in _SUFFIXES or _is_hidden(path.relative_to(root)) or path.is_dir():
            continue
        if not path.is_file():
            raise UsageError(f"{path}: is no file, or a link that leads to none")
        try:
            found[path.relative_to(root).as_posix()] = contents(path).decode()
        except UnicodeDecodeError:
            raise UsageError(f"{path}: is no text in UTF-8") from None
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _write(root: Path, path: str, text: str | None) -> None:
    """Write a file whole, or not at all; None removes it."""
    target = root / path
    try:
        meant = target.resolve()
        if not meant.is_relative_to(root.resolve()):
            raise UsageError(f"{target}: is a link that leads out of {root}", "put a file in its place")
        if text is None:
            target.unlink()
            return
        meant.parent.mkdir(parents=True, exist_ok=True)
        beside = meant.with_name(f".{meant.name}.new")
        beside.write_bytes(text.encode())
        if meant.exists():
            beside.chmod(meant.stat().st_mode)
        beside.replace(meant)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise UsageError(f"{target}: {error}") from error


def _warn(run: Invocation, paths: Sequence[str]) -> None:
    """Say which files are one where upper and lower case are the same."""
    alike: dict[str, list[str]] = {}
    for path in paths:
        alike.setdefault(path.casefold(), []).append(path)
    for several in alike.values():
        if len(several) > 1:
            run.out.say(f"{' and '.join(several)} are one file where upper and lower case are the same")


def _show(run: Invocation, done: Sequence[Any], fields: Sequence[Field], id_name: str, *, dry: bool) -> None:
    """Write what became of each; with --dry-run a person gets the differences."""
    changed = [each for each in done if each.result != filing.UNCHANGED]
    if dry and run.out.asked_form in (None, "table", "plain") and run.out.fields is None:
        for each in changed:
            if each.diff:
                run.out.write(escaped_lines(each.diff) if run.out.on_terminal else each.diff)
    else:
        run.out.records(done, fields, id_name=id_name)
    told = f"{len(changed):,} of {len(done):,} {'would change' if dry else 'changed'}"
    run.out.say(f"{told}; nothing was done" if dry else told)
