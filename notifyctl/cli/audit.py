"""`audit`: what was done, by whom and from where, and whether all of it is still there."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import exporting, files, listing
from notifyctl.cli.exportforms import columns
from notifyctl.cli.exporting import ExportLeaf
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun
from notifyctl.cli.options import given, taking
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.types import Confirm, Yes, duration, parse_since, parse_until
from notifyctl.core.audit import anchoring
from notifyctl.core.audit.chain import TrailFinding, TrailVerdict
from notifyctl.core.audit.entry import AuditEntry
from notifyctl.core.audit.sealing import Anchor
from notifyctl.core.audit.words import ACTIONS, RESOURCES, WORDS
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import AnswerIsNo
from notifyctl.core.scope import OPEN, Scope
from notifyctl.services import auditing as service
from notifyctl.services import exporting as exports
from notifyctl.services.auditing import AuditQuery

app = Noun("What was done, by whom, and whether the trail of it is whole.")

NARROW = 44
"""So much of what changed fits into a line of a table."""


def _resource(entry: AuditEntry) -> str:
    return entry.resource_type + (f"/{entry.resource_id[:8]}" if entry.resource_id else "")


def _what(entry: AuditEntry) -> str:
    """Return what changed in few words: old → new, as far as that fits."""
    said = ", ".join(_pair(name, value) for name, value in entry.changes.items())
    return said if len(said) <= NARROW else f"{said[: NARROW - 1]}…"


def _pair(name: str, value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        return f"{name} {_short(value[0])} → {_short(value[1])}"
    return f"{name} {_short(value)}"


def _short(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("created_at", FieldKind.TIME, "AT"),
    Field("actor", title="WHO"),
    Field("action", title="ACTION"),
    Field("resource_type", title="WHAT", show=_resource),
    Field("resource_id", FieldKind.ID),
    Field("user_id", FieldKind.ID),
    Field("actor_id", FieldKind.ID),
    Field("key_id", FieldKind.ID),
    Field("ip_address"),
    Field("user_agent"),
    Field("reason"),
    Field("changes", FieldKind.JSON, "CHANGES", show=_what),
    Field("mac"),
    Field("position", FieldKind.NUMBER),
)
_ACTIONS = (
    Field("action", title="ACTION"),
    Field("meaning", title="MEANING"),
    Field("resources", FieldKind.WORDS, "DONE TO", show=lambda word: ", ".join(word.resources)),
)
_FINDINGS = (
    Field("fault", title="FAULT"),
    Field("position", FieldKind.NUMBER, "POSITION"),
    Field("audit_id", FieldKind.ID, "ID"),
    Field("message", title="MESSAGE"),
)
_SEALED = (Field("sealed", FieldKind.NUMBER), Field("position", FieldKind.NUMBER))
_ANCHOR = (Field("position", FieldKind.NUMBER), Field("seal"), Field("at", FieldKind.TIME))
_PURGED = (Field("removed", FieldKind.NUMBER), Field("through", FieldKind.NUMBER))


def _completed_actions(incomplete: str) -> list[str]:
    return [action for action in ACTIONS if action.startswith(incomplete)]


def _completed_resources(incomplete: str) -> list[str]:
    return [resource for resource in RESOURCES if resource.startswith(incomplete)]


def _filters(
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="Done by this user, or operator (person@host).")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="ID", help="Done with this API key.")] = None,
    action: Annotated[
        str | None,
        typer.Option(
            "--action",
            metavar="ACTION",
            autocompletion=_completed_actions,
            help="This action: audit actions lists them.",
        ),
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option(
            "--resource",
            metavar="TYPE[/ID]",
            autocompletion=_completed_resources,
            help="Done to such a thing, or to this one: by id, or name.",
        ),
    ] = None,
    since: Annotated[
        Any, typer.Option("--since", metavar="T", parser=parse_since, help="Done at or after: a time, or 2h ago.")
    ] = None,
    until: Annotated[
        Any, typer.Option("--until", metavar="T", parser=parse_until, help="Done before: the same.")
    ] = None,
) -> None:
    """Declare the filters."""


@app.command("list", scope=Scope.AUDIT_READ, cls=taking(_filters), shows=FIELDS)
def list_(
    ctx: typer.Context, limit: listing.Limit = None, everything: listing.All = False, cursor: listing.After = None
) -> None:
    """List what was done, newest first. Addresses, secrets and messages are masked as they are written."""
    with invocation(ctx) as run:
        paging, db = listing.Paging(limit, everything, cursor), run.system.db
        wanted = service.filter_of(db, AuditQuery(**given(ctx)))
        listing.show(run, paging, partial(service.page, db, wanted), FIELDS, count=partial(service.count, db, wanted))


@app.command(scope=Scope.AUDIT_READ, shows=FIELDS)
def show(
    ctx: typer.Context,
    audit_id: Annotated[str, typer.Argument(metavar="ID", help="The entry's id, or a unique beginning of it.")],
) -> None:
    """Show all that an entry says."""
    with invocation(ctx) as run:
        run.out.record(service.get(run.system.db, audit_id), FIELDS)


@app.command(scope=OPEN, shows=_ACTIONS)
def actions(ctx: typer.Context) -> None:
    """List the words of the trail: every action, what it means and what it is done to."""
    with invocation(ctx) as run:
        run.out.records([SimpleNamespace(**word._asdict()) for word in WORDS], _ACTIONS, id_name="action")


@app.command(scope=Scope.AUDIT_READ, cls=taking(_filters, kind=ExportLeaf), shows=FIELDS)
def export(ctx: typer.Context, target: exporting.Target = None) -> None:
    """Export what was done as it is at one moment, newest first: NDJSON, or with -o CSV or Parquet."""
    with invocation(ctx) as run:
        db = run.system.db
        wanted = service.filter_of(db, AuditQuery(**given(ctx)))
        exporting.export(
            run,
            target,
            columns(FIELDS, {"changes": _changes}),
            partial(exports.audit_entries, db, wanted),
            usual="ndjson",
        )


@app.command(scope=Scope.AUDIT_READ, shows=_FINDINGS)
def verify(
    ctx: typer.Context,
    anchors: Annotated[
        list[str] | None,
        typer.Option("--anchors", metavar="FILE", help="Anchors kept elsewhere; - is stdin.  [the profile's file]"),
    ] = None,
    accepts_unsigned: Annotated[
        bool, typer.Option("--accept-unsigned", help="Rows without a MAC are no fault: some operators have no key.")
    ] = False,
) -> None:
    """Say whether the trail is whole: what was changed, removed, moved, forged; exit 7 where anything was.

    Each row is held against its own MAC and the chain, and the chain against anchors. What is not sealed yet, and what
    no anchor covers yet, is counted and no fault; rows that SQL wrote are listed until they are sealed.
    """
    with invocation(ctx) as run:
        found = list[TrailFinding]()
        known, kept = _anchors(run, anchors or [])
        db, keyring = run.system.db, run.system.keyring
        verdict = service.verify(db, keyring, known, found.append, kept, accepts_unsigned=accepts_unsigned)
        if run.out.form in ("json", "yaml") and run.out.fields is None:
            run.out.document({**_document(verdict), "faults": [each._asdict() for each in found]})
        else:
            run.out.records([*found, *_not_sealed(verdict)], _FINDINGS, id_name="audit_id")
        for each in _told(verdict):
            run.out.say(each)
        if found:
            raise AnswerIsNo(
                f"the trail is not whole: {_faults(found)}",
                "compare these rows with a backup; docs/audit.md says what each fault is",
            )


@app.command(scope=Scope.AUDIT_WRITE, shows=_ANCHOR)
def anchor(ctx: typer.Context) -> None:
    """Seal what is not sealed, and print where the chain ends: a line to be kept outside of the database.

    A dispatcher does so by itself where the profile names a place: audit_anchor = { file = "...", every = "1h" }.
    """
    with invocation(ctx) as run:
        db, keyring = run.system.db, run.system.keyring
        made = service.anchor(db, keyring)
        if run.out.asked_form is None and run.out.fields is None:
            run.out.write(anchoring.line(made))
        else:
            said = SimpleNamespace(position=made.position, seal=made.value, at=made.at)
            run.out.record(said, _ANCHOR, id_name="seal")
        service.noted(db, made, "stdout")


@app.command(scope=Scope.AUDIT_WRITE, shows=_SEALED)
def seal(
    ctx: typer.Context,
    lost: Annotated[
        str | None,
        typer.Option("--lost-key", metavar="KEY", help="Go on though this encryption key, which sealed last, is lost."),
    ] = None,
) -> None:
    """Seal what is committed and not sealed yet; a dispatcher does so by itself."""
    with invocation(ctx) as run:
        done = service.seal_all(run.system.db, run.system.keyring, lost)
        told = f"{done.sealed:,} sealed; the chain ends at position {done.position:,}"
        run.out.record(done, _SEALED, id_name="position", told=told)


@app.command(scope=Scope.AUDIT_WRITE, shows=_PURGED)
def purge(
    ctx: typer.Context,
    older_than: Annotated[
        int, typer.Option("--older-than", metavar="DURATION", parser=duration, help="What is older goes: 400d.")
    ],
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Remove the oldest part of the trail. That it was, and what it ended with, stays in the trail."""
    with invocation(ctx) as run:
        db, keyring = run.system.db, run.system.keyring
        count = service.to_purge(db, older_than)
        if count:
            question = f"Remove up to {count:,} entries older than {show_ms(older_than)} from the audit trail for good?"
            run.confirm(question, yes=yes, confirm=confirm, bulk=True)
        done = service.purge(db, keyring, older_than)
        run.out.record(done, _PURGED, id_name="through", told=f"{done.removed:,} removed")


def _changes(entry: AuditEntry) -> str:
    return json.dumps(entry.changes, ensure_ascii=False)


def _anchors(run: Invocation, named: list[str]) -> tuple[list[Anchor], service.KeptFile | None]:
    """Return the anchors of the files that are named, else those in the file of the profile, which is told as well."""
    terms = run.settings.audit_anchor
    if named or terms is None or terms.file is None:
        return [each for name in named for each in _read(run, name)], None
    found = _read(run, terms.file) if Path(terms.file).exists() else []
    if not found:
        run.out.say(f"there are no anchors in {terms.file}")
    return found, service.KeptFile(terms.file, terms.every_ms, socket.gethostname())


def _read(run: Invocation, name: str) -> list[Anchor]:
    return anchoring.lines(files.text(name, "--anchors"), name, run.out.say)


def _document(verdict: TrailVerdict) -> dict[str, Any]:
    names = ("sealed", "unsealed", "without_mac", "purged", "last", "anchors", "anchored", "not_anchored", "not_sealed")
    said = {name: getattr(verdict, name) for name in (*names, "unverified")}
    return {"whole": verdict.faults == 0, **said, "lacking": sorted(verdict.lacking)}


def _told(verdict: TrailVerdict) -> list[str]:
    looked = f"{'' if verdict.faults else 'whole: '}{verdict.sealed:,} sealed rows, up to position {verdict.last:,}"
    said = [looked + (f"; up to {verdict.purged:,} purged" if verdict.purged else "")]
    if verdict.unsealed:
        said.append(f"{verdict.unsealed:,} not sealed yet: notifyctl audit seal, or a dispatcher, does that")
    if verdict.without_mac:
        said.append(f"{verdict.without_mac:,} without a MAC of their own: written in SQL, or without an encryption key")
    if unverified := service.unverified(verdict):
        said.append(unverified)
    if verdict.not_anchored:
        covered = f"after position {verdict.anchored:,}" if verdict.anchored else "at all"
        said.append(f"{verdict.not_anchored:,} that no anchor covers {covered}: notifyctl audit anchor")
    return said


def _not_sealed(verdict: TrailVerdict) -> list[SimpleNamespace]:
    message = "not sealed yet, and written without a MAC"
    return [
        SimpleNamespace(fault="not_sealed", position=None, audit_id=id_, message=message) for id_ in verdict.not_sealed
    ]


def _faults(found: list[TrailFinding]) -> str:
    counts: dict[str, int] = {}
    for each in found:
        counts[each.fault.value] = counts.get(each.fault.value, 0) + 1
    return ", ".join(f"{count:,} {fault}" for fault, count in counts.items())
