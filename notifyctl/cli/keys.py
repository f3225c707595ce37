"""`keys`: API keys that say who is acting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from notifyctl.cli import listing
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Noun, SecretLeaf
from notifyctl.cli.once import refuse_losing
from notifyctl.cli.output import Field, FieldKind, iso
from notifyctl.cli.prompt import hidden, kept, new_key
from notifyctl.cli.selection import AT_ONCE
from notifyctl.cli.stdin import stdin_bytes, stdin_line
from notifyctl.cli.types import Confirm, IfNotExists, SecretFile, UserArgument, duration
from notifyctl.core import apikey, scope
from notifyctl.core.errors import AnswerIsNo, NotifyctlError, PartlyDone, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.scope import ABOUT, OPEN, Scope
from notifyctl.services import admission, keys
from notifyctl.services.keys import NewKey, ReadyKey, Revocation, Wanted

app = Noun("API keys that say who is acting.")

FIELDS = (
    Field("id", FieldKind.ID, "ID"),
    Field("user_id", FieldKind.ID),
    Field("username", title="USER"),
    Field("name", title="NAME"),
    Field("prefix", title="PREFIX"),
    Field("last_four"),
    Field("scopes", FieldKind.JSON),
    Field("restrictions", FieldKind.JSON),
    Field("state", title="STATE", show=lambda key: _in_a_word(key)),
    Field("expires_at", FieldKind.TIME, "EXPIRES"),
    Field("last_used_at", FieldKind.TIME, "USED"),
    Field("created_at", FieldKind.TIME),
    Field("expiring", FieldKind.BOOL),
    Field("unused", FieldKind.BOOL),
)
_WATCHED = (*FIELDS, Field("refusals", FieldKind.JSON))
_CREATED = (*FIELDS, Field("created", FieldKind.BOOL))
_WITH_KEY = (*_CREATED, Field("key"))
_REVOKED = (
    Field("asked", title="ASKED"),
    Field("id", FieldKind.ID, "ID"),
    Field("username", title="USER"),
    Field("name", title="NAME"),
    Field("result", title="RESULT"),
    Field("message", title="MESSAGE"),
)
_VERDICT = (
    Field("valid", FieldKind.BOOL),
    Field("reason"),
    Field("id", FieldKind.ID),
    Field("user_id", FieldKind.ID),
    Field("username"),
    Field("name"),
    Field("expires_at", FieldKind.TIME),
)

_SCOPES = (
    Field("scope", title="SCOPE"),
    Field("about", title="LETS A KEY"),
    Field("commands", FieldKind.WORDS, "COMMANDS", lambda row: _briefly(row)),
)


class _ScopeWord:
    """Reads a scope on the command line; completion offers them."""

    words = tuple(Scope)
    __name__ = "S"

    def __call__(self, text: str) -> str:
        """Return it. Raises UsageError for one that there is not."""
        (found,) = scope.named([text])
        return found


_KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, or a unique beginning of it.")]
_ExpiresIn = Annotated[
    int | None,
    typer.Option("--expires-in", metavar="DURATION", parser=duration, help="How long it lives: 90d.  [for ever]"),
]
_LivesOn = Annotated[
    int | None,
    typer.Option(
        "--expires-in", metavar="DURATION", parser=duration, help="How long it lives: 90d.  [as long as the old one]"
    ),
]


@app.command(scope=Scope.KEYS_WRITE, cls=SecretLeaf, shows=_WITH_KEY)
def create(
    ctx: typer.Context,
    user: UserArgument,
    name: Annotated[str, typer.Option("--name", metavar="N", help="What the key is for.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="S",
            parser=_ScopeWord(),
            help="It may this: see keys scopes. Again for more.  [everything]",
        ),
    ] = None,
    only_to: Annotated[
        list[str] | None,
        typer.Option("--only-to", metavar="USER", help="It submits for this user only. Again for more.  [anybody]"),
    ] = None,
    dry_run_only: Annotated[bool, typer.Option("--dry-run-only", help="It submits only with --dry-run.")] = False,
    expires_in: _ExpiresIn = None,
    secret_file: SecretFile = None,
    if_not_exists: IfNotExists = False,
) -> None:
    """Create an API key for a user. It is shown once: now.

    Made by a key, it is good for no more than that, and for the same where nothing is said. With --if-not-exists an
    active key of that name is left as it is, and not shown.
    """
    with invocation(ctx) as run:
        refuse_losing(run, "key", secret_file)
        wanted = Wanted(tuple(dict.fromkeys(scopes)) if scopes else None, only_to or None, dry_run_only, expires_in)
        db, key = run.system.opened(admission.founds_key), new_key(run)
        present = keys.active(db, user, name, wanted) if if_not_exists else None
        if present is not None:
            _leave(run, present)
            return
        with kept(secret_file, key.secret):
            made = keys.create(db, user, key, name, wanted)
        _hand_over(run, made, secret_file)


@app.command("list", scope=Scope.KEYS_READ, shows=FIELDS)
def list_(
    ctx: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="This user's keys only.")] = None,
    expiring: Annotated[bool, typer.Option("--expiring", help="Those that end within 14 days.")] = False,
    unused: Annotated[bool, typer.Option("--unused", help="Those that nobody used for 90 days, or ever.")] = False,
    limit: listing.Limit = None,
    everything: listing.All = False,
    cursor: listing.After = None,
) -> None:
    """List API keys, newest first."""
    with invocation(ctx) as run:
        paging, db = listing.Paging(limit, everything, cursor), run.system.db
        which = keys.ask(db, user, expiring=expiring, unused=unused)
        listing.show(run, paging, partial(keys.listed, db, which), FIELDS, count=partial(keys.count, db, which))


@app.command(scope=Scope.KEYS_READ, shows=_WATCHED)
def show(ctx: typer.Context, key_id: _KeyId) -> None:
    """Show an API key, and what it was refused; not the key itself, which is not stored."""
    with invocation(ctx) as run:
        found = keys.get(run.system.db, _refuse_key(key_id))
        noted = [_refused(each) for each in found.refusals]
        run.out.record(SimpleNamespace(**{**asdict(found), "refusals": noted}), _WATCHED)


@app.command(scope=Scope.KEYS_WRITE, shows=_REVOKED)
def revoke(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or - for ids or leaked keys on stdin.")],
    confirm: Confirm = None,
) -> None:
    """Revoke API keys at once and for good; on a protected profile those of stdin only with --confirm."""
    with invocation(ctx) as run:
        asked = _asked(ids)
        if run.settings.protected and asked and ("-" in ids or len(asked) > AT_ONCE):
            run.confirm(f"Revoke {len(asked):,} API keys?", yes=False, confirm=confirm, bulk=True)
        results = keys.revoke(run.system.db, asked) if asked else []
        failures = [result.error for result in results if result.error is not None]
        if len(results) == 1 and failures:
            raise failures[0]
        run.out.records(results, _REVOKED)
        _raise_for(results, failures)


@app.command(scope=Scope.KEYS_WRITE, cls=SecretLeaf, shows=_WITH_KEY)
def rotate(
    ctx: typer.Context,
    key_id: _KeyId,
    expires_in: _LivesOn = None,
    overlap: Annotated[
        int | None,
        typer.Option("--overlap", metavar="DURATION", parser=duration, help="How long the old key still works.  [0s]"),
    ] = None,
    secret_file: SecretFile = None,
) -> None:
    """Replace an API key by a new one with the same user and name; without --overlap the old one ends at once."""
    with invocation(ctx) as run:
        refuse_losing(run, "key", secret_file)
        _refuse_key(key_id)
        db, key = run.system.db, new_key(run)
        with kept(secret_file, key.secret):
            made = keys.rotate(db, key_id, key, expires_in, overlap)
        _hand_over(run, made, secret_file)


@app.command(scope=Scope.KEYS_READ, shows=_VERDICT)
def verify(ctx: typer.Context) -> None:
    """Say whether the API key on stdin is valid; exit 7 when it is not."""
    with invocation(ctx) as run:
        secret = _secret_of_stdin(run)
        verdict = keys.verify(run.system.db, secret)
        run.out.record(verdict, _VERDICT)
        if not verdict.valid:
            raise AnswerIsNo(verdict.reason or "the key is not valid")


@app.command("scopes", scope=OPEN, shows=_SCOPES)
def scopes_(ctx: typer.Context) -> None:
    """List what keys may be for: scopes, and the commands that each covers."""
    with invocation(ctx) as run:
        from notifyctl.cli.outline import walk

        leaves = list(walk())
        rows = [_CoveredCommands(each, ABOUT[each], _covered(each, leaves)) for each in Scope]
        run.out.records(rows, _SCOPES, id_name="scope")


@dataclass(frozen=True, slots=True)
class _CoveredCommands:
    """A scope and what it covers."""

    scope: str
    about: str
    commands: list[str]


def _briefly(row: _CoveredCommands) -> str:
    noun = row.scope.partition(":")[0]
    return ", ".join(each.removeprefix(f"{noun} ") for each in row.commands)


def _covered(wanted: Scope, leaves: Sequence[tuple[str, Any]]) -> list[str]:
    return [path for path, command in leaves if command.scope in scope.covered(wanted)]


def _hand_over(run: Invocation, made: NewKey, secret_file: str | None) -> None:
    if run.out.form == "secret":
        run.out.write(made.key)
    elif secret_file is not None:
        run.out.record(made, _CREATED, told=_in_words(made))
        run.out.say(f"wrote the key to {secret_file}; it is nowhere else")
    else:
        run.out.record(made, _WITH_KEY, told=f"{_in_words(made)}: {made.key}")
        run.out.say("this is the only time the key is shown")


def _refused(refusal: Any) -> dict[str, Any]:
    told = {name: getattr(refusal, name) for name in ("reason", "wanted", "agent", "noted")}
    return {**told, "first_at": iso(refusal.first_at), "last_at": iso(refusal.last_at)}


def _in_a_word(key: Any) -> str:
    """Return how a key stands, and why to look at it."""
    notes = [*(["ending"] if key.expiring else []), *(["unused"] if key.unused else [])]
    return ", ".join(notes) or str(key.state)


def _in_words(made: NewKey) -> str:
    return f"key {made.id} ({made.name}) of {made.username} created"


def _leave(run: Invocation, present: ReadyKey) -> None:
    if run.out.form != "secret":
        run.out.record(present, _CREATED)
    run.out.say(f"there is an active key {present.name} of {present.username}; a key is shown only when it is made")


def _asked(ids: Sequence[str]) -> list[str]:
    for text in ids:
        _refuse_key(text)
    if list(ids) != ["-"]:
        if "-" in ids:
            raise UsageError("- stands alone: either ids, or stdin")
        return list(ids)
    return stdin_bytes("").decode(errors="surrogateescape").split()


def _refuse_key(text: str) -> str:
    if apikey.looks_like_one(text):
        raise UsageError(
            "that is a key, not its id: an argument can be read in the process list and in the shell's history",
            "notifyctl keys revoke - reads leaked keys from stdin",
        )
    return text


def _raise_for(results: Sequence[Revocation], failures: Sequence[NotifyctlError]) -> None:
    if not failures:
        return
    summary, kinds = f"{len(failures):,} of {len(results):,} failed", {type(error) for error in failures}
    if len(failures) < len(results) or len(kinds) > 1:
        raise PartlyDone(summary)
    raise kinds.pop()(summary)


def _secret_of_stdin(run: Invocation) -> str:
    secret = hidden(run, "API key", "") if run.may_ask else _line_of_stdin()
    if not secret:
        raise UsageError("no API key was given", "it is read from stdin: notifyctl keys verify < FILE")
    return secret


def _line_of_stdin() -> str:
    return stdin_line("").decode(errors="surrogateescape").strip()
