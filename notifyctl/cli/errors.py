"""How an exception becomes two lines on stderr and an exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from notifyctl.cli.streams import OutputCutShort, StdoutFailed
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.patterns import pattern
from notifyctl.core.private import without_rows

INTERRUPTED = 130
READER_GONE = 141

_RAW = pattern("[\ud800-\udfff]")  # what Python makes of bytes that are no text

_NO_WHOLE = pattern("is not a valid int(eger)?( range)?")
_NO_NUMBER = pattern("is not a valid float( range)?")
_UsageError = typer.BadParameter.__base__  # Typer exports only the subclass


class ReaderGone(Exception):
    """The reader closed the pipe: a BrokenPipeError under a name that Click leaves alone."""


def exit_code_of(error: BaseException, argv: list[str]) -> int:
    """Tell the person what is wrong and return the exit code."""
    if isinstance(error, (BrokenPipeError, ReaderGone)):
        _give_up_stdout()
        return READER_GONE
    if isinstance(error, typer.Abort) or _is_interrupted(error):
        return INTERRUPTED
    if isinstance(error, typer.Exit):
        return error.exit_code
    if "--debug" in argv:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, StdoutFailed):
        _give_up_stdout()
        error = OutputCutShort(f"stdout: {error.strerror}; what was to be printed is cut short")
    code, name, message, hint = _facts(error, argv)
    more, problems = getattr(error, "facts", {}), getattr(error, "problems", ())
    _say({"code": name, "message": message, "hint": hint, **more}, problems, as_json=_wants_json(argv))
    return code


def _is_interrupted(error: BaseException) -> bool:
    """Return whether Ctrl-C is at the bottom of it: pressed while something was tidied up, it comes as other errors."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _give_up_stdout() -> None:
    """Keep Python's own flush at exit from complaining about it again."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def _facts(error: BaseException, argv: list[str]) -> tuple[int, str, str, str | None]:
    if isinstance(error, NotifyctlError):
        return error.exit_code, error.code, error.message, error.hint
    if _UsageError is not None and isinstance(error, _UsageError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "notifyctl"
        return 2, "usage", _said(error.format_message()), f"{path} --help"  # type: ignore[attr-defined]
    if isinstance(error, UnicodeEncodeError) and _RAW.search(error.object):
        raw = next((repr(word[:80]) for word in argv if _RAW.search(word)), "something that was given")
        return 2, "usage", f"{raw} is no text in UTF-8", None
    message = f"unexpected {type(error).__name__}: {' '.join(without_rows(str(error)).split())[:200]}"
    return 1, "failed", message, "this is a defect; run it again with --debug and report what it prints"


def _said(message: str) -> str:
    """Return what Click says of a command line, without its names of types."""
    return _NO_NUMBER.sub("is no number", _NO_WHOLE.sub("is no whole number", message)).rstrip(".")


def _say(problem: dict[str, Any], problems: Sequence[tuple[str, Mapping[str, Any]]], *, as_json: bool) -> None:
    from notifyctl.cli.output import as_json_text, escaped

    if as_json:
        problem |= {"problems": [facts for _, facts in problems]} if problems else {}
        print(as_json_text({"error": problem}), file=sys.stderr)  # noqa: T201
        return
    for line, _ in problems:
        print(escaped(line), file=sys.stderr)  # noqa: T201
    print(f"error: {escaped(problem['message'])}", file=sys.stderr)  # noqa: T201
    if problem["hint"]:
        print(f"hint: {escaped(problem['hint'])}", file=sys.stderr)  # noqa: T201


def _wants_json(argv: list[str]) -> bool:
    # By the words: where the command line was not understood, there is nothing else to go by.
    spelled = " ".join(argv)
    return re.search(r"(?<!\S)(-[a-z]*o ?|--output[ =])(nd)?json(?!\S)", spelled) is not None
