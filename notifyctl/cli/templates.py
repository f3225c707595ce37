"""`templates`: what is sent, written once: made, changed, published, taken back."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import files, listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import FORMATS, Leaf, Noun
from notifyctl.cli.options import given, one_of, taking
from notifyctl.cli.output import Field, FieldKind, escaped_lines, iso
from notifyctl.cli.templates_filed import PULLED, PUSHED, pull, push, some
from notifyctl.cli.templates_shown import (
    DIFFERENCES,
    FINDINGS,
    PREVIEWED,
    SHOWING,
    NameArgument,
    diff,
    lint,
    preview,
)
from notifyctl.cli.types import Confirm, IfNotExists, Yes
from notifyctl.core import wording
from notifyctl.core.duration import age
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.scope import Scope
from notifyctl.core.wording import PARTS, Template, TemplateKind, TemplateState, Wording
from notifyctl.services import previews
from notifyctl.services import templates as service
from notifyctl.services.templates import NewTemplate, ShownTemplate, TemplateChanges

app = Noun("What is sent, written once: templates, their versions and languages.")


def _fields(now: int) -> tuple[Field, ...]:
    """Return the fields of a template; ages are those at the moment `now`."""
    return (
        Field("id", FieldKind.ID, "ID"),
        Field("name", title="NAME"),
        Field("message_type", title="CH", show=_channel),
        Field("kind"),
        Field("state", title="STATE"),
        Field("is_active", FieldKind.BOOL),
        Field("published_version", FieldKind.NUMBER, "VER", lambda row: str(row.published_version or "-")),
        Field("draft_version", FieldKind.NUMBER, "DRAFT"),
        Field("category", title="CATEGORY"),
        Field("created_by", FieldKind.ID),
        Field("username", title="BY"),
        Field("created_at", FieldKind.TIME),
        Field("updated_at", FieldKind.TIME, "CHANGED", lambda row: age(now - row.updated_at)),
    )


def _channel(row: Template) -> str:
    """Return the channel for the table, and the kind of what is no message."""
    return row.message_type if row.kind == TemplateKind.MESSAGE else f"{row.message_type} {row.kind}"


FIELDS = _fields(0)
_CREATED = (*FIELDS, Field("created", FieldKind.BOOL))
_SAID = (
    Field("version", FieldKind.NUMBER),
    Field("language"),
    Field("subject"),
    Field("title"),
    Field("body"),
    Field("html"),
    Field("image"),
    Field("data", FieldKind.JSON),
    Field("variables", FieldKind.JSON),
    Field("variants", FieldKind.JSON),
    Field("includes", FieldKind.JSON),
)
_SHOWN = (*FIELDS, *_SAID, Field("versions", FieldKind.JSON))

_By = Annotated[
    str | None, typer.Option("--by", metavar="USER", help="Who does it.  [the API key's user, or the operator]")
]
_Note = Annotated[str | None, typer.Option("--note", metavar="N", help="What this version is about.")]
_Version = Annotated[
    int | None, typer.Option("--version", metavar="N", min=1, help="This version.  [what is published]")
]


def _parts(
    subject: Annotated[str | None, typer.Option("--subject", metavar="S", help="The subject of a mail.")] = None,
    body: Annotated[str | None, typer.Option("--body", metavar="B", help="The text, with {{ variables }}.")] = None,
    body_file: Annotated[
        str | None, typer.Option("--body-file", metavar="F", help="The text is in this file; - is stdin.")
    ] = None,
    html_file: Annotated[
        str | None, typer.Option("--html-file", metavar="F", help="The HTML of a mail is in this file; - is stdin.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="S", help="The title of a push.")] = None,
    image: Annotated[str | None, typer.Option("--image", metavar="URL", help="The image of a push.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="A push's data: an object of texts.")
    ] = None,
    variables: Annotated[
        str | None,
        typer.Option("--variables", metavar="A,B|JSON", help="Names, or an array with type, default, example."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="L", help="The language of these parts: en, pt-BR.")
    ] = None,
    category: Annotated[str | None, typer.Option("--category", metavar="C", help="Of what is sent by it.")] = None,
) -> None:
    """Declare what a template says."""


def _filters(
    channel: Annotated[
        Channel | None, typer.Option("--channel", metavar="C", parser=one_of(Channel), help=", ".join(Channel))
    ] = None,
    kind: Annotated[
        TemplateKind | None,
        typer.Option("--kind", metavar="K", parser=one_of(TemplateKind), help=", ".join(TemplateKind)),
    ] = None,
    state: Annotated[
        TemplateState | None,
        typer.Option("--state", metavar="S", parser=one_of(TemplateState), help=", ".join(TemplateState)),
    ] = None,
) -> None:
    """Declare which templates."""


_SAYING = taking(_parts)


@app.command(scope=Scope.TEMPLATES_WRITE, cls=_SAYING, shows=_CREATED)
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Like welcome, order.shipped or layouts/base.")],
    channel: Annotated[
        Channel, typer.Option("--channel", metavar="C", parser=one_of(Channel), help="email, sms or push.")
    ],
    kind: Annotated[
        TemplateKind,
        typer.Option("--kind", metavar="K", parser=one_of(TemplateKind), help=", ".join(TemplateKind)),
    ] = TemplateKind.MESSAGE,
    draft: Annotated[bool, typer.Option("--draft", help="Do not publish it yet.")] = False,
    by: _By = None,
    note: _Note = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Make a template and publish it as version 1."""
    with invocation(ctx) as run:
        told = given(ctx)
        said = Wording(_given_parts(told), _variables(told) or (), told.get("language"))
        wanted = NewTemplate(name, channel, said, kind, told.get("category"), note, _creator(run, by), draft)
        act = service.ensure if if_not_exists else service.create
        made = act(run.system.db, wanted)
        run.out.record(made, _CREATED, told=_in_words(made, "created" if made.created else "is there already"))


@app.command("list", scope=Scope.TEMPLATES_READ, cls=taking(_filters), shows=FIELDS)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List templates, newest first."""
    with invocation(ctx) as run:
        paging, db = listing.Paging(limit, everything, cursor), run.system.db
        wanted = service.wanted(**given(ctx))
        found, count = partial(service.page, db, wanted), partial(service.count, db, wanted)
        listing.show(run, paging, found, _fields(db.moment()), count=count)


class _SchemaLeaf(Leaf):
    """A verb that can show what a template takes as a JSON Schema."""

    formats = (*FORMATS, "jsonschema")


@app.command(scope=Scope.TEMPLATES_READ, cls=_SchemaLeaf, shows=_SHOWN)
def show(
    ctx: typer.Context,
    name: NameArgument,
    version: _Version = None,
    draft: Annotated[bool, typer.Option("--draft", help="What waits to be published.")] = False,
) -> None:
    """Show what a template says, and its versions; -o jsonschema is the type of its variables."""
    with invocation(ctx) as run:
        if draft and version is not None:
            raise UsageError("--draft and --version exclude each other")
        if run.out.form == "jsonschema":
            run.out.write(json.dumps(previews.json_schema(run.system.db, name, version, draft=draft), indent=2))
            return
        found = service.show(run.system.db, name, version, draft=draft)
        row = _row(found)
        if run.out.form != "table" or run.out.fields is not None:
            run.out.record(row, _SHOWN)
            return
        run.out.record(row, (*FIELDS, *(field for field in _SAID[:2] if getattr(row, field.name))))
        _write_text(run, found)


@app.command(scope=Scope.TEMPLATES_WRITE, cls=_SAYING, shows=FIELDS)
def update(
    ctx: typer.Context,
    name: NameArgument,
    variant: Annotated[
        str | None, typer.Option("--variant", metavar="L", help="These parts are for people who read this language.")
    ] = None,
    by: _By = None,
    note: _Note = None,
) -> None:
    """Change what a template says, as a draft that publish lets hold. An empty part is taken away.

    The category changes at once.
    """
    with invocation(ctx) as run:
        told, db = given(ctx), run.system.db
        category, language = told.get("category"), told.get("language")
        changes = TemplateChanges(_given_parts(told), variant, _variables(told), language, category, note)
        done = service.update(db, name, changes, run.maker(by))
        run.out.record(done, FIELDS, told=_in_words(done, "updated"))
        if done.draft_version is not None:
            run.out.say(f"version {done.draft_version} is a draft: notifyctl templates publish {done.name}")


@app.command(scope=Scope.TEMPLATES_WRITE, shows=FIELDS)
def publish(ctx: typer.Context, name: NameArgument) -> None:
    """Let a template's draft hold from now on; what was submitted before keeps its version."""
    with invocation(ctx) as run:
        done = service.publish(run.system.db, name)
        run.out.record(done, FIELDS, told=_in_words(done, "published"))
        _say_behind(run, done)


@app.command(scope=Scope.TEMPLATES_WRITE, shows=FIELDS)
def rollback(
    ctx: typer.Context,
    name: NameArgument,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", min=1, help="This version.  [the one published before]")
    ] = None,
) -> None:
    """Let an earlier version of a template hold again."""
    with invocation(ctx) as run:
        done = service.rollback(run.system.db, name, to)
        run.out.record(done, FIELDS, told=_in_words(done, "rolled back"))
        _say_behind(run, done)


@app.command(scope=Scope.TEMPLATES_WRITE, shows=FIELDS)
def enable(ctx: typer.Context, name: NameArgument) -> None:
    """Let a template be used again."""
    with invocation(ctx) as run:
        done = service.enable(run.system.db, name)
        run.out.record(done, FIELDS, told=_in_words(done, "enabled"))


@app.command(scope=Scope.TEMPLATES_WRITE, shows=FIELDS)
def disable(ctx: typer.Context, name: NameArgument) -> None:
    """Take a template out of use: nothing can be submitted by it, and what was submitted waits."""
    with invocation(ctx) as run:
        db = run.system.db
        done = service.disable(db, name)
        run.out.record(done, FIELDS, told=_in_words(done, "disabled"))
        if waiting := service.waiting(db, done):
            run.out.say(f"held until it is enabled: {waiting:,} pending notification{'' if waiting == 1 else 's'}")


@app.command(scope=Scope.TEMPLATES_WRITE, shows=FIELDS)
def delete(ctx: typer.Context, name: NameArgument, yes: Yes = False, confirm: Confirm = None) -> None:
    """Delete a template with its versions; nothing may wait for it or include it."""
    with invocation(ctx) as run:
        doomed = service.refuse_removal(run.system.db, name)
        run.confirm(f"Delete template {doomed.name} with all its versions?", yes=yes, confirm=confirm)
        run.out.record(service.remove(run.system.db, doomed.id), FIELDS, told=_in_words(doomed, "deleted"))


app.command(scope=Scope.TEMPLATES_READ, cls=SHOWING, shows=PREVIEWED)(preview)
app.command(scope=Scope.TEMPLATES_READ, cls=SHOWING, shows=DIFFERENCES)(diff)
app.command(scope=Scope.TEMPLATES_READ, shows=FINDINGS)(lint)
app.command(scope=Scope.TEMPLATES_WRITE, shows=PUSHED)(push)
app.command(scope=Scope.TEMPLATES_READ, shows=PULLED)(pull)


# What was given


def _given_parts(told: dict[str, Any]) -> dict[str, Any]:
    """Return the parts that the options make, an empty one where it was given empty."""
    if told.get("body") is not None and told.get("body_file") is not None:
        raise UsageError("--body and --body-file exclude each other")
    if told.get("body_file") == told.get("html_file") == "-":
        raise UsageError("--body-file and --html-file cannot both be stdin")
    found = {name: told[name] for name in ("subject", "body", "title", "image") if told.get(name) is not None}
    for option, part in (("body_file", "body"), ("html_file", "html")):
        if told.get(option) is not None:
            found[part] = files.text(told[option], f"--{option.replace('_', '-')}")
    if told.get("data") is not None:
        found["data"] = _json(told["data"], "--data") if told["data"] else {}
    return found


def _variables(told: dict[str, Any]) -> tuple[Any, ...] | None:
    text = told.get("variables")
    if text is None:
        return None
    if text.lstrip().startswith("["):
        return wording.variables(_json(text, "--variables"), "--variables")
    return wording.variables([name.strip() for name in text.split(",") if name.strip()], "--variables")


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} is not JSON: {error}") from None


def _say_behind(run: Invocation, done: Template) -> None:
    """Say which templates stay pinned to another version of this one."""
    if names := service.behind(run.system.db, done):
        run.out.say(f"included as it was: {some(names)}; notifyctl templates publish NAME takes this version")


def _creator(run: Invocation, by: str | None) -> str:
    who = run.maker(by)
    if who is None:
        raise UsageError("nobody is named who makes it", '--by USER, or operator = "USER" in the profile')
    return who


# Showing


def _in_words(template: Template, did: str) -> str:
    number = f"version {template.published_version}" if template.published_version else "a draft"
    state = "" if template.state != TemplateState.DISABLED or did == "disabled" else ", disabled"
    return f"template {template.name} ({template.message_type}) {did}, {number}{state}: {template.id}"


def _row(found: ShownTemplate) -> SimpleNamespace:
    template, said = found.template, found.version
    row = {**asdict(template), "state": template.state, "version": said.number}
    for field in _SAID[1:]:
        row[field.name] = getattr(said, field.name)
    row["body"] = said.body or None
    row["versions"] = [
        {
            "number": each.number,
            "state": each.state,
            "created_at": iso(each.created_at),
            "published_at": None if each.published_at is None else iso(each.published_at),
            "created_by": each.created_by,
            "username": each.author,
            "note": each.note,
        }
        for each in found.versions
    ]
    return SimpleNamespace(**row)


def _write_text(run: Invocation, found: ShownTemplate) -> None:
    """Write the parts in each language, the variables, and a line a version."""
    said, channel = found.version.wording, found.template.channel
    for tag, parts in ((None, said.parts), *(said.variants or {}).items()):
        for name in PARTS[channel]:
            if (text := parts.get(name)) is not None:
                shown = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, indent=2)
                run.out.write(f"\n{name}{f' ({tag})' if tag else ''}\n{escaped_lines(shown)}")
    if said.variables:
        run.out.write(f"\nvariables\n{escaped_lines(json.dumps(said.variables, ensure_ascii=False))}")
    run.out.write("")
    for each in found.versions:
        holds = "*" if each.number == found.template.published_version else " "
        more = "  ".join(filter(None, (each.author, each.note)))
        run.out.hanging(f"{holds} {each.number}  {each.state:<9}  {run.out.time(each.created_at)}  ", more or "-")
