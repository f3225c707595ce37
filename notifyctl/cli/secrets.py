"""`secrets`: encryption keys for what is kept sealed, and their rotation."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import SECRET, Noun, TextLeaf
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.secretfile import write_secret
from notifyctl.cli.types import Confirm, Yes
from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.scope import OPEN, Scope
from notifyctl.core.sealing import KEY_BYTES, format_key, no_keys
from notifyctl.services import atrest, rotating
from notifyctl.services.atrest import Moved
from notifyctl.services.rotating import KeyUse
from notifyctl.wiring import keysfile

app = Noun("Encryption keys for credentials and addresses.")

_USES = (
    Field("kid", title="KEY"),
    Field("role", title="ROLE"),
    Field("rows", FieldKind.NUMBER, "VALUES"),
    Field("dispatchers", FieldKind.NUMBER, "DISPATCHERS"),
    Field("columns", FieldKind.JSON),
)
_STEP = (
    Field("step", title="STEP"),
    Field("kid", title="KEY"),
    Field("resealed", FieldKind.NUMBER, "SEALED ANEW"),
    Field("changed_meanwhile", FieldKind.NUMBER),
    Field("failed", FieldKind.NUMBER, "FAILED"),
)


class _KeyLeaf(TextLeaf):
    """Prints a key and nothing else, also where it is asked for as a secret."""

    formats: tuple[str, ...] = ("plain", SECRET)


_MOVED = (
    Field("encrypted", FieldKind.BOOL, "ENCRYPTED"),
    Field("contact_points", FieldKind.NUMBER, "CONTACT POINTS"),
    Field("suppressions", FieldKind.NUMBER, "SUPPRESSIONS"),
    Field("notifications", FieldKind.NUMBER, "NOTIFICATIONS"),
)


@dataclass(frozen=True, slots=True)
class _Rotated:
    step: str
    kid: str
    resealed: int = 0
    changed_meanwhile: int = 0
    failed: int = 0


@app.command("generate-key", scope=OPEN, cls=_KeyLeaf)
def generate_key(
    ctx: typer.Context,
    kid: Annotated[
        str | None, typer.Option("--kid", metavar="ID", help="The key's id: 1 to 6 of a-z 0-9.  [k1, or the next]")
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", metavar="F", help="Write it there, readable by you only.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Write it where notifyctl looks for keys.")] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Add it to the keys that are there, to read only: a rotation's first step.")
    ] = False,
) -> None:
    """Make a new encryption key: `kid:base64` of 64 random bytes.

    Keep it: without it the stored credentials cannot be read. The first of several keys seals, all of them open.
    """
    with invocation(ctx) as run:
        if sum((save, secret_file is not None, add)) > 1:
            raise UsageError("--save, --add and --secret-file exclude each other")
        key = secrets.token_bytes(KEY_BYTES)
        if add:
            _add(run, kid, key)
            return
        line = format_key(kid or "k1", key)
        target = keysfile.new(run.settings) if save else secret_file
        if target is None:
            run.out.write(line)
            return
        if save and target.exists():
            raise Conflict(f"there are keys in {target} already", "notifyctl secrets generate-key --add adds another")
        write_secret(target, line)
        name = line.partition(":")[0]
        run.out.say(f"wrote key {name} to {target}; back it up: stored credentials cannot be read without it")


def _add(run: Invocation, kid: str | None, key: bytes) -> None:
    if kid is not None:
        format_key(kid, key)
    path = keysfile.place(run.settings)
    ids = keysfile.change(path, keysfile.added(kid, key))
    kid, first = ids[-1], ids[0]
    if first == kid:
        run.out.say(f"wrote key {kid} to {path}; back it up: stored credentials cannot be read without it")
        return
    run.out.say(f"added key {kid} to {path}, to read: {first} goes on sealing; back it up")
    run.out.say(f"next: bring the file to every host, then notifyctl secrets rotate --activate {kid}")


@app.command(scope=Scope.SECRETS_READ, shows=_USES)
def status(ctx: typer.Context) -> None:
    """Show which keys there are, and what each of them sealed.

    And how many dispatchers at work have it. Exits 4, naming rows, where values are sealed with keys that are not here.
    """
    with invocation(ctx) as run:
        db, keyring = run.system.db, run.system.keyring
        found = rotating.uses(db, keyring)
        run.out.records(found, _USES, id_name="kid")
        run.out.say(rotating.require_all(db, keyring) or _advice(found))


def _advice(found: list[KeyUse]) -> str:
    """Return the next step of a rotation, if one is under way."""
    sealing = next((each for each in found if each.role == "seals"), None)
    if sealing is None:
        return "there is no key: notifyctl secrets generate-key --save"
    plain = sum(each.rows for each in found if each.kid is None)
    if plain:
        return f"{plain:,} values are not sealed at all: enter these credentials again"
    if left := sum(each.rows for each in found if each.role == "opens"):
        return f"{left:,} values are sealed with other keys than {sealing.kid}: notifyctl secrets rotate --re-encrypt"
    return ""


@app.command(scope=Scope.SECRETS_WRITE, shows=_STEP)
def rotate(
    ctx: typer.Context,
    activate: Annotated[
        str | None, typer.Option("--activate", metavar="KEY", help="Let that key seal from now on: step two.")
    ] = None,
    re_encrypt: Annotated[
        bool,
        typer.Option("--re-encrypt", help="Seal anew what other keys sealed: step three, and what happens by itself."),
    ] = False,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="KEY", help="Take that key out of the keys file: step four.")
    ] = None,
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Change the encryption key while dispatchers run.

    In steps, each of which can be repeated, and looks whether it may be done. One: `secrets generate-key --add`, and
    the keys file to every host. Two: --activate. Three: --re-encrypt, in batches; killed, it goes on where it was.
    Four: --forget.
    """
    with invocation(ctx) as run:
        if sum((activate is not None, re_encrypt, forget is not None)) > 1:
            raise UsageError("--activate, --re-encrypt and --forget are steps: one at a time")
        if activate is not None:
            _activate(run, activate)
        elif forget is not None:
            _forget(run, forget, yes=yes, confirm=confirm)
        else:
            _re_encrypt(run)


def _activate(run: Invocation, kid: str) -> None:
    path, db = keysfile.place(run.settings), run.system.db
    keysfile.require(run.system.keyring.keys, kid, path)
    rotating.require_readers(db, kid, run.out.say)
    keysfile.change(path, keysfile.first(kid))
    rotating.note(db, "rotate", kid)
    told = (
        f"key {kid} seals from now on; next: bring the file to every host, then notifyctl secrets rotate --re-encrypt"
    )
    run.out.record(_Rotated("activate", kid), _STEP, id_name="kid", told=told)


def _re_encrypt(run: Invocation) -> None:
    db, keyring = run.system.db, run.system.keyring
    if not keyring.keys:
        raise no_keys()
    kid = next(iter(keyring.keys))
    rotating.require_readers(db, kid, run.out.say)
    done = atrest.rotate(db, keyring, run.out.say)
    step = _Rotated("re-encrypt", kid, done.resealed, done.changed_meanwhile, len(done.failed))
    told = f"{done.resealed:,} values sealed anew with key {kid}"
    run.out.record(step, _STEP, id_name="kid", told=told)
    rotating.raise_for(done)
    if others := [each for each in keyring.keys if each != kid]:
        run.out.say(f"next, when no host seals with it any more: notifyctl secrets rotate --forget {others[0]}")


def _forget(run: Invocation, kid: str, *, yes: bool, confirm: str | None) -> None:
    path, db, keys = keysfile.place(run.settings), run.system.db, run.system.keyring.keys
    keysfile.require(keys, kid, path)
    if next(iter(keys)) == kid:
        raise Conflict(f"key {kid} is the one that seals", "notifyctl secrets rotate --activate KEY lets another seal")
    rotating.require_forgettable(db, kid, run.out.say)
    run.confirm(
        f"Forget key {kid}? What is sealed with it in backups cannot be read any more.",
        yes=yes,
        confirm=confirm,
        bulk=True,
    )
    rotating.keep_trail(db, run.system.keyring)
    kept = keys[kid]
    keysfile.change(path, keysfile.without(kid))
    try:
        rotating.refuse_used(db, kid)
    except Conflict:
        keysfile.change(path, keysfile.added(kid, kept))  # somebody sealed with it meanwhile
        raise
    rotating.note(db, "delete", kid)
    told = f"key {kid} is forgotten; bring the file to every host"
    run.out.record(_Rotated("forget", kid), _STEP, id_name="kid", told=told)


@app.command("encrypt-addresses", scope=Scope.SECRETS_WRITE, shows=_MOVED)
def encrypt_addresses(
    ctx: typer.Context,
    lost: Annotated[
        list[str] | None,
        typer.Option("--lost-key", metavar="KEY", help="Go on without this key: give up what only it opens."),
    ] = None,
    yes: Yes = False,
    confirm: Confirm = None,
) -> None:
    """Store people's addresses sealed from now on, and those that are there, in batches.

    Of contact points, suppressions, and where notifications went; a keyed hash finds them. While others work; killed,
    it goes on where it was. The e-mail address of a user itself, and what messages say, stay as they are.
    """
    with invocation(ctx) as run:
        db, keyring = run.system.db, run.system.keyring
        question = _to_give_up(run, lost) if lost else _to_encrypt(run)
        run.confirm(question, yes=yes, confirm=confirm, bulk=True)
        if lost:
            gone = atrest.give_up(db, keyring, lost, run.out.say)
            run.out.say(f"given up: contact points {gone.contact_points:,}, suppressions {gone.suppressions:,}")
        done = atrest.encrypt(db, keyring, run.out.say)
        run.out.record(done, _MOVED, id_name="encrypted", told=f"addresses are encrypted; {_moved(done)}")
        run.out.say("in free pages and backups they are in clear yet: VACUUM (FULL), and replace backups")


def _to_encrypt(run: Invocation) -> str:
    points, refused = atrest.counts(run.system.db)
    many = f"{points + refused:,} addresses (contact points {points:,}, suppressions {refused:,})"
    return f"Encrypt {many}?\nEach host needs the encryption keys then."


def _to_give_up(run: Invocation, lost: list[str]) -> str:
    gone, names = atrest.losses(run.system.db, run.system.keyring, lost), ", ".join(lost)
    points = f"{gone.contact_points:,} contact points are removed"
    refused = f"{gone.suppressions:,} suppressions, whose people may be written to again"
    return f"Give up the addresses that only key {names} opens?\n{points}, and {refused}."


@app.command("decrypt-addresses", scope=Scope.SECRETS_WRITE, shows=_MOVED)
def decrypt_addresses(ctx: typer.Context, yes: Yes = False, confirm: Confirm = None) -> None:
    """Store people's addresses in clear again, in batches; killed, it goes on where it was."""
    with invocation(ctx) as run:
        db, keyring = run.system.db, run.system.keyring
        run.confirm("Store all addresses in clear again?", yes=yes, confirm=confirm, bulk=True)
        done = atrest.decrypt(db, keyring, run.out.say)
        run.out.record(done, _MOVED, id_name="encrypted", told=f"addresses are in clear; {_moved(done)}")


def _moved(done: Moved) -> str:
    rows = (("contact points", done.contact_points), ("suppressions", done.suppressions))
    return "written anew: " + ", ".join(
        f"{what} {count:,}" for what, count in (*rows, ("notifications", done.notifications))
    )
