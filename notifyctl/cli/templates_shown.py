"""`templates preview` and `diff`: what templates say when they are rendered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import templatevars
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.options import given, taking
from notifyctl.cli.output import Field, FieldKind, escaped_lines
from notifyctl.config import expanded
from notifyctl.core.discretion import discreet_record
from notifyctl.core.errors import AnswerIsNo, UsageError
from notifyctl.services import linting, previews, showing
from notifyctl.services.linting import LintFinding
from notifyctl.services.previews import PreviewInput, RenderedDifference, RenderedTemplate

PREVIEWED = (
    Field("template"),
    Field("message_type"),
    Field("version", FieldKind.NUMBER),
    Field("language"),
    Field("subject"),
    Field("title"),
    Field("text"),
    Field("html"),
    Field("body"),
    Field("image"),
    Field("data", FieldKind.JSON),
)
DIFFERENCES = (Field("field", title="FIELD"), Field("before"), Field("after"), Field("diff", title="DIFF"))
FINDINGS = (
    Field("template", title="TEMPLATE"),
    Field("version", FieldKind.NUMBER, "VERSION"),
    Field("severity", title="WHAT"),
    Field("part", title="PART"),
    Field("line", FieldKind.NUMBER, "LINE"),
    Field("column", FieldKind.NUMBER, "COLUMN"),
    Field("message", title="MESSAGE"),
)
_PARTS = tuple(field.name for field in PREVIEWED[4:])

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The template's name or id.")]


def inputs(
    var: Annotated[
        list[str] | None, typer.Option("--var", metavar="K=V", help="A variable, as text; K:=JSON as JSON. Repeatable.")
    ] = None,
    from_notification: Annotated[
        str | None, typer.Option("--from-notification", metavar="ID", help="With the values of this notification.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="L", help="For who reads this.  [the user's]")
    ] = None,
) -> None:
    """Declare what to render from."""


SHOWING = taking(inputs)


def preview(
    ctx: typer.Context,
    name: NameArgument,
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="As this user would get it.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="This version.  [what is published]")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="What waits to be published.")] = False,
    part: Annotated[
        str | None, typer.Option("--part", metavar="P", help=f"Only this, byte for byte: {', '.join(_PARTS)}.")
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", metavar="F", help="Write it there: the HTML of a mail, else the text.")
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option("--sandbox", metavar="URL", help="Show it on the page of the sandbox that runs there.")
    ] = None,
) -> None:
    """Show what a template says, rendered as it would be sent. Variables without a value have their examples."""
    with invocation(ctx) as run:
        if draft and version is not None:
            raise UsageError("--draft and --version exclude each other")
        if sandbox is not None and (part is not None or save is not None):
            raise UsageError("--sandbox shows all of it", "leave --part and --save away")
        found = _rendered(run, name, _given(run, ctx, user), version, draft=draft)
        _say_examples(run, found.examples)
        if sandbox is not None:
            run.out.write(showing.show(found, sandbox))
            return
        if part is not None or save is not None:
            _write_part(run, found, part, save)
            return
        row = SimpleNamespace(**{field.name: found.content.get(field.name) for field in PREVIEWED[4:]})
        for field in PREVIEWED[:4]:
            setattr(row, field.name, getattr(found, field.name))
        if run.out.form == "table" and run.out.fields is None:
            _write(run, found)
        else:
            run.out.record(row, PREVIEWED, id_name="template")


def diff(
    ctx: typer.Context,
    name: NameArgument,
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="As this user would get it.")] = None,
    one: Annotated[
        int | None, typer.Option("--from", metavar="N", min=1, help="This version.  [what is published]")
    ] = None,
    two: Annotated[int | None, typer.Option("--to", metavar="N", min=1, help="And this one.  [the draft]")] = None,
) -> None:
    """Show how two versions differ when they are rendered from the same."""
    with invocation(ctx) as run:
        wanted = _given(run, ctx, user)
        found = previews.diff(run.system.db, name, wanted, one, two)
        if _hides(run, wanted):
            found = [RenderedDifference(**discreet_record(asdict(each))) for each in found]
        changed = [each for each in found if each.diff]
        if run.out.asked_form in (None, "table", "plain") and run.out.fields is None:
            for each in changed:
                run.out.write(escaped_lines(each.diff) if run.out.on_terminal else each.diff)
        else:
            run.out.records(changed, DIFFERENCES, id_name="field")
        if not changed:
            run.out.say("they say the same")


def lint(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Templates' names or ids; none: all of them.")
    ] = None,
    languages: Annotated[
        list[str] | None, typer.Option("--language", metavar="L", help="Each should speak this one. Repeatable.")
    ] = None,
) -> None:
    """Look for mistakes in drafts, and in what is published where there is no draft; exit 7 if there are errors."""
    with invocation(ctx) as run:
        done = linting.lint(run.system.db, names or (), languages or ())
        if run.out.form == "table" and run.out.fields is None:
            _write_findings(run, done.findings)
        else:
            run.out.records(done.findings, FINDINGS, id_name="template")
        warnings = len(done.findings) - done.errors
        told = f"{done.templates:,} looked at: {done.errors:,} errors, {warnings:,} warnings"
        if done.errors:
            raise AnswerIsNo(told, "notifyctl templates update, then publish")
        run.out.say(told)


def _write_findings(run: Invocation, findings: Sequence[LintFinding]) -> None:
    """Write what was found below the templates' names, whole: a table would cut off what is wrong."""
    for (name, version), found in groupby(findings, lambda each: (each.template, each.version)):
        run.out.write(f"{escaped_lines(name)}, version {version}")
        for each in found:
            place = ":".join(str(part) for part in (each.part, each.line, each.column) if part is not None)
            run.out.hanging(f"  {each.severity:<7}  {place}{'  ' if place else ''}", each.message)


def _given(run: Invocation, ctx: typer.Context, user: str | None) -> PreviewInput:
    told = given(ctx)
    variables = templatevars.pairs(told.get("var") or [])
    asked = (told.get("from_notification"), told.get("language"))
    return PreviewInput(user, variables, *asked, run.settings.unsubscribe_url)


def _rendered(
    run: Invocation, name: str, wanted: PreviewInput, version: int | None, *, draft: bool
) -> RenderedTemplate:
    found = previews.preview(run.system.db, name, wanted, version, draft=draft)
    return replace(found, content=discreet_record(found.content)) if _hides(run, wanted) else found


def _hides(run: Invocation, wanted: PreviewInput) -> bool:
    """Return whether it is rendered for somebody whose addresses the API key that acts may not see."""
    return bool(wanted.user or wanted.notification) and not run.system.sees_addresses


def _say_examples(run: Invocation, names: tuple[str, ...]) -> None:
    if names:
        run.out.say(f"from their examples: {', '.join(names)}")


def _write_part(run: Invocation, found: RenderedTemplate, part: str | None, save: str | None) -> None:
    usual = next((name for name in ("html", "text", "body") if found.content.get(name)), "text")
    value = found.content.get(part or usual)
    if value is None:
        has = ", ".join(name for name in _PARTS if name in found.content)
        raise UsageError(f"{found.template} has no {part or usual}", f"it has {has}")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if save is None:
        run.out.write_exactly(text)
        return
    try:
        Path(expanded(save)).write_bytes(text.encode())
    except OSError as error:
        raise UsageError(f"--save: {save}: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise UsageError(f"--save: {error}") from error
    run.out.say(f"{part or usual} of version {found.version} is in {save}")


def _write(run: Invocation, found: RenderedTemplate) -> None:
    """Write the parts one after the other, short ones on their line."""
    shown: dict[str, Any] = {"version": found.version, "language": found.language}
    for name in ("subject", "title", "image"):
        shown[name] = found.content.get(name)
    run.out.write("\n".join(f"{name:<9} {escaped_lines(str(value))}" for name, value in shown.items() if value))
    for name in ("text", "body", "html", "data"):
        if value := found.content.get(name):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
            run.out.write(f"\n{name}\n{escaped_lines(text)}")
