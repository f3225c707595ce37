"""`secrets`: encryption keys for the providers' credentials."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import SECRET, Noun, TextLeaf
from notifyctl.cli.secretfile import write_secret
from notifyctl.config import default_keys_file
from notifyctl.core.errors import UsageError
from notifyctl.core.scope import OPEN
from notifyctl.core.sealing import KEY_BYTES, format_key

app = Noun("Encryption keys for the providers' credentials.")


class _KeyLeaf(TextLeaf):
    """Prints a key and nothing else, also where it is asked for as a secret."""

    formats: tuple[str, ...] = ("plain", SECRET)


@app.command("generate-key", scope=OPEN, cls=_KeyLeaf)
def generate_key(
    ctx: typer.Context,
    kid: Annotated[str, typer.Option("--kid", metavar="ID", help="The key's id: 1 to 6 of a-z 0-9.")] = "k1",
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", metavar="F", help="Write it there, readable by you only.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Write it where notifyctl looks for keys.")] = False,
) -> None:
    """Make a new encryption key: `kid:base64` of 64 random bytes.

    Keep it: without it the stored credentials cannot be read. The first of several keys seals, all of them open.
    """
    with invocation(ctx) as run:
        if save and secret_file:
            raise UsageError("--save and --secret-file exclude each other")
        key = format_key(kid, secrets.token_bytes(KEY_BYTES))
        target = _default_file(run) if save else secret_file
        if target is None:
            run.out.write(key)
            return
        write_secret(target, key)
        run.out.say(f"wrote key {kid} to {target}; back it up: stored credentials cannot be read without it")


def _default_file(run: Invocation) -> Path:
    found = run.settings.encryption_keys_file or default_keys_file()
    if found is None:
        raise UsageError(
            "--save: there is no home folder to keep it in",
            "--secret-file F, or name F in NOTIFYCTL_ENCRYPTION_KEYS_FILE",
        )
    return found
